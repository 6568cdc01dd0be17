"""Files that are whole or not there, and which of them we have written ourselves."""

import os
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import uuid4

__all__ = [
    "KeptFiles",
    "SavedFile",
    "SavedFiles",
    "delete",
    "is_stamped",
    "new_stamp",
    "stamp",
    "write_atomic",
]

if sys.platform == "win32":  # pragma: no cover  (the tests run on Linux)

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        """Do nothing: Windows does not delete a file that is open."""

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> None:
        """Take the lock that a process holds while it writes a file, and loses when it dies."""
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


class SavedFile(NamedTuple):
    """A file, or a folder, that was saved during a run.

    Attributes:
        savers: Who saved it and still keeps it.
        stamp: The time of its last change that it was given then, in nanoseconds since 1970; by it
            it is known again. ``None`` if there was no such file.
    """

    savers: tuple[str, ...]
    stamp: int | None = None


class SavedFiles(deque[Path]):
    """The paths of the files that `rnnr.callbacks.checkpoint` keeps, the oldest first.

    It pickles as text, and its paths are those of the system that reads it. ``torch.save`` writes
    an ordered dict of text, which ``torch.load`` takes by default: there the paths are the keys.

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
        """Return what a state has under the key of saved files, whichever way it was stored.

        Paths that were taken out of it are forgotten; others that were put in are not ours.
        """
        if isinstance(value, SavedFiles):
            there = {str(path) for path in value}
            return cls({path: file for path, file in value.files.items() if path in there})
        if isinstance(value, OrderedDict) and all(map(_is_plain_file, value.values())):
            return _restored(value)
        return cls()

    def __copy__(self) -> "SavedFiles":
        return SavedFiles.of(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle as text, and for ``torch.save``, which uses protocol 2, as plain types alone."""
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
        paths: The files, the oldest first.
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
    """Return a time to `stamp` a file with: no other file has it, to the microsecond."""
    return time.time_ns() // 1000 * 1000  # no file system counts finer than this in other units


def stamp(path: Path, time_ns: int) -> int | None:
    """Set the time of the last change of a file, or of a folder and all that is in it.

    A later change by somebody else gives it another time. The time is chosen before the file is
    written, so that a state that is saved in the file knows it, too.

    Returns:
        The time that it has now, which file systems round; ``None`` where there is no such file.
    """
    try:
        for file in _files_of(path):
            if not _has_another_name(file):
                with suppress(OSError, NotImplementedError):  # not ours; a link on Windows
                    os.utime(file, ns=(time_ns, time_ns), follow_symlinks=False)
        return path.lstat().st_mtime_ns
    except OSError:
        return None


def is_stamped(path: Path, time_ns: int | None) -> bool:
    """Return whether a file, or a folder and all that is in it, is as it was stamped."""
    try:
        return all(
            file.lstat().st_mtime_ns == time_ns
            for file in _files_of(path)
            if file == path or not _has_another_name(file)
        )
    except OSError:
        return False


def _files_of(path: Path) -> list[Path]:
    """Return a path, before it what is in it."""
    is_folder = path.is_dir() and not path.is_symlink()
    return [*(path.rglob("*") if is_folder else ()), path]


def _has_another_name(file: Path) -> bool:
    """Return whether it is a file with a hard link elsewhere, whose time is not ours to set."""
    return not file.is_dir() and file.lstat().st_nlink > 1


def delete(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; a link, and not what it points to.

    Raises:
        OSError: If it cannot be deleted; not where it is gone already.
    """
    if path.is_dir() and not path.is_symlink():
        from shutil import rmtree

        rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_atomic(
    path: Path, write: Callable[[IO[bytes]], object], *, time_ns: int | None = None
) -> None:
    """Write a file so that nobody ever sees a part of it.

    The bytes go to a file aside in the same directory, are flushed to disk, and are renamed
    to ``path``; then the directory is flushed. A process that is killed meanwhile leaves what was
    at ``path`` before, and perhaps the file aside, which the next call for a file in that
    directory removes. Several processes may write into one directory: the file aside is
    locked while it is being written, so only what a dead process left is removed.

    Args:
        path: File to write. A link is followed: what it points to is replaced.
        write: Called with a binary file to write to.
        time_ns: Time of the last change that it is to have, in nanoseconds since 1970; the present
            time, unless you say otherwise.

    Raises:
        BaseException: Whatever ``write`` raises; ``path`` is as it was then, and nothing else
            is left.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr.files import write_atomic
        >>> with TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder, "x"), lambda file: file.write(b"all of it"))
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
            if time_ns is not None:
                stamp(aside, time_ns)
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
