"""Names of files that are made of a state, and the folder where they are."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

from rnnr._errors import wrong_type, wrong_value

__all__ = ["as_folder", "ending_of", "fields_of", "queue_key"]

_FIELD = re.compile(r"([^.[\]]+)(?:\.[^.[\]]+|\[[^\]]+\])*")  # as in {epoch}, {valid[loss]}, {a.b}


def fields_of(name_fmt: str) -> list[str]:
    """Return the keys that a format asks for."""
    try:
        return list(dict.fromkeys(_keys_in(name_fmt)))
    except ValueError as error:
        cure = f"{error}; write for example prefix_fmt='{{epoch}}_'"
        raise wrong_value("the file's name", "a format of keys", name_fmt, cure) from None


def ending_of(name_fmt: str) -> str:
    """Return how the names of all files end."""
    *_, (last, field, *_) = Formatter().parse(name_fmt)
    return os.path.basename(last) if field is None else ""


def _keys_in(fmt: str) -> Iterator[str]:
    for _, field, spec, conversion in Formatter().parse(fmt):
        if field is not None:
            found = _FIELD.fullmatch(field)
            if not found or found[1].isdigit():
                raise ValueError(f"{{{field}}} is not a key of the state")
            if conversion not in (None, "", "a", "r", "s"):
                raise ValueError(f"there is no conversion !{conversion}")
            yield found[1]
            yield from _keys_in(spec or "")


def queue_key(queue_fmt: str, what: str) -> str:
    """Return the key under which the files are known."""
    try:
        return queue_fmt.format(what=what)
    except (ValueError, LookupError, AttributeError):
        expected, cure = "a format of the field what", "write for example queue_fmt='_saved_{what}'"
        raise wrong_value("queue_fmt", expected, queue_fmt, cure) from None


def as_folder(under: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the files, which is there then."""
    try:
        folder = Path(".") if under is None else Path(under)
        folder = folder.absolute()  # as it is now, whatever the working directory will be
    except TypeError:
        raise wrong_type("under", "a path", under, "pass a directory, for example 'out'") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"under must be a directory or become one, got {str(folder)!r}, which cannot be "
            f"created ({error.strerror}); pass a directory that you may write to",
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"under must be a directory that can be written to, got {str(folder)!r}; change its "
            "permissions or pass another"
        )
    return folder
