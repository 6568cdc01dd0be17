"""Memory that was restored: what is restored after it must not change it."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from rnnr._values._array_kind import ArrayKind, Description
from rnnr._values._numpy_arrays import NUMPY
from rnnr._values._pack import Packed
from rnnr._values._torch_arrays import TORCH

__all__ = ["Written", "bytes_of", "names_of_shared"]


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
        before = [bytes_of(*other) for other in others]
        described = kind.describe(target) or {}
        old = bytes_of(kind, target) if others else bytearray()
        kind.assign(target, array, description)
        if [bytes_of(*other) for other in others] != before:
            kind.assign(target, kind.view(described, memoryview(old)), described)
            return False
        self.add(kind, target)
        return True

    def _near(self, begin: int, end: int) -> Iterator[tuple[int, ArrayKind, Any]]:
        """Yield the ends and the arrays that begin before an end, and may reach a beginning."""
        first = bisect_left(self._arrays, begin - self._longest, key=_beginning)
        for i in range(first, bisect_left(self._arrays, end, key=_beginning)):
            yield self._arrays[i][1:]


def names_of_shared(arrays: Sequence[Packed], n_owned: int) -> list[str]:
    """Return the names of arrays that lie in the memory of an array of an object.

    Args:
        arrays: What was packed.
        n_owned: How many of the first ones belong to objects; so do those in a ``state_dict()``.
    """
    owned: list[tuple[ArrayKind, Any, str]] = []
    others: list[tuple[ArrayKind, Any, str]] = []
    for i, packed in enumerate(arrays):
        if packed.kind in (NUMPY, TORCH) and "scalar" not in packed.description:  # else immutable
            is_owned = i < n_owned or packed.is_state
            (owned if is_owned else others).append((packed.kind, packed.value, packed.name))
    extents = sorted(kind.extent(array) for kind, array, _ in owned) if others else []
    begins = [begin for begin, _ in extents]
    ends = [*accumulate((end for _, end in extents), max)]  # of all that begin no later
    shared = []
    for kind, array, name in others:
        begin, end = kind.extent(array)
        n_before = bisect_left(begins, end)
        if n_before and ends[n_before - 1] > begin:
            shared.append(name)
    return shared


def _beginning(entry: tuple[int, int, ArrayKind, Any]) -> int:
    return entry[0]


def bytes_of(kind: ArrayKind, array: Any) -> bytearray:
    """Return a copy of the bytes of an array."""
    description = kind.describe(array) or {}
    copy = bytearray(description["bytes"])
    kind.copy_into(array, description, memoryview(copy))
    return copy
