"""Logs of values of the state, which stay right when a run is killed and goes on."""

from rnnr._logs._row_log import RowLog
from rnnr._logs._rows import CsvRows, JsonRows

__all__ = ["CsvLog", "JsonLines"]


class JsonLines(RowLog):
    r"""A log of values of the state, an object of strict JSON on each line.

    At each selected event it appends ``epoch``, ``n_iters`` and the values of the named keys: any
    numbers, tensors and arrays of one item, texts, and ``None``. A key that is missing is ``null``.
    Numbers that are not finite are ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. The row is
    written when all other callbacks of the event have run.

    The file is never emptied: a new run follows the earlier one. Each row is handed to the
    operating system when it is written, so a killed process loses none. Named in
    `Snapshots`, the log is cut back when a run goes on from a snapshot, so that each row is there
    once. Unlike `rnnr.recording.Record`, which is a view, it raises an error in the run if it
    cannot write: these are your data.

    No other log of this process may write to the file until this one is detached, or until the
    runner has run and is gone; no other process may write to it during a run.

    Args:
        path: File to write; its directory must exist.
        keys: Keys of the state.
        on: Event at which to write a row, or a `rnnr.Selection`.

    Raises:
        TypeError: If an argument has the wrong type; in a run, if a value is of another kind.
        ValueError: If there is no key, or a key is named twice.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.durable import JsonLines
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["loss"] = 1 / state["batch"]
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "log.jsonl")
        ...     attached = JsonLines(path, "loss", "lr").attach_on(runner)
        ...     runner.run([1, 2], max_epoch=2)
        ...     print(path.read_text(), end="")
        {"epoch":1,"n_iters":2,"loss":0.5,"lr":null}
        {"epoch":2,"n_iters":4,"loss":0.5,"lr":null}
    """

    _rows_class = JsonRows


class CsvLog(RowLog):
    """A log of values of the state, a table in CSV whose first row names the columns.

    It is the same as `JsonLines` but for the format: a key that is missing, and ``None``, is an
    empty cell, and numbers that are not finite are ``nan``, ``inf`` and ``-inf``. The file is in
    UTF-8, and as ``csv.reader`` reads it by default. Rows are added only to a file whose first row
    names the same columns.

    Args:
        path: File to write; its directory must exist.
        keys: Keys of the state, and names of the columns after ``epoch`` and ``n_iters``.
        on: Event at which to write a row, or a `rnnr.Selection`.

    Raises:
        TypeError: If an argument has the wrong type; in a run, if a value is of another kind.
        ValueError: If there is no key, or a key is named twice.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.durable import CsvLog
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["loss"] = 1 / state["batch"]
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "log.csv")
        ...     attached = CsvLog(path, "loss", on=Event.BATCH).attach_on(runner)
        ...     runner.run([1, 2])
        ...     print(path.read_text(), end="")
        epoch,n_iters,loss
        1,1,1.0
        1,2,0.5
    """

    _rows_class = CsvRows
