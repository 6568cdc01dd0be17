"""The open file of a recording, to which one `Record` alone appends."""

import io
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from rnnr._errors import wrong_value
from rnnr.files import lock

__all__ = ["Owner", "RecordingFile", "release"]


class Owner(Protocol):
    """The writer of a file, which keeps it reserved while it is closed between two runs."""

    def needs(self, path: Path) -> bool:
        """Return whether it may still record to the file at a path."""


_taken: WeakValueDictionary[tuple[int, int], Owner] = WeakValueDictionary()
_open: WeakSet["RecordingFile"] = WeakSet()


class RecordingFile(io.FileIO):
    """A file to which one `rnnr.recording.Record` alone appends, unbuffered.

    It is identified by its place on the disk, however its path is spelled. Within the process a
    dict maps it to its owner, until the owner releases it or is collected. Other processes are kept
    out by a lock on the open file, if the file system has locks. It is closed without a warning
    when it is collected. In a forked process it is closed: else the child would keep the lock.

    Args:
        path: File to open; created if it is not there.
        owner: Writer that records to it.

    Raises:
        ValueError: If another `Record` has it.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        _close_in_children()
        super().__init__(os.fspath(path), "a+")
        try:
            found = os.fstat(self.fileno())
            key = found.st_dev, found.st_ino
            holder = _taken.setdefault(key, owner)
            if holder is not owner:
                if holder.needs(path):
                    raise _wrong_file(path, "this process")
                _taken[key] = owner  # the other one opens its path again, if it has a runner
            try:
                lock(self, wait=False)
            except BlockingIOError:
                raise _wrong_file(path, "another process") from None
            except OSError:  # a file system without locks
                pass
        except BaseException:
            self.close()
            release(owner)
            raise
        _open.add(self)

    def is_at(self, path: Path) -> bool:
        """Return whether a path leads to this file."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.fileno()))
        except (OSError, ValueError):  # the path is gone, or a fork has closed the file
            return False

    def ends_in_half_a_line(self) -> bool:
        """Return whether it ends in the middle of a line, which a killed process has left."""
        return self.last_bytes(1) not in (b"", b"\n")

    def last_bytes(self, n: int) -> bytes:
        """Return the last ``n`` bytes, or all if there are fewer."""
        self.seek(max(0, self.seek(0, os.SEEK_END) - n))
        return self.readall()

    def __del__(self) -> None:
        """Close it without a warning, since most scripts do not close it."""
        with suppress(Exception):
            self.close()


@cache
def _close_in_children() -> None:
    if hasattr(os, "register_at_fork"):  # pragma: no branch  (Windows has none)
        os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    """Close the files of the parent process in a child; the parent keeps them."""
    for file in [*_open]:
        with suppress(Exception):
            file.close()
    _taken.clear()


def release(owner: Owner) -> None:
    """Release the files of an owner for others."""
    for key in [key for key, holder in list(_taken.items()) if holder is owner]:
        _taken.pop(key, None)


def _wrong_file(path: Path, who: str) -> ValueError:
    cure = (
        f"a Record of {who} writes it: give each run its own, as in Record('evaluation.jsonl'), "
        "record in one process only, or first dispose of the Disposable from attach_on"
    )
    return wrong_value("path", "a file that nobody else records to", str(path), cure)
