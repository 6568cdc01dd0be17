"""Values through a snapshot and back, and whether two values are the same to the last bit."""

import json
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from typing import Any

from rnnr._frozen import Frozen
from rnnr._values._arena import Arena
from rnnr._values._pack import Packer
from rnnr._values._place import Placer
from rnnr._values._safetensors import read_header
from rnnr._values._unpack import Unpacker
from rnnr.files import SavedFiles

__all__ = ["Model", "file_of", "same", "through", "written"]

MUTABLE = (list, dict, set, deque, bytearray, OrderedDict, defaultdict, Counter, Frozen, SavedFiles)
MAPPINGS = (dict, OrderedDict, defaultdict, Counter, Frozen)


class Model:
    """Its state is one value."""

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = state


def file_of(packer: Packer) -> bytearray:
    """Return the file of the arrays that were packed."""
    return bytearray(b"".join(Arena().copy(packer.arrays)))


def written(value: Any) -> tuple[Any, bytearray]:
    """Return the tree of a value, as it is in JSON, and the file of its arrays."""
    packer = Packer("leave it out")
    tree = packer.pack(value, ("x",))
    return json.loads(json.dumps(tree, allow_nan=False)), file_of(packer)


def through(value: Any, target: Any = None) -> Any:
    """Return a value that was written and read, and placed where a target is."""
    tree, file = written(value)
    found = Unpacker(read_header(memoryview(file))).unpack(tree)
    return Placer().place(target, found, ("x",))


def same(one: Any, other: Any, seen: dict[int, int] | None = None) -> bool:
    """Return whether two values have the same types and bits, and share the same parts."""
    seen = {} if seen is None else seen
    if type(one) is not type(other):
        return False
    if type(one) in MUTABLE:
        known = id(one) in seen or id(other) in seen.values()
        if known:
            return seen.get(id(one)) == id(other)
        seen[id(one)] = id(other)
    return _have_same_items(one, other, seen)


def _have_same_items(one: Any, other: Any, seen: dict[int, int]) -> bool:
    kind = type(one)
    if kind in (float, complex):
        return _bits(one) == _bits(other)
    if kind is Decimal:
        return str(one) == str(other)
    if kind is SavedFiles:
        return list(one) == list(other) and one.files == other.files
    if _extras(one) != _extras(other):
        return False
    if kind in (set, frozenset):
        return len(one) == len(other) and all(any(same(a, b, seen) for b in other) for a in one)
    ours, theirs = _items(one), _items(other)
    if ours is None or theirs is None:
        return bool(one == other)
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(same(*pair, seen) for pair in pairs)


def _bits(number: complex) -> bytes:
    return struct.pack("<dd", number.real, number.imag)


def _extras(value: Any) -> Any:
    names = ("maxlen", "default_factory", "_metadata")
    return [getattr(value, name, None) for name in names]


def _items(value: Any) -> list[Any] | None:
    if type(value) in (list, tuple, deque):
        return [*value]
    if type(value) in MAPPINGS:
        return [part for pair in value.items() for part in pair]
    return None
