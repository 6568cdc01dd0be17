"""Writes the snapshots of one runner: copies in the training thread, files beside it."""

import logging
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from reactivex.disposable import CompositeDisposable
from reactivex.subject import Subject

import rnnr
from rnnr._errors import add_note
from rnnr._runs import Slot
from rnnr._values._arena import Arena
from rnnr._values._pack import Packer
from rnnr.durable._folder import Folder, Name
from rnnr.durable._kept import KeptSnapshots
from rnnr.durable._random_states import RandomStates
from rnnr.durable._writer import Writer
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State
from rnnr.streams._layer import Layer

__all__ = ["SavedSnapshot", "Saver", "Settings"]

logger = logging.getLogger("rnnr.durable")

_LIBRARIES: Final = ("numpy", "torch", "jax")

_ALARMS: Final = (Event.EPOCH_STARTED, Event.BATCH, Event.EPOCH_FINISHED)


class SavedSnapshot(NamedTuple):
    """A snapshot that is on disk; `Snapshots.saved` emits it.

    Attributes:
        path (Path): Its folder.
        epoch (int): Number of the epoch.
        n_iters (int): Number of batches drawn since the run began.
        n_bytes (int): Its size, in bytes.
        seconds (float): How long it took from the copy to the seal, in seconds.
    """

    path: Path
    epoch: int
    n_iters: int
    n_bytes: int
    seconds: float


class Settings(NamedTuple):
    """What the user has set, by the arguments of `Snapshots`."""

    folder: Folder
    at_most: int
    random: RandomStates
    leave_out: frozenset[str]
    background: bool
    raises: bool
    objects: Mapping[str, Any]
    saved: "Subject[SavedSnapshot]"


class Saver:
    """Writes snapshots, and has the run raise the error of one that could not be written.

    Args:
        settings: What the user has set.
        slot: Of the runner.

    Attributes:
        latest: The name of the latest snapshot that is written, or being written.
        kept: The snapshots that are kept.
    """

    def __init__(self, settings: Settings, slot: Slot) -> None:
        self._settings = settings
        self._slot = slot
        self._arena = Arena()
        self._writer = Writer(background=settings.background)
        self._failure: BaseException | None = None
        self._alarms = CompositeDisposable()
        self.latest: Name | None = None
        self.kept = KeptSnapshots(settings.folder, settings.at_most)

    def write(self, name: Name, packer: Packer, values: Mapping[str, Any]) -> None:
        """Write a snapshot, in the background if that is wanted.

        Args:
            name: Its name.
            packer: Has collected the arrays.
            values: The trees of all values.

        Raises:
            Exception: The error of this one, or of the one before.
        """
        began = time.perf_counter()
        self.wait()
        manifest = _manifest(name, self._settings.objects, values)
        try:
            chunks = self._arena.copy(packer.arrays)
            self.latest = name
            work = partial(self._publish, name, manifest, chunks, began)
            self._writer.submit(work, self._fail)
        except Exception as error:  # noqa: BLE001  (it is raised, or logged where that is wanted)
            self._fail(error)
            self.raise_failure()

    def wait(self) -> None:
        """Wait until the latest snapshot is on disk.

        Raises:
            BaseException: Its error.
        """
        self._writer.wait()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise the error of a snapshot, once."""
        failure, self._failure = self._failure, None
        if failure is None:
            return
        self._alarms.clear()
        add_note(failure, f"rnnr: while a snapshot was saved in {self._settings.folder.path}")
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame

    def _publish(
        self,
        name: Name,
        manifest: dict[str, Any],
        chunks: list[bytes | memoryview],
        began: float,
    ) -> None:
        try:
            path, n_bytes = self._settings.folder.write(name, manifest, chunks)
        except BaseException:
            self.latest = None
            raise
        seconds = time.perf_counter() - began
        self.kept.add(path)
        try:
            self._tell(SavedSnapshot(path, name.epoch, name.n_iters, n_bytes, seconds))
        finally:
            self.kept.remove_others()

    def _tell(self, saved: SavedSnapshot) -> None:
        try:
            self._settings.saved.on_next(saved)
        except BaseException as error:
            with suppress(Exception):  # a plain note, which the notes of the run do not replace
                error.add_note(f"rnnr: in a subscriber of Snapshots.saved; {saved.path} is whole")
            raise

    def _fail(self, error: BaseException) -> None:
        """Remember an error of a write, and have the next event raise it."""
        if not self._settings.raises:
            message = "An error while a snapshot was saved in %s: %s; the run goes on"
            logger.error(message, self._settings.folder.path, error, exc_info=error)
            return
        runner: Runner | None = self._slot.runner()
        if runner is not None:
            for event in _ALARMS:
                self._alarms.add(runner.stream(event).add(self._alarm, layer=Layer.SAVE))
        self._failure = error  # last, so that what raises it finds all alarms

    def _alarm(self, _: State) -> None:
        self.raise_failure()


def _manifest(name: Name, objects: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    versions = {
        library: getattr(sys.modules[library], "__version__", "")
        for library in _LIBRARIES
        if library in sys.modules
    }
    return {
        "format": 1,
        "name": str(name),
        "saved_at": time.time(),
        "versions": {"rnnr": rnnr.__version__, "python": platform.python_version(), **versions},
        "argv": sys.argv,
        "objects": [*objects],
        "values": values,
    }
