"""The plain numbers of all batches between two reports, as intervals."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from operator import index, itemgetter
from typing import Any

from rnnr._frozen import Frozen
from rnnr._isolate import Failures
from rnnr.reporting._interval import Interval, interval_of
from rnnr.state import State

__all__ = ["BatchValues"]

_N_BATCHES = 512  # after which their values are reduced
_N_PARTS = 16  # intervals of what is not reduced when a report is made
_MOST_PARTS = 64  # intervals of a metric until the next report
_N_KINDS = 16  # sets of names after which the values are reduced: a run may use ever new ones
_N_METRICS = 1000  # names of which to keep the interval until the next report
_UNREADABLE = "reports cannot read the values of a batch"
_NUMBERS, _STRINGS = {float, int, bool}, {str}

Kind = tuple[list[int], list[float]]
"""The numbers of batches whose values have the same names, and all these values in one list."""

Parts = list[tuple[int, Interval]]


class BatchValues:
    """Collects the numbers of each batch, at some 80 ns for each float.

    It takes floats and integers of Python alone, and holds nothing else: reading a tensor would
    wait for the GPU, and keeping it would keep its memory. A tensor that comes where a float was
    before is added to a float once, which waits for nothing.

    Args:
        keys: Keys of the state to look at; each is a float, or a mapping that holds some.
        find: Returns the values of some keys by their names, however odd they are.
        failures: Logs what cannot be read.
    """

    def __init__(
        self,
        keys: tuple[str, ...],
        find: Callable[[State, Iterable[str]], dict[object, object]],
        failures: Failures,
    ) -> None:
        self._keys = keys
        self._key, *self._named = keys
        self._find = find
        self._failures = failures
        self._n_iters = 0
        self._names: list[str] | None = None
        self._steps, self._values = list[int](), list[float]()  # of these names
        self._kinds: dict[tuple[str, ...], Kind] = {}
        self._parts: dict[str, Parts] = {}

    def before(
        self, test: Callable[[State], object], handler: Callable[[State], object]
    ) -> Callable[[State], None]:
        """Return a handler that adds the values of a batch before another handler may get it.

        One handler costs less than two, above all while handlers are timed.

        Args:
            test: Returns whether the other handler gets a batch.
            handler: The other handler.
        """
        key, is_one = self._key, not self._named

        @wraps(handler, updated=())
        def add_before(state: State) -> None:
            try:
                stats = state.get(key)
                if not is_one or type(stats) is not dict:
                    stats = self._with_named(stats, state)
                n_iters, names = state["n_iters"], [*stats]
                values: Iterable[float] = stats.values()
                if n_iters <= self._n_iters:
                    self.begin(n_iters - 1)
                try:  # a sum finds out at the speed of C whether all are plain numbers
                    is_plain = names == self._names and type(sum(values, 0.0)) is float
                except Exception:  # noqa: BLE001  (they are not, or one is too large)
                    is_plain = False
                if not is_plain:
                    values = self._numbers(state, stats)
                self._values.extend(values)
                self._steps.append(n_iters)
                if len(self._steps) >= _N_BATCHES:
                    self._reduce(_N_BATCHES)
                self._n_iters = n_iters
            except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
                self._failures.log(_UNREADABLE, error)
            if test(state):
                handler(state)

        return add_before

    def take(self) -> Frozen:
        """Return the intervals of each metric since this was called last, each with its last step.

        There are at most a few dozen, so that a report takes a bounded time; where batches are
        slow, each has an interval of its own.
        """
        n_batches = max((len(steps) for steps, _ in self._kinds.values()), default=0)
        self._reduce(max(1, -(-n_batches // _N_PARTS)))
        parts, self._parts = self._parts, {}
        return Frozen({name: (*sorted(each, key=_step),) for name, each in parts.items()})

    def begin(self, n_iters: int) -> None:
        """Drop the values of later batches: a run that begins or is set back does not have them."""
        if n_iters >= self._n_iters:
            return
        self._n_iters = n_iters
        for names, (steps, values) in self._kinds.items():
            n_kept = bisect_right(steps, n_iters)
            del steps[n_kept:], values[n_kept * len(names) :]
        parts = {
            name: [one for one in some if one[0] <= n_iters] for name, some in self._parts.items()
        }
        self._parts = {name: some for name, some in parts.items() if some}

    def _with_named(self, stats: Any, state: State) -> dict[Any, Any]:
        """Return the values of all keys; that of a key which is a mapping is not a float."""
        named = {key: state[key] for key in self._named if key in state}
        return {**stats, **named} if type(stats) is dict else named

    def _numbers(self, state: State, stats: dict[Any, Any]) -> Iterable[float]:
        """Return the numbers among other values, and go on with their names."""
        items: Iterable[tuple[Any, Any]] = stats.items()
        if not {*map(type, stats.values())} <= _NUMBERS or {*map(type, stats)} != _STRINGS:
            items = self._find(state, self._keys).items()
        numbers = ((str(name), _number(value)) for name, value in items)
        found = {name: number for name, number in numbers if number is not None}
        names = [*found]
        if names != self._names:
            self._go_on_with(names)
        return found.values()

    def _go_on_with(self, names: list[str]) -> None:
        if len(self._kinds) >= _N_KINDS:
            self._reduce(_N_BATCHES)
            self._kinds.clear()
        self._names = names
        self._steps, self._values = self._kinds.setdefault((*names,), ([], []))

    def _reduce(self, n: int) -> None:
        """Make an interval of every so many rows."""
        for names, kept in self._kinds.items():
            steps, values, width = kept[0][:], kept[1][:], len(names)
            for some in kept:
                some.clear()  # first, so that an error leaves nothing to be reduced again
            if len(values) != width * len(steps):
                error = RuntimeError("a dict of statistics was changed while it was read")
                self._failures.log(_UNREADABLE, error)
                continue
            for i in range(0, len(steps), n):
                last, part = index(steps[i : i + n][-1]), values[width * i : width * (i + n)]
                for k, name in enumerate(names):
                    self._add_part(name, (last, interval_of(part[k::width])))

    def _add_part(self, name: str, part: tuple[int, Interval]) -> None:
        parts = self._parts.get(name)
        if parts is not None:
            parts.append(part)
            if len(parts) >= _MOST_PARTS:
                parts[:] = _halved(sorted(parts, key=_step))
        elif len(self._parts) < _N_METRICS:
            self._parts[name] = [part]


def _number(value: Any) -> float | None:
    """Return a plain number as a float; nothing that a value defines is called, nor is it kept."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if issubclass(kind, float):
        return float.__add__(value, -0.0)
    if issubclass(kind, int):
        with suppress(OverflowError):
            return int.__float__(value)
    return None


_step = itemgetter(0)


def _halved(parts: Parts) -> Parts:
    """Join each interval with its neighbour."""
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(step, before.joined(interval)) for (_, before), (step, interval) in pairs]
