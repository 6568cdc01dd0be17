"""Select some of the events: every n-th batch, the first, those of a predicate."""

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rnnr._callbacks import check_callback
from rnnr._errors import as_integer, as_number, check_choice, wrong_type, wrong_value
from rnnr.state import State, n_batches_drawn

__all__ = ["Selection"]

Predicate: TypeAlias = Callable[[State], object]
Predicates: TypeAlias = Mapping[Any, Predicate]
"""The test of the states of each event. The keys are of type `Event`, which imports this module."""


class Selectable:
    """Something to listen to: an `Event`, or a `Selection` of events.

    Each method returns a selection, from which you can select again. A selection is a value: it
    has no memory, so you can keep it and use it for several runners and callbacks. The memory of
    `first` and `seconds` belongs to each subscription.
    """

    __slots__ = ()

    @abstractmethod
    def predicates(self) -> Predicates:
        """Return the events, each with a new predicate for the states that are selected."""
        ...

    def every(self, n: int, *, of: str = "run", rest: bool = False) -> "Selection":
        """Select every n-th batch or epoch.

        It selects the multiples of ``n`` by the run's own count, ``n_iters`` for ``BATCH`` and
        ``epoch`` for ``EPOCH_STARTED`` and ``EPOCH_FINISHED``: a resumed run stays in step.

        Args:
            n: Distance between two that are selected, in batches or epochs.
            of: Where the count begins: with the ``"run"``, or again with each ``"epoch"``, for
                batches (see `rnnr.state.n_batches_drawn`).
            rest: Also select the end, ``EPOCH_FINISHED`` of an epoch or ``FINISHED`` of a run,
                if the count there is not a multiple of ``n``. So every batch is followed by one
                that is selected.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If ``n`` is below 1, an event is counted neither in batches nor epochs, or
                ``rest`` is asked for when only some of the batches are selected already.

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
        n = as_integer("n", n, 1, "count in batches or epochs; 1 selects all")
        check_choice("of", of, ("run", "epoch"), "'epoch' begins to count again in each epoch")
        if not isinstance(rest, bool):
            raise wrong_type("rest", "True or False", rest, "True selects an incomplete group, too")
        how = f"every({n}{', of=' + repr(of) if of != 'run' else ''}{', rest=True' * rest})"
        counted = "batches" if of == "epoch" else "batches or epochs"
        for event, test in self.predicates().items():
            if event.counter is None or (of == "epoch" and event.counter != "n_iters"):
                cure = f"join it afterwards, as in Event.BATCH.{how} | {event}"
                raise wrong_value("every", f"selected from {counted}", event, cure)
            if rest and test is not always:
                cure = f"select from its result, as in {event}.{how}.first(3)"
                raise wrong_value("every with rest", "selected from all of them", self, cure)

        def predicates() -> Predicates:
            joined: Predicates = {}
            for event, test in self.predicates().items():
                multiple, remainder = _multiples(event.counter, n, of)
                joined = _joined(joined, {event: _both(test, multiple)})
                if rest:
                    joined = _joined(joined, {event.end_of(of): remainder})
            return joined

        return Selection(f"{self}.{how}", predicates)

    def first(self, n: int) -> "Selection":
        """Select the first ``n`` occurrences, counted per subscription and across runs.

        Args:
            n: How many to select.

        Raises:
            TypeError: If ``n`` is not an integer.
            ValueError: If ``n`` is below 1.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.on(Event.BATCH.first(2), lambda state: print(state["batch"]))
            >>> runner.run("abc", max_epoch=2)
            a
            b
        """
        n = as_integer("n", n, 1, "pass how many to select, or write once()")

        def make() -> Predicate:
            seen = 0

            def test(_: State) -> bool:
                nonlocal seen
                seen += 1
                return seen <= n

            return test

        return self._narrowed(f"first({n})", make)

    def once(self) -> "Selection":
        """Select the first occurrence, for each subscription; the same as ``first(1)``.

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
        """Select the states for which a predicate is true.

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
        check_callback("predicate", predicate)
        return self._narrowed(f"where({predicate!r})", lambda: predicate)

    def seconds(self, s: float, clock: Callable[[], float] = time.monotonic) -> "Selection":
        """Select the first, then the first after ``s`` seconds, and so on.

        Args:
            s: Least time between two that are selected, in seconds.
            clock: Returns a time in seconds that never goes back.

        Raises:
            TypeError: If ``s`` is not a number or ``clock`` cannot be called.
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
        cure = "pass for example 30; leave seconds out to select all"
        s = as_number("s", s, expected, lambda x: 0 < x < math.inf, cure)
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
        """Select the states that either of the two selects, each once."""
        if not isinstance(other, Selectable):
            return NotImplemented
        return Selection(
            f"({self} | {other})", lambda: _joined(self.predicates(), other.predicates())
        )

    def _narrowed(self, text: str, make: Callable[[], Predicate]) -> "Selection":
        """Return a selection whose events share one new test for each subscription."""

        def predicates() -> Predicates:
            test = make()
            return {event: _both(first, test) for event, first in self.predicates().items()}

        return Selection(f"{self}.{text}", predicates)


class Selection(Selectable):
    """Some of the events of a run; made by the methods of an `Event`, or of another selection.

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

    __slots__ = ("_make", "_text")

    def __init__(self, text: str, make: Callable[[], Predicates]) -> None:
        self._text = text
        self._make = make

    def __repr__(self) -> str:
        return self._text

    def predicates(self) -> Predicates:
        """Return the events, each with a new predicate for the states that are selected."""
        return self._make()


def always(_: State) -> bool:
    """Select everything."""
    return True


class Multiples:
    """Selects the states in which a counter is a multiple of a number.

    Args:
        key: Key of the counter.
        n: The number.
    """

    def __init__(self, key: str, n: int) -> None:
        self.key = key
        self.n = n

    def __call__(self, state: State) -> bool:
        """Return whether a state is selected."""
        return not state[self.key] % self.n


def _multiples(counter: str, n: int, of: str) -> tuple[Predicate, Predicate]:
    """Return the test of states whose count is a multiple of n, and that of the others."""
    if of == "epoch":
        return (
            lambda state: not n_batches_drawn(state) % n,
            lambda state: n_batches_drawn(state) % n,
        )
    return Multiples(counter, n), lambda state: state[counter] % n


def _both(first: Predicate, second: Predicate) -> Predicate:
    """Return a test whose second part sees only the states that pass the first."""
    if first is always:
        return second
    return lambda state: first(state) and second(state)


def _joined(one: Predicates, other: Predicates) -> Predicates:
    both = {event: _either(one[event], other[event]) for event in one.keys() & other.keys()}
    return {**one, **other, **both}


def _either(one: Predicate, other: Predicate) -> Predicate:
    """Return a test whose two parts see every state, since they may count them."""

    def test(state: State) -> object:
        passed = one(state)
        return other(state) or passed

    return test
