"""The contract of a Subject, stated once and held by ReactiveX's own and by ours.

Ours differs in the gate and the layers alone, which streams/test_subject.py has.
"""

from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.internal import DisposedException
from reactivex.subject import Subject

from helpers.faults import raise_
from rnnr import Event, State
from rnnr.streams import EventSubject
from rnnr.streams._subject import new_subject


@pytest.fixture(params=[Subject, EventSubject, lambda: new_subject(Event.FAILED)])
def subject(request: pytest.FixtureRequest) -> Subject[State]:
    made: Subject[State] = request.param()
    return made


def item(n: int) -> State:
    return {"running": True, "n": n}


def number(state: State) -> int:
    return int(state["n"])


def test_every_observer_gets_every_item_in_order(subject: Subject[State]) -> None:
    seen: list[Any] = []
    for name in "abc":
        subject.subscribe(lambda state, name=name: seen.append((name, state["n"])))  # type: ignore[misc]
    subject.on_next(item(1))
    subject.on_next(item(2))
    assert seen == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2), ("c", 2)]


def test_a_disposed_subscription_gets_nothing_more(subject: Subject[State]) -> None:
    seen: list[int] = []
    subscription = subject.subscribe(lambda state: seen.append(state["n"]))
    subject.on_next(item(1))
    subscription.dispose()
    subscription.dispose()
    subject.on_next(item(2))
    assert seen == [1]


def test_one_that_is_disposed_during_a_delivery_is_not_called_any_more(
    subject: Subject[State],
) -> None:
    seen: list[str] = []

    def first(_: State) -> None:
        seen.append("first")
        second.dispose()

    subject.subscribe(first)
    second = subject.subscribe(lambda _: seen.append("second"))
    subject.subscribe(lambda _: seen.append("third"))
    subject.on_next(item(1))
    assert seen == ["first", "third"]


def test_one_that_subscribes_during_a_delivery_takes_part_from_the_next(
    subject: Subject[State],
) -> None:
    seen: list[str] = []

    def first(state: State) -> None:
        seen.append("first")
        if state["n"] == 1:
            subject.subscribe(lambda _: seen.append("late"))

    subject.subscribe(first)
    subject.on_next(item(1))
    assert seen == ["first"]
    subject.on_next(item(2))
    assert seen == ["first", "first", "late"]


def test_an_item_sent_during_a_delivery_reaches_everybody(
    subject: Subject[State],
) -> None:
    seen: list[Any] = []

    def first(state: State) -> None:
        seen.append(("first", state["n"]))
        if state["n"] == 1:
            subject.on_next(item(2))

    subject.subscribe(first)
    subject.subscribe(lambda state: seen.append(("second", state["n"])))
    subject.on_next(item(1))
    assert seen == [("first", 1), ("first", 2), ("second", 2), ("second", 1)]


def test_completion_reaches_everybody_once_and_ends_the_subject(
    subject: Subject[State],
) -> None:
    seen: list[str] = []
    for name in "ab":
        subject.subscribe(
            lambda _: seen.append("item"),
            on_completed=lambda name=name: seen.append(name),  # type: ignore[misc]
        )
    subject.on_completed()
    subject.on_completed()
    subject.on_next(item(1))
    assert seen == ["a", "b"]
    subject.subscribe(on_completed=lambda: seen.append("late"))
    assert seen == ["a", "b", "late"]


def test_an_error_reaches_everybody_once_and_ends_the_subject(
    subject: Subject[State],
) -> None:
    seen: list[Any] = []
    error = ValueError("an error")
    for _ in range(2):
        subject.subscribe(lambda _: seen.append("item"), on_error=seen.append)
    subject.on_error(error)
    subject.on_error(error)
    subject.on_next(item(1))
    assert seen == [error, error]
    subject.subscribe(on_error=seen.append)
    assert seen == [error] * 3


def test_a_disposed_subject_refuses_everything(subject: Subject[State]) -> None:
    seen: list[Any] = []
    subject.subscribe(seen.append)
    subject.on_next(item(0))
    seen.clear()
    subject.dispose()
    assert subject.is_disposed
    with pytest.raises(DisposedException):
        subject.on_next(item(1))
    with pytest.raises(DisposedException):
        subject.on_error(ValueError())
    with pytest.raises(DisposedException):
        subject.on_completed()
    with pytest.raises(DisposedException):
        subject.subscribe(seen.append, on_error=raise_)
    assert seen == []


def test_it_is_an_observer_for_another_observable(subject: Subject[State]) -> None:
    seen: list[Any] = []
    subject.subscribe(lambda state: seen.append(state["n"]), on_completed=lambda: seen.append("|"))
    reactivex.of(item(1), item(2)).subscribe(subject)
    assert seen == [1, 2, "|"]


def test_operators_apply_to_it(subject: Subject[State]) -> None:
    seen: list[Any] = []
    subject.pipe(ops.map(number), ops.pairwise()).subscribe(seen.append)
    for n in (1, 4, 9):
        subject.on_next(item(n))
    assert seen == [(1, 4), (4, 9)]


def test_an_exception_of_an_observer_leaves_on_next_and_it_stays_subscribed(
    subject: Subject[State],
) -> None:
    error = ValueError("an error")
    calls: list[int] = []

    def fail(state: State) -> None:
        calls.append(state["n"])
        raise error

    subject.subscribe(fail)
    for n in (1, 2):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  (compared below)
            subject.on_next(item(n))
        assert caught.value is error
    assert calls == [1, 2]


def test_ten_thousand_observers_come_and_go(subject: Subject[State]) -> None:
    seen: list[int] = []
    subscriptions = [
        subject.subscribe(lambda _, n=n: seen.append(n))  # type: ignore[misc]
        for n in range(10_000)
    ]
    subject.on_next(item(1))
    for subscription in subscriptions[::2]:
        subscription.dispose()
    subject.on_next(item(2))
    assert seen == [*range(10_000), *range(1, 10_000, 2)]


def test_one_that_disposes_of_itself_during_a_delivery_is_called_no_more(
    subject: Subject[State],
) -> None:
    seen: list[int] = []

    def once(state: State) -> None:
        seen.append(state["n"])
        subscription.dispose()

    subscription = subject.subscribe(once)
    subject.on_next(item(1))
    subject.on_next(item(2))
    assert seen == [1]


def test_one_that_subscribes_again_during_a_delivery_goes_to_the_end(
    subject: Subject[State],
) -> None:
    seen: list[str] = []

    def first(_: State) -> None:
        seen.append("first")
        subscriptions.pop().dispose()
        subscriptions.append(subject.subscribe(first))

    subscriptions = [subject.subscribe(first)]
    subject.subscribe(lambda _: seen.append("second"))
    subject.on_next(item(1))
    subject.on_next(item(2))
    assert seen == ["first", "second", "second", "first"]


@pytest.mark.parametrize("end", ["on_completed", "on_error"])
def test_an_end_during_a_delivery_comes_before_what_is_left_of_it(
    subject: Subject[State], end: str
) -> None:
    seen: list[str] = []

    def first(_: State) -> None:
        seen.append("first")
        if end == "on_completed":
            subject.on_completed()
        else:
            subject.on_error(ValueError())

    subject.subscribe(
        first, lambda _: seen.append("first ended"), lambda: seen.append("first ended")
    )
    subject.subscribe(
        lambda _: seen.append("second"),
        lambda _: seen.append("second ended"),
        lambda: seen.append("second ended"),
    )
    subject.on_next(item(1))
    subject.on_next(item(2))
    assert seen == ["first", "first ended", "second ended"]


def test_an_error_without_a_handler_leaves_on_error_as_itself(subject: Subject[State]) -> None:
    error = ValueError("an error")
    subject.subscribe(lambda _: None)
    with pytest.raises(ValueError, match="an error") as caught:
        subject.on_error(error)
    assert caught.value is error


def test_a_disposable_may_be_disposed_of_after_the_end(subject: Subject[State]) -> None:
    subscription = subject.subscribe(lambda _: None)
    subject.on_completed()
    subscription.dispose()


def test_it_can_be_shared_and_piped_into_another_subject(subject: Subject[State]) -> None:
    seen: list[Any] = []
    other: Subject[int] = Subject()
    other.subscribe(seen.append)
    shared = subject.pipe(ops.map(number), ops.share())
    shared.subscribe(other)
    with shared.subscribe(lambda n: seen.append(-n)):
        subject.on_next(item(1))
    subject.on_next(item(2))
    assert seen == [1, -1, 2]
