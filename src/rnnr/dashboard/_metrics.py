"""The metrics of one run by their names: their curves and latest values."""

import json
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from math import nan
from typing import Any

from rnnr._numbers import as_json
from rnnr.reporting._curve import Curve
from rnnr.reporting._interval import Interval, of_one

__all__ = ["BATCH", "EPOCH", "Metrics", "octets_of", "packed"]

BATCH, EPOCH = "batch", "epoch"
"""What the names of metrics of the machine begin with."""

_N_METRICS = 1000
_N_FULL, _FULL, _SMALL = 400, 1000, 200  # curves with all intervals, and their numbers
_SPREAD = 199  # limits that are different
_EIGHT = 8  # octets of a number


class Metrics:
    """The metrics of a run, each with a curve; the place of a metric is its number.

    A run may use ever new names, so that there are at most a thousand metrics: further ones are
    left out.

    Attributes:
        is_full: Whether metrics were left out.
    """

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._curves: list[Curve] = []
        self._last: list[float] = []
        self.is_full = False

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Return whether there is a metric of a kind and a name."""
        return key in self._places

    def add(self, of: str, name: str, step: int, value: float) -> None:
        """Add a value of a batch or an epoch to the metric of a name."""
        self.add_interval(of, name, step, of_one(value))

    def add_interval(self, of: str, name: str, step: int, interval: Interval) -> None:
        """Add the values of some batches, the last of which is known."""
        place = self._place(of, name)
        if place is not None:
            self._curves[place].add_interval(step, interval)
            self._last[place] = interval.last

    def extend(self, name: str, steps: Sequence[int], values: Sequence[float]) -> None:
        """Add the values of batches that follow each other to the metric of a name."""
        place = self._place(BATCH, name)
        if place is not None:
            self._curves[place].extend(steps, values)
            self._last[place] = values[-1]

    def at(self, place: int) -> tuple[str, str] | None:
        """Return the kind and the name of a metric by its number."""
        return [*self._places][place] if 0 <= place < len(self._places) else None

    def add_later(self, of: str, name: str, step: int, value: float) -> None:
        """Add a value, unless the metric has one of this step or a later one."""
        place = self._place(of, name)
        if place is not None:
            newest = self._curves[place].open
            if newest is None or newest[0] < step:
                self.add(of, name, step, value)

    def set_last(self, of: str, name: str, value: float) -> None:
        """Set the latest value, which has no place on the axis."""
        place = self._place(of, name)
        if place is not None:
            self._last[place] = value
            self._curves[place].version += 1

    def go_back(self, step: int) -> None:
        """Drop what is beyond a step; the latest value is that of the last interval then."""
        for place, curve in enumerate(self._curves):
            if curve.open is not None and curve.open[0] > step:
                curve.go_back(step)
                self._last[place] = curve.open[1].mean if curve.open else nan

    def columns(self) -> dict[str, list[Any]]:
        """Return what a page needs to know of each metric."""
        curves = self._curves
        return {
            "names": [name for _, name in self._places],
            "of": [of for of, _ in self._places],
            "last": [*map(as_json, self._last)],
            "least": [as_json(curve.least) for curve in curves],
            "greatest": [as_json(curve.greatest) for curve in curves],
            "not_finite": [curve.not_finite for curve in curves],
            "version": [curve.version for curve in curves],
        }

    def rows(self, place: int, rewritten: int, closed: int) -> tuple[dict[str, Any], bytes] | None:
        """Return the rows of a curve that a page lacks: their head and their octets.

        Args:
            place: Number of the metric.
            rewritten: How often closed intervals had changed when the page asked last.
            closed: Number of closed intervals that the page has.
        """
        if not 0 <= place < len(self._curves):
            return None
        curve = self._curves[place]
        is_known = rewritten == curve.rewritten and 0 <= closed <= len(curve.steps)
        start = closed if is_known else 0
        columns = [
            octets_of(column[start:] + array("d", last))
            for column, last in zip(
                (curve.steps, curve.leasts, curve.greatests, curve.means),
                _last_row(curve),
                strict=True,
            )
        ]
        if columns[1] == columns[2] == columns[3]:
            columns = columns[:2]
        head = {
            "metric": place,
            "from": start,
            "n": len(columns[0]) // _EIGHT,
            "columns": len(columns),
            "rewritten": curve.rewritten,
            "closed": len(curve.steps),
            "width": curve.width,
            "version": curve.version,
            "bad": curve.bad,
        }
        return head, b"".join(columns)

    def _place(self, of: str, name: str) -> int | None:
        place = self._places.get((of, name))
        if place is not None:
            return place
        n = len(self._curves)
        if n >= _N_METRICS:
            self.is_full = True
            return None
        self._places[of, name] = n
        self._curves.append(Curve(_limit(n)))
        self._last.append(nan)
        return n


def _limit(place: int) -> int:
    """Return the limit of a curve: each another one, so that they do not merge at one batch."""
    limit = _FULL if place < _N_FULL else _SMALL
    return limit - place * 37 % _SPREAD % max(1, limit // 4)


def packed(curves: Iterable[tuple[dict[str, Any], bytes]], *, is_cut: bool) -> bytes:
    """Return curves as octets: the length of the head, the head, and the columns of each curve."""
    heads, bodies = [], []
    for head, body in curves:
        heads.append(head)
        bodies.append(body)
    text = json.dumps({"curves": heads, "more": is_cut}).encode()
    text += b" " * (-(4 + len(text)) % _EIGHT)
    return b"".join([struct.pack("<I", len(text)), text, *bodies])


def _last_row(curve: Curve) -> list[list[float]]:
    """Return what follows in each column: the open interval, if there is one."""
    if curve.open is None:
        return [[]] * 4
    step, interval = curve.open
    return [[float(step)], [interval.least], [interval.greatest], [interval.mean]]


def octets_of(column: "array[float]") -> bytes:
    """Return numbers as a page reads them."""
    if sys.byteorder == "big":  # pragma: no cover
        column.byteswap()
    return column.tobytes()
