"""Faults on purpose: errors, interrupts at a chosen moment, and disks that fail or stand still."""

import gc
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import FileIO
from types import FrameType
from typing import Any, NoReturn
from unittest.mock import patch

__all__ = [
    "FILE_OPERATIONS",
    "NEED_SPACE",
    "Boom",
    "at_file_operation",
    "call_at_line",
    "interrupt_at_call",
    "raise_",
]

FILE_OPERATIONS = ("fsync", "mkdir", "rmdir", "unlink", "write")
"""Operations by which snapshots change files."""

NEED_SPACE = ("fsync", "mkdir", "write")
"""Those that a full disk refuses."""

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


@contextmanager
def at_file_operation(
    n: int, action: Callable[[], object], *, later: Collection[str] = ()
) -> Iterator[list[str]]:
    """Call something before the n-th operation by which snapshots change files.

    Half of a write is done by then. An action that raises leaves the operation undone.

    Args:
        n: Number of the operation, from 1.
        action: What to call.
        later: Names of operations before which it is called again, after the n-th.

    Returns:
        The names of the operations so far, as a list that grows.
    """
    done: list[str] = []

    def is_due(name: str) -> bool:
        done.append(name)
        return len(done) == n or (len(done) > n and name in later)

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **options: Any) -> Any:
            if is_due(name):
                action()
            return real(*args, **options)

        return operation

    class File(FileIO):
        def write(self, data: Any) -> int:
            if is_due("write"):
                super().write(memoryview(data)[: len(data) // 2])
                action()
            return super().write(data)

    real = {name: getattr(os, name) for name in FILE_OPERATIONS if name != "write"}
    operations = {name: counted(name, function) for name, function in real.items()}
    with patch("rnnr.durable._folder.FileIO", File), patch.dict(vars(os), operations):
        yield done
