"""Interrupts at a chosen moment, as Ctrl-C may come at any."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_FINALIZERS = {"__del__", "_remove"}  # which no error leaves


@contextmanager
def interrupt_at_call(n: int, module: str) -> Iterator[None]:
    """Raise KeyboardInterrupt at the n-th call of a Python function that a module makes."""
    left = n

    def trace(frame: FrameType, event: str, arg: object) -> None:
        nonlocal left
        caller = frame.f_back
        if caller is None or caller.f_globals.get("__name__") != module:
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
