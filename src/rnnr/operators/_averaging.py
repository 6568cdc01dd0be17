"""What running averages have in common: a rule, and a memory of plain values."""

from collections.abc import Callable
from typing import Any, TypeAlias

from rnnr._errors import wrong_type

__all__ = ["AveragingRule", "Memory", "not_averaged"]

Memory: TypeAlias = dict[str, Any]
"""What an average remembers; empty before the first value."""

AveragingRule: TypeAlias = Callable[[Memory, Any], tuple[Memory, Any]]
"""Takes the memory and a value; returns the next memory and the average."""


def not_averaged(part: str, value: object) -> TypeError:
    """Return the error for a value that cannot be averaged."""
    cure = "select one first, for example with select('loss')"
    return wrong_type(f"a value for {part}", "a number, array or tensor", value, cure)
