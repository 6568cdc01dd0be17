"""The snapshots of a run that are kept: from which one it goes on, and which ones are removed."""

import logging
from pathlib import Path

from rnnr._errors import shown, warn_user
from rnnr.durable._contents import Values
from rnnr.durable._folder import Folder, Snapshot, Status, remove

__all__ = ["KeptSnapshots"]

logger = logging.getLogger("rnnr.durable")


class KeptSnapshots:
    """Keeps the newest whole snapshots of a folder, and removes the others when it can.

    Args:
        folder: The folder, which nobody else uses meanwhile.
        at_most: How many to keep.
    """

    def __init__(self, folder: Folder, at_most: int) -> None:
        self._folder = folder
        self._at_most = at_most
        self._whole: list[Path] = []  # the oldest first
        self._damaged: list[Path] = []

    def newest(self) -> tuple[Snapshot, Values] | None:
        """Return the newest whole snapshot; remove fragments and warn of damaged ones.

        Raises:
            RuntimeError: If none is whole, and there is more than the fragment of a beginning.
        """
        found, fragments = None, []
        self._whole, self._damaged = [], []
        for snapshot in self._folder.snapshots():
            if snapshot.status == Status.FRAGMENT:
                fragments.append(snapshot)
                continue
            if found is None:
                snapshot, values = _read(snapshot)
                found = None if values is None else (snapshot, values)
                if values is None:
                    _warn_of_damage(snapshot)
            is_whole = snapshot.status == Status.WHOLE
            (self._whole if is_whole else self._damaged).insert(0, snapshot.path)
        lost = [*self._damaged, *(one.path for one in fragments if one.name.kind != "S")]
        if found is None and lost:
            raise _no_whole_one(self._folder.path, lost)
        for fragment in fragments:
            logger.info("Removing %s, a fragment: %s", fragment.path, fragment.problem)
            remove(fragment.path)
        return found

    def check_latest(self) -> None:
        """Raise if the folder has a newer snapshot than those of this process.

        Raises:
            RuntimeError: If another process has gone on, or the state was restored by hand.
        """
        found = [one for one in self._folder.snapshots() if one.status != Status.FRAGMENT]
        if found and found[0].path not in (*self._whole[-1:], *self._damaged):
            raise RuntimeError(
                "resume() goes on from the state in memory, which must be the newest of the run, "
                f"got {found[0].name} in {str(self._folder.path)!r}, which another process has "
                "saved; call run(...), which goes on from there, or use another folder"
            )

    def add(self, path: Path) -> None:
        """Keep one more snapshot, which is whole and the newest, in the place of the oldest."""
        self._damaged = [one for one in self._damaged if one != path]
        self._whole = [*(one for one in self._whole if one != path), path]

    def remove_others(self) -> None:
        """Remove the damaged snapshots, too; there has to be a newer one.

        Raises:
            OSError: If one cannot be removed. The next call tries it again.
        """
        while self._damaged:
            remove(self._damaged[0])
            del self._damaged[0]
        self.remove_old()

    def remove_old(self) -> None:
        """Remove the snapshots that are not among the newest.

        Raises:
            OSError: If one cannot be removed.
        """
        while len(self._whole) > self._at_most:
            remove(self._whole[0])
            del self._whole[0]


def _read(snapshot: Snapshot) -> tuple[Snapshot, Values | None]:
    """Return the values of a snapshot, or ``None`` if it is damaged."""
    if snapshot.status == Status.WHOLE:
        try:
            return snapshot, Values.read(snapshot)
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  (whatever a damaged file leads to)
            snapshot = snapshot._replace(status=Status.DAMAGED, problem=_problem(error))
    return snapshot, None


def _problem(error: Exception) -> str:
    return str(error) if isinstance(error, OSError | ValueError) else shown(error)


def _warn_of_damage(snapshot: Snapshot) -> None:
    warn_user(
        f"a snapshot must be as it was written, got {str(snapshot.path)!r}, which is damaged: "
        f"{snapshot.problem}; the one before it is used, if there is one"
    )


def _no_whole_one(folder: Path, lost: list[Path]) -> RuntimeError:
    names = ", ".join(sorted(path.name for path in lost))
    return RuntimeError(
        f"{str(folder)!r} must have a whole snapshot to go on from, got damaged ones alone "
        f"({names}); put back a copy of one, or move the folder and the logs of the run away, to "
        "begin it again"
    )
