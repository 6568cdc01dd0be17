"""Plain values as a tree of JSON and a list of arrays: what a snapshot can keep."""

from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

from rnnr._errors import shown
from rnnr._frozen import Frozen
from rnnr._metric_memory import MetricMemory
from rnnr._restored import is_loadable
from rnnr._values._array_kind import ArrayKind, Description
from rnnr._values._arrays import kind_of
from rnnr._values._plain import WRITERS, Tree, bytes_text, saved_files_tree, torch_tree
from rnnr.files import SavedFiles

__all__ = [
    "FACTORIES",
    "STATE",
    "Keys",
    "Packed",
    "Packer",
    "Template",
    "is_named_tuple",
    "path_text",
]

Keys: TypeAlias = tuple[object, ...]

STATE: Final = "state_dict()"
"""The key of what an object returns as its state."""

FACTORIES: Final = {kind.__name__: kind for kind in (int, float, str, list, dict, set)}
"""What a ``defaultdict`` may make."""

_MOST_INLINE: Final = 256  # bytes that are text in the tree; more of them are an array
_MOST_TREES: Final = 256  # numbers in a list that are written one by one


class Packed(NamedTuple):
    """An array, or bytes, of which the tree holds the name alone.

    Attributes:
        name: Its name, made of the keys that lead to it.
        value: The array itself, not a copy.
        kind: What knows how to copy it; ``None`` for bytes.
        description: What is known of it.
        is_state: Whether it is in the state of an object.
    """

    name: str
    value: Any
    kind: ArrayKind | None
    description: Description
    is_state: bool = False


class Template(NamedTuple):
    """What is at a place when the run begins, and takes the state of what was saved there.

    Attributes:
        kind: Its class.
        of: The id of an object, which can take one state; ``None`` for a named tuple.
    """

    kind: type
    of: int | None = None


class Packer:
    """Turns values into trees that JSON can hold, and collects their arrays.

    An object that is reached twice is written once, so what is shared stays shared.

    Args:
        cure: What to do about a value that cannot be kept.
        templates: Where objects and named tuples are when the run begins: they are restored into
            these. If not given, they may be anywhere.

    Attributes:
        arrays: The arrays that were met so far.
    """

    def __init__(self, cure: str, templates: Mapping[Keys, Template] | None = None) -> None:
        self.arrays: list[Packed] = []
        self._cure = cure
        self._templates = templates
        self._used: set[int] = set()  # the ids of the objects that will take a state
        self._nodes: dict[int, dict[str, Any]] = {}
        self._values: list[Any] = []  # kept, so that no other object gets the id of one
        self._names = {"__metadata__"}  # which means something else in the file
        self._n_shared = 0

    def pack(self, value: Any, keys: Keys) -> Tree:
        """Return the tree of a value.

        Args:
            value: The value.
            keys: The keys that lead to it, for names and messages.

        Raises:
            TypeError: If it holds something that cannot be kept.
            RecursionError: If it is nested too deeply.
        """
        kind = type(value)
        if (kind is float and isfinite(value)) or (kind is str and value.isascii()):
            return value  # as nearly always
        write = WRITERS.get(kind)
        return write(value) if write else self._once(value, keys)

    def _once(self, value: Any, keys: Keys) -> Tree:
        if id(value) in self._nodes:
            return self._again(value)
        self._values.append(value)
        node: dict[str, Any] = {}
        if type(value) in _CONTAINERS:
            self._nodes[id(value)] = node
        node.update(self._node(value, keys))
        if self._nodes.setdefault(id(value), node) is node:
            return node
        # A tuple in a list in the tuple: the inner one was complete before the outer one.
        return {**self._again(value), "after": node}

    def _again(self, value: Any) -> dict[str, Any]:
        node = self._nodes[id(value)]
        if "id" not in node:
            self._n_shared += 1
            node["id"] = self._n_shared
        return {"again": node["id"]}

    def _node(self, value: Any, keys: Keys) -> dict[str, Any]:
        kind = type(value)
        numbers = _as_numbers(value) if kind is list and len(value) > _MOST_TREES else None
        if numbers:
            return {"numbers": numbers.typecode, **self._buffer(numbers.tobytes(), keys)}
        name = _SEQUENCES.get(kind)
        if name is not None:
            items = sorted(value, key=_order) if kind in (set, frozenset) else value
            node = {name: self._items(items, keys)}
            return {**node, "maxlen": value.maxlen} if kind is deque else node
        name = _MAPPINGS.get(kind)
        if name is not None:
            return {name: self._pairs(value, keys), **_more(value, self, keys)}
        if kind in (bytes, bytearray):
            return self._bytes(value, keys)
        if kind is SavedFiles:
            return saved_files_tree(value)
        if kind is MetricMemory:
            return {"metric": self._items(value.saved(), keys)}
        return self._array(value, keys) or self._other(value, keys)

    def _array(self, value: Any, keys: Keys) -> dict[str, Any] | None:
        kind = kind_of(value)
        description = kind.describe(value) if kind else None
        if kind is None or description is None:
            return None
        name = self._add(value, kind, description, keys)
        return {"array": name, "kind": kind.name, **description}

    def _other(self, value: Any, keys: Keys) -> dict[str, Any]:
        has_class = is_loadable(value) or is_named_tuple(value)
        if has_class and self._is_there(value, keys):
            if is_loadable(value):
                state = self.pack(value.state_dict(), (*keys, STATE))
                return {"object": state, "of": type(value).__qualname__}
            return {"fields": self._pairs(value._asdict(), keys)}
        tree = torch_tree(value)
        if tree is not None:
            return tree
        raise _not_there(value, keys) if has_class else _not_plain(value, keys, self._cure)

    def _is_there(self, value: Any, keys: Keys) -> bool:
        """Return whether such a value is there when the next process begins, to take the state."""
        if self._templates is None:
            return STATE not in keys
        template = self._templates.get(keys)
        if template is None or template.kind is not type(value) or template.of in self._used:
            return False
        if template.of is not None:
            self._used.add(template.of)
            known = {one.of for one in self._templates.values()}
            return template.of == id(value) or id(value) not in known
        return True

    def _items(self, values: Iterable[Any], keys: Keys) -> list[Tree]:
        return [self.pack(value, (*keys, i)) for i, value in enumerate(values)]

    def _pairs(self, values: Any, keys: Keys) -> list[list[Tree]]:
        return [
            [self.pack(key, (*keys, key, "key")), self.pack(value, (*keys, key))]
            for key, value in values.items()
        ]

    def _bytes(self, value: bytes | bytearray, keys: Keys) -> dict[str, Any]:
        name = type(value).__name__
        if len(value) <= _MOST_INLINE:
            return {name: bytes_text(value)}
        return {name: None, **self._buffer(value, keys)}

    def _buffer(self, value: bytes | bytearray, keys: Keys) -> dict[str, Any]:
        description = {"dtype": "|u1", "shape": [len(value)], "bytes": len(value)}
        return {"array": self._add(value, None, description, keys)}

    def _add(self, value: Any, kind: ArrayKind | None, description: Description, keys: Keys) -> str:
        texts = (key if isinstance(key, str) else _repr(key) for key in keys)
        wish = ".".join(texts).encode("ascii", "backslashreplace").decode()
        name, number = wish, 1
        while name in self._names:
            number += 1
            name = f"{wish} #{number}"
        self._names.add(name)
        self.arrays.append(Packed(name, value, kind, description, STATE in keys))
        return name


def is_named_tuple(value: object) -> bool:
    """Return whether it is a tuple whose items have names."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


def path_text(keys: Keys) -> str:
    """Return the keys that lead to a value as they are written in Python."""
    first, *rest = keys
    return str(first) + "".join(f"[{_repr(key)}]" for key in rest)


def _as_numbers(values: list[Any]) -> "array[float] | array[int] | None":
    """Return numbers of one type as an array; ``None`` for other lists."""
    kinds = {*map(type, values)}
    if kinds == {float}:
        return array("d", values)
    try:
        return array("q", values) if kinds == {int} else None
    except OverflowError:
        return None


def _order(member: object) -> str:
    """Return what the members of a set are sorted by: the same in each process."""
    if type(member) is frozenset:
        return f"{{{', '.join(sorted(map(_order, member)))}}}"
    if type(member) is tuple:
        return f"({', '.join(map(_order, member))})"
    return _repr(member)


def _repr(key: object) -> str:
    try:
        return repr(key)
    except ValueError:  # an integer of thousands of digits
        return f"{type(key).__name__} {hash(key)}"


def _more(value: Any, packer: Packer, keys: Keys) -> dict[str, Any]:
    """Return what a dict of a kind of its own has beside its items."""
    if type(value) is OrderedDict and hasattr(value, "_metadata"):  # versions of PyTorch's modules
        return {"metadata": packer.pack(value._metadata, (*keys, "_metadata"))}
    if type(value) is defaultdict:
        factory = value.default_factory
        name = getattr(factory, "__name__", None)
        if factory is not None and FACTORIES.get(str(name)) is not factory:
            expected = f"{path_text(keys)} must be a defaultdict of {', '.join(FACTORIES)}"
            raise TypeError(f"{expected}, got one of {shown(factory)}; put a plain dict there")
        return {"factory": name}
    return {}


def _not_plain(value: object, keys: Keys, cure: str) -> TypeError:
    return TypeError(
        f"{path_text(keys)} must be a plain value (a number, text, None, bytes, an array or "
        "tensor, a path, or a list, tuple, dict, set or deque of these) or an object with "
        f"state_dict() and load_state_dict(), got {shown(value)}; {cure}"
    )


def _not_there(value: object, keys: Keys) -> TypeError:
    return TypeError(
        f"{path_text(keys)} must be there before the run begins, in a list, tuple or dict, since a "
        f"snapshot is restored into it, got {shown(value)}; make it before the run, or keep its "
        "items in a plain dict"
    )


_SEQUENCES: Final[dict[type, str]] = {
    list: "list",
    tuple: "tuple",
    set: "set",
    frozenset: "frozenset",
    deque: "deque",
}

_MAPPINGS: Final[dict[type, str]] = {
    dict: "dict",
    OrderedDict: "ordered",
    defaultdict: "defaultdict",
    Counter: "counter",
    Frozen: "frozen",
}

_CONTAINERS: Final = {list, set, deque, *_MAPPINGS}  # made before their items
