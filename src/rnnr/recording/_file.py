"""The file of a recording while somebody records: only added to, and by nobody else."""

import io
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from weakref import WeakSet

from rnnr.errors import wrong_value

__all__ = ["RecordingFile"]

if sys.platform == "win32":  # pragma: no cover  (the tests run on Linux)

    def _lock(_: io.FileIO) -> None:
        """Do nothing: there are no advisory locks."""

else:
    import fcntl

    def _lock(file: io.FileIO) -> None:
        """Take the lock that ends with the process, and does not hinder who reads."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_taken: dict[tuple[int, int], object] = {}  # who writes which file of this process
_open: WeakSet["RecordingFile"] = WeakSet()


class RecordingFile(io.FileIO):
    """A file that one `rnnr.recording.Record` alone adds to, unbuffered.

    It is known by its place on the disk, so however its path is spelled. Within the process a
    dict tells that it is taken; beyond it a lock of the file, where the file system has any. Both
    end when it is closed, which it is at the latest when it is garbage, without a warning. A
    forked process has it closed: the lock would last as long as that one otherwise.

    Raises:
        ValueError: If it is taken.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        _forget_in_children()
        super().__init__(os.fspath(path), "a+")
        found = os.fstat(self.fileno())
        self._key = found.st_dev, found.st_ino
        self._claim = object()
        try:
            if _taken.setdefault(self._key, self._claim) is not self._claim:
                raise _wrong_file(path, "this process")
            try:
                _lock(self)
            except BlockingIOError:
                raise _wrong_file(path, "another process") from None
            except OSError:  # a file system without locks
                pass
        except BaseException:
            self.close()
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
        return (
            self.seek(0, os.SEEK_END) > 0
            and self.seek(-1, os.SEEK_END) >= 0
            and (self.read(1) != b"\n")
        )

    def close(self) -> None:
        """Close it, and let others have it."""
        try:
            super().close()
        finally:
            if _taken.get(self._key) is self._claim:
                del _taken[self._key]

    def __del__(self) -> None:
        """Close it: who let go of it did not say so, as most scripts do not."""
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


def _wrong_file(path: Path, who: str) -> ValueError:
    cure = (
        f"a Record of {who} writes it: give each run its own, as in Record('evaluation.jsonl'), "
        "record in one process alone, or dispose first of what attach_on has returned"
    )
    return wrong_value("path", "a file that nobody else records to", str(path), cure)
