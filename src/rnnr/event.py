"""What happens in a run, in which order, and selections of it."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum, auto
from numbers import Real
from typing import TypeAlias

from rnnr.errors import judge_callback, judged_integer, wrong_type, wrong_value
from rnnr.state import State

__all__ = ["Event", "Predicate", "Selectable", "Selection"]

Predicate: TypeAlias = Callable[[State], bool]


class Selectable:
    """What can be listened to: an `Event`, or a `Selection` of events.

    The methods select, and what they give can be selected from again. A selection is a value: it
    remembers nothing, so it can be kept and used for several runners and callbacks. What
    `first` and `seconds` remember belongs to each subscription.
    """

    __slots__ = ()

    @abstractmethod
    def tests(self) -> "dict[Event, Predicate]":
        """Return the events, each with a new test that tells which states are selected."""
        ...

    def every(self, n: int) -> "Selection":
        """Select every n-th batch or epoch.

        It selects the multiples of ``n`` by the run's own count, ``n_iters`` for ``BATCH`` and
        ``epoch`` for ``EPOCH_STARTED`` and ``EPOCH_FINISHED``: a resumed run goes on in step.

        Args:
            n: Distance of what is selected, in batches or epochs.

        Raises:
            TypeError: If ``n`` is no integer.
            ValueError: If ``n`` is below 1, or an event is counted neither in batches nor epochs.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> @runner.on(Event.BATCH.every(3))
            ... def report(state):
            ...     print("batch", state["n_iters"])
            >>> runner.run(range(7))
            batch 3
            batch 6
        """
        n = judged_integer("n", n, 1, ("count in batches or epochs", "pass 1 to select all"))
        for event in self.tests():
            if event not in _COUNTS:
                expected = f"selected from {', '.join(map(str, _COUNTS))}"
                cure = f"join it afterwards, as in Event.BATCH.every({n}) | {event}"
                raise wrong_value("every", expected, event, cure)

        def tests() -> dict[Event, Predicate]:
            return {
                event: _both(test, _multiples(_COUNTS[event], n))
                for event, test in self.tests().items()
            }

        return Selection(f"{self}.every({n})", tests)

    def first(self, n: int) -> "Selection":
        """Select the first ``n`` that a subscription comes to see, in this run and later ones.

        Args:
            n: How many to select.

        Raises:
            TypeError: If ``n`` is no integer.
            ValueError: If ``n`` is below 1.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.on(Event.BATCH.first(2), lambda state: print(state["batch"]))
            >>> runner.run("abc", max_epoch=2)
            a
            b
        """
        n = judged_integer("n", n, 1, ("pass how many to select", "pass 1, or write once()"))

        def make() -> Predicate:
            seen = 0

            def test(_: State) -> bool:
                nonlocal seen
                seen += 1
                return seen <= n

            return test

        return self._narrowed(f"first({n})", make)

    def once(self) -> "Selection":
        """Select the first that a subscription comes to see; the same as ``first(1)``.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> @runner.on(Event.BATCH.once())
            ... def check(state):
            ...     print("the first batch is", state["batch"])
            >>> runner.run("abc", max_epoch=2)
            the first batch is a
        """
        return self.first(1)

    def where(self, predicate: Callable[[State], object]) -> "Selection":
        """Select the states of which a predicate is true.

        Args:
            predicate: Called with the state at every event.

        Raises:
            TypeError: If ``predicate`` cannot be called.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> spike = Event.BATCH.where(lambda state: state["batch"] > 10)
            >>> subscription = runner.on(spike, lambda state: print("spike:", state["batch"]))
            >>> runner.run([1, 30, 2])
            spike: 30
        """
        judge_callback("predicate", predicate)

        def test(state: State) -> bool:
            return bool(predicate(state))

        return self._narrowed(f"where({predicate!r})", lambda: test)

    def seconds(self, s: float, clock: Callable[[], float] = time.monotonic) -> "Selection":
        """Select at most one in a time: the first, and then the first after ``s`` seconds.

        Args:
            s: Least time between two that are selected, in seconds.
            clock: Returns a time in seconds that never goes back.

        Raises:
            TypeError: If ``s`` is no number or ``clock`` cannot be called.
            ValueError: If ``s`` is not positive and finite.

        Example:
            >>> from itertools import count
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> one_a_second = count().__next__  # in place of a clock
            >>> seldom = Event.BATCH.seconds(30, clock=one_a_second)
            >>> subscription = runner.on(seldom, lambda state: print("batch", state["batch"]))
            >>> runner.run(range(90))
            batch 0
            batch 30
            batch 60
        """
        expected = "a finite number of seconds above 0"
        if not isinstance(s, Real):
            raise wrong_type("s", expected, s, "pass for example 30")
        if not 0 < s < math.inf:
            raise wrong_value("s", expected, s, "leave seconds out to select all")
        if not callable(clock):
            raise wrong_type("clock", "callable", clock, "pass for example time.monotonic")

        def make() -> Predicate:
            last = -math.inf

            def test(_: State) -> bool:
                nonlocal last
                now = clock()
                if now - last < s:
                    return False
                last = now
                return True

            return test

        return self._narrowed(f"seconds({s})", make)

    def __or__(self, other: object) -> "Selection":
        """Select what one of the two selects; what both do is selected once."""
        if not isinstance(other, Selectable):
            return NotImplemented
        return Selection(f"({self} | {other})", lambda: _joined(self.tests(), other.tests()))

    def _narrowed(self, text: str, make: Callable[[], Predicate]) -> "Selection":
        """Return the selection whose events share one new test for each subscription."""

        def tests() -> dict[Event, Predicate]:
            test = make()
            return {event: _both(before, test) for event, before in self.tests().items()}

        return Selection(f"{self}.{text}", tests)


class Event(Selectable, Enum):
    """What happens in a run.

    The order of events, which everything else in rnnr refers to::

        run(batches, max_epoch):   set the documented state keys; STARTED; loop
        resume(repeat_last_batch): running = True; RESUMED; if the epoch is open,
                                   repeat_last_batch is set and this epoch has drawn a
                                   batch: BATCH once more with that batch; loop
        loop:
            while running and (an epoch is open or epoch < max_epoch):
                if no epoch is open: epoch += 1; open it; EPOCH_STARTED
                for each further batch, while running: n_iters += 1; BATCH
                if the batches are exhausted: close the epoch; EPOCH_FINISHED
            exactly one of FINISHED (all epochs done) | STOPPED (running was set to
            False) | FAILED (an exception left a callback or the batches, also one
            of FINISHED), then running = False

    Every event but STOPPED and FAILED has a gate: once a callback has set
    ``state["running"]`` to ``False``, the remaining callbacks of that event are skipped.

    An event is a value that can be selected from: see `every`, `first`, `once`, `where`,
    `seconds`, and ``Event.EPOCH_FINISHED | Event.STOPPED``.

    Attributes:
        STARTED: A run began.
        EPOCH_STARTED: An epoch began; none of its batches is drawn yet.
        BATCH: A batch was drawn; it is ``state["batch"]``.
        EPOCH_FINISHED: The batches of the epoch are exhausted; reducers have their results.
        FINISHED: All epochs are done.
        RESUMED: A stopped or failed run goes on.
        STOPPED: The run ended because ``state["running"]`` was set to ``False``.
        FAILED: The run ended by an exception, which is ``state["error"]`` during this event.

    Example:
        >>> from rnnr import Event, Runner
        >>> runner = Runner()
        >>> for event in Event:
        ...     subscription = runner.on(event, lambda state, name=event.name: print(name))
        >>> runner.run(["a batch", "another"])
        STARTED
        EPOCH_STARTED
        BATCH
        BATCH
        EPOCH_FINISHED
        FINISHED
    """

    STARTED = auto()
    EPOCH_STARTED = auto()
    BATCH = auto()
    EPOCH_FINISHED = auto()
    FINISHED = auto()
    RESUMED = auto()
    STOPPED = auto()
    FAILED = auto()

    def tests(self) -> "dict[Event, Predicate]":
        """Return the event, of which everything is selected."""
        return {self: _always}


class Selection(Selectable):
    """Some of what happens in a run; made by the methods of an `Event`, or of another selection.

    `rnnr.Runner.on` and `rnnr.Runner.stream` take it wherever they take an `Event`.

    Example:
        >>> from rnnr import Event, Runner
        >>> runner = Runner()
        >>> seldom = Event.BATCH.every(2).first(2) | Event.FINISHED
        >>> seldom
        (Event.BATCH.every(2).first(2) | Event.FINISHED)
        >>> subscription = runner.on(seldom, lambda state: print("n_iters:", state["n_iters"]))
        >>> runner.run(range(9))
        n_iters: 2
        n_iters: 4
        n_iters: 9
    """

    __slots__ = ("_tests", "_text")

    def __init__(self, text: str, tests: Callable[[], dict[Event, Predicate]]) -> None:
        self._text = text
        self._tests = tests

    def __repr__(self) -> str:
        return self._text

    def tests(self) -> dict[Event, Predicate]:
        """Return the events, each with a new test that tells which states are selected."""
        return self._tests()


_COUNTS: Mapping[Event, str] = {
    Event.BATCH: "n_iters",
    Event.EPOCH_STARTED: "epoch",
    Event.EPOCH_FINISHED: "epoch",
}


def _always(_: State) -> bool:
    return True


def _multiples(key: str, n: int) -> Predicate:
    return lambda state: not state[key] % n


def _both(first: Predicate, second: Predicate) -> Predicate:
    """Return a test whose second part sees only what the first passes."""
    if first is _always:
        return second
    return lambda state: first(state) and second(state)


def _joined(
    one: Mapping[Event, Predicate], other: Mapping[Event, Predicate]
) -> dict[Event, Predicate]:
    both = {event: _either(one[event], other[event]) for event in one.keys() & other.keys()}
    return {**one, **other, **both}


def _either(one: Predicate, other: Predicate) -> Predicate:
    """Return a test whose two parts see everything, since they may count it."""

    def test(state: State) -> bool:
        passed = one(state)
        return other(state) or passed

    return test
