"""`Control`: hold, step, let go and stop a run from outside, and lose nothing of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import count, takewhile
from typing import Any

import pytest
from reactivex.subject import Subject

from helpers.faults import call_at_line, interrupt_at_call
from helpers.threads import GUARD, in_thread, on_thread
from rnnr import Event, Runner
from rnnr.attachments import Control, ControlStatus, SumReducer
from rnnr.state import State
from rnnr.streams import EventSubject


def controlled(*runners: Runner) -> Control:
    """Attach a new control to some runners."""
    control = Control()
    for runner in runners:
        control.attach_on(runner)
    return control


def running(
    runner: Runner, batches: Any, max_epoch: int = 1
) -> AbstractContextManager[threading.Thread]:
    """Run on another thread; the run has ended when this does."""
    return in_thread(lambda: runner.run(batches, max_epoch))


def held(control: Control) -> None:
    assert control.wait_until_paused(GUARD)


def n_gates(runner: Runner) -> int:
    stream = runner.stream(Event.BATCH)
    stream.rebuild()
    return len(stream.handlers)


class TestHolding:
    def test_a_run_is_paused_stepped_and_let_go(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        seen = []
        with running(runner, range(10)):
            held(control)
            seen.append(runner.state["n_iters"])
            for _ in range(3):
                control.step()
                held(control)
                seen.append(runner.state["n_iters"])
            control.unpause()
        seen.append(runner.state["n_iters"])
        assert seen == [1, 2, 3, 4, 10]

    def test_it_says_what_it_does(self) -> None:
        runner = Runner()
        control = controlled(runner)
        seen = [control.status]
        control.pause()
        seen.append(control.status)
        runner.on(Event.BATCH, lambda _: seen.append(control.status))
        with running(runner, range(2)):
            held(control)
            seen.append(control.status)
            control.step()
            held(control)
            seen.append(control.status)
            control.stop()
        seen.append(control.status)
        assert seen == [
            ControlStatus.NONE,
            ControlStatus.PAUSING,
            ControlStatus.PAUSING,  # in the first batch
            ControlStatus.PAUSED,
            ControlStatus.PAUSING,  # in the second
            ControlStatus.PAUSED,
            ControlStatus.NONE,
        ]

    def test_it_says_that_it_stops_until_the_run_has_stopped(self) -> None:
        runner = Runner()
        control = controlled(runner)
        seen = list[ControlStatus]()
        runner.on(
            Event.BATCH, lambda _: control.stop() if control.status is ControlStatus.NONE else None
        )
        for event in (Event.BATCH, Event.STOPPED):
            runner.on(event, lambda _: seen.append(control.status))
        runner.run(range(9))
        assert [*seen, control.status] == [ControlStatus.STOPPING] * 3 + [ControlStatus.NONE]

    def test_a_run_that_is_held_has_finished_its_batch(self) -> None:
        runner, seen = Runner(), list[str]()
        control = controlled(runner)
        control.pause()
        SumReducer("total").attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(output=state["batch"]))
        runner.stream(Event.BATCH).subscribe(lambda _: seen.append("the last callback"))
        with running(runner, [5, 6]):
            held(control)
            assert seen == ["the last callback"]
            assert runner.state["_epoch"]["_reducer total"] == 5
            control.unpause()
        assert runner.state["total"] == 11

    def test_its_state_can_be_changed_while_it_is_held(self) -> None:
        runner, seen = Runner(), list[float]()
        control = controlled(runner)
        control.pause()
        runner.state["rate"] = 1.0
        runner.on(Event.BATCH, lambda state: seen.append(state["rate"]))
        with running(runner, range(2)):
            held(control)
            runner.state["rate"] = 0.5
            control.unpause()
        assert seen == [1.0, 0.5]

    def test_a_pause_in_the_middle_of_a_batch_holds_at_the_end_of_the_next(self) -> None:
        runner = Runner()
        control = controlled(runner)
        runner.on(Event.BATCH.once(), lambda _: control.pause())
        with running(runner, range(9)):
            held(control)
            assert runner.state["n_iters"] == 2
            control.unpause()

    @pytest.mark.parametrize("before_it_is_held", [True, False])
    def test_steps_pressed_twice_quickly_are_two_batches(self, before_it_is_held: bool) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        if before_it_is_held:
            control.step()
            control.step()
        with running(runner, range(9)):
            held(control)
            if not before_it_is_held:
                control.step()
                control.step()
                held(control)
            assert runner.state["n_iters"] == 3
            control.unpause()

    def test_a_step_pressed_during_a_step_is_one_more_batch(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        runner.on(Event.BATCH, lambda state: control.step() if state["n_iters"] in (2, 3) else None)
        with running(runner, range(9)):
            held(control)
            control.step()
            held(control)
            assert runner.state["n_iters"] == 4
            control.unpause()

    def test_a_step_pauses_a_run_that_is_not(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.step()
        with running(runner, range(9)):
            held(control)
            assert runner.state["n_iters"] == 1
            control.unpause()

    def test_a_pause_calls_off_the_steps_that_are_left(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        control.step()
        control.step()
        control.pause()
        with running(runner, range(9)):
            held(control)
            assert runner.state["n_iters"] == 1
            control.unpause()

    def test_to_wait_for_a_pause_that_does_not_come_ends_when_told_to(self) -> None:
        assert not Control().wait_until_paused(0)

    def test_a_pause_is_called_off_by_the_end_of_the_run(self) -> None:
        runner = Runner()
        control = controlled(runner)
        runner.on(Event.BATCH, lambda _: control.pause())
        runner.run([1])
        assert control.status is ControlStatus.NONE
        runner.run([])

    @pytest.mark.parametrize("ask", [Control.pause, Control.step, Control.stop])
    def test_a_failure_calls_off_what_was_asked_for(self, ask: Callable[[Control], None]) -> None:
        runner = Runner()
        control = controlled(runner)

        @runner.on(Event.BATCH)
        def fail(_: State) -> None:
            ask(control)
            raise ValueError("a fault")

        with pytest.raises(ValueError, match="a fault"):
            runner.run([1])
        assert (control.status, n_gates(runner)) == (ControlStatus.NONE, 1)

    def test_while_nothing_is_asked_for_there_is_nothing_in_a_batch(self) -> None:
        runner = Runner()
        control = controlled(runner)
        seen = [n_gates(runner)]
        for ask in (control.pause, control.step, control.unpause):
            ask()
            seen.append(n_gates(runner))
        assert seen == [0, 1, 1, 0]

    def test_its_runs_in_two_threads_are_both_held(self) -> None:
        one, other = Runner(), Runner()
        control = controlled(one, other)
        control.pause()
        stepped = threading.Semaphore(0)
        for runner in (one, other):
            runner.on(Event.BATCH, lambda _: stepped.release())
        with running(one, range(5)), running(other, range(5)):
            for _ in range(2):
                assert stepped.acquire(timeout=GUARD)
            held(control)
            control.step()
            control.step()
            for _ in range(2):
                assert stepped.acquire(timeout=GUARD)
            assert one.state["n_iters"] + other.state["n_iters"] == 4
            control.unpause()
        assert one.state["n_iters"] == other.state["n_iters"] == 5

    def test_the_end_of_one_of_two_runs_calls_nothing_off(self) -> None:
        one, other, seen = Runner(), Runner(), list[ControlStatus]()
        control = controlled(one, other)
        other.on(Event.EPOCH_STARTED, lambda _: control.pause())
        other.on(Event.EPOCH_STARTED, lambda _: one.run([]))
        other.on(Event.EPOCH_STARTED, lambda _: seen.append(control.status))
        other.run([])
        assert [*seen, control.status] == [ControlStatus.PAUSING, ControlStatus.NONE]


class TestLettingGo:
    @pytest.mark.parametrize("with_another", [True, False])
    def test_to_detach_lets_go_of_a_run_that_is_held(self, with_another: bool) -> None:
        runner = Runner()
        control = controlled(Runner()) if with_another else Control()
        attached = control.attach_on(runner)
        control.pause()
        with running(runner, range(3)):
            held(control)
            attached.dispose()
        assert (runner.state["n_iters"], n_gates(runner)) == (3, 0)

    def test_to_attach_while_a_pause_is_asked_for_holds_a_run_that_is_under_way(self) -> None:
        runner, control = Runner(), Control()
        control.pause()
        runner.on(Event.BATCH.once(), lambda _: control.attach_on(runner))
        with running(runner, range(9)):
            held(control)
            assert runner.state["n_iters"] == 2
            control.unpause()

    def test_a_stop_by_somebody_else_ends_a_run_that_is_held(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        with running(runner, range(3)):
            held(control)
            runner.stop()
        assert (runner.state["n_iters"], control.status) == (1, ControlStatus.NONE)

    @pytest.mark.parametrize("n", range(1, 16))
    def test_an_interrupt_at_the_gate_leaves_as_itself_and_nothing_locked(self, n: int) -> None:
        runner = Runner()
        control = controlled(runner)
        control.pause()
        for _ in range(3):
            control.step()
        with (
            pytest.raises(KeyboardInterrupt),
            interrupt_at_call(n, "rnnr.attachments._control"),
        ):
            runner.run(range(100))  # three gates are open; at the fourth it looks around
        seen = [control.status]  # called off by the failure
        on_thread(control.pause)
        seen.append(control.status)  # and nobody is held
        assert seen == [ControlStatus.NONE, ControlStatus.PAUSING]


class TestStopping:
    @pytest.mark.parametrize("n", range(1, 7))
    def test_a_stop_loses_nothing(self, n: int) -> None:
        def trained() -> Runner:
            runner = Runner()
            SumReducer("total").attach_on(runner)

            @runner.on(Event.BATCH)
            def train(state: State) -> None:
                state["output"] = state["batch"]
                state["seen"] = (*state.get("seen", ()), state["batch"])

            @runner.on(Event.EPOCH_FINISHED)
            def keep(state: State) -> None:
                state["totals"] = (*state.get("totals", ()), state["total"])

            return runner

        undisturbed, disturbed = trained(), trained()
        undisturbed.run([1, 2, 3], max_epoch=2)
        control = controlled(disturbed)
        control.pause()
        with running(disturbed, [1, 2, 3], max_epoch=2):
            held(control)
            for _ in range(n - 1):
                control.step()
                held(control)
            control.stop()
        assert disturbed.state["seen"] == (1, 2, 3, 1, 2, 3)[:n]
        disturbed.resume()
        assert disturbed.state == undisturbed.state

    def test_a_second_stop_wakes_a_run_that_waits_for_a_silent_source(self) -> None:
        runner = Runner()
        control = controlled(runner)
        source = Subject[int]()
        waits, ended = threading.Event(), list[Event]()
        runner.on(Event.EPOCH_STARTED, lambda _: waits.set())
        for event in (Event.STOPPED, Event.FINISHED):
            runner.on(event, lambda _, event=event: ended.append(event))
        with running(runner, source) as thread:
            assert waits.wait(GUARD)
            control.stop()
            assert control.status is ControlStatus.STOPPING
            assert thread.is_alive()
            control.stop()
        assert (ended, control.status) == ([Event.STOPPED], ControlStatus.NONE)

    def test_a_second_stop_skips_the_rest_of_the_callbacks(self) -> None:
        runner, seen = Runner(), list[str]()
        control = controlled(runner)
        for ask in (control.stop, control.stop):
            runner.on(Event.BATCH, lambda _, ask=ask: ask())  # type: ignore[misc]
        runner.on(Event.BATCH, lambda _: seen.append("skipped"))
        runner.run(range(9))
        assert (seen, runner.state["n_iters"]) == ([], 1)

    def test_it_also_wakes_a_run_that_somebody_else_has_told_to_stop(self) -> None:
        runner = Runner()
        control = controlled(runner)
        waits = threading.Event()
        runner.on(Event.EPOCH_STARTED, lambda _: waits.set())
        with running(runner, Subject[int]()):
            assert waits.wait(GUARD)
            runner.state["running"] = False  # which wakes nobody
            control.stop()

    def test_a_stop_while_there_is_no_run_does_not_stop_the_next(self) -> None:
        runner = Runner()
        control = controlled(runner)
        control.stop()
        assert control.status is ControlStatus.NONE
        runner.run(range(3))
        control.stop()
        runner.run(range(3))
        assert runner.state["n_iters"] == 3

    def test_to_go_on_calls_off_a_stop(self) -> None:
        runner = Runner()
        control = controlled(runner)
        for ask in (control.stop, control.unpause):
            runner.on(Event.BATCH, lambda _, ask=ask: ask())  # type: ignore[misc]
        runner.run(range(3))
        assert runner.state["n_iters"] == 3

    def test_a_stopped_end_that_skips_its_callbacks_leaves_no_stop_to_the_next_run(self) -> None:
        runner = Runner()
        control = controlled(runner)

        @runner.on(Event.FINISHED)
        def insist(_: State) -> None:
            control.stop()
            control.stop()

        runner.run(range(3))
        runner.resume()
        runner.run(range(3))
        assert runner.state["n_iters"] == 3


class TestNesting:
    """A training with an evaluation inside, one control attached to both."""

    def pair(self) -> tuple[Runner, Runner]:
        training, evaluation = Runner(), Runner()
        training.on(Event.EPOCH_FINISHED, lambda _: evaluation.run(range(3)))
        return training, evaluation

    def test_a_pause_holds_inside_the_evaluation(self) -> None:
        training, evaluation = self.pair()
        control = controlled(training, evaluation)
        evaluation.on(Event.EPOCH_STARTED, lambda _: control.pause())
        with running(training, range(2)):
            held(control)
            assert (training.state["n_iters"], evaluation.state["n_iters"]) == (2, 1)
            control.step()
            held(control)
            assert (training.state["n_iters"], evaluation.state["n_iters"]) == (2, 2)
            control.unpause()

    def test_a_stop_during_the_evaluation_stops_the_training_alone(self) -> None:
        training, evaluation = self.pair()
        control = controlled(training, evaluation)
        ended = list[tuple[str, Event, int]]()
        for name, runner in (("training", training), ("evaluation", evaluation)):
            for event in (Event.FINISHED, Event.STOPPED):

                def end(state: State, name: str = name, event: Event = event) -> None:
                    ended.append((name, event, state["n_iters"]))

                runner.on(event, end)
        evaluation.on(Event.EPOCH_STARTED.once(), lambda _: control.stop())
        training.run(range(2), max_epoch=3)
        assert ended == [("evaluation", Event.FINISHED, 3), ("training", Event.STOPPED, 3)]

    def test_a_second_stop_ends_both_at_once(self) -> None:
        training, evaluation = self.pair()
        control = controlled(training, evaluation)
        evaluation.on(Event.BATCH, [lambda _: control.stop(), lambda _: control.stop()])
        training.run(range(2), max_epoch=3)
        assert (training.state["n_iters"], evaluation.state["n_iters"]) == (2, 1)

    def test_the_end_of_the_evaluation_calls_nothing_off(self) -> None:
        training, evaluation = self.pair()
        control = controlled(training, evaluation)
        evaluation.on(Event.FINISHED, lambda _: control.pause())
        with running(training, range(2), max_epoch=2):
            held(control)
            assert training.state["n_iters"] == 3
            control.unpause()

    def test_a_control_of_the_evaluation_alone_stops_it(self) -> None:
        training, evaluation = self.pair()
        training._slot.watch()  # as those do who report it
        control = controlled(evaluation)
        evaluation.on(Event.EPOCH_STARTED, lambda _: control.stop())
        training.run(range(2))
        assert (training.state["n_iters"], evaluation.state["n_iters"]) == (2, 1)


def test_what_is_no_runner_is_refused() -> None:
    with pytest.raises(TypeError, match="runner must be a Runner, got 3"):
        Control().attach_on(3)  # type: ignore[arg-type]


def n_batches_after_a_stop_by_signal(asked: str, n: int) -> int | None:
    """Ask for something, with a signal at its n-th line; ``None`` where it has not so many."""
    runner, stopped = Runner(), list[int]()
    control = controlled(runner)

    def signal() -> None:
        stopped.append(1)
        control.stop()

    def ask(state: State) -> None:
        if state["n_iters"] == 1:
            with call_at_line(n, {"rnnr.streams._subject", "rnnr.attachments._control"}, signal):
                getattr(control, asked)()
            if not stopped or n <= 5:  # before it has begun to ask, it asks after the signal
                runner.stop()

    runner.on(Event.BATCH, ask)
    runner.run(range(5))
    return runner.state["n_iters"] if stopped else None


@pytest.mark.parametrize("asked", ["pause", "step", "unpause"])
def test_a_stop_by_a_signal_in_the_middle_of_anything_is_heard(asked: str) -> None:
    ends = map(partial(n_batches_after_a_stop_by_signal, asked), count(1))
    stopped = [*takewhile(lambda n: n is not None, ends)]
    assert len(stopped) > 10
    assert {*stopped} <= {1, 2}


def test_what_is_asked_for_while_gates_are_put_in_place_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = Runner()
    control = controlled(runner)
    add = EventSubject.add

    def add_and_call_off(*arguments: Any, **more: Any) -> Any:
        monkeypatch.undo()
        control.unpause()
        return add(*arguments, **more)

    monkeypatch.setattr(EventSubject, "add", add_and_call_off)
    control.pause()
    assert control.status is ControlStatus.NONE
    assert n_gates(runner) == 0


def test_a_gate_that_a_signal_handler_has_put_in_place_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = Runner()
    control = controlled(runner)
    add = EventSubject.add

    def add_after_another(*arguments: Any, **more: Any) -> Any:
        monkeypatch.undo()
        control.pause()
        return add(*arguments, **more)

    monkeypatch.setattr(EventSubject, "add", add_after_another)
    control.pause()
    assert n_gates(runner) == 1


def test_a_stop_before_the_state_of_the_first_run_is_set_breaks_nothing() -> None:
    for n in range(1, 40):
        runner = Runner()
        control = controlled(runner)
        with call_at_line(n, {"rnnr.runner"}, control.stop):
            runner.run(range(3))
        assert runner.state["n_iters"] in range(4)


def test_a_stop_while_a_failed_run_closes_its_source_does_not_stop_the_next() -> None:
    class Source:
        def __iter__(self) -> Iterator[int]:
            return iter(range(9))

    runner = Runner()
    control = controlled(runner)
    runner._batches.pause = lambda error=None: control.stop()  # type: ignore[method-assign]
    runner.on(Event.BATCH.once(), lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.run(Source())
    del runner._batches.pause
    assert control.status is ControlStatus.NONE
    runner.resume()
    assert runner.state["n_iters"] == 9
