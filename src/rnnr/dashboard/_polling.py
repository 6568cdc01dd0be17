"""How often pages may ask: as often as leaves the training alone."""

import time
from collections.abc import Callable
from itertools import count

__all__ = ["PollingRate"]

_SHARE = 0.003  # of one core, for all pages together
_LEAST, _MOST = 0.2, 5.0  # seconds from one answer to the next question
_GONE = 15.0  # seconds after which a page that asks no more is forgotten
_SMOOTHING = 0.1


class PollingRate:
    """Tells pages when to ask again, so that answering them takes a third of a percent of a core.

    Python runs one thread at a time: what the answers take, a training in Python loses.

    Args:
        clock: Returns a time in seconds that never goes back.
        cpu: Returns the seconds of processor time that the serving thread has taken so far.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._taken: float | None = None  # when the latest answer was given
        self._an_answer = 0.001
        self._seen: dict[str, float] = {}
        self._pages = count(1)

    def newcomer(self) -> str:
        """Return a name for a page that asks for the first time."""
        return str(next(self._pages))

    def seconds(self, page: str, *, at_most: float = _MOST) -> float:
        """Return the seconds after which a page may ask again.

        Args:
            page: Name of the page.
            at_most: After which it should ask again in any case; 0 where there is no training to be
                slowed down, so that nothing is counted.
        """
        now, taken = self._clock(), self._cpu()
        if self._taken is not None and at_most:
            self._an_answer += _SMOOTHING * (taken - self._taken - self._an_answer)
        self._taken = taken
        self._seen[page] = now
        self._seen = {name: at for name, at in self._seen.items() if now - at < _GONE}
        wanted = len(self._seen) * self._an_answer / _SHARE
        return min(at_most, _MOST, max(_LEAST, wanted))
