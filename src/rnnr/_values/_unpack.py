"""Trees and arrays back into values: what a `Packer` has written is read again."""

from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from rnnr._frozen import Frozen
from rnnr._metric_memory import MetricMemory
from rnnr._values._array_kind import Description
from rnnr._values._arrays import kind_named
from rnnr._values._pack import FACTORIES
from rnnr._values._plain import READERS, Tree, bytes_in

__all__ = ["FoundArray", "FoundFields", "FoundObject", "Unpacker"]


class FoundArray:
    """An array whose items are still those of the file.

    Args:
        view: An array over the memory of the file.
        description: What is known of it.
    """

    def __init__(self, view: Any, description: Description) -> None:
        self.view = view
        self.description = description


class FoundObject:
    """What an object of the other process returned as its state.

    Args:
        state: That state.
        of: The name of its class; empty if it is unknown.
    """

    def __init__(self, state: Any, of: str = "") -> None:
        self.state = state
        self.of = of


class FoundFields:
    """The fields of a named tuple, whose class is not known here.

    Args:
        values: Their values, by their names.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values


class Unpacker:
    """Turns trees back into values; it calls nothing but the few functions in this file.

    Args:
        arrays: The bytes of each array, by its name.
    """

    def __init__(self, arrays: Mapping[str, memoryview]) -> None:
        self._arrays = arrays
        self._shared: dict[int, Any] = {}

    def unpack(self, tree: Tree) -> Any:
        """Return the value of a tree.

        Raises:
            Exception: Whatever a tree leads to that no snapshot has written.
        """
        if isinstance(tree, list):
            raise TypeError("a list in the tree has no kind")
        if not isinstance(tree, dict):
            return tree
        name = next((key for key in tree if key != "id"), "")
        if name in READERS:
            return self._remember(tree, READERS[name](tree[name]))
        if name in _CONTAINERS:
            return self._container(name, tree)
        return self._remember(tree, _MAKERS[name](self, tree))

    def _container(self, name: str, tree: Tree) -> Any:
        value = self._remember(tree, _CONTAINERS[name](tree))  # first, since it may contain itself
        _fill(value, self, tree[name])
        if "metadata" in tree:
            value._metadata = self.unpack(tree["metadata"])
        return value

    def _remember(self, tree: Tree, value: Any) -> Any:
        if "id" in tree:
            self._shared[tree["id"]] = value
        return value

    def items(self, trees: list[Tree]) -> list[Any]:
        """Return the values of several trees."""
        return [self.unpack(tree) for tree in trees]

    def pairs(self, trees: list[list[Tree]]) -> dict[Any, Any]:
        """Return the dict of several pairs of trees."""
        return {self.unpack(key): self.unpack(value) for key, value in trees}

    def again(self, tree: Tree) -> Any:
        """Return a value that was met before, or in what stands here for that purpose."""
        if "after" in tree:
            self.unpack(tree["after"])
        return self._shared[tree["again"]]

    def array(self, tree: Tree) -> Any:
        """Return an array that the file has; a scalar of NumPy as it is, since it may be a key."""
        kind = kind_named(tree["kind"])
        view = kind.view(tree, self._arrays[tree["array"]])
        return kind.own(view, tree) if "scalar" in tree else FoundArray(view, tree)

    def bytes_of(self, tree: Tree, name: str) -> bytes:
        """Return bytes, from the tree or from the file."""
        return bytes(self._arrays[tree["array"]]) if "array" in tree else bytes_in(tree[name])


def _fill(container: Any, unpacker: Unpacker, trees: list[Any]) -> None:
    if isinstance(container, list | deque):
        for tree in trees:
            container.append(unpacker.unpack(tree))
    elif isinstance(container, set):
        container.update(unpacker.items(trees))
    else:
        # Frozen refuses new items.
        put = dict.__setitem__ if isinstance(container, Frozen) else type(container).__setitem__
        for key, value in trees:
            put(container, unpacker.unpack(key), unpacker.unpack(value))


def _defaultdict(tree: Tree) -> defaultdict[Any, Any]:
    return defaultdict(FACTORIES[tree["factory"]] if tree["factory"] else None)


_CONTAINERS: Final[dict[str, Callable[[Tree], Any]]] = {
    "list": lambda _: [],
    "set": lambda _: set(),
    "deque": lambda tree: deque(maxlen=tree["maxlen"]),
    "dict": lambda _: {},
    "ordered": lambda _: OrderedDict(),
    "counter": lambda _: Counter(),
    "defaultdict": _defaultdict,
    "frozen": lambda _: Frozen(),
}


_MAKERS: Final[dict[str, Callable[[Unpacker, Any], Any]]] = {
    "again": lambda unpacker, tree: unpacker.again(tree),
    "array": lambda unpacker, tree: unpacker.array(tree),
    "bytes": lambda unpacker, tree: unpacker.bytes_of(tree, "bytes"),
    "bytearray": lambda unpacker, tree: bytearray(unpacker.bytes_of(tree, "bytearray")),
    "numbers": lambda unpacker, tree: [*array(tree["numbers"], unpacker.bytes_of(tree, "numbers"))],
    "tuple": lambda unpacker, tree: tuple(unpacker.items(tree["tuple"])),
    "frozenset": lambda unpacker, tree: frozenset(unpacker.items(tree["frozenset"])),
    "object": lambda unpacker, tree: FoundObject(
        unpacker.unpack(tree["object"]), str(tree.get("of", ""))
    ),
    "metric": lambda unpacker, tree: MetricMemory(*unpacker.items(tree["metric"])),
    "fields": lambda unpacker, tree: FoundFields(unpacker.pairs(tree["fields"])),
}
