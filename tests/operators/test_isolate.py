"""`isolate` at the end of a pipeline: neither its failures nor its subscriber's break a run."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject, abc
from reactivex import operators as ops
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import BehaviorSubject

from rnnr import Event, Runner
from rnnr.operators import Operator, every, isolate, pipeline, select

MESSAGE = "isolate() caught an exception; the run goes on"

inverse: Operator = ops.map(lambda batch: 1 / batch)


def logged(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    """Return the types of the exceptions that were logged, and forget them."""
    for record in caplog.records:
        assert (record.name, record.levelno) == ("rnnr.isolation", logging.ERROR)
        assert record.getMessage() == MESSAGE
    kinds = [record.exc_info[0] for record in caplog.records if record.exc_info]
    caplog.clear()
    return kinds


def test_what_the_subscriber_raises_is_logged_and_it_gets_the_next_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story: list[object] = []

    def view(batch: int) -> None:
        story.append(f"view {batch}")
        raise ConnectionError(f"no network at {batch}")

    runner = Runner()
    runner.stream(Event.BATCH).pipe(select("batch"), isolate()).subscribe(view)
    runner.on(Event.BATCH, lambda state: story.append(state["batch"]))
    runner.run([1, 2])
    assert story == ["view 1", 1, "view 2", 2]
    assert "in view" in caplog.text
    assert "ConnectionError: no network at 1" in caplog.text
    assert logged(caplog) == [ConnectionError, ConnectionError]


def test_what_an_operator_above_raises_is_logged_and_the_pipeline_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[float] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(select("batch"), inverse, isolate()).subscribe(seen.append)
    runner.run([2, 0, 0, 4])
    runner.run([0, 5])
    assert seen == [0.5, 0.25, 0.2]
    assert logged(caplog) == [ZeroDivisionError] * 3


def test_a_thousand_failures_leave_one_subscription(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[float] = []
    source = Subject[int]()
    subscription = source.pipe(inverse, isolate()).subscribe(seen.append)
    for _ in range(1000):
        source.on_next(0)
    source.on_next(1)
    assert len(source.observers) == 1
    assert seen == [1.0]
    assert logged(caplog) == [ZeroDivisionError] * 1000
    subscription.dispose()
    assert source.observers == []


def test_operators_above_begin_anew_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[float] = []
    source = Subject[int]()
    source.pipe(inverse, every(2), isolate()).subscribe(seen.append)
    for batch in (1, 0, 2, 4):
        source.on_next(batch)
    assert seen == [0.25]
    assert logged(caplog) == [ZeroDivisionError]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", ["above", "below"])
def test_what_is_no_failure_passes(kind: type[BaseException], place: str) -> None:
    error = kind()
    story: list[object] = []

    def interrupt(batch: int) -> int:
        story.append(batch)
        if len(story) == 1:
            raise error
        return batch

    runner = Runner()
    stream = runner.stream(Event.BATCH).pipe(select("batch"))
    if place == "above":
        stream.pipe(ops.map(interrupt), isolate()).subscribe()
    else:
        stream.pipe(isolate()).subscribe(lambda batch: [interrupt(batch)].clear())
    with pytest.raises(kind) as caught:
        runner.run([1])
    assert caught.value is error
    runner.run([2])
    assert story == [1, 2]


def test_the_end_is_passed_on_and_a_failure_there_is_logged_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story: list[object] = []

    def close() -> None:
        story.append("closed")
        raise OSError("disk full")

    source = Subject[int]()
    source.pipe(isolate()).subscribe(story.append, on_completed=close)
    source.on_next(1)
    source.on_completed()
    assert story == [1, "closed"]
    assert logged(caplog) == [OSError]


def test_it_can_be_disposed_at_any_time_also_by_its_subscriber() -> None:
    seen: list[int] = []
    source = Subject[int]()
    source.pipe(isolate(), ops.take(1)).subscribe(seen.append)
    subscription = source.pipe(isolate()).subscribe(seen.append)
    source.on_next(1)
    assert len(source.observers) == 1
    subscription.dispose()
    source.on_next(2)
    assert seen == [1, 1]
    assert source.observers == []


def of_one_item_then_an_error(
    observer: abc.ObserverBase[int], _: abc.SchedulerBase | None = None
) -> abc.DisposableBase:
    observer.on_next(1)
    observer.on_error(ZeroDivisionError())
    return reactivex.never().subscribe()


COLD: dict[str, Callable[[], Observable[Any]]] = {
    "throw": lambda: reactivex.throw(ZeroDivisionError()),
    "of": lambda: reactivex.of(1, 0, 2).pipe(inverse),
    "range": lambda: reactivex.range(1, -1, -1).pipe(inverse),
    "create": lambda: reactivex.create(of_one_item_then_an_error),
    "defer": lambda: reactivex.defer(lambda _: 1 / 0),  # type: ignore[arg-type, return-value]
    "BehaviorSubject": lambda: BehaviorSubject(0).pipe(inverse),
}


@pytest.mark.parametrize("name", COLD)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside a subscription"])
def test_a_source_that_fails_while_it_is_subscribed_is_logged_once_and_completes(
    name: str, inside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    story: list[Any] = []

    def subscribe(_: object = None) -> None:
        COLD[name]().pipe(isolate()).subscribe(
            story.append, story.append, lambda: story.append("the end")
        )

    if inside:
        reactivex.of("anything").subscribe(subscribe)
    else:
        subscribe()
    assert story in ([1, "the end"], ["the end"])
    assert logged(caplog) == [ZeroDivisionError]


def test_a_stream_that_has_died_completes(caplog: pytest.LogCaptureFixture) -> None:
    story: list[Any] = []
    source = Subject[int]()
    source.pipe(isolate()).subscribe(story.append, story.append, lambda: story.append("the end"))
    source.on_next(1)
    source.on_error(ValueError("for good"))
    assert story == [1, "the end"]
    assert set(logged(caplog)) == {ValueError}


def test_a_long_cold_stream_passes_without_recursion() -> None:
    seen: list[int] = []
    reactivex.range(5000).pipe(isolate()).subscribe(seen.append)
    assert seen == [*range(5000)]


def test_the_scheduler_of_the_subscription_is_used_if_there_is_one() -> None:
    scheduler = ImmediateScheduler()
    seen: list[object] = []
    source = Observable[int](lambda observer, scheduler: seen.append(scheduler))  # type: ignore[arg-type, return-value]
    source.pipe(isolate()).subscribe(scheduler=scheduler)
    assert seen == [scheduler]


def test_it_isolates_inside_a_pipeline_of_rnnr(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner()
    runner.on(Event.BATCH, pipeline(select("batch"), inverse, isolate()))
    runner.run([1, 0, 2])
    assert runner.state["n_iters"] == 3
    assert logged(caplog) == [ZeroDivisionError]
