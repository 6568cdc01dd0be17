"""`checkpoint`: which files there are, when, and after whatever goes wrong."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections import OrderedDict, deque
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.checkpoints import side_by_side
from helpers.extras import np, torch
from helpers.logs import lines_of, logged
from helpers.published import published
from rnnr import Event, Runner, isolate
from rnnr.attachments import SumReducer
from rnnr.callbacks import checkpoint, save
from rnnr.files import SavedFiles
from rnnr.operators import pipeline, select, when
from rnnr.state import State

OLD = published()


def names(folder: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in folder.iterdir())


def content(path: Path) -> Any:
    """Return what a checkpoint holds."""
    return pickle.loads(path.read_bytes())


def kept(state: State, key: str = "_saved_model") -> list[str]:
    """Return the names in the queue of kept files."""
    return [path.name for path in state[key]]


class Refuses:
    """Cannot be pickled, for a reason of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


class Looks:
    """Notes what is in a directory while it is pickled."""

    def __init__(self, folder: Path, seen: list[list[str]]) -> None:
        self.folder = folder
        self.seen = seen

    def __reduce__(self) -> Any:
        self.seen.append(names(self.folder))
        return list, ()


class TestItsFiles:
    @given(
        calls=st.lists(
            st.tuples(st.integers(0, 99), st.booleans()), unique_by=lambda call: call[0]
        ),
        at_most=st.integers(1, 4),
        when=st.sampled_from([None, "better"]),
        prefix_fmt=st.sampled_from(["{epoch}_", "{epoch:03d}-", "{model[epoch]}{better}"]),
    )
    def test_and_log_lines_are_those_of_the_published_one(
        self, calls: list[tuple[int, bool]], at_most: int, when: str | None, prefix_fmt: str
    ) -> None:
        def story(factory: Any) -> list[object]:
            told: list[object] = []
            with TemporaryDirectory() as name, logged("rnnr.callbacks.checkpointing") as records:
                folder = Path(name)
                callback = factory(
                    "model", under=folder, at_most=at_most, when=when, prefix_fmt=prefix_fmt
                )
                state: State = {"running": True}
                for epoch, better in calls:
                    state.update(epoch=epoch, better=better, model={"epoch": epoch})
                    callback(state)
                    files = {path.name: path.read_bytes() for path in folder.iterdir()}
                    told.append((files, kept(state), list(state)))
                told.extend(line.replace(name, "FOLDER") for line in lines_of(records))
            return told

        assert story(checkpoint) == story(OLD.callbacks.checkpoint)

    def test_are_the_newest_of_a_run(self, tmp_path: Path) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(model=state["epoch"] ** 2))
        runner.on(Event.EPOCH_FINISHED, checkpoint("model", under=tmp_path, at_most=3))
        runner.run([], max_epoch=12)
        assert {path.name: content(path) for path in tmp_path.iterdir()} == {
            "10_model.pkl": 100,
            "11_model.pkl": 121,
            "12_model.pkl": 144,
        }
        assert runner.state["_saved_model"] == deque(
            tmp_path / f"{epoch}_model.pkl" for epoch in (10, 11, 12)
        )

    def test_with_a_constant_name_are_one_that_is_replaced_and_never_deleted(
        self, tmp_path: Path
    ) -> None:
        callback = checkpoint("model", under=tmp_path, prefix_fmt="")
        state: State = {}
        for model in ("a", "b", "c"):
            state["model"] = model
            callback(state)
            assert content(tmp_path / "model.pkl") == model
            assert kept(state) == ["model.pkl"]

    def test_of_a_directory_that_is_spelled_in_another_way_are_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        state: State = {"running": True}
        checkpoint("model", 1, under="out", prefix_fmt="")(state)
        checkpoint("model", 2, under=tmp_path / "out", prefix_fmt="")(state)
        assert pickle.loads((tmp_path / "out" / "model.pkl").read_bytes()) == 2

    def test_of_a_name_that_comes_again_count_as_new(self, tmp_path: Path) -> None:
        callback = checkpoint("model", 0, under=tmp_path, at_most=2)
        state: State = {}
        for state["epoch"] in (1, 2, 1, 3):
            callback(state)
        assert kept(state) == names(tmp_path) == ["1_model.pkl", "3_model.pkl"]

    @pytest.mark.parametrize("obj", [0, "", False, [], {}, np.zeros(0)])
    def test_hold_an_object_that_is_false_rather_than_the_state_s(
        self, tmp_path: Path, obj: object
    ) -> None:
        checkpoint("model", obj, under=tmp_path, prefix_fmt="")({"model": "wrong"})
        assert type(content(tmp_path / "model.pkl")) is type(obj)

    def test_hold_what_the_state_has_where_no_object_is_given(self, tmp_path: Path) -> None:
        checkpoint("model", under=tmp_path, prefix_fmt="")({"model": None})
        assert content(tmp_path / "model.pkl") is None

    def test_have_the_name_that_the_arguments_say(self, tmp_path: Path) -> None:
        callback = checkpoint(
            "model",
            under=tmp_path,
            ext="bin",
            prefix_fmt="{{{epoch:02d}}}{loss:.1f}{run.name}{tags[0]}-",
            queue_fmt="{what} files",
        )
        run = type("Run", (), {"name": "x"})()
        state: State = {"epoch": 3, "loss": 0.25, "run": run, "tags": ["t"], "model": 1}
        callback(state)
        assert names(tmp_path) == kept(state, "model files") == ["{03}0.2xt-model.bin"]

    def test_may_be_in_a_directory_that_the_name_has(self, tmp_path: Path) -> None:
        checkpoint("model", 1, under=tmp_path, prefix_fmt="{epoch}/")({"epoch": 4})
        assert content(tmp_path / "4" / "model.pkl") == 1

    def test_are_in_the_current_directory_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        checkpoint("model", 1)({"epoch": 1})
        assert names(tmp_path) == ["1_model.pkl"]

    def test_are_in_a_directory_that_is_created_before_the_run(self, tmp_path: Path) -> None:
        under = tmp_path / "new" / "newer"
        checkpoint("model", 1, under=str(under))
        assert names(under) == []

    def test_go_on_in_a_state_that_was_pickled(self, tmp_path: Path) -> None:
        before: State = {"epoch": 1}
        checkpoint("model", 1, under=tmp_path)(before)
        after = pickle.loads(pickle.dumps(before)) | {"epoch": 2}
        checkpoint("model", 1, under=tmp_path)(after)
        assert names(tmp_path) == ["2_model.pkl"]

    def test_that_hold_the_state_know_of_themselves(self, tmp_path: Path) -> None:
        state: State = {}
        for epoch in range(1, 4):
            state["epoch"] = epoch
            checkpoint("run", state, under=tmp_path)(state)
            state = content(tmp_path / f"{epoch}_run.pkl")  # as another process would go on
            assert kept(state, "_saved_run")[-1:] == names(tmp_path) == [f"{epoch}_run.pkl"]

    def test_are_written_when_the_flag_is_true(self, tmp_path: Path) -> None:
        callback = checkpoint("model", 1, under=tmp_path, when="better", at_most=9)
        state: State = {}
        for state["epoch"], state["better"] in enumerate([True, False, 1, None]):
            callback(state)
        assert names(tmp_path) == ["0_model.pkl", "2_model.pkl"]


class TestTheWriter:
    def test_of_the_user_gets_the_object_and_the_final_path(self, tmp_path: Path) -> None:
        calls: list[tuple[object, Path]] = []
        checkpoint("model", "M", under=tmp_path, using=lambda *call: calls.append(call))(
            {"epoch": 1}
        )
        assert calls == [("M", tmp_path / "1_model.pkl")]

    def test_may_be_any_callable_even_one_that_is_empty(self, tmp_path: Path) -> None:
        class Calls(list[object]):
            def __call__(self, *call: object) -> None:
                self.append(call)

        calls = Calls()
        checkpoint("model", "M", under=tmp_path, using=calls)({"epoch": 1})
        assert calls == [("M", tmp_path / "1_model.pkl")]

    def test_finds_the_older_file_still_there(self, tmp_path: Path) -> None:
        seen: list[list[str]] = []

        def using(_: object, path: Path) -> None:
            seen.append(names(tmp_path))
            path.touch()

        callback = checkpoint("model", 1, under=tmp_path, using=using)
        state: State = {}
        for state["epoch"] in (1, 2, 3):
            callback(state)
        assert seen == [[], ["1_model.pkl"], ["2_model.pkl"]]
        assert names(tmp_path) == ["3_model.pkl"]

    def test_of_pickles_writes_aside(self, tmp_path: Path) -> None:
        seen: list[list[str]] = []
        checkpoint("model", Looks(tmp_path, seen), under=tmp_path)({"epoch": 1})
        ((aside,),) = seen
        assert aside.startswith(".rnnr-")
        assert names(tmp_path) == ["1_model.pkl"]

    @pytest.mark.parametrize("error", [ValueError("full"), KeyboardInterrupt(), StopIteration()])
    @pytest.mark.parametrize("prefix_fmt", ["", "{epoch}_"])
    def test_that_fails_leaves_the_older_file_and_the_queue_as_they_were(
        self, tmp_path: Path, error: BaseException, prefix_fmt: str
    ) -> None:
        callback = checkpoint("model", under=tmp_path, prefix_fmt=prefix_fmt)
        state: State = {"epoch": 1, "model": "older"}
        callback(state)
        before = names(tmp_path), kept(state)
        state.update(epoch=2, model=["a" * 10_000_000, Refuses(error)])
        with pytest.raises(type(error)) as caught:
            callback(state)
        assert caught.value is error
        assert (names(tmp_path), kept(state)) == before
        assert content(tmp_path / before[0][0]) == "older"
        state.update(epoch=3, model="newer")
        callback(state)
        assert content(tmp_path / kept(state)[0]) == "newer"
        assert len(names(tmp_path)) == 1

    def test_that_is_interrupted_when_the_file_is_in_place_leaves_it_in_the_queue(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(_: object) -> None:
            raise KeyboardInterrupt

        callback = checkpoint("model", 1, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        state["epoch"] = 2
        with monkeypatch.context() as patch:
            patch.setattr("rnnr.files.flush_directory", interrupted)
            with pytest.raises(KeyboardInterrupt):
                callback(state)
        assert names(tmp_path) == kept(state) == ["1_model.pkl", "2_model.pkl"]
        state["epoch"] = 3
        callback(state)
        assert names(tmp_path) == kept(state) == ["3_model.pkl"]

    def test_that_is_killed_after_the_renaming_leaves_a_file_that_is_known_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state: State = {"epoch": 1}
        saved = []
        with monkeypatch.context() as patch:
            patch.setattr("rnnr.files.flush_directory", lambda _: saved.append(deepcopy(state)))
            checkpoint("model", 1, under=tmp_path)(state)  # no further than here
        state = saved[0] | {"epoch": 2}
        checkpoint("model", 1, under=tmp_path)(state)
        assert names(tmp_path) == ["2_model.pkl"]

    def test_of_the_user_that_fails_leaves_the_queue_as_it_was(self, tmp_path: Path) -> None:
        def using(obj: object, path: Path) -> None:
            path.write_text(f"{1 / len(str(obj))}")

        callback = checkpoint("model", under=tmp_path, using=using)
        state: State = {"epoch": 1, "model": "older"}
        callback(state)
        with pytest.raises(ZeroDivisionError):
            callback(state | {"epoch": 2, "model": ""})
        assert names(tmp_path) == kept(state) == ["1_model.pkl"]

    def test_that_fails_stops_the_run_where_the_next_one_saves(self, tmp_path: Path) -> None:
        runner = Runner()
        runner.state["model"] = lambda: "cannot be pickled"
        runner.on(Event.EPOCH_FINISHED, checkpoint("model", under=tmp_path))
        with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
            runner.run([])
        assert names(tmp_path) == []
        runner.state["model"] = "can"
        runner.run([])
        assert names(tmp_path) == ["1_model.pkl"]

    def test_is_not_asked_before_the_names_fields_are_there(self, tmp_path: Path) -> None:
        calls: list[object] = []
        callback = checkpoint("model", 1, under=tmp_path, using=lambda *call: calls.append(call))
        with pytest.raises(KeyError, match="epoch"):
            callback({})
        assert calls == []


class TestEviction:
    def test_forgives_a_file_that_is_gone_already(self, tmp_path: Path) -> None:
        callback = checkpoint("model", 1, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        (tmp_path / "1_model.pkl").unlink()
        state["epoch"] = 2
        callback(state)
        assert names(tmp_path) == kept(state) == ["2_model.pkl"]

    def test_catches_up_where_more_is_kept_than_at_most(self, tmp_path: Path) -> None:
        state: State = {}
        for state["epoch"] in range(4):
            checkpoint("model", 1, under=tmp_path, at_most=4)(state)
        checkpoint("model", 1, under=tmp_path, at_most=2)(state | {"epoch": 4})
        assert names(tmp_path) == ["3_model.pkl", "4_model.pkl"]

    def test_that_fails_is_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(_: Path, **__: object) -> None:
            raise PermissionError(errno.EACCES, "busy")

        callback = checkpoint("model", 1, under=tmp_path, using=lambda _, path: path.touch())
        state: State = {"epoch": 1}
        callback(state)
        state["epoch"] = 2
        with monkeypatch.context() as patch, logged("rnnr.callbacks.checkpointing") as records:
            patch.setattr(Path, "unlink", busy)
            callback(state)
        assert "WARNING: Cannot delete" in lines_of(records)[-1]
        assert "busy" in lines_of(records)[-1]
        assert names(tmp_path) == kept(state) == ["1_model.pkl", "2_model.pkl"]
        state["epoch"] = 3
        callback(state)
        assert names(tmp_path) == kept(state) == ["3_model.pkl"]


def run_of(folder: Path, *callbacks: Any, n_epochs: int = 4, state: State | None = None) -> Runner:
    """Run, or resume from a state, with a model that tells its epoch; epoch 2 is the best."""
    runner = Runner()

    @runner.on(Event.EPOCH_FINISHED)
    def evaluate(state: State) -> None:
        state.update(model=state["epoch"], better=state["epoch"] <= 2)

    runner.on(Event.EPOCH_FINISHED, callbacks)
    if state is None:
        runner.run([], max_epoch=n_epochs)
    else:
        runner.state = {**state, "max_epoch": n_epochs}
        runner.resume()
    return runner


def tree(folder: Path) -> list[str]:
    """Return the files below a directory."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files)


class TestOnlyTheOneWhoWroteAFileDeletesIt:
    @side_by_side
    def test_the_best_and_the_last_of_one_name_are_both_kept(
        self,
        tmp_path: Path,
        same_folder: bool,
        prefixes: tuple[str, str],
        queues: tuple[str, str],
        best_first: bool,
    ) -> None:
        folders = [tmp_path] * 2 if same_folder else [tmp_path / "best", tmp_path / "last"]
        flags = ["better", None]
        both = [
            checkpoint("model", under=folder, when=when, prefix_fmt=prefix, queue_fmt=queue)
            for folder, when, prefix, queue in zip(folders, flags, prefixes, queues, strict=True)
        ]
        runner = run_of(tmp_path, *(both if best_first else both[::-1]))
        files = [
            str(folder.relative_to(tmp_path) / f"{prefix.format(epoch=epoch)}model.pkl")
            for folder, prefix, epoch in zip(folders, prefixes, (2, 4), strict=True)
        ]
        assert tree(tmp_path) == sorted(files)
        assert [content(tmp_path / file) for file in files] == [2, 4]
        queued = {str(path) for key in queues for path in runner.state[key.format(what="model")]}
        assert queued == {str(tmp_path / file) for file in files}

    def test_two_that_differ_in_nothing_keep_their_own(self, tmp_path: Path) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(model=state["epoch"]))
        best = Event.EPOCH_FINISHED.where(lambda state: state["epoch"] <= 2)
        runner.on(best, checkpoint("model", under=tmp_path))
        runner.on(Event.EPOCH_FINISHED, checkpoint("model", under=tmp_path))
        runner.run([], max_epoch=4)
        assert names(tmp_path) == ["2_model.pkl", "4_model.pkl"]

    @pytest.mark.parametrize("attach", ["function", "isolate", "stream", "add"])
    def test_two_that_differ_in_nothing_keep_their_own_however_they_are_called(
        self, tmp_path: Path, attach: str
    ) -> None:
        def attached() -> Runner:
            runner = Runner()
            stream = runner.stream(Event.EPOCH_FINISHED)
            best, last = (checkpoint("model", under=tmp_path) for _ in range(2))
            better = pipeline(when("better"), best)
            runner.on(Event.EPOCH_FINISHED, evaluate)
            for callback in (better, last):
                if attach == "function":
                    runner.on(Event.EPOCH_FINISHED, partial(call, callback))
                elif attach == "isolate":
                    runner.on(Event.EPOCH_FINISHED, isolate(callback))
                elif attach == "stream":
                    stream.pipe(callback).subscribe()
                else:
                    stream.add(callback)
            return runner

        def call(callback: Any, state: State) -> None:
            callback(state)

        def evaluate(state: State) -> None:
            state.update(model=state["epoch"], better=state["epoch"] in (1, 3))

        runner = attached()
        runner.run([], max_epoch=5)
        assert names(tmp_path) == ["3_model.pkl", "5_model.pkl"]
        state = pickle.loads(pickle.dumps(runner.state)) | {"max_epoch": 7}
        runner = attached()
        runner.state = state  # in another process the last may be the first to save
        runner.resume()
        assert {"3_model.pkl", "7_model.pkl"} <= {*names(tmp_path)}

    @pytest.mark.parametrize("best_first", [True, False])
    def test_no_file_is_left_where_each_has_a_queue(self, tmp_path: Path, best_first: bool) -> None:
        runner = Runner()
        runner.on(
            Event.EPOCH_FINISHED,
            lambda state: state.update(model=1, better=state["epoch"] in (1, 3, 5)),
        )
        both = [
            checkpoint("model", under=tmp_path, when=when, queue_fmt=f"{when} {{what}}")
            for when in ("better", None)
        ]
        runner.on(Event.EPOCH_FINISHED, both if best_first else both[::-1])
        with logged("rnnr.callbacks.checkpointing") as records:
            runner.run([], max_epoch=7)
        assert names(tmp_path) == ["5_model.pkl", "7_model.pkl"]
        assert not any(line.startswith("WARNING") for line in lines_of(records))

    def test_one_on_two_runners_goes_on_in_each(self, tmp_path: Path) -> None:
        callback, other = (checkpoint("model", 1, under=tmp_path) for _ in range(2))
        first, second = Runner(), Runner()
        first.on(Event.EPOCH_FINISHED, callback)
        second.on(Event.EPOCH_FINISHED, other)
        second.on(Event.BATCH, callback)
        first.run([], max_epoch=2)
        state = pickle.loads(pickle.dumps(first.state)) | {"max_epoch": 3}
        run = Runner()
        run.on(Event.EPOCH_FINISHED, checkpoint("model", 1, under=tmp_path))
        run.state = state
        run.resume()
        assert names(tmp_path) == ["3_model.pkl"]

    def test_one_that_is_attached_to_two_events_keeps_the_newest_of_both(
        self, tmp_path: Path
    ) -> None:
        runner = Runner()
        runner.state["model"] = 1
        callback = checkpoint("model", under=tmp_path, prefix_fmt="{epoch}-{n_iters}_")
        for event in (Event.BATCH, Event.EPOCH_FINISHED):
            runner.on(event, callback)
        runner.run([1, 2], max_epoch=2)
        assert names(tmp_path) == ["2-4_model.pkl"]

    def test_a_second_run_keeps_the_files_of_the_first(self, tmp_path: Path) -> None:
        runner = Runner()
        runner.on(Event.STARTED, lambda state: state.update(fold=state.get("fold", 0) + 1, model=1))
        callback = checkpoint("model", prefix_fmt="fold{fold}_epoch{epoch}_", under=tmp_path)
        runner.on(Event.EPOCH_FINISHED, callback)
        runner.run([], max_epoch=3)
        runner.run([], max_epoch=2)
        assert names(tmp_path) == ["fold1_epoch3_model.pkl", "fold2_epoch2_model.pkl"]
        assert kept(runner.state) == ["fold2_epoch2_model.pkl"]

    @pytest.mark.parametrize("copied", [pickle.dumps, lambda state: state])
    def test_a_run_that_goes_on_elsewhere_leaves_its_parents_files(
        self, tmp_path: Path, copied: Any
    ) -> None:
        parent, child = tmp_path / "parent", tmp_path / "child"
        before = run_of(parent, checkpoint("model", under=parent, at_most=2), n_epochs=3)
        state = copied(before.state)
        state = pickle.loads(state) if isinstance(state, bytes) else state
        for folder in (child, tmp_path / "another"):
            run_of(folder, checkpoint("model", under=folder), n_epochs=5, state=state)
            assert names(folder) == ["5_model.pkl"]
        assert names(parent) == ["2_model.pkl", "3_model.pkl"]

    def test_a_new_run_with_a_state_of_another_leaves_its_files(self, tmp_path: Path) -> None:
        parent = run_of(tmp_path, checkpoint("model", under=tmp_path), n_epochs=3)
        child = Runner()
        child.state = parent.state | {"model": "child"}
        callback = checkpoint("model", under=tmp_path, prefix_fmt="child{epoch}_")
        child.on(Event.EPOCH_FINISHED, callback)
        child.run([], max_epoch=2)
        assert names(tmp_path) == ["3_model.pkl", "child2_model.pkl"]

    def test_a_run_that_goes_on_where_it_was_keeps_its_newest(self, tmp_path: Path) -> None:
        both = ("better", None)

        def callbacks() -> list[Any]:
            return [checkpoint("model", under=tmp_path, when=when, at_most=2) for when in both]

        state = run_of(tmp_path, *callbacks(), n_epochs=3).state
        saved = pickle.loads(pickle.dumps(state))
        run_of(tmp_path, *callbacks(), n_epochs=6, state=saved)
        assert names(tmp_path) == [f"{epoch}_model.pkl" for epoch in (1, 2, 5, 6)]

    def test_two_runs_in_one_folder_keep_the_newest_of_each(self, tmp_path: Path) -> None:
        first, second = (checkpoint("model", under=tmp_path) for _ in range(2))
        one: State = {"model": "one"}
        other: State = {"model": "the other"}
        for one["epoch"], other["epoch"] in [(1, 1), (2, 1), (3, 2)]:
            first(one)
            second(other)
        assert content(tmp_path / "3_model.pkl") == "one"
        assert content(tmp_path / "2_model.pkl") == "the other"

    def test_what_has_changed_since_it_was_saved_stays_and_that_is_logged(
        self, tmp_path: Path
    ) -> None:
        callback = checkpoint("model", 1, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        (tmp_path / "1_model.pkl").write_text("somebody else's")
        state["epoch"] = 2
        with logged("rnnr.callbacks.checkpointing") as records:
            callback(state)
        assert lines_of(records)[-1] == (
            f"WARNING: Not deleting {tmp_path / '1_model.pkl'}: it has changed since it was saved"
        )
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl"]
        assert kept(state) == ["2_model.pkl"]

    def test_the_file_of_a_saved_state_stays_where_another_run_has_written_over_it(
        self, tmp_path: Path
    ) -> None:
        state: State = {"epoch": 1}
        checkpoint("run", state, under=tmp_path)(state)
        saved = content(tmp_path / "1_run.pkl")
        checkpoint("run", "another's", under=tmp_path)({"epoch": 1})
        saved["epoch"] = 2
        checkpoint("run", saved, under=tmp_path)(saved)
        assert content(tmp_path / "1_run.pkl") == "another's"

    def test_what_comes_later_to_a_path_that_a_writer_has_not_used_stays(
        self, tmp_path: Path
    ) -> None:
        def save_with_a_suffix(_: object, path: Path) -> None:
            path.with_suffix(".npz").touch()

        callback = checkpoint("model", 1, under=tmp_path, using=save_with_a_suffix)
        state: State = {"epoch": 1}
        callback(state)
        (tmp_path / "1_model.pkl").write_text("mine")
        state["epoch"] = 2
        callback(state)
        assert (tmp_path / "1_model.pkl").read_text() == "mine"

    def test_what_another_name_leads_to_keeps_its_time(self, tmp_path: Path) -> None:
        shared = tmp_path / "shared"
        shared.write_text("weights")
        os.utime(shared, ns=(1000, 1000))

        def link(_: object, path: Path) -> None:
            os.link(shared, path)

        callback = checkpoint("model", 1, under=tmp_path / "out", using=link)
        state: State = {}
        for state["epoch"] in (1, 2):
            callback(state)
        assert names(tmp_path / "out") == ["2_model.pkl"]
        assert shared.stat().st_mtime_ns == 1000

    def test_a_path_that_a_script_takes_out_of_the_queue_stays(self, tmp_path: Path) -> None:
        callback = checkpoint("model", 1, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        state["_saved_model"].clear()
        state["epoch"] = 2
        callback(state)
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl"]

    @pytest.mark.parametrize("name", ["victim_model.pkl", "out/../../victim_model.pkl", "out/mine"])
    def test_what_it_could_not_have_written_stays_whoever_made_the_state(
        self, tmp_path: Path, name: str
    ) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, checkpoint("model", 1, under=tmp_path / "out"))
        runner.run([])
        ((own, known),) = runner.state["_saved_model"].files.items()
        victim = tmp_path / name
        victim.write_text("mine")
        stamp = known._replace(stamp=victim.stat().st_mtime_ns)
        runner.state["_saved_model"] = SavedFiles({str(victim): stamp, own: known})
        runner.state["max_epoch"] = 2
        runner.resume()
        assert victim.read_text() == "mine"
        assert not Path(own).exists()

    def test_in_folders_that_the_state_names_it_keeps_its_newest(self, tmp_path: Path) -> None:
        runner = Runner()
        runner.on(
            Event.EPOCH_STARTED, lambda state: state.update(to=f"{tmp_path}/{state['epoch']}")
        )
        saved = checkpoint("model", 1, under=tmp_path / "out", prefix_fmt="{to}/")
        runner.on(Event.EPOCH_FINISHED, saved)
        runner.run([], max_epoch=3)
        assert [path.parent.name for path in tmp_path.rglob("model.pkl")] == ["3"]

    def test_a_queue_of_an_earlier_version_is_not_ours(self, tmp_path: Path) -> None:
        (tmp_path / "1_model.pkl").touch()
        state: State = {"epoch": 2, "_saved_model": deque([tmp_path / "1_model.pkl"])}
        checkpoint("model", 1, under=tmp_path)(state)
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl"]

    def test_a_relative_folder_is_the_one_that_was_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        callback = checkpoint("model", 1, under="out")
        state: State = {"epoch": 1}
        callback(state)
        (tmp_path / "trial").mkdir()
        monkeypatch.chdir(tmp_path / "trial")
        state["epoch"] = 2
        callback(state)
        assert tree(tmp_path) == ["out/2_model.pkl"]
        assert [*state["_saved_model"]] == [tmp_path / "out" / "2_model.pkl"]


class TestAWriterThatMakesAFolder:
    @staticmethod
    def write(model: object, path: Path) -> None:
        path.mkdir(exist_ok=True)
        (path / "weights.bin").write_text(str(model))

    def test_has_its_older_folders_deleted(self, tmp_path: Path) -> None:
        callback = checkpoint("model", using=self.write, under=tmp_path)
        run_of(tmp_path, callback)
        assert tree(tmp_path) == ["4_model.pkl/weights.bin"]

    def test_has_a_folder_deleted_later_whose_deletion_failed_half_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def half(path: Path) -> None:
            (path / "weights.bin").unlink()
            raise PermissionError(errno.EACCES, "busy")

        callback = checkpoint("model", 1, using=self.write, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", half)
            state["epoch"] = 2
            callback(state)
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl"]
        state["epoch"] = 3
        callback(state)
        assert names(tmp_path) == ["3_model.pkl"]

    def test_has_folders_left_that_somebody_has_written_to(self, tmp_path: Path) -> None:
        callback = checkpoint("model", 1, using=self.write, under=tmp_path)
        state: State = {"epoch": 1}
        callback(state)
        (tmp_path / "1_model.pkl" / "notes").touch()
        state["epoch"] = 2
        callback(state)
        assert names(tmp_path) == ["1_model.pkl", "2_model.pkl"]

    def test_a_folder_with_a_hard_link_in_it_is_deleted_and_the_other_name_stays(
        self, tmp_path: Path
    ) -> None:
        shared = tmp_path / "shared"
        shared.touch()

        def write(_: object, path: Path) -> None:
            path.mkdir()
            os.link(shared, path / "linked")

        callback = checkpoint("model", 1, using=write, under=tmp_path / "out")
        state: State = {}
        for state["epoch"] in (1, 2):
            callback(state)
        assert tree(tmp_path) == ["out/2_model.pkl/linked", "shared"]

    def test_a_link_is_deleted_and_not_what_it_leads_to(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "file").touch()

        def link(_: object, path: Path) -> None:
            path.symlink_to(tmp_path / "data")

        callback = checkpoint("model", 1, using=link, under=tmp_path / "out")
        state: State = {}
        for state["epoch"] in (1, 2):
            callback(state)
        assert names(tmp_path / "out") == ["2_model.pkl"]
        assert names(tmp_path / "data") == ["file"]


class TestTheQueue:
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles_without_the_name_of_a_system(self, tmp_path: Path, protocol: int) -> None:
        state: State = {"epoch": 1}
        checkpoint("model", 1, under=tmp_path)(state)
        pickled = pickle.dumps(state, protocol)
        assert type(tmp_path).__name__.encode() not in pickled
        restored = pickle.loads(pickled) | {"epoch": 2}
        checkpoint("model", 1, under=tmp_path)(restored)
        assert names(tmp_path) == kept(restored) == ["2_model.pkl"]

    def test_is_read_by_torch_load(self, tmp_path: Path) -> None:
        state: State = {"epoch": 1, "model": torch.zeros(1), "other": OrderedDict(a=torch.ones(2))}
        checkpoint("model", under=tmp_path)(state)
        torch.save(state, tmp_path / "state.pt")
        restored = torch.load(tmp_path / "state.pt")
        assert [*restored["_saved_model"]] == [str(tmp_path / "1_model.pkl")]
        restored["epoch"] = 2
        checkpoint("model", under=tmp_path)(restored)
        assert names(tmp_path) == ["2_model.pkl", "state.pt"]

    def test_copies_as_one(self, tmp_path: Path) -> None:
        state: State = {"epoch": 1}
        checkpoint("model", 1, under=tmp_path)(state)
        for copied in (copy(state["_saved_model"]), deepcopy(state["_saved_model"])):
            assert copied == state["_saved_model"]
            assert copied.files == state["_saved_model"].files

    def test_key_of_another_part_or_of_the_run_is_refused(self, tmp_path: Path) -> None:
        own = "queue_fmt must be a key of its own, got"
        for queue in ("n_iters", "model", "better", "epoch"):
            with pytest.raises(ValueError, match=f"{own} '{queue}'"):
                checkpoint("model", under=tmp_path, when="better", queue_fmt=queue)
        runner = Runner()
        SumReducer("loss").attach_on(runner)
        with pytest.raises(ValueError, match=r"queue_fmt must be .*; SumReducer\('loss'\) writes"):
            runner.on(Event.BATCH, [print, checkpoint("a", under=tmp_path, queue_fmt="loss")])
        runner.stream(Event.BATCH).rebuild()
        assert len(runner.stream(Event.BATCH).handlers) == 1  # that of the reducer


def test_an_extension_may_have_its_dot(tmp_path: Path) -> None:
    checkpoint("model", 1, under=tmp_path, ext=".pt")({"epoch": 1})
    assert names(tmp_path) == ["1_model.pt"]


class TestAMissingKey:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                {},
                r"state\['model'\] is missing: checkpoint\('model'\) reads it, the state has "
                r".*; set it in a callback that is added before checkpoint\('model'\), or pass "
                "obj",
            ),
            (
                {"obj": 1, "when": "better"},
                r"state\['better'\] is missing: checkpoint\('model'\) reads it, .*; set it to "
                "True or False in a callback that is added before the checkpoint",
            ),
            (
                {"obj": 1, "prefix_fmt": "{loss:.2f}_"},
                r"state\['loss'\] is missing: checkpoint\('model'\) reads it, .*; the file's name, "
                r"'{loss:.2f}_model.pkl', has it as a field",
            ),
            (
                {"obj": 1, "prefix_fmt": "{epoch:0{width}d}_"},
                r"state\['width'\] is missing: checkpoint\('model'\) reads it",
            ),
        ],
    )
    def test_is_named_with_who_wants_it_and_the_cure(
        self, tmp_path: Path, arguments: dict[str, Any], expected: str
    ) -> None:
        state: State = {"epoch": 1}
        with pytest.raises(KeyError, match=expected):
            checkpoint("model", **arguments, under=tmp_path)(state)
        assert names(tmp_path) == []


class TestAnArgument:
    @pytest.mark.parametrize("at_most", [1, 2, True, np.int64(2), np.uint8(1)])
    def test_at_most_may_be_any_integer_from_1(self, tmp_path: Path, at_most: int) -> None:
        callback = checkpoint("model", 1, under=tmp_path, at_most=at_most)
        state: State = {}
        for state["epoch"] in range(3):
            callback(state)
        assert len(names(tmp_path)) == at_most

    @pytest.mark.parametrize("at_most", [0, -1, False, np.int64(0)])
    def test_at_most_below_1_is_refused(self, tmp_path: Path, at_most: int) -> None:
        expected = "at_most must be an integer of 1 or more, got .*; the newest file is always kept"
        with pytest.raises(ValueError, match=expected):
            checkpoint("model", 1, under=tmp_path, at_most=at_most)

    @pytest.mark.parametrize("at_most", [None, 1.0, "1"])
    def test_at_most_that_is_no_integer_is_refused(self, tmp_path: Path, at_most: Any) -> None:
        with pytest.raises(TypeError, match="at_most must be an integer of 1 or more, got"):
            checkpoint("model", 1, under=tmp_path, at_most=at_most)

    @pytest.mark.parametrize("name", ["what", "when", "ext", "prefix_fmt", "queue_fmt"])
    def test_of_text_that_is_none_is_refused(self, tmp_path: Path, name: str) -> None:
        arguments: dict[str, Any] = {"what": "model", "under": tmp_path, name: 5}
        with pytest.raises(TypeError, match=rf"{name} must be a string, got 5 .*write {name}="):
            checkpoint(**arguments)

    def test_using_that_cannot_be_called_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="using must be callable, got 'pickle'"):
            checkpoint("model", under=tmp_path, using="pickle")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "prefix_fmt", ["{", "}", "{}", "{0}_", "{epoch!z}", "{epoch[}", "{epoch.}", "{epoch[]}"]
    )
    def test_prefix_fmt_that_is_no_format_of_keys_is_refused(
        self, tmp_path: Path, prefix_fmt: str
    ) -> None:
        with pytest.raises(
            ValueError, match=r"the file's name must be a format.*, got .*; .*for ex"
        ):
            checkpoint("model", under=tmp_path, prefix_fmt=prefix_fmt)

    @pytest.mark.parametrize("queue_fmt", ["{", "{}", "{0}", "{epoch}", "{what.x}"])
    def test_queue_fmt_that_is_no_format_of_what_is_refused(
        self, tmp_path: Path, queue_fmt: str
    ) -> None:
        with pytest.raises(ValueError, match=r"queue_fmt must be .*, got .*; "):
            checkpoint("model", under=tmp_path, queue_fmt=queue_fmt)

    @pytest.mark.parametrize("under", [3, b"out", ["out"]])
    def test_under_that_is_no_path_is_refused(self, under: Any) -> None:
        with pytest.raises(TypeError, match=r"under must be a path, got .*; pass a directory"):
            checkpoint("model", under=under)

    @pytest.mark.parametrize(
        ("under", "kind"), [("file", FileExistsError), ("file/x", NotADirectoryError)]
    )
    def test_under_that_is_a_file_is_refused(
        self, tmp_path: Path, under: str, kind: type[OSError]
    ) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(kind, match=r"under must be a directory or become one, got .*; pass a"):
            checkpoint("model", under=tmp_path / under)

    def test_under_that_cannot_be_written_to_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        monkeypatch.setattr(os, "access", lambda *question: asked.append(question))
        expected = "under must be a directory that can be written to, got .*; change its perm"
        with pytest.raises(PermissionError, match=expected):
            checkpoint("model", under=tmp_path)
        assert asked == [(tmp_path, os.W_OK)]

    def test_obj_may_be_given_by_position(self, tmp_path: Path) -> None:
        checkpoint("model", "M", under=tmp_path)({"epoch": 1})
        assert content(tmp_path / "1_model.pkl") == "M"


def test_save_is_another_name() -> None:
    assert save is checkpoint


# Where the process is killed, and which file is there then: the older one or the newer.
KILLS = {
    "before the first byte": ("model = Deadly()", "older"),
    "in the middle": ("model = ['x' * 3_000_000, Deadly()]", "older"),
    "before it is flushed": ("os.fsync = kill", "older"),
    "before it is renamed": ("os.replace = kill", "older"),
    "after it was renamed": (
        "replace = os.replace; os.replace = lambda *both: kill(replace(*both))",
        "newer",
    ),
}
SAVE_AND_DIE = """
import os, signal, sys
from rnnr.callbacks import checkpoint

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Deadly:
    __reduce__ = kill

state = {"model": "older"}
save = checkpoint("model", under=sys.argv[1], prefix_fmt="")
save(state)
model = "newer"
exec(sys.argv[2])
save({"model": model})
"""


@pytest.mark.parametrize(("fault", "survivor"), KILLS.values(), ids=KILLS)
def test_a_kill_leaves_one_whole_file_and_nothing_else_after_the_next_save(
    tmp_path: Path, fault: str, survivor: str
) -> None:
    command = [sys.executable, "-c", SAVE_AND_DIE, str(tmp_path), fault]
    died = subprocess.run(command, check=False)
    assert died.returncode == -signal.SIGKILL
    assert content(tmp_path / "model.pkl") == survivor
    checkpoint("model", "newest", under=tmp_path, prefix_fmt="")({})
    assert names(tmp_path) == ["model.pkl"]
    assert content(tmp_path / "model.pkl") == "newest"


def test_as_an_operator_it_passes_the_state_on_after_each_save(tmp_path: Path) -> None:
    epochs: list[int] = []
    runner = Runner()
    saved = checkpoint("epoch", under=tmp_path, when="odd")
    runner.on(Event.EPOCH_FINISHED, lambda state: state.update(odd=state["epoch"] % 2))
    stream = runner.stream(Event.EPOCH_FINISHED).pipe(saved, select("epoch"))
    stream.subscribe(epochs.append)
    runner.run([], max_epoch=3)
    assert epochs == [1, 3]
