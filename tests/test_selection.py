"""Selections of events, against a second implementation that looks at a whole story at once."""

import math
import pickle
from collections.abc import Callable
from functools import reduce
from itertools import accumulate, count
from operator import or_
from typing import Any, NamedTuple, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import torch
from rnnr import Event, Layer, Runner, State
from rnnr.selection import Selectable, Selection


class Moment(NamedTuple):
    """One event of a run, at a time that the test makes."""

    event: Event
    epoch: int
    n_iters: int
    time: int

    @property
    def number(self) -> int:
        """The run's own count of what happens."""
        is_epoch = self.event in (Event.EPOCH_STARTED, Event.EPOCH_FINISHED)
        return self.epoch if is_epoch else self.n_iters


class Wish(NamedTuple):
    """A selection, and the judge: which moments of a story are selected."""

    text: str
    select: Callable[[Callable[[], float]], Selectable]  # takes the clock
    judge: Callable[[list[Moment]], list[bool]]

    def __repr__(self) -> str:
        return self.text


def event(kind: Event) -> Wish:
    return Wish(str(kind), lambda _: kind, lambda story: [m.event is kind for m in story])


def every(wish: Wish, n: int) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        return [one and m.number % n == 0 for one, m in zip(wish.judge(story), story, strict=True)]

    return Wish(f"{wish}.every({n})", lambda clock: wish.select(clock).every(n), judge)


def numbers_in_epoch(story: list[Moment]) -> list[int]:
    """Return how many batches of its epoch were delivered up to each moment."""
    numbers, number = [], 0
    for m in story:
        number = 0 if m.event in (Event.STARTED, Event.EPOCH_STARTED) else number
        number += m.event is Event.BATCH
        numbers.append(number)
    return numbers


def every_of_epoch(wish: Wish, n: int) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        numbers = numbers_in_epoch(story)
        return [
            one and number % n == 0 for one, number in zip(wish.judge(story), numbers, strict=True)
        ]

    return Wish(
        f"{wish}.every({n}, of='epoch')",
        lambda clock: wish.select(clock).every(n, of="epoch"),
        judge,
    )


def groups_of_epoch(n: int) -> Wish:
    """Return the selection of complete groups of batches and of the rest of an epoch."""

    def judge(story: list[Moment]) -> list[bool]:
        selected, is_open = [], False  # whether batches wait for the end of their group
        for m, number in zip(story, numbers_in_epoch(story), strict=True):
            is_end = m.event is Event.EPOCH_FINISHED and is_open
            selected.append(is_end or (m.event is Event.BATCH and number % n == 0))
            if m.event in (Event.BATCH, Event.EPOCH_FINISHED, Event.STARTED):
                is_open = m.event is Event.BATCH and not selected[-1]
        return selected

    return Wish(
        f"Event.BATCH.every({n}, of='epoch', rest=True)",
        lambda _: Event.BATCH.every(n, of="epoch", rest=True),
        judge,
    )


def groups_of_run(kinds: frozenset[Event], n: int) -> Wish:
    """Return the selection of complete groups and of the rest of a run."""

    def judge(story: list[Moment]) -> list[bool]:
        counts = [[m._replace(event=kind).number for kind in kinds] for m in story]
        return [
            (m.event in kinds and m.number % n == 0)
            or (m.event is Event.FINISHED and any(count % n for count in at_end))
            for m, at_end in zip(story, counts, strict=True)
        ]

    def select(_: object) -> Selectable:
        return reduce(or_, sorted(kinds, key=str)).every(n, rest=True)

    return Wish(f"{[*kinds]}.every({n}, rest=True)", select, judge)


def first(wish: Wish, n: int) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        before = wish.judge(story)
        return [one and seen <= n for one, seen in zip(before, accumulate(before), strict=True)]

    return Wish(f"{wish}.first({n})", lambda clock: wish.select(clock).first(n), judge)


def where(wish: Wish, remainder: int) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        return [
            one and m.n_iters % 3 == remainder
            for one, m in zip(wish.judge(story), story, strict=True)
        ]

    def predicate(state: State) -> bool:
        return bool(state["n_iters"] % 3 == remainder)

    return Wish(
        f"{wish}.where({remainder})", lambda clock: wish.select(clock).where(predicate), judge
    )


def seconds(wish: Wish, s: int) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        selected, last = [], -math.inf
        for one, m in zip(wish.judge(story), story, strict=True):
            selected.append(one and m.time >= last + s)
            last = m.time if selected[-1] else last
        return selected

    return Wish(f"{wish}.seconds({s})", lambda clock: wish.select(clock).seconds(s, clock), judge)


def either(one: Wish, other: Wish) -> Wish:
    def judge(story: list[Moment]) -> list[bool]:
        return [a or b for a, b in zip(one.judge(story), other.judge(story), strict=True)]

    return Wish(f"({one} | {other})", lambda clock: one.select(clock) | other.select(clock), judge)


BATCHES = (Event.BATCH,)
COUNTED = (Event.BATCH, Event.EPOCH_STARTED, Event.EPOCH_FINISHED)


def wishes(events: tuple[Event, ...]) -> st.SearchStrategy[Wish]:
    numbers = st.integers(1, 4)
    some = st.frozensets(st.sampled_from(COUNTED), min_size=1)
    groups = [st.builds(groups_of_epoch, numbers), st.builds(groups_of_run, some, numbers)]
    leaves = st.sampled_from(events).map(event)

    def extend(part: st.SearchStrategy[Wish]) -> st.SearchStrategy[Wish]:
        return st.one_of(
            st.builds(first, part, numbers),
            st.builds(where, part, st.integers(0, 2)),
            st.builds(seconds, part, numbers),
            st.builds(either, part, part),
            *([st.builds(every, part, numbers)] if {*events} <= {*COUNTED} else []),
            *([st.builds(every_of_epoch, part, numbers)] if events == BATCHES else []),
        )

    leaves = st.one_of(leaves, *groups) if events == tuple(Event) else leaves
    return st.recursive(leaves, extend, max_leaves=5)


Watch: TypeAlias = Callable[[Runner, Selectable, Callable[[State], None]], Any]


def by_on(runner: Runner, selection: Any, handler: Callable[[State], None]) -> Any:
    return runner.on(selection, handler)


def by_stream(runner: Runner, selection: Any, handler: Callable[[State], None]) -> Any:
    return runner.stream(selection).subscribe(handler)


@pytest.mark.parametrize("watch", [by_on, by_stream])
@given(
    wish=st.one_of(
        wishes(BATCHES),
        wishes(COUNTED),
        wishes(tuple(Event)),
        st.builds(either, wishes(COUNTED), wishes(tuple(Event))),
    ),
    n_batches=st.integers(0, 4),
    max_epoch=st.integers(0, 4),
    stops=st.sets(st.integers(1, 16), max_size=3),
)
def test_a_selection_selects_what_the_judge_does_also_over_stops_and_a_second_run(
    watch: Watch, wish: Wish, n_batches: int, max_epoch: int, stops: set[int]
) -> None:
    story: list[Moment] = []
    told: list[Moment] = []
    runner = Runner()

    def tell(state: State, event: Event) -> None:
        story.append(Moment(event, state["epoch"], state["n_iters"], len(story)))

    for kind in Event:
        runner.stream(kind).add(
            lambda state, kind=kind: tell(state, kind),  # type: ignore[misc]
            layer=Layer.USER,
        )
    watch(runner, wish.select(lambda: len(story) - 1), lambda _: told.append(story[-1]))
    runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] not in stops))

    for _ in range(2):
        runner.run(range(n_batches), max_epoch)
        while story[-1].event is Event.STOPPED:
            runner.resume()
    assert told == [m for m, one in zip(story, wish.judge(story), strict=True) if one]


class TestSubscriptions:
    def test_one_selection_serves_several_and_each_has_memory_of_its_own(self) -> None:
        seen: list[str] = []
        selection = Event.BATCH.first(2)
        one, other = Runner(), Runner()
        one.on(selection, lambda _: seen.append("a"))
        one.on(selection, lambda _: seen.append("b"))
        other.on(selection, lambda _: seen.append("c"))
        one.run(range(3))
        other.run(range(3))
        assert seen == ["a", "b", "a", "b", "c", "c"]

    def test_as_a_decorator_it_takes_a_callback(self) -> None:
        seen: list[str] = []
        runner = Runner()

        @runner.on(Event.BATCH.every(2))
        def keep(state: State) -> None:
            seen.append(state["batch"])

        runner.run("abcd")
        assert seen == ["b", "d"]

    def test_its_disposable_ends_all_of_it(self) -> None:
        seen: list[int] = []
        runner = Runner()
        selection = Event.BATCH | Event.EPOCH_FINISHED.every(1)
        with runner.on(selection, lambda _: seen.append(1)):
            runner.run([1])
        runner.run([1])
        with runner.stream(selection).subscribe(lambda _: seen.append(2)):
            runner.run([1])
        runner.run([1])
        assert seen == [1, 1, 2, 2]

    def test_it_keeps_its_place_in_the_order_of_callbacks(self) -> None:
        seen: list[str] = []
        runner = Runner()
        runner.on(Event.BATCH, lambda _: seen.append("first"))
        runner.on(Event.BATCH.once() | Event.BATCH, lambda _: seen.append("second"))
        runner.on(Event.BATCH, lambda _: seen.append("third"))
        runner.run([1])
        assert seen == ["first", "second", "third"]

    def test_it_has_a_layer_like_every_handler(self) -> None:
        seen: list[str] = []
        runner = Runner()
        runner.stream(Event.BATCH.every(1)).add(lambda _: seen.append("bar"), layer=Layer.DISPLAY)
        runner.on(Event.BATCH, lambda _: seen.append("train"))
        runner.run([1])
        assert seen == ["train", "bar"]

    def test_an_error_of_the_predicate_leaves_run_as_itself(self) -> None:
        error = LookupError("no such thing")

        def fail(_: State) -> bool:
            raise error

        runner = Runner()
        runner.on(Event.BATCH.where(fail), print)
        with pytest.raises(LookupError) as caught:
            runner.run([1])
        assert caught.value is error

    def test_a_resumed_run_goes_on_in_step_in_another_process_too(self) -> None:
        seen: list[int] = []
        first = Runner()
        first.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 5))
        first.run(range(10))
        second = Runner()
        second.state = dict(first.state)
        second.on(Event.BATCH.every(3), lambda state: seen.append(state["n_iters"]))
        second.resume()
        assert seen == [6, 9]

    def test_groups_of_an_epoch_go_on_in_another_process_and_no_batch_is_in_two(self) -> None:
        for n in range(1, 11):
            first = Runner()
            groups = accumulated(first)
            stop = Event.BATCH.where(lambda state, n=n: state["n_iters"] == n)  # type: ignore[misc]
            first.on(stop, lambda state: state.update(running=False))
            first.run(range(5), max_epoch=2)
            second = Runner()
            rest = accumulated(second)
            second.state = pickle.loads(pickle.dumps(first.state))
            second.resume()
            assert groups + rest == [[1, 2], [3, 4], [5], [6, 7], [8, 9], [10]], n

    def test_a_batch_that_is_repeated_is_selected_again(self) -> None:
        seen: list[int] = []
        runner = Runner()
        groups = Event.BATCH.every(2, of="epoch", rest=True)
        runner.on(groups, lambda state: seen.append(state["n_iters"]))
        stop = Event.BATCH.where(lambda state: state["n_iters"] == 2).once()
        runner.on(stop, lambda state: state.update(running=False))
        runner.run(range(3))
        runner.resume(repeat_last_batch=True)
        assert seen == [2, 2, 3]

    def test_an_epoch_without_batches_has_no_rest_of_the_epoch_before(self) -> None:
        seen: list[tuple[int, int]] = []
        runner = Runner()
        runner.on(
            Event.EPOCH_STARTED, lambda state: state.update(batches=[1] * (state["epoch"] % 2))
        )
        groups = Event.BATCH.every(2, of="epoch", rest=True)
        runner.on(groups, lambda state: seen.append((state["epoch"], state["n_iters"])))
        runner.run([], max_epoch=4)
        assert seen == [(1, 1), (3, 2)]


def accumulated(runner: Runner) -> list[list[int]]:
    """Collect batches in the state, as gradients are, and list them at the end of each group."""
    groups: list[list[int]] = []

    @runner.on(Event.BATCH)
    def add(state: State) -> None:
        state["group"] = [*state.get("group", []), state["n_iters"]]

    @runner.on(Event.BATCH.every(2, of="epoch", rest=True))
    def step(state: State) -> None:
        groups.append(state.pop("group"))

    return groups


def test_an_event_is_still_a_member_of_an_enum() -> None:
    assert [Event["BATCH"], Event.BATCH] == [Event.BATCH] * 2
    assert len({*Event}) == len(Event.__members__) == 8


def test_a_selection_shows_how_it_was_made() -> None:
    selection = (Event.BATCH.every(100) | Event.EPOCH_FINISHED).first(3).seconds(0.5)
    assert (
        repr(selection) == "(Event.BATCH.every(100) | Event.EPOCH_FINISHED).first(3).seconds(0.5)"
    )
    assert repr(Event.BATCH.every(4, of="epoch")) == "Event.BATCH.every(4, of='epoch')"
    rest = Event.BATCH.every(4, of="epoch", rest=True)
    assert repr(rest) == "Event.BATCH.every(4, of='epoch', rest=True)"
    assert repr(Event.BATCH.every(4, rest=True)) == "Event.BATCH.every(4, rest=True)"


@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("n_batches", [1, 2, 4, 9])
def test_accumulated_gradients_equal_those_of_one_large_batch(size: int, n_batches: int) -> None:
    pytest.importorskip("torch")

    def gradients(size: int, groups: Event | Selection) -> list[Any]:
        """Return the gradient of each step, of one model on the same 21 items."""
        torch.manual_seed(0)
        items: Any = torch.randn(21, 3, dtype=torch.float64)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        model.double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        runner, found = Runner(), list[Any]()
        runner.state["n_items"] = 0

        @runner.on(Event.BATCH)
        def accumulate(state: State) -> None:
            (model(state["batch"]) ** 2).sum().backward()
            state["n_items"] += len(state["batch"])

        @runner.on(groups)
        def step(state: State) -> None:
            parameters: list[Any] = [*model.parameters()]
            for parameter in parameters:
                parameter.grad /= state["n_items"]
            found.append(torch.cat([one.grad.flatten() for one in parameters]))
            optimizer.step()
            optimizer.zero_grad()
            state["n_items"] = 0

        loader = torch.utils.data.DataLoader(items, batch_size=size, shuffle=True)
        runner.run(loader, max_epoch=3)
        return found

    groups = Event.BATCH.every(n_batches, of="epoch", rest=True)
    accumulated, large = gradients(size, groups), gradients(size * n_batches, Event.BATCH)
    assert len(accumulated) == len(large) >= 3
    for one, other in zip(accumulated, large, strict=True):
        torch.testing.assert_close(one, other)


ANY: Any = Event  # for mypy, which refuses most of what follows
RUNNER: Callable[[], Any] = Runner


async def asynchronous(state: State) -> None:
    """Be refused."""


@pytest.mark.parametrize(
    ("select", "error", "message"),
    [
        (lambda: ANY.BATCH.every(0), ValueError, "n must be an integer of 1 or more, got 0"),
        (lambda: ANY.BATCH.every(-3), ValueError, "got -3 .*; count in batches or epochs"),
        (lambda: ANY.BATCH.every(2.0), TypeError, "n must be an integer of 1 or more, got 2.0"),
        (lambda: ANY.BATCH.every(None), TypeError, "got None"),
        (
            lambda: ANY.STARTED.every(2),
            ValueError,
            "every must be selected from batches or epochs, "
            r"got <Event.STARTED.*as in Event.BATCH.every\(2\) \| Event.STARTED",
        ),
        (
            lambda: (ANY.EPOCH_FINISHED | Event.STOPPED).every(2),
            ValueError,
            r"got <Event.STOPPED.*\| Event.STOPPED",
        ),
        (
            lambda: (ANY.BATCH | Event.EPOCH_FINISHED).every(2, of="epoch"),
            ValueError,
            "every must be selected from batches, got <Event.EPOCH_FINISHED.*join it afterwards, "
            r"as in Event.BATCH.every\(2, of='epoch'\) \| Event.EPOCH_FINISHED",
        ),
        (
            lambda: ANY.BATCH.first(3).every(2, rest=True),
            ValueError,
            r"every with rest must be selected from all of them, got Event.BATCH.first\(3\).*; "
            r"select from its result, as in Event.BATCH.every\(2, rest=True\).first\(3\)",
        ),
        (
            lambda: ANY.BATCH.every(2, of="run."),
            ValueError,
            "of must be one of 'run', 'epoch', got 'run.' .*'epoch' begins to count again",
        ),
        (lambda: ANY.BATCH.every(2, of=None), TypeError, "of must be a string, got None"),
        (lambda: ANY.BATCH.every(2, rest=1), TypeError, "rest must be True or False, got 1"),
        (lambda: ANY.BATCH.first(0), ValueError, "n must be an integer of 1 or more, got 0"),
        (lambda: ANY.BATCH.first("2"), TypeError, "n must be an integer of 1 or more, got '2'"),
        (lambda: ANY.BATCH.where(3), TypeError, "predicate must be callable, got 3"),
        (
            lambda: ANY.BATCH.where(asynchronous),
            TypeError,
            "predicate must be a function that runs when it is called, got <.*it is async",
        ),
        (lambda: ANY.BATCH.seconds(0), ValueError, "s must be a finite number of seconds above"),
        (lambda: ANY.BATCH.seconds(-1), ValueError, "got -1"),
        (lambda: ANY.BATCH.seconds(math.nan), ValueError, "got nan"),
        (lambda: ANY.BATCH.seconds(math.inf), ValueError, "got inf"),
        (lambda: ANY.BATCH.seconds("30"), TypeError, "got '30' .*pass for example 30"),
        (lambda: ANY.BATCH.seconds(3, clock=3), TypeError, "clock must be callable, got 3"),
        (lambda: ANY.BATCH | 3, TypeError, "unsupported operand"),
        (lambda: ANY.BATCH.once() | "STOPPED", TypeError, "unsupported operand"),
        (lambda: RUNNER().on(ANY.BATCH.every(2), 3), TypeError, "callbacks must be callable"),
        (lambda: RUNNER().stream(ANY.BATCH.every(2)).add(3), TypeError, "handler must be call"),
        (
            lambda: RUNNER().stream(ANY.BATCH.every(2)).add(print, layer="USER"),
            TypeError,
            "layer must be a Layer",
        ),
        (
            lambda: RUNNER().on(ANY.BATCH.every, print),
            TypeError,
            "event must be an Event or a Selection, got <bound method",
        ),
    ],
)
def test_bad_input_is_refused_when_given(
    select: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        select()


def test_the_clock_is_read_only_for_what_was_selected_before() -> None:
    times = count()
    runner = Runner()
    runner.on(Event.BATCH.every(3).seconds(1, clock=times.__next__), lambda _: None)
    runner.run(range(9))
    assert next(times) == 3
