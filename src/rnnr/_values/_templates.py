"""The objects that are there when a run begins, and take the states that were saved."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from rnnr._restored import is_loadable
from rnnr._values._pack import Keys, Template, is_named_tuple
from rnnr._values._plain import WRITERS

__all__ = ["find_templates"]

_MAPPINGS: Final = (dict, OrderedDict, defaultdict, Counter)


def find_templates(value: Any, keys: Keys) -> list[tuple[Keys, Template]]:
    """Return where the objects and the named tuples in a value are, and what they are.

    Args:
        value: The value.
        keys: The keys that lead to it.
    """
    found: list[tuple[Keys, Template]] = []
    without: set[int] = set()  # ids of containers that hold none of them

    def look(value: Any, keys: Keys, outer: frozenset[int]) -> bool:
        """Look into a value; return whether it holds none, and no container around it."""
        if id(value) in outer or is_loadable(value):
            if id(value) not in outer:
                found.append((keys, Template(type(value), id(value))))
            return False
        if id(value) in without:
            return True
        has_none = not is_named_tuple(value)
        if not has_none:
            found.append((keys, Template(type(value))))
        for key, item in _items(value):
            if type(item) not in WRITERS:  # as most items of long lists are
                has_none &= look(item, (*keys, key), outer | {id(value)})
        if has_none:
            without.add(id(value))
        return has_none

    with suppress(RecursionError):  # what is nested so deeply is refused when it is packed
        look(value, keys, frozenset())
    return found


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if is_named_tuple(value):
        return zip(value._fields, value, strict=True)
    if type(value) in (list, tuple):
        return enumerate(value)
    return value.items() if type(value) in _MAPPINGS else ()
