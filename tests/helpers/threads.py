"""Work beside a test, which has to end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["GUARD", "in_thread", "on_thread", "until"]

GUARD = 30.0
"""Seconds after which a test is taken for hanging."""


@contextmanager
def in_thread(target: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run something beside the test, and see it end."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(GUARD)
        assert not thread.is_alive()


def on_thread(function: Callable[[], object]) -> None:
    """Call a function on another thread, and wait until it returns."""
    with in_thread(function):
        pass


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so that another thread or process does."""
    end = time.monotonic() + GUARD
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
