"""Runs as Observables: cold by `observe`, hot by `runs`."""

import asyncio
import contextvars
import gc
import itertools
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.internal import SequenceContainsNoElementsError
from reactivex.scheduler import (
    CurrentThreadScheduler,
    ImmediateScheduler,
    NewThreadScheduler,
    TrampolineScheduler,
)
from reactivex.subject import Subject

from helpers.events import n_handlers
from helpers.faults import Boom
from helpers.threads import GUARD
from rnnr import Emission, Event, RnnrWarning, Runner, State
from rnnr.operators import select, states
from rnnr.scheduling import InPlaceScheduler


def moment(emission: Emission) -> tuple[str, int, Any]:
    return emission.event.name, emission.state["n_iters"], emission.state.get("batch")


def batch_of(emission: Emission) -> Any:
    return emission.state["batch"]


def is_batch(emission: Emission) -> bool:
    return emission.event is Event.BATCH


class TestObserve:
    @given(
        n_batches=st.integers(0, 3),
        max_epoch=st.integers(0, 3),
        stops=st.sets(st.integers(1, 12), max_size=2),
        faults=st.sets(st.integers(1, 12), max_size=2),
    )
    def test_it_emits_what_callbacks_are_told_and_ends_as_the_run_does(
        self, n_batches: int, max_epoch: int, stops: set[int], faults: set[int]
    ) -> None:
        def prepared() -> tuple[Runner, list[Any]]:
            runner, calls = Runner(), itertools.count(1)

            def act(state: State) -> None:
                call = next(calls)
                if call in stops:
                    state["running"] = False
                if call in faults:
                    raise Boom

            for event in set(Event) - {Event.STOPPED, Event.FAILED}:
                runner.on(event, act)
            return runner, []

        told, expected = prepared()
        for event in Event:
            told.on(
                event,
                lambda state, event=event: expected.append(moment(Emission(event, state))),  # type: ignore[misc]
            )
        try:
            told.run(range(n_batches), max_epoch)
        except Boom as error:
            expected.append(repr(error))
        else:
            expected.append("completed")

        observed, seen = prepared()
        observed.observe(range(n_batches), max_epoch).subscribe(
            lambda emission: seen.append(moment(emission)),
            lambda error: seen.append(repr(error)),
            lambda: seen.append("completed"),
        )
        assert seen == expected
        assert {**observed.state, "_epoch": 0} == {**told.state, "_epoch": 0}

    def test_it_runs_when_it_is_subscribed_and_each_time_again(self) -> None:
        seen: list[Any] = []
        runner = Runner()
        run = runner.observe("ab").pipe(ops.filter(is_batch), ops.map(batch_of))
        assert runner.state == {}
        for _ in range(2):
            run.subscribe(seen.append)
        assert seen == ["a", "b"] * 2
        assert n_handlers(runner) == 0

    def test_an_error_nobody_handles_leaves_subscribe_as_itself(self) -> None:
        error = Boom("a fault")

        def fail(_: State) -> None:
            raise error

        runner = Runner()
        runner.on(Event.BATCH, fail)
        with pytest.raises(Boom) as caught:
            runner.observe([1]).subscribe()
        assert caught.value is error
        assert error.__notes__ == ["rnnr: in a handler of Event.BATCH, epoch 1, iteration 1"]
        assert n_handlers(runner) == 1

    def test_an_interrupt_leaves_subscribe_as_itself_and_nothing_behind(self) -> None:
        def interrupt(_: State) -> None:
            raise KeyboardInterrupt

        seen: list[Event] = []
        runner = Runner()
        runner.on(Event.BATCH, interrupt)
        with pytest.raises(KeyboardInterrupt):
            runner.observe([1]).subscribe(lambda emission: seen.append(emission.event))
        assert seen[-1] is Event.FAILED
        assert n_handlers(runner) == 1
        assert not runner.state["running"]

    def test_a_handler_that_an_interrupt_left_behind_does_nothing(self) -> None:
        seen: list[Event] = []
        attempts: list[Any] = []
        runner = Runner()
        run: Any = runner.observe([1])
        runner.on(Event.BATCH, lambda _: attempts.append(run._current))
        run.subscribe(lambda emission: seen.append(emission.event))
        told = list(seen)
        attempts[0].dispose()
        attempts[0]._emit(Event.STARTED, {"running": True})
        assert seen == told

    def test_an_error_of_the_observer_fails_the_run(self) -> None:
        seen: list[Any] = []

        def fail(_: object) -> None:
            raise Boom

        runner = Runner()
        runner.on(Event.FAILED, lambda state: seen.append(type(state["error"])))
        with pytest.raises(Boom):
            runner.observe([1]).subscribe(fail)
        assert seen == [Boom]

    @pytest.mark.parametrize("n", range(1, 7))
    def test_disposing_stops_the_loop_at_the_next_gate(self, n: int) -> None:
        seen: list[Any] = []
        runner = Runner()
        runner.on(Event.STOPPED, lambda state: seen.append(("stopped", state["n_iters"])))
        endless = runner.observe(itertools.count())
        endless.pipe(ops.filter(is_batch), ops.map(batch_of), ops.take(n)).subscribe(seen.append)
        assert seen == [*range(n), ("stopped", n)]
        assert n_handlers(runner) == 1

    def test_disposing_before_it_begins_keeps_it_from_running(self) -> None:
        runner = Runner()

        def inside(_: object) -> None:  # where ReactiveX puts off what is subscribed
            runner.observe([1]).subscribe().dispose()

        rx.of(1).subscribe(inside)
        assert runner.state == {}

    def test_disposing_after_its_end_does_not_stop_a_later_run(self) -> None:
        runner = Runner()
        subscription = runner.observe([1]).subscribe()
        runner.on(Event.BATCH, lambda _: subscription.dispose())
        runner.run([1, 2])
        assert runner.state["n_iters"] == 2

    @pytest.mark.parametrize("how", ["subscribe_on", "scheduler"])
    def test_it_can_be_disposed_of_from_another_thread(self, how: str) -> None:
        ended = threading.Event()
        first_batch = threading.Event()
        runner = Runner()
        runner.on(Event.BATCH, lambda _: first_batch.set())
        runner.on(Event.STOPPED, lambda _: ended.set())
        run, new = runner.observe(itertools.count()), NewThreadScheduler()
        if how == "subscribe_on":
            subscription = run.pipe(ops.subscribe_on(new), ops.map(moment)).subscribe()
        else:
            subscription = run.pipe(ops.map(moment)).subscribe(scheduler=new)
        assert first_batch.wait(30)
        subscription.dispose()
        assert ended.wait(30)

    @pytest.mark.parametrize("how", ["subscribe_on", "scheduler"])
    def test_it_runs_on_the_thread_it_is_told(self, how: str) -> None:
        threads: list[threading.Thread] = []
        done = threading.Event()
        runner = Runner()
        runner.on(Event.BATCH, lambda _: threads.append(threading.current_thread()))
        run, new = runner.observe([1]), NewThreadScheduler()
        if how == "subscribe_on":
            run.pipe(ops.subscribe_on(new)).subscribe(on_completed=done.set)
        else:
            run.subscribe(on_completed=done.set, scheduler=new)
        assert done.wait(30)
        run.subscribe()
        assert threads[0] is not threading.current_thread()
        assert threads[1] is threading.current_thread()

    @pytest.mark.parametrize(
        "scheduler",
        [InPlaceScheduler(), ImmediateScheduler(), CurrentThreadScheduler(), TrampolineScheduler()],
        ids=lambda scheduler: type(scheduler).__name__,
    )
    def test_a_scheduler_of_this_thread_does_not_keep_take_from_ending_it(
        self, scheduler: Any
    ) -> None:
        seen: list[Any] = []
        endless = Runner().observe(itertools.count())
        endless.pipe(states(Event.BATCH), select("batch"), ops.take(3)).subscribe(
            seen.append, scheduler=scheduler
        )
        assert seen == [0, 1, 2]

    def test_an_error_that_comes_after_disposing_leaves_subscribe(self) -> None:
        error = OSError("disk full")
        runner = Runner()
        runner.on(Event.STOPPED, lambda _: fail_with(error))
        with pytest.raises(OSError, match="disk full") as caught:
            runner.observe("abc").pipe(ops.take(3)).subscribe()
        assert caught.value is error

    def test_so_does_one_of_the_callback_that_disposes(self) -> None:
        told: list[Event] = []
        enough = Subject[int]()
        runner = Runner()

        @runner.on(Event.BATCH)
        def dispose_and_fail(_: State) -> None:
            enough.on_next(1)
            raise Boom

        runner.on(Event.FAILED, lambda _: told.append(Event.FAILED))
        with pytest.raises(Boom):
            runner.observe("abc").pipe(ops.take_until(enough)).subscribe()
        assert told == [Event.FAILED]

    def test_what_is_dropped_is_freed_at_once(self) -> None:
        def fail(_: State) -> None:
            raise Boom

        def failing() -> Runner:
            runner = Runner()
            runner.on(Event.BATCH.every(1), fail)
            runner.observe([1]).subscribe(on_error=lambda _: None)
            return runner

        gc.disable()
        try:
            dropped = weakref.ref(failing())
            assert dropped() is None
        finally:
            gc.enable()

    def test_a_second_subscription_while_it_runs_is_an_error_of_that_one(self) -> None:
        errors: list[Exception] = []
        runner = Runner()
        run = runner.observe([1, 2])
        runner.on(Event.BATCH.once(), lambda _: run.subscribe(on_error=errors.append))
        run.subscribe()
        assert [str(error)[:29] for error in errors] == ["a runner runs once at a time:"]
        assert runner.state["n_iters"] == 2

    def test_it_shows_what_it_is(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, print)
        shown = repr(runner.observe([]))
        assert shown == "<a run of Runner(has not run), which begins on subscribe>"

    def test_bad_input_is_refused_before_anything_is_subscribed(self) -> None:
        with pytest.raises(TypeError, match="batches must be iterable, got 3"):
            Runner().observe(3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="max_epoch must be an integer of 0 or more, got -1"):
            Runner().observe([], max_epoch=-1)


class TestComposition:
    def test_runs_of_two_runners_concatenate_and_take_ends_them_all(self) -> None:
        seen: list[Any] = []
        pretraining, training = Runner(), Runner()
        both = rx.concat(pretraining.observe("ab"), training.observe(itertools.count()))
        both.pipe(ops.filter(is_batch), ops.map(batch_of), ops.take(4)).subscribe(seen.append)
        assert seen == ["a", "b", 0, 1]
        assert training.state["n_iters"] == 2

    def test_operators_that_need_an_end_have_one(self) -> None:
        run = Runner().observe([3, 4], max_epoch=2)
        batches = run.pipe(ops.filter(is_batch), ops.map(batch_of))
        assert batches.pipe(ops.last()).run() == 4
        assert batches.pipe(ops.sum()).run() == 14
        assert batches.pipe(ops.to_list()).run() == [3, 4, 3, 4]

    @given(
        n_batches=st.integers(1, 4),
        max_epoch=st.integers(1, 3),
        faults=st.sets(st.integers(1, 40), max_size=6),
        draws=st.sets(st.integers(1, 12), max_size=3),
        place=st.sampled_from(["before", "after"]),
    )
    def test_retry_resumes_where_it_failed_and_no_batch_is_lost(
        self, n_batches: int, max_epoch: int, faults: set[int], draws: set[int], place: str
    ) -> None:
        n_calls, n_draws = itertools.count(1), itertools.count(1)
        trained: list[int] = []

        class Loader:
            def __iter__(self) -> Iterator[int]:
                for batch in range(n_batches):
                    if next(n_draws) in draws:
                        raise Boom
                    yield batch

        def fail_sometimes(_: State) -> None:
            if next(n_calls) in faults:
                raise Boom

        runner = Runner()
        for event in set(Event) - {Event.BATCH, Event.STOPPED, Event.FAILED}:
            runner.on(event, fail_sometimes)
        runner.on(Event.STARTED, lambda state: state.update(prepared=True))
        if place == "before":
            runner.on(Event.BATCH, fail_sometimes)
        runner.on(
            Event.BATCH.where(lambda state: state["prepared"]),
            lambda state: trained.append(state["n_iters"]),
        )
        if place == "after":
            runner.on(Event.BATCH, fail_sometimes)
        ends: list[Event] = []
        runner.observe(Loader(), max_epoch).pipe(ops.retry()).subscribe(
            lambda emission: ends.append(emission.event)
        )
        assert ends[-1] is Event.FINISHED
        # what failed after it was trained on is trained on once more
        assert list(dict.fromkeys(trained)) == [*range(1, n_batches * max_epoch + 1)]
        assert trained == sorted(trained)
        if place == "before":
            assert len(trained) == n_batches * max_epoch

    def test_a_run_whose_beginning_failed_begins_again(self) -> None:
        seen: list[str] = []
        faults = [Boom(), None]
        runner = Runner()
        runner.on(Event.STARTED, lambda _: fail_with(faults.pop(0)))
        runner.on(Event.STARTED, lambda _: seen.append("prepared"))
        runner.on(Event.BATCH, lambda _: seen.append("trained"))
        runner.observe([1]).pipe(ops.retry(2)).subscribe()
        assert seen == ["prepared", "trained"]

    @pytest.mark.parametrize("failing", [1, 2])
    def test_one_that_was_resumed_by_hand_in_between_runs_again(self, failing: int) -> None:
        runner = Runner()
        once = Event.BATCH.where(lambda state: state["batch"] == failing).once()
        runner.on(once, lambda _: fail_with(Boom()))
        run = runner.observe([1, 2])
        run.subscribe(on_error=lambda _: None)
        runner.resume(repeat_last_batch=True)
        seen: list[Event] = []
        run.subscribe(lambda emission: seen.append(emission.event))
        assert seen[0] is Event.STARTED

    def test_a_run_of_its_runner_in_between_ends_what_could_be_retried(self) -> None:
        runner = Runner()
        faults = [Boom(), None, None]
        runner.on(Event.BATCH, lambda _: fail_with(faults.pop(0)))
        run = runner.observe([1])
        run.subscribe(on_error=lambda _: None)
        runner.run([1])
        seen: list[Event] = []
        run.subscribe(lambda emission: seen.append(emission.event))
        assert seen[0] is Event.STARTED

    def test_after_a_retried_run_has_finished_it_runs_again(self) -> None:
        runner = Runner()
        faults = [Boom(), None, None]
        runner.on(Event.BATCH, lambda _: fail_with(faults.pop(0)))
        run = runner.observe([1])
        run.pipe(ops.retry(2)).subscribe()
        seen: list[Event] = []
        run.subscribe(lambda emission: seen.append(emission.event))
        assert seen[0] is Event.STARTED

    def test_a_run_that_failed_when_it_was_stopped_is_resumed(self) -> None:
        seen: list[Any] = []
        runner = Runner()
        runner.on(Event.BATCH.once(), lambda _: runner.stop())
        runner.on(Event.STOPPED.once(), lambda _: fail_with(Boom()))
        run = runner.observe("ab").pipe(ops.retry(2), states(Event.BATCH), select("batch"))
        run.subscribe(seen.append)
        assert seen == ["a", "b"]

    def test_another_state_is_not_the_one_that_failed(self) -> None:
        runner = Runner()
        faults = [Boom(), None]
        runner.on(Event.BATCH, lambda _: fail_with(faults.pop(0)))
        run = runner.observe([1])
        run.subscribe(on_error=lambda _: None)
        runner.state = {}
        seen: list[Event] = []
        run.subscribe(lambda emission: seen.append(emission.event))
        assert seen[0] is Event.STARTED

    def test_retry_gives_up_with_the_error_of_the_last_attempt(self) -> None:
        errors = [Boom("1"), Boom("2"), Boom("3")]
        left = list(errors)
        runner = Runner()
        runner.on(Event.BATCH, lambda _: fail_with(left.pop(0)))
        with pytest.raises(Boom) as caught:
            runner.observe([1]).pipe(ops.retry(2)).subscribe()
        assert caught.value is errors[1]

    @pytest.mark.parametrize("how", ["here", "in another thread"])
    def test_retry_above_an_operator_that_failed_runs_after_the_end_of_that_run(
        self, how: str
    ) -> None:
        seen: list[Any] = []
        done = threading.Event()
        runner = Runner()
        runner.on(Event.STOPPED | Event.FINISHED, lambda state: seen.append(state["n_iters"]))
        faults = iter([False, True, False, False, False])

        def fail_once(batch: int) -> int:
            fail_with(Boom() if next(faults) else None)
            return batch

        runner.observe([7, 8, 9]).pipe(
            ops.filter(is_batch), ops.map(batch_of), ops.map(fail_once), ops.retry(2)
        ).subscribe(
            seen.append,
            on_completed=done.set,
            scheduler=None if how == "here" else NewThreadScheduler(),
        )
        assert done.wait(30)
        assert seen == [7, 2, 7, 8, 9, 3]

    def test_an_attempt_that_was_disposed_of_while_it_waited_does_not_begin(self) -> None:
        told: list[str] = []
        enough = Subject[int]()
        runner = Runner()
        runner.on(Event.STARTED | Event.STOPPED, lambda state: told.append(str(state["n_iters"])))
        runner.on(Event.STOPPED, lambda _: enough.on_next(1))

        def fail_at_the_second(emission: Emission) -> None:
            fail_with(Boom() if emission.state["n_iters"] == 2 else None)

        runner.observe("abc").pipe(
            ops.do_action(fail_at_the_second), ops.retry(), ops.take_until(enough)
        ).subscribe(on_completed=lambda: told.append("completed"))
        assert told == ["0", "2", "completed"]
        assert runner.state["n_iters"] == 2

    def test_retry_goes_on_for_as_long_as_it_takes(self) -> None:
        left = 1500

        def fail_often(emission: Emission) -> None:
            nonlocal left
            left -= 1
            fail_with(Boom() if left > 0 else None)

        events = Runner().observe("a").pipe(ops.do_action(fail_often), ops.retry(), ops.to_list())
        assert [emission.event for emission in events.run()][-1] is Event.FINISHED

    def test_retry_is_not_misled_by_a_second_subscription_that_was_refused(self) -> None:
        seen: list[Any] = []
        runner = Runner()
        run = runner.observe([7, 8])
        faults = iter([True, False, False])

        def subscribe_once_more_and_fail_once(batch: int) -> int:
            if next(faults):
                run.subscribe(on_error=lambda error: seen.append(type(error)))
                raise Boom
            return batch

        run.pipe(
            ops.filter(is_batch),
            ops.map(batch_of),
            ops.map(subscribe_once_more_and_fail_once),
            ops.retry(2),
        ).subscribe(seen.append)
        assert seen == [RuntimeError, 7, 8]

    def test_an_attempt_in_another_thread_waits_for_the_end_of_one_that_was_disposed_of(
        self,
    ) -> None:
        seen: list[str] = []
        waits = threading.Event()
        runner = Runner()
        run: Any = runner.observe([1])
        other = threading.Thread(target=run.subscribe)

        @runner.on(Event.BATCH.once())
        def dispose_and_let_the_other_begin(state: State) -> None:
            ended = run._current._ended
            wait = ended.wait

            def tell_and_wait() -> None:
                waits.set()
                wait()

            ended.wait = tell_and_wait
            run._current.dispose()
            other.start()
            assert waits.wait(30)
            seen.append("first")

        runner.on(Event.STOPPED, lambda _: seen.append("stopped"))
        runner.on(Event.FINISHED, lambda _: seen.append("finished"))
        run.subscribe()
        other.join(30)
        assert seen == ["first", "stopped", "finished"]

    def test_two_observed_runs_of_one_runner_take_turns_in_a_concatenation(self) -> None:
        seen: list[Any] = []
        runner = Runner()
        rx.concat(runner.observe("ab"), runner.observe("cd")).pipe(
            ops.filter(is_batch), ops.map(batch_of)
        ).subscribe(seen.append)
        assert seen == [*"abcd"]


class TestBlocking:
    def test_it_is_on_the_thread_that_waits(self) -> None:
        threads: list[threading.Thread] = []
        runner = Runner()
        runner.on(Event.BATCH, lambda _: threads.append(threading.current_thread()))
        run = runner.observe([1, 2])
        assert run.run().event is Event.FINISHED
        beginning: Any = ops.start_with("the first")
        assert run.pipe(beginning, ops.count()).run() == 7
        assert {*threads} == {threading.current_thread()}

    def test_it_returns_also_inside_somebodys_subscription(self) -> None:
        seen: list[Any] = []
        run = Runner().observe([1, 2])
        rx.of(1).subscribe(lambda _: seen.append(run.pipe(ops.count()).run()))
        assert seen == [6]

    def test_an_error_leaves_it_as_itself(self) -> None:
        error = Boom()
        runner = Runner()
        runner.on(Event.BATCH, lambda _: fail_with(error))
        with pytest.raises(Boom) as caught:
            runner.observe([1]).run()
        assert caught.value is error

    def test_an_interrupt_leaves_it_and_ends_the_run(self) -> None:
        def interrupt(_: State) -> None:
            raise KeyboardInterrupt

        runner = Runner()
        runner.on(Event.BATCH, interrupt)
        with pytest.raises(KeyboardInterrupt):
            runner.observe([1]).run()
        assert not runner.state["running"]

    def test_a_scheduler_is_taken_at_its_word(self) -> None:
        threads: list[threading.Thread] = []
        runner = Runner()
        runner.on(Event.BATCH, lambda _: threads.append(threading.current_thread()))
        runner.observe([1]).run(NewThreadScheduler())
        assert threads[0] is not threading.current_thread()


def fail_with(error: Exception | None) -> None:
    if error is not None:
        raise error


class TestInsideSubscriptions:
    @pytest.mark.parametrize("begin", ["run", "observe"])
    def test_an_evaluation_inside_an_observed_training_is_in_place_and_no_reason_to_warn(
        self, begin: str
    ) -> None:
        seen: list[Any] = []
        trainer, evaluator = Runner(), Runner()

        @trainer.on(Event.EPOCH_FINISHED)
        def evaluate(state: State) -> None:
            if begin == "run":
                evaluator.run([1, 2])
            else:  # .run() waits for the end, which ReactiveX alone would put off for ever
                evaluator.observe([1, 2]).pipe(ops.last()).run()
            seen.append((state["epoch"], evaluator.state["n_iters"]))

        trainer.observe("a", max_epoch=2).subscribe()
        assert seen == [(1, 2), (2, 2)]

    def test_operators_that_subscribe_while_they_deliver_are_in_place_during_a_run(self) -> None:
        seen: list[Any] = []
        runner = Runner()

        def twice(state: State) -> rx.Observable[Any]:
            return rx.of(state["batch"], "again")

        runner.stream(Event.BATCH).pipe(ops.flat_map(twice)).subscribe(seen.append)
        runner.on(Event.BATCH, lambda _: seen.append("next callback"))
        runner.observe([1, 2]).subscribe()
        assert seen == [1, "again", "next callback", 2, "again", "next callback"]

    def test_a_run_in_somebodys_subscription_warns_and_tells_the_remedy(self) -> None:
        runner = Runner()
        with pytest.warns(RnnrWarning, match=r"use runner.observe\(batches\), or pass") as caught:
            rx.of([1]).subscribe(lambda batches: runner.run(batches))
        assert caught[0].filename == __file__
        runner.on(Event.BATCH, lambda state: state.update(running=False))
        runner.run([1, 2])
        with pytest.warns(RnnrWarning, match="a run inside a ReactiveX subscription") as caught:
            rx.of([1]).subscribe(lambda _: runner.resume())
        assert caught[0].filename == __file__

    def test_a_run_leaves_the_subscription_it_is_in_as_it_was(self) -> None:
        seen: list[Any] = []
        runner = Runner()

        def inside(n: int) -> None:
            rx.of(f"later {n}").subscribe(seen.append)
            runner.observe([n]).subscribe(lambda e: seen.append((e.event.name, n)))
            seen.append(f"now {n}")

        rx.of(1, 2).subscribe(inside)
        told = [(name, n) for n in (1, 2) for name in ("STARTED", "EPOCH_STARTED", "BATCH")]
        assert seen[:2] == ["now 1", "now 2"]
        assert seen[2] == "later 1"
        assert [each for each in seen if each in told] == told


def watch(runner: Runner, *observer: Any, **observers: Any) -> None:
    """Subscribe to every run to come."""

    def subscribe(run: rx.Observable[Emission]) -> None:
        run.subscribe(*observer, **observers)

    runner.runs.subscribe(subscribe)


class TestRuns:
    def test_each_run_and_resume_is_an_observable_that_ends_with_it(self) -> None:
        seen: list[Any] = []
        runner = Runner()

        def moments(run: rx.Observable[Emission]) -> rx.Observable[Any]:
            return run.pipe(ops.map(moment), ops.to_list())

        runner.runs.pipe(ops.flat_map(moments)).subscribe(seen.append)
        runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 1))
        runner.run("ab")
        runner.resume()
        stopped, resumed = seen
        assert [name for name, *_ in stopped] == ["STARTED", "EPOCH_STARTED", "BATCH", "STOPPED"]
        assert [name for name, *_ in resumed] == ["RESUMED", "BATCH", "EPOCH_FINISHED", "FINISHED"]

    def test_the_error_of_a_run_is_the_error_of_its_observable(self) -> None:
        error = Boom()
        seen: list[Any] = []
        runner = Runner()
        watch(runner, on_error=seen.append)
        runner.on(Event.BATCH, lambda _: fail_with(error))
        for _ in range(2):
            with pytest.raises(Boom) as caught:
                runner.run([1])
            assert caught.value is error
        assert seen == [error, error]

    def test_a_run_that_fails_when_it_has_finished_has_failed(self) -> None:
        error = Boom()
        seen: list[Any] = []
        runner = Runner()
        watch(runner, on_error=seen.append, on_completed=lambda: seen.append("completed"))
        runner.on(Event.FINISHED, lambda _: fail_with(error))
        with pytest.raises(Boom):
            runner.run([1])
        assert seen == [error]

    def test_one_that_subscribes_in_the_middle_of_a_run_sees_the_next(self) -> None:
        seen: list[Any] = []
        runner = Runner()
        runner.on(Event.BATCH.once(), lambda _: watch(runner, seen.append))
        runner.run([1])
        assert seen == []
        runner.run([])
        assert [emission.event for emission in seen] == [
            Event.STARTED,
            Event.EPOCH_STARTED,
            Event.EPOCH_FINISHED,
            Event.FINISHED,
        ]

    def test_who_takes_one_run_sees_it_to_its_end_and_leaves_nothing(self) -> None:
        seen: list[Any] = []
        runner = Runner()

        def length(run: rx.Observable[Emission]) -> rx.Observable[int]:
            return run.pipe(ops.count())

        runner.runs.pipe(ops.take(1), ops.flat_map(length)).subscribe(seen.append)
        runner.run("ab")
        assert seen == [6]
        assert n_handlers(runner) == 0
        runner.run("ab")
        assert seen == [6]

    def test_it_leaves_nothing_when_it_is_disposed_of_between_runs(self) -> None:
        runner = Runner()
        subscription = runner.runs.subscribe()
        runner.run([1])
        assert n_handlers(runner) == len(Event)
        subscription.dispose()
        assert n_handlers(runner) == 0

    def test_a_run_of_whose_end_nobody_was_told_ends_when_the_next_begins(self) -> None:
        seen: list[str] = []
        runner = Runner()
        runner.on(Event.FINISHED, lambda state: state.update(running=False))
        watch(runner, on_completed=lambda: seen.append("end"))
        runner.run([1])
        assert seen == []
        runner.run([1])
        assert seen == ["end"]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (ops.start_with(0), [0, 1, 2]),
        (ops.concat(rx.of(9)), [1, 2]),
        (ops.merge(rx.of(9)), [9, 1, 2]),
        (ops.retry(2), [1, 2]),
        (ops.catch(rx.of(9)), [1, 2]),
        (ops.flat_map(lambda n: rx.of(n, n)), [1, 1, 2, 2]),
        (ops.flat_map(lambda n: rx.range(0, 3000).pipe(ops.last())), [2999, 2999]),
        (ops.flat_map(lambda n: rx.of(n).pipe(ops.repeat(2))), [1, 1, 2, 2]),
        (ops.replay(mapper=lambda shared: shared), [1, 2]),
        (ops.observe_on(InPlaceScheduler()), [1, 2]),
    ],
)
def test_a_pipeline_subscribed_inside_a_subscription_delivers_in_place(
    operator: Any, expected: list[int]
) -> None:
    seen: list[int] = []
    runner = Runner()

    def inside(_: object) -> None:
        batches = runner.stream(Event.BATCH).pipe(select("batch"))
        batches.pipe(operator).subscribe(seen.append)
        with pytest.warns(RnnrWarning):
            runner.run([1, 2])
        assert seen == expected

    rx.of(1).subscribe(inside)
    assert seen == expected


def test_the_scheduler_does_what_is_due_later_by_a_timer() -> None:
    done = threading.Event()
    threads: list[threading.Thread] = []

    def act(*_: object) -> None:
        threads.append(threading.current_thread())
        done.set()

    InPlaceScheduler().schedule_relative(0.001, act)
    assert done.wait(30)
    assert threads[0] is not threading.current_thread()
    InPlaceScheduler().schedule_relative(0, act)
    InPlaceScheduler().schedule_absolute(0, act)
    assert threads[1:] == [threading.current_thread()] * 2


def test_operators_that_give_no_plain_observable_are_left_as_they_are() -> None:
    seen: list[Any] = []
    runner = Runner()
    published = runner.stream(Event.BATCH).pipe(ops.publish())
    published.subscribe(lambda state: seen.append(state["batch"]))
    runner.run([1])
    assert seen == []
    published.connect()
    runner.run([2])
    assert seen == [2]


class Silent(Subject[Any]):
    """Batches that never come; it tells when somebody waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = threading.Event()

    def _subscribe_core(self, observer: Any, scheduler: Any = None) -> Any:
        self.subscribed.set()
        return super()._subscribe_core(observer, scheduler)


def run_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rnnr run"]


def told_of_ends(runner: Runner) -> list[str]:
    """Return the list to which the runner adds how it ended."""
    told: list[str] = []
    for event in (Event.FINISHED, Event.STOPPED, Event.FAILED):
        runner.on(event, lambda _, event=event: told.append(event.name))
    return told


async def until(is_so: Callable[[], bool]) -> None:
    """Let the other tasks go on until something is so."""
    while not is_so():
        await asyncio.sleep(0.001)


class TestAwait:
    """To await a run leaves the event loop to the other tasks."""

    def test_the_result_is_the_last_item(self) -> None:
        async def main() -> Emission:
            return await runner.observe("ab")

        runner = Runner()
        last = asyncio.run(main())
        assert (last.event, last.state) == (Event.FINISHED, runner.state)

    @pytest.mark.parametrize(
        "pipe",
        [
            lambda run: run.pipe(states(Event.BATCH), select("batch"), ops.last()),
            lambda run: run.pipe(states(Event.BATCH)).pipe(select("batch")),
            lambda run: run.map(lambda emission: emission.state.get("batch")),
            lambda run: run.pipe(states(Event.BATCH), select("batch"), ops.delay(0.001)),
            lambda run: run.pipe(
                states(Event.BATCH), select("batch"), ops.observe_on(NewThreadScheduler())
            ),
            lambda run: run.pipe(
                ops.subscribe_on(NewThreadScheduler()), states(Event.BATCH), select("batch")
            ),
            lambda run: run.concat(run).pipe(states(Event.BATCH), select("batch")),
        ],
        ids=["last", "two pipes", "fluent", "delay", "observe_on", "subscribe_on", "concat"],
    )
    def test_so_it_is_of_what_operators_make_of_it(self, pipe: Callable[[Any], Any]) -> None:
        async def main() -> Any:
            return await pipe(runner.observe("abc", max_epoch=2))

        runner = Runner()
        assert asyncio.run(main()) == "c"

    def test_the_event_loop_goes_on(self) -> None:
        async def answer() -> None:
            await until(asked.is_set)
            answered.set()

        async def main() -> None:
            await asyncio.gather(runner.observe([1]), answer())

        def ask(state: State) -> None:
            asked.set()
            assert answered.wait(GUARD)  # by the loop, while this batch is under way

        runner, asked, answered = Runner(), threading.Event(), threading.Event()
        runner.on(Event.BATCH, ask)
        asyncio.run(main())
        assert runner.state["n_iters"] == 1

    def test_two_runs_go_on_side_by_side(self) -> None:
        async def main() -> None:
            await asyncio.gather(*(runner.observe([1]) for runner in runners))

        barrier, runners = threading.Barrier(2, timeout=GUARD), (Runner(), Runner())
        for runner in runners:
            runner.on(Event.BATCH, lambda _: barrier.wait())
        asyncio.run(main())

    def test_the_run_sees_the_context_of_the_one_who_awaits(self) -> None:
        async def main() -> None:
            variable.set("mine")
            await runner.observe([1])

        runner, seen = Runner(), list[str]()
        variable = contextvars.ContextVar("variable", default="the default")
        runner.on(Event.BATCH, lambda _: seen.append(variable.get()))
        asyncio.run(main())
        assert seen == ["mine"]

    def test_a_callback_may_have_an_event_loop_and_await_a_run_there(self) -> None:
        async def evaluate(state: State) -> None:
            last = await evaluator.observe(range(state["batch"]))
            seen.append(last.state["n_iters"])

        async def main() -> None:
            await trainer.observe([3, 5])

        trainer, evaluator, seen = Runner(), Runner(), list[int]()
        trainer.on(Event.BATCH, lambda state: asyncio.run(evaluate(state)))
        asyncio.run(main())
        assert seen == [3, 5]

    @pytest.mark.parametrize("error", [Boom(), SystemExit(3), asyncio.CancelledError()])
    def test_an_error_of_the_run_is_raised_where_it_is_awaited(self, error: BaseException) -> None:
        def fail(state: State) -> None:
            raise error

        async def main() -> None:
            with pytest.raises(type(error)) as caught:
                await runner.observe([1])
            assert caught.value is error

        runner = Runner()
        told = told_of_ends(runner)
        runner.on(Event.BATCH, fail)
        asyncio.run(main())
        assert told == ["FAILED"]
        assert run_threads() == []

    def test_so_is_one_of_an_operator(self) -> None:
        async def main() -> None:
            with pytest.raises(ZeroDivisionError):
                await runner.observe([1]).pipe(ops.map(lambda emission: 1 / 0))

        runner = Runner()
        told = told_of_ends(runner)
        asyncio.run(main())
        assert told == ["STOPPED"]

    def test_two_errors_are_told_together(self) -> None:
        def fail(state: State) -> None:
            raise Boom

        async def main() -> None:
            with pytest.raises(ZeroDivisionError) as caught:
                await runner.observe([1]).pipe(ops.map(lambda emission: 1 / 0))
            assert any("the end of the run failed too" in note for note in caught.value.__notes__)

        runner = Runner()
        runner.on(Event.STOPPED, fail)
        asyncio.run(main())

    def test_a_run_of_which_nothing_is_left_is_the_error_that_reactivex_has(self) -> None:
        async def main() -> None:
            with pytest.raises(SequenceContainsNoElementsError):
                await Runner().observe([1]).pipe(ops.filter(lambda _: False))

        asyncio.run(main())

    def test_take_ends_the_run_before_the_task_goes_on(self) -> None:
        async def main() -> None:
            for n in range(1, 4):
                last = await runner.observe(itertools.count()).pipe(
                    states(Event.BATCH), select("n_iters"), ops.take(n)
                )
                assert last == n
                assert told == ["STOPPED"] * n

        runner = Runner()
        told = told_of_ends(runner)
        asyncio.run(main())

    @pytest.mark.parametrize(
        "observed",
        [
            lambda run: run,
            lambda run: run.pipe(states(Event.BATCH), ops.last()),
            lambda run: run.pipe(ops.retry(3), ops.delay(0.001)),
        ],
        ids=["run", "last", "retry"],
    )
    def test_to_cancel_it_stops_the_run_and_waits_for_its_end(
        self, observed: Callable[[Any], Any]
    ) -> None:
        async def wait(runner: Runner) -> None:
            await observed(runner.observe(itertools.count()))

        async def main() -> None:
            task = asyncio.create_task(wait(runner))
            await until(lambda: runner.state.get("n_iters", 0) > 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert told == ["STOPPED"]
            assert run_threads() == []

        runner = Runner()
        told = told_of_ends(runner)
        asyncio.run(main())
        assert told == ["STOPPED"]

    def test_one_that_has_been_given_a_further_thread_is_stopped_there(self) -> None:
        async def main() -> None:
            elsewhere = runner.observe(itertools.count()).pipe(
                ops.subscribe_on(NewThreadScheduler())
            )
            task = asyncio.ensure_future(elsewhere)
            await until(lambda: "n_iters" in runner.state)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: told == ["STOPPED"])

        runner = Runner()
        told = told_of_ends(runner)
        asyncio.run(main())

    def test_it_is_waited_for_however_often_it_is_cancelled(self) -> None:
        async def wait() -> None:
            await runner.observe([1, 2])

        async def main() -> None:
            task = asyncio.create_task(wait())
            await until(begun.is_set)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0)
                assert not task.done()
            unpause.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert told == ["STOPPED"]

        def hold(state: State) -> None:
            begun.set()
            assert unpause.wait(GUARD)

        runner, begun, unpause = Runner(), threading.Event(), threading.Event()
        told = told_of_ends(runner)
        runner.on(Event.BATCH, hold)
        asyncio.run(main())

    def test_a_silent_source_is_woken(self) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(runner.observe(silent))
            await until(silent.subscribed.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert told == ["STOPPED"]

        runner, silent = Runner(), Silent()
        told = told_of_ends(runner)
        asyncio.run(main())

    def test_a_timeout_ends_it(self) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(runner.observe(itertools.count()), 0.01)
            assert told == ["STOPPED"]

        runner = Runner()
        told = told_of_ends(runner)
        asyncio.run(main())

    def test_ctrl_c_stops_it(self) -> None:
        async def main() -> None:
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
            await runner.observe(itertools.count())

        runner = Runner()
        told = told_of_ends(runner)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        assert told in (["STOPPED"], [])  # it may not have begun
        assert run_threads() == []

    def test_one_that_is_cancelled_before_it_begins_does_not_run(self) -> None:
        async def wait() -> None:
            await run

        async def main() -> None:
            first = asyncio.create_task(wait())
            await until(begun.is_set)
            first.cancel()
            await asyncio.sleep(0)
            second = asyncio.create_task(wait())  # waits for the end of the first
            await until(lambda: len(run_threads()) == 2)
            second.cancel()
            await asyncio.sleep(0)
            unpause.set()
            for task in (first, second):
                with pytest.raises(asyncio.CancelledError):
                    await task

        def hold(state: State) -> None:
            begun.set()
            assert unpause.wait(GUARD)

        runner, begun, unpause = Runner(), threading.Event(), threading.Event()
        run = runner.observe([1])
        started = list[State]()
        runner.on(Event.STARTED, started.append)
        runner.on(Event.BATCH, hold)
        asyncio.run(main())
        assert len(started) == 1

    def test_an_error_while_it_stops_is_raised_instead(self) -> None:
        def fail(state: State) -> None:
            raise Boom

        async def main() -> None:
            task = asyncio.ensure_future(runner.observe(itertools.count()))
            await until(lambda: "n_iters" in runner.state)
            task.cancel()
            with pytest.raises(Boom):
                await task

        runner = Runner()
        runner.on(Event.STOPPED, fail)
        asyncio.run(main())

    def test_a_loop_that_is_closed_meanwhile_stops_the_run(self) -> None:
        async def wait() -> None:
            await runner.observe(itertools.count())

        runner = Runner()
        told = told_of_ends(runner)
        loop = asyncio.new_event_loop()
        task = loop.create_task(wait())
        loop.run_until_complete(until(lambda: "n_iters" in runner.state))
        coroutine = task.get_coro()
        assert coroutine is not None
        coroutine.close()
        loop.close()
        join_run_threads()
        assert told == ["STOPPED"]
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def test_a_stream_is_awaited_as_reactivex_does(self) -> None:
        async def main() -> None:
            first = asyncio.ensure_future(runner.stream(Event.BATCH).pipe(ops.first()))
            await asyncio.sleep(0)
            runner.run([1])
            assert (await first)["batch"] == 1

        runner = Runner()
        asyncio.run(main())

    def test_what_it_held_is_freed_at_once(self) -> None:
        async def main() -> None:
            try:
                await runner.observe([1])
            except Boom as error:
                errors.append(weakref.ref(error))

        def fail(state: State) -> None:
            raise Boom

        runner, errors = Runner(), list[weakref.ref[Boom]]()
        runner.on(Event.BATCH, fail)
        gc.disable()
        try:
            asyncio.run(main())
            assert [error() for error in errors] == [None]
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        "observed",
        [
            lambda run: rx.concat(run, run),
            lambda run: run + run,
            lambda run: rx.merge(run),
        ],
    )
    def test_what_reactivex_makes_of_several_says_what_to_write(
        self, observed: Callable[[Any], Any]
    ) -> None:
        async def main() -> None:
            with pytest.warns(RnnrWarning, match=r"write `await runner.observe\(batches\)` for"):
                await observed(runner.observe([1]))
            last = await asyncio.to_thread(observed(runner.observe([2])).run)
            assert last.state["batch"] == 2

        runner = Runner()
        asyncio.run(main())


def join_run_threads() -> None:
    for thread in run_threads():
        thread.join(GUARD)
        assert not thread.is_alive()
