"""How long each handler takes, while somebody wants to know."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.observer import AutoDetachObserver

from rnnr.claims import judge_runner
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State
from rnnr.stream import Callback, EventSubject, Layer

__all__ = ["DRAWING", "HandlerTime", "HandlerTimes", "Untimed"]

DRAWING: Final = "(drawing batches)"
"""Name of the row that tells how long the batches took."""


class HandlerTime(NamedTuple):
    """What one handler has taken so far.

    Attributes:
        event (Event): Event that it handles.
        name (str): Name of the function or method.
        where (str): File and line of its definition; empty for what is not written in Python.
        calls (int): How often it was called.
        seconds (float): How long all calls took together.
    """

    event: Event
    name: str
    where: str
    calls: int
    seconds: float


class Untimed(partial[Any]):
    """A handler that waits for somebody: its time is in no row, and no drawing either."""


class HandlerTimes:
    """Measures the handlers of a runner: which callback is slow?

    It adds a fifth of a microsecond to each call of a handler while it measures, and nothing
    before and after. The time of a handler contains what it calls, as an evaluation.

    Args:
        runner: Runner whose handlers to measure.
        clock: Returns a time in seconds that never goes back.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.handler_times import HandlerTimes
        >>> def train(state):
        ...     sum(range(10_000))
        >>> def log(state):
        ...     pass
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, [log, train])
        >>> times = HandlerTimes(runner)
        >>> with times.measure():
        ...     runner.run(range(100))
        >>> times.worst_first()[0].name
        'train'
    """

    def __init__(self, runner: Runner, *, clock: Callable[[], float] = time.perf_counter) -> None:
        judge_runner(runner)
        self._slot = runner._slot
        self._clock = clock
        self._taken: dict[tuple[Event, str, str], list[Any]] = {}
        self._drawing = [0, 0.0]
        self._n_timed = self._n_passed = 0  # batches: those that were timed, and all meanwhile
        self._batch: int | None = None  # the latest that was timed, by the run's count
        self._latest: float | None = None  # when the latest handler was through, if measured
        self._n_left = 0
        self._looking: abc.DisposableBase | None = None

    def measure(self, *, sampled: bool = False) -> abc.DisposableBase:
        """Measure from now on, until disposed; what was measured before is kept.

        Args:
            sampled: Whether to leave batches out, but those that `look` asks for.
        """
        self._latest = None
        return CompositeDisposable(
            Disposable(self._look_away),
            *(
                self._stream(event).add(self._begin, layer=Layer.CLOCK)
                for event in (Event.STARTED, Event.RESUMED)
            ),
            *(self._wrap(event) for event in Event if not (sampled and event is Event.BATCH)),
        )

    def look(self, n_batches: int = 20) -> None:
        """Measure the next batches; all together are estimated from those that were measured."""
        self._n_left = n_batches
        if self._looking is None:
            self._latest = None
            self._looking = self._wrap(Event.BATCH)

    def worst_first(self) -> list[HandlerTime]:
        """Return what each has taken while it was measured, the longest time first.

        One row, ``DRAWING``, is no handler: what passes between the handlers of a batch and those
        of the next, which is mostly the time to load a batch.
        """
        n_timed = self._n_timed or 1
        taken = {**self._taken, (Event.BATCH, DRAWING, ""): self._drawing}
        times = []
        for key, (calls, seconds) in taken.items():
            if calls:
                timed = calls if key[1] == DRAWING else n_timed
                scale = self._n_passed / timed if key[0] is Event.BATCH else 1
                times.append(HandlerTime(*key, round(calls * scale), seconds * scale))
        return sorted(times, key=lambda each: -each.seconds)

    def _wrap(self, event: Event) -> abc.DisposableBase:
        return self._stream(event).wrap(partial(self._timed, event))

    def _stream(self, event: Event) -> EventSubject:
        runner: Runner | None = self._slot.runner()
        return EventSubject() if runner is None else runner.stream(event)  # nothing to measure

    def _look_away(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.dispose()

    def _begin(self, state: State) -> None:
        """Begin to wait for the first batch: what passed between two runs is no drawing."""
        self._batch, self._latest = state["n_iters"], self._clock()

    def _timed(self, event: Event, handler: Callback) -> Callback:
        if self._is_ours(handler):
            return handler
        if isinstance(handler, Untimed):
            return partial(self._pass_over, handler)
        clock = self._clock
        taken = self._taken.setdefault((event, *_described(handler)), [0, 0.0])
        is_batch = event is Event.BATCH

        def timed(state: State) -> None:
            begin = clock()
            if is_batch and state["n_iters"] != self._batch:
                self._begin_batch(begin, state["n_iters"])
            try:
                handler(state)
            finally:
                self._latest = end = clock()
                taken[0] += 1
                taken[1] += end - begin

        vars(timed).update(__wrapped__=handler, measured_by=self)
        return timed

    def _pass_over(self, handler: Callback, state: State) -> None:
        handler(state)
        self._latest = self._clock()

    def _begin_batch(self, now: float, n_iters: int) -> None:
        self._n_timed += 1
        self._n_passed += 1 if self._batch is None else max(1, n_iters - self._batch)
        self._batch = n_iters
        if self._latest is not None:
            self._drawing[0] += 1
            self._drawing[1] += now - self._latest
        self._n_left -= 1
        if self._n_left <= 0:
            self._look_away()

    def _is_ours(self, handler: Callback) -> bool:
        if isinstance(handler, MethodType):
            return handler.__func__ is HandlerTimes._begin
        return isinstance(handler, FunctionType) and vars(handler).get("measured_by") is self


def _described(handler: Any) -> tuple[str, str]:
    """Return the name of a handler, and where it is defined."""
    try:
        return _name_and_place(handler)
    except Exception:  # noqa: BLE001  (it may answer oddly when asked; the run matters more)
        return type(handler).__name__, ""


def _name_and_place(handler: Any) -> tuple[str, str]:
    handler = _unwrapped(handler)
    function = getattr(handler, "__func__", handler)
    if function is not handler:
        owner = handler.__self__
        owner = owner if isinstance(owner, type) else type(owner)
        name = f"{owner.__name__}.{function.__name__}"
    elif hasattr(handler, "__qualname__"):
        parts = handler.__qualname__.split(".<locals>.")
        name = parts[0] if _is_of_a_library(handler) else parts[-1]
    else:
        name, function = type(handler).__qualname__, type(handler).__call__
    code = getattr(function, "__code__", None)
    return name, f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""


def _unwrapped(handler: Any) -> Any:
    """Return what the user wrote, from inside of partials, wrappers and observers."""
    for _ in range(100):  # and no further: some objects have every attribute
        owner = getattr(handler, "__self__", None)
        if isinstance(handler, partial):
            handler = handler.func
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif isinstance(owner, AutoDetachObserver) and hasattr(owner, "_on_next"):
            handler = owner._on_next  # no public name: without it the observer is named
        else:
            break
    return handler


def _is_of_a_library(handler: Any) -> bool:
    """Tell whether a closure is known by the function that made it, as those of operators are."""
    return str(getattr(handler, "__module__", "")).startswith(("rnnr.", "reactivex."))
