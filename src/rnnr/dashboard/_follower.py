"""Follow a recording: what is added to it goes into a model, and parts are read again."""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from rnnr._logs._path import as_path
from rnnr.dashboard._detail import Detail, Segments
from rnnr.dashboard._run import RunModel
from rnnr.recording._batches import Batches, batches_in
from rnnr.recording._lines import GrowingLines
from rnnr.recording._tail import Damage

__all__ = ["Follower"]

logger = logging.getLogger("rnnr.dashboard")

_AT_ONCE = 1000  # lines to read between two looks at the clock


class Follower:
    """Reads the reports that were added to a recording into a model, and parts of it again.

    Args:
        path: File to read; it may be written at the same time.
        model: Model that gets the reports.
    """

    def __init__(self, path: str | Path, model: RunModel) -> None:
        self._path = as_path(path)
        self._lines = GrowingLines(self._path)
        self._damage = Damage()
        self._model = model
        self._is_lost = False
        self._segments = Segments()
        self._lock = Lock()

    def catch_up(self, seconds: float) -> bool:
        """Read on, for a number of seconds at most; return whether there is more to read."""
        end = time.monotonic() + seconds
        try:
            while self._read() and time.monotonic() < end:
                pass
            self._model.heard_at = os.path.getmtime(self._path)
            self._model.read = None if self._lines.is_at_end else self._lines.fraction
        except OSError as error:  # a shared folder may be unavailable for a while
            if not self._is_lost:
                logger.warning("Cannot read %s, and will try again: %s", self._path, error)
            self._is_lost, self._model.read = True, None
            return False
        self._is_lost = False
        return not self._lines.is_at_end

    def part(
        self, places: Iterable[int], first: int, last: int
    ) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield every value of some metrics between two steps: a head, and octets.

        A metric with too many values is left out; all are, if the file is a different one by now.

        Args:
            places: Numbers of the metrics.
            first: First step.
            last: Last step.
        """
        metrics, of_batches = self._model.metrics_at(places), self._model.names_of_batches()
        is_inside = self._model.is_inside
        detail = Detail(
            {*metrics.values()}, first, last, of_batches=of_batches, is_inside=is_inside
        )
        try:
            with self._lock:
                segments = self._segments.between(first, last)
            for segment in segments:
                if detail.is_full:  # the other segments have only more
                    break
                with self._lock:  # not for all of them: what is added is read in between
                    self._feed(self._lines.read_again(segment.begin, segment.end), 0, detail)
        except (OSError, OverflowError):
            return
        for place, metric in metrics.items():
            columns = detail.columns(metric)
            if columns is not None:
                n, octets = columns
                yield {"metric": place, "n": n, "columns": 2, "part": [first, last]}, octets

    def _read(self) -> bool:
        """Read some lines; return whether there are more."""
        model = self._model
        with self._lock:
            n_restarted, n_damaged = self._lines.restarted, self._damage.n
            lines = self._lines.read(_AT_ONCE)
            if self._lines.restarted > n_restarted:
                model.clear()
                self._segments.clear()
                self._damage, n_damaged = Damage(), 0
            key = model.key
            steps = self._feed(lines, self._lines.n_lines - len(lines), model)
            if model.key != key:  # another run has begun
                self._segments.clear()
            self._segments.add(self._lines.began, self._lines.position, len(lines), steps)
        if self._damage.n > n_damaged:
            skipped = self._damage.describe(is_torn=self._lines.is_torn)
            model.note(f"skipped, whole or in part: {skipped}")
        return not self._lines.is_at_end

    def _feed(self, lines: Sequence[bytes], n_before: int, taker: RunModel | Detail) -> list[int]:
        """Give the reports on some lines to what takes them.

        Returns:
            Their steps; those of batches that only grow are the first and the last one.
        """
        damage = self._damage if taker is self._model else Damage()
        steps: list[int] = []
        for begin, end, batches in batches_in(lines) if lines else ():
            if batches is not None:
                taker.add_batches(batches)
                steps += _ends_of(batches)
            else:
                for number, line in enumerate(lines[begin:end], n_before + begin + 1):
                    for report in damage.reports_on(line, number):
                        taker.add(report)
                        steps.append(report.step)
        return steps


def _ends_of(batches: Batches) -> Sequence[int]:
    steps = batches.steps
    return (steps[0], steps[-1]) if batches.is_rising else steps
