"""What a snapshot has to know of the arrays of one library."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Protocol, TypeAlias

__all__ = ["ArrayKind", "Description", "check_size", "extent", "repeats"]

Description: TypeAlias = dict[str, Any]
"""What is known of an array apart from its bytes; it can become JSON."""


class ArrayKind(Protocol):
    """The arrays of one library."""

    name: str

    def describe(self, array: Any) -> Description | None:
        """Return what the array is; ``None`` if its bytes are not all of it."""

    def copy_into(self, array: Any, description: Description, buffer: memoryview) -> None:
        """Copy the items of an array to a buffer, which has the right size."""

    def view(self, description: Description, buffer: memoryview) -> Any:
        """Return an array whose items are those in a buffer.

        Raises:
            Exception: Whatever a description leads to that `describe` has not made.
        """

    def fits(self, target: Any, description: Description) -> bool:
        """Return whether an array that was described so can be copied into another one."""

    def assign(self, target: Any, array: Any, description: Description) -> None:
        """Copy an array into another one."""

    def own(self, array: Any, description: Description) -> Any:
        """Return an array as it was described, which does not share its memory with a buffer."""

    def extent(self, array: Any) -> tuple[int, int]:
        """Return the address of its first byte in memory, and that after its last one."""


def check_size(shape: Sequence[Any], item_size: int, buffer: memoryview) -> None:
    """Raise unless an array of a shape has as many bytes as a buffer.

    Raises:
        ValueError: If it has more or fewer.
    """
    is_shape = all(type(size) is int and size >= 0 for size in shape)
    if not is_shape or prod(shape) * item_size != buffer.nbytes:
        raise ValueError(f"an array of shape {shape} does not have {buffer.nbytes} bytes")


def extent(
    address: int, shape: Sequence[int], strides: Sequence[int], item_size: int
) -> tuple[int, int]:
    """Return the addresses between which an array lies whose strides are given in bytes."""
    if not prod(shape):
        return address, address
    steps = [(size - 1) * step for size, step in zip(shape, strides, strict=True)]
    first = address + sum(min(0, step) for step in steps)
    return first, address + sum(max(0, step) for step in steps) + item_size


def repeats(shape: Iterable[int], strides: Iterable[int]) -> bool:
    """Return whether an array has one item in memory for several of its own."""
    return any(size > 1 and not step for size, step in zip(shape, strides, strict=True))
