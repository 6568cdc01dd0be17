"""Whether an object has taken a state, and where it keeps the arrays of it."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rnnr._values._arrays import kind_of
from rnnr._values._pack import Keys
from rnnr._values._written import bytes_of

__all__ = ["is_same", "leaves"]


def leaves(one: Any, other: Any) -> Iterator[tuple[Keys, Any, Any]]:
    """Yield the places of two states, with what each of them has there.

    The second one may have more keys: CyclicLR of PyTorch keeps some that it does not need.
    Containers that lack a key, or are of another length, are yielded as they are. What is met again
    is not entered again, since a state may contain itself. Lists of equal numbers are left out.

    Args:
        one: A state.
        other: Another one.
    """
    return _leaves(one, other, (), set())


def _leaves(
    one: Any, other: Any, keys: Keys, entered: set[tuple[int, int]]
) -> Iterator[tuple[Keys, Any, Any]]:
    pairs = _pairs(one, other)
    if pairs is None:
        yield keys, one, other
    elif (id(one), id(other)) not in entered and not _are_equal_numbers(one, other):
        entered.add((id(one), id(other)))
        for key, item, its in pairs:
            yield from _leaves(item, its, (*keys, key), entered)


def _pairs(one: Any, other: Any) -> Iterable[tuple[Any, Any, Any]] | None:
    """Return the keys of a container with the items of both; ``None`` for other values."""
    if _are(Mapping, one, other) and one.keys() <= other.keys():
        return ((key, item, other[key]) for key, item in one.items())
    if _are((list, tuple, deque), one, other) and len(one) == len(other):
        return zip(range(len(one)), one, other, strict=True)
    return None


def _are_equal_numbers(one: Any, other: Any) -> bool:
    return _are(list, one, other) and {*map(type, one)} <= {float, int} and bool(one == other)


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
