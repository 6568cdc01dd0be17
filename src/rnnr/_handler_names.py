"""The name of a handler, and where it is defined."""

from functools import partial
from pathlib import Path
from typing import Any

from reactivex.observer import AutoDetachObserver

__all__ = ["described", "is_own", "unwrapped"]

_PARTS = (
    "_logs",
    "attachments",
    "callbacks",
    "dashboard",
    "durable",
    "recording",
    "reporting",
    "tracking",
)


def described(handler: Any) -> tuple[str, str]:
    """Return the name of a handler, and where it is defined."""
    try:
        return _name_and_place(handler)
    except Exception:  # noqa: BLE001  (its attributes may be odd; the run matters more)
        return type(handler).__name__, ""


def is_own(handler: Any) -> bool:
    """Return whether a handler is the user's, and not that of a part of rnnr."""
    try:
        handler = unwrapped(handler)
        handler = getattr(handler, "__func__", handler)
        module = getattr(handler, "__module__", None) or type(handler).__module__
        package, _, rest = str(module).partition(".")
    except Exception:  # noqa: BLE001  (its attributes may be odd; the run matters more)
        return True
    return package != "rnnr" or rest.split(".")[0] not in _PARTS


def _name_and_place(handler: Any) -> tuple[str, str]:
    handler = unwrapped(handler)
    function = getattr(handler, "__func__", handler)
    if function is not handler:
        owner = handler.__self__
        owner = owner if isinstance(owner, type) else type(owner)
        name = _name_of_part(owner) or f"{owner.__name__}.{function.__name__}"
    elif hasattr(handler, "__qualname__"):
        parts = handler.__qualname__.split(".<locals>.")
        name = parts[0] if _is_of_a_library(handler) else parts[-1]
    else:
        name, function = type(handler).__qualname__, type(handler).__call__
    code = getattr(function, "__code__", None)
    return name, f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else ""


def unwrapped(handler: Any) -> Any:
    """Return the user's function from inside partials, wrappers and observers."""
    for _ in range(100):  # at most: some objects have every attribute
        owner = getattr(handler, "__self__", None)
        if isinstance(handler, partial):
            handler = handler.func
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif isinstance(owner, AutoDetachObserver) and hasattr(owner, "_on_next"):
            handler = owner._on_next  # there is no public name; without it, name the observer
        else:
            break
    return handler


def _name_of_part(owner: type) -> str | None:
    """Return what the user has attached, if it is a part of rnnr: its methods are its own matter.

    A class that does the work of another one has its name in ``attached_as``.
    """
    if not owner.__module__.startswith("rnnr."):
        return None
    return str(getattr(owner, "attached_as", owner.__name__))


def _is_of_a_library(handler: Any) -> bool:
    """Return whether a closure is best named by the function that made it, like an operator's."""
    return str(getattr(handler, "__module__", "")).startswith(("rnnr.", "reactivex."))
