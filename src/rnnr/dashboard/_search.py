"""Look for recordings below a folder or by a pattern, again and again."""

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

from rnnr.recording._format import DAMAGES, decode
from rnnr.recording._lines import open_file

__all__ = ["Search", "is_search"]

logger = logging.getLogger("rnnr.dashboard")

_SUFFIX = ".jsonl"
_EVERYTHING: tuple[str, ...] = ("**", f"*{_SUFFIX}")
_LEAST = 2.0  # seconds between two looks
_SHARE = 1000  # a look takes at most this part of the time
_HEAD = 1 << 16  # bytes in which the first report has to be
_BEGINNING = re.compile(rb'\s*\{\s*"event"')
_DEEPEST = 50  # folders below each other


class Search:
    """Finds recordings below a folder, or by a pattern, that it has not found before.

    Hidden files and folders, and links to folders, are left out, as is a file that is not a
    recording: a pipe, a device, a file without permission, a binary file, a log of another kind.
    Those are logged once each. A file without a whole line may become a recording.

    Args:
        path: Folder, below which every ``*.jsonl`` counts, and which may not be there so far; or a
            pattern as of ``glob``.
        clock: Returns a time in seconds that never goes back.

    Attributes:
        base (Path): Folder below which the names of the recordings begin.
        due (float): Time of the clock from which to look again.
    """

    def __init__(
        self, path: str | os.PathLike[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.due = 0.0
        self._clock = clock
        self._found: set[str] = set()
        self._told: set[str] = set()
        whole = Path(path).absolute()
        if whole.is_dir() or not has_magic(str(whole)):
            self.base, self._pattern = whole, _EVERYTHING
        else:
            parts = whole.parts
            n = next(i for i, part in enumerate(parts) if has_magic(part))
            self.base, self._pattern = Path(*parts[:n]), parts[n:]

    def look(self) -> Iterator[Path]:
        """Yield the recordings that are new, in the order of their names in each folder."""
        began = self._clock()
        for path in self._matching(str(self.base), self._pattern, _DEEPEST):
            if path not in self._found and self._is_recording(path):
                self._found.add(path)
                yield Path(path)
        now = self._clock()
        self.due = now + max(_LEAST, _SHARE * (now - began))

    def name_of(self, path: Path) -> str:
        """Return the name of a recording that was found: its path below the base."""
        return path.relative_to(self.base).as_posix().removesuffix(_SUFFIX)

    def _matching(self, folder: str, pattern: tuple[str, ...], depth: int) -> Iterator[str]:
        first, rest = pattern[0], pattern[1:]
        if first == "**":
            yield from self._matching(folder, rest or ("*",), depth)
        if not depth:
            return
        for entry in self._entries(folder):
            if first == "**":
                if not entry.name.startswith(".") and _is_folder(entry, links=False):
                    yield from self._matching(entry.path, pattern, depth - 1)
            elif _matches(entry.name, first):
                if not rest and not _is_folder(entry, links=True):
                    yield entry.path
                elif rest and _is_folder(entry, links=True):
                    yield from self._matching(entry.path, rest, depth - 1)

    def _entries(self, folder: str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            self._tell("Waiting for", folder, "there is no such folder")
            return []
        except OSError as error:
            self._tell("Cannot look through", folder, error.strerror or str(error))
            return []

    def _is_recording(self, path: str) -> bool:
        try:
            reason = _reason_against(path)
        except FileNotFoundError:  # it was removed in between
            return False
        except OSError as error:
            # ENXIO: a socket, which cannot be opened
            not_a_file = error.errno in (errno.ENXIO, errno.EOPNOTSUPP)
            reason = "it is not a file" if not_a_file else error.strerror or str(error)
        if reason:
            self._tell("Left out", path, reason)
        return reason is None

    def _tell(self, what: str, path: str, reason: str) -> None:
        if path not in self._told:
            self._told.add(path)
            logger.warning("%s %s: %s", what, path, reason)


def is_search(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a folder or a pattern: not a file, and not a wrong path.

    What is not there so far is a folder if it has no suffix, or a slash at its end.
    """
    text, whole = os.fspath(path), Path(path)
    if whole.exists():
        return whole.is_dir()
    return has_magic(text) or not whole.suffix or text.endswith(("/", os.sep))


def _matches(name: str, pattern: str) -> bool:
    is_hidden = name.startswith(".") and not pattern.startswith(".")
    return not is_hidden and fnmatchcase(os.path.normcase(name), os.path.normcase(pattern))


def _is_folder(entry: "os.DirEntry[str]", *, links: bool) -> bool:
    with suppress(OSError):  # a link in a circle
        return entry.is_dir(follow_symlinks=links)
    return False


def _reason_against(path: str) -> str | None:
    """Return why a file is not a recording; ``None`` if it is one, "" if it is too early to say."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return "it is not a file"
    with open_file(path) as file:
        head = file.read(_HEAD)
    *lines, rest = head.split(b"\n")
    if b"\0" in head:
        return "it is a binary file"
    if len(head) == _HEAD and not lines:  # a long configuration, say
        return None if _BEGINNING.match(rest) else "it has no report of rnnr"
    if any(map(_is_report, lines)):
        return None
    return "it has no report of rnnr" if any(map(bytes.strip, lines)) else ""


def _is_report(line: bytes) -> bool:
    try:
        decode(line)
    except DAMAGES:
        return False
    return True
