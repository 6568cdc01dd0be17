"""A file of lines to which one writer alone appends, and which can be cut back."""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from errno import EIO
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias
from weakref import WeakValueDictionary

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr.files import flush_directory, keep_from_children, lock

__all__ = ["BEGINNING", "LogFile", "Owner", "Position", "Stamp", "release", "wrong_position"]

_MARK: Final = 4096  # bytes before a position, by which the file is recognized
_PART: Final = 1 << 20  # bytes of what is cut, as it is returned or copied


Stamp: TypeAlias = tuple[int, int, int]
"""The place of a file on the disk, and its size."""


class Position(NamedTuple):
    """Where a file ended.

    Attributes:
        offset: Its size in bytes.
        mark: A checksum of the bytes before that, by which the file is recognized.
    """

    offset: int
    mark: str

    @classmethod
    def of(cls, state: Any) -> "Position":
        """Return the position in what a `state_dict` has returned.

        Raises:
            TypeError: If it is something else.
            ValueError: If the offset is negative.
        """
        cure = "pass what state_dict() of such a log has returned"
        if not isinstance(state, Mapping) or not {*cls._fields} <= {*state}:
            raise wrong_type("state", "a dict with an offset and a mark", state, cure)
        check_string("mark", state["mark"], cure)
        return cls(as_integer("offset", state["offset"], 0, cure), state["mark"])


class Owner(Protocol):
    """The writer of a file, which keeps it reserved while it is closed between two runs."""

    name: str

    def needs(self, path: Path) -> bool:
        """Return whether it may still write to the file at a path."""


_taken: WeakValueDictionary[tuple[int, int], Owner] = WeakValueDictionary()


class LogFile(io.FileIO):
    """A file to which one owner alone appends, unbuffered.

    It is identified by its place on the disk, however its path is spelled. Within the process a
    dict maps it to its owner, until the owner releases it or is collected. Other processes are kept
    out by a lock on the open file, if the file system has locks. It is closed without a warning
    when it is collected. In a forked process it is closed: else the child would keep the lock.

    Args:
        path: File to open; created if it is not there.
        owner: Who writes it.

    Attributes:
        is_torn: Whether a part of what was to be appended may be at its end.

    Raises:
        ValueError: If another owner has it.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        _release_in_children()
        super().__init__(os.fspath(path), "a+")
        self._path = path
        self._position: Position | None = None
        self.is_torn = False
        try:
            key = self.stamp()[:2]
            holder = _taken.setdefault(key, owner)
            if holder is not owner:
                if holder.needs(path):
                    raise _wrong_file(path, owner, f"a {holder.name} of this process")
                _taken[key] = owner  # the other one opens its path again, if it has a runner
            try:
                lock(self, wait=False)
            except BlockingIOError:
                raise _wrong_file(path, owner, "another process") from None
            except OSError:  # a file system without locks
                pass
        except BaseException:
            self.close()
            release(owner)
            raise
        keep_from_children(self)

    def is_at(self, path: Path) -> bool:
        """Return whether a path leads to this file."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fileno()))
        except (OSError, ValueError):  # the path is gone, or a fork has closed the file
            return False

    def ends_in_half_a_line(self) -> bool:
        """Return whether it ends in the middle of a line, which a killed process has left."""
        return self.last_bytes(1) not in (b"", b"\n")

    def stamp(self) -> Stamp:
        """Return its place on the disk and its size."""
        found = os.fstat(self.fileno())
        return found.st_dev, found.st_ino, found.st_size

    def size(self) -> int:
        """Return its size in bytes."""
        return self.seek(0, os.SEEK_END)

    def last_bytes(self, n: int) -> bytes:
        """Return the last ``n`` bytes, or all if there are fewer."""
        self.seek(max(0, self.size() - n))
        return self.readall()

    def lines(self) -> Iterator[bytes]:
        """Yield all lines, with their ends."""
        with open(os.dup(self.fileno()), "rb") as file:
            file.seek(0)
            yield from file

    def append(self, data: bytes, header: bytes = b"") -> None:
        """Append all of the bytes, or none of them if there is an error.

        Args:
            data: What to append.
            header: What comes before it if the file is empty.

        Raises:
            OSError: If it cannot be written.
        """
        end, n_written = self.size(), 0
        data = data if end else header + data
        self.is_torn = True
        try:
            while n_written < len(data):
                n_written += self.write_some(data[n_written:])
        except BaseException:
            with suppress(Exception):
                self.truncate(end)
                self.is_torn = False
            raise
        self.is_torn = False

    def write_some(self, data: bytes) -> int:
        """Write the first of the bytes; return how many.

        Raises:
            OSError: If none can be written.
        """
        n = self.write(data)
        if not n:
            raise OSError(EIO, "nothing was written")
        return n

    def position(self) -> Position:
        """Return the position of the end, when all that is before it is on the disk."""
        offset = self.size()
        if self._position is None:
            flush_directory(self._path.parent)
        if self._position is None or offset != self._position.offset:
            os.fsync(self.fileno())
            self._position = Position(offset, self._mark_at(offset))
        return self._position

    def cut(self, position: Position) -> bytes:
        """Remove what is after a position.

        Returns:
            The beginning of what was removed.

        Raises:
            ValueError: If it is not the file of the position; nothing is changed then.
            OSError: If it cannot be read or written.
        """
        self.check(position)
        removed = self.read(_PART) or b""
        if removed:
            self._position = None  # the file may grow to the same size again
            self.truncate(position.offset)
            os.fsync(self.fileno())
        return removed

    def copy_after(self, position: Position, write: Callable[[bytes], object]) -> None:
        """Pass to a function, in parts, what `cut` would remove.

        Raises:
            ValueError: If it is not the file of the position.
            OSError: If it cannot be read.
        """
        n_left = self.check(position) - position.offset  # what it grows by meanwhile is not of it
        while n_left > 0 and (part := self.read(min(_PART, n_left))):
            write(part)
            n_left -= len(part)

    def check(self, position: Position) -> int:
        """Go to a position, and return the size of the file.

        Raises:
            ValueError: If it is not the file of the position.
            OSError: If it cannot be read.
        """
        size = self.size()
        if size < position.offset:
            raise wrong_position(self._path, position, f"a file of {size}")
        if self._mark_at(position.offset) != position.mark:
            raise wrong_position(self._path, position, "a file whose bytes before that are others")
        self.seek(position.offset)
        return size

    def _mark_at(self, offset: int) -> str:
        begin = max(0, offset - _MARK)
        self.seek(begin)
        return _checksum(self.read(offset - begin) or b"")

    def __del__(self) -> None:
        """Close it without a warning, since most scripts do not close it."""
        with suppress(Exception):
            self.close()


def release(owner: Owner) -> None:
    """Release the files of an owner for others."""
    for key in [key for key, holder in list(_taken.items()) if holder is owner]:
        _taken.pop(key, None)


def wrong_position(path: Path, position: Position, got: str) -> ValueError:
    """Return the error for a file that cannot be cut back to a position."""
    return ValueError(
        f"the file at {str(path)!r} must be the one that was saved, with all of its first "
        f"{position.offset} bytes, got {got}; put that file back, or begin the run again, with "
        "another file and another folder of snapshots"
    )


@cache
def _release_in_children() -> None:
    if hasattr(os, "register_at_fork"):  # pragma: no branch  (Windows has none)
        os.register_at_fork(after_in_child=_taken.clear)


def _checksum(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


def _wrong_file(path: Path, owner: Owner, who: str) -> ValueError:
    other = f"{owner.name}({f'evaluation{path.suffix}'!r})"
    cure = (
        f"{who} writes it: give each run its own, as in {other}, write it in one process only, or "
        "first dispose of the Disposable from attach_on"
    )
    return wrong_value("path", "a file that nobody else writes", str(path), cure)


BEGINNING: Final = Position(0, _checksum(b""))
"""The position in a file that is empty, or not there."""
