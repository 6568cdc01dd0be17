"""Values into the objects that are there already: the same arrays, dicts and models."""

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, Final

from rnnr._errors import shown, warn_user
from rnnr._frozen import Frozen
from rnnr._logs._log import KeepsRows
from rnnr._metric_memory import MetricMemory
from rnnr._restored import is_loadable, is_loader
from rnnr._values._arrays import kind_named, kind_of
from rnnr._values._differences import is_same, leaves
from rnnr._values._pack import STATE, Keys, path_text
from rnnr._values._torch_arrays import TORCH
from rnnr._values._unpack import FoundArray, FoundFields, FoundObject
from rnnr._values._written import Written

__all__ = ["Placer"]


class Placer:
    """Puts values in the place of those that are there: into the same arrays, dicts and objects.

    So whatever holds these objects, a callback or an optimizer, sees what was restored. Each
    object takes one value: where two were one object when the process began and are two in the
    snapshot, the second gets an object of its own.
    """

    def __init__(self) -> None:
        self._placed: dict[int, Any] = {}
        self._used: set[int] = set()
        self._kept: list[Any] = []  # so that no other object gets the id of one
        self._written = Written()
        self._loaded: dict[int, Any] = {}  # arrays that objects have made of those they were given

    def place(self, target: Any, value: Any, keys: Keys) -> Any:
        """Return what stands for a value from now on: the target, if it could take the value.

        Args:
            target: What is there, or ``None``.
            value: What an `Unpacker` has returned.
            keys: The keys that lead there, for messages.

        Raises:
            ValueError: If an object is needed to restore it, and it is not there.
        """
        place = _PLACES.get(type(value))
        if place is None:
            return value
        if id(value) in self._placed:
            placed = self._placed[id(value)]
            return self._loaded.get(id(placed), placed)
        self._kept += [target, value]
        if id(target) in self._used:
            target = None
        placed = place(self, target, value, keys)
        if id(value) in self._placed:  # a list, or a tuple in a list in the tuple
            return self._placed[id(value)]
        return self._use(value, placed)

    def _use(self, value: Any, placed: Any) -> Any:
        self._placed[id(value)] = placed
        self._used.add(id(placed))
        return placed

    def _array(self, target: Any, value: FoundArray, keys: Keys) -> Any:
        del keys
        view, description = value.view, value.description
        kind = kind_named(description["kind"])
        if kind_of(target) is not kind or not kind.fits(target, description):
            return kind.own(view, description)
        is_written = self._written.write(kind, target, view, description)
        return target if is_written else kind.own(view, description)

    def _object(self, target: Any, value: FoundObject, keys: Keys) -> Any:
        if not is_loadable(target):
            raise _no_template(keys, "an object with load_state_dict()", target)
        if value.of not in ("", type(target).__qualname__):
            warn_user(
                f"{path_text(keys)} must be of the class that was saved, {value.of}, got "
                f"{shown(target)}: it takes the state, and may mean something else by it; make "
                "the same object as then, or begin again in another folder"
            )
        state = self.place(None, value.state, (*keys, STATE))
        if _is_module(target):
            _warn_of_order(keys, [*state], [*target.state_dict()])
        target.load_state_dict(state)
        for tensor in _tensors_of(target):
            self._written.add(TORCH, tensor)
        if not is_loader(target) and not isinstance(target, KeepsRows):
            self._compare(state, target.state_dict(), keys)
        return target

    def _compare(self, saved: Any, loaded: Any, keys: Keys) -> None:
        """Warn if an object has not taken its state, and remember the arrays that it has made."""
        others = []
        for place, one, other in leaves(saved, loaded):
            if not is_same(one, other):
                others.append((place, one, other))
            elif kind_of(one):
                self._loaded[id(one)] = other
        self._kept += [saved, loaded]
        if others:
            _warn_of_difference(keys, *others[0])

    def _fields(self, target: Any, value: FoundFields, keys: Keys) -> Any:
        names = getattr(target, "_fields", ())
        if not isinstance(target, tuple) or {*names} != {*value.values}:
            raise _no_template(keys, f"a named tuple of {', '.join(value.values)}", target)
        fields: Any = type(target)
        return fields._make(
            self.place(getattr(target, name), value.values[name], (*keys, name)) for name in names
        )

    def _metric(self, target: Any, value: MetricMemory, keys: Keys) -> MetricMemory:
        del target  # the attachment puts the values into the metric
        value.values = self.place(None, value.values, keys)
        return value

    def _list(self, target: Any, value: list[Any], keys: Keys) -> Any:
        before = target if type(target) is list else []
        result = self._use(value, target if type(target) is list else value)
        result[:] = self._items([*before], [*value], keys)
        return result

    def _tuple(self, target: Any, value: tuple[Any, ...], keys: Keys) -> Any:
        return tuple(self._items([*target] if type(target) is tuple else [], [*value], keys))

    def _items(self, before: list[Any], items: list[Any], keys: Keys) -> list[Any]:
        before += [None] * (len(items) - len(before))
        return [self.place(before[i], item, (*keys, i)) for i, item in enumerate(items)]

    def _mapping(self, target: Any, value: Any, keys: Keys) -> Any:
        before = {**target} if type(target) is type(value) else {}
        result = self._use(value, target if type(target) is type(value) else value)
        items = self._pairs(before, value, keys)
        metadata = getattr(value, "_metadata", None)
        result.clear()
        result.update(items)
        if metadata is not None:
            result._metadata = self.place(None, metadata, (*keys, "_metadata"))
        if isinstance(value, defaultdict):
            result.default_factory = value.default_factory
        return result

    def _pairs(self, before: dict[Any, Any], value: dict[Any, Any], keys: Keys) -> dict[Any, Any]:
        return {
            self.place(None, key, keys): self.place(before.get(key), item, (*keys, key))
            for key, item in [*value.items()]
        }

    def _frozen(self, target: Any, value: Frozen, keys: Keys) -> Any:
        del target
        self._use(value, value)
        items = self._pairs({}, value, keys)
        dict.clear(value)
        dict.update(value, items)
        return value

    def _set(self, target: Any, value: set[Any], keys: Keys) -> Any:
        result = target if type(target) is set else value
        items = self._items([], [*value], keys)
        result.clear()
        result.update(items)
        return result

    def _frozenset(self, target: Any, value: frozenset[Any], keys: Keys) -> Any:
        del target
        return frozenset(self._items([], [*value], keys))

    def _deque(self, target: Any, value: deque[Any], keys: Keys) -> Any:
        is_like_it = type(target) is deque and target.maxlen == value.maxlen
        result = self._use(value, target if is_like_it else value)
        items = self._items([], [*value], keys)
        result.clear()
        result.extend(items)
        return result

    def _bytearray(self, target: Any, value: bytearray, keys: Keys) -> Any:
        del keys
        if type(target) is not bytearray:
            return value
        target[:] = value
        return target


_PLACES: Final[dict[type, Callable[[Placer, Any, Any, Keys], Any]]] = {
    FoundArray: Placer._array,
    FoundObject: Placer._object,
    FoundFields: Placer._fields,
    MetricMemory: Placer._metric,
    list: Placer._list,
    tuple: Placer._tuple,
    dict: Placer._mapping,
    OrderedDict: Placer._mapping,
    defaultdict: Placer._mapping,
    Counter: Placer._mapping,
    Frozen: Placer._frozen,
    set: Placer._set,
    frozenset: Placer._frozenset,
    deque: Placer._deque,
    bytearray: Placer._bytearray,
}


def _is_module(thing: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def _warn_of_order(keys: Keys, saved: list[str], present: list[str]) -> None:
    """Warn if parameters come in another order: an optimizer knows them by their places."""
    if saved != present and {*saved} == {*present}:
        first = next(names for names in zip(saved, present, strict=True) if names[0] != names[1])
        warn_user(
            f"{path_text(keys)} must have its parameters in the order that was saved, got "
            f"{first[1]} where {first[0]} was: an optimizer gives the state of one to the other; "
            "make the layers in the same order as then"
        )


def _warn_of_difference(keys: Keys, place: Keys, saved: object, loaded: object) -> None:
    path = f"{path_text(keys)}.{path_text((STATE, *place))}"
    warn_user(
        f"{path} must be what was saved when it is loaded, {shown(saved)}, got {shown(loaded)}: "
        "the run goes on, and may not be the same; let load_state_dict restore all of it"
    )


def _tensors_of(thing: Any) -> list[Any]:
    """Return the tensors that a model of PyTorch has copied its state into."""
    if not _is_module(thing):
        return []
    tensors = [*thing.parameters(), *thing.buffers()]
    return [tensor for tensor in tensors if TORCH.describe(tensor)]


def _no_template(keys: Keys, expected: str, got: object) -> ValueError:
    return ValueError(
        f"{path_text(keys)} must be {expected} before the run begins, since a snapshot is restored "
        f"into it, got {shown(got)}; set it up as the first time, in one place alone"
    )
