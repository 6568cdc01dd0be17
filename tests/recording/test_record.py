"""`Record`: nothing that was recorded is lost, and nothing breaks the run."""

import errno
import gc
import itertools
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.clock import Clock, ticking
from helpers.extras import np
from helpers.faults import Boom, interrupt_at_call
from helpers.logs import lines_of, logged
from rnnr import Event, Layer, RnnrWarning, Runner, State, files
from rnnr._logs import _file
from rnnr._logs._file import LogFile, Owner
from rnnr._logs._log import Log
from rnnr._logs._repeats import Repeats
from rnnr.recording import Record, Tail, _writer, replay
from rnnr.recording._format import rows_in
from rnnr.reporting import ALL_EVENTS, Report, reports

ALL = ["STARTED", "EPOCH_STARTED", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]


def names(path: Path) -> list[str]:
    return [report.event.name for report in Tail(path).read()]


def n_iters(path: Path) -> list[int]:
    return [report.n_iters for report in Tail(path).read()]


class TestWhatIsWritten:
    def test_each_report_is_a_line(self, path: Path) -> None:
        runner = Runner()
        seen: list[Report] = []
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 0.5}, lr=0.1))
        clock = Clock()
        reports(runner, "lr", clock=clock).subscribe(seen.append)
        Record(path, "lr", clock=clock).attach_on(runner)
        runner.run(["a", "b"])
        assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ALL
        assert Tail(path).read() == seen
        assert seen[-1].metrics == {"loss": 0.5, "lr": 0.1}

    def test_what_was_recorded_before_stays(self, path: Path) -> None:
        path.write_text("something of somebody\n")
        for _ in range(2):
            runner = Runner()
            with Record(path).attach_on(runner):
                runner.run("ab")
        assert path.read_text().startswith("something of somebody\n{")
        assert names(path) == ALL * 2

    def test_a_run_that_is_resumed_elsewhere_goes_on_in_the_same_file(self, path: Path) -> None:
        runner = Runner()
        stopping = runner.on(Event.BATCH.first(1), lambda state: state.update(running=False))
        clock = Clock()
        with Record(path, clock=clock).attach_on(runner), stopping:
            runner.run("ab")
        other = Runner()
        other.state = pickle.loads(pickle.dumps(runner.state))
        clock.now = 7.0
        Record(path, clock=clock).attach_on(other)
        other.resume()
        told = [(report.event.name, report.n_iters, report.seconds) for report in Tail(path).read()]
        assert told == [
            ("STARTED", 0, 0.0),
            ("EPOCH_STARTED", 0, 0.0),
            ("STOPPED", 1, 0.0),  # the batch that stopped the run is not among the reports
            ("RESUMED", 1, 7.0),
            ("BATCH", 2, 7.0),
            ("EPOCH_FINISHED", 2, 7.0),
            ("FINISHED", 2, 7.0),
        ]

    def test_half_a_line_at_the_end_is_ended_first(self, path: Path) -> None:
        runner = Runner()
        with Record(path).attach_on(runner):
            runner.run("ab")
        with open(path, "rb+") as file:
            file.truncate(path.stat().st_size - 10)
        Record(path).attach_on(runner)
        runner.run("ab")
        tail = Tail(path)
        assert [report.event.name for report in tail.read()] == [*ALL[:-1], *ALL]
        assert tail.damaged == [6]

    def test_a_last_line_that_lacks_its_end_alone_is_not_lost(self, path: Path) -> None:
        runner = Runner()
        with Record(path).attach_on(runner):
            runner.run("ab")
        with open(path, "rb+") as file:
            file.truncate(path.stat().st_size - 1)
        Record(path).attach_on(runner)
        runner.run("ab")
        assert names(path) == ALL * 2

    def test_the_file_is_there_when_it_is_attached(self, path: Path) -> None:
        Record(path).attach_on(Runner())
        assert path.read_bytes() == b""

    def test_it_goes_on_in_a_new_file_when_the_old_one_was_moved_away(self, path: Path) -> None:
        runner = Runner()
        Record(path).attach_on(runner)
        old = path.with_suffix(".1")
        runner.on(Event.EPOCH_STARTED, lambda _: path.rename(old))
        runner.run("ab")
        assert names(old) + names(path) == ALL
        assert names(old) == ["STARTED"]

    def test_a_path_is_that_of_the_directory_in_which_it_was_given(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        runner = Runner()
        Record("run.jsonl").attach_on(runner)
        monkeypatch.chdir("/")
        runner.run("ab")
        assert names(path) == ALL

    def test_a_failure_is_recorded_with_its_traceback(self, path: Path) -> None:
        def fail(state: State) -> None:
            raise Boom("a fault")

        runner = Runner()
        runner.on(Event.BATCH, fail)
        Record(path).attach_on(runner)
        with pytest.raises(Boom):
            runner.run("ab")
        last = Tail(path).read()[-1]
        assert last.event is Event.FAILED
        assert last.error is not None
        assert "Boom: a fault" in last.error

    def test_one_odd_metric_keeps_the_others_of_its_line(self, path: Path) -> None:
        class Misbehaving:
            def __float__(self) -> float:
                raise Boom

            def __str__(self) -> str:
                raise Boom

        odd: dict[Any, Any] = {"big": 10**5000, "text": "low", "bad": Misbehaving(), None: None}
        odd |= {Misbehaving(): 0.5, "array": np.ones(3)}
        kept: dict[Any, Any] = {"loss": 0.5, 7: np.float32(0.25), "\ud800": np.bool_(True)}
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats={**odd, **kept}))
        Record(path, on=Event.BATCH).attach_on(runner)
        with logged("rnnr.recording") as records:
            runner.run("ab")
        tail = Tail(path)
        assert [report.metrics for report in tail.read()] == [
            {"loss": 0.5, "7": 0.25, "\ud800": 1.0},
            {"loss": 0.5, "7": 0.25, "\ud800": 1.0},
        ]
        assert (records, tail.n_damaged) == ([], 0)

    def test_counters_may_be_numpy_integers(self, path: Path) -> None:
        runner = Runner()
        Record(path).attach_on(runner)
        runner.on(Event.EPOCH_STARTED, lambda state: state.update(n_iters=np.int64(40)))
        runner.run("ab")
        assert n_iters(path) == [0, 40, 41, 42, 42, 42]

    def test_a_nested_run_has_a_file_of_its_own(self, path: Path) -> None:
        training, evaluation = Runner(), Runner()
        training.on(Event.EPOCH_FINISHED, lambda _: evaluation.run("c"))
        Record(path).attach_on(training)
        Record(path.with_name("evaluation.jsonl")).attach_on(evaluation)
        training.run("ab")
        assert names(path) == ALL
        inner = Tail(path.with_name("evaluation.jsonl")).read()
        assert [(report.event, report.step, report.is_inside) for report in inner] == [
            (event, 2, True)
            for event in (
                Event.STARTED,
                Event.EPOCH_STARTED,
                Event.BATCH,
                Event.EPOCH_FINISHED,
                Event.FINISHED,
            )
        ]


@given(
    n_batches=st.integers(0, 3),
    max_epoch=st.integers(0, 3),
    stops=st.sets(st.integers(1, 12), max_size=2),
    faults=st.sets(st.integers(1, 12), max_size=2),
)
def test_a_replay_tells_what_the_live_run_has_told(
    n_batches: int, max_epoch: int, stops: set[int], faults: set[int]
) -> None:
    clock, calls = Clock(), itertools.count(1)

    def act(state: State) -> None:
        call = next(calls)
        clock.now += 0.3
        state["stats"] = {"loss": 1 / call, "worst": inf, "none": float("nan")}
        if call in stops:
            state["running"] = False
        if call in faults:
            raise Boom

    runner = Runner()
    live: list[Report] = []
    recorded: list[Report] = []
    for event in set(Event) - {Event.STOPPED, Event.FAILED}:
        runner.on(event, act)
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        Record(path, clock=clock).attach_on(runner)
        reports(runner, clock=clock).subscribe(live.append)
        with suppress(Boom):
            runner.run(range(n_batches), max_epoch)
        for _ in range(len(stops | faults)):
            with suppress(Boom):
                runner.resume()
        replay(path, inf).subscribe(recorded.append)
    assert [*map(repr, recorded)] == [*map(repr, live)]


class TestWhenItIsWritten:
    def test_each_report_is_in_the_file_when_it_has_been_made(self, path: Path) -> None:
        runner, clock, seen = Runner(), Clock(), []
        runner.on(Event.BATCH, lambda state: setattr(clock, "now", state["batch"]))
        Record(path, clock=clock).attach_on(runner)
        reports(runner).subscribe(lambda report: seen.append((report, Tail(path).read()[-1])))
        nan = float("nan")
        runner.run([0.0, 0.001, 0.9, 1.0, 8.0, 1.0, 1.5, nan, 2.0, inf, 3.0, 3.001])
        assert [last.event for _, last in seen] == [report.event for report, _ in seen]
        assert [last.n_iters for _, last in seen] == [0, 0, *range(1, 13), 12, 12]

    def test_at_batches_it_looks_once_a_second_whether_the_path_is_still_the_file(
        self, path: Path
    ) -> None:
        runner, clock = Runner(), Clock()

        @runner.on(Event.BATCH)
        def move(state: State) -> None:
            clock.now = state["batch"]
            if path.exists():
                path.rename(path.with_name(str(clock.now)))

        Record(path, on=Event.BATCH, clock=clock).attach_on(runner)
        nan = float("nan")
        runner.run([0.5, 1.0, 1.25, 1.75, 2.0, 1.0, 1.5, nan, 2.5])
        files = {each.name: n_iters(each) for each in path.parent.iterdir()}
        assert files == {
            "0.5": [],  # at the first batch it looks
            "1.0": [1, 2, 3],
            "2.0": [4, 5],
            "1.5": [6, 7],
            "2.5": [8],
            "run.jsonl": [9],
        }

    @pytest.mark.parametrize("end", ["FINISHED", "STOPPED", "FAILED"])
    def test_all_that_is_selected_is_in_the_file_when_a_run_has_ended(
        self, path: Path, end: str
    ) -> None:
        def act(state: State) -> None:
            if state["n_iters"] == 4:
                state["running"] = end != "STOPPED"
                if end == "FAILED":
                    raise Boom

        runner = Runner()
        runner.on(Event.BATCH, act)
        Record(path, on=Event.BATCH, clock=Clock()).attach_on(runner)
        with suppress(Boom):
            runner.run(range(4))
        assert n_iters(path) == ([1, 2, 3, 4] if end == "FINISHED" else [1, 2, 3])

    def test_nothing_is_written_when_it_is_detached(self, path: Path) -> None:
        runner = Runner()
        recording = Record(path, clock=Clock()).attach_on(runner)
        third = reports(runner, on=Event.BATCH.where(lambda state: state["n_iters"] == 3))
        third.subscribe(lambda _: recording.dispose())
        runner.run(range(9))
        assert n_iters(path) == [0, 0, 1, 2, 3]

    def test_another_thread_may_detach_it_in_the_middle_of_a_write(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class File(LogFile):
            def write(self, data: Any) -> int:
                if not detaching.ident:
                    detaching.start()
                return super().write(data)

        runner = Runner()
        patch_file(monkeypatch, File)
        recording = Record(path, clock=Clock()).attach_on(runner)
        detaching = threading.Thread(target=recording.dispose)
        runner.run("ab")
        detaching.join(60)
        assert not detaching.is_alive()
        assert names(path) == ALL[: len(names(path))]
        assert names(path)[0] == "STARTED"

    def test_what_waited_while_another_thread_detached_it_is_not_written(self, path: Path) -> None:
        log = Log(path, "Record")
        writer = _writer.Writer(log, path, Clock(), Repeats(path, rows_in))
        log.close()
        writer.write(Report(Event.BATCH, 1, 1, 1, 0.0, {}))
        with Record(path).attach_on(Runner()):  # it has not been opened again
            pass
        assert names(path) == []

    def test_an_error_while_it_is_closed_in_the_middle_of_a_write_is_logged(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class File(LogFile):
            def write(self, data: Any) -> int:
                recording.dispose()
                return super().write(data)

            def close(self) -> None:
                is_open = not self.closed
                super().close()
                if is_open:
                    raise OSError(errno.EDQUOT, "too much")

        runner = Runner()
        patch_file(monkeypatch, File)
        recording = Record(path).attach_on(runner)
        with logged("rnnr.recording") as records:
            runner.run("ab")
        assert names(path) == ["STARTED"]
        assert len(records) == 1

    def test_a_signal_handler_may_detach_it_in_the_middle_of_a_write(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class File(LogFile):
            def write(self, data: Any) -> int:
                recording.dispose()  # as a handler that comes just now
                return super().write(data)

        runner = Runner()
        patch_file(monkeypatch, File)
        recording = Record(path).attach_on(runner)
        with logged("rnnr.recording") as records:
            runner.run("ab")
        assert (names(path), records) == (["STARTED"], [])
        with Record(path).attach_on(Runner()):  # it has been closed
            pass


def patch_file(monkeypatch: pytest.MonkeyPatch, file: Callable[[Path, Owner], LogFile]) -> None:
    """Have the writer open its file in another way."""
    monkeypatch.setattr("rnnr._logs._log.LogFile", file)


FAULTS = st.lists(
    st.sampled_from(["fine", "fine", "no file", "full", "nothing", "closing"])
    | st.integers(1, 300),
    max_size=20,
)


class Disk:
    """Opens files that do at each open and each write what the plan says, then work."""

    def __init__(self, plan: list[str | int]) -> None:
        self.plan = iter(plan)
        self.n_faults = 0

    def next(self) -> str | int:
        step = next(self.plan, "fine")
        self.n_faults += step != "fine"
        return step

    def open(self, path: Path, owner: Owner) -> "BadFile":
        if self.next() == "no file":
            raise OSError(errno.ENOENT, "gone")
        return BadFile(path, owner, self)


class BadFile(LogFile):
    """Writes less than it should, or nothing."""

    def __init__(self, path: Path, owner: Owner, disk: Disk) -> None:
        self.disk = disk
        self.fails_when_closed = False
        super().__init__(path, owner)

    def write(self, data: Any) -> int:
        step = self.disk.next()
        if step == "full":
            raise OSError(errno.ENOSPC, "full")
        if step == "nothing":
            return 0
        self.fails_when_closed = step == "closing"
        return super().write(data[:step] if isinstance(step, int) else data)

    def close(self) -> None:
        super().close()
        if self.fails_when_closed:
            raise OSError(errno.EDQUOT, "too much")


class TestWhenItCannotBeWritten:
    @given(FAULTS, st.booleans())
    def test_all_is_in_the_file_or_counted_whatever_the_disk_does(
        self, plan: list[str | int], gently: bool
    ) -> None:
        def record(path: Path) -> None:
            runner = Runner()
            on = Event.BATCH if gently else Event.BATCH | Event.EPOCH_FINISHED
            Record(path, on=on, clock=ticking(0.25)).attach_on(runner)
            runner.run(range(20), max_epoch=2)
            for _ in range(20):  # by the last of which the disk works again
                runner.run(range(2))

        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            healthy, path = Path(folder, "healthy"), Path(folder, "run.jsonl")
            record(healthy)
            disk = Disk(["fine", *plan])  # it is attached
            patch_file(patch, disk.open)
            with logged("rnnr.recording") as records:
                record(path)
            written, tail = path.read_bytes().splitlines(), Tail(path)
            expected = healthy.read_bytes().splitlines()
            n_whole = len(tail.read())

        rest = iter(expected)
        whole = [line for i, line in enumerate(written, 1) if i not in tail.damaged]
        assert len(whole) == n_whole
        assert all(line in rest for line in whole)  # in the same order
        assert tail.n_damaged <= disk.n_faults
        assert not tail.is_torn
        n_left_out = [record.args[1] for record in records if record.levelname == "WARNING"]  # type: ignore[index]
        assert n_whole + sum(n_left_out) == len(expected)  # type: ignore[arg-type]
        levels = [record.levelname for record in records]
        assert levels == ["ERROR", "WARNING"] * (len(levels) // 2)

    def test_it_is_logged_once_with_the_path_and_the_cause_and_again_when_it_works(
        self, tmp_path: Path
    ) -> None:
        folder, away = tmp_path / "folder", tmp_path / "away"
        folder.mkdir()
        path = folder / "run.jsonl"
        runner = Runner()
        Record(path, clock=ticking()).attach_on(runner)
        runner.on(Event.BATCH.first(1), lambda _: folder.rename(away))
        with logged("rnnr.recording") as records:
            runner.run("abc", max_epoch=2)
            assert len(records) == 1
            away.rename(folder)
            runner.run("ab")
        assert lines_of(records) == [
            f"ERROR: Cannot record to {path}: [Errno 2] No such file or directory: '{path}'; the "
            "run goes on, and it is tried again",
            f"WARNING: Recording to {path} again; reports left out: 7",
        ]
        assert names(path) == [*ALL[:-2], "BATCH", *ALL]  # the first three were moved with it

    def test_a_line_that_lacks_its_end_alone_is_not_counted(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Record(path, clock=Clock()).attach_on(runner := Runner()):
            runner.run("ab")
        n = path.read_bytes().index(b"\n")
        patch_file(monkeypatch, Disk(["fine", n, "full"]).open)
        Record(path, clock=Clock()).attach_on(runner)
        with logged("rnnr.recording") as records:
            runner.run("ab")
        assert names(path) == ALL * 2
        assert lines_of(records)[1:] == [f"WARNING: Recording to {path} again; reports left out: 0"]

    def test_a_disk_that_takes_nothing_is_an_error_and_no_endless_loop(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patch_file(monkeypatch, Disk(["fine", "nothing"]).open)
        Record(path).attach_on(runner := Runner())
        with logged("rnnr.recording") as records:
            runner.run("ab")
        assert names(path) == ALL[1:]
        assert "nothing was written" in lines_of(records)[0]

    def test_a_logging_handler_that_fails_does_not_break_the_run(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise Boom

        for level in ("error", "warning"):
            monkeypatch.setattr(logging.getLogger("rnnr.recording"), level, fail)
        patch_file(monkeypatch, Disk(["fine", "full"]).open)
        runner = Runner()
        Record(path).attach_on(runner)
        runner.run("ab")
        assert names(path) == ALL[1:]

    def test_it_is_tried_again_at_other_events_and_once_a_second_and_not_at_each_batch(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = Disk(["fine", *["no file"] * 99])

        def open_bad(path: Path, owner: Owner) -> BadFile:
            tried.append(runner.state.get("n_iters", -1))
            return disk.open(path, owner)

        patch_file(monkeypatch, open_bad)
        runner, clock = Runner(), Clock()
        tried: list[int] = []
        Record(path, clock=clock).attach_on(runner)
        path.unlink()
        runner.on(Event.BATCH, lambda state: setattr(clock, "now", state["batch"] / 4))
        tried.clear()
        with logged("rnnr.recording") as records:
            runner.run(range(10))
        assert tried == [0, 0, 5, 9, 10, 10]
        assert len(records) == 1

    def test_a_clock_that_tells_no_numbers_of_json_does_not_break_the_run(self, path: Path) -> None:
        clock: Any = itertools.count(Decimal(1)).__next__
        runner = Runner()
        Record(path, clock=clock).attach_on(runner)
        with logged("rnnr.recording") as records:
            runner.run("ab")
        assert names(path) == []
        assert [record.levelname for record in records] == ["ERROR"]

    def test_an_interrupt_anywhere_leaves_a_file_that_goes_on(self, path: Path) -> None:
        for n in itertools.count(1):
            runner = Runner()
            path.unlink(missing_ok=True)
            recording = Record(path, clock=Clock()).attach_on(runner)
            try:
                with interrupt_at_call(
                    n, "rnnr.recording._writer", "rnnr._logs._log", "rnnr._logs._file"
                ):
                    runner.run("ab")
                break
            except KeyboardInterrupt:
                recording.dispose()
            Record(path, clock=Clock()).attach_on(runner)
            runner.run("ab")
            tail = Tail(path)
            told = [report.event.name for report in tail.read()]
            assert told[-6:] == ALL
            assert told[:-6].count("STARTED") <= 1  # nothing is written twice
            assert tail.n_damaged == 0
        assert n > 6


class TestAttaching:
    def test_each_runner_needs_a_record_of_its_own(self, path: Path) -> None:
        record = Record(path)
        record.attach_on(Runner())
        message = (
            "a Record must be attached to one runner at a time, got a second one; write for "
            r"example Record\('evaluation.jsonl'\)"
        )
        with pytest.raises(RuntimeError, match=message):
            record.attach_on(Runner())

    def test_it_may_be_attached_again_when_it_is_detached(self, path: Path) -> None:
        record = Record(path)
        for _ in range(2):
            runner = Runner()
            recording = record.attach_on(runner)
            runner.run("ab")
            recording.dispose()
            runner.run("ab")
        assert names(path) == ALL * 2

    @pytest.mark.parametrize(
        ("place", "error", "message"),
        [
            ("file/run.jsonl", OSError, "(File exists|Not a directory)"),
            ("file/deep/run.jsonl", OSError, "Not a directory"),
            ("folder", ValueError, "got '.*folder' "),
            ("pipe", ValueError, "got '.*pipe' "),
        ],
    )
    def test_what_cannot_be_opened_is_an_error_and_nothing_is_attached(
        self, tmp_path: Path, place: str, error: type[Exception], message: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        os.mkfifo(tmp_path / "pipe")
        runner, record = Runner(), Record(tmp_path / place)
        cure = "; pass a file in a directory that you may write to"
        with pytest.raises(error, match=f"path must be a file.*{message}.*{cure}"):
            record.attach_on(runner)
        for event in Event:
            runner.stream(event).rebuild()
            assert runner.stream(event).handlers == []
        if error is OSError:
            (tmp_path / "file").unlink()
            record.attach_on(runner)  # the error has not claimed it
            assert (tmp_path / place).exists()  # in folders that were made

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((7,), {}, "path must be a path, got 7"),
            (("x", 7), {}, "a key of reports must be a string, got 7"),
            (("x",), {"on": "BATCH"}, "on must be an Event or a Selection, got 'BATCH'"),
            (("x",), {"clock": 0.0}, "clock must be callable, got 0.0"),
        ],
    )
    def test_wrong_arguments_are_refused_when_it_is_made(
        self, arguments: Any, options: Any, message: str
    ) -> None:
        with pytest.raises(TypeError, match=message):
            Record(*arguments, **options)

    def test_what_is_no_runner_is_refused_and_no_file_is_made(self, path: Path) -> None:
        runner: Any = "runner"
        with pytest.raises(TypeError, match="runner must be a Runner, got 'runner'"):
            Record(path).attach_on(runner)
        assert not path.exists()


SPELLINGS: dict[str, Callable[[Path], Any]] = {
    "the same": lambda path: path,
    "a text": str,
    "relative": lambda path: os.path.relpath(path),
    "a way back": lambda path: f"{path.parent}/../{path.parent.name}/./{path.name}",
    "a link": lambda path: linked(path, os.symlink),
    "a hard link": lambda path: linked(path, os.link),
}


def linked(path: Path, link: Callable[[Path, Path], None]) -> Path:
    link(path, path.with_name("link"))
    return path.with_name("link")


HOLD = """
import os, sys
from rnnr import Runner
from rnnr.recording import Record

recording = Record(sys.argv[1]).attach_on(Runner())
if sys.argv[2] == "with a child" and not os.fork():
    os.close(1)
    sys.stdin.read()
    os._exit(0)
print("attached", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path, how: str = "alone") -> Iterator[subprocess.Popen[bytes]]:
    """Record to a file in another process."""
    command = [sys.executable, "-c", HOLD, str(path), how]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"attached\n"
        yield process


class TestAlone:
    """A file is written by one Record at a time."""

    @pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
    def test_a_second_one_is_refused_however_the_path_is_spelled(
        self, path: Path, spelled: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        first, runner = Runner(), Runner()
        Record(path).attach_on(first)
        record = Record(spelled(path))
        with pytest.raises(
            ValueError, match=r"path must be a file that nobody else .* got '.*this"
        ):
            record.attach_on(runner)
        for event in Event:
            runner.stream(event).rebuild()
            assert runner.stream(event).handlers == []
        first.run("ab")
        assert names(path) == ALL

    def test_where_the_file_system_has_no_locks_it_is_refused_within_the_process(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.ENOLCK, "no locks")

        monkeypatch.setattr("fcntl.flock", refuse)
        runner = Runner()
        Record(path).attach_on(runner)
        with pytest.raises(ValueError, match="a Record of this process writes it"):
            Record(path).attach_on(Runner())
        runner.run("ab")
        assert names(path) == ALL

    @pytest.mark.parametrize("how", ["alone", "with a child"])
    def test_another_process_is_refused_until_it_is_dead_whatever_it_has_forked(
        self, path: Path, how: str
    ) -> None:
        with held_elsewhere(path, how) as process:
            with pytest.raises(ValueError, match="another process writes it"):
                Record(path).attach_on(Runner())
            assert names(path) == []  # who reads is not refused
            process.kill()
            process.wait(60)
            runner = Runner()
            Record(path).attach_on(runner)
            runner.run("ab")
        assert names(path) == ALL

    def test_it_is_free_again_when_the_runner_before_is_garbage(self, path: Path) -> None:
        gc.disable()  # as if it had not come to it yet
        try:
            for _ in range(3):  # as a cell of a notebook that is run again
                runner = Runner()
                runner.state["runner"] = runner
                Record(path).attach_on(runner)
                runner.run("ab")
        finally:
            gc.enable()
        assert names(path) == ALL * 3

    def test_what_was_moved_away_is_free_and_what_was_made_in_its_place_is_not(
        self, path: Path
    ) -> None:
        runner, old = Runner(), path.with_suffix(".1")
        Record(path).attach_on(runner)
        path.rename(old)
        runner.run("ab")
        with pytest.raises(ValueError, match="nobody else writes"):
            Record(path).attach_on(Runner())
        other = Runner()
        Record(old).attach_on(other)
        other.run("ab")
        assert names(path) == names(old) == ALL

    def test_a_file_that_another_one_has_made_meanwhile_is_not_shared(self, path: Path) -> None:
        first, second = Runner(), Runner()
        Record(path).attach_on(first)
        path.unlink()
        with logged("rnnr.recording") as records:
            with Record(path).attach_on(second):
                first.run("ab")
                second.run("ab")
            assert names(path) == ALL
            first.run("abc")
        assert [record.levelname for record in records] == ["ERROR", "WARNING"]
        assert "writes it: give each run its own" in records[0].getMessage()
        assert len(names(path)) == 6 + 7

    def test_a_forked_process_does_not_write_for_its_parent(self, path: Path) -> None:
        program = """
import logging, os, sys
from rnnr import Runner
from rnnr.recording import Record

logging.basicConfig()
runner = Runner()
recording = Record(sys.argv[1]).attach_on(runner)
if not (child := os.fork()):
    runner.run("abcdef")
    recording.dispose()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
runner.run("ab")
"""
        command = [sys.executable, "-W", "error", "-c", program, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr.count("another process writes it") == 1
        assert names(path) == ALL

    def test_what_a_forked_process_lets_go_of_it_can_open_again(self, path: Path) -> None:
        runner = Runner()
        Record(path).attach_on(runner)
        files._close_all()  # as after a fork
        _file._taken.clear()
        with Record(path).attach_on(Runner()):
            pass
        runner.run("ab")
        assert names(path) == ALL


# Each of them is forked for each point, so that one import serves them all.
DIE_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from rnnr import Event, Runner
from rnnr._logs import _log
from rnnr.recording import Record

def record(path, clock):
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1 / state["n_iters"]}))
    with Record(path, clock=clock).attach_on(runner):
        runner.run(range(3), max_epoch=2)

class Deadly(_log.LogFile):
    def write(self, data):
        here = self.seek(0, os.SEEK_END)
        n = super().write(data[: point - here])
        if here + n == point:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

folder = Path(sys.argv[1])
record(folder / "healthy", lambda: 0.0)
_log.LogFile = Deadly
for point in range(0, (folder / "healthy").stat().st_size, 7):
    child = os.fork()
    if not child:
        record(folder / str(point), lambda: 0.0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""
DIE_IN_A_BATCH = """
import os, signal, sys
from pathlib import Path
from rnnr import Event, Runner
from rnnr.recording import Record

for n in range(1, 30):
    if not (child := os.fork()):
        runner = Runner()
        now = 0.0
        @runner.on(Event.BATCH)
        def work(state):
            global now
            now += 0.3
            if state["n_iters"] == n:
                os.kill(os.getpid(), signal.SIGKILL)
        Record(Path(sys.argv[1], str(n)), clock=lambda: now).attach_on(runner)
        runner.run(range(30))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


DIE_AND_RESUME = """
import os, pickle, signal, sys
from pathlib import Path
from rnnr import Event, Runner
from rnnr.recording import Record
from rnnr.reporting import reports

folder, moment, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def die(at, state):
    if (at, state["n_iters"]) == (moment, n):
        os.kill(os.getpid(), signal.SIGKILL)

runner = Runner()

@runner.on(Event.BATCH)
def train(state):
    state["stats"] = {"loss": 1 / state["n_iters"]}
    die("unsaved", state)
    (folder / "aside").write_bytes(pickle.dumps(state))
    os.replace(folder / "aside", folder / "state")
    die("saved", state)

Record(folder / "run.jsonl").attach_on(runner)
reports(runner, on=Event.BATCH).subscribe(lambda _: die("recorded", runner.state))
runner.on(Event.EPOCH_STARTED, lambda state: die("begun", state))
runner.on(Event.EPOCH_FINISHED, lambda state: die("ended", state))
if (folder / "state").exists():
    runner.state = pickle.loads((folder / "state").read_bytes())
    runner.resume()
else:
    runner.run(range(40), max_epoch=3)
"""


class TestKills:
    def test_a_file_reads_to_its_last_whole_line_and_goes_on_after_it(self, tmp_path: Path) -> None:
        subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, str(tmp_path)], check=True)
        healthy = (tmp_path / "healthy").read_bytes()
        expected = Tail(tmp_path / "healthy").read()
        points = range(0, len(healthy), 7)
        for point in points:
            path, n_whole = tmp_path / str(point), healthy.count(b"\n", 0, point)
            assert path.read_bytes() == healthy[:point]
            tail = Tail(path)
            assert tail.read() == expected[:n_whole]
            is_torn = healthy[:point].endswith(b"\n") is False and point > 0
            assert tail.is_torn is is_torn

            runner = Runner()
            with Record(path).attach_on(runner):
                runner.run("ab")
            told = [report.event.name for report in tail.read()]
            assert told[-6:] == ALL
            lacks_its_end_alone = healthy[point : point + 1] == b"\n"
            assert tail.n_damaged == (is_torn and not lacks_its_end_alone)
        assert len(points) > 150

    def test_a_kill_loses_the_batch_alone_in_which_it_comes(self, tmp_path: Path) -> None:
        subprocess.run([sys.executable, "-c", DIE_IN_A_BATCH, str(tmp_path)], check=True)
        for n in range(1, 30):
            assert n_iters(tmp_path / str(n)) == [0, 0, *range(1, n)]

    def test_a_run_that_is_killed_and_resumed_again_and_again_has_a_row_for_each_batch(
        self, tmp_path: Path
    ) -> None:
        command = [sys.executable, "-c", DIE_AND_RESUME, str(tmp_path)]
        moments = ["unsaved 7", "saved 7", "saved 19", "recorded 23", "saved 40", "ended 40"]
        moments += ["begun 40", "unsaved 41", "recorded 60", "saved 77", "ended 80"]
        for moment in moments:
            assert subprocess.run([*command, *moment.split()]).returncode == -signal.SIGKILL
        subprocess.run([*command, "never", "0"], check=True)
        seen = Tail(tmp_path / "run.jsonl").read()
        # The callback that saves comes before the report of its batch. If the kill comes between
        # them, the batch is not made again: RESUMED reports what the state holds of it.
        rows = [report for report in seen if report.event in (Event.BATCH, Event.RESUMED)]
        assert {report.n_iters: report.metrics for report in rows if report.n_iters} == {
            n: {"loss": 1 / n} for n in range(1, 121)
        }
        assert [report.event.name for report in seen].count("RESUMED") == len(moments)
        assert seen[-1].event is Event.FINISHED


def test_nothing_is_left_open_when_nobody_detaches(path: Path) -> None:
    program = """
import sys
from rnnr import Runner
from rnnr.recording import Record
runner = Runner()
Record(sys.argv[1]).attach_on(runner)
runner.run("ab")
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(path)]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stderr == b""
    assert names(path) == ALL


class TestWhatASavedStateWillNotMakeAgain:
    """The process is killed after its state was saved and before the report of that event."""

    @staticmethod
    def killed(path: Path, event: Event, n: int, **settings: Any) -> State:
        """Run until a state is saved, and the process is gone; return that state."""
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
        recording = Record(path, **settings).attach_on(runner)
        saved: list[bytes] = []

        @runner.on(event)
        def save(state: State) -> None:
            if state[str(event.counter)] == n and not saved:
                saved.append(pickle.dumps(state))
                recording.dispose()  # what a kill does

        runner.run(range(3), max_epoch=3)
        state: State = pickle.loads(saved[0])
        return state

    @pytest.mark.parametrize(
        ("event", "n", "on"),
        [
            (Event.BATCH, 5, ALL_EVENTS),
            (Event.BATCH, 5, Event.BATCH),
            (Event.BATCH, 6, Event.BATCH.every(3)),
            (Event.EPOCH_FINISHED, 2, ALL_EVENTS),
            (Event.EPOCH_FINISHED, 1, Event.EPOCH_FINISHED),
        ],
        ids=str,
    )
    def test_is_written_when_another_process_goes_on(
        self, path: Path, event: Event, n: int, on: Any
    ) -> None:
        state = self.killed(path, event, n, on=on)
        runner = Runner()
        runner.state = state
        Record(path, on=on).attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
        runner.resume()
        undisturbed = Runner()
        whole = path.with_suffix(".whole")
        Record(whole, on=on).attach_on(undisturbed)
        undisturbed.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
        undisturbed.run(range(3), max_epoch=3)

        def told(file: Path) -> list[Any]:
            return [
                (report.event, report.epoch, report.n_iters, report.metrics)
                for report in Tail(file).read()
                if report.event is not Event.RESUMED
            ]

        assert told(path) == told(whole)

    def test_is_not_written_twice(self, path: Path) -> None:
        runner = Runner()

        def stop(state: State) -> None:
            state["running"] = state["n_iters"] != 2

        with Record(path).attach_on(runner):
            runner.stream(Event.BATCH).add(stop, layer=Layer.DISPLAY)  # after the report
            runner.run("abc")
        with Record(path).attach_on(runner):
            runner.resume()
        written = [report.n_iters for report in Tail(path).read() if report.event is Event.BATCH]
        assert written == [1, 2, 3]

    def test_a_file_that_cannot_be_read_is_gone_on_with(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = self.killed(path, Event.BATCH, 2)

        last_bytes = LogFile.last_bytes

        def unreadable(file: LogFile, n: int) -> bytes:
            if n > 1:
                raise OSError(errno.EIO, "unreadable")
            return last_bytes(file, n)

        monkeypatch.setattr(LogFile, "last_bytes", unreadable)
        runner = Runner()
        runner.state = state
        Record(path).attach_on(runner)
        runner.resume()
        assert names(path)[-1] == "FINISHED"

    @pytest.mark.parametrize("fault", ["clock", "selection"])
    def test_a_report_that_cannot_be_made_breaks_no_run(self, path: Path, fault: str) -> None:
        runner, clock = Runner(), Clock()
        runner.state = self.killed(path, Event.BATCH, 2)
        on: Any = ALL_EVENTS
        if fault == "clock":
            runner.state["_started_at"] = "nonsense"
        else:
            on = Event.BATCH.where(lambda state: state["no such key"]) | Event.FINISHED
        runner.on(Event.RESUMED, lambda state: state.pop("_started_at"))
        Record(path, on=on if fault == "clock" else on | Event.FINISHED, clock=clock).attach_on(
            runner
        )
        subscription = runner.on(Event.BATCH, lambda state: state.update({"no such key": 1}))
        logging.disable()
        try:
            runner.resume()
        finally:
            logging.disable(logging.NOTSET)
            subscription.dispose()
        assert names(path)[-1] == "FINISHED"

    @pytest.mark.parametrize("event", [Event.EPOCH_STARTED, Event.EPOCH_FINISHED], ids=str)
    def test_is_written_also_where_an_earlier_run_had_such_a_report(
        self, path: Path, event: Event
    ) -> None:
        earlier = Runner()
        with Record(path).attach_on(earlier):
            earlier.run(range(3), max_epoch=3)
        runner = Runner()
        runner.state = self.killed(path, event, 1)
        Record(path).attach_on(runner)
        runner.resume()
        assert names(path).count(event.name) == 6

    def test_nothing_is_written_where_the_state_is_older_than_the_recording(
        self, path: Path
    ) -> None:
        runner = Runner()
        runner.state = self.killed(path, Event.BATCH, 2)
        longer = Runner()
        longer.state = pickle.loads(pickle.dumps(runner.state))
        with Record(path).attach_on(longer):
            longer.resume()
        before = len(names(path))
        Record(path).attach_on(runner)
        runner.resume()
        assert names(path)[before] == "RESUMED"


class TestCuttingBack:
    """A run that goes on from a saved state leaves the file of an undisturbed one."""

    @staticmethod
    def training(record: Record | None = None, noise: float = 0.0) -> Runner:
        runner = Runner()
        runner.on(
            Event.BATCH,
            lambda state: state.update(stats={"loss": 1 / state["n_iters"] + noise}),
        )
        if record is not None:
            record.attach_on(runner)
        return runner

    @staticmethod
    def told(path: Path, *without: Event) -> list[Any]:
        return [
            (report.event, report.epoch, report.n_iters, report.metrics)
            for report in Tail(path).read()
            if report.event not in without
        ]

    def killed(self, path: Path, n: int, died: int, layer: Layer = Layer.SAVE) -> tuple[bytes, str]:
        """Run until the process dies; return the state and the position that it has saved."""
        record = Record(path)
        runner, kept = self.training(), list[tuple[bytes, str]]()
        if layer is Layer.SAVE:
            kept.append((pickle.dumps({}), json.dumps(record.state_dict())))

        def save(state: State) -> None:
            if state["n_iters"] == n:
                kept.append((pickle.dumps(state), json.dumps(record.state_dict())))

        for event in (Event.BATCH, Event.EPOCH_FINISHED):
            runner.stream(event).add(save, layer=layer)
        with record.attach_on(runner) as attached:
            fail = Event.BATCH.where(lambda state: state["n_iters"] == died)
            runner.on(fail, lambda _: attached.dispose())  # what a kill does
            runner.run(range(3), max_epoch=3)
        return kept[-1]

    @given(
        n=st.integers(0, 9), died=st.integers(1, 10), first=st.booleans(), torn=st.integers(0, 9)
    )
    def test_reports_are_neither_lost_nor_repeated(
        self, n: int, died: int, first: bool, torn: int
    ) -> None:
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr("os.fsync", lambda _: None)  # it takes most of the time
            path, whole = Path(folder, "run"), Path(folder, "whole")
            self.training(Record(whole)).run(range(3), max_epoch=3)
            state, position = self.killed(path, min(n, died - 1), died)
            with open(path, "ab") as file:
                file.write(b'{"event":'[:torn])
            record = Record(path)
            runner = self.training(record if first else None)
            runner.state = pickle.loads(state)
            record.load_state_dict(json.loads(position))
            if not first:
                record.attach_on(runner)
            if runner.state:
                runner.resume()
            else:
                runner.run(range(3), max_epoch=3)
            assert self.told(path, Event.RESUMED) == self.told(whole)
            assert Tail(path).n_damaged == 0

    @pytest.mark.parametrize("n", [2, 3, 6])
    def test_what_a_callback_saved_before_its_report_is_written(self, path: Path, n: int) -> None:
        state, position = self.killed(path, n, 8, Layer.USER)
        record = Record(path)
        runner = self.training(record)
        runner.state = pickle.loads(state)
        record.load_state_dict(json.loads(position))
        runner.resume()
        whole = path.with_suffix(".whole")
        self.training(Record(whole)).run(range(3), max_epoch=3)
        assert self.told(path, Event.RESUMED) == self.told(whole)

    def test_in_the_same_process_too(self, path: Path) -> None:
        record = Record(path)
        runner, kept = self.training(record), list[Any]()
        save = lambda state: kept.append(pickle.dumps((state, record.state_dict())))  # noqa: E731
        runner.stream(Event.BATCH).add(save, layer=Layer.SAVE)
        runner.run(range(3), max_epoch=3)
        whole = self.told(path)
        runner.state, position = pickle.loads(kept[4])
        record.load_state_dict(position)
        runner.resume()
        assert self.told(path, Event.RESUMED) == whole

    def test_a_longer_run_is_exact(self, path: Path) -> None:
        state, position = self.killed(path, 9, 10)
        record = Record(path)
        runner = self.training(record)
        runner.state = pickle.loads(state)
        record.load_state_dict(json.loads(position))
        runner.state["max_epoch"] = 4
        runner.resume()
        assert n_iters(path)[-2:] == [12, 12]

    def test_the_first_report_that_differs_is_a_warning_with_both(self, path: Path) -> None:
        state, position = self.killed(path, 4, 8)
        record = Record(path, clock=lambda: 7.0)
        runner = self.training(record, noise=0.5)
        runner.state = pickle.loads(state)
        record.load_state_dict(json.loads(position))
        message = (
            r'expected {"event": "BATCH", "epoch": 2, "n_iters": 5, "metrics": {"loss": 0.2}, .*, '
            r'got {"event": "BATCH", "epoch": 2, "n_iters": 5, "metrics": {"loss": 0.7}, '
        )
        with pytest.warns(RnnrWarning, match=message) as caught:
            runner.resume()
        assert [warning.filename for warning in caught] == [__file__]
        assert names(path)[-1] == "FINISHED"

    def test_the_warning_is_an_error_where_the_user_wants_it(self, path: Path) -> None:
        state, position = self.killed(path, 4, 8)
        record = Record(path)
        runner = self.training(record, noise=0.5)
        runner.state = pickle.loads(state)
        record.load_state_dict(json.loads(position))
        with pytest.raises(RnnrWarning, match="must write the rows again"):
            runner.resume()

    def test_a_file_that_is_shorter_or_another_is_refused_and_not_changed(self, path: Path) -> None:
        _, position = self.killed(path, 4, 8)
        text = path.read_bytes()
        for contents in (text[:30], text.replace(b"BATCH", b"batch")):
            path.write_bytes(contents)
            with pytest.raises(ValueError, match="must be the one that was saved"):
                Record(path).load_state_dict(json.loads(position))
            assert path.read_bytes() == contents

    @pytest.mark.parametrize("is_attached", [True, False])
    def test_a_file_that_cannot_be_written_breaks_no_run(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, is_attached: bool
    ) -> None:
        def fail(_: int) -> None:
            raise OSError(errno.EIO, "no disk")

        record = Record(path)
        runner = self.training(record if is_attached else None)
        path.touch()
        with pytest.MonkeyPatch.context() as patch, logged("rnnr.recording") as records:
            patch.setattr("os.fsync", fail)
            state = record.state_dict()
            runner.run("ab")
        assert state == {"offset": None, "mark": ""}
        levels = [record.levelname for record in records]
        assert levels == (["ERROR", "WARNING"] if is_attached else ["ERROR"])
        before = path.read_bytes()
        record.load_state_dict(state)
        assert path.read_bytes() == before

    def test_a_file_that_cannot_be_closed_is_logged(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patch_file(monkeypatch, Disk(["fine", *["closing"] * 6]).open)
        with logged("rnnr.recording") as records:
            self.training(Record(path)).run("ab")
        assert [record.levelname for record in records] == ["ERROR"]
        assert names(path) == ALL


class TestBetweenRuns:
    def test_the_file_is_closed_and_still_taken(self, path: Path) -> None:
        runner, before = Runner(), n_open_files()
        Record(path).attach_on(runner)
        runner.run("ab")
        assert n_open_files() == before
        with pytest.raises(ValueError, match="nobody else writes"):
            Record(path).attach_on(Runner())
        runner.run("ab")
        assert names(path) == ALL * 2

    def test_it_is_free_once_the_runner_is_gone_whatever_is_kept_of_it(self, path: Path) -> None:
        kept = []
        for _ in range(2):  # as a cell of a notebook that is run twice
            runner = Runner()
            kept.append(Record(path).attach_on(runner))
            runner.run("ab")
            del runner
        assert names(path) == ALL * 2

    def test_it_is_taken_before_the_first_run_also_if_the_runner_is_gone(self, path: Path) -> None:
        first = Record(path).attach_on(Runner())
        with pytest.raises(ValueError, match="nobody else writes"):
            Record(path).attach_on(Runner())
        first.dispose()
        Record(path).attach_on(Runner())

    def test_one_whose_file_is_gone_goes_on_though_another_has_its_place_on_the_disk(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = Runner(), Runner()
        Record(path).attach_on(first)
        first.run("ab")
        moved = path.with_suffix(".1")
        path.rename(moved)  # what a new file that gets the number of a deleted one looks like
        Record(moved).attach_on(second)
        first.run("ab")
        assert names(path) == ALL

    def test_what_is_not_there_any_more_is_not_taken(self, path: Path) -> None:
        first, second = Runner(), Runner()
        Record(path).attach_on(first)
        first.run("ab")
        moved = path.with_suffix(".1")
        path.rename(moved)
        Record(moved).attach_on(second)
        second.run("ab")
        assert names(moved) == ALL * 2


def n_open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
