"""The folder of a run: its snapshots, sealed, and its lock."""

import hashlib
import json
import logging
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, EIO
from io import FileIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from rnnr._errors import shown
from rnnr.files import delete, flush_directory, keep_from_children, lock

__all__ = ["ARRAYS", "MANIFEST", "Folder", "Name", "Snapshot", "Status"]

MANIFEST: Final = "manifest.json"
ARRAYS: Final = "arrays.safetensors"

_LOCK: Final = ".lock"
_NAME: Final = re.compile(r"([0-9]{9,})-([0-9]{4,})-([SBEF])")
_KINDS: Final = "SBEF"
_SEAL: Final = 64  # hexadecimal digits of a SHA-256
_SEALED: Final = re.compile(rb"[0-9a-f]{64}\n\Z")  # the end of a whole manifest

logger = logging.getLogger("rnnr.durable")


class Name(NamedTuple):
    """The name of a snapshot: where the run was.

    Attributes:
        n_iters: Number of batches drawn since the run began.
        epoch: Number of the epoch.
        kind: ``S`` before the start, ``B`` after a batch, ``E`` after the end of an epoch, ``F``
            when the run had finished.
    """

    n_iters: int
    epoch: int
    kind: str

    def __str__(self) -> str:
        return f"{self.n_iters:09}-{self.epoch:04}-{self.kind}"

    @classmethod
    def parse(cls, text: str) -> "Name | None":
        """Return the name that a text is, to the letter; ``None`` if it is not one."""
        match = _NAME.fullmatch(text)
        name = match and cls(int(match[1]), int(match[2]), match[3])
        return name if str(name) == text else None

    @property
    def place(self) -> tuple[int, int, int]:
        """Its place in the order of a run."""
        return self.n_iters, self.epoch, _KINDS.index(self.kind)


class Status:
    """What a snapshot on disk is."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    FRAGMENT = "fragment"


class Snapshot(NamedTuple):
    """A snapshot on disk.

    Attributes:
        path: Its folder.
        name: Where the run was.
        status: One of `Status`.
        problem: What is wrong with it, in words; empty if it is whole.
        manifest: What it says of itself; empty unless its seal is right.
    """

    path: Path
    name: Name
    status: str
    problem: str = ""
    manifest: dict[str, Any] = {}  # noqa: RUF012  (nobody changes it)

    def read(self) -> bytearray:
        """Return the file of the arrays.

        Raises:
            ValueError: If it is not what was written.
            OSError: If it cannot be read.
        """
        size, digest = (self.manifest["files"][ARRAYS][key] for key in ("bytes", "sha256"))
        data = bytearray(size)
        with open(self.path / ARRAYS, "rb") as file:
            n_read = file.readinto(data)
            if n_read != size or file.read(1):
                raise ValueError(f"{ARRAYS} does not have the {size} bytes that were written")
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(f"{ARRAYS} has another SHA-256 sum than what was written")
        return data

    def verified(self) -> "Snapshot":
        """Return it with the status that reading all of it shows."""
        if self.status != Status.WHOLE:
            return self
        try:
            self.read()
        except (LookupError, OSError, TypeError, ValueError) as error:
            return self._replace(status=Status.DAMAGED, problem=str(error))
        return self


class Folder:
    """The folder of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = os.getpid()

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, the newest first; the arrays are not read."""
        names = [(entry, Name.parse(entry.name)) for entry in self._entries()]
        found = [_inspect(entry, name) for entry, name in names if name and entry.is_dir()]
        return sorted(found, key=lambda one: one.name.place, reverse=True)

    def _entries(self) -> list[Path]:
        return [*self.path.iterdir()] if self.path.is_dir() else []

    def write(
        self, name: Name, manifest: dict[str, Any], chunks: list[bytes | memoryview]
    ) -> tuple[Path, int]:
        """Write a snapshot: the arrays first, the seal last.

        Args:
            name: Its name.
            manifest: What it says of itself, without its files.
            chunks: What the file of the arrays consists of.

        Returns:
            Its folder, and its size in bytes.

        Raises:
            OSError: If it cannot be written. It is removed then, if that is possible.
            RuntimeError: If this is a fork of the process that has locked the folder.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                f"the snapshots in {str(self.path)!r} must be written by the process that runs, "
                f"{self._process}, got {os.getpid()}, a fork of it; make a Runner and Snapshots of "
                "its own in the fork, with another folder"
            )
        path = self.path / str(name)
        remove(path)
        try:
            path.mkdir()
            size, digest = _write(path / ARRAYS, chunks)
            flush_directory(self.path)
            files = {ARRAYS: {"bytes": size, "sha256": digest}}
            line = json.dumps({**manifest, "files": files}, allow_nan=False).encode()
            seal = hashlib.sha256(line).hexdigest().encode()
            n_sealed, _ = _write(path / MANIFEST, [line, b"\n", seal, b"\n"])
            flush_directory(path)
        except BaseException:
            with suppress(OSError):
                remove(path)
            raise
        return path, size + n_sealed

    def append(self, name: str, data: bytes) -> None:
        """Append to a file of the folder, and flush it to disk.

        Raises:
            OSError: If it cannot be written, or is not a file of the folder alone, but a link.
        """
        path = self.path / name
        try:
            with FileIO(os.fspath(path), "a", opener=_open_itself) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                    raise OSError(EINVAL, "it is a link, or not a file")
                _write_all(file, data)
                os.fsync(file.fileno())
            flush_directory(self.path)
        except OSError as error:
            raise type(error)(
                error.errno,
                f"{str(path)!r} must be a file that can be written to, got {error.strerror!r}; "
                "remove it, or make room on the disk",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder, and make it if it is not there.

        Raises:
            RuntimeError: If another run has it.
            OSError: If it cannot be made or written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._process = os.getpid()
        with FileIO(os.fspath(self.path / _LOCK), "a+", opener=_open_itself) as file:
            keep_from_children(file)
            try:
                lock(file, wait=False)
            except BlockingIOError:
                raise self._taken(file) from None
            except OSError as error:
                logger.warning("Cannot lock %s (%s): use it in one process alone", self.path, error)
            with suppress(OSError):  # a full disk: the message below names nobody
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
            yield

    def _taken(self, file: FileIO) -> RuntimeError:
        file.seek(0)
        holder = file.readall().decode(errors="replace") or "another process"
        return RuntimeError(
            f"a folder of snapshots must belong to one run at a time, got {str(self.path)!r}, "
            f"which {holder} is using; give each run its own folder, or wait until that one has "
            "ended; of several ranks, attach Snapshots on each with a folder of its own"
        )


def remove(path: Path) -> None:
    """Remove a snapshot, the manifest first: what is left is a fragment."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        delete(path / MANIFEST)
        delete(path)


def _open_itself(path: str, flags: int) -> int:
    """Open a file, but not what a link points to, since it is written to."""
    here = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, no waiting pipe
    return os.open(path, flags | here, 0o666)


def _write(path: Path, chunks: list[bytes | memoryview]) -> tuple[int, str]:
    """Write a file and flush it to disk; return its size and its sum."""
    digest, size = hashlib.sha256(), 0
    with FileIO(os.fspath(path), "xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += _write_all(file, chunk)
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _write_all(file: FileIO, data: bytes | memoryview) -> int:
    """Write all of the bytes; return how many they are."""
    rest = memoryview(data)
    while rest:
        n_written = file.write(rest)
        if not n_written:
            raise OSError(EIO, "nothing was written")
        rest = rest[n_written:]
    return len(data)


def _n_bytes(path: Path) -> int:
    """Return the size of a file; raise for what is not one: to read it might never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is not a file")
    return status.st_size


def _inspect(path: Path, name: Name) -> Snapshot:
    try:
        _n_bytes(path / MANIFEST)
        data = (path / MANIFEST).read_bytes()
    except FileNotFoundError:
        return Snapshot(path, name, Status.FRAGMENT, "it was not written to its end")
    except OSError as error:
        return Snapshot(path, name, Status.DAMAGED, str(error))
    line, _, seal = data.partition(b"\n")
    if len(seal) < _SEAL + 1 and not _SEALED.search(data):
        return Snapshot(path, name, Status.FRAGMENT, f"{MANIFEST} is cut")
    if hashlib.sha256(line).hexdigest().encode() + b"\n" != seal:
        return Snapshot(path, name, Status.DAMAGED, f"the seal of {MANIFEST} does not match")
    try:
        return _checked(path, name, json.loads(line))
    except (LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        return Snapshot(path, name, Status.DAMAGED, f"{MANIFEST} cannot be used: {shown(error)}")


def _checked(path: Path, name: Name, manifest: dict[str, Any]) -> Snapshot:
    if manifest["name"] != str(name):
        problem = f"it is the snapshot {manifest['name']}, under another name"
        return Snapshot(path, name, Status.DAMAGED, problem)
    if manifest["format"] != 1:
        problem = f"it has format {manifest['format']}, which this version does not read"
        return Snapshot(path, name, Status.DAMAGED, problem)
    if not (path / ARRAYS).exists():
        return Snapshot(path, name, Status.DAMAGED, f"{ARRAYS} is missing")
    expected, size = manifest["files"][ARRAYS]["bytes"], _n_bytes(path / ARRAYS)
    if size != expected:
        problem = f"{ARRAYS} has {size} bytes instead of {expected}"
        return Snapshot(path, name, Status.DAMAGED, problem)
    return Snapshot(path, name, Status.WHOLE, manifest=manifest)
