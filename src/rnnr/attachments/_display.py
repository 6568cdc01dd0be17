"""What a bar shows of a value: its number, or one line of text."""

from contextlib import suppress
from numbers import Number
from typing import Any, Final

__all__ = ["one_line", "plain_number"]

LENGTH: Final = 80
"""Characters of what is not a text itself: a tensor may have thousands of items."""


def plain_number(value: Any) -> Any:
    """Return the number in a tensor or array of one item, and everything else as it is.

    It is the item, not a float of it: an integer is shown as an integer.
    """
    if type(value) in (int, float, str):
        return value
    with suppress(Exception):  # it has more items, or none, or calls something else an item
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
