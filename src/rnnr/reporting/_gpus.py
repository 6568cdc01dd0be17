"""How busy the GPUs of NVIDIA are, by the library of their driver."""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Gpus"]

_MOST = 16  # GPUs to tell of
_MB = 1e6  # bytes


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Gpus:
    """Asks the library of NVIDIA's driver, if it is there, how busy each GPU is.

    Args:
        load: Returns the library; raises if it is not there.
    """

    def __init__(self, load: Callable[[], Any] = lambda: ctypes.CDLL("libnvidia-ml.so.1")) -> None:
        self._handles: list[ctypes.c_void_p] = []
        with suppress(Exception):  # most machines do not have it
            self._library = load()
            self._find()

    def sample(self) -> dict[str, float]:
        """Return the share of time in which each GPU was busy, and its memory in use."""
        found: dict[str, float] = {}
        for i, handle in enumerate(self._handles):
            busy, memory = _Utilization(), _Memory()
            if not self._library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy)):
                found[f"gpu{i}_percent"] = float(busy.gpu)
            if not self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
                found[f"gpu{i}_memory_mb"] = memory.used / _MB
        return found

    def _find(self) -> None:
        count = ctypes.c_uint()
        if self._library.nvmlInit_v2() or self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return
        for i in range(min(count.value, _MOST)):
            handle = ctypes.c_void_p()
            if not self._library.nvmlDeviceGetHandleByIndex_v2(
                ctypes.c_uint(i), ctypes.byref(handle)
            ):
                self._handles.append(handle)
