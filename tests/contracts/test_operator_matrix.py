"""Every operator of ReactiveX over the streams of a runner, and over an observed run.

The operators are found by introspection, so one that a new version adds fails
`test_every_operator_has_a_row` until it has one. Time is virtual: a clock stands at 0 when the
operator is applied, at 10, 20, 30 and 40 when a batch is drawn, and goes on after the run.
"""

import inspect
import operator
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

import pytest
import reactivex as rx
from reactivex import Observable, abc, compose
from reactivex import operators as ops
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from helpers.paths import page
from rnnr import Emission, Event, RnnrWarning, Runner
from rnnr.operators import select
from rnnr.scheduling import InPlaceScheduler

END = "the end"
BATCHES = [3, 1, 2, 2]
PAGE = page("traps")


class Batches:
    """Batches that are ten seconds apart on a virtual clock."""

    def __init__(self, clock: TestScheduler) -> None:
        self._clock = clock

    def __iter__(self) -> Iterator[int]:
        for batch in BATCHES:
            before = self._clock.now
            self._clock.advance_by(10)
            if self._clock.now == before:  # the clock itself runs this loop, and can but sleep
                self._clock.sleep(10)
            yield batch


class Row(NamedTuple):
    """How an operator is applied, and what comes.

    Attributes:
        apply: Takes the operator and the clock, and returns what is passed to ``pipe``.
        stream: What comes over an event stream.
        observe: What comes over an observed run, if that is not the same and then the end.
        since: The version of reactivex that brought it, if it is not in all that rnnr accepts.
    """

    apply: Callable[[Any, TestScheduler], Any]
    stream: list[Any]
    observe: list[Any] | None = None
    since: tuple[int, int] = (0, 0)

    @property
    def observed(self) -> list[Any]:
        if self.observe is not None:
            return self.observe
        return self.stream if END in self.stream else [*self.stream, END]


def letters(clock: TestScheduler) -> Any:
    """Return another stream without an end: "a" before the second batch, "b" before the last."""
    return clock.create_hot_observable(ReactiveTest.on_next(15, "a"), ReactiveTest.on_next(35, "b"))


def after(seconds: float, clock: TestScheduler, value: Any = None) -> Observable[Any]:
    return rx.timer(seconds, scheduler=clock).pipe(ops.map(lambda _: value))


def never(_: Any) -> bool:
    return False


def is_even(n: int, *_: Any) -> bool:
    return n % 2 == 0


def is_one_of_the_first_two(_: int, index: int) -> bool:
    return index < 2


def twice(n: int) -> Observable[int]:
    return rx.of(n, n)


def times(n: int) -> Callable[[Any], bool]:
    answers = [*[True] * n, False]
    return lambda _: answers.pop(0)


def fails_once() -> Any:
    """Return an operator that fails at the first 1."""
    faults = [ValueError("once")]

    def fail(n: int) -> int:
        if n == 1 and faults:
            raise faults.pop()
        return n

    return ops.map(fail)


def named(name: str) -> Any:
    return ops.map(lambda n: (name, n))


def both_parts(split: Any) -> Callable[[Observable[Any]], Observable[Any]]:
    def join(source: Observable[Any]) -> Observable[Any]:
        yes, no = split(source)
        joined: Observable[Any] = yes.pipe(named("yes"), ops.merge(no.pipe(named("no"))))
        return joined

    return join


def through_a_future(to_future: Any) -> Callable[[Observable[Any]], Observable[Any]]:
    def wait(source: Observable[Any]) -> Observable[Any]:
        future: Any = to_future(Future)(source)
        return rx.from_future(future)

    return wait


def by(clock: TestScheduler, operator: Any) -> Callable[[Observable[Any]], Observable[Any]]:
    """Subscribe with the clock, for an operator that overlooks the one it is given."""

    def on_the_clock(source: Observable[Any]) -> Observable[Any]:
        return Observable(lambda observer, _: operator(source).subscribe(observer, scheduler=clock))

    return on_the_clock


def to_lists(window: Observable[Any]) -> Observable[list[Any]]:
    return window.pipe(ops.to_list())


def to_pair(pair: tuple[Any, Observable[Any]]) -> Observable[tuple[Any, list[Any]]]:
    paired: Observable[tuple[Any, list[Any]]] = pair[1].pipe(ops.to_list(), named(pair[0]))
    return paired


each: Any = ops.map  # without types, which a lambda cannot give
lists = ops.flat_map(to_lists)
pair_lists = ops.flat_map(to_pair)

TABLE: dict[str, Row] = {
    "all": Row(lambda op, clock: op(lambda n: n > 0), [], [True, END]),
    "amb": Row(lambda op, clock: op(rx.never()), [3, 1, 2, 2]),
    "as_observable": Row(lambda op, clock: op(), [3, 1, 2, 2]),
    "average": Row(lambda op, clock: op(), [], [2.0, END]),
    "buffer": Row(lambda op, clock: op(letters(clock)), [[3], [1, 2]], [[3], [1, 2], [2], END]),
    "buffer_toggle": Row(
        lambda op, clock: op(after(15, clock), lambda _: after(20, clock)), [[1, 2], END]
    ),
    "buffer_when": Row(lambda op, clock: op(lambda: after(25, clock)), [[3, 1], [2, 2]]),
    "buffer_with_count": Row(lambda op, clock: op(3), [[3, 1, 2]], [[3, 1, 2], [2], END]),
    "buffer_with_time": Row(lambda op, clock: op(25, scheduler=clock), [[3, 1], [2, 2]]),
    "buffer_with_time_or_count": Row(
        lambda op, clock: op(25, 3, scheduler=clock), [[3, 1], [2, 2]]
    ),
    "catch": Row(
        lambda op, clock: compose(fails_once(), op(rx.of("instead"))), [3, "instead", END]
    ),
    "combine_latest": Row(
        lambda op, clock: op(rx.of("a")), [(3, "a"), (1, "a"), (2, "a"), (2, "a")]
    ),
    "concat": Row(lambda op, clock: op(rx.of("next")), [3, 1, 2, 2], [3, 1, 2, 2, "next", END]),
    "concat_all": Row(
        lambda op, clock: compose(ops.map(twice), op()), [3, 3, 1, 1, 2, 2, 2, 2], since=(6, 0)
    ),
    "concat_map": Row(lambda op, clock: op(twice), [3, 3, 1, 1, 2, 2, 2, 2]),
    "contains": Row(lambda op, clock: op(2), [True, END]),
    "count": Row(lambda op, clock: op(), [], [4, END]),
    "debounce": Row(lambda op, clock: op(15, scheduler=clock), [2]),
    "default_if_empty": Row(
        lambda op, clock: compose(ops.filter(never), op("none")), [], ["none", END]
    ),
    "delay": Row(lambda op, clock: op(15, scheduler=clock), [3, 1, 2, 2]),
    "delay_subscription": Row(lambda op, clock: op(5, scheduler=clock), [3, 1, 2, 2]),
    "delay_with_mapper": Row(lambda op, clock: op(lambda n: after(10 * n, clock)), [1, 3, 2, 2]),
    "dematerialize": Row(lambda op, clock: compose(ops.materialize(), op()), [3, 1, 2, 2]),
    "distinct": Row(lambda op, clock: op(), [3, 1, 2]),
    "distinct_until_changed": Row(lambda op, clock: op(), [3, 1, 2]),
    "do": Row(lambda op, clock: op(rx.Observer()), [3, 1, 2, 2]),
    "do_action": Row(lambda op, clock: op(operator.neg), [3, 1, 2, 2]),
    "do_while": Row(lambda op, clock: op(times(1)), [3, 1, 2, 2], [3, 1, 2, 2, 3, 1, 2, 2, END]),
    "element_at": Row(lambda op, clock: op(1), [1, END]),
    "element_at_or_default": Row(lambda op, clock: op(9, "none"), [], ["none", END]),
    "exclusive": Row(lambda op, clock: compose(each(lambda n: after(15, clock, n)), op()), [3, 2]),
    "expand": Row(
        lambda op, clock: op(lambda n: rx.of(n - 1) if n > 1 else rx.empty()),
        [3, 2, 1, 1, 2, 1, 2, 1],
    ),
    "filter": Row(lambda op, clock: op(is_even), [2, 2]),
    "filter_indexed": Row(lambda op, clock: op(is_one_of_the_first_two), [3, 1]),
    "finally_action": Row(lambda op, clock: op(lambda: None), [3, 1, 2, 2]),
    "find": Row(lambda op, clock: op(is_even), [2, END]),
    "find_index": Row(lambda op, clock: op(is_even), [2, END]),
    "first": Row(lambda op, clock: op(), [3, END]),
    "first_or_default": Row(lambda op, clock: op(never, "none"), [], ["none", END]),
    "flat_map": Row(lambda op, clock: op(twice), [3, 3, 1, 1, 2, 2, 2, 2]),
    "flat_map_indexed": Row(
        lambda op, clock: op(lambda n, i: rx.of((n, i))), [(3, 0), (1, 1), (2, 2), (2, 3)]
    ),
    "flat_map_latest": Row(lambda op, clock: op(lambda n: after(10 * n, clock, n)), [1, 2]),
    "fork_join": Row(lambda op, clock: op(rx.of("a", "b")), [], [(2, "b"), END]),
    "group_by": Row(lambda op, clock: compose(op(is_even), lists), [], [[3, 1], [2, 2], END]),
    "group_by_until": Row(
        lambda op, clock: compose(op(is_even, None, lambda _: after(15, clock)), lists),
        [[3, 1], [2, 2]],
    ),
    "group_join": Row(
        lambda op, clock: compose(
            op(letters(clock), lambda _: after(10, clock), lambda _: after(10, clock)), pair_lists
        ),
        [(3, ["a"]), (1, ["a"]), (2, ["b"]), (2, ["b"])],
    ),
    "ignore_elements": Row(lambda op, clock: op(), []),
    "is_empty": Row(lambda op, clock: op(), [False, END]),
    "join": Row(
        lambda op, clock: op(
            letters(clock), lambda _: after(10, clock), lambda _: after(10, clock)
        ),
        [(3, "a"), (1, "a"), (2, "b"), (2, "b")],
    ),
    "last": Row(lambda op, clock: op(), [], [2, END]),
    "last_or_default": Row(lambda op, clock: op("none", never), [], ["none", END]),
    "map": Row(lambda op, clock: op(operator.neg), [-3, -1, -2, -2]),
    "map_indexed": Row(lambda op, clock: op(lambda n, i: (n, i)), [(3, 0), (1, 1), (2, 2), (2, 3)]),
    "materialize": Row(
        lambda op, clock: compose(op(), ops.map(str)),
        ["OnNext(3.0)", "OnNext(1.0)", "OnNext(2.0)", "OnNext(2.0)"],
        ["OnNext(3.0)", "OnNext(1.0)", "OnNext(2.0)", "OnNext(2.0)", "OnCompleted()", END],
    ),
    "max": Row(lambda op, clock: op(), [], [3, END]),
    "max_by": Row(lambda op, clock: op(is_even), [], [[2, 2], END]),
    "merge": Row(lambda op, clock: op(rx.of("a")), ["a", 3, 1, 2, 2]),
    "merge_all": Row(lambda op, clock: compose(ops.map(twice), op()), [3, 3, 1, 1, 2, 2, 2, 2]),
    "min": Row(lambda op, clock: op(), [], [1, END]),
    "min_by": Row(lambda op, clock: op(is_even), [], [[3, 1], END]),
    "multicast": Row(lambda op, clock: compose(op(Subject()), ops.ref_count()), [3, 1, 2, 2]),
    "observe_on": Row(lambda op, clock: op(clock), [3, 1, 2, 2]),
    "on_error_resume_next": Row(
        lambda op, clock: compose(fails_once(), op(rx.of("next"))), [3, "next", END]
    ),
    "pairwise": Row(lambda op, clock: op(), [(3, 1), (1, 2), (2, 2)]),
    "partition": Row(
        lambda op, clock: both_parts(op(is_even)), [("no", 3), ("no", 1), ("yes", 2), ("yes", 2)]
    ),
    "partition_indexed": Row(
        lambda op, clock: both_parts(op(is_one_of_the_first_two)),
        [("yes", 3), ("yes", 1), ("no", 2), ("no", 2)],
    ),
    "pluck": Row(lambda op, clock: compose(each(lambda n: {"loss": n}), op("loss")), [3, 1, 2, 2]),
    "pluck_attr": Row(lambda op, clock: op("real"), [3, 1, 2, 2]),
    "publish": Row(lambda op, clock: compose(op(), ops.ref_count()), [3, 1, 2, 2]),
    "publish_value": Row(
        lambda op, clock: compose(op("first"), ops.ref_count()), ["first", 3, 1, 2, 2]
    ),
    "reduce": Row(lambda op, clock: op(operator.add), [], [8, END]),
    "ref_count": Row(lambda op, clock: compose(ops.publish(), op()), [3, 1, 2, 2]),
    "repeat": Row(lambda op, clock: op(2), [3, 1, 2, 2], [3, 1, 2, 2, 3, 1, 2, 2, END]),
    "replay": Row(lambda op, clock: compose(op(), ops.ref_count()), [3, 1, 2, 2]),
    "retry": Row(lambda op, clock: compose(fails_once(), op(2)), [3, 2, 2], [3, 3, 1, 2, 2, END]),
    "sample": Row(lambda op, clock: op(25, scheduler=clock), [1, 2]),
    "scan": Row(lambda op, clock: op(operator.add), [3, 4, 6, 8]),
    "sequence_equal": Row(lambda op, clock: op(BATCHES), [], [True, END]),
    "share": Row(lambda op, clock: op(), [3, 1, 2, 2]),
    "single": Row(lambda op, clock: op(lambda n: n > 2), [], [3, END]),
    "single_or_default": Row(lambda op, clock: op(never, "none"), [], ["none", END]),
    "single_or_default_async": Row(
        lambda op, clock: compose(ops.filter(never), op(True, "none")), [], ["none", END]
    ),
    "skip": Row(lambda op, clock: op(1), [1, 2, 2]),
    "skip_last": Row(lambda op, clock: op(1), [3, 1, 2]),
    "skip_last_with_time": Row(lambda op, clock: op(15, scheduler=clock), [3, 1]),
    "skip_until": Row(lambda op, clock: op(letters(clock)), [1, 2, 2]),
    "skip_until_with_time": Row(lambda op, clock: op(15, scheduler=clock), [1, 2, 2]),
    "skip_while": Row(lambda op, clock: op(lambda n: n > 2), [1, 2, 2]),
    "skip_while_indexed": Row(lambda op, clock: op(is_one_of_the_first_two), [2, 2]),
    "skip_with_time": Row(lambda op, clock: op(15, scheduler=clock), [1, 2, 2]),
    "slice": Row(lambda op, clock: op(1, 3), [1, 2, END]),
    "some": Row(lambda op, clock: op(is_even), [True, END]),
    "starmap": Row(
        lambda op, clock: compose(each(lambda n: (n, 10)), op(operator.add)), [13, 11, 12, 12]
    ),
    "starmap_indexed": Row(
        lambda op, clock: compose(ops.map_indexed(lambda n, i: (n, i)), op(operator.add)),
        [3, 2, 4, 5],
    ),
    "start_with": Row(lambda op, clock: op("first"), ["first", 3, 1, 2, 2]),
    "subscribe_on": Row(lambda op, clock: op(InPlaceScheduler()), [3, 1, 2, 2]),
    "sum": Row(lambda op, clock: op(), [], [8, END]),
    "switch_latest": Row(
        lambda op, clock: compose(each(lambda n: after(10 * n, clock, n)), op()), [1, 2]
    ),
    "switch_map": Row(lambda op, clock: op(lambda n: after(10 * n, clock, n)), [1, 2]),
    "switch_map_indexed": Row(
        lambda op, clock: op(lambda n, i: after(10 * n, clock, (n, i))), [(1, 1), (2, 3)]
    ),
    "take": Row(lambda op, clock: op(2), [3, 1, END]),
    "take_last": Row(lambda op, clock: op(2), [], [2, 2, END]),
    "take_last_buffer": Row(lambda op, clock: op(2), [], [[2, 2], END]),
    "take_last_with_time": Row(lambda op, clock: op(15, scheduler=clock), [], [2, 2, END]),
    "take_until": Row(lambda op, clock: op(letters(clock)), [3, END]),
    "take_until_with_time": Row(lambda op, clock: op(25, scheduler=clock), [3, 1, END]),
    "take_while": Row(lambda op, clock: op(lambda n: n != 2), [3, 1, END]),
    "take_while_indexed": Row(lambda op, clock: op(is_one_of_the_first_two), [3, 1, END]),
    "take_with_time": Row(lambda op, clock: op(25, scheduler=clock), [3, 1, END]),
    "tap": Row(lambda op, clock: op(operator.neg), [3, 1, 2, 2]),
    "throttle_first": Row(lambda op, clock: op(15, scheduler=clock), [3, 2]),
    "throttle_with_mapper": Row(lambda op, clock: op(lambda n: after(5 * n, clock)), [1, 2, 2]),
    "throttle_with_timeout": Row(lambda op, clock: op(15, scheduler=clock), [2]),
    "time_interval": Row(
        lambda op, clock: compose(op(clock), each(lambda m: (m.value, m.interval.seconds))),
        [(3, 10), (1, 10), (2, 10), (2, 10)],
    ),
    "timeout": Row(
        lambda op, clock: op(25, rx.of("late"), scheduler=clock),
        [3, 1, 2, 2, "late", END],
        [3, 1, 2, 2, END],
    ),
    "timeout_with_mapper": Row(
        lambda op, clock: op(after(25, clock), lambda n: after(5 * n, clock), rx.of("late")),
        [3, 1, "late", END],
    ),
    "timestamp": Row(
        lambda op, clock: compose(op(clock), each(lambda m: (m.value, m.timestamp.second))),
        [(3, 10), (1, 20), (2, 30), (2, 40)],
    ),
    "to_dict": Row(lambda op, clock: op(is_even), [], [{False: 1, True: 2}, END]),
    "to_future": Row(lambda op, clock: through_a_future(op), [], [2, END]),
    "to_iterable": Row(lambda op, clock: op(), [], [[3, 1, 2, 2], END]),
    "to_list": Row(lambda op, clock: op(), [], [[3, 1, 2, 2], END]),
    "to_marbles": Row(lambda op, clock: by(clock, op(5)), [], ["--3--1--2--2|", END]),
    "to_set": Row(lambda op, clock: op(), [], [{1, 2, 3}, END]),
    "while_do": Row(lambda op, clock: op(times(2)), [3, 1, 2, 2], [3, 1, 2, 2, 3, 1, 2, 2, END]),
    "window": Row(
        lambda op, clock: compose(op(letters(clock)), lists), [[3], [1, 2]], [[3], [1, 2], [2], END]
    ),
    "window_toggle": Row(
        lambda op, clock: compose(op(after(15, clock), lambda _: after(20, clock)), lists),
        [[1, 2], END],
    ),
    "window_when": Row(
        lambda op, clock: compose(op(lambda: after(25, clock)), lists), [[3, 1], [2, 2]]
    ),
    "window_with_count": Row(
        lambda op, clock: compose(op(3), lists), [[3, 1, 2]], [[3, 1, 2], [2], END]
    ),
    "window_with_time": Row(
        lambda op, clock: compose(op(25, scheduler=clock), lists), [[3, 1], [2, 2]]
    ),
    "window_with_time_or_count": Row(
        lambda op, clock: compose(op(25, 3, scheduler=clock), lists), [[3, 1], [2, 2]]
    ),
    "with_latest_from": Row(lambda op, clock: op(letters(clock)), [(1, "a"), (2, "a"), (2, "b")]),
    "zip": Row(lambda op, clock: op(rx.of("a", "b")), [(3, "a"), (1, "b"), END]),
    "zip_latest": Row(lambda op, clock: op(rx.of("a", "b")), [(3, "b"), END], since=(6, 1)),
    "zip_with_iterable": Row(lambda op, clock: op("xyz"), [(3, "x"), (1, "y"), (2, "z"), END]),
    "zip_with_list": Row(lambda op, clock: op("xyz"), [(3, "x"), (1, "y"), (2, "z"), END]),
}

# Why what comes over an event stream lacks more than the end; the page of traps has the same words.
REASONS = {
    "It tells its result at the end.": (
        "all average count default_if_empty element_at_or_default first_or_default fork_join "
        "ignore_elements last last_or_default max max_by min min_by reduce sequence_equal single "
        "single_or_default single_or_default_async sum take_last take_last_buffer "
        "take_last_with_time to_dict to_future to_iterable to_list to_marbles to_set"
    ),
    "Its last item comes with the end.": (
        "buffer buffer_with_count group_by materialize window window_with_count"
    ),
    "What it adds comes after the end.": "concat do_while repeat while_do",
    "A stream cannot begin again; after an error it goes on with the next state.": "retry",
    "A pause between two runs is late, too.": "timeout",
}


def names_of_operators() -> set[str]:
    """Return what ``reactivex.operators`` offers, exported by ``__all__`` or not."""
    own = inspect.getmembers(ops, lambda member: inspect.getmodule(member) is ops)
    functions = {name for name, member in own if inspect.isfunction(member)}
    return {name for name in functions if not name.startswith("_")} | set(ops.__all__)


def version() -> tuple[int, int]:
    major, minor = rx.__version__.split(".")[:2]
    return int(major), int(minor)


HERE = sorted(TABLE.keys() & names_of_operators())
Story = list[tuple[float, Any]]


def applied(name: str, clock: TestScheduler, operator: Any = None) -> Any:
    return TABLE[name].apply(operator or getattr(ops, name), clock)


def told(
    source: Observable[Any],
    operator: Any,
    clock: TestScheduler,
    scheduler: abc.SchedulerBase | None = None,
) -> Story:
    """Subscribe, and return a list of what comes, with the time of each."""
    story: Story = []

    def tell(what: Any) -> None:
        story.append((clock.to_seconds(clock.now), what))

    source.pipe(operator).subscribe(
        tell, lambda error: tell(repr(error)), lambda: tell(END), scheduler=scheduler
    )
    return story


def unpause(clock: TestScheduler) -> None:
    clock.advance_to(max(70, clock.to_seconds(clock.now) + 30))


def over_a_stream(name: str, operator: Any = None) -> Story:
    clock, runner = TestScheduler(), Runner()
    source = runner.stream(Event.BATCH).pipe(select("batch"))
    story = told(source, applied(name, clock, operator), clock)
    runner.run(Batches(clock))
    unpause(clock)
    return story


def over_a_run(name: str, operator: Any = None, inside: bool = False) -> Story:
    clock = TestScheduler()
    stories: list[Story] = []

    def subscribe(_: object = None) -> None:
        source = Runner().observe(Batches(clock)).pipe(ops.filter(is_batch), ops.map(batch_of))
        stories.append(told(source, applied(name, clock, operator), clock))

    if inside:
        rx.of(1).subscribe(subscribe)
    else:
        subscribe()
    unpause(clock)
    return stories[0]


def is_batch(emission: Emission) -> bool:
    return emission.event is Event.BATCH


def batch_of(emission: Emission) -> Any:
    return emission.state["batch"]


def values(story: Story) -> list[Any]:
    return [what for _, what in story]


def fluent(name: str) -> Any:
    """Return the method of an Observable that does what an operator does."""
    return lambda *args, **kwargs: lambda source: getattr(source, name)(*args, **kwargs)


def test_every_operator_has_a_row() -> None:
    new = names_of_operators() - TABLE.keys()
    assert not new, f"give these a row in TABLE, and a line in the traps page where due: {new}"


def test_an_operator_that_is_missing_came_with_a_later_version() -> None:
    missing = TABLE.keys() - names_of_operators()
    assert missing == {name for name, row in TABLE.items() if row.since > version()}


@pytest.mark.parametrize("name", HERE)
class TestOverAStream:
    def test_what_comes_is_what_comes_over_a_plain_subject(self, name: str) -> None:
        clock, subject = TestScheduler(), Subject[int]()
        expected = told(subject, applied(name, clock), clock)
        for batch in Batches(clock):
            subject.on_next(batch)
        unpause(clock)

        story = over_a_stream(name)
        assert values(story) == TABLE[name].stream
        assert story == expected

    def test_inside_a_subscription_the_same_comes_at_the_same_time(self, name: str) -> None:
        stories: list[Story] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rx.of(1).subscribe(lambda _: stories.append(over_a_stream(name)))
        assert stories == [over_a_stream(name)]
        assert RnnrWarning in [warning.category for warning in caught]


@pytest.mark.parametrize("name", HERE)
class TestOverARun:
    def test_what_comes_is_what_comes_over_an_iterable(self, name: str) -> None:
        clock = TestScheduler()
        # it begins when all are subscribed; what the operators add is in place, as over our own
        batches = rx.from_iterable(Batches(clock), CurrentThreadScheduler.singleton())
        expected = told(batches, applied(name, clock), clock, InPlaceScheduler())
        unpause(clock)

        assert values(over_a_run(name)) == TABLE[name].observed == values(expected)

    def test_inside_a_subscription_the_same_comes_when_that_has_returned(self, name: str) -> None:
        assert over_a_run(name, inside=True) == over_a_run(name)


class TestFluentMethods:
    # the method `do` is do_action
    @pytest.mark.parametrize("name", [n for n in HERE if hasattr(Observable, n) and n != "do"])
    def test_the_method_does_what_the_operator_does(self, name: str) -> None:
        assert over_a_stream(name, fluent(name)) == over_a_stream(name)
        assert over_a_run(name, fluent(name)) == over_a_run(name)

    @pytest.mark.parametrize("event", [Event.BATCH, Event.BATCH.every(1)])
    def test_a_stream_has_them_itself(self, event: Any) -> None:
        seen: list[int] = []
        runner = Runner()
        stream: Any = runner.stream(event)
        stream.map(lambda state: state["batch"]).scan(operator.add).take(3).subscribe(seen.append)
        runner.run(BATCHES)
        assert seen == [3, 4, 6]

    def test_none_is_hidden_by_an_attribute_of_rnnr(self) -> None:
        runner = Runner()
        stream, run = runner.stream(Event.BATCH), runner.observe([])
        for ours in (stream, runner.stream(Event.BATCH.once()), stream.pipe(ops.skip(1)), run):
            for name in names_of_operators():
                assert getattr(type(ours), name, None) is getattr(Observable, name, None)


class TestTheReasons:
    def test_each_operator_that_misses_more_than_the_end_has_one(self) -> None:
        less = [name for name, row in TABLE.items() if row.observe is not None or not row.stream]
        named = [name for names in REASONS.values() for name in names.split()]
        assert sorted(named) == sorted(less)

    def test_the_page_of_traps_has_the_same(self) -> None:
        rows = re.findall(r"^\| (`.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
        on_the_page = {reason: set(re.findall(r"`(\w+)`", names)) for names, reason in rows}
        assert on_the_page == {reason: set(names.split()) for reason, names in REASONS.items()}


def test_these_take_an_observed_run_to_their_scheduler_and_the_page_of_traps_says_so() -> None:
    """In earnest that is a timer, or a new thread; here the run waits for the clock."""
    moved = []
    for name in HERE:
        clock, runner = TestScheduler(), Runner()
        told(runner.observe(Batches(clock)), applied(name, clock), clock)
        if runner.state == {}:
            moved.append(name)
    line = next(line for line in PAGE.read_text("utf-8").splitlines() if "their scheduler" in line)
    assert moved == re.findall(r"`(\w+)`", line)
