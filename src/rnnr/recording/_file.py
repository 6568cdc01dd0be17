"""The file of a recording while somebody records: only added to, and by nobody else."""

import io
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from rnnr._errors import wrong_value

__all__ = ["Owner", "RecordingFile", "release"]

if sys.platform == "win32":  # pragma: no cover  (the tests run on Linux)

    def _lock(_: io.FileIO) -> None:
        """Do nothing: there are no advisory locks."""

else:
    import fcntl

    def _lock(file: io.FileIO) -> None:
        """Take the lock that ends with the process, and does not hinder who reads."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Owner(Protocol):
    """Who records to a file, also while it is closed between two runs."""

    def needs(self, path: Path) -> bool:
        """Return whether it may go on to record, to what a path leads to."""


_taken: WeakValueDictionary[tuple[int, int], Owner] = WeakValueDictionary()
_open: WeakSet["RecordingFile"] = WeakSet()


class RecordingFile(io.FileIO):
    """A file that one `rnnr.recording.Record` alone adds to, unbuffered.

    It is known by its place on the disk, so however its path is spelled. Within the process a
    dict tells who has it, until that one gives it up or is garbage; beyond it a lock of the file,
    where the file system has any, as long as it is open. It is closed without a warning when it
    is garbage. A forked process has it closed: the lock would last as long as that one otherwise.

    Args:
        path: File to open, made if it is not there.
        owner: Who records to it.

    Raises:
        ValueError: If it is taken.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        _forget_in_children()
        super().__init__(os.fspath(path), "a+")
        try:
            found = os.fstat(self.fileno())
            key = found.st_dev, found.st_ino
            holder = _taken.setdefault(key, owner)
            if holder is not owner:
                if holder.needs(path):
                    raise _wrong_file(path, "this process")
                _taken[key] = owner  # that one opens its path again, if it has a runner
            try:
                _lock(self)
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
        except (OSError, ValueError):  # it is gone; a forked process has it closed
            return False

    def ends_in_half_a_line(self) -> bool:
        """Return whether it ends in what a killed process has left."""
        return self.last_bytes(1) not in (b"", b"\n")

    def last_bytes(self, n: int) -> bytes:
        """Return what is at its end, at most so much."""
        self.seek(max(0, self.seek(0, os.SEEK_END) - n))
        return self.readall()

    def __del__(self) -> None:
        """Close it: most scripts let go of it without a word."""
        with suppress(Exception):
            self.close()


@cache
def _forget_in_children() -> None:
    if hasattr(os, "register_at_fork"):  # pragma: no branch  (Windows has none)
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    """Let go of the files of the parent process, which has them still."""
    for file in [*_open]:
        with suppress(Exception):
            file.close()
    _taken.clear()


def release(owner: Owner) -> None:
    """Let others have what was taken."""
    for key in [key for key, one in list(_taken.items()) if one is owner]:
        _taken.pop(key, None)


def _wrong_file(path: Path, who: str) -> ValueError:
    cure = (
        f"a Record of {who} writes it: give each run its own, as in Record('evaluation.jsonl'), "
        "record in one process alone, or dispose first of what attach_on has returned"
    )
    return wrong_value("path", "a file that nobody else records to", str(path), cure)
