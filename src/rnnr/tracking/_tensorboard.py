"""Scalars in the event files of TensorBoard."""

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from rnnr._errors import as_integer
from rnnr._logs._path import as_path

__all__ = ["TensorBoard"]


class TensorBoard:
    """Writes metrics as scalars for TensorBoard; pass it to `log_to`.

    It needs the package ``tensorboard``, but neither TensorFlow nor PyTorch. Each object writes a
    new file into the folder, and TensorBoard shows all files of a folder as one run.

    Args:
        folder: Folder for the file, one for each run; made if it is not there.
        purge_step: Step from which on what the other files of the folder have is replaced, where a
            run goes on from an earlier step. If the bridge is named in
            `rnnr.durable.Snapshots`, that happens without it.

    Raises:
        ModuleNotFoundError: If ``tensorboard`` is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If ``purge_step`` is negative.

    Example:
        ::

            log_to(runner, TensorBoard("logs/first"), "lr")
    """

    def __init__(self, folder: str | os.PathLike[str], *, purge_step: int | None = None) -> None:
        if find_spec("tensorboard") is None:
            raise ModuleNotFoundError(
                "TensorBoard needs the package tensorboard, which cannot be found; "
                "install it with: pip install tensorboard",
                name="tensorboard",
            )
        self._folder = as_path(folder)
        self._file: Any = None
        self._purge_step: int | None = None
        if purge_step is not None:
            cure = "pass the step from which on the run goes on"
            self._purge_step = as_integer("purge_step", purge_step, 0, cure)

    def __call__(self, metrics: Mapping[str, float], step: int) -> None:
        """Write metrics at a step.

        Raises:
            OSError: If the file cannot be written.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=one) for name, one in metrics.items()]
        self._add(step, summary=Summary(value=values))

    def purge(self, step: int) -> None:
        """Replace what the folder has from a step on by what is written from now on."""
        self.close()
        self._purge_step = step

    def flush(self) -> None:
        """Pass to the operating system what was written so far."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file; what is written afterwards goes to a new one."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _add(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._file is None:
            self._wait_for_a_later_name()
            self._file = EventFileWriter(str(self._folder))
            if self._purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                purged, self._purge_step = self._purge_step, None
                self._add(purged, session_log=start)
        self._file.add_event(Event(wall_time=time.time(), step=step, **content))

    def _wait_for_a_later_name(self) -> None:
        """Wait for the next second, if there is a file of this one.

        Files are read in the order of their names, which have the second in which they were made.
        """
        now = time.time()
        if any(self._folder.glob(f"events.out.tfevents.{int(now):010d}.*")):
            time.sleep(1 - now % 1)
