"""Read many lines of batches at once, without a report for each of them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from json import loads
from math import inf, nan
from operator import lt
from secrets import token_hex
from typing import Any, Final, NamedTuple

from rnnr._frozen import Frozen
from rnnr.event import Event
from rnnr.recording._format import DAMAGES
from rnnr.reporting._report import Report

__all__ = ["Batches", "batches_in"]

_FEW = 4  # lines for which columns are not worth it
_NOT_FINITE: Final = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}


class Batches(NamedTuple):
    """Reports of batches that follow each other and have the same metrics.

    Attributes:
        columns: Field by name, each with a value for each report.
        names: Names of the metrics.
        values: Metrics in the order of the names, each with a value for each report.
    """

    columns: dict[str, Sequence[Any]]
    names: tuple[str, ...]
    values: list[Sequence[float]]

    def __len__(self) -> int:
        return len(self.columns["seconds"])

    @property
    def steps(self) -> Sequence[int]:
        """Position of each report on the axis of a chart."""
        return self.columns.get("step") or [0] * len(self)

    @property
    def is_rising(self) -> bool:
        """Whether each step is greater than the one before."""
        steps = self.steps
        return all(map(lt, steps, steps[1:]))

    def report(self, n: int) -> Report:
        """Return one of the reports."""
        metrics = {name: value[n] for name, value in zip(self.names, self.values, strict=True)}
        fields = {name: column[n] for name, column in self.columns.items()}
        return Report(Event.BATCH, metrics=Frozen(metrics), **fields)


def batches_in(lines: Sequence[bytes]) -> Iterator[tuple[int, int, Batches | None]]:
    """Yield where some lines begin and end, and their batches; ``None`` if they are not usual.

    What is not usual has to be read line by line: other events, runs inside other runs, damaged
    lines, single lines with other metrics than the ones around them.
    """
    rows = _rows_in(lines)
    if rows is None:
        yield 0, len(lines), None
        return
    begin = 0
    for key, group in groupby(rows, _key):
        some = list(group)
        is_usual = key is not None and len(some) >= _FEW
        yield begin, begin + len(some), _batches(some) if is_usual else None
        begin += len(some)


def _rows_in(lines: Sequence[bytes]) -> list[Any] | None:
    """Return what JSON says of each line; ``None`` if one of them is not JSON.

    Lines are parsed together. A text between them that cannot be in them shows that each line is a
    value of its own.
    """
    mark = token_hex(16)
    between = f',"{mark}",'.encode("ascii")
    try:
        rows: list[Any] = loads(str(b"[%b]" % between.join(lines), "utf-8"))
    except DAMAGES:
        return None
    is_each_a_value = len(rows) == 2 * len(lines) - 1 and rows[1::2] == [mark] * (len(lines) - 1)
    return rows[::2] if is_each_a_value else None


def _key(row: Any) -> tuple[Any, ...] | None:
    """Return the names of the fields and metrics of a batch; ``None`` for what is not a batch."""
    if type(row) is not dict or row.get("event") != "BATCH":
        return None
    metrics = row.get("metrics")
    return (*row, None, *metrics) if type(metrics) is dict else None


def _batches(rows: list[dict[str, Any]]) -> Batches | None:
    """Return the reports on some lines with the same fields and metrics, if all are as usual."""
    found: dict[str, Sequence[Any]] = {}
    for name in rows[0]:
        column = [row[name] for row in rows]
        check = _CHECKS.get(name)
        if check is not None and not check(column):
            return None
        if name in _KEPT:
            found[name] = column
    metrics = [row["metrics"] for row in rows]
    try:
        values = [_numbers(column) for column in zip(*map(dict.values, metrics), strict=True)]
    except DAMAGES:
        return None
    return Batches(found, tuple(metrics[0]), values) if found.keys() >= _REQUIRED else None


def _numbers(column: tuple[Any, ...]) -> Sequence[float]:
    types = set(map(type, column))
    if types == {float}:
        return column
    if types <= {float, int, str}:
        return [_NOT_FINITE[one] if type(one) is str else float(one) for one in column]
    raise TypeError


def _of(*types: type) -> Callable[[list[Any]], bool]:
    return lambda column: set(map(type, column)) <= {*types}


def _are_counters(column: list[Any]) -> bool:
    return _of(int)(column) and -sys.maxsize <= min(column) and max(column) <= sys.maxsize


def _are_lengths(column: list[Any]) -> bool:
    return _of(type(None))(column) or _are_counters(column)


_CHECKS: Final[dict[str, Callable[[list[Any]], bool]]] = {
    **dict.fromkeys(("epoch", "max_epoch", "n_iters", "step"), _are_counters),
    "seconds": _of(float),
    "batches_per_second": _of(float, type(None)),
    "n_batches": _are_lengths,
    "is_inside": lambda column: _of(bool)(column) and not any(column),
    "error": _of(type(None)),
    "results": lambda column: _of(list)(column) and not any(column),
    "config": lambda column: _of(dict)(column) and not any(column),
}
_KEPT: Final = {
    "epoch",
    "max_epoch",
    "n_iters",
    "step",
    "seconds",
    "batches_per_second",
    "n_batches",
}
_REQUIRED: Final = {"epoch", "max_epoch", "n_iters", "seconds"}
