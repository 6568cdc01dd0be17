"""Measure how long each handler takes."""

import time
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr._handler_names import described, is_own
from rnnr.event import BEGINNINGS, Event
from rnnr.runner import Runner, check_runner
from rnnr.state import State
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer
from rnnr.streams._subject import EventSubject

__all__ = ["DRAWING_BATCHES", "HandlerTime", "HandlerTimes"]

DRAWING_BATCHES: Final = "(drawing batches)"
"""Name of the row for the time that drawing the batches took."""


class HandlerTime(NamedTuple):
    """The time that one handler has taken so far.

    Attributes:
        event (Event): Event that it handles.
        name (str): Name of the function or method.
        where (str): File and line of its definition; empty if it is not written in Python.
        calls (int): Number of its calls.
        seconds (float): Total time of all calls.
        is_own (bool): Whether it is the user's, and not a part of rnnr that was attached. The
            operators of a pipeline count as the user's.
    """

    event: Event
    name: str
    where: str
    calls: int
    seconds: float
    is_own: bool = True


class HandlerTimes:
    """Measures the handlers of a runner: which callback is slow?

    While it measures, it adds a quarter to half of a microsecond to each call of a handler, and
    nothing before and after. The time of a handler includes what it calls, such as an evaluation.
    A handler that only waits is not measured if its attribute ``is_untimed`` is true.

    Args:
        runner: Runner whose handlers to measure.
        clock: Returns a time in seconds that never goes back.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.reporting import HandlerTimes
        >>> def train(state):
        ...     sum(range(10_000))
        >>> def log(state):
        ...     pass
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, [log, train])
        >>> times = HandlerTimes(runner)
        >>> with times.measure():
        ...     runner.run(range(100))
        >>> times.slowest_first()[0].name
        'train'
    """

    def __init__(self, runner: Runner, *, clock: Callable[[], float] = time.perf_counter) -> None:
        check_runner(runner)
        self._slot = runner._slot
        self._clock = clock
        self._taken: dict[tuple[Event, str, str], list[Any]] = {}
        self._ours: set[tuple[Event, str, str]] = set()
        self._drawing = [0, 0.0]
        self._batch: int | None = None  # number of the latest batch, if it was measured
        self._latest = 0.0  # when the latest handler returned

    def measure(self) -> abc.DisposableBase:
        """Measure until disposed, and add to the earlier times."""
        self._batch = None
        return CompositeDisposable(
            *(self._stream(event).add(self._begin, layer=Layer.CLOCK) for event in BEGINNINGS),
            *(self._stream(event).wrap(partial(self._timed, event)) for event in Event),
        )

    def slowest_first(self) -> list[HandlerTime]:
        """Return the time of each handler, the longest first.

        One row, ``DRAWING_BATCHES``, is not a handler: it is the time between the handlers of a
        batch and those of the next, mostly the time to load a batch.
        """
        taken = {**self._taken, (Event.BATCH, DRAWING_BATCHES, ""): self._drawing}
        times = [
            HandlerTime(*key, each[0], each[1], key not in self._ours)
            for key, each in taken.items()
            if each[0]
        ]
        return sorted(times, key=lambda each: -each.seconds)

    def _stream(self, event: Event) -> EventSubject:
        runner: Runner | None = self._slot.runner()
        return EventSubject() if runner is None else runner.stream(event)  # nothing to measure

    def _begin(self, state: State) -> None:
        """Start the clock for the first batch: the time between two runs is not drawing."""
        self._batch, self._latest = state["n_iters"], self._clock()

    def _timed(self, event: Event, handler: Callback) -> Callback:
        if self._is_ours(handler):
            return handler
        if getattr(handler, "is_untimed", False) is True:  # a mock has every attribute
            return partial(self._skip, handler)
        clock = self._clock
        key = event, *described(handler)
        taken = self._taken.setdefault(key, [0, 0.0])
        if not is_own(handler):
            self._ours.add(key)
        is_batch = event is Event.BATCH

        def timed(state: State) -> None:
            if is_batch and state["n_iters"] == self._batch:
                begin = self._latest  # what lies between is the delivery, at some 30 ns
            else:
                begin = clock()
                if is_batch:
                    self._begin_batch(begin, state["n_iters"])
            try:
                handler(state)
            finally:
                self._latest = end = clock()
                taken[0] += 1
                taken[1] += end - begin

        vars(timed).update(__wrapped__=handler, measured_by=self)
        return timed

    def _skip(self, handler: Callback, state: State) -> None:
        handler(state)
        self._latest = self._clock()

    def _begin_batch(self, now: float, n_iters: int) -> None:
        if self._batch is not None:
            self._drawing[0] += 1
            self._drawing[1] += now - self._latest
        self._batch = n_iters

    def _is_ours(self, handler: Callback) -> bool:
        if isinstance(handler, MethodType):
            return handler.__func__ is HandlerTimes._begin
        return isinstance(handler, FunctionType) and vars(handler).get("measured_by") is self
