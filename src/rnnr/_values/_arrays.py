"""Arrays of NumPy, PyTorch and JAX as bytes, and back: to the last bit, in their layout."""

import sys
from typing import Final

from rnnr._values._array_kind import ArrayKind
from rnnr._values._numpy_arrays import JAX, NUMPY
from rnnr._values._torch_arrays import TORCH

__all__ = ["kind_named", "kind_of"]

_KINDS: Final[dict[str, ArrayKind]] = {kind.name: kind for kind in (NUMPY, JAX, TORCH)}


def kind_of(value: object) -> ArrayKind | None:
    """Return the kind of an array, or ``None`` if it is not one that can be kept.

    No library is imported: an array of a library exists only where somebody has imported it.
    """
    numpy, torch, jax = (sys.modules.get(name) for name in ("numpy", "torch", "jax"))
    kind = type(value)
    if numpy is not None and (kind is numpy.ndarray or isinstance(value, numpy.generic)):
        return NUMPY
    if torch is not None and (kind is torch.Tensor or kind is torch.nn.Parameter):
        return TORCH
    if jax is not None and isinstance(value, jax.Array):
        return JAX
    return None


def kind_named(name: str) -> ArrayKind:
    """Return the kind with a name.

    Raises:
        KeyError: If there is none.
    """
    return _KINDS[name]
