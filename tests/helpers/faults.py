"""Faults on purpose: errors, and interrupts at a chosen moment, as Ctrl-C may come at any."""

import gc
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["Boom", "call_at_line", "interrupt_at_call", "raise_"]

_FINALIZERS = {"__del__", "_remove", "remove"}  # which no error leaves


class Boom(Exception):
    """What a fault raises."""


def raise_(error: BaseException) -> NoReturn:
    raise error


@contextmanager
def interrupt_at_call(n: int, *modules: str) -> Iterator[None]:
    """Raise KeyboardInterrupt at the n-th call of a Python function that the modules make."""
    left = n

    def trace(frame: FrameType, event: str, arg: object) -> None:
        nonlocal left
        caller = frame.f_back
        if caller is None or caller.f_globals.get("__name__") not in modules:
            return
        if not {caller.f_code.co_name, frame.f_code.co_name} & _FINALIZERS:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

    before = sys.gettrace()
    gc.disable()  # it would call this and that in our name
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        gc.enable()


@contextmanager
def call_at_line(n: int, modules: Collection[str], action: Callable[[], object]) -> Iterator[None]:
    """Call something before the n-th line of some modules that is run, as a signal handler may be.

    It is called on the same thread, in the middle of whatever is going on there.
    """
    left = n

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal left
        if frame.f_globals.get("__name__") not in modules:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                action()
                sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
