"""Error messages in three parts: expected, got, cure."""

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import nan
from numbers import Real
from operator import index
from traceback import TracebackException
from types import FrameType
from typing import Any

from rnnr._runs import runs_on_this_thread

__all__ = [
    "RnnrWarning",
    "add_note",
    "as_integer",
    "as_number",
    "check_choice",
    "check_string",
    "missing_key",
    "note_failure",
    "shown",
    "user_file",
    "user_frame",
    "warn_user",
    "wrong_type",
    "wrong_value",
]


class RnnrWarning(UserWarning):
    """The category of every warning of rnnr.

    Example:
        Turn them into errors while you debug:

        >>> import warnings
        >>> from rnnr import RnnrWarning
        >>> warnings.simplefilter("error", RnnrWarning)
    """


def warn_user(message: str) -> None:
    """Warn, and point to the line of the user that has called rnnr."""
    _, level = user_frame()
    warnings.warn(message, RnnrWarning, stacklevel=level)


def user_file() -> str:
    """Return the name of the file of the user that has called rnnr; empty if there is none."""
    frame, _ = user_frame()
    return frame.f_code.co_filename if frame is not None else ""


def user_frame() -> tuple[FrameType | None, int]:
    """Return the frame of the user that has called rnnr, and its level for the caller."""
    frame: FrameType | None = sys._getframe(2)
    level = 2
    while frame is not None and _is_ours(frame):
        frame, level = frame.f_back, level + 1
    return frame, level


def _is_ours(frame: FrameType) -> bool:
    package, _, _ = str(frame.f_globals.get("__name__")).partition(".")
    return package in ("rnnr", "reactivex", "contextlib")


def wrong_type(name: str, expected: str, got: object, cure: str) -> TypeError:
    """Return the error for an argument of the wrong type."""
    return TypeError(f"{name} must be {expected}, got {shown(got)}; {cure}")


def wrong_value(name: str, expected: str, got: object, cure: str) -> ValueError:
    """Return the error for an argument of the right type and a wrong value."""
    return ValueError(f"{name} must be {expected}, got {shown(got)}; {cure}")


def check_string(name: str, got: object, cure: str) -> None:
    """Raise unless it is a string."""
    if not isinstance(got, str):
        raise wrong_type(name, "a string", got, cure)


def check_choice(name: str, got: object, choices: tuple[str, ...], cure: str) -> None:
    """Raise unless it is one of several strings."""
    check_string(name, got, cure)
    if got not in choices:
        raise wrong_value(name, f"one of {', '.join(map(repr, choices))}", got, cure)


def as_integer(name: str, got: Any, least: int, cure: str) -> int:
    """Return an integer of any type as an int; raise for other values and smaller integers.

    Args:
        name: Name of the argument.
        got: Value of the argument.
        least: Smallest integer to accept.
        cure: What to do about it.
    """
    expected = f"an integer of {least} or more"
    try:
        integer = index(got)
    except TypeError:
        raise wrong_type(name, expected, got, cure) from None
    if integer < least:
        raise wrong_value(name, expected, got, cure)
    return integer


def as_number(
    name: str, got: Any, expected: str, is_right: Callable[[float], bool], cure: str
) -> float:
    """Return a real number of any type as a float; raise for other values and wrong numbers.

    Args:
        name: Name of the argument.
        got: Value of the argument.
        expected: Which numbers are right, in words.
        is_right: Returns whether a float is right.
        cure: What to do about it.
    """
    if not isinstance(got, Real):
        raise wrong_type(name, expected, got, cure)
    try:
        number = float(got)
    except OverflowError:  # an integer beyond the floats
        number = nan
    if not is_right(number):
        raise wrong_value(name, expected, got, cure)
    return number


def missing_key(key: str, part: str, state: Mapping[str, Any], cure: str) -> KeyError:
    """Return the error for a state that lacks a key which a part of the library reads."""
    present = ", ".join(sorted(map(str, state))) or "nothing"
    return KeyError(f"state[{key!r}] is missing: {part} reads it, the state has {present}; {cure}")


def note_failure(error: BaseException, other: BaseException, where: str) -> None:
    """Add a second error, with its traceback, to the first as a note."""
    if other is error:  # a handler raised it again
        return
    add_note(error, f"{where} failed too:\n{''.join(_traceback_without(error, other)).rstrip()}")


def _traceback_without(error: BaseException, other: BaseException) -> Iterable[str]:
    """Return the traceback of another error, without the first one as its cause or context."""
    traceback = TracebackException.from_exception(other)
    part: TracebackException | None = traceback
    cause: BaseException | None = other
    while part is not None and cause is not None:
        cause = cause.__cause__ or cause.__context__
        if cause is error:
            part.__cause__ = part.__context__ = None
        part = part.__cause__ or part.__context__
    return traceback.format()


class _Note(str):
    """A note that records in which runs it was made, the outermost first."""

    runs: tuple[object, ...] = ()
    place: str = ""

    def stays_beside(self, newer: "_Note") -> bool:
        """Return whether it comes from another place in the same run, or from a run inside it."""
        is_inside = self.runs[: len(newer.runs)] == newer.runs
        return is_inside and (self.runs, self.place) != (newer.runs, newer.place)

    def __reduce__(self) -> Any:
        return str, (str(self),)


def add_note(error: BaseException, text: str, *, place: str | None = None) -> None:
    """Add a note to an exception, if it takes one (a frozen dataclass does not).

    An exception object that is raised again and again must not collect notes: rnnr's notes of runs
    other than those that it leaves now are old, and are removed.

    Args:
        error: The exception.
        text: The note.
        place: What the note is about: it replaces an earlier note about the same place in the same
            run. The text, if not given.
    """
    note = _Note(text)
    note.place = text if place is None else place
    note.runs = tuple(token for _, token, _ in runs_on_this_thread())
    with suppress(Exception):
        notes = getattr(error, "__notes__", [])
        notes[:] = [old for old in notes if not isinstance(old, _Note) or old.stays_beside(note)]
        error.add_note(note)


def shown(got: object) -> str:
    """Return a short text for a value in a message."""
    try:
        text = repr(got)
    except Exception:  # noqa: BLE001  (the message matters more)
        text = object.__repr__(got)
    if len(text) > 80:
        text = f"{text[:77]}..."
    return f"{text} ({type(got).__name__})"
