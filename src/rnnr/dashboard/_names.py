"""Names of recordings on the page, and which of them share a row, from their paths."""

import os
from collections.abc import Collection, Iterable
from glob import has_magic
from itertools import count
from pathlib import Path

__all__ = ["free_name", "owner_of", "path_and_name"]

_SUFFIX = ".jsonl"


def path_and_name(argument: str) -> tuple[str, str | None]:
    """Split ``PATH=name``; the name is ``None`` if there is none.

    If the whole argument leads to something it is the path: a file may have a ``=`` in its name.
    """
    if os.path.lexists(argument):
        return argument, None
    places = [i for i, letter in enumerate(argument) if letter == "="]
    for place in reversed(places):
        path, name = argument[:place], argument[place + 1 :]
        if name and (os.path.lexists(path) or (_is_plain(path) and not _is_of_a_path(name))):
            return path, name
    return argument, None


def _is_plain(path: str) -> bool:
    """Return whether a path is plainly a pattern, or a folder that is not there so far."""
    return has_magic(path) or path.endswith(("/", os.sep))


def _is_of_a_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.endswith(_SUFFIX)


def free_name(wanted: Iterable[str], taken: Collection[str]) -> str:
    """Return the first of some names that is not taken; else the last one with a number."""
    name = ""
    for name in wanted:
        if name not in taken:
            return name
    return next(f"{name} ({n})" for n in count(2) if f"{name} ({n})" not in taken)


def owner_of(path: Path, paths: Collection[Path]) -> tuple[Path, str] | None:
    """Return the recording whose row another one shares, and the label of that other one.

    ``plain-08.validation.jsonl`` is the part ``validation`` of ``plain-08.jsonl``, if that is
    there. What begins with a digit is not a label: ``rate-0.5.jsonl`` is not a part of
    ``rate-0.jsonl``.
    """
    stem = path.name.removesuffix(_SUFFIX) if path.suffix == _SUFFIX else ""
    for place in (i for i, letter in enumerate(stem) if letter == "." and i):
        owner, label = path.with_name(stem[:place] + _SUFFIX), stem[place + 1 :]
        if label and not label[0].isdigit() and owner in paths and owner != path:
            return owner, label
    return None
