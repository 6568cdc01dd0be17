"""Two checkpoints of one name, side by side in all ways."""

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["side_by_side"]

_WAYS: list[tuple[str, list[Any]]] = [
    ("same_folder", [False, True]),
    ("prefixes", [("{epoch}_",) * 2, ("best_{epoch}_", "{epoch}_")]),
    ("queues", [("_saved_{what}",) * 2, ("best {what}", "last {what}")]),
    ("best_first", [True, False]),
]


def side_by_side(test: Callable[..., Any]) -> Callable[..., Any]:
    """Try a test in the same folder or not, with the same names or not, in both orders."""
    for names, values in _WAYS:
        test = pytest.mark.parametrize(names, values)(test)
    return test
