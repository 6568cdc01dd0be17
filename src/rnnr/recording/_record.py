"""Record the reports of a run to a file, a line each."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._isolate import log_failure
from rnnr._logs._file import Position
from rnnr._logs._log import KeepsRows, LogPlace, is_unknown
from rnnr._logs._path import as_path, check_file
from rnnr._logs._repeats import Repeats
from rnnr._runs import Slot
from rnnr.attachments._attachment import Attachment
from rnnr.event import ENDS, Event
from rnnr.recording._format import rows_in
from rnnr.recording._writer import Writer, log_error
from rnnr.reporting._config import flattened
from rnnr.reporting._report import Report
from rnnr.reporting._reports import ALL_EVENTS, report_of, reports
from rnnr.runner import Runner
from rnnr.selection import Selectable
from rnnr.state import State
from rnnr.streams._layer import Layer, view_layer

__all__ = ["Record"]


class Record(Attachment, KeepsRows):
    """Writes the reports of a runner to a file, a JSON object on each line.

    Reports are appended; the file is never emptied. A run that is resumed in another process
    continues in the same file, and a new run follows the earlier one. Each report is handed to the
    operating system when it is made, so a killed process loses none. If a killed process has left
    half a line, the next report begins a new one. A process that resumes from a saved state first
    writes the report that the resumed run will not make again: that of the batch, or of the
    beginning or end of the epoch, in which the state was saved. What was recorded after that is
    recorded twice, unless the recording is named in `rnnr.durable.Snapshots`, which cuts it back.

    No other `Record` of this process may write to the file until this one is detached, or until the
    runner has run and is gone; no other process may write to it during a run. The file is open
    from `attach_on` to the end of the run, and during later runs. If the path leads to another file
    or to none, it is opened again: this is checked at every event but ``BATCH``, and at a ``BATCH``
    after a second.

    A file that cannot be written does not break the run. The failure is logged once on
    ``rnnr.recording`` and the file is tried again at the next check; when it works again, the
    number of lost reports is logged.

    Args:
        path: File to write; its directory must exist.
        keys: Names of further keys of the state that hold metrics, as for
            `rnnr.reporting.reports`.
        on: Event to record, or a `rnnr.Selection`; every event, if not given.
        clock: Returns the time in seconds since 1970.
        config: Configuration of the runs, for their first line, as for `rnnr.reporting.reports`.
        system: Whether to record metrics of the process and the machine, as for
            `rnnr.reporting.reports`.

    Raises:
        TypeError: If an argument has the wrong type.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.recording import Record
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["batch"]}
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "run.jsonl")
        ...     recording = Record(path, on=Event.BATCH, clock=lambda: 0.0).attach_on(runner)
        ...     runner.run([4])
        ...     print(path.read_text(), end="")
        {"event":"BATCH","epoch":1,"max_epoch":1,"n_iters":1,"seconds":0.0,"metrics":{"loss":0.25},"n_batches":1,"step":1}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *keys: str,
        on: Selectable = ALL_EVENTS,
        clock: Callable[[], float] = time.time,
        config: object = None,
        system: bool = False,
    ) -> None:
        self._place = LogPlace(as_path(path), "Record")
        self._repeats = Repeats(self._place.path, rows_in)
        self._keys = keys
        self._on = on
        self._clock = clock
        self._config = flattened(config)
        self._system = bool(system)
        self._writer: Writer | None = None
        self._reports(Runner())  # checks the arguments

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, and create the file and its folder if they are not there.

        Returns:
            A Disposable that detaches again, and closes the file.

        Raises:
            TypeError: If ``runner`` is not a runner.
            RuntimeError: If it is attached already. A report does not name its runner, so each
                runner has its own file.
            ValueError: If the path is a directory, or a file that another `Record` writes: in this
                process, however the path is spelled, or in another one, if the file system has
                locks.
            OSError: If the file cannot be opened.
        """
        source = self._reports(runner)
        self._place.check_free()
        path = self._place.path
        check_file(path, "ab+", "pass a file in a directory that you may write to")
        log = self._place.attach(runner._slot)
        self._writer = writer = Writer(log, path, self._clock, self._repeats)

        def detach() -> None:
            self._place.detach()
            self._writer = None

        complete = partial(self._write_missing, runner._slot, writer)
        return CompositeDisposable(
            runner.stream(Event.STARTED).add(self._begin, layer=Layer.CLOCK),
            # before the report of RESUMED
            runner.stream(Event.RESUMED).add(complete, layer=view_layer(Event.RESUMED)),
            source.subscribe(writer.write),
            *(runner.stream(end).add(writer.pause, layer=view_layer(end)) for end in ENDS),
            Disposable(detach),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where the file ends, when all that is before that is on the disk.

        If the file cannot be written, that is logged, and the offset is ``None``.

        Returns:
            A dict of plain values, for `load_state_dict`.

        Example:
            `rnnr.durable.Snapshots` calls both methods; name the recording among the objects.

            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from rnnr import Runner
            >>> from rnnr.recording import Record
            >>> with TemporaryDirectory() as folder:
            ...     recording, runner = Record(Path(folder, "run.jsonl")), Runner()
            ...     attached = recording.attach_on(runner)
            ...     before = recording.state_dict()
            ...     runner.run("ab")
            ...     recording.load_state_dict(before)
            ...     Path(folder, "run.jsonl").read_text()
            ''
        """
        try:
            return self._place.position()._asdict()
        except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
            if self._writer is None:
                log_error(self._place.path, error)
            else:
                self._writer.lose(0, error)
            return {"offset": None, "mark": ""}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the file back to where it ended then.

        A report that is made again must be the same as the one that was cut, apart from its times
        and ``max_epoch``: the first that differs is a `rnnr.RnnrWarning`. If the offset is
        ``None``, the file is not changed.

        Args:
            state: What `state_dict` has returned.

        Raises:
            TypeError: If ``state`` is something else.
            ValueError: If the file is shorter, or is a different one. It is not changed then.
            OSError: If the file cannot be opened.

        Example:
            See `state_dict`.
        """
        removed = b"" if is_unknown(state) else self._place.cut(Position.of(state))
        self._repeats.expect(removed)
        if self._writer is not None:
            self._writer.begin_again()

    def _begin(self, state: State) -> None:
        self._repeats.begin(state)

    def _write_missing(self, slot: Slot, writer: Writer, state: State) -> None:
        """Write the report that another process could not write after it had saved the state.

        A report is written after the callbacks, one of which saves the state. If the process is
        killed in between, the report is missing, and the resumed run does not make it again.
        """
        runner: Runner = slot.runner()  # it runs, so it is there
        for event in writer.missing(state):
            try:
                predicate = self._on.predicates().get(event)
                if predicate is not None and predicate(state):
                    writer.write(report_of(runner, event, *self._keys, clock=self._clock))
            except Exception as error:  # noqa: BLE001  (it is logged: a view never breaks a run)
                log_failure(error, Record)

    def _reports(self, runner: Runner) -> abc.ObservableBase[Report]:
        return reports(
            runner,
            *self._keys,
            on=self._on,
            clock=self._clock,
            config=self._config,
            system=self._system,
        )
