"""What is in a folder of snapshots, as text: ``python -m rnnr snapshots``."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rnnr.durable._durable_run import format_age
from rnnr.durable._folder import MANIFEST, Folder, Snapshot, Status

__all__ = ["print_snapshots"]

_COLUMNS = ("name", "status", "epoch", "batch", "age", "size", "objects", "problem")
_NUMBERS = ("epoch", "batch", "age", "size")
_UNITS = ("B", "kB", "MB", "GB", "TB")


def print_snapshots(path: Path, *, verify: bool) -> None:
    """Print the snapshots in a folder, the newest first.

    It only reads, and a run may use the folder meanwhile.

    Args:
        path: The folder.
        verify: Whether to read all of each, and to compare the sums.

    Raises:
        ValueError: After that, if none of them is whole.
    """
    found = _look(path, verify=verify)
    if found:
        print(_table([_row(one) for one in found]))
    if not any(one.status == Status.WHOLE for one in found):
        raise _nothing_to_go_on_with(path, found)


def _look(path: Path, *, verify: bool) -> list[Snapshot]:
    found = Folder(path).snapshots()
    if verify:
        found = [one.verified() for one in found]
    return [_settled(one) for one in found if os.path.lexists(one.path)]  # the run removes old ones


def _settled(one: Snapshot) -> Snapshot:
    """Return a fragment for a snapshot that was being removed while it was read."""
    if one.status == Status.DAMAGED and one.path.is_dir() and not (one.path / MANIFEST).exists():
        return one._replace(status=Status.FRAGMENT, problem="it is being removed")
    return one


def _row(one: Snapshot) -> tuple[str, ...]:
    saved_at, size = _on_disk(one.path)
    age = time.time() - one.manifest.get("saved_at", saved_at)
    return (
        str(one.name),
        one.status,
        str(one.name.epoch),
        str(one.name.n_iters),
        format_age(age).replace(" ", ""),
        _format_size(size),
        _ascii(",".join(one.manifest.get("objects", ())) or "-"),
        _ascii(one.problem),
    )


def _on_disk(path: Path) -> tuple[float, int]:
    """Return when a folder has changed last, and the bytes of its files."""
    changed, size = time.time(), 0
    with suppress(OSError):  # it is being removed
        changed = path.stat().st_mtime
        size = sum(entry.stat().st_size for entry in os.scandir(path))
    return changed, size


def _format_size(n_bytes: float) -> str:
    n_thousands = 0
    while n_bytes >= 999.5:
        n_bytes, n_thousands = n_bytes / 1000, n_thousands + 1
    digits = 1 if n_thousands and n_bytes < 9.95 else 0
    return f"{n_bytes:.{digits}f}{_UNITS[n_thousands]}"


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _table(rows: Sequence[Sequence[str]]) -> str:
    columns = [_aligned(column) for column in zip(_COLUMNS, *rows, strict=True)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _aligned(column: Sequence[str]) -> list[str]:
    name, *cells = column
    if not any(cells):
        return [""] * len(column)
    width = max(map(len, column))
    return [cell.rjust(width) if name in _NUMBERS else cell.ljust(width) for cell in column]


def _nothing_to_go_on_with(path: Path, found: Sequence[Snapshot]) -> ValueError:
    got = "one with damaged ones and fragments alone" if found else "one without snapshots"
    cure = "put back a copy of a snapshot, or move the folder away to begin the run again"
    if not found:
        cure = "pass the folder that the script gives to Snapshots"
    if not path.is_dir():
        got = "no folder"
    return ValueError(
        f"FOLDER must be a folder with a whole snapshot, got {got} ({str(path)!r}); {cure}"
    )
