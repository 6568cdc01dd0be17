"""Memory that is kept from one snapshot to the next, into which the arrays are copied."""

from collections.abc import Sequence
from typing import Final

from rnnr._values._pack import Packed
from rnnr._values._safetensors import Place, header

__all__ = ["Arena"]


_MORE: Final = 1 << 16


class Arena:
    """Holds copies of arrays until they are written.

    It is kept, since a copy into fresh memory takes three times as long as into warm memory.
    """

    def __init__(self) -> None:
        self._memory = bytearray()

    def copy(self, arrays: Sequence[Packed]) -> list[bytes | memoryview]:
        """Copy arrays; return what a file of them consists of, to be used until the next call."""
        places, size = {}, 0
        # Items of eight bytes first, so that each array begins where its items can be read.
        for packed in sorted(arrays, key=_alignment):
            begin, size = size, size + packed.description["bytes"]
            places[packed.name] = packed.description, Place(begin, size)
        if size > len(self._memory):
            self._memory = bytearray(size + size // 8 + _MORE)  # the next one may be a bit larger
        memory = memoryview(self._memory)
        for packed in arrays:
            begin, end = places[packed.name][1]
            if packed.kind is None:
                memory[begin:end] = packed.value
            else:
                packed.kind.copy_into(packed.value, packed.description, memory[begin:end])
        return [header(places), memory[:size]]


def _alignment(packed: Packed) -> int:
    """Return the negative size of an item, of which the size of the array is a multiple."""
    size = packed.description["bytes"]
    return -(size & -size if size else 1 << 62)
