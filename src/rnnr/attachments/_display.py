"""How a value is shown: as a number, or as one line of text."""

from contextlib import suppress
from numbers import Number
from typing import Any, Final

__all__ = ["count_text", "one_line", "plain_number"]

LENGTH: Final = 80
"""Most characters of a value that is not a string: a tensor may have thousands of items."""


def plain_number(value: Any) -> Any:
    """Return the number in a tensor or array of one item, and everything else unchanged.

    The number keeps its type: an integer is shown as an integer.
    """
    if type(value) in (int, float, str):
        return value
    with suppress(Exception):  # it has several items or none, or its `item` is something else
        item = value.item()
        if isinstance(item, Number):
            return item
    return value


def one_line(value: object) -> str:
    """Return a value as text without line breaks, which would break the bar."""
    text = str(value)
    lines = text.splitlines()
    if len(lines) > 1:
        text = " ".join(line.strip() for line in lines)
    if not isinstance(value, str) and len(text) > LENGTH:
        text = f"{text[: LENGTH - 3]}..."
    return text


def count_text(number: Any) -> str:
    """Return a count as text, without decimals; anything else as it is shown otherwise."""
    number = plain_number(number)
    with suppress(OverflowError, TypeError, ValueError):  # infinite, or not a number
        return str(int(number))
    return str(number)
