"""For random runs, stopping points and faults: the runner does what the pseudocode says."""

import pickle
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex.scheduler import NewThreadScheduler

from helpers.faults import Boom
from helpers.reference import Reference
from rnnr import Event, Runner
from rnnr.attachments import LambdaReducer, MeanReducer, SumReducer
from rnnr.callbacks import maybe_stop_early
from rnnr.sources import buffered, prefetch

Moment: TypeAlias = tuple[Any, ...]


class Plan:
    """Does something at chosen calls of the handlers, once each: ends the epoch, stops, fails."""

    def __init__(
        self, stops: Iterable[int], faults: Iterable[int], ends: Iterable[int] = ()
    ) -> None:
        self.stops, self.faults, self.ends = set(stops), set(faults), set(ends)
        self.calls = 0

    def act(self, runner: Runner | Reference) -> None:
        self.calls += 1
        if self.calls in self.ends:
            runner.end_epoch()
        if self.calls in self.stops:
            runner.state["running"] = False
        if self.calls in self.faults:
            raise Boom


def story(
    runner: Runner | Reference,
    batches: list[int],
    max_epoch: int,
    plan: Plan,
    repeats: list[bool],
    change: Callable[[Runner | Reference], Runner | Reference] = lambda runner: runner,
) -> list[Moment]:
    """Run, and resume as often as told; tell what each of two handlers of each event saw."""
    seen: list[Moment] = []

    def listen(runner: Runner | Reference) -> None:
        for event in Event:
            for place in ("first", "second"):

                def handler(
                    state: dict[str, Any], event: Event = event, place: str = place
                ) -> None:
                    keys = ("epoch", "n_iters", "batch", "running")
                    seen.append((place, event.name, *(state.get(key) for key in keys)))
                    if event not in (Event.STOPPED, Event.FAILED):
                        plan.act(runner)

                runner.on(event, handler)

    def attempt(part: Callable[[], None]) -> None:
        try:
            part()
        except Boom:
            seen.append(("left by an error",))
        seen.append(("ended", runner.state["running"]))

    listen(runner)
    attempt(lambda: runner.run(batches, max_epoch))
    for repeat_last_batch in repeats:
        changed = change(runner)
        if changed is not runner:
            listen(changed)
        runner = changed
        attempt(lambda: runner.resume(repeat_last_batch))  # noqa: B023  (called at once)
    return seen


def in_another_process(runner: Runner | Reference) -> Runner:
    other = Runner()
    other.state = pickle.loads(pickle.dumps(runner.state))
    return other


@pytest.mark.parametrize("change", [lambda runner: runner, in_another_process])
@given(
    batches=st.lists(st.integers(0, 9), max_size=4),
    max_epoch=st.integers(0, 3),
    stops=st.sets(st.integers(1, 40), max_size=4),
    faults=st.sets(st.integers(1, 40), max_size=4),
    repeats=st.lists(st.booleans(), max_size=4),
    ends=st.sets(st.integers(1, 40), max_size=4),
)
def test_a_run_delivers_what_the_pseudocode_says_wherever_it_is_resumed(
    change: Callable[[Runner | Reference], Runner | Reference],
    batches: list[int],
    max_epoch: int,
    stops: set[int],
    faults: set[int],
    repeats: list[bool],
    ends: set[int],
) -> None:
    expected = story(Reference(), batches, max_epoch, Plan(stops, faults, ends), repeats)
    told = story(Runner(), batches, max_epoch, Plan(stops, faults, ends), repeats, change)
    assert told == expected


class Asynchronous:
    """The batches of a loader, as an async iterable."""

    def __init__(self, loader: Iterable[int]) -> None:
        self.loader = loader

    async def __aiter__(self) -> AsyncIterator[int]:
        for batch in self.loader:
            yield batch


KINDS: dict[str, Callable[[Iterable[int], int], Any]] = {
    "a plain loader": lambda loader, _: loader,
    "loaded ahead": prefetch,
    "an Observable": lambda loader, _: reactivex.from_iterable(loader),
    "an Observable with a buffer": lambda loader, size: buffered(
        reactivex.from_iterable(loader), size
    ),
    "an Observable on a thread of its own": lambda loader, size: buffered(
        reactivex.from_iterable(loader, NewThreadScheduler()), size
    ),
    "an async iterable": lambda loader, _: Asynchronous(loader),
    "an async iterable with a buffer": lambda loader, size: buffered(Asynchronous(loader), size),
}


@pytest.mark.parametrize("kind", KINDS)
@given(
    batches=st.lists(st.integers(0, 9), max_size=5),
    max_epoch=st.integers(0, 3),
    stops=st.sets(st.integers(1, 15), max_size=4),
    faults=st.sets(st.integers(1, 15), max_size=4),
    across_processes=st.booleans(),
    is_generator=st.booleans(),
    size=st.integers(1, 4),
)
def test_batches_that_stop_and_fail_while_they_are_drawn_are_all_delivered_once(
    kind: str,
    batches: list[int],
    max_epoch: int,
    stops: set[int],
    faults: set[int],
    across_processes: bool,
    is_generator: bool,
    size: int,
) -> None:
    draws = n_ends = 0

    def draw() -> None:
        nonlocal draws
        draws += 1
        if draws in stops:
            runner.stop()  # as another thread would
        if draws in faults:
            raise Boom

    class Loader:
        def __iter__(self) -> Iterator[int]:
            return self.generator() if is_generator else Draws()

        def generator(self) -> Iterator[int]:
            for batch in batches:
                draw()
                yield batch

    class Draws:
        """An iterator that goes on after an error."""

        def __init__(self) -> None:
            self.left = list(batches)

        def __iter__(self) -> "Draws":
            return self

        def __next__(self) -> int:
            if not self.left:
                raise StopIteration
            draw()
            return self.left.pop(0)

    def listen() -> None:
        runner.on(Event.BATCH, lambda state: delivered.append(state["batch"]))
        runner.on(Event.FINISHED, finished.append)

    source = KINDS[kind](Loader(), size)
    delivered, finished = list[int](), list[Any]()
    runner = Runner()
    listen()
    go: Callable[[], None] = lambda: runner.run(source, max_epoch)  # noqa: E731
    while not finished:
        with suppress(Boom):
            go()
        n_ends += 1
        assert n_ends <= len(stops) + len(faults) + 1
        if across_processes:
            state = runner.state
            runner = Runner()
            runner.state = {**state, "_epoch": {**state["_epoch"]}}
            listen()
        go = runner.resume
    assert delivered == batches * max_epoch


def results(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if key in ("sum", "mean", "list", "n_iters")}


def trainer(stops: Iterable[int], log: list[Any]) -> Runner:
    """A runner with reducers and early stopping, which stops at chosen batches, once each."""
    runner = Runner()
    runner.state["left"] = set(stops)

    @runner.on(Event.BATCH)
    def stop_at_some(state: dict[str, Any]) -> None:
        state["output"] = state["batch"]
        if state["n_iters"] in state["left"]:
            state["left"].remove(state["n_iters"])
            state["running"] = False

    SumReducer("sum").attach_on(runner)
    MeanReducer("mean").attach_on(runner)
    LambdaReducer("list", lambda one, other: f"{one},{other}").attach_on(runner)

    @runner.on(Event.EPOCH_FINISHED)
    def check(state: dict[str, Any]) -> None:
        state["better"] = state["epoch"] % 3 == 1
        log.append((state["epoch"], results(state)))

    runner.on(Event.EPOCH_FINISHED, maybe_stop_early(patience=1))
    return runner


@given(
    batches=st.lists(st.integers(0, 9), max_size=5),
    max_epoch=st.integers(0, 4),
    stops=st.sets(st.integers(1, 20), max_size=5),
    across_processes=st.booleans(),
)
def test_stop_and_resume_equals_the_uninterrupted_run(
    batches: list[int], max_epoch: int, stops: set[int], across_processes: bool
) -> None:
    expected: list[Any] = []
    whole = trainer([], expected)
    whole.run(batches, max_epoch)

    log: list[Any] = []
    runner = trainer(stops, log)
    runner.run(batches, max_epoch)
    while len(runner.state["left"]) < len(stops):
        stops = set(runner.state["left"])
        if across_processes:
            other = trainer([], log)
            other.state = pickle.loads(pickle.dumps(runner.state))
            runner = other
        runner.resume(repeat_last_batch=True)

    assert log == expected
    assert results(runner.state) == results(whole.state)
