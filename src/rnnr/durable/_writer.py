"""One piece of work at a time, on a thread beside the training or in place."""

from collections.abc import Callable
from functools import partial
from threading import Thread

from rnnr._context import as_owner

__all__ = ["Writer"]


class Writer:
    """Does one piece of work at a time; a second one waits until the first is done.

    Args:
        background: Whether to do it on a thread of its own.
    """

    def __init__(self, *, background: bool) -> None:
        self._background = background
        self._thread: Thread | None = None

    def submit(self, work: Callable[[], object], failed: Callable[[BaseException], object]) -> None:
        """Do something, when what was submitted before is done.

        Args:
            work: What to do.
            failed: Called with an error of it, on the thread beside the training.
        """
        self.wait()
        if not self._background:
            work()
            return
        # Not a daemon: the process waits for it when the main thread ends.
        run = as_owner(partial(_run, work, failed))
        self._thread = Thread(target=run, name="rnnr snapshot")
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            self._thread = None
            raise

    def wait(self) -> None:
        """Wait until all that was submitted is done."""
        thread = self._thread
        if thread is not None:
            if thread.ident is not None:  # else an interrupt came before it was started
                thread.join()
            self._thread = None


def _run(work: Callable[[], object], failed: Callable[[BaseException], object]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001  (the training thread raises it)
        failed(error)
