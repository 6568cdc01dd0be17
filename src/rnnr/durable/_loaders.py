"""Loaders of PyTorch: those that keep their workers, and those with generators of their own."""

import sys
from contextlib import suppress
from typing import Any

from rnnr.durable._random_states import RandomStates, is_own_generator

__all__ = ["generators_in", "generators_of", "has_workers", "n_batches_of", "set_has_workers"]


def n_batches_of(batches: Any) -> int | None:
    """Return the number of batches, but ask no object for it that somebody else has written."""
    if type(batches) in (list, tuple, range):
        return len(batches)
    if _is_loader(batches) and hasattr(type(batches.dataset), "__len__"):
        with suppress(Exception):  # its sampler may be anything
            return len(batches)
    return None


def generators_of(batches: Any) -> list[Any]:
    """Return the generators with which a loader of PyTorch draws its order and its items.

    Those of a dataset count if no worker has a copy of it.
    """
    if not _is_loader(batches):
        is_source = type(batches).__module__.startswith("rnnr.sources.")
        inner = getattr(batches, "__dict__", {}).values() if is_source else ()
        return [one for loader in filter(_is_loader, inner) for one in generators_of(loader)]
    outer = [batches, batches.sampler, batches.batch_sampler]
    samplers = [*outer, getattr(batches.batch_sampler, "sampler", None)]
    parts = samplers if batches.num_workers else [*samplers, batches.dataset]
    found = [one for part in parts for one in getattr(part, "__dict__", {}).values()]
    return [*{id(one): one for one in found if is_own_generator(one)}.values()]


def generators_in(thing: Any) -> list[Any]:
    """Return a generator itself, or those of a loader."""
    return [thing] if is_own_generator(thing) else generators_of(thing)


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


def _is_loader(batches: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(batches, data.DataLoader)


def _keeps_workers(batches: Any) -> bool:
    return _is_loader(batches) and batches.persistent_workers and hasattr(batches, "_iterator")
