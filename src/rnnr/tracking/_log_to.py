"""Pass the metrics of a run on to a tracker, by the function with which it logs them."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr._isolate import Failures
from rnnr.event import ENDS, Event
from rnnr.reporting._report import Report
from rnnr.reporting._reports import reports
from rnnr.runner import Runner
from rnnr.selection import Selectable
from rnnr.state import State
from rnnr.streams._layer import view_layer
from rnnr.tracking._background import Background

__all__ = ["Bridge", "log_to"]

Row: TypeAlias = tuple[dict[str, float], int]
"""Metrics and their step."""

logger = logging.getLogger("rnnr.tracking")

_OFTEN_ENOUGH: Final = Event.BATCH.seconds(1) | Event.EPOCH_FINISHED
_OF_THE_THREAD: Final = ("mlflow", "mlflow.tracking.fluent")
"""Modules whose functions log to the run of their thread, and begin one if it has none."""

_PATIENCE: Final = 60.0  # seconds to wait for a tracker at the end of a run and at a snapshot


def log_to(
    runner: Runner,
    write: Callable[..., object],
    *keys: str,
    on: Selectable = _OFTEN_ENOUGH,
    prefix: str = "",
    after: int = -1,
    background: int = 0,
    flush: Callable[[], object] | None = None,
    parameters: Callable[[dict[str, Any]], object] | None = None,
) -> "Bridge":
    """Pass the metrics of a runner on to a tracker.

    ``write(metrics, step=step)`` is called with a dict of floats by name, and with the number of
    batches so far; for an evaluation inside a training that is logged or watched, too, with that of
    the training. That is how
    ``mlflow.log_metrics``, ``wandb.Run.log``, ``trackio.log``, ``swanlab.log`` and
    ``comet_ml.Experiment.log_metrics`` are called, so pass these functions as they are. For
    TensorBoard there is `TensorBoard`.

    The metrics are those of `rnnr.reporting.reports`: the numbers in ``state["stats"]``, under the
    keys that you name, and, at ``Event.EPOCH_FINISHED``, in the results of reducers and
    evaluations. At ``EPOCH_FINISHED`` the stats of the last batch are left out, unless they are
    named. What has no metrics is not written.

    A tracker does not break a run. What ``write`` raises is logged once for each kind of error on
    ``rnnr.tracking``, and at the end of the run the number of rows that were lost.

    Name the returned bridge in `rnnr.durable.Snapshots`, and a run that goes on after a kill has
    each row once, if ``write`` has a method ``purge(step)``, as `TensorBoard` has. For a tracker
    that cannot take rows back, pass the last step that it has as ``after``.

    Args:
        runner: Runner whose metrics to log.
        write: Called with the metrics and, as ``step=``, with the number of batches. If it has a
            method ``flush``, that is called at each end of a run and before a snapshot is saved.
        keys: Names of further keys of the state that hold metrics.
        on: Event at which to log, or a `rnnr.Selection`: at most one batch each second and each end
            of an epoch, if not given. A call of a tracker takes 0.5 to 10 ms.
        prefix: What the names in the tracker begin with, such as ``"train/"``.
        after: Last step that the tracker has from a run that goes on; up to it nothing is written.
        background: Number of rows that may wait for a thread that calls ``write``, in order. With
            0 the training calls it and waits. If no more rows may wait, further ones are lost, and
            that is logged. At the end of a run, what waits is written, for a minute at most.
        flush: Called instead of the method ``flush`` of ``write``.
        parameters: Called when a run begins or goes on, with what a `rnnr.reporting.RunInfo` tells
            of it, such as its configuration, as a flat dict: ``mlflow.log_params``, for example.

    Returns:
        A Disposable that detaches again.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``background`` is negative, a key is one that the run writes, or ``write``
            would begin another run on the thread in the background, as ``mlflow.log_metrics`` does.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.tracking import log_to
        >>> def write(metrics, step):  # in its place, for example mlflow.log_metrics
        ...     print(step, metrics)
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["batch"]}
        >>> bridge = log_to(runner, write, on=Event.BATCH.every(2), prefix="train/")
        >>> runner.run([1, 2, 3, 4])
        2 {'train/loss': 0.5}
        4 {'train/loss': 0.25}
    """
    cure = "pass for example mlflow.log_metrics, or TensorBoard('logs')"
    for name, function in {"write": write, "flush": flush, "parameters": parameters}.items():
        if not callable(function) and (function is not None or name == "write"):
            raise wrong_type(name, "callable", function, cure)
    if background and getattr(write, "__module__", None) in _OF_THE_THREAD:
        cure = "pass functools.partial(mlflow.log_metrics, run_id=run.info.run_id)"
        raise wrong_value("write in the background", "bound to a run", write, cure)
    check_string("prefix", prefix, 'write for example prefix="train/"')
    most = as_integer("background", background, 0, "pass the number of rows that may wait, or 0")
    last = as_integer("after", after, -1, "pass the last step that the tracker has")
    source = reports(runner, *keys, on=on)
    beginnings = reports(runner, on=Event.STARTED | Event.RESUMED)
    return Bridge(runner, source, beginnings, write, prefix, last, most, flush, parameters)


class Bridge(abc.DisposableBase):
    """Passes rows on to a tracker until it is disposed of; `log_to` makes it."""

    attached_as: Final = "log_to"

    def __init__(
        self,
        runner: Runner,
        source: Observable[Report],
        beginnings: Observable[Report],
        write: Callable[..., object],
        prefix: str,
        after: int,
        most: int,
        flush: Callable[[], object] | None,
        parameters: Callable[[dict[str, Any]], object] | None,
    ) -> None:
        self._write = write
        self._prefix = prefix
        self._after = after
        own: Callable[[], object] = getattr(write, "flush", _do_nothing)
        self._flush = flush or own
        self._parameters = parameters or _do_nothing
        self._failures = Failures(logger)
        self._n_lost = 0
        self._rows: list[Row] = []  # of the latest step
        self._background = Background(self._pass_on, most) if most else None
        # What ends a process would end only the thread there, without a word.
        self._caught: type[BaseException] = BaseException if most else Exception
        self._attached = CompositeDisposable(
            *([] if parameters is None else [beginnings.subscribe(self._tell)]),
            source.subscribe(self._receive),
            *(runner.stream(end).add(self._finish, layer=view_layer(end)) for end in ENDS),
        )

    def dispose(self) -> None:
        """Detach, and write what waits."""
        self._attached.dispose()
        self._finish()

    def state_dict(self) -> dict[str, Any]:
        """Return the latest step and its rows, when all rows are written and flushed.

        Returns:
            A dict of plain values, for `load_state_dict`; `rnnr.durable.Snapshots` calls both.
        """
        if self._background is not None and not self._background.wait(_PATIENCE):
            self._warn("%s takes longer than a minute; rows may be missing")
        self._call("flush", self._flush)
        return {"rows": [[dict(metrics), step] for metrics, step in self._rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the rows of a snapshot: later ones are taken back, if ``write`` can do that.

        Args:
            state: What `state_dict` has returned.
        """
        self._rows = [(dict(metrics), int(step)) for metrics, step in state["rows"]]
        purge = getattr(self._write, "purge", None)
        if purge is not None:
            rows = list(self._rows)
            self._call("purge", partial(purge, rows[-1][1] if rows else 0))
            for row in rows:
                self._put(row)

    def _tell(self, report: Report) -> None:
        if report.config:
            self._call("pass the configuration to", partial(self._parameters, dict(report.config)))

    def _receive(self, report: Report) -> None:
        metrics = report.metrics
        if report.event is Event.EPOCH_FINISHED:
            metrics = {name: metrics[name] for name in report.results if name in metrics}
        if not metrics or report.step <= self._after:
            return
        row = ({f"{self._prefix}{name}": one for name, one in metrics.items()}, report.step)
        is_later = not self._rows or self._rows[-1][1] != report.step
        self._rows = [row] if is_later else [*self._rows, row]
        self._put(row)

    def _put(self, row: Row) -> None:
        if self._background is None:
            self._pass_on(row)
        elif not self._background.put(row):
            if not self._n_lost:
                self._warn("%s is too slow: rows are lost")
            self._n_lost += 1

    def _pass_on(self, row: Row) -> None:
        metrics, step = row
        # A dict of its own: a tracker may change it, and a snapshot holds the row.
        write = partial(self._write, dict(metrics), step=step)
        if not self._call("write to", write, self._caught):
            self._n_lost += 1

    def _finish(self, _: State | None = None) -> None:
        if self._background is not None:
            is_done, n_dropped = self._background.end(_PATIENCE)
            self._n_lost += n_dropped
            if not is_done:
                self._warn("%s takes longer than a minute; rows are lost")
        self._call("flush", self._flush)
        lost, self._n_lost = self._n_lost, 0
        if lost:
            self._warn("%s lacks %d rows of this run", lost)

    def _warn(self, message: str, *numbers: int) -> None:
        with suppress(Exception):  # a logging handler may fail, too
            logger.warning(message, self._name(), *numbers)

    def _call(
        self,
        what: str,
        function: Callable[[], object],
        caught: type[BaseException] = Exception,
    ) -> bool:
        try:
            function()
        except caught as error:  # it is logged: a view never breaks a run
            self._failures.log(f"log_to cannot {what} {self._name()}", error)
            return False
        return True

    def _name(self) -> str:
        return getattr(self._write, "__qualname__", type(self._write).__qualname__)


def _do_nothing(*_: object) -> None:
    """Flush nothing, and pass no configuration on."""
