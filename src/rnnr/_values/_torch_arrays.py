"""Tensors of PyTorch as bytes, and back."""

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from math import prod
from typing import Any, Final

from rnnr._values._array_kind import Description, check_size, extent, repeats

__all__ = ["TORCH", "torch_dtype"]

# PyTorch cannot copy these, and ends the process where one of the last kind is made of bytes.
_NOT_COPIED: Final = re.compile(r"u?int[1-7]|bit\w*|qu?int\w+")


class _Torch:
    name = "torch"

    def describe(self, array: Any) -> Description | None:
        dtype = str(array.dtype).removeprefix("torch.")
        if not _is_plain(array) or _NOT_COPIED.fullmatch(dtype):
            return None
        described = {
            "dtype": dtype,
            "shape": list(array.shape),
            "bytes": array.numel() * array.element_size(),
            **_layout(array),
        }
        if array.device.type != "cpu":
            described["device"] = str(array.device)
        if array.requires_grad and array.is_leaf:
            described["requires_grad"] = True
        if type(array) is sys.modules["torch"].nn.Parameter:
            described["parameter"] = True
        return described

    def copy_into(self, array: Any, description: Description, buffer: memoryview) -> None:
        self.view(description, buffer).copy_(array.detach())

    def view(self, description: Description, buffer: memoryview) -> Any:
        torch, name = import_module("torch"), description["dtype"]
        if _NOT_COPIED.fullmatch(name):
            raise ValueError(f"a tensor of {name} cannot be made of bytes")
        dtype, shape = torch_dtype(name), description["shape"]
        check_size(shape, dtype.itemsize, buffer)
        if not buffer.nbytes:
            return torch.empty(shape, dtype=dtype, device="cpu")
        return torch.frombuffer(buffer, dtype=dtype).view(shape)

    def fits(self, target: Any, description: Description) -> bool:
        described = self.describe(target) or {}
        keys = ("dtype", "shape", "parameter")
        is_like_it = all(described.get(key) == description.get(key) for key in keys)
        can_be_changed = target.is_leaf and not target.is_inference()
        return is_like_it and can_be_changed and not repeats(target.shape, target.stride())

    def assign(self, target: Any, array: Any, description: Description) -> None:
        with sys.modules["torch"].no_grad():
            target.copy_(array)
        target.requires_grad_(description.get("requires_grad", False))

    def own(self, array: Any, description: Description) -> Any:
        torch = sys.modules["torch"]
        stride = description.get("stride", _contiguous(array.shape))
        if "stride" in description and not _is_dense(array.shape, stride):
            raise ValueError(f"the stride {stride} does not belong to the shape {array.shape}")
        # A device at any rate: the user may have set another default.
        owned = torch.empty_strided(
            array.shape, stride, dtype=array.dtype, device=description.get("device", "cpu")
        )
        owned.copy_(array)
        requires_grad = description.get("requires_grad", False)
        if description.get("parameter"):
            return torch.nn.Parameter(owned, requires_grad=requires_grad)
        return owned.requires_grad_(requires_grad)

    def extent(self, array: Any) -> tuple[int, int]:
        size = array.element_size()
        return extent(array.data_ptr(), array.shape, [step * size for step in array.stride()], size)


TORCH: Final = _Torch()


def torch_dtype(name: str) -> Any:
    """Return the type of PyTorch with a name; nothing else that the package has.

    Raises:
        ValueError: If there is no such type.
    """
    torch = import_module("torch")
    found = vars(torch).get(name)  # getattr could import a part of PyTorch
    if type(found) is not torch.dtype:
        raise ValueError(f"{name} is not a type of PyTorch")
    return found


def _is_plain(array: Any) -> bool:
    """Return whether the items of a tensor lie in memory, each as its own bytes."""
    if array.is_nested or array.is_quantized or array.is_meta:
        return False
    return bool(array.layout == sys.modules["torch"].strided)


def _layout(array: Any) -> Description:
    """Return the stride of a tensor, unless it is the usual one or leaves gaps."""
    if array.is_contiguous() and 1 not in array.shape:  # an axis of one item may have any step
        return {}
    stride = list(array.stride())
    is_kept = stride != _contiguous(array.shape) and _is_dense(array.shape, stride)
    return {"stride": stride} if is_kept else {}


def _contiguous(shape: Sequence[int]) -> list[int]:
    """Return the steps of a tensor whose last axis moves first, as PyTorch counts them."""
    sizes = [max(size, 1) for size in shape]
    return [prod(sizes[i + 1 :]) for i in range(len(sizes))]


def _is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Return whether the items of a tensor fill its memory, each once."""
    expected = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size > 1 and step != expected:
            return False
        expected *= size
    return prod(shape) > 0
