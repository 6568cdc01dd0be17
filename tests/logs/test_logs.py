"""`JsonLines` and `CsvLog`: each row once, whatever happens to the process."""

import csv
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import torch
from helpers.faults import interrupt_at_call
from helpers.logs import lines_of, logged
from rnnr import Event, Layer, RnnrWarning, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.durable import CsvLog, JsonLines, Snapshots
from rnnr.recording import Record

Log = JsonLines | CsvLog

LOGS: list[type[Log]] = [JsonLines, CsvLog]

each_log = pytest.mark.parametrize("log", LOGS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file, all values as texts."""
    text = path.read_text(encoding="utf-8")
    if text.startswith("{"):
        lines = map(json.loads, text.splitlines())
        return [{key: str(value) for key, value in line.items()} for line in lines]
    with open(path, newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def column(path: Path, name: str = "n_iters") -> list[Any]:
    return [row[name] for row in rows(path)]


def training(log: Log | None = None, noise: float = 0.0) -> Runner:
    """A runner whose losses depend on the number of the batch alone, but for the noise."""
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["loss"] = 1 / state["n_iters"] + noise
        state["note"] = f'batch {state["batch"]},\n"again"'

    if log is not None:
        log.attach_on(runner)
    return runner


class Saved(NamedTuple):
    """A state and the position of its log, as a process keeps them on disk."""

    state: bytes
    log: str

    @classmethod
    def of(cls, state: State, log: Any) -> "Saved":
        return cls(pickle.dumps(state), json.dumps(log.state_dict()))

    def restore(self, runner: Runner, log: Any = None) -> None:
        runner.state = pickle.loads(self.state)
        if log is not None:
            log.load_state_dict(json.loads(self.log))


def save_at(n: int, event: Event, runner: Runner, log: Any, kept: list[Saved]) -> None:
    def save(state: State) -> None:
        if state["n_iters"] == n:
            kept.append(Saved.of(state, log))

    runner.stream(event).add(save, layer=Layer.SAVE)


def stop_at(n: int, runner: Runner) -> None:
    """Stop once, when everything else has seen the batch."""

    def stop(state: State) -> None:
        if state["n_iters"] == n:
            state["running"] = False

    runner.stream(Event.BATCH.first(n)).add(stop, layer=Layer.STOP)


OFTEN = Event.BATCH | Event.EPOCH_FINISHED


class TestWhatIsWritten:
    def test_a_row_at_the_end_of_each_epoch_with_what_reducers_and_callbacks_wrote(
        self, path: Path
    ) -> None:
        log = JsonLines(path, "mean", "lr", "phase")
        runner = training(log)
        MeanReducer("mean", value="loss").attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(phase=None))
        runner.run("ab", max_epoch=2)
        assert path.read_text() == (
            '{"epoch":1,"n_iters":2,"mean":0.75,"lr":null,"phase":null}\n'
            '{"epoch":2,"n_iters":4,"mean":0.29166666666666663,"lr":null,"phase":null}\n'
        )

    def test_a_missing_key_is_an_empty_cell(self, path: Path) -> None:
        training(CsvLog(path, "loss", "lr")).run("ab", max_epoch=2)
        assert path.read_bytes() == b"epoch,n_iters,loss,lr\r\n1,2,0.5,\r\n2,4,0.25,\r\n"

    @each_log
    def test_a_row_at_each_selected_event(self, path: Path, log: type[Log]) -> None:
        training(log(path, "loss", on=Event.BATCH.every(2) | Event.EPOCH_FINISHED)).run("abc", 2)
        assert column(path) == ["2", "3", "4", "6", "6"]

    @each_log
    def test_a_new_run_follows_the_earlier_one_under_one_header(
        self, path: Path, log: type[Log]
    ) -> None:
        for _ in range(2):
            runner = training()
            with log(path, "loss", "note").attach_on(runner):
                for _ in range(2):
                    runner.run("ab", max_epoch=2)
        assert column(path) == ["2", "4"] * 4
        assert column(path, "note") == ['batch b,\n"again"'] * 8

    @each_log
    def test_each_row_is_in_the_file_when_its_event_is_over(
        self, path: Path, log: type[Log]
    ) -> None:
        seen: list[Any] = []
        runner = training(log(path, "loss", on=Event.BATCH))
        runner.stream(Event.BATCH).add(lambda _: seen.append(len(column(path))), layer=Layer.SAVE)
        runner.run("abc")
        assert seen == [1, 2, 3]

    @each_log
    def test_tensors_numbers_and_texts(self, path: Path, log: type[Log]) -> None:
        runner = Runner()
        values = {"half": torch.tensor([0.1]).half(), "n": torch.tensor(3), "is": True, "what": "ü"}
        runner.on(Event.BATCH, lambda state: state.update(values))
        log(path, *values).attach_on(runner)
        runner.run([1])
        expected = {"half": "0.0999755859375", "n": "3", "is": "True", "what": "ü"}
        assert rows(path) == [{"epoch": "1", "n_iters": "1", **expected}]

    @each_log
    def test_a_path_is_that_of_the_directory_in_which_it_was_given(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, log: type[Log]
    ) -> None:
        monkeypatch.chdir(path.parent)
        relative = log(path.name, "loss")
        monkeypatch.chdir("/")
        training(relative).run("ab")
        assert column(path) == ["2"]

    @each_log
    def test_a_file_that_was_moved_away_is_begun_again(self, path: Path, log: type[Log]) -> None:
        runner = training(log(path, "loss", on=Event.BATCH))
        old = path.with_suffix(".old")
        runner.on(
            Event.BATCH.where(lambda state: state["n_iters"] == 3), lambda _: path.rename(old)
        )
        runner.run("abcd")
        assert (column(old), column(path)) == (["1", "2"], ["3", "4"])

    @each_log
    def test_nothing_is_written_when_it_is_detached(self, path: Path, log: type[Log]) -> None:
        runner = training()
        attached = log(path, "loss", on=Event.BATCH).attach_on(runner)
        third = Event.BATCH.where(lambda state: state["n_iters"] == 3)
        runner.on(third, lambda _: attached.dispose())
        runner.run("abcd")
        assert column(path) == ["1", "2"]


class Broken(Exception):
    """What stands for the death of a process."""


@each_log
@given(data=st.data(), n_batches=st.integers(1, 3), max_epoch=st.integers(1, 3))
def test_a_run_that_was_killed_and_restored_leaves_the_file_of_an_undisturbed_one(
    data: st.DataObject, n_batches: int, max_epoch: int, log: type[Log]
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # it takes most of the time
        path, whole = Path(folder, "log"), Path(folder, "whole")
        keys, n, kept = ("loss", "note", "no such key"), n_batches * max_epoch, list[Saved]()
        training(log(whole, *keys, on=OFTEN)).run(range(n_batches), max_epoch)
        moments = st.sampled_from([Event.BATCH, Event.EPOCH_FINISHED])
        for died in [*data.draw(st.lists(st.integers(1, n), max_size=3)), n + 1]:
            one, runner = log(path, *keys, on=OFTEN), training()
            is_attached_first = data.draw(st.booleans())
            if is_attached_first:
                one.attach_on(runner)
            if kept:
                kept[-1].restore(runner, one)
            else:
                kept.append(Saved.of({}, one))
            if not is_attached_first:
                one.attach_on(runner)
            dies(died, runner)
            save_at(data.draw(st.integers(1, n)), data.draw(moments), runner, one, kept)
            with suppress(Broken):
                go(runner, n_batches, max_epoch)
            if died <= n:
                append_half_a_row(path, data.draw(st.integers(0, 40)), log)
            one._place.detach()  # as the end of the process
        assert path.read_bytes() == whole.read_bytes()


def dies(n: int, runner: Runner) -> None:
    def die(state: State) -> None:
        if state["n_iters"] == n:
            raise Broken

    runner.on(Event.BATCH, die)


def go(runner: Runner, n_batches: int, max_epoch: int) -> None:
    if "epoch" in runner.state:
        runner.resume()
    else:
        runner.run(range(n_batches), max_epoch)


def append_half_a_row(path: Path, n: int, log: type[Log]) -> None:
    row = b'{"epoch":1,"n_iters":2,"loss":0.2,"note":' if log is JsonLines else b'1,2,0.2,"a\n,""b'
    if path.stat().st_size:
        with open(path, "ab") as file:
            file.write(row[:n])


class TestKills:
    @each_log
    def test_a_row_that_is_cut_off_at_any_byte_spoils_no_other(
        self, path: Path, log: type[Log]
    ) -> None:
        training(log(path, "loss", "note", on=Event.BATCH)).run("ab")
        whole = path.read_bytes()
        begin = whole.rindex(b'{"epoch"') if log is JsonLines else whole.rindex(b"1,2,")
        for end in range(begin, len(whole)):
            path.write_bytes(whole[:end])
            with logged("rnnr.durable") as records, Attached(log, path) as runner:
                runner.run("c")
            lacks_its_end_alone = end == len(whole) - 1
            assert column(path) == (["1", "2", "1"] if lacks_its_end_alone else ["1", "1"])
            assert column(path, "note")[-1] == 'batch c,\n"again"'
            if end > begin and not lacks_its_end_alone:
                assert lines_of(records) == [
                    f"WARNING: Removed half a row at the end of {path}, which a killed process has "
                    f"left: {_shown(whole[begin:end])}"
                ]
            else:
                assert records == []

    @each_log
    def test_a_header_that_is_cut_off_at_any_byte_is_written_again(
        self, path: Path, log: type[Log]
    ) -> None:
        training(log(path, "loss", "note", on=Event.BATCH)).run("a")
        whole = path.read_bytes()
        for end in range(whole.index(b"\n")):
            path.write_bytes(whole[:end])
            with logged("rnnr.durable"), Attached(log, path) as runner:
                runner.run("a")
            assert path.read_bytes() == whole

    @each_log
    def test_a_process_that_is_killed_again_and_again_writes_each_row_once(
        self, tmp_path: Path, log: type[Log]
    ) -> None:
        command = [sys.executable, "-W", "error", "-c", DIE_AND_RESUME, str(tmp_path), log.__name__]
        for n in (2, 7, 8, 20, 21, 39, 40, 41, 80):
            assert subprocess.run([*command, str(n)]).returncode == -signal.SIGKILL
        subprocess.run([*command, "0"], check=True)
        path = tmp_path / "log"
        assert column(path) == [str(n) for n in range(1, 121)]
        assert column(path, "loss") == [str(1 / n) for n in range(1, 121)]


def _shown(data: bytes) -> str:
    text = repr(data)
    return f"{text if len(text) <= 80 else text[:77] + '...'} (bytes)"


class Attached:
    """A runner with a log, until the end of the block."""

    def __init__(self, log: type[Log], path: Path) -> None:
        self.runner = training()
        self.subscription = log(path, "loss", "note", on=Event.BATCH).attach_on(self.runner)

    def __enter__(self) -> Runner:
        return self.runner

    def __exit__(self, *_: object) -> None:
        self.subscription.dispose()


DIE_AND_RESUME = """
import json, os, pickle, signal, sys
from pathlib import Path
from rnnr import Event, Layer, Runner
from rnnr import durable

folder, kind, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = getattr(durable, kind)(folder / "log", "loss", on=Event.BATCH)
runner = Runner()

@runner.on(Event.BATCH)
def train(state):
    state["loss"] = 1 / state["n_iters"]

def save(state):
    if not state["n_iters"] % 3:
        (folder / "aside").write_bytes(pickle.dumps((state, log.state_dict())))
        os.replace(folder / "aside", folder / "state")
    if state["n_iters"] == n:
        os.kill(os.getpid(), signal.SIGKILL)

log.attach_on(runner)
runner.stream(Event.BATCH).add(save, layer=Layer.SAVE)
if (folder / "state").exists():
    runner.state, position = pickle.loads((folder / "state").read_bytes())
    log.load_state_dict(position)
    runner.resume()
else:
    Path(folder / "log").unlink()
    runner.run(range(40), max_epoch=3)
"""


class TestRepeats:
    """What was cut is compared with what is written again."""

    @staticmethod
    def killed(log: Log, n: int = 3, died: int = 6, event: Event = Event.BATCH) -> Saved:
        """Run until a process is killed; return what it has saved."""
        runner, kept = training(), list[Saved]()
        dies(died, runner)
        with log.attach_on(runner):
            save_at(n, event, runner, log, kept)
            with suppress(Broken):
                runner.run(range(4), max_epoch=3)
        return kept[0]

    @each_log
    def test_the_first_row_that_differs_is_a_warning_with_both(
        self, path: Path, log: type[Log]
    ) -> None:
        one = log(path, "loss", on=Event.BATCH)
        saved = self.killed(one)
        runner = training(one, noise=0.5)
        saved.restore(runner, one)
        with pytest.warns(RnnrWarning) as caught:
            runner.resume()
        [warning] = caught
        text = str(warning.message)
        assert warning.filename == __file__
        assert str(path) in text
        if log is CsvLog:
            assert "expected 1,4,0.25, got 1,4,0.75: " in text
        else:
            assert 'expected {"epoch":1,"n_iters":4,"loss":0.25}, got {"epoch":1,"n' in text
        assert "Snapshots(generators=[rng])" in text

    @each_log
    def test_a_long_row_is_shortened(self, path: Path, log: type[Log]) -> None:
        one = log(path, "long", on=Event.BATCH)
        runner, numbers = Runner(), itertools.count()
        runner.on(Event.BATCH, lambda state: state.update(long=str(next(numbers)) * 1000))
        one.attach_on(runner)
        before = one.state_dict()
        runner.run("ab")
        one.load_state_dict(before)
        with pytest.warns(RnnrWarning, match=r"\.\.\., got .*\.\.\.: ") as caught:
            runner.run("ab")
        assert len(caught) == 1
        assert len(str(caught[0].message)) < 1600

    @each_log
    def test_rows_of_a_stop_are_not_expected_again(self, path: Path, log: type[Log]) -> None:
        on = Event.EPOCH_FINISHED | Event.STOPPED | Event.FINISHED
        one = log(path, "loss", on=on)
        runner, kept = training(one), list[Saved]()
        save_at(4, Event.EPOCH_FINISHED, runner, one, kept)
        stop_at(6, runner)
        runner.run(range(4), max_epoch=2)
        assert column(path) == ["4", "6"]
        kept[0].restore(runner, one)
        runner.state["max_epoch"] = 3
        runner.resume()
        assert column(path) == ["4", "8", "12", "12"]

    @each_log
    def test_a_run_from_the_beginning_after_a_cut_is_compared_and_no_later_one(
        self, path: Path, log: type[Log]
    ) -> None:
        one = log(path, "loss", on=Event.BATCH)
        runner = training(one)
        before = one.state_dict()
        runner.run("abc")
        one.load_state_dict(before)
        runner.on(Event.BATCH, lambda state: state.update(loss=state["loss"] + state["shift"]))
        runner.state["shift"] = 0
        runner.run("a")
        runner.state["shift"] = 1
        runner.run("abc")  # a new run, which follows
        one.load_state_dict(before)
        runner.state["shift"] = 2
        with pytest.warns(RnnrWarning, match="must write the rows again"):
            runner.run("abc")

    @each_log
    def test_an_evaluation_inside_a_training_is_compared_run_by_run(
        self, path: Path, log: type[Log]
    ) -> None:
        def run(saved: Saved | None, noise: float = 0.0) -> list[Saved]:
            inner, kept = log(path, "loss", on=Event.BATCH), list[Saved]()
            outer, evaluation = Runner(), Runner()

            @evaluation.on(Event.BATCH)
            def compute(state: State) -> None:
                state["loss"] = outer.state["epoch"] + state["batch"] + noise

            outer.on(Event.EPOCH_FINISHED, lambda _: evaluation.run([1, 2]))
            with inner.attach_on(evaluation):
                if saved is None:
                    save_at(2, Event.EPOCH_FINISHED, outer, inner, kept)
                    outer.run("ab", max_epoch=4)
                else:
                    saved.restore(outer, inner)
                    outer.resume()
            return kept

        [saved] = run(None)
        whole = path.read_bytes()
        run(saved)
        assert path.read_bytes() == whole
        with pytest.warns(RnnrWarning, match="must write the rows again") as caught:
            run(saved, noise=0.5)
        assert len(caught) == 1

    @each_log
    def test_only_the_first_part_of_much_is_kept(self, path: Path, log: type[Log]) -> None:
        one, runner, text = log(path, "text", on=Event.BATCH), Runner(), "x" * 100_000
        runner.on(Event.BATCH, lambda state: state.update(text=text))
        one.attach_on(runner)
        before = one.state_dict()
        runner.run(range(12))
        one.load_state_dict(before)
        runner.on(Event.BATCH, lambda state: state.update(text=text * (state["n_iters"] < 11)))
        runner.run(range(12))  # the last ones differ, which is not known any more
        assert len(column(path)) == 12


class TestAStateThatWasRestoredByHand:
    """The log is not cut back, so rows would be repeated."""

    CURE = r"name the log in Snapshots\(log=log\), .* or save log.state_dict\(\)"

    @each_log
    def test_rows_after_the_state_are_a_warning(self, path: Path, log: type[Log]) -> None:
        saved = TestRepeats.killed(log(path, "loss", on=Event.BATCH))
        runner = training(log(path, "loss", on=Event.BATCH))
        saved.restore(runner)
        message = f"each row once, got a state with 3 batches, and a row after 5, in .*{self.CURE}"
        with pytest.warns(RnnrWarning, match=message) as caught:
            runner.resume()
        assert [warning.filename for warning in caught] == [__file__]

    @each_log
    def test_in_the_same_process_too(self, path: Path, log: type[Log]) -> None:
        one = log(path, "loss", on=Event.BATCH)
        runner, kept = training(one), list[Saved]()
        save_at(3, Event.BATCH, runner, one, kept)
        runner.run(range(4), max_epoch=3)
        kept[0].restore(runner)
        with pytest.warns(RnnrWarning, match="a state with 3 batches, and a row after 12"):
            runner.resume()

    @each_log
    def test_the_same_row_once_more_is_a_warning(self, path: Path, log: type[Log]) -> None:
        one = log(path, "loss")
        saved = TestRepeats.killed(one, n=4, died=5)  # the end of the epoch comes again
        runner = training(log(path, "loss"))
        saved.restore(runner)
        with pytest.warns(RnnrWarning, match=f"a row that the file has already: .*4.*{self.CURE}"):
            runner.resume()
        assert column(path) == ["4", "4", "8", "12"]

    @each_log
    def test_a_state_that_is_as_old_as_the_last_row_is_none(
        self, path: Path, log: type[Log]
    ) -> None:
        saved = TestRepeats.killed(log(path, "loss"), n=4, died=5, event=Event.EPOCH_FINISHED)
        runner = training(log(path, "loss"))
        saved.restore(runner)
        runner.resume()
        assert column(path) == ["4", "8", "12"]

    @each_log
    def test_a_stop_and_a_resume_in_a_process_are_none(self, path: Path, log: type[Log]) -> None:
        one = log(path, "loss")
        training(one).run(range(50))
        one._place.detach()
        runner = training(log(path, "loss"))
        for n in (1, 3, 4, 7):
            stop_at(n, runner)
        runner.run(range(4), max_epoch=2)  # it is older than the rows of the run before
        while runner.state["epoch"] < 2 or runner.state["n_iters"] < 8:
            runner.resume()
        assert column(path) == ["50", "4", "8"]

    @each_log
    def test_a_run_that_is_stopped_before_anything_is_none(
        self, path: Path, log: type[Log]
    ) -> None:
        one = log(path, "loss")
        training(one).run(range(50))
        one._place.detach()
        runner = training()
        runner.on(Event.STARTED, lambda state: state.update(running=False))
        log(path, "loss").attach_on(runner)
        runner.run(range(4))
        runner.resume()
        assert column(path) == ["50", "4"]

    @each_log
    def test_a_log_that_was_cut_back_is_none(self, path: Path, log: type[Log]) -> None:
        saved = TestRepeats.killed(log(path, "loss", on=OFTEN))
        one = log(path, "loss", on=OFTEN)
        runner = training(one)
        saved.restore(runner, one)
        runner.resume()
        assert len(column(path)) == 12 + 3


class TestErrors:
    """Unlike a view, a log raises what keeps it from writing."""

    @each_log
    def test_a_disk_that_is_full_breaks_the_run_and_leaves_whole_rows(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, log: type[Log]
    ) -> None:
        from rnnr._logs._file import LogFile

        class Full(LogFile):
            left = 60

            def write(self, data: Any) -> int:
                n = super().write(data[: Full.left])
                Full.left -= n
                return n

        monkeypatch.setattr("rnnr._logs._log.LogFile", Full)
        runner = training(log(path, "loss", on=Event.BATCH))
        with pytest.raises(OSError, match="nothing was written"):
            runner.run("abcdef")
        n = len(column(path))
        assert 0 < n < 6
        assert runner.state["n_iters"] == n + 1
        Full.left = 1000
        runner.resume(repeat_last_batch=True)
        assert column(path) == [str(i) for i in range(1, 7)]

    @each_log
    def test_a_value_that_is_not_plain_breaks_the_run_at_once(
        self, path: Path, log: type[Log]
    ) -> None:
        runner = training(log(path, "loss", "stats", on=Event.BATCH))
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1.0}))
        message = rf"state\['stats'\] for {log.__name__} must be a number, a text or None, got {{"
        with pytest.raises(TypeError, match=message):
            runner.run("ab")
        assert path.read_bytes() == b""

    @each_log
    def test_an_interrupt_anywhere_leaves_whole_rows(self, path: Path, log: type[Log]) -> None:
        modules = ["rnnr._logs._row_log", "rnnr._logs._rows", "rnnr._logs._log", "rnnr._logs._file"]
        for n in itertools.count(1):
            path.unlink(missing_ok=True)
            one = log(path, "loss", "note", on=Event.BATCH)
            runner = training(one)
            try:
                with interrupt_at_call(n, *modules):
                    runner.run("abc")
                break
            except KeyboardInterrupt:
                pass
            for _ in range(2):
                with suppress(KeyError):
                    runner.run("abc")
            one._place.detach()
            told = column(path)
            assert told[-6:] == ["1", "2", "3"] * 2
            assert told[:-6] == ["1", "2", "3"][: len(told) - 6]
        assert n > 20

    @each_log
    @pytest.mark.parametrize(
        ("place", "error", "message"),
        [
            ("file/log", OSError, "(File exists|Not a directory)"),
            ("folder", ValueError, "got '.*folder' "),
        ],
    )
    def test_what_cannot_be_opened_is_an_error_and_nothing_is_attached(
        self, tmp_path: Path, place: str, error: type[Exception], message: str, log: type[Log]
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        runner, one = Runner(), log(tmp_path / place, "loss")
        cure = "; pass a file in a directory that you may write to"
        with pytest.raises(error, match=f"path must be a file.*{message}.*{cure}"):
            one.attach_on(runner)
        for event in Event:
            runner.stream(event).rebuild()
            assert runner.stream(event).handlers == []
        if error is OSError:
            (tmp_path / "file").unlink()
            one.attach_on(runner)  # the error has not claimed it
            assert (tmp_path / "file" / "log").exists()  # in a folder that was made

    def test_a_table_of_other_columns_is_refused_and_left_as_it_is(self, path: Path) -> None:
        path.write_text("epoch,n_iters,acc\n1,2,0.5\n1,3,")
        before = path.read_bytes()
        message = (
            "path must be a file whose first row is 'epoch,n_iters,loss', got '.*' with "
            r"b'epoch,n_iters,acc\\n' .*; name the keys that the file has, or write to another"
        )
        with pytest.raises(ValueError, match=message):
            CsvLog(path, "loss").attach_on(Runner())
        assert path.read_bytes() == before
        path.write_text("epoch,n_iters,loss\n1,2,0.5\n")  # with other ends of lines
        training(CsvLog(path, "loss")).run("abc")
        assert column(path, "loss") == ["0.5", str(1 / 3)]

    @pytest.mark.parametrize(
        "contents", [b"dear diary", b"\xff\xff\n", b'epoch,n_iters,"loss\n', b"\n", b'"' * 3]
    )
    @each_log
    def test_a_file_of_another_kind_is_refused_and_left_as_it_is(
        self, path: Path, contents: bytes, log: type[Log]
    ) -> None:
        path.write_bytes(contents)
        with pytest.raises(ValueError, match=r"path must be a file .*; .*write to another file"):
            log(path, "loss").attach_on(Runner())
        assert path.read_bytes() == contents

    @each_log
    @pytest.mark.parametrize(
        ("arguments", "options", "error", "message"),
        [
            ((7, "x"), {}, TypeError, "path must be a path, got 7"),
            (("x", 7), {}, TypeError, r"a key of a log must be a string, got 7 \(int\); write for"),
            (("x", "y"), {"on": "BATCH"}, TypeError, "on must be an Event or a Selection, got 'BA"),
            (("x",), {}, ValueError, r"keys must be one or more different keys .*, got \(\)"),
            (("x", "y", "y"), {}, ValueError, "keys must be one or more different keys"),
            (
                ("x", "epoch"),
                {},
                ValueError,
                "not epoch and n_iters, which are there anyway: as in",
            ),
        ],
    )
    def test_wrong_arguments_are_refused_when_it_is_made(
        self, arguments: Any, options: Any, error: type[Exception], message: str, log: type[Log]
    ) -> None:
        with pytest.raises(error, match=message):
            log(*arguments, **options)

    @each_log
    def test_another_file_is_refused_and_not_changed(self, path: Path, log: type[Log]) -> None:
        one = log(path, "loss", on=Event.BATCH)
        saved = TestRepeats.killed(one)
        text = path.read_text()
        for contents in (text[:20], text.replace("1,2,", "1,9,").replace(":2,", ":9,")):
            path.write_text(contents)
            with pytest.raises(ValueError, match="must be the one that was saved"):
                saved.restore(training(), one)
            assert path.read_text() == contents


class TestAlone:
    @each_log
    def test_each_runner_needs_a_log_of_its_own(self, path: Path, log: type[Log]) -> None:
        one = log(path, "loss")
        attached = one.attach_on(Runner())
        message = rf"a {log.__name__} must be attached to one runner at a time.*'evaluation.log'\)"
        with pytest.raises(RuntimeError, match=message):
            one.attach_on(Runner())
        attached.dispose()
        one.attach_on(Runner())

    @pytest.mark.parametrize("first", [JsonLines, CsvLog, Record])
    @pytest.mark.parametrize("second", [JsonLines, CsvLog, Record])
    def test_two_of_any_kind_do_not_write_one_file(
        self, path: Path, first: Callable[..., Any], second: Callable[..., Any]
    ) -> None:
        attached = first(path, "loss").attach_on(Runner())
        runner = Runner()
        message = f"a file that nobody else writes, got .*; a {first.__name__} of this process"
        with pytest.raises(ValueError, match=message):
            second(path, "loss").attach_on(runner)
        for event in Event:
            runner.stream(event).rebuild()
            assert runner.stream(event).handlers == []
        attached.dispose()

    @each_log
    def test_another_process_is_refused_until_it_is_dead_and_a_fork_holds_no_lock(
        self, path: Path, log: type[Log]
    ) -> None:
        command = [sys.executable, "-c", HOLD, log.__name__, str(path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"attached\n"
            with pytest.raises(ValueError, match="another process writes it"):
                log(path, "loss").attach_on(Runner())
            with pytest.raises(ValueError, match="another process writes it"):
                log(path, "loss").state_dict()
            process.kill()
            process.wait(60)
            training(log(path, "loss")).run("ab")
        assert column(path) == ["2"]

    @each_log
    def test_a_forked_process_does_not_write_for_its_parent(
        self, path: Path, log: type[Log]
    ) -> None:
        done = subprocess.run([sys.executable, "-W", "error", "-c", FORK, log.__name__, str(path)])
        assert done.returncode == 0
        assert column(path) == ["2"]

    @each_log
    def test_a_cell_of_a_notebook_may_run_again(self, path: Path, log: type[Log]) -> None:
        for _ in range(3):
            runner = training(log(path, "loss"))
            runner.state["runner"] = runner
            runner.run("ab")
            del runner
        assert column(path) == ["2"] * 3

    @each_log
    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_a_runner_that_is_gone_has_no_file_even_if_its_run_was_over_at_once(
        self, path: Path, log: type[Log], tmp_path: Path
    ) -> None:
        """So a cell may run again after the run has finished."""

        def cell() -> Any:
            rows, runner = log(path, "batch", on=Event.BATCH), Runner()
            attached = rows.attach_on(runner)
            Snapshots(tmp_path / "run", rows=rows).attach_on(runner)
            runner.run("ab")
            return attached

        kept = [cell() for _ in range(3)]
        assert len(kept) == 3

    @each_log
    def test_the_file_is_closed_between_two_runs(self, path: Path, log: type[Log]) -> None:
        before = len(os.listdir("/proc/self/fd"))
        one = log(path, "loss", on=Event.BATCH | Event.FINISHED)
        runner = training(one)
        for _ in range(2):
            runner.run("ab")
            one.state_dict()
            assert len(os.listdir("/proc/self/fd")) == before
        assert column(path) == ["1", "2", "2"] * 2

    @each_log
    def test_a_file_that_somebody_changed_between_two_runs_is_looked_at_again(
        self, path: Path, log: type[Log]
    ) -> None:
        runner = training(log(path, "loss"))
        runner.run("ab")
        with open(path, "ab") as file:
            file.write(b'{"epoch":1,"n_' if log is JsonLines else b"1,2")
        with logged("rnnr.durable") as records:
            runner.run("ab")
        assert column(path) == ["2", "2"]
        assert len(records) == 1


HOLD = """
import os, sys
from rnnr import Runner, durable

attached = getattr(durable, sys.argv[1])(sys.argv[2], "loss").attach_on(Runner())
if not os.fork():
    os.close(1)
    sys.stdin.read()
    os._exit(0)
print("attached", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
from rnnr import Runner, durable

runner = Runner()
attached = getattr(durable, sys.argv[1])(sys.argv[2], "loss").attach_on(runner)
if not (child := os.fork()):
    try:
        runner.run("abcdef")
    except ValueError as error:
        assert "another process writes it" in str(error)
        os._exit(7)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
runner.run("ab")
"""


def test_a_process_that_detaches_nothing_ends_without_a_warning(path: Path) -> None:
    program = """
import sys
from rnnr import Runner
from rnnr.durable import JsonLines
runner = Runner()
JsonLines(sys.argv[1], "loss").attach_on(runner)
runner.run("ab")
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(path)]
    assert subprocess.run(command, check=True, capture_output=True).stderr == b""
