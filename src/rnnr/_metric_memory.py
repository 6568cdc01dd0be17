"""What a metric object remembers: in the object while it works, as plain values when saved."""

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from copyreg import __newobj__  # type: ignore[attr-defined]
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PosixPath, WindowsPath
from types import (
    BuiltinFunctionType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

from rnnr._errors import shown, warn_user
from rnnr._numbers import is_array

__all__ = ["METHODS", "MetricMemory", "TrackedMetric", "is_metric"]

METHODS: Final = ("update", "compute", "reset")
"""What a metric can do."""

_Path: TypeAlias = tuple[object, ...]

_SCALARS: Final = frozenset(
    {bool, bytearray, bytes, complex, float, int, str, type(None)}
    | {Decimal, Fraction, PosixPath, WindowsPath, range}
)
_SEQUENCES: Final = (list, tuple, set, frozenset, deque)
_MAPPINGS: Final = (dict, OrderedDict, defaultdict, Counter)
_CONSTANTS: Final = (
    *(FunctionType, BuiltinFunctionType, MethodType, ModuleType, type),
    *(partial, Enum),
)
_CURE: Final = "keep plain values there, or leave it out in __getstate__ if it never changes"
_CURE_BY_STATE: Final = (
    ", or give the metric state_dict() and load_state_dict(), which return and take all that it "
    "remembers"
)


def is_metric(thing: object) -> bool:
    """Return whether an object can be updated, computed and reset."""
    return not isinstance(thing, type) and all(
        callable(getattr(thing, name, None)) for name in METHODS
    )


class MetricMemory:
    """What a metric remembers in one epoch, for the memory of the epoch.

    While a metric works, this refers to it. A pickle, a deep copy and a snapshot hold plain values
    instead, which `TrackedMetric.restore` puts into the metric of the next process.

    Args:
        values: What the metric remembers; ``None`` where it is in the metric.
        unfinished: Number of the batch whose update was not finished.
        is_over: Whether the epoch has its result.

    Attributes:
        tracked: The metric; ``None`` in a memory that was saved, until it is restored.
        is_taken: Whether the metric, or one in it, works for another memory by now.
    """

    def __init__(
        self,
        values: dict[str, Any] | None = None,
        unfinished: int | None = None,
        is_over: bool = False,
    ) -> None:
        self.values = values
        self.unfinished = unfinished
        self.is_over = is_over
        self.tracked: TrackedMetric | None = None
        self.is_taken = False
        self._parts: list[object] = []

    def hold(self, tracked: "TrackedMetric") -> None:
        """Have the metric, and the metrics in it, work for this memory from now on."""
        self.values, self.tracked = None, tracked
        self._parts = tracked.parts()
        for part in self._parts:
            other = _HOLDERS.get(id(part))
            if other is not None:
                other.is_taken = True
            _HOLDERS[id(part)] = self

    def saved(self) -> tuple[dict[str, Any] | None, int | None, bool]:
        """Return the arguments that make this memory again, with plain values.

        Raises:
            TypeError: If the metric remembers what is not a plain value.
            RuntimeError: If the metric works for another run by now.
        """
        values = self.values
        if self.tracked is not None:
            if not self.is_taken:
                values = self.tracked.values()
            elif not self.is_over:
                raise self.tracked.taken()
        return values, self.unfinished, self.is_over

    def __reduce__(self) -> tuple[Any, ...]:
        return MetricMemory, self.saved()


_HOLDERS: Final[WeakValueDictionary[int, MetricMemory]] = WeakValueDictionary()
"""For which memory each metric works, by its id, which no other object gets meanwhile."""


class TrackedMetric:
    """A metric whose memory is in the state of a run.

    Args:
        metric: The metric.
        part: What uses it, for messages.
    """

    def __init__(self, metric: Any, part: str) -> None:
        self.metric = metric
        self.part = part

    def begin(self) -> MetricMemory:
        """Reset the metric, and return a memory for which it works."""
        self.metric.reset()
        memory = MetricMemory()
        memory.hold(self)
        return memory

    def restore(self, memory: MetricMemory) -> None:
        """Have the metric work for a memory, if that is of another process or a copy.

        Raises:
            ValueError: If the metric is not made as the one that was saved.
        """
        if memory.tracked is None:
            if memory.values is not None:
                self._put(memory.values)
            memory.hold(self)

    def warn_of_unfinished(self, memory: MetricMemory) -> None:
        """Warn if an update raised an error: nobody knows how much of its batch was counted."""
        n_iters, memory.unfinished = memory.unfinished, None
        if n_iters is not None:
            warn_user(
                f"an update of {self.part} must be whole, got one of batch {n_iters} that was "
                f"left by an error: {shown(self.metric)} may have counted a part of the batch, and "
                "the result of this epoch may be wrong; go on from a snapshot, or run again"
            )

    def taken(self) -> RuntimeError:
        """Return the error for a metric that works for another run."""
        return RuntimeError(
            f"the metric of {self.part} must be its own until its epoch has ended, got "
            f"{shown(self.metric)}, which another run, or another part of this one, has reset or "
            "restored meanwhile; give each a metric of its own, for example copy.deepcopy(metric)"
        )

    def parts(self) -> list[object]:
        """Return the metric and the metrics in it."""
        return [thing for thing, _ in self._walk().parts.values()]

    def values(self) -> dict[str, Any]:
        """Return what the metric remembers.

        These are its attributes, and those of the metrics in it. If one of them is not a plain
        value, it is what ``state_dict()`` returns, if the author of the metric has written that.

        Raises:
            TypeError: If neither is a plain value.
        """
        walk = self._walk()
        if walk.problem is None:
            parts = {
                path: (type(thing).__qualname__, plain)
                for path, (thing, plain) in walk.parts.items()
            }
            return {"parts": parts}
        metric = self.metric
        if callable(getattr(metric, "load_state_dict", None)) and not _is_module(metric):
            return {"state": metric.state_dict()}
        raise walk.problem

    def _walk(self) -> "_Walk":
        walk = _Walk()
        walk.add(self.metric, ())
        if walk.problem is not None:
            cure = _CURE if _is_module(self.metric) else _CURE + _CURE_BY_STATE
            walk.problem = TypeError(f"{walk.problem} (the metric of {self.part}); {cure}")
        return walk

    def _put(self, values: dict[str, Any]) -> None:
        if "state" in values:
            self.metric.load_state_dict(values["state"])
            return
        saved, here = values["parts"], self._walk().parts
        classes = {path: name for path, (name, _) in saved.items()}
        if classes != {path: type(thing).__qualname__ for path, (thing, _) in here.items()}:
            raise ValueError(
                f"the metric of {self.part} must be made as the one that was saved, "
                f"{', '.join(classes.values())}, got {shown(self.metric)}; make the same "
                "metric, or begin the run again"
            )
        for path, (_, attributes) in saved.items():
            thing, plain = here[path]
            for name in plain.keys() - attributes.keys():
                object.__delattr__(thing, name)
            for name, value in attributes.items():
                _set(thing, name, value)


class _Walk:
    """A walk through a metric, and the metrics in it.

    Attributes:
        parts: The metrics and their plain attributes, by the names that lead there.
        problem: The first attribute that can be neither kept nor left out.
    """

    def __init__(self) -> None:
        self.parts: dict[_Path, tuple[object, dict[str, Any]]] = {}
        self.problem: TypeError | None = None
        self._seen: set[int] = set()
        self._containers: dict[int, bool] = {}

    def add(self, metric: object, path: _Path) -> None:
        """Add a metric."""
        if id(metric) in self._seen:
            return
        self._seen.add(id(metric))
        plain: dict[str, Any] = {}
        self.parts[path] = metric, plain
        attributes = _attributes(metric)
        if attributes is None:
            self._fail(path, metric)
            return
        for name, value in attributes.items():
            if self._is_plain(value, (*path, name)):
                plain[name] = value

    def _is_plain(self, value: Any, path: _Path) -> bool:
        """Return whether a value is memory, or one that is there from the beginning."""
        kind = type(value)
        if kind in _SCALARS or is_array(value):
            return True
        if kind in _MAPPINGS:
            return self._is_plain_container(value, value.items(), path)
        if kind in _SEQUENCES or (kind.__module__, kind.__name__) == ("torch", "Size"):
            return self._is_plain_container(value, enumerate(value), path)
        if is_metric(value):
            self.add(value, path)
        elif _is_module(value):  # a model, or a list of metrics
            for name, module in value.named_children():
                self._is_plain(module, (*path, name))
        elif not _is_constant(value):
            self._fail(path, value)
        return False

    def _is_plain_container(
        self, container: Any, items: Iterable[tuple[object, Any]], path: _Path
    ) -> bool:
        if id(container) in self._containers:
            return self._containers[id(container)]
        self._containers[id(container)] = True  # it may contain itself
        values = container.values() if isinstance(container, Mapping) else container
        if {*map(type, values)} <= _SCALARS:
            return True
        kinds = {self._is_plain(one, (*path, key)) for key, one in items if one is not None}
        if len(kinds) == 2:
            self._fail(path, container)
        self._containers[id(container)] = is_plain = False not in kinds
        return is_plain

    def _fail(self, path: _Path, value: object) -> None:
        where = ".".join(map(str, ("metric", *path)))
        self.problem = self.problem or TypeError(
            f"{where} must be a plain value to be saved (a number, text, an array, or a container "
            f"of these), or a metric, a function or a model, got {shown(value)}"
        )


def _attributes(thing: Any) -> dict[str, Any] | None:
    """Return the attributes that a pickle of an object holds; ``None`` if it holds anything else.

    So an object that has its memory outside of Python is found out, and an author can leave out an
    attribute with ``__getstate__``.
    """
    try:
        make, args, state, *rest = thing.__reduce_ex__(2)
        if make is not __newobj__ or args[0] is not type(thing) or [*filter(None, rest)]:
            return None
        own, slots = state if isinstance(state, tuple) else (state, None)
        attributes = {**(own or {}), **(slots or {})}
    except Exception:  # noqa: BLE001  (whatever keeps it from being pickled)
        return None
    missing = object()
    are_its_own = all(_get(thing, name, missing) is value for name, value in attributes.items())
    return attributes if are_its_own else None


def _get(thing: object, name: str, default: object) -> object:
    own = getattr(thing, "__dict__", {})
    return own[name] if name in own else getattr(thing, name, default)


def _set(thing: object, name: str, value: object) -> None:
    """Set an attribute as unpickling does: without the checks of the class."""
    if isinstance(getattr(type(thing), name, None), MemberDescriptorType):  # of __slots__
        object.__setattr__(thing, name, value)
    else:
        vars(thing)[name] = value


def _is_module(thing: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def _is_constant(value: object) -> bool:
    """Return whether a value never changes."""
    kind = type(value)
    return isinstance(value, _CONSTANTS) or (
        kind.__module__ == "torch" and kind.__name__ in ("device", "dtype")
    )
