"""Files that are whole or not there."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

__all__ = ["write_whole"]

if sys.platform == "win32":  # pragma: no cover  (the tests run on Linux)

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        """Do nothing: Windows does not delete a file that is open."""

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        """Take the lock that a process holds while it writes a file, and loses when it dies."""
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that nobody ever sees a part of it.

    The bytes go to a file aside in the same directory, are flushed to disk, and are renamed
    to ``path``; then the directory is flushed. A process that is killed meanwhile leaves what was
    at ``path`` before, and perhaps the file aside, which the next call for a file in that
    directory removes. Several processes may write into one directory: the file aside is
    locked while it is being written, so only what a dead process left is removed.

    Args:
        path: File to write. A link is followed: what it points to is replaced.
        write: Called with a binary file to write to.

    Raises:
        BaseException: Whatever ``write`` raises; ``path`` is as it was then, and nothing else
            is left.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr.files import write_whole
        >>> with TemporaryDirectory() as folder:
        ...     write_whole(Path(folder, "x"), lambda file: file.write(b"all of it"))
        ...     Path(folder, "x").read_bytes()
        b'all of it'
    """
    target = path.resolve()
    _remove_leftovers(target.parent)
    file, aside = _open_aside(target.parent)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":  # pragma: no cover  (an open file cannot be renamed there)
                file.close()
            os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _flush_directory(target.parent)


def _open_aside(folder: Path) -> tuple[IO[bytes], Path]:
    while True:
        aside = folder / f".rnnr-{uuid4().hex}.tmp"
        file = open(aside, "xb")  # noqa: SIM115  (not tempfile: its files are private)
        with suppress(OSError):  # a file system without locks: nothing is removed there
            _lock(file, wait=True)
        if aside.exists():  # else another process took it for a leftover, before the lock
            return file, aside
        file.close()


def _remove_leftovers(folder: Path) -> None:
    for aside in folder.glob(".rnnr-*.tmp"):
        with suppress(OSError), open(aside, "rb") as file:  # locked: another process writes it
            _lock(file, wait=False)
            aside.unlink()


def _flush_directory(folder: Path) -> None:
    with suppress(OSError):  # Windows and some file systems flush no directory
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
