"""Memory that was restored: what is restored after it must not change it."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any

from rnnr._values._array_kind import ArrayKind, Description

__all__ = ["Written"]


class Written:
    """The arrays that have their values, each with the memory where it lies.

    Two arrays may share their memory when a process begins, as a model's weights and a
    ``state_dict()`` of it do, and be two values in the snapshot.
    """

    def __init__(self) -> None:
        self._arrays: list[tuple[int, int, ArrayKind, Any]] = []  # in the order of their beginning
        self._longest = 0

    def add(self, kind: ArrayKind, array: Any) -> None:
        """Remember an array that has its value."""
        begin, end = kind.extent(array)
        insort(self._arrays, (begin, end, kind, array), key=_beginning)
        self._longest = max(self._longest, end - begin)

    def write(self, kind: ArrayKind, target: Any, array: Any, description: Description) -> bool:
        """Copy an array into another one, unless that changes what has its value already.

        Returns:
            Whether it was done.
        """
        begin, end = kind.extent(target)
        others = [(kind, other) for last, kind, other in self._near(begin, end) if begin < last]
        before = [_bytes(*other) for other in others]
        described = kind.describe(target) or {}
        old = _bytes(kind, target) if others else bytearray()
        kind.assign(target, array, description)
        if [_bytes(*other) for other in others] != before:
            kind.assign(target, kind.view(described, memoryview(old)), described)
            return False
        self.add(kind, target)
        return True

    def _near(self, begin: int, end: int) -> Iterator[tuple[int, ArrayKind, Any]]:
        """Yield the ends and the arrays that begin before an end, and may reach a beginning."""
        first = bisect_left(self._arrays, begin - self._longest, key=_beginning)
        for i in range(first, bisect_left(self._arrays, end, key=_beginning)):
            yield self._arrays[i][1:]


def _beginning(entry: tuple[int, int, ArrayKind, Any]) -> int:
    return entry[0]


def _bytes(kind: ArrayKind, array: Any) -> bytearray:
    description = kind.describe(array) or {}
    copy = bytearray(description["bytes"])
    kind.copy_into(array, description, memoryview(copy))
    return copy
