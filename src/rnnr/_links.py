"""Another name for a file, which is replaced atomically."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import copyfileobj

from rnnr.files import lock, replace_atomic, temporary_path

__all__ = ["link_atomic"]


def link_atomic(target: Path, link: Path) -> None:
    """Give a file another name, atomically: a reader of that name sees the older file or this one.

    It is a hard link, which stays whole when the file is replaced or deleted; where the file system
    has none, a copy. A folder gets a symbolic link.

    Raises:
        OSError: If it is not there, or a folder cannot be linked to.
    """
    if target.is_dir():
        _replace_link(
            link, lambda path: path.symlink_to(os.path.relpath(target, link.parent), True)
        )
        return
    with open(target, "rb") as file:
        if os.path.lexists(link) and os.path.samestat(link.lstat(), os.fstat(file.fileno())):
            return
        with suppress(OSError):  # as a temporary file of a process that lives
            lock(file, wait=True)
        try:
            _replace_link(link, lambda path: os.link(target, path))
        except OSError:
            time_ns = os.fstat(file.fileno()).st_mtime_ns
            replace_atomic(link, lambda copy: copyfileobj(file, copy), time_ns)


def _replace_link(link: Path, make: Callable[[Path], object]) -> None:
    temporary = temporary_path(link.parent)
    try:
        make(temporary)
        os.replace(temporary, link)
    finally:
        temporary.unlink(missing_ok=True)
