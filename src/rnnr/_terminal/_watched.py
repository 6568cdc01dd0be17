"""What a terminal shows of a run, built from its reports alone."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from rnnr.dashboard._progress import Progress
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.reporting._curve import Curve
from rnnr.reporting._report import Report

__all__ = ["Epoch", "Watched"]

_N_EPOCHS = 8
_N_CURVES = 20
_WIDTH = 40  # intervals of a curve


class Epoch(NamedTuple):
    """An epoch that has ended.

    Attributes:
        number: Its number, from 1.
        seconds: How long it took; ``None`` if its beginning was not recorded.
        results: Its results by name.
    """

    number: int
    seconds: float | None
    results: Mapping[str, float]


class Watched:
    """Keeps of the reports of a run what a terminal shows, in bounded memory.

    Attributes:
        latest: The latest report; ``None`` before the first.
        config: Configuration of the run, and which run it is.
        epochs: The last epochs, the newest last.
        curves: Curves of the first twenty metrics, by name.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.latest: Report | None = None
        self.config: Mapping[str, object] = {}
        self.epochs: deque[Epoch] = deque(maxlen=_N_EPOCHS)
        self.curves: dict[str, Curve] = {}
        self._progress = Progress()
        self._epoch_began: float | None = None
        self._of_batches: set[str] = set()

    def add(self, report: Report) -> None:
        """Add the newest report."""
        if report.event is Event.STARTED:
            self._begin()
        if report.event in BEGINNINGS:
            self.config = report.config or self.config
        elif report.event is Event.EPOCH_STARTED:
            self._epoch_began = report.seconds
        elif report.event is Event.EPOCH_FINISHED:
            self._add_epoch(report)
        if report.event is Event.BATCH or report.event is Event.EPOCH_FINISHED:
            self._add_metrics(report)
        self._progress.add(report)
        self.latest = report

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.latest is not None and self.latest.event in ENDS

    @property
    def progress(self) -> Mapping[str, float | None]:
        """What part of the run is done, and what is left, as in `Progress.of`."""
        return {} if self.latest is None else self._progress.of(self.latest)

    def _add_epoch(self, report: Report) -> None:
        while self.epochs and self.epochs[-1].number >= report.epoch:  # the run was set back
            self.epochs.pop()
        began, self._epoch_began = self._epoch_began, None
        seconds = None if began is None else report.seconds - began
        results = {name: report.metrics[name] for name in report.results if name in report.metrics}
        self.epochs.append(Epoch(report.epoch, seconds, results))

    def _add_metrics(self, report: Report) -> None:
        is_batch = report.event is Event.BATCH
        for name in report.metrics if is_batch else report.results:
            if name not in report.metrics:
                continue
            of = name if is_batch or name not in self._of_batches else f"{name} (epochs)"
            if is_batch:
                self._of_batches.add(name)
            if of in self.curves or len(self.curves) < _N_CURVES:
                self.curves.setdefault(of, Curve(_WIDTH)).add(report.step, report.metrics[name])
