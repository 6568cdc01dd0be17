"""One line an epoch, in a table."""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Final, TextIO, TypeAlias

from reactivex import abc

from rnnr._errors import check_string, wrong_type
from rnnr._isolate import Failures
from rnnr._metrics import results_of, values_at
from rnnr._numbers import numbers_in
from rnnr.attachments._attachment import Attachment, attach, reserve_key
from rnnr.attachments._display import count_text, one_line
from rnnr.attachments._epoch_clock import EpochClock
from rnnr.event import Event
from rnnr.operators._improvement import Rule, improvement_rule
from rnnr.runner import Runner
from rnnr.state import RUN, State, check_metric, run_memory
from rnnr.streams._layer import Layer

__all__ = ["EpochLog"]

logger = logging.getLogger("rnnr.attachments.epoch_log")

_WIDTH: Final = 10  # of a number in scientific notation
_ABSENT: Final = "-"

_Cell: TypeAlias = tuple[str, str, int]
"""The head of a column, the text below it, and the least width."""


class EpochLog(Attachment):
    """An attachment that writes one line an epoch, in a table.

    A line has the number of the epoch, its time, and its metrics: the results of reducers and of
    `rnnr.callbacks.evaluate`, and the keys that you name. The time is that of `EpochTimer`. The
    names of the columns come first, and again when a metric is new and when the run goes on.

    Lines go around the bars of tqdm that are on the screen. A log never breaks a run: if a line
    cannot be written, that is logged once, at ERROR on ``rnnr.attachments.epoch_log``.

    Args:
        keys: Names of further keys of the state that hold metrics: a number, or a mapping that
            holds numbers, such as ``"stats"``.
        best: Which values are marked by ``*``, because they are better than all before them in this
            run: a mapping from the name of a column to ``"min"`` or ``"max"``. None are, if it is
            not given. A run that goes on remembers its best.
        file: Where to write; ``sys.stdout`` as it is then, if not given.

    Raises:
        TypeError: If a key is not a string, ``best`` is not a mapping, or ``file`` is not a file.
        ValueError: If a key is one that the run writes, or a mode is unknown.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import EpochLog, MeanReducer
        >>> runner = Runner()
        >>> subscription = MeanReducer("loss", value="batch").attach_on(runner)
        >>> subscription = EpochLog(best={"loss": "min"}).attach_on(runner)
        >>> runner.run([0.5, 1.0], max_epoch=2)  # doctest: +NORMALIZE_WHITESPACE
        epoch     time        loss
          1/2     0...s       0.75*
          2/2     0...s       0.75
    """

    def __init__(
        self, *keys: str, best: Mapping[str, str] | None = None, file: TextIO | None = None
    ) -> None:
        for key in keys:
            check_string("a key of EpochLog", key, "write for example EpochLog('loss')")
            check_metric("a key of EpochLog", key)
        if best is not None and not isinstance(best, Mapping):
            raise wrong_type("best", "a mapping", best, "write for example {'valid_loss': 'min'}")
        if file is not None and not (hasattr(file, "write") and hasattr(file, "flush")):
            raise wrong_type("file", "an open file", file, "pass for example open('log.txt', 'a')")
        self._keys = keys
        self._rules = {
            name: improvement_rule("EpochLog", mode, 0.0, "no-improvement")
            for name, mode in (best or {}).items()
        }
        self._file = file

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that detaches again.
        """
        memory, reserved = reserve_key(runner, "_epoch_log", memory=RUN)
        table = _Table(self._keys, self._rules, memory, self._file)
        handlers = {
            Event.STARTED: table.begin,
            Event.RESUMED: table.begin,
            Event.EPOCH_STARTED: table.start,
            Event.EPOCH_FINISHED: table.add,
        }
        return attach(runner, Layer.CLOCK, handlers, reserved)


class _Table:
    """The table of one runner; the best values are in the memory of its run."""

    attached_as: Final = "EpochLog"

    def __init__(
        self, keys: Sequence[str], rules: Mapping[str, Rule], memory: str, file: TextIO | None
    ) -> None:
        self._clock = EpochClock()
        self._keys = keys
        self._rules = rules
        self._memory = memory
        self._file = file
        self._failures = Failures(logger)
        self._names: list[str] | None = None  # of the columns in the latest head

    def begin(self, _: State) -> None:
        """Begin a table: the next line comes after a head."""
        self._names = None

    def start(self, state: State) -> None:
        """Begin to measure an epoch."""
        self._clock.start(state)

    def add(self, state: State) -> None:
        """Write the line of an epoch."""
        try:
            results = results_of(state)  # last: a mapping may hold another value of the same name
            metrics = numbers_in(values_at(state, (*results, *self._keys, *results)))
            improved = self._improved(state, metrics)
            before, self._names = self._names, None  # if this fails, the next line has a head
            names = [*dict.fromkeys((*(before or ()), *metrics))]
            cells = [
                _epoch(state),
                ("time", _time(self._clock.seconds(state)), 7),
                *((one_line(name), _number(metrics.get(name)), _WIDTH) for name in names),
            ]
            marks = ["", "", *("*" if name in improved else "" for name in names)]
            widths = [max(width, len(head)) for head, _, width in cells]
            lines = [_line([text for _, text, _ in cells], widths, marks)]
            if names != before:
                lines.insert(0, _line([head for head, _, _ in cells], widths, ["" for _ in cells]))
            self._write("".join(lines))
            self._names = names
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._failures.log("EpochLog cannot write the line of an epoch", error)

    def _improved(self, state: State, metrics: Mapping[str, float]) -> list[str]:
        """Return the metrics that are better than ever, and remember them."""
        memory = run_memory(state)
        best = memory.get(self._memory, {})
        improved = [
            name
            for name, rule in self._rules.items()
            if name in metrics and rule(best.get(name), metrics[name], 0)
        ]
        memory[self._memory] = {**best, **{name: metrics[name] for name in improved}}
        return improved

    def _write(self, text: str) -> None:
        file = sys.stdout if self._file is None else self._file
        with _bars_cleared(file):
            file.write(text)
        file.flush()


def _bars_cleared(file: TextIO) -> AbstractContextManager[object]:
    """Return a context in which no bar of tqdm is on the screen, if a bar was made at all."""
    tqdm: Any = sys.modules.get("tqdm.std")
    if tqdm is None:
        return nullcontext()
    cleared: AbstractContextManager[object] = tqdm.tqdm.external_write_mode(file=file)
    return cleared


def _line(texts: Iterable[str], widths: Iterable[int], marks: Iterable[str]) -> str:
    cells = zip(texts, widths, marks, strict=True)
    return " ".join(f"{text:>{width}}{mark:1}" for text, width, mark in cells).rstrip() + "\n"


def _epoch(state: State) -> _Cell:
    """Return the cell of the epoch, without the number of epochs where there is no end."""
    epoch, last = count_text(state["epoch"]), count_text(state["max_epoch"])
    if last in (str(sys.maxsize), "inf"):
        return "epoch", epoch, 5
    return "epoch", f"{epoch}/{last}", 2 * len(last) + 1


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _ABSENT
    return f"{seconds:.1f}s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _number(value: float | None) -> str:
    if value is None:
        return _ABSENT
    return f"{value:.0f}" if value.is_integer() and abs(value) < 10**_WIDTH else f"{value:.5g}"
