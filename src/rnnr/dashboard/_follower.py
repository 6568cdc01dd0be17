"""Brings the reports of a recording to the page, as they are added."""

import logging
import os
import time
from pathlib import Path

from rnnr.dashboard._run import RunModel
from rnnr.recording._tail import Tail

__all__ = ["Follower"]

logger = logging.getLogger("rnnr.dashboard")

_AT_ONCE = 500  # lines read between two looks at the clock


class Follower:
    """Reads a recording as far as it is, whenever a page asks.

    Args:
        path: File that is read; it may be written to at the same time.
        track: What is told of the reports.

    Raises:
        OSError: If the file cannot be read.
    """

    def __init__(self, path: str | Path, track: RunModel) -> None:
        self._tail = Tail(path)
        self._tail.check()
        self._path = Path(path).absolute()
        self._track = track
        self._is_lost = False

    def catch_up(self, seconds: float) -> bool:
        """Read on for so many seconds at most; return whether there is more to read."""
        end = time.monotonic() + seconds
        try:
            while self._read() and time.monotonic() < end:
                pass
            self._track.heard_at = os.path.getmtime(self._path)
            self._track.read = None if self._tail.is_at_end else self._tail.fraction
        except OSError as error:  # a shared folder may be away for a while
            if not self._is_lost:
                logger.warning("Cannot read %s, trying again: %s", self._path, error)
            self._is_lost, self._track.read = True, None
            return False
        self._is_lost = False
        return not self._tail.is_at_end

    def _read(self) -> bool:
        """Read some lines; return whether there are more."""
        n_restarted, n_damaged = self._tail.restarted, self._tail.n_damaged
        reports = self._tail.read(_AT_ONCE)
        if self._tail.restarted > n_restarted:
            self._track.clear()
            n_damaged = 0
        for report in reports:
            self._track.add(report)
        if self._tail.n_damaged > n_damaged:
            self._track.note(f"left out, whole or in part: {self._tail.describe_skipped()}")
        return not self._tail.is_at_end
