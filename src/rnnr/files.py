"""Write files atomically, and recognize the files that a run has written."""

import errno
import os
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import uuid4
from weakref import WeakSet

__all__ = ["KeptFiles", "SavedFile", "SavedFiles", "write_atomic"]

_OF_THE_DISK = {errno.EDQUOT, errno.EIO, errno.ENOSPC}

if sys.platform == "win32":  # pragma: no cover  (the tests run on Linux)

    def lock(file: IO[bytes] | FileIO, *, wait: bool) -> None:
        """Do nothing: Windows does not delete a file that is open."""

else:
    import fcntl

    def lock(file: IO[bytes] | FileIO, *, wait: bool) -> None:
        """Take the lock that a process holds while it writes a file; it ends with the process."""
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


_open: WeakSet[FileIO] = WeakSet()


def keep_from_children(file: FileIO) -> None:
    """Have an open file closed in processes that are forked: they would keep its lock."""
    _close_in_children()
    _open.add(file)


@cache
def _close_in_children() -> None:
    if hasattr(os, "register_at_fork"):  # pragma: no branch  (Windows has none)
        os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    for file in [*_open]:
        with suppress(Exception):
            file.close()


class SavedFile(NamedTuple):
    """A file, or a folder, that was saved during a run.

    Attributes:
        savers: Names of the callbacks that saved it and still keep it.
        stamp: Modification time that it was given then, in nanoseconds since 1970, by which it is
            recognized. ``None`` if there was no such file.
    """

    savers: tuple[str, ...]
    stamp: int | None = None


class SavedFiles(deque[Path]):
    """The paths of the files that `rnnr.callbacks.checkpoint` keeps, the oldest first.

    It pickles as text, so the paths become those of the system that reads it. ``torch.save`` writes
    an ordered dict with the paths as keys, which ``torch.load`` accepts by default.

    Attributes:
        files (Mapping[str, SavedFile]): What is known of each, under its path.

    Example:
        >>> from rnnr.files import SavedFile, SavedFiles
        >>> saved = SavedFiles({"out/7_model.pkl": SavedFile(("model",))})
        >>> saved[-1].name
        '7_model.pkl'
    """

    def __init__(self, files: Iterable[str] | Mapping[str, SavedFile] = ()) -> None:
        super().__init__(map(Path, files))
        self.files: Mapping[str, SavedFile] = files if isinstance(files, Mapping) else {}

    @classmethod
    def of(cls, value: object) -> "SavedFiles":
        """Return the saved files of a state from the value of their key, however it was stored.

        Paths that a callback has removed are forgotten; paths that it has added are ignored.
        """
        if isinstance(value, SavedFiles):
            present = {str(path) for path in value}
            return cls({path: file for path, file in value.files.items() if path in present})
        if isinstance(value, OrderedDict) and all(map(_is_plain_file, value.values())):
            return _restored(value)
        return cls()

    def __copy__(self) -> "SavedFiles":
        return SavedFiles.of(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as text; for ``torch.save``, which uses protocol 2, as plain types only."""
        plain = {path: [list(file.savers), file.stamp] for path, file in self.files.items()}
        if protocol == 2:
            return OrderedDict, (), None, None, iter(plain.items())
        return _restored, (plain,)


class KeptFiles(NamedTuple):
    """The files that one part of a run has saved and keeps; `rnnr.operators.save_file` makes it.

    Attributes:
        state: The state of the run.
        key: Key of the state under which the files are known, as `SavedFiles`.
        saver: Name of the part.
        paths: The files, the oldest first, or the worst first for a checkpoint of the best; after
            `rnnr.operators.all_but_newest`, those that are not among the last of them.
    """

    state: dict[str, Any]
    key: str
    saver: str
    paths: tuple[str, ...]


def _restored(plain: Mapping[str, Any]) -> SavedFiles:
    return SavedFiles(
        {path: SavedFile(tuple(savers), known) for path, (savers, known) in plain.items()}
    )


def _is_plain_file(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], list)


def new_stamp() -> int:
    """Return the present time in whole microseconds, as a `stamp` that no other file has."""
    return time.time_ns() // 1000 * 1000  # so that file systems that count in 100 ns can store it


def stamp(path: Path, time_ns: int) -> int | None:
    """Set the modification time of a file, or of a folder and everything in it.

    A later change by another program sets another time. The time is chosen before the file is
    written, so that a state that is saved in the file holds it, too.

    Returns:
        The time as the file system has rounded it; ``None`` if there is no such file.
    """
    try:
        for file in _files_of(path):
            if not _has_another_name(file):
                with suppress(OSError, NotImplementedError):  # of another owner; a link on Windows
                    os.utime(file, ns=(time_ns, time_ns), follow_symlinks=False)
        return path.lstat().st_mtime_ns
    except OSError:
        return None


def is_stamped(path: Path, time_ns: int | None) -> bool:
    """Return whether a file, or a folder and everything in it, still has the time of its stamp."""
    try:
        return all(
            file.lstat().st_mtime_ns == time_ns
            for file in _files_of(path)
            if file == path or not _has_another_name(file)
        )
    except OSError:
        return False


def _files_of(path: Path) -> list[Path]:
    """Return the contents of a folder, if the path is one, and then the path itself."""
    is_folder = path.is_dir() and not path.is_symlink()
    return [*(path.rglob("*") if is_folder else ()), path]


def _has_another_name(file: Path) -> bool:
    """Return whether it is a file with another hard link, whose time we must not change."""
    return not file.is_dir() and file.lstat().st_nlink > 1


def delete(path: Path) -> None:
    """Delete a file, or a folder with everything in it; a link itself, not its target.

    Raises:
        OSError: If it is there and cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        from shutil import rmtree

        rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_atomic(
    path: Path, write: Callable[[IO[bytes]], object], *, time_ns: int | None = None
) -> None:
    """Write a file atomically: a reader sees the old file or the new one, never a part of it.

    The bytes go to a temporary file in the same directory, are flushed to disk, and are renamed
    to ``path``; then the directory is flushed. If the process is killed meanwhile, ``path`` keeps
    its old contents, and the temporary file may stay; the next call for a file in that directory
    removes it. Several processes may write into one directory: a temporary file is locked while
    it is being written, so only the files of dead processes are removed.

    Args:
        path: File to write. A link is followed: its target is replaced.
        write: Called with a binary file to write to.
        time_ns: Modification time of the file, in nanoseconds since 1970; the present time, if
            not given.

    Raises:
        BaseException: Whatever ``write`` raises; ``path`` is unchanged then, and the temporary
            file is removed.
        OSError: If the directory cannot be flushed, since the disk is full or broken. The file is
            written then, but may not survive a loss of power.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr.files import write_atomic
        >>> with TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder, "x"), lambda file: file.write(b"all of it"))
        ...     Path(folder, "x").read_bytes()
        b'all of it'
    """
    replace_atomic(path.resolve(), write, time_ns)


def replace_atomic(target: Path, write: Callable[[IO[bytes]], object], time_ns: int | None) -> None:
    _remove_leftovers(target.parent)
    file, temporary = _open_temporary(target.parent)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if time_ns is not None:
                stamp(temporary, time_ns)
            if sys.platform == "win32":  # pragma: no cover  (an open file cannot be renamed there)
                file.close()
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_directory(target.parent)


def _open_temporary(folder: Path) -> tuple[IO[bytes], Path]:
    while True:
        temporary = temporary_path(folder)
        file = open(temporary, "xb")  # noqa: SIM115  (not tempfile: its files are private)
        with suppress(OSError):  # a file system without locks: nothing is removed there
            lock(file, wait=True)
        if temporary.exists():  # else another process removed it as a leftover, before the lock
            return file, temporary
        file.close()


def temporary_path(folder: Path) -> Path:
    """Return a new path, which the next write in the folder removes if nobody has it locked."""
    return folder / f".rnnr-{uuid4().hex}.tmp"


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(".rnnr-*.tmp"):
        with suppress(OSError), open(leftover, "rb") as file:  # locked: another process writes it
            lock(file, wait=False)
            leftover.unlink()


def flush_directory(folder: Path) -> None:
    """Flush the entries of a directory to disk, where that can be done.

    Raises:
        OSError: If the disk is full or broken.
    """
    try:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:  # Windows and some file systems cannot flush a directory
        if error.errno in _OF_THE_DISK:
            raise
