"""Follow a recording for the page."""

import logging
import os
import time
from pathlib import Path

from rnnr.dashboard._run import RunModel
from rnnr.recording._tail import Tail

__all__ = ["Follower"]

logger = logging.getLogger("rnnr.dashboard")

_AT_ONCE = 500  # lines to read between two looks at the clock


class Follower:
    """Reads the reports that were added to a recording, whenever a page asks.

    Args:
        path: File to read; it may be written at the same time.
        model: Model that gets the reports.
    """

    def __init__(self, path: str | Path, model: RunModel) -> None:
        self._tail = Tail(path)
        self._path = Path(path).absolute()
        self._model = model
        self._is_lost = False

    def catch_up(self, seconds: float) -> bool:
        """Read on, for a number of seconds at most; return whether there is more to read."""
        end = time.monotonic() + seconds
        try:
            while self._read() and time.monotonic() < end:
                pass
            self._model.heard_at = os.path.getmtime(self._path)
            self._model.read = None if self._tail.is_at_end else self._tail.fraction
        except OSError as error:  # a shared folder may be unavailable for a while
            if not self._is_lost:
                logger.warning("Cannot read %s, and will try again: %s", self._path, error)
            self._is_lost, self._model.read = True, None
            return False
        self._is_lost = False
        return not self._tail.is_at_end

    def _read(self) -> bool:
        """Read some lines; return whether there are more."""
        n_restarted, n_damaged = self._tail.restarted, self._tail.n_damaged
        reports = self._tail.read(_AT_ONCE)
        if self._tail.restarted > n_restarted:
            self._model.clear()
            n_damaged = 0
        for report in reports:
            self._model.add(report)
        if self._tail.n_damaged > n_damaged:
            self._model.note(f"skipped, whole or in part: {self._tail.describe_skipped()}")
        return not self._tail.is_at_end
