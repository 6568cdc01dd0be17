"""The file of a log: opened when it is attached, closed between two runs, cut back."""

import gc
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias, TypeVar

from rnnr._logs._file import BEGINNING, LogFile, Position, release, wrong_position
from rnnr._runs import Slot

__all__ = ["KeepsRows", "Log", "LogPlace", "is_unknown"]

_T = TypeVar("_T")

_Prepare: TypeAlias = Callable[[LogFile], object]


def _leave(_: LogFile) -> None:
    """Leave a file as it is."""


def is_unknown(state: Any) -> bool:
    """Return whether a `state_dict` could not tell where its file ended, so that nothing is cut."""
    return isinstance(state, Mapping) and state.get("offset", 0) is None


class KeepsRows:
    """What writes rows to a file that can be cut back; a run that has finished cuts none."""

    _place: "LogPlace"

    def check_rows(self, state: Any) -> None:
        """Raise what `load_state_dict` would raise, and change nothing."""
        if not is_unknown(state):
            self._place.check(Position.of(state))

    def copy_rows_to_cut(self, state: Any, write: Callable[[bytes], object]) -> None:
        """Pass to a function, in parts, what `load_state_dict` would cut from the file.

        Raises:
            TypeError, ValueError: As `load_state_dict` does.
            OSError: If the file cannot be read.
        """
        if not is_unknown(state):
            self._place.copy_after(Position.of(state), write)


class Log:
    """The file of one writer: open while it is written, and reserved for it between two runs.

    If the path leads to another file or to none, it is opened again when it is used.

    Args:
        path: File to write; created if it is not there.
        name: Name of the class that writes it, for messages.
        slot: Slot of the runner that it is attached to, if there is one.
        prepare: Called with the file when it is opened; if it raises, the file is closed.

    Attributes:
        file: The open file; ``None`` between two runs.

    Raises:
        ValueError: If another log writes to the file.
        OSError: If it cannot be opened.
    """

    def __init__(
        self, path: Path, name: str, slot: Slot | None = None, prepare: _Prepare = _leave
    ) -> None:
        self.name = name
        self.file: LogFile | None = None
        self._path = path
        self._slot = slot
        self._prepare = prepare
        self._lock = RLock()  # `close` may come from another thread, or from a signal handler
        self._is_busy = self._is_over = False
        with suppress(ValueError):
            self.open()
        if self.file is None:  # a runner that is garbage may have it, as after a cell has run again
            gc.collect()
            self.open()

    def open(self) -> LogFile:
        """Return the file, opened again unless it is open and whole and the path leads to it."""
        file = self.file
        if file is None or file.is_torn or not file.is_at(self._path):
            self.drop()
            file = LogFile(self._path, self)
            try:
                self._prepare(file)
            except BaseException:
                file.close()
                release(self)
                raise
            self.file = file
        return file

    def use(self, action: Callable[..., object], *args: object) -> None:
        """Do something that uses the file, unless it is closed; nobody closes it meanwhile."""
        with self._lock:
            if self._is_over:
                return
            self._is_busy = True
            try:
                action(*args)
            finally:
                self._is_busy = False
                if self._is_over:  # a signal handler has closed it in the meantime
                    self.drop()

    def close(self) -> None:
        """Close the file for good, but not while it is used."""
        with self._lock:
            self._is_over = True
            if not self._is_busy:
                self.drop()

    def pause(self) -> None:
        """Close the file until the next run: a sweep may keep a runner for each trial."""
        with self._lock:
            self._close_file()

    def drop(self) -> None:
        """Close the file until it is opened again; others may have it."""
        release(self)
        self._close_file()

    def briefly(self, action: Callable[[LogFile], _T]) -> _T:
        """Do something with the file, and close it again if it was closed."""
        with self._lock:
            was_open = self.file is not None
            try:
                return action(self.open())
            finally:
                if not was_open:
                    self._close_file()

    def needs(self, path: Path) -> bool:
        """Return whether it may still write to the file at a path.

        After a run it may if its runner still exists. It does not exist after a notebook cell was
        run again: the old Disposable remains, but the runner is new.
        """
        if self._slot is not None and self._slot.is_done_with:
            self.pause()  # it is open if its run was over before it began
        if self.file is not None:
            return True
        with suppress(OSError):
            has_runner = self._slot is not None and self._slot.runner() is not None
            return has_runner and not self._is_over and os.path.samefile(path, self._path)
        return False

    def _close_file(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            file.close()


class LogPlace:
    """Where a log is written, whether it is attached to a runner or not.

    Args:
        path: Absolute path of the file.
        name: Name of the class that writes it, for messages.
        prepare: Called with the file when it is opened to be written.
    """

    def __init__(self, path: Path, name: str, prepare: _Prepare = _leave) -> None:
        self.path = path
        self._name = name
        self._prepare = prepare
        self._log: Log | None = None

    @property
    def is_attached(self) -> bool:
        """Whether it is attached to a runner."""
        return self._log is not None

    def check_free(self) -> None:
        """Raise if it is attached."""
        if self.is_attached:
            other = f"{self._name}({f'evaluation{self.path.suffix}'!r})"
            raise RuntimeError(
                f"a {self._name} must be attached to one runner at a time, got a second one; write "
                f"for example {other}.attach_on(...) for the second"
            )

    def attach(self, slot: Slot) -> Log:
        """Open the file for a runner."""
        self._log = log = Log(self.path, self._name, slot, self._prepare)
        return log

    def detach(self) -> None:
        """Close the file for good."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def position(self) -> Position:
        """Return the position of the end; see `LogFile.position`."""
        return self._briefly(LogFile.position, self._prepare) or BEGINNING

    def cut(self, position: Position) -> bytes:
        """Cut the file back; see `LogFile.cut`."""
        self.check(position)
        return self._briefly(lambda file: file.cut(position)) or b""

    def check(self, position: Position) -> None:
        """Raise if it cannot be cut back to a position."""
        size = self._briefly(lambda file: file.check(position))
        if size is None and position.offset:
            raise wrong_position(self.path, position, "no file")

    def copy_after(self, position: Position, write: Callable[[bytes], object]) -> None:
        """Pass on what `cut` would remove; see `LogFile.copy_after`."""
        self._briefly(lambda file: file.copy_after(position, write))

    def _briefly(self, action: Callable[[LogFile], _T], prepare: _Prepare = _leave) -> _T | None:
        """Do something with the file; return ``None`` if there is none."""
        if self._log is not None:
            return self._log.briefly(action)
        if not self.path.exists():
            return None
        log = Log(self.path, self._name, None, prepare)
        try:
            return log.briefly(action)
        finally:
            log.close()
