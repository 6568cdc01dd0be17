"""Work beside a test, which has to end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["GUARD", "in_thread", "on_thread", "one_thread_of_torch", "until"]

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


@contextmanager
def one_thread_of_torch() -> Iterator[None]:
    """Keep the threads of PyTorch from waiting for each other where others use the cores, too."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so that another thread or process does."""
    end = time.monotonic() + GUARD
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
