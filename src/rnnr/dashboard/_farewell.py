"""What the pages get when the process ends: how the runs ended, and the last curves."""

import asyncio
from contextlib import suppress
from itertools import count

__all__ = ["Farewell", "Parked"]

_SECONDS = 3.0  # at most, until all pages have what they need


class Parked:
    """A request that is answered when the process ends.

    Attributes:
        page: Name of its page.
        may_answer: Is set at the end, or when the page is closed.
    """

    def __init__(self) -> None:
        self.page = ""
        self.may_answer = asyncio.Event()


class Farewell:
    """Answers the requests that wait for the end, and lets their pages ask for the last curves.

    All of it happens on the serving thread.
    """

    def __init__(self) -> None:
        self._waiting: set[Parked] = set()
        self._missing: set[str] = set()  # pages that have not asked for the last curves yet
        self._changed = asyncio.Event()
        self._names = count(1)

    def park(self, parked: Parked, page: str) -> None:
        """Add a request; those of the same page count as one, those without a name each alone."""
        parked.page = page or f"number {next(self._names)}"
        self._waiting.add(parked)

    def leave(self, parked: Parked, *, is_answered: bool) -> None:
        """Remove a request, whose page may still ask for curves if it was answered."""
        self._waiting.discard(parked)
        if not is_answered:
            self._missing.discard(parked.page)
        self._changed.set()

    def fetched(self, page: str) -> None:
        """Note that a page has got its last curves; one without a name may be any of them."""
        if page in self._missing or not self._missing:
            self._missing.discard(page)
        else:
            self._missing.pop()
        self._changed.set()

    async def say(self) -> None:
        """Answer all, and wait for their pages, for some seconds at most."""
        self._missing = {parked.page for parked in self._waiting}
        for parked in self._waiting:
            parked.may_answer.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                while self._missing or self._waiting:
                    self._changed.clear()
                    await self._changed.wait()
