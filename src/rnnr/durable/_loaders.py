"""Loaders of PyTorch that keep their workers, and draw a number in the first epoch alone."""

import sys
from typing import Any

from rnnr.durable._random_states import RandomStates

__all__ = ["has_workers", "set_has_workers"]


def has_workers(batches: Any) -> bool:
    """Return whether a loader with ``persistent_workers`` has started them.

    When it starts them, it draws a number that later epochs do not draw.
    """
    return _keeps_workers(batches) and batches._iterator is not None


def set_has_workers(batches: Any, wanted: bool, random: RandomStates) -> None:
    """Have such a loader start its workers, or end them, so that it will draw what it drew.

    Args:
        batches: The loader; others are left alone.
        wanted: Whether it had workers.
        random: The generators that must not change.
    """
    if not _keeps_workers(batches) or has_workers(batches) is wanted:
        return
    states = random.capture()
    if wanted:
        iter(batches)
    else:
        batches._iterator = None
    random.restore(states)


def _keeps_workers(batches: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    is_loader = data is not None and isinstance(batches, data.DataLoader)
    return is_loader and batches.persistent_workers and hasattr(batches, "_iterator")
