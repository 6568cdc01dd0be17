"""What may be a callback, and what is a likely mistake in its place."""

from functools import partial
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    iscoroutinefunction,
    isgeneratorfunction,
)
from types import FunctionType, MethodType
from typing import Any, Final

from rnnr._errors import wrong_type

__all__ = ["check_callback", "check_handler", "cure_for", "uncalled"]

_NOT_PLAIN: Final = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE

_EXPECTED: Final = "a function that runs when it is called"

_DOES: Final = "a function that does something with the state"

_MAKERS: Final = ("rnnr.operators.", "rnnr.callbacks.", "reactivex.operators")
"""Modules whose functions make what is attached, and are not attached themselves."""

_OPERATORS: Final = ("reactivex.operators", "reactivex.internal.curry", "reactivex.pipe")
"""Modules of ReactiveX whose functions are operators."""

_LIBRARIES: Final = ("rnnr.", "reactivex.")
"""Packages whose functions are looked at more closely."""


def check_callback(name: str, callback: object) -> None:
    """Raise unless it can be called, and calling it runs it: it is not async and no generator."""
    plain: Any = callback.func if type(callback) is partial else callback
    plain = getattr(plain, "__func__", plain)
    is_plain = type(plain) is FunctionType and not plain.__dict__
    if is_plain and not plain.__code__.co_flags & _NOT_PLAIN:
        return  # as nearly always; the rest takes longer than to add a handler
    if not callable(callback):
        raise wrong_type(name, "callable", callback, cure_for(callback))
    if iscoroutinefunction(callback):
        cure = "it is async: call asyncio.run(...) in it, or use a loop in another thread"
        raise wrong_type(name, _EXPECTED, callback, cure)
    if isgeneratorfunction(callback):
        cure = "it is a generator function: take the yield out of it"
        raise wrong_type(name, _EXPECTED, callback, cure)


def check_handler(name: str, handler: Any) -> None:
    """Raise unless it can be called with a state.

    An operator of a stream can be called, too, and so can a class and a function that makes
    callbacks. Called with a state they do nothing, in silence.
    """
    check_callback(name, handler)
    kind: object = type(handler)
    if kind is MethodType or (
        kind is FunctionType and not (handler.__module__ or "").startswith(_LIBRARIES)
    ):
        return  # as nearly always
    cure = uncalled(handler)
    if cure is None and isinstance(handler, type):
        cure = _cure_for_class(handler)
    if cure is not None:
        raise wrong_type(name, _EXPECTED, handler, cure)
    if getattr(handler, "only_passes", False) is True:
        cure = f"it only passes on: write pipeline({handler!r}, do(function))"
        raise wrong_type(name, _DOES, handler, cure)
    if type(handler) is FunctionType and _is_operator(handler):
        cure = "it is an operator of streams: write pipeline(operator, do(function))"
        raise wrong_type(name, _DOES, handler, cure)


def uncalled(thing: object) -> str | None:
    """Return the cure for a function that makes operators or callbacks, and was not called."""
    if type(thing) is not FunctionType or not str(thing.__module__).startswith(_MAKERS):
        return None
    is_maker = thing.__qualname__ == thing.__name__  # a step is called as its operator is written
    return f"call it: write {thing.__name__}(...)" if is_maker else None


def cure_for(thing: object) -> str:
    """Return the cure for what cannot be called."""
    if hasattr(thing, "attach_on"):
        return "attach it by its attach_on(runner)"
    if hasattr(thing, "on_next"):
        return "pass its on_next"
    return "pass a function of the state"


def _is_operator(function: FunctionType) -> bool:
    module = str(function.__module__)
    is_ours = module.startswith("rnnr.operators.") and function.__name__ == "operator"
    return is_ours or module.startswith(_OPERATORS)


def _cure_for_class(kind: type) -> str | None:
    """Return the cure for a class whose instances were meant; others may be called for effect."""
    if hasattr(kind, "attach_on"):
        return f"it is a class: write {kind.__name__}(...).attach_on(runner)"
    if any("__call__" in vars(base) for base in kind.__mro__):
        return f"it is a class: write {kind.__name__}(...)"
    return None
