"""Recognize the kinds of batches without iterating over them."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from reactivex import Observable

__all__ = ["can_be_iterated", "is_asynchronous", "is_closed_by_a_pause", "length_of"]


def is_closed_by_a_pause(source: object, live: bool) -> bool:
    """Return whether an async iterator is unusable after its iteration was cancelled."""
    return isinstance(source, AsyncGenerator) or (hasattr(type(source), "__anext__") and not live)


def can_be_iterated(thing: object) -> bool:
    """Return whether an object can be iterated, without calling ``iter``.

    ``iter`` would start the workers of a loader. An Observable has ``__getitem__``, for slices,
    and would yield Observables without end.
    """
    kind = type(thing)
    if getattr(kind, "__iter__", None) is not None:
        return True
    return hasattr(kind, "__getitem__") and not isinstance(thing, Observable)


def is_asynchronous(thing: object) -> bool:
    """Return whether an object is an Observable, or can be iterated with ``async for`` only."""
    if isinstance(thing, Observable):
        return True
    return getattr(type(thing), "__aiter__", None) is not None and not can_be_iterated(thing)


def length_of(batches: Any) -> int | None:
    """Return the length of batches, or ``None`` if they do not have one.

    PyTorch's loaders all have ``__len__``, which may raise anything; ``len`` itself raises for a
    length that is negative, infinite, or too large.
    """
    with suppress(Exception):
        return len(batches)
    return None
