"""Make reports of runs: immutable records, made on the training thread."""

import logging
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from operator import index
from traceback import format_exception
from typing import Final

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from rnnr._errors import check_string, wrong_type
from rnnr._frozen import Frozen
from rnnr._isolate import Failures, log_failure
from rnnr._metrics import results_of, values_at
from rnnr._numbers import numbers_in
from rnnr._runs import Slot, outermost
from rnnr.event import BEGINNINGS, Event
from rnnr.reporting._batch_values import BatchValues
from rnnr.reporting._config import flattened
from rnnr.reporting._report import Report
from rnnr.reporting._run_info import info_of
from rnnr.reporting._system import System
from rnnr.runner import Runner, check_runner
from rnnr.scheduling import InPlaceObservable
from rnnr.selection import Selectable, Selection, always
from rnnr.sources._kinds import length_of
from rnnr.state import STARTED_AT, STOPPED_BY, State, check_metric
from rnnr.streams._layer import view_layer
from rnnr.streams._selected import only_if

__all__ = ["ALL_EVENTS", "reports"]

logger = logging.getLogger("rnnr.isolation")

_NONE: Frozen = Report._field_defaults["config"]
_WINDOW = 1.0  # seconds over which the throughput is measured


ALL_EVENTS = Selection("all events", lambda: dict.fromkeys(Event, always))
"""Every event of a run."""


def reports(
    runner: Runner,
    *keys: str,
    on: Selectable = ALL_EVENTS,
    clock: Callable[[], float] = time.time,
    intervals: bool = False,
    config: object = None,
    system: bool = False,
) -> Observable[Report]:
    """Return a hot Observable of reports on the runs of a runner.

    Every view subscribes to it: a dashboard, a recorder, a logger. A report is made when all other
    callbacks of its event have run. Its metrics are the numbers

    * in ``state["stats"]``, which a bar shows, too,
    * in the results of reducers and evaluations, from the end of the epoch on,
    * in the keys that you name: a number, or a mapping that holds numbers.

    Tensors and arrays of one item, NumPy scalars, and other values with ``__float__`` become
    floats. Reading a tensor on a GPU waits for the GPU, so select with ``on`` if that matters.
    Values that are not numbers are left out. A report that cannot be made, because a callback has
    put nonsense into the counters, is left out and logged on ``rnnr.isolation``. Like the streams
    of a runner, the Observable neither completes nor errors.

    Args:
        runner: Runner whose runs to report.
        keys: Names of further keys of the state that hold metrics.
        on: Event at which to report, or a `rnnr.Selection`; every event, if not given.
        clock: Returns the time in seconds since 1970.
        intervals: Whether each report has the least, the greatest, the sum and the count of each
            metric that is a float or an integer of Python, of all batches since the report before,
            also of those that ``on`` does not select, in intervals of some batches. It takes some
            100 ns a batch for each metric.
        config: Configuration of the runs, which is in the reports of ``STARTED`` and ``RESUMED`` as
            it is now: a mapping, which may be nested, a dataclass, an ``argparse.Namespace``, a
            named tuple, or an object with attributes. Values that are neither numbers, texts, truth
            values nor ``None`` become their short text. At most 200 entries are kept. What a
            `RunInfo` tells of the run is there, too.
        system: Whether every five seconds a report has metrics of the process and the machine:
            ``system/memory_mb`` in millions of bytes, ``system/cpu_percent``, where 100 is one
            core, ``system/machine_memory_percent``, ``system/machine_cpu_percent``, and for each
            GPU of NVIDIA ``system/gpu0_percent`` and ``system/gpu0_memory_mb``. A run inside
            another run has none.

    Raises:
        TypeError: If ``runner`` is not a runner, a key is not a string, ``on`` is not an event, or
            ``config`` is not a configuration.
        ValueError: If a key is one that the run writes, such as ``epoch``.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.reporting import reports
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["batch"], "phase": "warm-up"}
        >>> seldom = Event.BATCH.every(2)
        >>> subscription = reports(runner, on=seldom).subscribe(
        ...     lambda report: print(report.n_iters, report.metrics)
        ... )
        >>> runner.run([1, 2, 3, 4])
        2 {'loss': 0.5}
        4 {'loss': 0.25}
    """
    check_runner(runner)
    for key in keys:
        check_string("a key of reports", key, 'write for example reports(runner, "loss")')
        check_metric("a key of reports", key)
    if not isinstance(on, Selectable):
        raise wrong_type("on", "an Event or a Selection", on, "write for example on=Event.BATCH")
    if not callable(clock):
        raise wrong_type("clock", "callable", clock, "pass for example time.time")
    flat = flattened(config) or _NONE

    def subscribe(
        observer: abc.ObserverBase[Report], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        all_keys = ("stats", *keys)
        values = BatchValues(all_keys, values_at, Failures(logger)) if intervals else None
        reporter = _Reporter(all_keys, clock, runner._slot, values, flat)
        reporter.system = System() if system else None

        def emit(event: Event, state: State) -> None:
            try:
                report = reporter.report(event, state)
            except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
                log_failure(error, reports)
            else:
                observer.on_next(report)

        vars(emit)["__wrapped__"] = observer.on_next  # a table of handlers names the observer
        tests = on.predicates()
        handlers = {event: only_if(test, partial(emit, event)) for event, test in tests.items()}
        if values is not None:
            test = tests.get(Event.BATCH, _never)
            handlers[Event.BATCH] = values.before(test, partial(emit, Event.BATCH))
        return CompositeDisposable(
            runner._slot.watch(),
            *(
                runner.stream(event).add(partial(reporter.begin, event), layer=view_layer(event))
                for event in BEGINNINGS  # after callbacks restore the counters
            ),
            *(
                runner.stream(event).add(handler, layer=view_layer(event))
                for event, handler in handlers.items()
            ),
        )

    return InPlaceObservable(subscribe)


def report_of(
    runner: Runner, event: Event, *keys: str, clock: Callable[[], float] = time.time
) -> Report:
    """Return the report of an event with the present state; for the arguments see `reports`."""
    return _Reporter(("stats", *keys), clock, runner._slot).report(event, runner.state)


class Throughput:
    """Measures batches per second, over the last second or more."""

    def __init__(self) -> None:
        self._mark: tuple[float, int] | None = None  # where the measurement starts
        self._rate: float | None = None

    def begin(self, seconds: float, n_iters: int) -> None:
        """Start to measure again, and ignore what was before."""
        self._mark, self._rate = (seconds, n_iters), None

    def at(self, seconds: float, n_iters: int) -> float | None:
        """Return the throughput at a time and a number of batches; ``None`` if it is unknown."""
        start, n_before = self._mark or (seconds, n_iters)
        elapsed, n = seconds - start, n_iters - n_before
        if self._mark is None or not 0 <= elapsed < inf or n < 0:  # clocks and counters go back
            self._mark = seconds, n_iters
        elif elapsed >= _WINDOW:
            self._mark, self._rate = (seconds, n_iters), n / elapsed
        elif self._rate is None and elapsed and n:
            return n / elapsed  # over less than the window, while there is no better value
        return self._rate

    def at_each(self, seconds: Sequence[float], n_iters: Sequence[int]) -> None:
        """Do what `at` does at each of some times, which only grow, as do the batches."""
        begin = 0
        while begin < len(seconds):
            self.at(seconds[begin], n_iters[begin])
            begin = bisect_left(seconds, True, begin + 1, key=self._is_due)

    def _is_due(self, seconds: float) -> bool:
        return self._mark is not None and seconds - self._mark[0] >= _WINDOW


class _Reporter:
    """Makes the reports of one subscription, and remembers what the next one needs."""

    attached_as: Final = "reports"

    def __init__(
        self,
        keys: tuple[str, ...],
        clock: Callable[[], float],
        slot: Slot,
        values: BatchValues | None = None,
        config: Frozen = _NONE,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._slot = slot
        self._values = values
        self._config = config
        self._n_pauses = slot.n_pauses
        self._throughput = Throughput()
        self._n_batches: int | None = None
        self.system: System | None = None
        self._length_at: int | None = None  # epoch of the batch at which it was read

    def begin(self, event: Event, state: State) -> None:
        """Start to measure a run."""
        now = self._clock()
        if event is Event.STARTED and not state["n_iters"]:
            state[STARTED_AT] = now
        self._throughput.begin(now, state["n_iters"])
        self._length_at = None
        if self._values is not None:
            self._values.begin(state["n_iters"])

    def report(self, event: Event, state: State) -> Report:
        """Return the report of an event."""
        now, n_iters = self._clock(), index(state["n_iters"])  # NumPy's, say, from a checkpoint
        around = outermost(state)
        if self._n_pauses != self._slot.n_pauses:  # the time of a pause is not part of its speed
            self._n_pauses = self._slot.n_pauses
            self._throughput.begin(now, n_iters)
        seconds = now - state.setdefault(STARTED_AT, now)
        return Report(
            event,
            index(state["epoch"]),
            _as_int(state["max_epoch"]),
            n_iters,
            0.0 if seconds < 0 else seconds,
            self._metrics(state, is_inside=around is not state),
            self._throughput.at(now, n_iters),
            self._length(event, state),
            index(around["n_iters"]),
            around is not state,
            "".join(format_exception(state["error"])) if event is Event.FAILED else None,
            self._results(state) if event is Event.EPOCH_FINISHED else (),
            began=state[STARTED_AT] if event in BEGINNINGS else None,
            config=self._config_of(state) if event in BEGINNINGS else _NONE,
            stopped_by=_text_or_none(state.get(STOPPED_BY)) if event is Event.STOPPED else None,
            intervals=_NONE if self._values is None else self._values.take(),
        )

    def _config_of(self, state: State) -> Frozen:
        info = info_of(state)
        return Frozen({**info, **self._config}) if info else self._config

    def _metrics(self, state: State, *, is_inside: bool) -> Mapping[str, float]:
        metrics = numbers_in(values_at(state, (*self._keys, *results_of(state))))
        if self.system is not None and not is_inside:
            metrics.update(self.system.sample())
        return Frozen(metrics)

    def _results(self, state: State) -> tuple[str, ...]:
        return tuple(numbers_in(values_at(state, (*self._keys[1:], *results_of(state)))))

    def _length(self, event: Event, state: State) -> int | None:
        """Return the length of the batches, which a loader may take long to compute.

        It may change from epoch to epoch, and may be known only after iteration has begun. So it is
        read at the first batch of an epoch and at all other events, but not at further batches.
        """
        epoch = state["epoch"] if event is Event.BATCH else None
        if epoch is None or epoch != self._length_at:
            self._length_at, self._n_batches = epoch, length_of(state.get("batches"))
        return self._n_batches


def _never(_: State) -> bool:
    return False


def _text_or_none(stopped_by: object) -> str | None:
    return stopped_by if isinstance(stopped_by, str) else None


def _as_int(max_epoch: float) -> int:
    """Return it as an integer, also if a callback has set it to infinity."""
    return int(max_epoch) if max_epoch < sys.maxsize else sys.maxsize
