"""Polling interval of the pages, bounded by a share of one core."""

import time
from collections.abc import Callable
from itertools import count

__all__ = ["PollingRate"]

_SHARE = 0.003  # of one core, for all pages together
_LEAST, _MOST = 0.2, 5.0  # seconds from one answer to the next request
_GONE = 15.0  # seconds without a request after which a page is dropped
_SMOOTHING = 0.1


class PollingRate:
    """Computes when pages may ask again, so that all answers together take 0.3 % of a core.

    Python runs one thread at a time, so a training in Python loses the time that answers take.

    Args:
        clock: Returns a time in seconds that never goes back.
        cpu: Returns the processor time of the serving thread so far, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._taken: float | None = None  # processor time at the latest answer
        self._an_answer = 0.001  # mean processor time of an answer, in seconds
        self._seen: dict[str, float] = {}
        self._pages = count(1)

    def newcomer(self) -> str:
        """Return a name for a new page."""
        return str(next(self._pages))

    def seconds(self, page: str, *, at_most: float = _MOST) -> float:
        """Return the seconds after which a page may ask again.

        Args:
            page: Name of the page.
            at_most: Most seconds to return.
        """
        now, taken = self._clock(), self._cpu()
        if self._taken is not None:
            self._an_answer += _SMOOTHING * (taken - self._taken - self._an_answer)
        self._taken = taken
        self._seen[page] = now
        self._seen = {name: at for name, at in self._seen.items() if now - at < _GONE}
        wanted = len(self._seen) * self._an_answer / _SHARE
        return min(at_most, _MOST, max(_LEAST, wanted))
