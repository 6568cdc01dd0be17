"""A chart that moves while a cell trains."""

from collections.abc import Iterable
from importlib.util import find_spec
from math import inf, isfinite
from typing import Any, Final

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr._errors import as_number
from rnnr._isolate import isolate
from rnnr.attachments._attachment import Attachment
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.reporting._curve import Curve
from rnnr.reporting._report import Report
from rnnr.reporting._reports import reports
from rnnr.runner import Runner

__all__ = ["Chart"]

_N_INTERVALS: Final = 300  # of a curve: about one for two pixels
_N_CURVES: Final = 40
_SECONDS: Final = "a finite number above 0"
_BATCH: Final = "batch"
_EPOCH: Final = "epoch"


class Chart(Attachment):
    """Draws the metrics of a run in a notebook, while the cell that trains is running.

    Make it the last line of a cell, or give it to ``display``. The curves move in place: the chart
    is not drawn again, so nothing flickers and nothing else in the output of the cell is lost.

    It has a panel for each metric of the reports: the numbers in ``state["stats"]``, in the results
    of reducers and evaluations, and under the keys that you name. What belongs together, such as
    ``loss`` and ``valid_loss``, is in one panel. A curve of batches shows the mean of each interval
    in a band from the least to the greatest value, so that no batch is lost from sight, in bounded
    memory. A chart shows one run: the next one begins with no curves, and a run
    inside of it, such as an evaluation, is left out.

    What is shown stays in the notebook when it is saved with the state of its widgets. A chart that
    cannot be sent does not break the run; the failure is logged on ``rnnr.isolation``.

    Args:
        keys: Names of further keys of the state that hold metrics.
        seconds: Seconds between two updates, at least.

    Attributes:
        widget: The widget that is shown.

    Raises:
        ImportError: If anywidget is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If ``seconds`` is not above 0 and finite, or a key is one that the run writes.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.notebook import Chart
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["n_iters"]}
        >>> chart = Chart()
        >>> subscription = chart.attach_on(runner)
        >>> runner.run(range(4))
        >>> [curve["name"] for curve in chart.widget.curves], chart.widget.status
        (['loss'], 'finished · epoch 1 of 1 · 4 batches')
    """

    def __init__(self, *keys: str, seconds: float = 0.5) -> None:
        cure = "write for example seconds=0.5"
        seconds = as_number("seconds", seconds, _SECONDS, lambda s: 0 < s < inf, cure)
        if find_spec("anywidget") is None:
            raise ModuleNotFoundError(
                "a Chart needs anywidget, which cannot be found; install it with: "
                "pip install anywidget",
                name="anywidget",
            )
        from rnnr.notebook._widget import Widget

        self.widget = Widget()
        self._keys = keys
        self._on = Event.EPOCH_FINISHED | Event.BATCH.seconds(seconds)
        for event in (*BEGINNINGS, *ENDS):
            self._on = self._on | event
        self._curves: dict[tuple[str, str], Curve] = {}
        reports(Runner(), *keys)  # checks them

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Args:
            runner: Runner to attach to.

        Returns:
            A Disposable that detaches again; the chart stays as it is.

        Raises:
            TypeError: If ``runner`` is not a runner.
        """
        source = reports(runner, *self._keys, on=self._on, intervals=True)
        return CompositeDisposable(source.subscribe(isolate(self._add)))

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        """Return how a notebook shows it."""
        return self.widget._repr_mimebundle_(**arguments)

    def _add(self, report: Report) -> None:
        if report.is_inside:  # an evaluation has another axis; its results are in the training's
            return
        if report.event is Event.STARTED:
            self._curves.clear()
        for curve in self._curves.values():
            if report.event is Event.RESUMED:
                curve.go_back(report.step)
        self._add_batches(report)
        if report.event is Event.EPOCH_FINISHED:
            self._add_values(report, _EPOCH, report.results)
        with self.widget.hold_sync():
            self.widget.curves = [self._told(*of, curve) for of, curve in self._curves.items()]
            self.widget.status = _status(report)

    def _add_batches(self, report: Report) -> None:
        for name, parts in report.intervals.items():
            for last, interval in parts:
                if (curve := self._curve(_BATCH, name)) is not None:
                    curve.add_interval(last, interval)
        names = report.metrics.keys() - report.intervals.keys()  # tensors, read here and now alone
        if report.event in ENDS:  # a batch that stopped the run has no report of its own
            names = {name for name in report.metrics if self._lacks(name, report.step)}
        if report.event is Event.BATCH or report.event in ENDS:
            self._add_values(report, _BATCH, [name for name in report.metrics if name in names])

    def _lacks(self, name: str, step: int) -> bool:
        """Return whether there is a curve of batches that does not come to a step."""
        curve = self._curves.get((_BATCH, name))
        return curve is not None and curve.open is not None and curve.open[0] < step

    def _add_values(self, report: Report, of: str, names: Iterable[str]) -> None:
        for name in names:
            if (curve := self._curve(of, name)) is not None:
                curve.add(report.step, report.metrics[name])

    def _curve(self, of: str, name: str) -> Curve | None:
        if len(self._curves) < _N_CURVES:
            self._curves.setdefault((of, name), Curve(_N_INTERVALS))
        return self._curves.get((of, name))

    @staticmethod
    def _told(of: str, name: str, curve: Curve) -> dict[str, Any]:
        rows = [
            [step, *map(_finite, (interval.mean, interval.least, interval.greatest))]
            for step, interval in curve.intervals()
        ]
        return {"of": of, "name": name, "rows": rows, "notFinite": curve.not_finite}


def _finite(value: float) -> float | None:
    """Return a number that JSON has; ``None`` for one that is not finite."""
    return float(value) if isfinite(value) else None


def _status(report: Report) -> str:
    status = report.event.name.lower() if report.event in ENDS else "running"
    by = f" by {report.stopped_by}" if report.stopped_by else ""
    n = report.n_iters
    batches = f"{n} {'batch' if n == 1 else 'batches'}"
    return f"{status}{by} · epoch {report.epoch} of {report.max_epoch} · {batches}"
