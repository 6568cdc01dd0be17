"""Streams that fuse operators: one handler calls them all, and the rules of ReactiveX hold."""

import gc
from typing import Any
from weakref import ref

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.internal import DisposedException
from reactivex.observer import Observer
from reactivex.subject import Subject

from rnnr import Event, Runner
from rnnr.operators import do, every, select, when
from rnnr.streams import EventSubject


def item(n: int) -> dict[str, Any]:
    return {"running": True, "n": n}


def numbers(subject: EventSubject) -> Observable[Any]:
    return subject.pipe(when(lambda state: state["n"] % 2), select("n"))


def test_operators_are_one_handler() -> None:
    subject = EventSubject()
    subject.pipe(do(len)).pipe(select("n")).pipe(every(2)).subscribe()
    subject.rebuild()
    assert len(subject.handlers) == 1


def test_what_they_pass_on_goes_through_operators_of_reactivex_and_ours() -> None:
    seen: list[object] = []
    subject = EventSubject()
    numbers(subject).pipe(ops.pairwise(), select(sum), every(2)).subscribe(seen.append)
    for n in range(10):
        subject.on_next(item(n))
    assert seen == [3 + 5, 7 + 9]


def test_a_selection_fuses_too() -> None:
    seen: list[object] = []
    runner = Runner()
    runner.stream(Event.BATCH.every(2)).pipe(select("batch"), do(seen.append)).subscribe()
    runner.run("abcd")
    assert seen == ["b", "d"]


def test_the_end_of_the_subject_is_passed_on_once() -> None:
    story: list[object] = []
    subject = EventSubject()
    numbers(subject).subscribe(story.append, story.append, lambda: story.append("the end"))
    subject.on_next(item(1))
    subject.on_completed()
    subject.on_completed()
    subject.on_next(item(3))
    assert story == [1, "the end"]


def test_an_error_of_the_subject_is_passed_on() -> None:
    story: list[object] = []
    subject, error = EventSubject(), ValueError("above")
    numbers(subject).subscribe(story.append, story.append)
    subject.on_error(error)
    assert story == [error]


@pytest.mark.parametrize("error", [None, ValueError("before")])
def test_who_subscribes_after_the_end_is_told_at_once(error: Exception | None) -> None:
    story: list[object] = []
    subject = EventSubject()
    if error is None:
        subject.on_completed()
    else:
        subject.on_error(error)
    numbers(subject).subscribe(story.append, story.append, lambda: story.append(None))
    assert story == [error]


def test_a_step_that_raises_ends_the_subscription_and_tells_its_observer_once() -> None:
    story: list[object] = []
    subject = EventSubject()
    stream = subject.pipe(select(lambda state: 6 // state["n"]))
    stream.subscribe(story.append, lambda error: story.append(type(error)))
    for n in (3, 0, 2):
        subject.on_next(item(n))
    assert story == [2, ZeroDivisionError]
    subject.rebuild()
    assert subject.handlers == []


def test_a_step_that_raises_leaves_as_itself_where_nobody_takes_errors_or_results() -> None:
    subject = EventSubject()
    subject.pipe(do(lambda state: 6 // state["n"])).subscribe()
    with pytest.raises(ZeroDivisionError):
        subject.on_next(item(0))
    subject.on_next(item(0))  # it is gone


def test_a_subscriber_that_raises_stays() -> None:
    seen: list[object] = []

    def view(n: int) -> None:
        seen.append(n)
        if n == 1:
            raise ValueError("below")

    subject = EventSubject()
    numbers(subject).subscribe(view)
    with pytest.raises(ValueError, match="below"):
        subject.on_next(item(1))
    subject.on_next(item(3))
    assert seen == [1, 3]


def test_an_observer_and_a_subject_may_subscribe() -> None:
    seen: list[object] = []
    subject, relay = EventSubject(), Subject[Any]()
    relay.subscribe(seen.append)
    numbers(subject).subscribe(relay)
    numbers(subject).subscribe(Observer(seen.append))
    subject.on_next(item(1))
    assert seen == [1, 1]


def test_disposing_of_it_in_the_middle_of_a_delivery_ends_it() -> None:
    seen: list[object] = []
    subject = EventSubject()
    first = subject.add(lambda _: second.dispose())
    second = numbers(subject).subscribe(seen.append)
    subject.on_next(item(1))
    first.dispose()
    subject.on_next(item(3))
    assert seen == []


def test_a_step_that_fails_inside_a_step_that_fails_is_told_of_once() -> None:
    errors: list[Exception] = []

    def fail(state: dict[str, Any]) -> None:
        if state["n"]:
            subject.on_next(item(state["n"] - 1))
        raise ValueError(state["n"])

    subject = EventSubject()
    subject.pipe(do(fail)).subscribe(on_error=errors.append)
    subject.on_next(item(2))
    assert [error.args for error in errors] == [(0,)]


def test_one_that_was_disposed_of_does_not_hear_of_the_end() -> None:
    story: list[str] = []
    subject = EventSubject()
    subject.subscribe(on_completed=lambda: second.dispose())
    second = numbers(subject).subscribe(on_completed=lambda: story.append("the end"))
    subject.on_completed()
    assert story == []


def test_nothing_comes_after_it_was_disposed_of_inside_a_step() -> None:
    story: list[object] = []
    subject = EventSubject()

    def leave(state: dict[str, Any]) -> None:
        if state["n"] == 2:
            subscription.dispose()

    stream = subject.pipe(do(leave), do(lambda state: story.append(("step", state["n"]))))
    subscription = stream.subscribe(lambda state: story.append(state["n"]))
    for n in (1, 2, 3):
        subject.on_next(item(n))
    assert story == [("step", 1), 1]


def test_nothing_comes_after_the_end_of_its_source() -> None:
    story: list[object] = []
    subject = EventSubject()
    subject.add(lambda _: subject.on_completed())
    numbers(subject).subscribe(story.append, on_completed=lambda: story.append("the end"))
    subject.on_next(item(1))
    assert story == ["the end"]


@pytest.mark.parametrize("takes_results", [True, False])
def test_one_that_leaves_during_a_nested_delivery_is_left_out_of_the_outer_one(
    takes_results: bool,
) -> None:
    seen: list[object] = []
    subject = EventSubject()

    def nest(state: dict[str, Any]) -> None:
        if state["n"] == 1:
            subject.add(lambda _: None)
            subject.on_next(item(3))
            subscription.dispose()

    subject.add(nest)
    stream = subject.pipe(do(lambda state: seen.append(state["n"])))
    subscription = stream.subscribe(list[object]().append) if takes_results else stream.subscribe()
    subject.on_next(item(1))
    assert seen == [3]


def test_a_disposed_subject_tells_the_observer() -> None:
    errors: list[Exception] = []
    subject = EventSubject()
    subject.dispose()
    numbers(subject).subscribe(on_error=errors.append)
    assert [type(error) for error in errors] == [DisposedException]


class Model:
    """Something large."""


@pytest.mark.parametrize("end", ["disposed of", "completed", "failed", "dropped"])
def test_it_lets_go_of_its_observer_without_the_garbage_collector(end: str) -> None:
    subject: EventSubject | None = EventSubject()
    assert subject is not None
    model = Model()
    alive = ref(model)
    stream = subject.pipe(select("n"))
    subscription = stream.subscribe(lambda _, model=model: None, lambda _: None)  # type: ignore[misc]
    del model
    gc.disable()
    try:
        if end == "disposed of":
            subscription.dispose()
        elif end == "completed":
            subject.on_completed()
        elif end == "failed":
            subject.on_next({"running": True})
        else:
            del subscription, stream
            subject = None
        if subject is not None:
            subject.rebuild()
        assert alive() is None
    finally:
        gc.enable()


def test_without_operators_a_stream_is_itself() -> None:
    subject = EventSubject()
    assert subject.pipe() is subject  # type: ignore[call-overload]
