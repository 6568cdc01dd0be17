"""A log of values of the state: when a row is written, and what a run that goes on must repeat."""

import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import check_string, shown, warn_user, wrong_type, wrong_value
from rnnr._logs._file import LogFile, Position, Stamp
from rnnr._logs._log import KeepsRows, Log, LogPlace
from rnnr._logs._path import as_path, check_file
from rnnr._logs._repeats import Repeats, Row
from rnnr._logs._rows import COUNTERS, CsvRows, JsonRows, Rows, plain_value
from rnnr.attachments._attachment import Attachment
from rnnr.event import ENDS, Event
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selectable
from rnnr.state import State
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer, view_layer
from rnnr.streams._selected import only_if

__all__ = ["RowLog"]

_CURE = "pass a file in a directory that you may write to"

logger = logging.getLogger("rnnr.durable")


class RowLog(Attachment, KeepsRows):
    """Appends a row to a file at each selected event.

    Args:
        path: File to write.
        keys: Keys of the state.
        on: When to write a row.
    """

    _rows_class: ClassVar[type[JsonRows | CsvRows]]

    def __init__(
        self,
        path: str | os.PathLike[str],
        *keys: str,
        on: Selectable = Event.EPOCH_FINISHED,
    ) -> None:
        self._name = type(self).__name__
        _check_keys(keys, self._name)
        rows: Rows = self._rows_class(keys)
        self._keys = (*COUNTERS, *keys)
        self._rows = rows
        self._place = LogPlace(as_path(path), self._name, self._prepare)
        self._repeats = Repeats(self._place.path, rows.parse)
        if not isinstance(on, Selectable):
            raise wrong_type(
                "on", "an Event or a Selection", on, "write for example on=Event.BATCH"
            )
        self._on = on
        self._last_row = b""  # in the file when it was opened
        self._found: Row | None = None  # the same, until a row is written or a new run begins
        self._is_cut = False  # since before it was attached
        self._n_iters = -1  # in the last row of this run
        self._whole: Stamp | None = None  # of a file that needs no look

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, and create the file and its folder if they are not there.

        Half a row at the end of the file, which a killed process has left, is removed, and logged
        on ``rnnr.durable``.

        Returns:
            A Disposable that detaches again, and closes the file.

        Raises:
            TypeError: If ``runner`` is not a runner.
            RuntimeError: If it is attached already. A row does not name its runner, so each runner
                has its own file.
            ValueError: If the path is a directory, a file to which such rows cannot be added, or a
                file that another log writes: in this process, however the path is spelled, or in
                another one, if the file system has locks.
            OSError: If the file cannot be opened.
        """
        check_runner(runner)
        self._place.check_free()
        check_file(self._place.path, "ab+", _CURE)
        self._whole = None
        log = self._place.attach(runner._slot)
        self._begin(None)
        if not self._is_cut:
            self._found = next(self._rows.parse(self._last_row), None)
        self._is_cut = False
        handlers: list[tuple[Event, Callback]] = [
            (Event.RESUMED, self._check_resumed),
            *(
                (event, only_if(test, partial(self._write, log)))
                for event, test in self._on.predicates().items()
            ),
            *((end, partial(self._pause, log)) for end in ENDS),
        ]
        started = runner.stream(Event.STARTED)
        return CompositeDisposable(
            started.add(self._begin_repeats, layer=Layer.CLOCK),  # before a stop
            started.add(self._begin, layer=Layer.CLOCK),
            *(runner.stream(event).add(one, layer=view_layer(event)) for event, one in handlers),
            Disposable(self._place.detach),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where the file ends, when all that is before that is on the disk.

        Returns:
            A dict of plain values, for `load_state_dict`.

        Raises:
            OSError: If the file cannot be read or written.

        Example:
            `Snapshots` calls both methods; name the log among the objects.

            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from rnnr import Event, Runner
            >>> from rnnr.durable import JsonLines
            >>> with TemporaryDirectory() as folder:
            ...     path = Path(folder, "log.jsonl")
            ...     log, runner = JsonLines(path, "batch", on=Event.BATCH), Runner()
            ...     attached = log.attach_on(runner)
            ...     before = log.state_dict()
            ...     runner.run("ab")
            ...     log.load_state_dict(before)
            ...     path.read_text()
            ''
        """
        return self._place.position()._asdict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the file back to where it ended then.

        A row that is written again must be the same as the one that was cut: the first that differs
        is a `rnnr.RnnrWarning`.

        Args:
            state: What `state_dict` has returned.

        Raises:
            TypeError: If ``state`` is something else.
            ValueError: If the file is shorter, or is a different one. It is not changed then.
            OSError: If the file cannot be read or written.

        Example:
            See `state_dict`.
        """
        self._repeats.expect(self._place.cut(Position.of(state)))
        self._begin(state)
        self._is_cut = not self._place.is_attached

    def _write(self, log: Log, state: State) -> None:
        log.use(self._append, log, state)

    def _append(self, log: Log, state: State) -> None:
        values = [plain_value(key, state.get(key), self._name) for key in self._keys]
        data = self._rows.encode(values)
        file = log.open()
        file.append(data, self._rows.header)
        self._n_iters = state["n_iters"]
        self._repeats.check(data)
        if self._found is not None:
            found, self._found = self._found, None
            if found in self._rows.parse(data):
                self._warn(f"a row that the file has already: {found.text}")

    def _begin_repeats(self, state: State) -> None:
        self._repeats.begin(state)

    def _begin(self, _: object) -> None:
        """Forget the rows before: a new run follows them."""
        self._found, self._n_iters = None, -1

    def _check_resumed(self, state: State) -> None:
        """Warn if the run goes on from a state that is older than the last row."""
        last = max(self._n_iters, self._found.key[-1] if self._found else -1)
        if last > state["n_iters"]:
            self._begin(state)
            self._warn(f"a state with {state['n_iters']} batches, and a row after {last}")

    def _warn(self, got: str) -> None:
        path = str(self._place.path)
        warn_user(
            f"a run that goes on must write each row once, got {got}, in {path!r}; name the log in "
            "Snapshots(log=log), which cuts it back, or save log.state_dict() with the state and "
            "call log.load_state_dict() before runner.resume()"
        )

    def _prepare(self, file: LogFile) -> None:
        """Raise unless rows can be added to a file; end or remove half a row at its end."""
        if file.stamp() == self._whole:
            return
        first = last = b""
        end = 0
        for last in self._rows.whole(file.lines()):
            first, end = first or last, end + len(last)
        rest = file.last_bytes(file.size() - end)
        if not self._rows.fits(first, rest):
            got = f"{str(self._place.path)!r} with {shown(first or rest)}"
            raise ValueError(f"path must be {self._rows.expected}, got {got}; {self._rows.cure}")
        self._last_row = last
        if rest:
            self._mend(file, end, rest)

    def _mend(self, file: LogFile, end: int, rest: bytes) -> None:
        missing = self._rows.missing_end(rest)
        if missing:
            file.append(missing)
            self._last_row = rest + missing
        else:
            file.truncate(end)
            message = "Removed half a row at the end of %s, which a killed process has left: %s"
            logger.warning(message, self._place.path, shown(rest))

    def _pause(self, log: Log, _: State) -> None:
        if log.file is not None and not log.file.is_torn:
            self._whole = log.file.stamp()
        log.pause()


def _check_keys(keys: tuple[str, ...], name: str) -> None:
    example = f"{name}('run.log', 'loss')"
    cure = f"write for example {example}"
    for key in keys:
        check_string("a key of a log", key, cure)
    if not keys or len({*COUNTERS, *keys}) < len(COUNTERS) + len(keys):
        cure = f"name each once, and not epoch and n_iters, which are there anyway: as in {example}"
        raise wrong_value("keys", "one or more different keys of the state", keys, cure)
