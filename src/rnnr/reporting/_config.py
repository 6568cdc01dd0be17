"""The configuration of a run as a flat mapping of plain values."""

import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from itertools import islice
from numbers import Integral, Real
from pathlib import PurePath
from types import FunctionType, SimpleNamespace
from typing import Any, TypeAlias

from rnnr._errors import wrong_type
from rnnr._frozen import Frozen
from rnnr._numbers import as_json

__all__ = ["Plain", "flattened"]

Plain: TypeAlias = float | str | None
"""A value of a configuration: a number, a text, a truth value, or ``None``."""

_N_ENTRIES = 200
_N_COUNTED = 10_000  # further entries to count
_LENGTH = 500  # characters of a text
_DEPTH = 20
_LARGEST = 2**53  # integer that a browser can hold
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_REST = "…"
_MORE = "and more"  # MLflow refuses other characters in a name


def flattened(config: object, most: int = _N_ENTRIES) -> Frozen:
    """Return a configuration as a flat mapping; the names of nested entries are joined by dots.

    Numbers, texts, truth values and ``None`` stay as they are, and a text is cut at 500 characters.
    Other values become their short text. Of too many entries the last one that is kept says how
    many more there are.

    Args:
        config: A mapping, a dataclass, a named tuple, an ``argparse.Namespace``, or another object
            with attributes; ``None`` for nothing.
        most: Number of entries to keep.

    Raises:
        TypeError: If it is something else.

    Example:
        >>> from rnnr.reporting._config import flattened
        >>> flattened({"lr": 0.01, "optimizer": {"name": "adam", "betas": (0.9, 0.999)}})
        {'lr': 0.01, 'optimizer.name': 'adam', 'optimizer.betas': '(0.9, 0.999)'}
    """
    if config is None:
        return Frozen()
    items = _items(config) or _attributes(config)
    if items is None:
        expected = "a mapping, a dataclass, a named tuple or an object with attributes"
        raise wrong_type("config", expected, config, 'write for example config={"lr": 0.01}')
    found = _walked(items, "", (id(config),))
    flat: dict[str, Plain] = dict(islice(found, most - 1))
    more = list(islice(found, 1))
    n_more = len(more) + sum(1 for _ in islice(found, _N_COUNTED))
    if n_more == 1:
        flat.update(more)
    elif n_more:
        least = "more than " if n_more > _N_COUNTED else ""
        flat[_MORE] = f"{least}{min(n_more, _N_COUNTED)} more entries"
    return Frozen(flat)


def _walked(
    items: Callable[[], Iterator[tuple[object, object]]], prefix: str, around: tuple[int, ...]
) -> Iterator[tuple[str, Plain]]:
    try:
        for name, value in items():
            path = f"{prefix}{_text(name)}"[:_LENGTH]
            nested = _items(value)
            if nested is None:
                yield path, _plain(value)
            elif id(value) in around or len(around) > _DEPTH:
                yield path, _REST
            else:
                yield from _walked(nested, f"{path}.", (*around, id(value)))
    except Exception as error:  # noqa: BLE001  (a configuration does not break a run)
        yield f"{prefix}(unreadable)", type(error).__name__


def _items(value: Any) -> Callable[[], Iterator[tuple[object, object]]] | None:
    """Return what yields the entries of a value that is a configuration by its type."""
    kind = type(value)
    if issubclass(kind, Mapping):
        return lambda: iter(value.items())
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda: ((name, getattr(value, name, None)) for name in names)
    if issubclass(kind, (Namespace, SimpleNamespace)):
        return lambda: iter(vars(value).items())
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda: iter(zip(kind._fields, value, strict=False))
    return None


def _attributes(value: Any) -> Callable[[], Iterator[tuple[object, object]]] | None:
    """Return what yields the public attributes of an object, or of a class; not its methods."""
    try:
        attributes = vars(value)
    except TypeError:
        return None
    return lambda: (
        (name, one)
        for name, one in attributes.items()
        if not str(name).startswith("_")
        and not (isinstance(value, type) and (callable(one) or hasattr(type(one), "__get__")))
    )


def _plain(value: Any) -> Plain:
    kind = type(value)
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    with suppress(Exception):  # it may only look like a number
        if kind is int or issubclass(kind, Integral):
            return int(value) if abs(int(value)) <= _LARGEST else _text(value)
        if kind is float or issubclass(kind, Real):
            return as_json(float(value))
    return _text(value)


def _text(value: Any) -> str:
    kind = type(value)
    try:
        if issubclass(kind, (str, PurePath)):
            text = str(value)
        elif issubclass(kind, (type, FunctionType)):
            text = value.__qualname__
        else:
            text = repr(value)
        text = str.__str__(_ADDRESS.sub("", text))
    except Exception:  # noqa: BLE001  (the run matters more)
        text = f"({kind.__name__})"
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"
