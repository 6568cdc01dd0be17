"""The plain numbers of all batches between two reports, as intervals."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import wraps
from operator import index, itemgetter
from typing import Any, TypeVar

from rnnr._frozen import Frozen
from rnnr._isolate import Failures
from rnnr.reporting._interval import Interval, interval_of
from rnnr.state import State

__all__ = ["BatchValues"]

_N_ROWS = 256  # batches after which their values are reduced
_N_PARTS = 16  # intervals of what is not reduced when a report is made
_MOST_PARTS = 64  # intervals of a metric until the next report
_N_KINDS = 16  # sets of names after which the values are reduced: a run may use ever new ones
_N_METRICS = 1000  # names of which to keep the interval until the next report
_NUMBERS, _STRINGS = {float, int, bool}, {str}

Row = list[float]
"""The number of a batch, and its values."""

Parts = list[tuple[int, Interval]]


class BatchValues:
    """Collects the numbers of each batch, at some 100 ns for each float.

    It looks at floats and integers of Python alone, and holds nothing else: reading a tensor would
    wait for the GPU, and keeping it would keep its memory.

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
        self._types: list[type] = []  # of a row
        self._rows: list[Row] = []  # of these names; the latest of those that follow
        self._kinds: dict[tuple[str, ...], list[Row]] = {}
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
        key, is_plain = self._key, not self._named

        @wraps(handler, updated=())
        def add_before(state: State) -> None:
            try:
                stats = state.get(key)
                if not is_plain or type(stats) is not dict:
                    stats = self._with_named(stats, state)
                names, row = [*stats], [state["n_iters"], *stats.values()]
                if row[0] <= self._n_iters:
                    self.begin(row[0] - 1)
                if names != self._names or [*map(type, row)] != self._types:
                    names, row = self._floats(state, names, row)
                self._rows.append(row)
                if len(self._rows) >= _N_ROWS:
                    self._reduce(_N_ROWS)
                self._n_iters = row[0]
            except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
                self._failures.log("reports cannot read the values of a batch", error)
            if test(state):
                handler(state)

        return add_before

    def take(self) -> Frozen:
        """Return the intervals of each metric since this was called last, each with its last step.

        There are at most a few dozen, so that a report takes a bounded time; where batches are
        slow, each has an interval of its own.
        """
        n_rows = max(map(len, self._kinds.values()), default=0)
        self._reduce(max(1, -(-n_rows // _N_PARTS)))
        parts, self._parts = self._parts, {}
        return Frozen({name: (*sorted(each, key=_step),) for name, each in parts.items()})

    def begin(self, n_iters: int) -> None:
        """Drop the values of later batches: a run that begins or is set back does not have them."""
        if n_iters >= self._n_iters:
            return
        self._names, self._rows, self._n_iters = None, [], n_iters
        self._kinds = _up_to(n_iters, self._kinds)
        self._parts = _up_to(n_iters, self._parts)

    def _with_named(self, stats: Any, state: State) -> dict[Any, Any]:
        """Return the values of all keys; that of a key which is a mapping is not a float."""
        named = {key: state[key] for key in self._named if key in state}
        return {**stats, **named} if type(stats) is dict else named

    def _floats(self, state: State, names: list[Any], row: list[Any]) -> tuple[list[str], Row]:
        """Return the names and the row of the floats among other values, and go on with them."""
        n_iters, *values = row
        items: Iterable[tuple[Any, Any]] = zip(names, values, strict=True)
        if not {*map(type, values)} <= _NUMBERS or {*map(type, names)} != _STRINGS:
            items = self._find(state, self._keys).items()
        numbers = ((str(name), _number(value)) for name, value in items)
        found = {name: number for name, number in numbers if number is not None}
        names = [*found]
        if names != self._names:
            self._go_on_with(names)
        return names, [index(n_iters), *found.values()]

    def _go_on_with(self, names: list[str]) -> None:
        if len(self._kinds) >= _N_KINDS:
            self._reduce(_N_ROWS)
            self._kinds.clear()
        self._names, self._types = names, [int, *[float] * len(names)]
        self._rows = self._kinds.pop((*names,), [])
        self._kinds[*names,] = self._rows  # at the end, so that the latest values are there

    def _reduce(self, n: int) -> None:
        """Make an interval of every so many rows."""
        for names, rows in self._kinds.items():
            for i in range(0, len(rows), n):
                steps, *columns = zip(*rows[i : i + n], strict=True)
                for name, column in zip(names, columns, strict=True):
                    self._add_part(name, (int(steps[-1]), interval_of(column)))
            rows.clear()

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


_K = TypeVar("_K")
_T = TypeVar("_T", bound=Sequence[Any])

_step = itemgetter(0)


def _up_to(step: int, many: dict[_K, list[_T]]) -> dict[_K, list[_T]]:
    """Return what does not belong to later batches."""
    kept = {key: [one for one in some if one[0] <= step] for key, some in many.items()}
    return {key: some for key, some in kept.items() if some}


def _halved(parts: Parts) -> Parts:
    """Join each interval with its neighbour."""
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(step, before.joined(interval)) for (_, before), (step, interval) in pairs]
