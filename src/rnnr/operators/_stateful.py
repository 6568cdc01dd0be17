"""Operators that remember: their memory is born anew for each subscription."""

from collections.abc import Callable
from typing import Any

import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rnnr.operators._pipeline import Operator
from rnnr.state import MISSING

__all__ = ["remembering"]


def remembering(make: Callable[[], Callable[[Any], Any]]) -> Operator:
    """Make an operator of a function that remembers.

    What the function raises goes down as ``on_error``, as in ReactiveX.

    Args:
        make: Called for each subscription; returns the function for its items, which gives what
            to pass on, or `MISSING` to pass nothing on.
    """

    def operator(source: Observable[Any]) -> Observable[Any]:
        return reactivex.defer(lambda _: source.pipe(ops.map(make()), ops.filter(_is_there)))

    return operator


def _is_there(item: object) -> bool:
    return item is not MISSING
