"""Whether an object has taken a state, and where it keeps the arrays of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rnnr._values._arrays import kind_of
from rnnr._values._pack import Keys
from rnnr._values._written import bytes_of

__all__ = ["is_same", "leaves"]


def leaves(one: Any, other: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any, Any]]:
    """Yield the places of two states, with what each of them has there.

    The second one may have more keys: CyclicLR of PyTorch keeps some that it does not need.
    Containers that lack a key, or are of another length, are yielded as they are.

    Args:
        one: A state.
        other: Another one.
        keys: The keys that lead to them.
    """
    if _are(Mapping, one, other) and one.keys() <= other.keys():
        for key, item in one.items():
            yield from leaves(item, other[key], (*keys, key))
    elif _are((list, tuple), one, other) and len(one) == len(other):
        for i, items in enumerate(zip(one, other, strict=True)):
            yield from leaves(*items, (*keys, i))
    else:
        yield keys, one, other


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, to the last bit if they are arrays.

    The layout and the device of an array may differ.
    """
    kind = kind_of(one)
    if kind is None or kind is not kind_of(other):
        return one is other or _is_equal(one, other)
    ours, theirs = kind.describe(one) or {}, kind.describe(other) or {}
    same_type = all(ours.get(key) == theirs.get(key) for key in ("dtype", "shape"))
    return same_type and bytes_of(kind, one) == bytes_of(kind, other)


def _are(kind: Any, one: Any, other: Any) -> bool:
    return isinstance(one, kind) and isinstance(other, kind)


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other or (one != one and other != other))  # NaN
    except Exception:  # noqa: BLE001  (one of them is an array of several numbers)
        return False
