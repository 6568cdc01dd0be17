"""What holds for every operator that remembers: its memory is that of one subscription."""

from typing import Any

import pytest
from reactivex import Observable, Subject

from helpers.clock import Clock
from helpers.parts import OPERATORS
from rnnr import Event, Runner
from rnnr.operators import (
    Operator,
    chunk,
    ema,
    every,
    improved,
    patience,
    pipeline,
    running_mean,
    select,
    throughput,
)

clock = Clock()

# an operator, items for it, and what it makes of them
CASES: dict[str, tuple[Operator, list[Any], list[Any]]] = {
    "chunk": (chunk(2), [1, 2, 3, 4], [[1, 2], [3, 4]]),
    "ema": (ema(0.5), [4, 1, 1], [4.0, 2.0, 10 / 7]),
    "every": (every(2), [1, 2, 3, 4], [2, 4]),
    "improved": (improved(), [3, 4, 2], [True, False, True]),
    "patience": (patience(1), [False, False, False], [2, 3]),
    "running_mean": (running_mean(2), [1, 2, 4], [1.0, 1.5, 3.0]),
    "throughput": (throughput(2, clock=clock), [1, 2, 3, 4, 5], [1.0, 1.0]),
}


def test_every_operator_that_remembers_is_among_them() -> None:
    makers = {name for name, make in OPERATORS.items() if any(map(remembers, make()))}
    assert {*CASES} == makers | {"chunk"}


def remembers(operator: Operator) -> bool:
    return bool(getattr(operator, "remembers", False))


Case = tuple[Operator, list[Any], list[Any]]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    clock.now = 0.0
    return CASES[request.param]


def send(source: Subject[Any], items: list[Any]) -> None:
    """Send one item a second."""
    for item in items:
        clock.now += 1.0
        source.on_next(item)


def test_it_remembers_from_item_to_item(case: Case) -> None:
    operator, items, expected = case
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(operator).subscribe(seen.append)
    send(source, items)
    assert seen == expected


def test_two_subscriptions_of_one_stream_do_not_share_a_memory(case: Case) -> None:
    operator, items, expected = case
    source = Subject[Any]()
    stream = source.pipe(operator)
    late: list[Any] = []
    stream.subscribe()
    send(source, items[:1])
    stream.subscribe(late.append)
    send(source, items)
    assert late == expected


def test_a_subscription_after_one_that_is_gone_begins_again(case: Case) -> None:
    operator, items, expected = case
    story: list[Any] = []
    source = Subject[Any]()
    stream = source.pipe(operator)
    with stream.subscribe():
        send(source, items[:1])
    with stream.subscribe(story.append):
        send(source, items)
    send(source, items)
    assert story == expected
    assert source.observers == []


def test_a_subscription_after_an_error_begins_again(case: Case) -> None:
    operator, items, expected = case
    failing, source = Subject[Any](), Subject[Any]()
    sources = iter([failing, source])
    stream = Observable[Any](
        lambda observer, scheduler: next(sources).subscribe(observer, scheduler=scheduler)
    ).pipe(operator)
    error = ValueError("above")
    story: list[Any] = []
    stream.subscribe(on_error=story.append)
    send(failing, items[:1])
    failing.on_error(error)
    stream.subscribe(story.append)
    send(source, items)
    assert story == [error, *expected]


def test_the_end_of_the_source_is_passed_on(case: Case) -> None:
    operator, items, expected = case
    story: list[Any] = []
    source = Subject[Any]()
    source.pipe(operator).subscribe(story.append, on_completed=lambda: story.append("the end"))
    send(source, items)
    source.on_completed()
    assert story == [*expected, "the end"]


def test_what_its_subscriber_raises_leaves_as_itself_and_ends_nothing(case: Case) -> None:
    operator, items, expected = case
    story: list[Any] = []
    error = ValueError("below")

    def view(item: Any) -> None:
        story.append(item)
        if len(story) == 1:
            raise error

    source = Subject[Any]()
    source.pipe(operator).subscribe(view)
    caught: list[Exception] = []
    for item in items:
        try:
            send(source, [item])
        except ValueError as raised:
            caught.append(raised)
    assert story == expected
    assert caught == [error]


@pytest.mark.parametrize(
    "operator", [ema(0.5), improved(), running_mean(2)], ids=["ema", "improved", "running_mean"]
)
@pytest.mark.parametrize("wrong", [None, "0.5", [0.5], {}], ids=repr)
def test_a_value_that_is_no_number_is_an_error_that_names_the_operator_and_the_cure(
    operator: Operator, wrong: Any
) -> None:
    runner = Runner()
    runner.on(Event.BATCH, pipeline(select("batch"), operator))
    expected = r"a value for \w+\(.*\) must be a number.*, got .*; (select|give it) one "
    with pytest.raises(TypeError, match=expected):
        runner.run([1, wrong])
    runner.run([2])  # nothing is left behind


def test_types_are_inferred_through_a_pipe() -> None:
    stream = Runner().stream(Event.BATCH)
    lists: Observable[list[str]] = Subject[str]().pipe(chunk(3))
    chunks: Observable[list[Any]] = stream.pipe(select("loss"), chunk(3))
    counts: Observable[int] = stream.pipe(select("loss"), improved("min"), patience(3))
    rates: Observable[list[float]] = stream.pipe(throughput(10), every(2), chunk(2))
    for one in (lists, chunks, counts, rates):
        assert isinstance(one, Observable)
