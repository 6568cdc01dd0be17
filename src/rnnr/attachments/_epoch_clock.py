"""How long an epoch has taken so far."""

import time
from math import nan

from rnnr.state import State, epoch_memory

__all__ = ["EpochClock"]

_STARTED_AT = "_started_at"


class EpochClock:
    """Measures the epochs of one runner, by two clocks.

    The state holds the wall time, too: an epoch that another process or another runner began is
    recognized by a different wall time.
    """

    def __init__(self) -> None:
        self._wall = self._monotonic = nan

    def start(self, state: State) -> None:
        """Note that an epoch begins."""
        self._wall = epoch_memory(state).setdefault(_STARTED_AT, time.time())
        self._monotonic = time.monotonic()

    def seconds(self, state: State) -> float | None:
        """Return how long ago the epoch began; ``None`` if that was not noted."""
        wall = epoch_memory(state).get(_STARTED_AT)
        if wall is None:
            return None
        if wall == self._wall:
            return time.monotonic() - self._monotonic
        since: float = time.time() - wall
        return max(0.0, since)
