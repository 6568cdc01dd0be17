"""Call a function on a thread of its own, in order, while a bounded number of items waits."""

from collections.abc import Callable
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

from rnnr._context import as_owner

__all__ = ["Background"]

_T = TypeVar("_T")


class Background(Generic[_T]):
    """Passes items to a function on a thread, which is there while there is something to do.

    Args:
        call: Called with each item. It must not raise.
        most: Number of items that may wait.
    """

    def __init__(self, call: Callable[[_T], object], most: int) -> None:
        self._call = call
        self._waiting: Queue[_T | None] = Queue(most)
        self._thread: Thread | None = None

    def put(self, item: _T) -> bool:
        """Pass an item on, and return whether there was room for it; never wait."""
        try:
            self._waiting.put_nowait(item)
        except Full:
            return False
        if self._thread is None:
            name = "rnnr: rows for a tracker"
            self._thread = Thread(target=as_owner(self._work), name=name, daemon=True)
            self._thread.start()
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until everything is done; return whether it is."""
        with self._waiting.all_tasks_done:
            return self._waiting.all_tasks_done.wait_for(self._is_done, seconds)

    def _is_done(self) -> bool:
        return not self._waiting.unfinished_tasks

    def end(self, seconds: float) -> tuple[bool, int]:
        """Wait, and end the thread.

        If not everything is done then, what waits is dropped, and the thread ends after the item
        that it is at.

        Returns:
            Whether everything is done, and the number of items that were dropped.
        """
        is_done, n_dropped = self.wait(seconds), 0
        thread, self._thread = self._thread, None
        if thread is not None:
            while not is_done:
                try:
                    self._waiting.get_nowait()
                except Empty:
                    break
                self._waiting.task_done()
                n_dropped += 1
            self._waiting.put(None)
            if is_done:
                thread.join()
        return is_done, n_dropped

    def _work(self) -> None:
        while True:
            item = self._waiting.get()
            try:
                if item is None:
                    return
                self._call(item)
            finally:
                self._waiting.task_done()
