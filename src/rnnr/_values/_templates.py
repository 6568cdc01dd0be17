"""What is there when a run begins, and takes the state of what was saved."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from rnnr._values._pack import Keys, Template, is_loadable, is_named_tuple
from rnnr._values._plain import WRITERS

__all__ = ["find_templates"]

_MAPPINGS: Final = (dict, OrderedDict, defaultdict, Counter)


def find_templates(
    value: Any, keys: Keys, outer: frozenset[int] = frozenset()
) -> Iterator[tuple[Keys, Template]]:
    """Yield where the objects and the named tuples in a value are, and what they are.

    Args:
        value: The value.
        keys: The keys that lead to it.
        outer: The ids of what contains it.
    """
    if id(value) in outer:
        return
    if is_loadable(value):
        yield keys, Template(type(value), id(value))
        return
    if is_named_tuple(value):
        yield keys, Template(type(value))
    for key, item in _items(value):
        if type(item) not in WRITERS:  # as most items of long lists are
            yield from find_templates(item, (*keys, key), outer | {id(value)})


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if is_named_tuple(value):
        return zip(value._fields, value, strict=True)
    if type(value) in (list, tuple):
        return enumerate(value)
    return value.items() if type(value) in _MAPPINGS else ()
