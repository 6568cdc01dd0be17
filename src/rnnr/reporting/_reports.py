"""What a run tells those who watch it: immutable records, made on the training thread."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from operator import index
from traceback import format_exception

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from rnnr._errors import check_string, wrong_type
from rnnr._frozen import Frozen
from rnnr._isolate import log_failure
from rnnr._numbers import numbers_in
from rnnr._runs import Slot, outermost
from rnnr.event import Event
from rnnr.reporting._report import Report
from rnnr.runner import Runner, check_runner
from rnnr.scheduling import InPlaceObservable
from rnnr.selection import Selectable, Selection, always
from rnnr.sources._kinds import length_of
from rnnr.state import EPOCH, RESULTS, STARTED_AT, State, check_metric
from rnnr.streams._layer import last_layer
from rnnr.streams._selected import only_if

__all__ = ["ALL_EVENTS", "reports"]

_WINDOW = 1.0  # seconds over which the throughput is measured


ALL_EVENTS = Selection("all events", lambda: dict.fromkeys(Event, always))
"""All that happens in a run."""


def reports(
    runner: Runner,
    *keys: str,
    on: Selectable = ALL_EVENTS,
    clock: Callable[[], float] = time.time,
) -> Observable[Report]:
    """Return a hot Observable of records of how the runs of a runner stand.

    Every view subscribes to it: a dashboard, a recorder, a logger. A record is made when all
    other callbacks of its event have had their turn. Its metrics are the numbers

    * in ``state["stats"]``, where a bar finds them, too,
    * in the results of the reducers, from the end of the epoch on,
    * in the keys that you name: a number, or a mapping that holds some.

    Tensors and arrays of one item, NumPy scalars, whatever has ``__float__`` become floats; a
    tensor on a GPU waits for the GPU, so select with ``on`` where that matters. What is no number
    is left out. A report that cannot be made, since a callback has put nonsense into the counters,
    is left out, too, and logged on ``rnnr.isolation``. Like the streams of a runner it neither
    completes nor errors.

    Args:
        runner: Runner whose runs to report.
        keys: Names of further keys of the state that hold metrics.
        on: Event at which to report, or a `rnnr.Selection`; every event, unless you say otherwise.
        clock: Returns the time in seconds since 1970.

    Raises:
        TypeError: If ``runner`` is no runner, a key no string, or ``on`` no event.
        ValueError: If a key is one that the run writes, such as ``epoch``.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.reporting._reports import reports
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

    def subscribe(
        observer: abc.ObserverBase[Report], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        reporter = _Reporter(("stats", *keys), clock, runner._slot)

        def tell(event: Event, state: State) -> None:
            try:
                report = reporter.report(event, state)
            except Exception as error:  # noqa: BLE001  (it is logged: a view breaks no run)
                log_failure(error, reports)
            else:
                observer.on_next(report)

        vars(tell)["__wrapped__"] = observer.on_next  # a table of handlers names who is told
        return CompositeDisposable(
            runner._slot.watch(),
            *(
                runner.stream(event).add(partial(reporter.begin, event), layer=last_layer(event))
                for event in (Event.STARTED, Event.RESUMED)  # when counters are restored, if any
            ),
            *(
                runner.stream(event).add(
                    only_if(test, partial(tell, event)), layer=last_layer(event)
                )
                for event, test in on.predicates().items()
            ),
        )

    return InPlaceObservable(subscribe)


def report_of(
    runner: Runner, event: Event, *keys: str, clock: Callable[[], float] = time.time
) -> Report:
    """Return the report that an event of a run would have now; for the arguments see `reports`."""
    return _Reporter(("stats", *keys), clock, runner._slot).report(event, runner.state)


class Throughput:
    """Measures batches a second, over the last second or more."""

    def __init__(self) -> None:
        self._mark: tuple[float, int] | None = None  # where it is measured from
        self._rate: float | None = None

    def begin(self, seconds: float, n_iters: int) -> None:
        """Begin to measure: what was before says nothing of what comes."""
        self._mark, self._rate = (seconds, n_iters), None

    def at(self, seconds: float, n_iters: int) -> float | None:
        """Return it at a time, and a number of batches; ``None`` before there is any."""
        since, before = self._mark or (seconds, n_iters)
        passed, n = seconds - since, n_iters - before
        if self._mark is None or not 0 <= passed < inf or n < 0:  # clocks and counters go back
            self._mark = seconds, n_iters
        elif passed >= _WINDOW:
            self._mark, self._rate = (seconds, n_iters), n / passed
        elif self._rate is None and passed and n:
            return n / passed  # of so short a time, for want of a better one
        return self._rate


class _Reporter:
    """What one subscription has to remember from report to report."""

    def __init__(self, keys: tuple[str, ...], clock: Callable[[], float], slot: Slot) -> None:
        self._keys = keys
        self._clock = clock
        self._slot = slot
        self._n_pauses = slot.n_pauses
        self._throughput = Throughput()
        self._n_batches: int | None = None
        self._length_at: int | None = None  # epoch in which a batch has asked for it

    def begin(self, event: Event, state: State) -> None:
        """Begin to measure, as a run does."""
        now = self._clock()
        if event is Event.STARTED and not state["n_iters"]:
            state[STARTED_AT] = now
        self._throughput.begin(now, state["n_iters"])
        self._length_at = None

    def report(self, event: Event, state: State) -> Report:
        """Record how a run stands."""
        now, n_iters = self._clock(), index(state["n_iters"])  # of NumPy, say, from a checkpoint
        around = outermost(state)
        if self._n_pauses != self._slot.n_pauses:  # a pause is no part of its speed
            self._n_pauses = self._slot.n_pauses
            self._throughput.begin(now, n_iters)
        seconds = now - state.setdefault(STARTED_AT, now)
        return Report(
            event,
            index(state["epoch"]),
            _whole(state["max_epoch"]),
            n_iters,
            0.0 if seconds < 0 else seconds,
            self._metrics(state),
            self._throughput.at(now, n_iters),
            self._length(event, state),
            index(around["n_iters"]),
            around is not state,
            "".join(format_exception(state["error"])) if event is Event.FAILED else None,
            self._results(state) if event is Event.EPOCH_FINISHED else (),
        )

    def _metrics(self, state: State) -> Mapping[str, float]:
        return Frozen(numbers_in(_found(state, (*self._keys, *_reduced(state)))))

    def _results(self, state: State) -> tuple[str, ...]:
        return tuple(numbers_in(_found(state, (*self._keys[1:], *_reduced(state)))))

    def _length(self, event: Event, state: State) -> int | None:
        """Return the length of the batches, which a loader may take long to compute.

        It may change from epoch to epoch, and may be known only once they are iterated: so ask
        at the first batch of an epoch, not at the others, and at all other events.
        """
        epoch = state["epoch"] if event is Event.BATCH else None
        if epoch is None or epoch != self._length_at:
            self._length_at, self._n_batches = epoch, length_of(state.get("batches"))
        return self._n_batches


def _reduced(state: State) -> tuple[str, ...]:
    names: tuple[str, ...] = (state.get(EPOCH) or {}).get(RESULTS, ())
    return names


def _found(state: State, keys: Iterable[str]) -> dict[object, object]:
    found: dict[object, object] = {}
    for key in keys:
        if key in state:
            with suppress(Exception):  # a mapping may compute when it is read; a view breaks no run
                value = state[key]
                found.update(value if isinstance(value, (dict, Mapping)) else {key: value})
    return found


def _whole(max_epoch: float) -> int:
    """Return it as an integer, also where a callback has made it infinity."""
    return int(max_epoch) if max_epoch < sys.maxsize else sys.maxsize
