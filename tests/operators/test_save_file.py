"""`save_file`, `all_but_newest` and `delete_files`: a checkpoint in parts."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from helpers.faults import Boom
from rnnr import Event, Runner
from rnnr.files import KeptFiles, SavedFiles
from rnnr.operators import all_but_newest, delete_files, do, pipeline, save_file, when
from rnnr.state import State


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def saved_by(runner: Runner, *operators: Any) -> list[list[str]]:
    """Attach a pipeline; return the names of the files that come out of it."""
    seen: list[list[str]] = []

    def keep(files: KeptFiles) -> None:
        seen.append([Path(path).name for path in files.paths])

    runner.on(Event.EPOCH_FINISHED, pipeline(*operators, do(keep)))
    return seen


class TestSaveFile:
    def test_it_passes_on_all_files_that_it_keeps_the_oldest_first(self, tmp_path: Path) -> None:
        runner = Runner()
        seen = saved_by(runner, save_file("epoch", under=tmp_path))
        runner.run([], max_epoch=2)
        assert seen == [["1_epoch.pkl"], ["1_epoch.pkl", "2_epoch.pkl"]]
        assert pickle.loads((tmp_path / "2_epoch.pkl").read_bytes()) == 2

    def test_it_writes_when_a_condition_says_so(self, tmp_path: Path) -> None:
        runner = Runner()
        odd = when(lambda state: state["epoch"] % 2)
        seen = saved_by(runner, odd, save_file("epoch", under=tmp_path))
        runner.run([], max_epoch=3)
        assert seen[-1] == ["1_epoch.pkl", "3_epoch.pkl"]

    def test_a_new_run_begins_without_the_files_of_the_last(self, tmp_path: Path) -> None:
        runner = Runner()
        seen = saved_by(runner, save_file("epoch", under=tmp_path))
        runner.run([], max_epoch=2)
        runner.run([])
        assert seen[-1] == ["1_epoch.pkl"]

    def test_a_restored_state_knows_its_files(self, tmp_path: Path) -> None:
        first, second = Runner(), Runner()
        for runner in (first, second):
            seen = saved_by(runner, save_file("epoch", under=tmp_path))
            runner.on(Event.EPOCH_FINISHED, lambda state: state.update(running=False))
        first.run([], max_epoch=2)
        second.state = pickle.loads(pickle.dumps(first.state))
        second.resume()
        assert seen == [["1_epoch.pkl", "2_epoch.pkl"]]

    def test_what_writes_may_fail_and_leaves_nothing_in_the_state(self, tmp_path: Path) -> None:
        def fail(obj: object, path: Path) -> None:
            raise Boom

        state: State = {"epoch": 1}
        with pytest.raises(Boom) as caught:
            pipeline(save_file("epoch", under=tmp_path, using=fail))(state)
        assert state["_saved_epoch"] == SavedFiles()
        assert "save_file('epoch') was writing" in caught.value.__notes__[0]

    def test_two_parts_of_other_kinds_cannot_share_a_key(self, tmp_path: Path) -> None:
        from rnnr.callbacks import maybe_stop_early

        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, maybe_stop_early(counter="kept"))
        with pytest.raises(ValueError, match="queue_fmt must be a key that no other part"):
            saved_by(runner, save_file("epoch", under=tmp_path, queue_fmt="kept"))


class TestAllButNewest:
    def test_it_passes_on_what_falls_out_of_the_window(self, tmp_path: Path) -> None:
        runner = Runner()
        seen = saved_by(runner, save_file("epoch", under=tmp_path), all_but_newest(2))
        runner.run([], max_epoch=4)
        assert seen == [["1_epoch.pkl"], ["1_epoch.pkl", "2_epoch.pkl"]]

    @pytest.mark.parametrize(("wrong", "kind"), [(0, ValueError), ("1", TypeError)])
    def test_a_window_of_nothing_is_refused(self, wrong: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match=r"n must be an integer of 1 or more.*always kept"):
            all_but_newest(wrong)


class TestDeleteFiles:
    def test_a_pipeline_of_the_three_keeps_the_newest(self, tmp_path: Path) -> None:
        runner = Runner()
        saved_by(runner, save_file("epoch", under=tmp_path), all_but_newest(2), delete_files())
        runner.run([], max_epoch=5)
        assert names(tmp_path) == ["4_epoch.pkl", "5_epoch.pkl"]
        assert [path.name for path in runner.state["_saved_epoch"]] == names(tmp_path)

    def test_operators_of_reactivex_may_stand_between(self, tmp_path: Path) -> None:
        seen: list[object] = []
        runner = Runner()
        saved_by(
            runner,
            save_file("epoch", under=tmp_path),
            ops.do_action(lambda files: seen.append(Path(files.paths[-1]).name)),
            all_but_newest(1),
            delete_files(),
        )
        runner.run([], max_epoch=3)
        assert seen == ["1_epoch.pkl", "2_epoch.pkl", "3_epoch.pkl"]
        assert names(tmp_path) == ["3_epoch.pkl"]

    def test_a_file_that_is_forgotten_already_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "mine"
        path.write_text("mine")
        state: State = {"kept": SavedFiles()}
        seen = delete_files().step(KeptFiles(state, "kept", "me", (str(path),)))
        assert seen.paths == (str(path),)
        assert path.exists()
