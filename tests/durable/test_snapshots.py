"""`Snapshots`: its arguments, when it saves, what it emits, and how it is attached."""

import shutil
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from helpers.events import n_handlers
from helpers.faults import Boom, raise_
from helpers.logs import lines_of, logged
from helpers.threads import GUARD
from helpers.training import Killed, Model, Shuffled, killed, listing, train, undisturbed
from rnnr import Event, Runner, State
from rnnr.attachments import Control
from rnnr.durable import CsvLog, SavedSnapshot, Snapshots
from rnnr.durable._folder import Folder, Status

background = pytest.mark.parametrize(
    "background", [True, False], ids=["in the background", "in the foreground"]
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("0*"))


class TestArguments:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"folder": 3},
                r"folder must be a path, got 3 \(int\); pass for example 'runs/digits'",
            ),
            ({"folder": b"runs"}, "folder must be a path, got b'runs'"),
            ({"every": 100}, r"every must be Event.BATCH, .*, got 100 \(int\); write for example"),
            ({"every": "BATCH"}, "every must be Event.BATCH, .*, got 'BATCH'"),
            ({"at_most": 1.5}, "at_most must be an integer of 1 or more, got 1.5"),
            ({"leave_out": "output"}, "leave_out must be several keys of the state, got 'output'"),
            ({"leave_out": [3]}, r"a key in leave_out must be a string, got 3"),
            ({"generators": [3]}, r"generators\[0\] must be a generator of random numbers"),
            ({"model": 3}, r"model must be an object with state_dict\(\) .*, got 3"),
            ({"model": Model}, "model must be an object with state_dict"),
            ({"model": (1, 2)}, "model must be .* list or dict of arrays, got .*; give its class"),
        ],
    )
    def test_a_wrong_type(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message):
            Snapshots(**{"folder": "runs", **settings})

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"at_most": 0}, "at_most must be .* got 0 .*; the newest snapshot is always kept"),
            ({"on_error": "ignore"}, "on_error must be 'raise' or 'log', got 'ignore'"),
            ({"every": Event.STOPPED}, "every must be Event.BATCH, .* got .*STOPPED"),
            ({"every": Event.FAILED}, "the state is not whole in other events"),
            ({"every": Event.BATCH | Event.FINISHED}, "the end of a run is saved anyway"),
        ],
    )
    def test_a_wrong_value(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Snapshots("runs", **settings)

    def test_an_array_that_cannot_be_changed(self) -> None:
        np = pytest.importorskip("numpy")
        frozen = np.zeros(3)
        frozen.flags.writeable = False
        with pytest.raises(TypeError, match="array that can be changed in place"):
            Snapshots("runs", weights=frozen)
        Snapshots("runs", weights=np.zeros(3), more=[np.zeros(2)], others={"a": np.zeros(1)})

    def test_nothing_is_made_before_a_run(self, tmp_path: Path) -> None:
        Snapshots(tmp_path / "run").attach_on(Runner())
        assert not (tmp_path / "run").exists()

    def test_the_folder_is_where_it_was_when_it_was_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        training = train(Path("runs/a"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        training.run()
        assert names(tmp_path / "runs" / "a")[-1] == "000000008-0002-F"


class TestWhenItSaves:
    @background
    @pytest.mark.parametrize(
        ("every", "expected"),
        [
            (Event.BATCH, ["0-S", "1-B", "2-B", "2-F"]),
            (Event.EPOCH_FINISHED, ["0-S", "2-E", "2-F"]),
            (Event.BATCH.every(2) | Event.EPOCH_FINISHED, ["0-S", "2-B", "2-E", "2-F"]),
            (Event.BATCH.where(lambda _: False), ["0-S", "2-F"]),
        ],
    )
    def test_it_emits_what_is_on_disk_in_order(
        self, tmp_path: Path, every: Any, expected: list[str], background: bool
    ) -> None:
        training = train(tmp_path, every=every, background=background, batches=Shuffled(2))
        saved: list[SavedSnapshot] = []
        threads: set[bool] = set()

        def look(one: SavedSnapshot) -> None:
            saved.append(one)
            newest = Folder(tmp_path).snapshots()[0].verified()
            assert (newest.path, newest.status) == (one.path, Status.WHOLE)
            assert sum(file.stat().st_size for file in one.path.iterdir()) == one.n_bytes
            threads.add(threading.current_thread() is threading.main_thread())

        training.snapshots.saved.subscribe(look)
        training.run(1)
        kinds = [f"{one.n_iters}-{one.path.name[-1]}" for one in saved]
        assert kinds == expected
        assert [one.epoch for one in saved] == [0, *[1] * (len(expected) - 1)]
        assert all(one.seconds > 0 for one in saved)
        assert threads == {not background}
        assert names(tmp_path) == [one.path.name for one in saved[-2:]]

    def test_a_moment_is_saved_once(self, tmp_path: Path) -> None:
        training = train(tmp_path, lambda s: control.stop() if s["n_iters"] == 1 else None)
        control = Control()
        control.attach_on(training.runner)
        saved: list[str] = []
        training.snapshots.saved.subscribe(lambda one: saved.append(one.path.name))
        training.run()
        assert saved == ["000000000-0000-S", "000000001-0001-B", "000000002-0001-B"]

    @pytest.mark.parametrize("at_most", [1, 2, 3, 99])
    def test_the_newest_are_kept(self, tmp_path: Path, at_most: int) -> None:
        train(tmp_path / "all", at_most=99).run()
        train(tmp_path / "some", at_most=at_most).run()
        assert names(tmp_path / "some") == names(tmp_path / "all")[-at_most:]

    def test_another_number_of_them_counts_from_the_next_start_on(self, tmp_path: Path) -> None:
        killed(tmp_path, 6, at_most=9)
        assert len(names(tmp_path)) == 6
        training = train(tmp_path, at_most=2)
        training.runner.on(Event.RESUMED, lambda _: kept.extend(names(tmp_path)))
        kept: list[str] = []
        training.run()
        assert kept == ["000000004-0001-B", "000000005-0002-B"]

    def test_the_training_waits_for_the_one_before(self, tmp_path: Path) -> None:
        """One is written in the background; a second one waits until it is done."""
        training = train(tmp_path)
        begun, go_on = threading.Event(), threading.Event()
        story: list[str] = []

        def hold(one: SavedSnapshot) -> None:
            if one.n_iters == 1:
                begun.set()
                assert go_on.wait(GUARD)
            story.append(f"saved {one.n_iters}")

        def tell(state: State) -> None:
            story.append(f"batch {state['n_iters']}")
            if state["n_iters"] == 2:
                assert begun.wait(GUARD)
                go_on.set()

        training.snapshots.saved.subscribe(hold)
        training.runner.on(Event.BATCH, tell)
        training.run(1)
        assert story.index("batch 2") < story.index("saved 1") < story.index("batch 3")

    def test_what_is_written_is_what_was_there(self, tmp_path: Path) -> None:
        """The training changes everything while the snapshot is still to be written."""

        def files(folder: Path, background: bool) -> list[bytes]:
            training = train(folder, background=background, at_most=99)
            training.runner.state["list"] = [[0]]
            training.runner.on(Event.BATCH, lambda s: s["list"].append([s["n_iters"]]))
            training.run()
            return [path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))]

        assert files(tmp_path / "one", True) == files(tmp_path / "two", False)


class TestSubscribers:
    @background
    def test_an_error_of_one_is_an_error_of_the_snapshot(
        self, tmp_path: Path, background: bool
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        training = train(folder, background=background)
        training.snapshots.saved.subscribe(lambda one: raise_(Boom()) if one.n_iters == 3 else None)
        with pytest.raises(Boom) as caught:
            training.run()
        subscriber, saved, _ = caught.value.__notes__
        assert subscriber.endswith(f"Snapshots.saved; {folder / '000000003-0001-B'} is whole")
        assert saved == f"rnnr: while a snapshot was saved in {folder}"
        assert names(folder) == ["000000002-0001-B", "000000003-0001-B"]
        training = train(folder, seed=1, background=background).run()
        assert training.result == expected
        assert training.seen[0] in (4, 5)

    @background
    def test_an_error_of_one_keeps_nothing_from_being_removed(
        self, tmp_path: Path, background: bool
    ) -> None:
        training = train(tmp_path, background=background, on_error="log", at_most=1)
        training.snapshots.saved.subscribe(lambda one: raise_(Boom()) if one.n_iters == 3 else None)
        counts: list[int] = []
        training.runner.on(Event.BATCH, lambda _: counts.append(len(names(tmp_path))))
        with logged("rnnr.durable") as records:
            training.run()
        (line,) = lines_of(records)
        assert line.startswith(f"ERROR: An error while a snapshot was saved in {tmp_path}")
        assert max(counts) <= 3  # one, the one that is written, and the one that is removed
        assert names(tmp_path) == ["000000008-0002-F"]

    @background
    def test_a_snapshot_may_be_copied_elsewhere(self, tmp_path: Path, background: bool) -> None:
        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run", background=background, at_most=1)

        def copy(one: SavedSnapshot) -> None:
            shutil.copytree(one.path, tmp_path / "copies" / one.path.name / one.path.name)

        training.snapshots.saved.subscribe(copy)
        training.run()
        copies = sorted((tmp_path / "copies").iterdir())
        assert len(copies) == 1 + 8 + 1
        for seed, folder in enumerate(copies):
            assert train(folder, seed=seed).run().result == expected

    def test_it_is_an_observable(self, tmp_path: Path) -> None:
        training = train(tmp_path, background=False)
        epochs: list[int] = []
        saved = training.snapshots.saved.pipe(ops.map(epoch_of))
        saved.pipe(ops.distinct_until_changed()).subscribe(epochs.append)
        training.run()
        assert epochs == [0, 1, 2]
        assert not hasattr(training.snapshots.saved, "on_next")  # nobody else emits


def epoch_of(one: SavedSnapshot) -> int:
    return one.epoch


class TestAttaching:
    def test_what_is_not_a_runner(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="runner"):
            Snapshots(tmp_path).attach_on("a runner")  # type: ignore[arg-type]

    def test_a_second_one_is_refused(self, tmp_path: Path) -> None:
        training = train(tmp_path / "one")
        n = n_handlers(training.runner)
        with pytest.raises(RuntimeError, match="must have one Snapshots, got a second one; name"):
            Snapshots(tmp_path / "two").attach_on(training.runner)
        with pytest.raises(RuntimeError, match="must have one Snapshots"):
            training.snapshots.attach_on(training.runner)
        assert n_handlers(training.runner) == n

    def test_a_runner_that_runs_is_refused(self, tmp_path: Path) -> None:
        runner = Runner()
        snapshots = Snapshots(tmp_path)
        runner.on(Event.STARTED, lambda _: snapshots.attach_on(runner) and None)
        with pytest.raises(RuntimeError, match=r"must be attached before a run, .*; attach"):
            runner.run([1])
        assert [*tmp_path.iterdir()] == []

    def test_a_disposable_detaches(self, tmp_path: Path) -> None:
        runner = Runner()
        n = n_handlers(runner)
        subscription = Snapshots(tmp_path).attach_on(runner)
        subscription.dispose()
        assert n_handlers(runner) == n
        runner.run([1])
        assert [*tmp_path.iterdir()] == []
        Snapshots(tmp_path).attach_on(runner)
        subscription.dispose()  # once more, which does not detach the new ones
        runner.run([1])
        assert names(tmp_path)[-1] == "000000001-0001-F"

    def test_a_disposable_of_a_runner_that_is_gone(self, tmp_path: Path) -> None:
        subscription = Snapshots(tmp_path).attach_on(Runner())
        subscription.dispose()

    @background
    def test_it_may_be_detached_in_the_middle(self, tmp_path: Path, background: bool) -> None:
        runner = Runner()
        snapshots = Snapshots(tmp_path, every=Event.BATCH, background=background)
        subscription = snapshots.attach_on(runner)
        runner.on(Event.BATCH.every(3), lambda _: subscription.dispose())
        runner.run(range(5))
        assert runner.state["n_iters"] == 5
        assert names(tmp_path) == ["000000001-0001-B", "000000002-0001-B"]
        with Folder(tmp_path).locked():  # it is free
            pass
        runner = Runner()
        seen: list[int] = []
        Snapshots(tmp_path, every=Event.BATCH).attach_on(runner)
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run(range(5))
        assert seen == [2, 3, 4]

    @pytest.mark.parametrize("again", [True, False])
    def test_an_error_in_the_background_outlives_it(self, tmp_path: Path, again: bool) -> None:
        runner = Runner()
        gate = threading.Event()
        snapshots = Snapshots(tmp_path, every=Event.BATCH)
        subscription = snapshots.attach_on(runner)
        snapshots.saved.subscribe(
            lambda one: raise_(Boom()) if one.n_iters == 2 and gate.wait(GUARD) else None
        )
        runner.on(Event.BATCH.every(3), lambda _: subscription.dispose())
        runner.on(Event.FINISHED, lambda _: gate.set())
        with pytest.raises(Boom):
            runner.run(range(5))
        if again:  # nothing of it is left
            runner.run(range(5))

    def test_one_may_be_attached_to_two_runners_in_turn(self, tmp_path: Path) -> None:
        """They are of one run, as two processes are."""
        training = train(tmp_path, kill_at=6)
        other = Runner()
        training.snapshots.attach_on(other)
        with pytest.raises(Killed):
            training.run()
        seen: list[int] = []
        other.on(Event.BATCH, lambda state: seen.append(state["n_iters"]))
        other.run(training.batches, 2)
        assert seen == [6, 7, 8]

    def test_two_runners_of_one_do_not_run_at_the_same_time(self, tmp_path: Path) -> None:
        training = train(tmp_path, lambda _: other.run([1]))
        other = Runner()
        training.snapshots.attach_on(other)
        with pytest.raises(RuntimeError, match="belong to one run at a time"):
            training.run()


class TestCopies:
    def test_a_folder_that_was_moved_goes_on(self, tmp_path: Path) -> None:
        """See https://github.com/metatensor/metatrain/issues/720."""
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "old", 6)
        shutil.copytree(tmp_path / "old", tmp_path / "new", copy_function=shutil.copyfile)
        shutil.rmtree(tmp_path / "old")
        assert train(tmp_path / "new", seed=1).run().result == expected
        assert not (tmp_path / "old").exists()

    def test_a_copy_leaves_the_first_alone(self, tmp_path: Path) -> None:
        """See https://github.com/Lightning-AI/pytorch-lightning/issues/11379."""
        killed(tmp_path / "a", 6)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        before = listing(tmp_path / "a")
        train(tmp_path / "b", at_most=1).run()
        assert listing(tmp_path / "a") == before

    def test_a_new_run_in_the_folder_of_another_is_refused(self, tmp_path: Path) -> None:
        """See https://github.com/nyu-mll/jiant/issues/5."""
        train(tmp_path).run()
        before = listing(tmp_path)
        runner = Runner()
        Snapshots(tmp_path, optimizer=Model()).attach_on(runner)
        with pytest.raises(ValueError, match="begin the run again in another folder"):
            runner.run([1])
        assert listing(tmp_path) == before


@pytest.mark.parametrize("background", [True, False])
def test_a_subscriber_of_saved_has_the_context_of_the_run(tmp_path: Path, background: bool) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    seen = set()
    training = train(tmp_path, background=background)
    training.snapshots.saved.subscribe(lambda _: seen.add(variable.get()))
    variable.set("of the run")
    training.run()
    assert seen == {"of the run"}


def test_a_copy_that_finds_no_memory_is_an_error_of_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    training = train(tmp_path, on_error="log")
    with monkeypatch.context() as patch:
        patch.setattr("rnnr._values._arena.Arena.copy", fail)
        training.run(1)
    assert "the run goes on" in caplog.text
    assert training.runner.state["epoch"] == 1


def test_a_log_is_named_and_not_what_its_attach_on_has_returned(tmp_path: Path) -> None:
    attached = CsvLog(tmp_path / "log.csv", "loss").attach_on(Runner())
    with pytest.raises(TypeError, match="not what attach_on has returned"):
        Snapshots(tmp_path / "saved", log=attached)
