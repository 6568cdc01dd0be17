"""The dashboard's side of the process that reads recordings."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from rnnr.dashboard._frames import Answer
from rnnr.dashboard._process import HelperProcess

__all__ = ["Reading"]

_MODULE = "rnnr.dashboard._reader"
_PATIENCE = 2.0  # seconds to wait for an answer; a page shows the live runs without it


class Reading:
    """Recordings that a process of its own reads, from the first `follow` to `close`.

    So a training beside it loses nothing: what the process answers is passed on as it is. When the
    process had to be started again, it reads again what is still followed.

    Args:
        tell: Called with the level and the text of what is to be logged.
    """

    def __init__(self, tell: Callable[[int, str], None]) -> None:
        self._tell = tell
        self._lock = Lock()
        self._followed: dict[int, dict[str, Any]] = {}
        self._numbers = count(1)
        self._reserved: list[str] = []
        self._process: HelperProcess | None = None

    def follow(self, path: Path, name: str) -> int:
        """Read a file, whose absolute path is given, under a name; return a number for it."""
        return self._read("follow", path, name)

    def search(self, path: Path, prefix: str) -> int:
        """Read what is in a folder or fits a pattern; return a number for it.

        Args:
            path: Absolute path.
            prefix: What the names begin with; may be empty.
        """
        return self._read("search", path, prefix)

    def leave(self, number: int) -> None:
        """Read no more of it; the pages go on showing what there is."""
        self._followed.pop(number, None)
        self._send({"do": "leave", "id": number})

    def reserve(self, names: list[str]) -> None:
        """Keep names for the live runs."""
        self._reserved = names
        self._send({"do": "reserve", "names": names})

    async def ask(self, **question: Any) -> Answer | None:
        """Return an answer; ``None`` if there is no process, or it takes too long."""
        process = self._process
        if process is None or process.is_late:
            return None
        future = asyncio.wrap_future(process.ask(question))
        try:
            await asyncio.wait([future], timeout=_PATIENCE)
            return future.result() if future.done() and not future.cancelled() else None
        finally:
            future.cancel()  # else a later answer would look for a loop that has ended

    def close(self) -> None:
        """End the process."""
        with self._lock:
            process, self._process = self._process, None
            self._followed.clear()
        if process is not None:
            process.close()

    def _read(self, what: str, path: Path, name: str) -> int:
        with self._lock:
            number = next(self._numbers)
            message = {"do": what, "id": number, "path": str(path), "name": name}
            self._followed[number] = message
            if self._process is None:
                self._process = HelperProcess(_MODULE, self._beginning, self._tell)
            else:
                self._process.send(message)
        return number

    def _send(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is not None:
            process.send(message)

    def _beginning(self) -> Iterator[dict[str, Any]]:
        yield {"do": "reserve", "names": self._reserved}
        yield from list(self._followed.values())
