"""Which run is inside which, as those who watch the runs of several runners need to know."""

import threading
from collections.abc import Callable

import pytest
from reactivex import abc

from rnnr import Event, Layer, Runner
from rnnr._runs import outermost
from rnnr.state import State
from rnnr.streams._layer import view_layer

Watch = Callable[[State], None]


def tracked() -> Runner:
    """Make a runner whose runs are known."""
    runner = Runner()
    runner._slot.watch()
    return runner


def note(runner: Runner, event: Event, seen: list[State]) -> None:
    """Write down what the outermost run is when an event is over."""
    runner.stream(event).add(lambda state: seen.append(outermost(state)), layer=view_layer(event))


@pytest.mark.parametrize("event", Event, ids=str)
def test_a_run_inside_of_none_is_the_outermost_at_every_event(event: Event) -> None:
    runner, seen = tracked(), list[State]()
    note(runner, event, seen)
    runner.on(Event.BATCH, lambda state: state.update(running="stopped" in state, stopped=True))
    runner.run([1, 2, 3])
    runner.resume()
    runner.on(Event.EPOCH_FINISHED, lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.run([1])
    assert seen
    assert all(state is runner.state for state in seen)


@pytest.mark.parametrize("at", [*Event], ids=str)
def test_a_run_in_a_callback_of_any_event_is_inside_from_its_opening_to_its_end(at: Event) -> None:
    outer, inner, seen = tracked(), tracked(), list[State]()
    for event in Event:
        note(inner, event, seen)
    outer.on(at, lambda _: inner.run([1, 2]))
    outer.on(Event.BATCH, lambda state: state.update(running="stopped" in state, stopped=True))
    outer.run([1])
    outer.on(Event.FINISHED, lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        outer.resume()
    assert len(seen) >= 6
    assert all(state is outer.state for state in seen)


def test_of_three_levels_the_outermost_counts() -> None:
    outer, middle, inner, seen = tracked(), tracked(), tracked(), list[State]()
    outer.on(Event.EPOCH_FINISHED, lambda _: middle.run([1]))
    middle.on(Event.BATCH, lambda _: inner.run([1]))
    note(inner, Event.BATCH, seen)
    note(middle, Event.FINISHED, seen)
    outer.run([1])
    assert [state is outer.state for state in seen] == [True, True]


def test_among_some_runners_the_outermost_of_them_counts() -> None:
    outer, middle, inner, seen = tracked(), tracked(), tracked(), list[bool]()
    outer.on(Event.BATCH, lambda _: middle.run([1]))
    middle.on(Event.BATCH, lambda _: inner.run([1]))

    @inner.on(Event.BATCH)
    def look(state: State) -> None:
        seen.append(outermost(state, [middle._slot, inner._slot]) is middle.state)
        seen.append(outermost(state, [inner._slot]) is state)
        seen.append(outermost(state, []) is state)

    outer.run([1])
    assert seen == [True, True, True]


def test_a_run_that_was_stopped_while_another_is_inside_stays_around_it() -> None:
    outer, inner, seen = tracked(), tracked(), list[State]()

    @outer.on(Event.BATCH)
    def stop_and_evaluate(_: State) -> None:
        outer.stop()
        inner.run([1])

    inner.on(Event.BATCH, lambda _: inner.stop())
    note(inner, Event.STOPPED, seen)
    outer.run([1])
    assert [state is outer.state for state in seen] == [True]


def test_each_thread_has_an_outermost_run_of_its_own() -> None:
    runners, seen = [tracked(), tracked()], list[bool]()
    both_run = threading.Barrier(2, timeout=30)

    def watch(state: State) -> None:
        both_run.wait()
        seen.append(outermost(state) is state)
        both_run.wait()

    for runner in runners:
        runner.on(Event.BATCH, watch)
    threads = [threading.Thread(target=runner.run, args=([1, 2],)) for runner in runners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [True] * 4


def leaves_unheard(runner: Runner, tracking: abc.DisposableBase) -> None:
    """End a run such that nobody hears it: a handler of its end stops it before that."""
    runner.stream(Event.FINISHED).add(lambda _: runner.stop(), layer=Layer.DISPLAY)
    runner.run([1])


def loses_its_tracking(runner: Runner, tracking: abc.DisposableBase) -> None:
    """End a run such that nobody hears it: nobody listens any more."""
    runner.on(Event.BATCH, lambda _: tracking.dispose())
    runner.run([1])


@pytest.mark.parametrize("end", [leaves_unheard, loses_its_tracking])
def test_a_run_whose_end_nobody_heard_is_around_no_later_one(
    end: Callable[[Runner, abc.DisposableBase], None],
) -> None:
    first, later, seen = Runner(), Runner(), list[State]()
    end(first, first._slot.watch())
    note(later, Event.BATCH, seen)  # before it is tracked, too: as one who comes in the middle
    later.run([1])
    later._slot.watch()
    note(later, Event.STARTED, seen)
    later.run([1])
    assert [state is later.state for state in seen] == [True] * 3


def test_nor_when_it_runs_again_on_another_thread() -> None:
    first, later, seen = Runner(), tracked(), list[State]()
    leaves_unheard(first, first._slot.watch())
    is_running, may_end = threading.Event(), threading.Event()

    @first.on(Event.BATCH)
    def wait(_: State) -> None:
        is_running.set()
        may_end.wait(30)

    thread = threading.Thread(target=first.run, args=([1],))
    thread.start()
    assert is_running.wait(30)
    note(later, Event.BATCH, seen)
    later.run([1])
    may_end.set()
    thread.join(30)
    assert [state is later.state for state in seen] == [True]


def test_a_runner_that_is_tracked_twice_stays_known_until_its_run_has_ended() -> None:
    outer, inner, seen = tracked(), tracked(), list[State]()
    second = outer._slot.watch()
    outer.on(Event.EPOCH_STARTED, lambda _: second.dispose())
    outer.on(Event.BATCH, lambda _: inner.run([1]))
    note(inner, Event.BATCH, seen)
    outer.run([1])
    assert [state is outer.state for state in seen] == [True]


def test_a_failure_of_the_outer_run_leaves_nothing_behind() -> None:
    outer, inner, seen = tracked(), tracked(), list[State]()
    note(inner, Event.FAILED, seen)
    inner.on(Event.BATCH, lambda _: 1 / 0)
    outer.on(Event.BATCH, lambda _: inner.run([1]))
    with pytest.raises(ZeroDivisionError):
        outer.run([1])
    with pytest.raises(ZeroDivisionError):
        inner.run([1])
    assert [state is outer.state for state in seen] == [True, False]


def test_a_state_by_hand_is_inside_of_none() -> None:
    runner, other = tracked(), tracked()
    by_hand: State = {"running": True}
    runner.stream(Event.STARTED).on_next(by_hand)
    seen = list[State]()
    note(other, Event.BATCH, seen)
    other.run([1])
    assert [state is other.state for state in seen] == [True]


def test_a_state_of_no_run_is_its_own_outermost_also_inside_of_an_unwatched_one() -> None:
    runner, seen = Runner(), list[State]()
    other: State = {}
    runner.on(Event.BATCH, lambda _: seen.append(outermost(other)))
    runner.run([1])
    assert [state is other for state in seen] == [True]
