"""`checkpoint` of the best by a metric, and the stable name: against a second implementation."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from math import inf, isnan, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.checkpoints import side_by_side
from helpers.extras import np, torch
from rnnr import Event, Runner
from rnnr.callbacks import checkpoint
from rnnr.state import State, run_memory

VALUES = st.lists(
    st.floats() | st.sampled_from([nan, inf, -inf, 0.0, 1.0, 2.0]), min_size=1, max_size=9
)
MODES = st.sampled_from(["min", "max"])


def names(folder: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> Any:
    """Return what a checkpoint holds."""
    return pickle.loads(path.read_bytes())


def best_of(values: list[float], mode: str, n: int) -> list[int]:
    """Return the numbers from 1 of the n best, the best first; of equal ones, the first are."""
    numbers = [number for number, value in enumerate(values, start=1) if not isnan(value)]
    sign = 1 if mode == "min" else -1
    return sorted(numbers, key=lambda number: (sign * values[number - 1], number))[:n]


def run(values: list[Any], *callbacks: Any, runner: Runner | None = None) -> Runner:
    """Run an epoch for each value of the loss; a model tells its epoch."""
    runner = runner or Runner()
    losses = dict(enumerate(values, start=1))

    @runner.on(Event.EPOCH_FINISHED)
    def evaluate(state: State) -> None:
        state.update(model=state["epoch"], loss=losses[state["epoch"]])

    runner.on(Event.EPOCH_FINISHED, callbacks)
    runner.run([0], max_epoch=len(values))
    return runner


class TestTheBest:
    @given(VALUES, MODES, st.integers(1, 4))
    def test_are_those_that_the_judge_keeps_after_each_epoch_also_over_pickles(
        self, values: list[float], mode: str, n: int
    ) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name)
            state: State = {}
            for epoch, value in enumerate(values, start=1):
                state.update(epoch=epoch, loss=value, model=epoch)
                save = checkpoint(
                    "model", under=folder, best="loss", mode=mode, at_most=n, link="best.pkl"
                )
                save(state)
                state = pickle.loads(pickle.dumps(state))
                best = best_of(values[:epoch], mode, n)
                expected = [f"{one}_model.pkl" for one in best]
                assert names(folder) == sorted([*expected, *(["best.pkl"] if best else [])])
                if best:
                    assert content(folder / "best.pkl") == best[0]
                queue = [path.name for path in state["_saved_model"]]
                assert queue == [f"{one}_model.pkl" for one in sorted(best)]

    def test_are_written_only_if_they_are_among_them(self, tmp_path: Path) -> None:
        written: list[str] = []

        def using(model: Any, path: Path) -> None:
            written.append(path.name)
            path.touch()

        run(
            [0.5, nan, 0.6, 0.6, 0.4, 0.7, 0.3],
            checkpoint("model", under=tmp_path, best="loss", at_most=2, using=using),
        )
        assert written == [f"{epoch}_model.pkl" for epoch in (1, 3, 5, 7)]

    def test_of_a_name_that_is_always_the_same_are_the_one_best(self, tmp_path: Path) -> None:
        best = checkpoint("model", under=tmp_path, best="loss", at_most=3, prefix_fmt="")
        run([0.5, 0.25, 0.75, 0.25], best)
        assert names(tmp_path) == ["model.pkl"]
        assert content(tmp_path / "model.pkl") == 2

    def test_begin_again_in_a_new_run_which_leaves_the_files_of_the_last(
        self, tmp_path: Path
    ) -> None:
        runner = Runner()
        fmt = "{fold}-{epoch}_"
        best = checkpoint("model", under=tmp_path, best="loss", prefix_fmt=fmt)
        runner.state["fold"] = 1
        run([0.5, 0.25, 0.75], best, runner=runner)
        runner.state["fold"] = 2
        runner.run([0], max_epoch=1)
        assert names(tmp_path) == ["1-2_model.pkl", "2-1_model.pkl"]

    def test_make_room_where_one_was_deleted_by_hand(self, tmp_path: Path) -> None:
        def tidy(state: State) -> None:
            if state["epoch"] == 3:
                (tmp_path / "2_model.pkl").unlink()

        best = checkpoint("model", under=tmp_path, best="loss", at_most=2, link="best.pkl")
        runner = run([0.5, 0.25, 0.75, 0.625, 0.875], best, tidy)
        assert names(tmp_path) == ["1_model.pkl", "4_model.pkl", "best.pkl"]
        assert content(tmp_path / "best.pkl") == 1
        assert [path.name for path in runner.state["_saved_model"]] == names(tmp_path)[:2]

    @pytest.mark.parametrize(
        "number",
        [
            lambda value: torch.tensor(value, dtype=torch.float16),
            lambda value: torch.tensor([value], dtype=torch.bfloat16, requires_grad=True),
            lambda value: np.float32(value),
            lambda value: np.array(value, np.float16),
            lambda value: int(value * 4),
        ],
    )
    def test_may_be_told_by_any_number(
        self, tmp_path: Path, number: Callable[[float], Any]
    ) -> None:
        values = [number(value) for value in (0.5, 0.25, 0.75)]
        run(values, checkpoint("model", under=tmp_path, best="loss", mode="max"))
        assert names(tmp_path) == ["3_model.pkl"]

    def test_may_have_their_value_in_their_name(self, tmp_path: Path) -> None:
        values = [torch.tensor(value, dtype=torch.float16) for value in (0.5, 0.25, 0.75)]
        best = checkpoint("model", under=tmp_path, best="loss", prefix_fmt="{epoch}-{loss:.3f}_")
        run(values, best)
        assert names(tmp_path) == ["2-0.250_model.pkl"]

    def test_of_a_flag_are_the_best_of_those_for_which_it_is_true(self, tmp_path: Path) -> None:
        def flag(state: State) -> None:
            state["is_valid"] = state["epoch"] != 2

        best = checkpoint("model", under=tmp_path, best="loss", when="is_valid")
        run([0.5, 0.25, 0.375], flag, best)
        assert names(tmp_path) == ["3_model.pkl"]

    def test_are_kept_in_a_state_that_is_saved_in_the_file(self, tmp_path: Path) -> None:
        state: State = {}
        for epoch, value in enumerate([0.5, 0.25, 0.75], start=1):
            state.update(epoch=epoch, loss=value)
            checkpoint("run", state, under=tmp_path, best="loss", at_most=2)(state)
            state = content(tmp_path / f"{epoch}_run.pkl") if epoch < 3 else state
        assert names(tmp_path) == ["1_run.pkl", "2_run.pkl"]

    def test_are_as_they_were_where_a_writer_fails(self, tmp_path: Path) -> None:
        def using(model: Any, path: Path) -> None:
            if model == "bad":
                raise OSError(errno.ENOSPC, "full")
            path.write_bytes(pickle.dumps(model))

        save = checkpoint("model", under=tmp_path, best="loss", prefix_fmt="", using=using)
        state: State = {"loss": 0.5, "model": "good"}
        save(state)
        with pytest.raises(OSError, match="full"):
            save(state | {"loss": 0.25, "model": "bad"})
        save(state | {"loss": 0.375, "model": "better"})
        assert content(tmp_path / "model.pkl") == "better"

    @pytest.mark.parametrize("is_touched", [False, True])
    def test_are_without_the_fragment_that_a_writer_leaves_in_their_place(
        self, is_touched: bool, tmp_path: Path
    ) -> None:
        def using(model: Any, path: Path) -> None:
            if model == "bad":
                if is_touched:
                    path.write_bytes(b"half of it")
                raise OSError(errno.ENOSPC, "full")
            path.write_bytes(pickle.dumps(model))

        save = checkpoint("model", under=tmp_path, best="loss", prefix_fmt="", using=using)
        state: State = {"loss": 0.5, "model": "good"}
        save(state)
        with pytest.raises(OSError, match="full"):
            save(state | {"loss": 0.25, "model": "bad"})
        save(state | {"loss": 0.75, "model": "whole"})
        assert content(tmp_path / "model.pkl") == ("whole" if is_touched else "good")

    def test_without_a_memory_of_their_values_are_the_worst(self, tmp_path: Path) -> None:
        save = checkpoint("model", 1, under=tmp_path, best="loss", at_most=2)
        state: State = {}
        for epoch, value in enumerate([0.25, 0.5], start=1):
            state.update(epoch=epoch, loss=value)
            save(state)
        run_memory(state).clear()
        save(state | {"epoch": 3, "loss": 9.0})
        assert names(tmp_path) == ["1_model.pkl", "3_model.pkl"]


class TestBesideAnother:
    @side_by_side
    def test_the_best_and_the_last_are_both_kept(
        self,
        tmp_path: Path,
        same_folder: bool,
        prefixes: tuple[str, str],
        queues: tuple[str, str],
        best_first: bool,
    ) -> None:
        folders = [tmp_path] * 2 if same_folder else [tmp_path / "best", tmp_path / "last"]
        both = [
            checkpoint("model", under=folder, best=best, prefix_fmt=fmt, queue_fmt=queue, at_most=2)
            for folder, best, fmt, queue in zip(
                folders, ["loss", None], prefixes, queues, strict=True
            )
        ]
        run([0.5, 0.125, 0.75, 0.25, 0.75, 0.875], *(both if best_first else both[::-1]))
        kept = {
            str(folder / f"{fmt.format(epoch=epoch)}model.pkl"): epoch
            for folder, fmt, epochs in zip(folders, prefixes, [(2, 4), (5, 6)], strict=True)
            for epoch in epochs
        }
        found = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {str(path): content(path) for path in found} == kept

    def test_the_best_by_two_metrics_share_a_file_until_neither_keeps_it(
        self, tmp_path: Path
    ) -> None:
        def evaluate(state: State) -> None:
            state["accuracy"] = [0.5, 0.75, 0.625, 0.25][state["epoch"] - 1]

        by_loss = checkpoint("model", under=tmp_path, best="loss")
        by_accuracy = checkpoint("model", under=tmp_path, best="accuracy", mode="max")
        run([0.5, 0.25, 0.125, 0.75], evaluate, by_loss, by_accuracy)
        assert names(tmp_path) == ["2_model.pkl", "3_model.pkl"]

    @pytest.mark.parametrize("best_first", [True, False])
    def test_of_one_constant_name_are_refused_and_nothing_is_reserved(
        self, tmp_path: Path, best_first: bool
    ) -> None:
        best, last = (
            checkpoint("model", 1, under=tmp_path, best=best, prefix_fmt="")
            for best in ("loss", None)
        )
        first, second = (best, last) if best_first else (last, best)
        runner = Runner()
        attached = runner.on(Event.EPOCH_FINISHED, first)
        expected = (
            r"prefix_fmt must be a file name that no other part of this runner writes, got '.*"
            r"model.pkl'.*; checkpoint\('model'\) writes it; choose another name"
        )
        with pytest.raises(ValueError, match=expected):
            runner.on(Event.EPOCH_FINISHED, second)
        attached.dispose()
        runner.on(Event.EPOCH_FINISHED, second)

    def test_of_one_link_are_refused(self, tmp_path: Path) -> None:
        runner = Runner()
        both = [
            checkpoint("model", 1, under=tmp_path, best=best, link="best.pkl")
            for best in ("loss", "error")
        ]
        with pytest.raises(ValueError, match=r"link must be a file name that no other part"):
            runner.on(Event.EPOCH_FINISHED, both)

    @pytest.mark.parametrize("queue_fmt", ["_saved_{what}", "last {what}"])
    def test_what_is_among_the_best_is_not_overwritten_at_another_moment(
        self, tmp_path: Path, queue_fmt: str
    ) -> None:
        best = checkpoint("model", under=tmp_path, best="loss", at_most=2)
        last = checkpoint("model", under=tmp_path, queue_fmt=queue_fmt)
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(loss=1.0, model=state["n_iters"]))
        runner.on(Event.BATCH.once(), best)
        runner.on(Event.EPOCH_FINISHED, last)
        expected = (
            r"prefix_fmt must be one that leaves .*1_model.pkl alone, one of the best of another "
            r"part, got '{epoch}_model.pkl'.*; write for example prefix_fmt='best_{epoch}_'"
        )
        with pytest.raises(ValueError, match=expected):
            runner.run([1, 2])
        assert content(tmp_path / "1_model.pkl") == 1


# What is killed, and which file the stable name leads to then.
KILLS = {
    "before the link": ("os.link = kill", 1),
    "before it is in place": ("replace_later(2, kill)", 1),
    "after it was in place": ("replace_later(2, lambda *both: kill(replace(*both)))", 2),
    "before the older file is deleted": ("Path.unlink = kill", 2),
}
SAVE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from rnnr.callbacks import checkpoint

replace = os.replace
n_calls = 0

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def replace_later(n, function):
    def counted(*both):
        global n_calls
        n_calls += 1
        return function(*both) if n_calls == n else replace(*both)
    os.replace = counted

state = {"epoch": 1, "loss": 0.5, "model": 1}
save = checkpoint("model", under=sys.argv[1], best="loss", link="best.pkl")
save(state)
exec(sys.argv[2])
state.update(epoch=2, loss=0.25, model=2)
save(state)
"""


class TestTheStableName:
    def test_leads_to_the_newest_where_nothing_is_best(self, tmp_path: Path) -> None:
        run([1, 2, 3], checkpoint("model", under=tmp_path, link="last.pkl", at_most=2))
        assert names(tmp_path) == ["2_model.pkl", "3_model.pkl", "last.pkl"]
        assert (tmp_path / "last.pkl").samefile(tmp_path / "3_model.pkl")

    def test_is_made_again_by_the_next_save_of_a_file_that_is_not_the_best(
        self, tmp_path: Path
    ) -> None:
        def spoil(_: State) -> None:
            (tmp_path / "best.pkl").unlink(missing_ok=True)

        best = checkpoint("model", under=tmp_path, best="loss", at_most=9, link="best.pkl")
        run([0.5, 0.25, 0.75], spoil, best)
        assert content(tmp_path / "best.pkl") == 2

    @pytest.mark.parametrize(("fault", "survivor"), KILLS.values(), ids=KILLS)
    def test_leads_to_a_whole_file_after_a_kill(
        self, tmp_path: Path, fault: str, survivor: int
    ) -> None:
        command = [sys.executable, "-c", SAVE_AND_DIE, str(tmp_path), fault]
        died = subprocess.run(command, check=False)
        assert died.returncode == -signal.SIGKILL
        assert content(tmp_path / "best.pkl") == survivor
        checkpoint("model", 3, under=tmp_path, best="loss", link="best.pkl")(
            {"epoch": 3, "loss": 0.0}
        )
        assert content(tmp_path / "best.pkl") == 3
        assert not [name for name in names(tmp_path) if name.startswith(".")]

    def test_is_made_while_another_run_saves_into_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replace = os.replace

        def after_the_other(temporary: Path, path: Path) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", replace)
                checkpoint("other", 1, under=tmp_path, prefix_fmt="")({})
            replace(temporary, path)

        monkeypatch.setattr("rnnr._links.os.replace", after_the_other)
        run([0.5, 0.25], checkpoint("model", under=tmp_path, best="loss", link="best.pkl"))
        assert names(tmp_path) == ["2_model.pkl", "best.pkl", "other.pkl"]
        assert (tmp_path / "best.pkl").samefile(tmp_path / "2_model.pkl")

    def test_is_a_copy_where_the_file_system_has_no_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
        best = checkpoint("model", under=tmp_path, best="loss", at_most=2, link="best.pkl")
        run([0.5, 0.25, 0.75], best)
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl", "best.pkl"]
        assert content(tmp_path / "best.pkl") == 2
        assert not (tmp_path / "best.pkl").samefile(tmp_path / "2_model.pkl")

    def test_replaces_a_link_of_the_users_and_not_what_that_leads_to(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("mine")
        (tmp_path / "best.pkl").symlink_to("precious")
        run([0.5], checkpoint("model", under=tmp_path, best="loss", link="best.pkl"))
        assert (tmp_path / "precious").read_text() == "mine"
        assert content(tmp_path / "best.pkl") == 1

    def test_is_a_symbolic_link_to_a_folder(self, tmp_path: Path) -> None:
        def using(model: Any, path: Path) -> None:
            path.mkdir()
            (path / "weights").write_text(str(model))

        best = checkpoint("model", under=tmp_path, best="loss", link="best", using=using)
        run([0.5, 0.25, 0.75], best)
        assert names(tmp_path) == ["2_model.pkl", "best"]
        assert os.readlink(tmp_path / "best") == "2_model.pkl"
        assert (tmp_path / "best" / "weights").read_text() == "2"

    def test_keeps_what_it_leads_to_while_a_writer_writes_over_it(self, tmp_path: Path) -> None:
        seen: list[str] = []

        def using(model: Any, path: Path) -> None:
            with path.open("w") as file:
                if model == 2:
                    seen.append((tmp_path / "last").read_text())
                file.write(f"model {model}")

        last = checkpoint("model", under=tmp_path, link="last", using=using)
        state: State = {"epoch": 1}
        for state["model"] in (1, 2):
            last(state)
        assert seen == ["model 1"]
        assert (tmp_path / "last").read_text() == "model 2"

    def test_to_a_file_that_a_writer_has_not_made_is_an_error(self, tmp_path: Path) -> None:
        last = checkpoint("model", 1, under=tmp_path, link="last", using=lambda *_: None)
        with pytest.raises(FileNotFoundError, match=r"1_model\.pkl"):
            last({"epoch": 1})

    @pytest.mark.parametrize("link", ["", ".", "..", "a/b", "/tmp/a"])
    def test_that_is_no_name_of_a_file_is_refused(self, tmp_path: Path, link: str) -> None:
        expected = "link must be the name of a file, without a folder, got .*; write for example"
        with pytest.raises(ValueError, match=expected):
            checkpoint("model", under=tmp_path, link=link)

    def test_that_is_the_name_of_a_file_of_the_checkpoint_is_refused_then(
        self, tmp_path: Path
    ) -> None:
        last = checkpoint("model", 1, under=tmp_path, link="2_model.pkl", at_most=2)
        last({"epoch": 1})
        expected = "link must be another name than that of a file, got '2_model.pkl' .*; choose"
        with pytest.raises(ValueError, match=expected):
            last({"epoch": 2})

    def test_is_refused_where_the_file_has_one(self, tmp_path: Path) -> None:
        expected = "link must be left out where the file's name is always the same, got 'a'"
        with pytest.raises(ValueError, match=expected):
            checkpoint("model", under=tmp_path, prefix_fmt="", link="a")


class TestAnArgument:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"best": 1}, TypeError, "best must be a string, got 1 .*; name the metric"),
            ({"best": "epoch"}, ValueError, "best must be the key of a metric, got 'epoch'"),
            ({"best": "loss", "mode": "auto"}, ValueError, "mode must be one of 'min', 'max', got"),
            ({"mode": "best"}, ValueError, "mode must be one of 'min', 'max', got 'best'"),
            ({"mode": None}, TypeError, "mode must be a string, got None"),
            ({"mode": "max"}, ValueError, "mode must be left out where best is not given, got"),
            ({"link": 1}, TypeError, "link must be a string, got 1 .*; write link="),
            (
                {"best": "loss", "queue_fmt": "loss"},
                ValueError,
                "queue_fmt must be a key of its own, got 'loss' .*; the part itself reads it",
            ),
        ],
    )
    def test_that_makes_no_sense_is_refused(
        self,
        tmp_path: Path,
        arguments: dict[str, Any],
        error: type[Exception],
        message: str,
    ) -> None:
        with pytest.raises(error, match=message):
            checkpoint("model", under=tmp_path, **arguments)

    def test_of_a_metric_that_is_missing_or_no_number_is_named_with_the_cure(
        self, tmp_path: Path
    ) -> None:
        best = checkpoint("model", 1, under=tmp_path, best="loss")
        expected = (
            r"state\['loss'\] is missing: checkpoint\('model'\) reads it, .*; set it in a callback "
            "or a reducer that runs before this one, or save only when it is set"
        )
        with pytest.raises(KeyError, match=expected):
            best({"epoch": 1})
        with pytest.raises(TypeError, match=r"a value for checkpoint\('model'\) must be a number"):
            best({"epoch": 1, "loss": None})
        assert names(tmp_path) == []
