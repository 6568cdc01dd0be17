"""Every value of some metrics of a recording between two steps, read again from the file."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from rnnr.dashboard._metrics import BATCH, EPOCH, octets_of
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.recording._batches import Batches
from rnnr.reporting._report import Report
from rnnr.reporting._system import SYSTEM

__all__ = ["MOST_VALUES", "Detail", "Metric", "Segment", "Segments"]

MOST_VALUES: Final = 10_000
"""Values of one curve in an answer."""

Metric: TypeAlias = tuple[str, str]
"""Kind and name of a metric."""

_N_LINES = 4096  # of a segment, at least
_MOST_OCTETS = 1 << 26  # to read again for one answer, which takes some seconds


class Segment(NamedTuple):
    """Some thousand lines of a recording.

    Attributes:
        begin: Position of the first line.
        end: Position after the last line.
        n_lines: Number of lines.
        least: Least step.
        greatest: Greatest step.
        is_set_back: Whether the run was set back in it.
    """

    begin: int
    end: int
    n_lines: int
    least: int
    greatest: int
    is_set_back: bool


class Segments:
    """The sparse index of a recording: which steps are in which part of the file."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._last_step = -1

    def add(self, begin: int, end: int, n_lines: int, steps: Sequence[int]) -> None:
        """Add lines that were read.

        Args:
            begin: Position of the first line.
            end: Position after the last line.
            n_lines: Number of lines.
            steps: Steps of the lines, as they come; the least and the greatest of those that only
                grow will do.
        """
        if not steps:
            return
        is_set_back = self._last_step > steps[0] or any(
            later < step for step, later in pairwise(steps)
        )
        new = Segment(begin, end, n_lines, min(steps), max(steps), is_set_back)
        self._last_step = steps[-1]
        last = self._segments[-1] if self._segments else None
        if last is not None and last.n_lines < _N_LINES:
            self._segments[-1] = Segment(
                last.begin, end, last.n_lines + n_lines,
                min(last.least, new.least), max(last.greatest, new.greatest),
                last.is_set_back or is_set_back,
            )  # fmt: skip
        else:
            self._segments.append(new)

    def clear(self) -> None:
        """Forget all: another run has begun, or the file is a different one."""
        self._segments.clear()
        self._last_step = -1

    def between(self, first: int, last: int) -> list[Segment]:
        """Return what has to be read for two steps and those between.

        Raises:
            OverflowError: If that is much.
        """
        found = [
            segment
            for segment in self._segments
            if segment.least <= last and (segment.greatest >= first or segment.is_set_back)
        ]
        if sum(segment.end - segment.begin for segment in found) > _MOST_OCTETS:
            raise OverflowError("too many lines for one answer")
        return found


class Detail:
    """Collects the values of some metrics between two steps.

    Args:
        metrics: Metrics to collect.
        first: First step.
        last: Last step.
        of_batches: Names of all metrics that batches have: what comes at the end is one more.
        is_inside: Whether the run is inside another one; reports of others have no place.
    """

    def __init__(
        self,
        metrics: set[Metric],
        first: int,
        last: int,
        *,
        of_batches: Collection[str],
        is_inside: bool = False,
    ) -> None:
        self._is_inside = is_inside
        self._of_batches = of_batches
        self._first, self._last = first, last
        self._found: dict[Metric, tuple[list[int], list[float]]] = {
            metric: ([], []) for metric in metrics
        }

    def add(self, report: Report) -> None:
        """Add a report, as the model of the run does."""
        event, step = report.event, report.step
        if report.is_inside != self._is_inside:
            return
        if event in BEGINNINGS:
            self._go_back(-1 if event is Event.STARTED and not report.is_inside else step)
        for name, value in report.metrics.items():
            if name.startswith(SYSTEM):
                self._add_later((BATCH, name), step, value)
            elif event is Event.BATCH:
                self._add((BATCH, name), step, value)
            elif event is Event.EPOCH_FINISHED:
                self._add((EPOCH, name), step, value)
            elif event in ENDS:
                of = BATCH if name in self._of_batches else EPOCH
                self._add_later((of, name), step, value)

    def add_batches(self, batches: Batches) -> None:
        """Add the reports of batches, faster than one by one."""
        if self._is_inside:  # and they are not
            return
        columns = dict(zip(batches.names, batches.values, strict=True))
        for of, name in self._found:
            if of == BATCH and name in columns:
                self._add_column(name, batches, columns[name])

    @property
    def is_full(self) -> bool:
        """Whether each metric has too many values."""
        return all(len(steps) > MOST_VALUES for steps, _ in self._found.values())

    def columns(self, metric: Metric) -> tuple[int, bytes] | None:
        """Return the number of values and their octets; ``None`` if there are too many."""
        steps, values = self._found[metric]
        if len(steps) > MOST_VALUES:
            return None
        return len(steps), octets_of(array("d", steps)) + octets_of(array("d", values))

    def _add_column(self, name: str, batches: Batches, column: Sequence[float]) -> None:
        """Add the values of batches: at once if their steps only grow."""
        steps = batches.steps
        if not batches.is_rising or name.startswith(SYSTEM):
            add = self._add_later if name.startswith(SYSTEM) else self._add
            for step, value in zip(steps, column, strict=True):
                add((BATCH, name), step, value)
            return
        found, values = self._found[BATCH, name]
        _drop_from(steps[0], found, values)
        part = slice(bisect_left(steps, self._first), bisect_right(steps, self._last))
        found += steps[part]
        values += column[part]

    def _add(self, metric: Metric, step: int, value: float) -> None:
        if metric in self._found:
            steps, values = self._found[metric]
            _drop_from(step, steps, values)
            if self._first <= step <= self._last:
                steps.append(step)
                values.append(value)

    def _add_later(self, metric: Metric, step: int, value: float) -> None:
        steps = self._found.get(metric, ([], []))[0]
        if not steps or steps[-1] < step:
            self._add(metric, step, value)

    def _go_back(self, step: int) -> None:
        for steps, values in self._found.values():
            _drop_from(step + 1, steps, values)


def _drop_from(step: int, steps: list[int], values: list[float]) -> None:
    """Drop the values of a step and of later ones."""
    while steps and steps[-1] >= step:
        steps.pop()
        values.pop()
