"""The runner: what scripts rely on, and what happens when something goes wrong."""

import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any
from unittest.mock import MagicMock

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.subject import Subject

from helpers.events import told
from helpers.extras import np
from helpers.faults import Boom, interrupt_at_call, raise_
from rnnr import Event, RnnrWarning, Runner, State
from rnnr.attachments import EpochTimer, MeanReducer
from rnnr.callbacks import maybe_stop_early
from rnnr.operators import chunk, every, select, stop


class TestOrder:
    @pytest.mark.parametrize(("n_epochs", "n_batches"), [(1, 1), (3, 4), (2, 0), (0, 3), (1, 0)])
    def test_counts_of_events(self, n_epochs: int, n_batches: int) -> None:
        runner = Runner()
        story = told(runner)
        runner.run(range(n_batches), max_epoch=n_epochs)
        counts = {event: story.count(event.name) for event in Event}
        assert counts == {
            Event.STARTED: 1,
            Event.EPOCH_STARTED: n_epochs,
            Event.BATCH: n_epochs * n_batches,
            Event.EPOCH_FINISHED: n_epochs,
            Event.FINISHED: 1,
            Event.RESUMED: 0,
            Event.STOPPED: 0,
            Event.FAILED: 0,
        }

    def test_a_stop_on_the_last_batch_leaves_the_epoch_to_resume(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 2))
        runner.run([1, 2])
        assert story == ["STARTED", "EPOCH_STARTED", "BATCH", "BATCH", "STOPPED"]
        story.clear()
        runner.resume()
        assert story == ["RESUMED", "EPOCH_FINISHED", "FINISHED"]

    def test_a_stop_on_epoch_started_leaves_its_batches_to_resume(self) -> None:
        runner = Runner()
        story = told(runner)
        subscription = runner.on(Event.EPOCH_STARTED, lambda _: runner.stop())
        runner.run([1, 2])
        subscription.dispose()
        story.clear()
        runner.resume(repeat_last_batch=True)
        assert story == ["RESUMED", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    def test_a_stop_in_the_last_epoch_finished_is_a_stop(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.EPOCH_FINISHED, lambda _: runner.stop())
        runner.run([1])
        assert story[-1] == "STOPPED"

    def test_a_finished_run_can_go_on_for_more_epochs(self) -> None:
        runner = Runner()
        runner.run([1, 2], max_epoch=2)
        story = told(runner)
        runner.state["max_epoch"] = 3
        runner.resume(repeat_last_batch=True)
        assert story == ["RESUMED", "EPOCH_STARTED", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]
        assert runner.state["n_iters"] == 6

    def test_a_batch_that_the_batches_stop_at_waits_for_resume(self) -> None:
        runner = Runner()
        seen: list[int] = []
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))

        def batches() -> Iterator[int]:
            yield 1
            runner.stop()
            yield 2
            yield 3

        runner.run(batches())
        assert seen == [1]
        assert (runner.state["batch"], runner.state["n_iters"]) == (1, 1)
        runner.resume()
        assert seen == [1, 2, 3]

    def test_batches_that_stop_and_end_leave_the_epoch_open(self) -> None:
        runner = Runner()
        story = told(runner)

        def batches() -> Iterator[int]:
            yield 1
            runner.stop()

        runner.run(batches())
        assert story[-2:] == ["BATCH", "STOPPED"]
        runner.resume()
        assert story[-3:] == ["RESUMED", "EPOCH_FINISHED", "FINISHED"]


class TestState:
    def test_what_was_set_before_a_run_is_kept(self) -> None:
        runner = Runner()
        runner.state["model"] = "mine"
        runner.run([1])
        assert runner.state["model"] == "mine"

    def test_the_documented_keys_are_there_from_the_start(self) -> None:
        runner = Runner()
        seen: list[State] = []
        runner.on(Event.STARTED, lambda state: seen.append(dict(state)))
        batches = [1]
        runner.run(batches, max_epoch=2)
        expected = {"batches": batches, "max_epoch": 2, "n_iters": 0, "running": True, "epoch": 0}
        assert expected.items() <= seen[0].items()
        assert type(runner.state) is dict

    def test_callbacks_may_replace_the_batch_for_the_next_one(self) -> None:
        runner = Runner()
        seen: list[int] = []
        runner.on(Event.BATCH, lambda state: state.update(batch=state["batch"] * 10))
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run([1, 2])
        assert seen == [10, 20]

    def test_callbacks_may_change_the_number_of_epochs(self) -> None:
        runner = Runner()
        runner.on(Event.STARTED, lambda state: state.update(max_epoch=5))
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(max_epoch=3))
        runner.run([1])
        assert runner.state["epoch"] == 3

    def test_callbacks_may_give_an_epoch_other_batches(self) -> None:
        runner = Runner()
        seen: list[int] = []

        @runner.on(Event.EPOCH_STARTED)
        def reshuffle(state: State) -> None:
            state["batches"] = [state["epoch"], state["epoch"] * 10]

        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run([], max_epoch=2)
        assert seen == [1, 10, 2, 20]

    def test_counters_restored_on_started_are_kept(self) -> None:
        runner = Runner()
        runner.on(Event.STARTED, lambda state: state.update(epoch=3, n_iters=30))
        runner.run([1, 2], max_epoch=5)
        assert (runner.state["epoch"], runner.state["n_iters"]) == (5, 34)

    def test_it_pickles_in_the_middle_of_an_epoch_over_a_generator(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] < 1))
        runner.run(Loader())
        other, seen = Runner(), list[int]()
        other.state = pickle.loads(pickle.dumps(runner.state))
        other.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        other.resume()
        assert seen == [2, 3]

    def test_another_runner_goes_on_from_a_pickled_state(self) -> None:
        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] < 1))
        runner.run(range(4))
        other = Runner()
        other.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        other.state.update(pickle.loads(pickle.dumps(runner.state)))
        other.resume()
        assert seen == [2, 3]

    def test_a_restored_state_is_not_continued_with_the_iterator_of_another(self) -> None:
        runner, seen, saved = Runner(), list[int](), list[bytes]()

        @runner.on(Event.BATCH)
        def record(state: State) -> None:
            seen.append(state["batch"])
            if state["batch"] == 1:
                saved.append(pickle.dumps(state))
            if state["batch"] == 3:
                runner.stop()

        runner.run(range(5))
        seen.clear()
        runner.state = pickle.loads(saved[0])
        runner.resume()
        assert seen == [2, 3]

    def test_a_stopped_run_leaves_nothing_to_the_next(self) -> None:
        runner, seen = Runner(), list[int]()
        subscription = runner.on(Event.BATCH, lambda _: runner.stop())
        runner.run([1, 2, 3])
        subscription.dispose()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run([4, 5])
        assert seen == [4, 5]

    def test_the_state_dies_with_the_runner(self) -> None:
        def use(runner: Runner) -> None:
            runner.on(Event.BATCH, lambda _: None)
            runner.stream(Event.BATCH).pipe(select("batch")).subscribe(lambda _: None)
            runner.run(range(3))

        assert not model_alive_after(use)

    def test_memory_stays_flat(self) -> None:
        runner = Runner()
        blocks: list[int] = []

        @runner.on(Event.BATCH)
        def measure(state: State) -> None:
            if state["n_iters"] in (10_000, 100_000):
                blocks.append(sys.getallocatedblocks())

        runner.run(range(100_000))
        assert blocks[1] - blocks[0] < 200


def model_alive_after(use: Callable[[Runner], None]) -> bool:
    """Tell whether what a state holds outlives its runner, without the garbage collector."""

    class Model:
        pass

    gc.disable()
    try:
        model, runner = Model(), Runner()
        alive = weakref.ref(model)
        runner.state["model"] = model
        use(runner)
        del model, runner
        return alive() is not None
    finally:
        gc.enable()


class Loader:
    """Batches whose iterator is a generator, as that of most loaders is."""

    def __iter__(self) -> Iterator[int]:
        yield from range(4)


class TestOn:
    def test_as_a_decorator_it_gives_the_callback_back(self) -> None:
        runner = Runner()

        def callback(state: State) -> None:
            state["called"] = True

        assert runner.on(Event.BATCH)(callback) is callback
        runner.run([1])
        assert runner.state["called"]

    @pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys])
    def test_several_callbacks_are_called_in_order(self, kind: Callable[[Any], Any]) -> None:
        runner, seen = Runner(), list[str]()

        def first(_: State) -> None:
            seen.append("first")

        def second(_: State) -> None:
            seen.append("second")

        subscription = runner.on(Event.BATCH, kind([first, second]))
        runner.run([1])
        assert seen == ["first", "second"]
        subscription.dispose()
        runner.run([1])
        assert seen == ["first", "second"]

    def test_no_callbacks_at_all(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, []).dispose()
        runner.run([1])

    def test_what_can_be_called_is_one_callback_even_if_it_can_be_iterated(self) -> None:
        runner, callback = Runner(), MagicMock()
        runner.on(Event.BATCH, callback)
        runner.run([1])
        callback.assert_called_once_with(runner.state)

    def test_callbacks_of_one_event_may_subscribe_to_another_during_the_run(self) -> None:
        runner, seen = Runner(), list[int]()

        @runner.on(Event.EPOCH_STARTED)
        def subscribe(_: State) -> None:
            runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))

        runner.run([1, 2])
        assert seen == [1, 2]


class TestStream:
    def test_it_is_one_real_subject_for_each_event(self) -> None:
        runner = Runner()
        for event in Event:
            assert isinstance(runner.stream(event), Subject)
            assert runner.stream(event) is runner.stream(event)

    def test_it_serves_every_run(self) -> None:
        runner, seen = Runner(), list[Any]()
        runner.stream(Event.BATCH).pipe(select("batch"), ops.scan(lambda a, b: a + b)).subscribe(
            seen.append, on_completed=lambda: seen.append("completed")
        )
        runner.run([1, 2])
        runner.run([3])
        assert seen == [1, 3, 6]

    def test_it_carries_the_state_itself(self) -> None:
        runner, seen = Runner(), list[State]()
        runner.stream(Event.STARTED).subscribe(seen.append)
        runner.run([])
        assert seen[0] is runner.state


class TestStop:
    def test_it_may_come_from_another_thread(self) -> None:
        runner = Runner()
        under_way = threading.Event()

        def stop() -> None:
            under_way.wait()
            runner.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        runner.on(Event.BATCH, lambda _: under_way.set())
        runner.run(iter(int, 1))
        stopper.join()
        assert not runner.state["running"]

    def test_on_an_idle_runner_it_changes_nothing(self) -> None:
        runner, seen = Runner(), list[int]()
        runner.stop()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run([1])
        assert seen == [1]


class TestIterators:
    def test_a_generator_serves_one_epoch(self) -> None:
        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run(i for i in range(3))
        assert seen == [0, 1, 2]

    @pytest.mark.parametrize("batches", [iter([1, 2, 3]), map(int, "123"), (i for i in [1, 2])])
    def test_a_second_epoch_over_it_is_warned_about_at_the_line_of_run(
        self, batches: Iterator[int]
    ) -> None:
        runner = Runner()
        with pytest.warns(
            RnnrWarning, match="it was exhausted before: this epoch has none"
        ) as caught:
            runner.run(batches, max_epoch=2)
        assert [warning.filename for warning in caught] == [__file__]
        assert runner.state["epoch"] == 2

    @pytest.mark.parametrize(("batches", "n_epochs"), [([], 2), (iter([]), 1)])
    def test_batches_that_were_always_empty_are_no_reason_to_warn(
        self, batches: Any, n_epochs: int
    ) -> None:
        Runner().run(batches, max_epoch=n_epochs)

    def test_a_stopped_generator_goes_on(self) -> None:
        runner, seen = Runner(), list[int]()

        @runner.on(Event.BATCH)
        def stop(state: State) -> None:
            seen.append(state["batch"])
            runner.stop()

        runner.run(i for i in range(3))
        runner.resume()
        runner.resume()
        assert seen == [0, 1, 2]

    def test_one_of_which_nothing_was_drawn_can_be_resumed_by_another_runner(self) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_STARTED, lambda _: runner.stop())
        runner.run(i for i in range(3))
        other, seen = Runner(), list[int]()
        other.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        other.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        other.resume()
        assert seen == [0, 1, 2]

    def test_one_whose_epoch_is_finished_can_be_resumed_by_another_runner(self) -> None:
        runner = Runner()
        runner.run(i for i in range(3))
        other = Runner()
        other.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        story = told(other)
        other.resume()
        assert story == ["RESUMED", "FINISHED"]

    def test_it_is_let_go_of_when_the_epoch_is_finished(self) -> None:
        class Numbers:
            def __init__(self) -> None:
                self.left = [1, 2]

            def __iter__(self) -> "Numbers":
                return self

            def __next__(self) -> int:
                if not self.left:
                    raise StopIteration
                return self.left.pop()

        class Loader:
            def __iter__(self) -> Numbers:
                numbers = Numbers()
                made.append(weakref.ref(numbers))
                return numbers

        runner, made = Runner(), list[weakref.ref[Numbers]]()
        gone: list[bool] = []
        runner.on(Event.EPOCH_FINISHED, lambda _: gone.append(made[-1]() is None))
        runner.run(Loader(), max_epoch=2)
        assert gone == [True, True]

    def test_it_is_not_made_before_it_is_needed(self) -> None:
        class Counted:
            n = 0

            def __iter__(self) -> Iterator[int]:
                self.n += 1
                return iter([1])

        runner, batches = Runner(), Counted()
        subscription = runner.on(Event.EPOCH_STARTED, lambda _: runner.stop())
        runner.run(batches)
        assert batches.n == 0
        subscription.dispose()
        runner.resume()
        assert batches.n == 1

    def test_one_whose_position_is_lost_cannot_be_resumed(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda _: runner.stop())
        runner.run(i for i in range(3))
        other = Runner()
        other.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        story = told(other)
        with pytest.raises(RuntimeError, match=r"epoch 1 cannot be resumed after 1 batches: expec"):
            other.resume()
        assert story == []
        other.state["batches"] = range(3)
        other.resume()
        assert story == ["RESUMED", "BATCH", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    def test_a_generator_that_raised_is_not_taken_for_exhausted_in_silence(self) -> None:
        def batches() -> Iterator[int]:
            yield 1
            raise OSError("the disk is gone")

        runner = Runner()
        with pytest.raises(OSError, match="the disk is gone"):
            runner.run(batches())
        with pytest.warns(RnnrWarning, match="raised an error before and has nothing left"):
            runner.resume()

    def test_an_iterator_that_recovers_goes_on(self) -> None:
        class Queue:
            def __init__(self) -> None:
                self.items = [1, OSError("busy"), 2]

            def __iter__(self) -> "Queue":
                return self

            def __next__(self) -> int:
                if not self.items:
                    raise StopIteration
                item = self.items.pop(0)
                if isinstance(item, OSError):
                    raise item
                return int(str(item))

        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        with pytest.raises(OSError, match="busy"):
            runner.run(Queue())
        runner.resume()
        assert seen == [1, 2]

    def test_the_iterator_of_a_loader_that_fails_on_one_record_goes_on(self) -> None:
        class Records:
            def __iter__(self) -> Iterator[int]:
                return map(self.read, range(4))

            def read(self, i: int) -> int:
                if i == 1:
                    raise OSError("a corrupt record")
                return i

        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        with pytest.raises(OSError, match="a corrupt record"):
            runner.run(Records())
        runner.resume()
        assert seen == [0, 2, 3]

    def test_a_generator_that_another_run_has_exhausted_is_warned_about(self) -> None:
        batches = (i for i in range(3))
        Runner().run(batches)
        with pytest.warns(RnnrWarning, match="it was exhausted before: this epoch has none"):
            Runner().run(batches)

    def test_a_warning_that_is_an_error_leaves_the_epoch_finished(self) -> None:
        runner = Runner()
        story = told(runner)
        with pytest.raises(RnnrWarning):
            runner.run((i for i in range(3)), max_epoch=2)
        assert story[-3:] == ["EPOCH_STARTED", "EPOCH_FINISHED", "FAILED"]


def run_and_resume(runner: Runner, batches: list[int]) -> None:
    runner.run(batches)
    runner.resume()


class TestErrors:
    @pytest.mark.parametrize(
        "error", [Boom("oh"), StopIteration("oh"), KeyboardInterrupt("oh"), SystemExit("oh")]
    )
    def test_what_a_callback_raises_leaves_run_as_itself(self, error: BaseException) -> None:
        runner = Runner()
        story = told(runner)

        @runner.on(Event.BATCH)
        def fail(_: State) -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            runner.run([1, 2])
        assert caught.value is error
        assert caught.traceback[-1].name == "fail"
        assert error.__notes__ == ["rnnr: in a handler of Event.BATCH, epoch 1, iteration 1"]
        assert story == ["STARTED", "EPOCH_STARTED", "BATCH", "FAILED"]
        assert runner.state["running"] is False

    def test_what_the_batches_raise_does_too(self) -> None:
        def batches() -> Iterator[int]:
            yield 1
            raise Boom

        runner = Runner()
        story = told(runner)
        with pytest.raises(Boom) as caught:
            runner.run(batches())
        assert caught.value.__notes__ == ["rnnr: while batches were drawn, epoch 1, iteration 1"]
        assert story[-2:] == ["BATCH", "FAILED"]

    @pytest.mark.parametrize("event", set(Event) - {Event.STOPPED, Event.FAILED}, ids=str)
    def test_the_note_names_the_event(self, event: Event) -> None:
        runner = Runner()
        story = told(runner)

        @runner.on(event)
        def fail(_: State) -> None:
            raise Boom

        with pytest.raises(Boom) as caught:
            (run_and_resume if event is Event.RESUMED else Runner.run)(runner, [1])
        assert f"in a handler of {event}," in caught.value.__notes__[0]
        assert story[-2:] == [event.name, "FAILED"]

    def test_an_evaluation_inside_adds_where_it_was_called(self) -> None:
        trainer, evaluator = Runner(), Runner()

        @evaluator.on(Event.BATCH)
        def fail(_: State) -> None:
            raise Boom

        trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run([1]))
        with pytest.raises(Boom) as caught:
            trainer.run([1, 2])
        assert [note.split(",")[0] for note in caught.value.__notes__] == [
            "rnnr: in a handler of Event.BATCH",
            "rnnr: in a handler of Event.EPOCH_FINISHED",
        ]

    def test_an_exception_that_takes_no_notes_still_leaves_as_itself(self) -> None:
        @dataclass(frozen=True)
        class Frozen(Exception):
            code: int

        error, runner = Frozen(3), Runner()

        def batches() -> Iterator[int]:
            raise error
            yield

        with pytest.raises(Frozen) as caught:
            runner.run(batches())
        assert caught.value is error

    def test_the_state_has_the_error_only_while_failed_is_delivered(self) -> None:
        runner, seen = Runner(), list[Any]()
        error = Boom()

        @runner.on(Event.BATCH)
        def fail(_: State) -> None:
            raise error

        runner.on(Event.FAILED, lambda state: seen.append(state["error"]))
        with pytest.raises(Boom):
            runner.run([1])
        assert seen == [error]
        assert "error" not in runner.state

    def test_a_metric_of_that_name_comes_back(self) -> None:
        runner = Runner()
        runner.state["error"] = 0.25
        runner.on(Event.STARTED, lambda _: 1 / 0)
        runner.on(Event.FAILED, lambda state: state.pop("error"))
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        assert runner.state["error"] == 0.25

    def test_an_error_in_a_failed_handler_does_not_hide_the_first(self) -> None:
        runner, seen = Runner(), list[str]()
        error = Boom("the first")

        def fail(_: State) -> None:
            raise error

        runner.on(Event.BATCH, fail)
        runner.on(
            Event.FAILED, [lambda _: 1 / 0, lambda _: seen.append("reached"), lambda _: [][1]]
        )
        with pytest.raises(Boom) as caught:
            runner.run([1])
        assert caught.value is error
        assert seen == ["reached"]
        notes = "".join(error.__notes__)
        assert "a handler of Event.FAILED failed too" in notes
        assert "ZeroDivisionError" in notes
        assert "IndexError" in notes

    def test_a_failed_handler_may_raise_the_error_again(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda _: 1 / 0)

        @runner.on(Event.FAILED)
        def again(state: State) -> None:
            raise state["error"]

        with pytest.raises(ZeroDivisionError) as caught:
            runner.run([1])
        assert len(caught.value.__notes__) == 1

    def test_an_error_in_a_stopped_handler_leaves_after_all_were_reached(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.BATCH, lambda _: runner.stop())
        runner.on(Event.STOPPED, [lambda _: 1 / 0, lambda _: story.append("reached")])
        with pytest.raises(ZeroDivisionError) as caught:
            runner.run([1, 2])
        assert story == ["STARTED", "EPOCH_STARTED", "BATCH", "STOPPED", "reached"]
        assert "in a handler of Event.STOPPED" in caught.value.__notes__[0]

    def test_a_failed_run_resumes_with_the_next_batch_or_the_same(self) -> None:
        runner, seen = Runner(), list[int]()

        @runner.on(Event.BATCH)
        def fail_at_two(state: State) -> None:
            seen.append(state["batch"])
            if state["batch"] == 2 and seen.count(2) < 2:
                raise Boom

        with pytest.raises(Boom):
            runner.run([1, 2, 3])
        runner.resume(repeat_last_batch=True)
        assert seen == [1, 2, 2, 3]

    def test_keyboard_interrupt_around_run_and_resume(self) -> None:
        runner, seen = Runner(), list[int]()

        @runner.on(Event.BATCH)
        def interrupted(state: State) -> None:
            seen.append(state["batch"])
            if len(seen) == 2:
                raise KeyboardInterrupt

        try:
            runner.run([1, 2, 3])
        except KeyboardInterrupt:
            runner.resume()
        assert seen == [1, 2, 3]

    def test_an_exception_that_is_raised_again_and_again_has_the_notes_of_the_last_time(
        self,
    ) -> None:
        sweep, trainer, evaluator, error = Runner(), Runner(), Runner(), Boom()

        @evaluator.on(Event.BATCH)
        def fail(_: State) -> None:
            raise error

        trainer.on(Event.BATCH, lambda _: evaluator.run([1]))
        sweep.on(Event.BATCH, lambda _: trainer.run([1]))
        with pytest.raises(Boom):
            sweep.run(range(30))
        for _ in range(20):
            with pytest.raises(Boom):
                sweep.resume()
        note = "rnnr: in a handler of Event.BATCH, epoch 1, iteration "
        assert error.__notes__ == [f"{note}1", f"{note}1", f"{note}21"]

    def test_failures_of_handlers_of_failed_are_all_told_and_do_not_grow(self) -> None:
        runner, error = Runner(), Boom()

        def send(port: int, _: State) -> None:
            raise ConnectionError(f"port {port} at {object()}")

        runner.on(Event.BATCH, lambda _: raise_(error))
        runner.on(Event.FAILED, [partial(send, port) for port in (8001, 8002, 8003)])
        for n in range(10):
            with pytest.raises(Boom):
                runner.run([1])
            notes = "".join(error.__notes__)
            assert [notes.count(f"port {port}") for port in (8001, 8002, 8003)] == [1] * 3, n

    def test_a_batch_that_callbacks_let_go_of_is_free(self) -> None:
        class Batch:
            """What a weak reference can tell of."""

        def batches() -> Iterator[Batch]:
            for _ in range(3):
                alive.append([one() is not None for one in references])  # while one is loaded
                yield Batch()

        runner, references, alive = Runner(), list[weakref.ref[Batch]](), list[list[bool]]()

        @runner.on(Event.BATCH)
        def step(state: State) -> None:
            references.append(weakref.ref(state["batch"]))
            state["batch"] = None

        runner.on(
            Event.EPOCH_FINISHED, lambda _: alive.append([one() is not None for one in references])
        )
        runner.run(batches())
        assert alive == [[], [False], [False] * 2, [False] * 3]

    def test_an_error_that_was_saved_with_the_state_does_not_come_back(self) -> None:
        runner, saved = Runner(), list[bytes]()
        runner.on(Event.BATCH, lambda _: 1 / 0)
        runner.on(Event.FAILED, lambda state: saved.append(pickle.dumps(state)))
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        other = Runner()
        other.state = pickle.loads(saved[0])
        other.resume()
        assert "error" not in other.state

    def test_nothing_keeps_the_state_alive_after_a_handler_of_failed_failed(self) -> None:
        def use(runner: Runner) -> None:
            runner.on(Event.BATCH, lambda _: 1 / 0)
            runner.on(Event.FAILED, [lambda _: [][1], lambda _: [][2]])
            with pytest.raises(ZeroDivisionError):
                runner.run([1])

        assert not model_alive_after(use)

    def test_batches_deleted_by_a_callback_are_missed_by_name(self) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(Event.EPOCH_STARTED, lambda state: state.pop("batches"))
        with pytest.raises(KeyError, match="batches"):
            runner.run([1])
        assert story[-1] == "FAILED"

    @pytest.mark.parametrize("key", ["batches", "max_epoch", "n_iters", "epoch", "running"])
    @pytest.mark.parametrize("event", [Event.STARTED, Event.EPOCH_STARTED, Event.BATCH])
    def test_a_key_that_a_callback_has_removed_is_named(self, key: str, event: Event) -> None:
        runner = Runner()
        story = told(runner)
        runner.on(event.once(), lambda state: state.pop(key))
        with pytest.raises(KeyError) as caught:
            runner.run([1], max_epoch=2)
        assert caught.value.args == (key,)
        told_twice = f"rnnr: a callback has removed state[{key!r}], which the run needs; keep it"
        assert told_twice in caught.value.__notes__
        assert story[-1] == "FAILED"
        assert runner.state["running"] is False

    def test_all_keys_that_were_removed_are_named_and_no_others(self) -> None:
        runner = Runner()
        runner.on(Event.STARTED, dict.clear)
        with pytest.raises(KeyError) as caught:
            runner.run([1])
        names = "state['batches'], state['max_epoch'], state['n_iters'], state['epoch']"
        assert any(f"{names}, state['running']" in note for note in caught.value.__notes__)
        other = Runner()
        other.on(Event.BATCH, lambda state: state["epochs"])
        with pytest.raises(KeyError) as caught:
            other.run([1])
        assert not any("removed" in note for note in caught.value.__notes__)

    def test_batches_that_delete_themselves_and_fail_hide_no_error(self) -> None:
        runner = Runner()
        story = told(runner)

        def batches() -> Iterator[int]:
            del runner.state["batches"]
            raise OSError("the disk is gone")
            yield

        with pytest.raises(OSError, match="the disk is gone"):
            runner.run(batches())
        assert story[-1] == "FAILED"

    def test_a_pipeline_of_the_user_that_raises_leaves_run_as_reactivex_lets_it(self) -> None:
        runner, seen = Runner(), list[Any]()

        def inverse(state: State) -> float:
            return float(1 / state["batch"])

        runner.stream(Event.BATCH).pipe(ops.map(inverse)).subscribe(seen.append)
        with pytest.raises(ZeroDivisionError):
            runner.run([1, 0, 2])
        runner.resume()
        assert seen == [1.0]


class TestInterrupt:
    """KeyboardInterrupt at each call that a run makes: Python looks for signals there."""

    def test_the_runner_can_always_go_on(self) -> None:
        n, interrupted = 0, True
        while interrupted:
            n += 1
            runner, seen = Runner(), list[int]()
            story = told(runner)
            runner.on(Event.BATCH, lambda state, seen=seen: seen.append(state["batch"]))  # type: ignore[misc]
            try:
                with interrupt_at_call(n, "rnnr.runner", "rnnr._loop"):
                    runner.run(Loader(), max_epoch=2)
                interrupted = False
            except KeyboardInterrupt:
                assert not runner.state.get("running")
                if "batches" in runner.state:
                    assert story[-1] in ("FAILED", "FINISHED")
                    runner.resume()
                    assert story[-1] == "FINISHED"
                    assert len(seen) in (7, 8)  # one may have been under way
                runner.run([1, 2])
        assert n > 40


class TestReentrance:
    @pytest.mark.parametrize(
        "again", [lambda runner: runner.run([1]), lambda runner: runner.resume()]
    )
    def test_a_runner_does_not_run_inside_its_own_callback(
        self, again: Callable[[Runner], None]
    ) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda _: again(runner))
        with pytest.raises(RuntimeError, match=r"a runner runs once at a time.*use another Runner"):
            runner.run([1])

    def test_one_that_was_refused_does_not_let_the_next_in(self) -> None:
        runner, refused = Runner(), list[RuntimeError]()

        @runner.on(Event.BATCH)
        def try_twice(_: State) -> None:
            for _attempt in range(2):
                try:
                    runner.run([1])
                except RuntimeError as error:
                    refused.append(error)

        runner.run([1])
        assert len(refused) == 2

    def test_another_one_does(self) -> None:
        trainer, evaluator, seen = Runner(), Runner(), list[int]()
        evaluator.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run([7, 8]))
        trainer.run([1], max_epoch=2)
        assert seen == [7, 8, 7, 8]

    def test_a_runner_is_free_again_after_a_failure(self) -> None:
        runner = Runner()
        subscription = runner.on(Event.BATCH, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        subscription.dispose()
        runner.run([1])


async def asynchronous(state: State) -> None:
    """Would never run."""


def generating(state: State) -> Iterator[None]:
    """Would never run either."""
    yield


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no repr either")


class Shouting:
    """A callback of state, of which one has to be made."""

    def __call__(self, state: State) -> None:
        """Would have been called."""


IS_OPERATOR = r"callbacks must be a function that does .* got .*it is an operator of streams: write"

MISTAKES: list[tuple[Any, str]] = [
    (ops.map(print), IS_OPERATOR),
    (ops.to_list(), IS_OPERATOR),
    (reactivex.compose(ops.pairwise()), IS_OPERATOR),
    (ops.pairwise, r"got <function pairwise .*; call it: write pairwise\(\.\.\.\)"),
    (chunk(3), IS_OPERATOR),
    ([print, chunk(3)], IS_OPERATOR.replace("callbacks", r"callbacks\[1\]")),
    (select("loss"), r"it only passes on: write pipeline\(select\(.loss.\), do\(function"),
    (every(2), "it only passes on: write pipeline"),
    (stop, r"got <function stop .*; call it: write stop\(\.\.\.\)"),
    (maybe_stop_early, r"call it: write maybe_stop_early\(\.\.\.\)"),
    (MeanReducer, r"it is a class: write MeanReducer\(\.\.\.\).attach_on\(runner\)"),
    (Shouting, r"it is a class: write Shouting\(\.\.\.\)"),
    ([MeanReducer("loss")], r"callbacks\[0\] must be callable.*its attach_on\(runner\)"),
    (reactivex.Subject(), "callbacks must be callable .*pass its on_next"),
]
"""What can be called with a state, or looks like it, and would do nothing in silence."""


class TestBadInput:
    """Refused when given: what was expected, what came, what to do; and nothing is lost."""

    @pytest.mark.parametrize(
        ("misuse", "error", "match"),
        [
            (
                lambda runner: runner.on("batch", print),
                TypeError,
                r"event must be an Event or a Selection, got 'batch' \(str\); write for exam",
            ),
            (lambda runner: runner.on("batch"), TypeError, "event must be an Event"),
            (
                lambda runner: runner.stream(3),
                TypeError,
                "event must be an Event or a Selection, got 3",
            ),
            (
                lambda runner: runner.on(Event.BATCH, 3),
                TypeError,
                r"callbacks must be callable or an iterable of callables, got 3 \(int\); pass a f",
            ),
            (
                lambda runner: runner.on(Event.BATCH, [print, "print"]),
                TypeError,
                r"callbacks\[1\] must be callable, got 'print' \(str\); pass a function",
            ),
            (lambda runner: runner.on(Event.BATCH)(None), TypeError, "callbacks must be callable"),
            (
                lambda runner: runner.run(3),
                TypeError,
                r"batches must be iterable, got 3 \(int\); pass a list, a generator or a loader",
            ),
            (
                lambda runner: runner.on(Event.BATCH, asynchronous),
                TypeError,
                r"callbacks must be a function that runs when it is called, got <.*it is async",
            ),
            (
                lambda runner: runner.on(Event.BATCH, [print, asynchronous]),
                TypeError,
                r"callbacks\[1\] must be a function that runs when it is called",
            ),
            *(
                (lambda runner, mistake=mistake: runner.on(Event.BATCH, mistake), TypeError, match)
                for mistake, match in MISTAKES
            ),
            (
                lambda runner: runner.on(Event.BATCH, generating),
                TypeError,
                r"callbacks must be a function that runs .*take the yield out of it",
            ),
            (lambda runner: runner.run(None), TypeError, "batches must be iterable, got None"),
            (
                lambda runner: runner.run(asynchronous),
                TypeError,
                "batches must be iterable, got <function .*an Observable or an async iterable",
            ),
            (
                lambda runner: runner.on(Event.BATCH, reactivex.of(print)),
                TypeError,
                "callbacks must be callable or an iterable of callables, got <reactivex",
            ),
            (
                lambda runner: runner.run([1], max_epoch=-1),
                ValueError,
                r"max_epoch must be an integer of 0 or more, got -1 \(int\); pass 0",
            ),
            (
                lambda runner: runner.run([1], max_epoch=1.0),
                TypeError,
                r"max_epoch must be an integer of 0 or more, got 1.0 \(float\); pass 0 to run",
            ),
            (lambda runner: runner.run([1], max_epoch=float("inf")), TypeError, "sys.maxsize"),
            (lambda runner: runner.run([1], max_epoch=None), TypeError, "max_epoch must be an int"),
            (
                lambda runner: runner.resume(),
                RuntimeError,
                "there is no run to resume: expected the state of a run, got one without "
                "batches, epoch, max_epoch, n_iters; call run first, or restore",
            ),
        ],
    )
    def test_it_is_refused_at_once(
        self, misuse: Callable[[Any], None], error: type[Exception], match: str
    ) -> None:
        runner = Runner()
        story = told(runner)
        runner.state["mine"] = "kept"
        with pytest.raises(error, match=match):
            misuse(runner)
        assert runner.state == {"mine": "kept"}
        assert story == []
        runner.run([1])
        assert story == ["STARTED", "EPOCH_STARTED", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    def test_what_only_looks_like_a_mistake_is_called(self) -> None:
        class Seen:
            def __init__(self, state: State) -> None:
                seen.append(state["batch"])

        seen = list[int]()
        subject = reactivex.Subject[State]()
        subject.subscribe(lambda state: seen.append(state["batch"]))
        runner = Runner()
        runner.on(Event.BATCH, [Seen, subject.on_next, partial(Seen), Shouting(), stop()])
        runner.on(Event.BATCH.every(1), stop())
        runner.run([7, 8])
        assert seen == [7, 7, 7]

    def test_of_several_callbacks_none_is_added_when_one_is_refused(self) -> None:
        runner, seen = Runner(), list[State]()
        with pytest.raises(TypeError, match=r"callbacks\[1\]"):
            runner.on(Event.BATCH, [seen.append, None])  # type: ignore[list-item]
        runner.run([1])
        assert seen == []

    def test_integers_of_other_types_become_an_int(self) -> None:
        runner = Runner()
        for one in (True, np.int64(1)):
            runner.run([1], max_epoch=one)  # type: ignore[arg-type]
            assert type(runner.state["max_epoch"]) is int

    def test_batches_that_cannot_be_iterated_are_refused_by_resume_too(self) -> None:
        runner = Runner()
        runner.run([1])
        story = told(runner)
        runner.state["batches"] = 3
        with pytest.raises(TypeError, match="batches must be iterable, got 3"):
            runner.resume()
        assert story == []

    def test_a_class_of_batches_and_what_says_that_it_cannot_be_iterated_are_refused(self) -> None:
        class Not:
            __iter__ = None

        for batches in (list, Not()):
            with pytest.raises(TypeError, match="batches must be iterable"):
                Runner().run(batches)  # type: ignore[arg-type]

    def test_a_fraction_is_no_integer(self) -> None:
        runner = Runner()
        with pytest.raises(TypeError, match="max_epoch"):
            runner.run([1], max_epoch=Fraction(1))  # type: ignore[arg-type]

    def test_old_sequences_are_iterable(self) -> None:
        class Old:
            def __getitem__(self, i: int) -> int:
                return [1, 2][i]

        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        runner.run(Old())  # type: ignore[arg-type]
        assert seen == [1, 2]

    def test_a_value_that_cannot_be_shown_is_refused_all_the_same(self) -> None:
        with pytest.raises(TypeError, match=r"batches must be iterable, got <.*Broken object at"):
            Runner().run(Broken())  # type: ignore[arg-type]

    def test_a_long_value_is_shown_in_short(self) -> None:
        with pytest.raises(TypeError) as caught:
            Runner().run([1], max_epoch="x" * 10_000)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 300


def test_an_attachment_that_is_passed_as_a_callback_is_refused_with_the_cure() -> None:
    with pytest.raises(TypeError, match=r"callbacks must be callable.*attach_on\(runner\)"):
        Runner().on(Event.BATCH, EpochTimer())  # type: ignore[call-overload]
