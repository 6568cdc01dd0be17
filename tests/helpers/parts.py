"""Everything that attaches to a runner: the one list which the tests of all parts read.

Whatever is new enters `parts`. Then it is attached, detached, stopped, failed, resumed, pickled
and put on two runners at once (contracts/test_battery.py), and must leave a training as it is
(contracts/test_watching_changes_nothing.py). What is an `Attachment` enters `ATTACHMENTS`, for
attachments/test_attachment.py; what is an operator enters `OPERATORS`.

The parts read the keys ``batch``, ``output``, ``stats``, ``n_items``, ``weights``, ``better`` and
``worse`` of the state.
"""

import io
import itertools
import operator
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.request import urlopen

import pytest
import tqdm
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable

import rnnr.operators
from helpers.metrics import Median
from rnnr import Emission, Event, Runner, State, isolate
from rnnr.attachments import (
    Attachment,
    Control,
    EpochLog,
    EpochTimer,
    LambdaReducer,
    MeanReducer,
    MetricReducer,
    ProgressBar,
    RunningAverage,
    SumReducer,
)
from rnnr.callbacks import checkpoint, early_stopping, evaluate, maybe_stop_early
from rnnr.dashboard import Dashboard
from rnnr.durable import CsvLog, JsonLines, Snapshots, StopOnSignal
from rnnr.operators import (
    all_but_newest,
    chunk,
    delete_files,
    do,
    ema,
    every,
    fold,
    frozen,
    improved,
    patience,
    pipeline,
    running_mean,
    save_file,
    select,
    states,
    stop,
    throughput,
    when,
)
from rnnr.recording import Record
from rnnr.reporting import HandlerTimes, Report, reports

__all__ = ["ATTACHMENTS", "OPERATORS", "PARTS", "Attach", "Bar", "parts"]

Attach = Callable[[Runner], Any]


class Bar:
    """A bar that tells how many are open."""

    n_open = 0

    def __init__(self, batches: object, *, initial: int, **_: object) -> None:
        self.n = initial
        Bar.n_open += 1

    def set_postfix(self, **stats: object) -> None:
        assert stats

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None:
        Bar.n_open -= 1


def bar(**settings: Any) -> ProgressBar:
    """Make a bar that is drawn as often as possible, where nobody sees it."""
    return ProgressBar(**{"file": io.StringIO(), "mininterval": 0, "stats": "stats", **settings})


ATTACHMENTS: dict[str, Callable[[], Attachment]] = {
    "Control": Control,
    "EpochLog": lambda: EpochLog("stats", best={"loss": "min"}, file=io.StringIO()),
    "EpochTimer": EpochTimer,
    "ProgressBar": lambda: ProgressBar(stats="stats", tqdm_cls=Bar),
    "LambdaReducer": lambda: LambdaReducer("longest", max),
    "SumReducer": lambda: SumReducer("sum"),
    "MeanReducer": lambda: MeanReducer("mean"),
    "MetricReducer": lambda: MetricReducer("metric", Median()),
    "RunningAverage": lambda: RunningAverage("average", value="output"),
    "RunningAverage over a window": lambda: RunningAverage("average", value="output", window=2),
    "StopOnSignal": StopOnSignal,
    "tqdm": bar,
    "bar as it is": lambda: ProgressBar(file=io.StringIO()),
    "bar of a run": lambda: bar(per="run", desc="epoch {epoch}/{max_epoch}"),
    "bar of a run, the user's": lambda: ProgressBar(per="run", stats="stats", tqdm_cls=Bar),
    "bar with a total": lambda: bar(total=9, unit="tok"),
    "bar that is disabled": lambda: ProgressBar(disable=True),
    "bar for terminals alone": lambda: bar(disable=None),
    "bar that counts items": lambda: bar(n_items="n_items"),
    "bar of another class": lambda: ProgressBar(tqdm_cls=tqdm.tqdm, file=io.StringIO()),
}


OFTEN = Event.BATCH | Event.EPOCH_FINISHED


def files() -> Any:
    """Save a file of each batch that nobody writes."""
    return save_file("output", prefix_fmt="", under=gettempdir(), using=lambda obj, path: None)


OPERATORS: dict[str, Callable[[], list[Any]]] = {
    "all_but_newest": lambda: [files(), all_but_newest(1)],
    "chunk": lambda: [select("output"), chunk(2)],
    "delete_files": lambda: [files(), all_but_newest(1), delete_files()],
    "do": lambda: [do(str)],
    "ema": lambda: [select("output"), ema(0.5)],
    "every": lambda: [every(2)],
    "fold": lambda: [fold("folded", operator.add, value="output")],
    "frozen": lambda: [frozen()],
    "improved": lambda: [select("output"), improved()],
    "isolate": lambda: [select("no such key"), rnnr.operators.isolate()],
    "patience": lambda: [select("output"), improved(), patience(1)],
    "running_mean": lambda: [select("output"), running_mean(2)],
    "save_file": lambda: [files()],
    "select": lambda: [select("batch", "output")],
    "stop": lambda: [when(lambda _: False), stop()],
    "throughput": lambda: [throughput(1.0)],
    "when": lambda: [when("output")],
}
"""Operators over the stream of batches; `pipeline` and `states` are among the parts below."""


def forget(_: object) -> None:
    """Take what comes and keep nothing, for a state that is kept keeps all that is in it."""


def operated(operators: list[Any]) -> Attach:
    return lambda runner: runner.stream(Event.BATCH).pipe(*operators).subscribe(forget)


def states_of_each_run(runner: Runner) -> Any:
    def outputs(run: Observable[Emission]) -> Observable[Any]:
        return run.pipe(states(Event.BATCH), select("output"))

    return runner.runs.pipe(ops.flat_map(outputs)).subscribe(forget)


def a_pipeline(runner: Runner) -> Any:
    return runner.on(Event.BATCH, pipeline(*OPERATORS["fold"](), *OPERATORS["ema"]()))


def finished(callback: Any) -> Attach:
    return lambda runner: runner.on(Event.EPOCH_FINISHED, callback)


def failing_view(runner: Runner) -> Any:
    stream = runner.stream(Event.EPOCH_FINISHED)
    return stream.pipe(select("no such key"), rnnr.operators.isolate()).subscribe()


def history(runner: Runner) -> Any:
    mine = weakref.proxy(runner)  # a closure over the runner would be a cycle of our own

    def keep(epoch: Any) -> None:
        mine.state["history"] = (*mine.state.get("history", ()), epoch)

    return runner.stream(Event.EPOCH_FINISHED).pipe(select("epoch", "n_iters")).subscribe(keep)


def evaluated(runner: Runner) -> Any:
    evaluator = Runner()
    SumReducer("sum", value="batch").attach_on(evaluator)
    return runner.on(OFTEN, evaluate(evaluator, [2, 3], prefix="valid_"))


def selected(runner: Runner) -> Any:
    selection = (Event.BATCH.every(2) | Event.EPOCH_FINISHED).where(lambda state: state["n_iters"])
    return runner.on(selection, pipeline(fold("seen", max, value="n_iters")))


def every_run(runner: Runner) -> Any:
    def watch(run: Observable[Emission]) -> None:
        run.subscribe(lambda emission: emission.state.update(seen=emission.event.name))

    return runner.runs.subscribe(watch)


def reported(runner: Runner) -> Any:
    mine = weakref.proxy(runner)

    def keep(report: Report) -> None:
        mine.state["seen"] = (report.event.name, report.epoch, report.n_iters, report.metrics)

    return reports(runner, "sum").subscribe(keep)


def measured(runner: Runner) -> Any:
    times = HandlerTimes(runner)
    return CompositeDisposable(times.measure(), runner.on(Event.EPOCH_FINISHED, lambda _: None))


def dashboard(at_end: ExitStack, asked: bool = False) -> Attach:
    """Show a runner; where it is asked, as a page does at each batch."""

    def attach(runner: Runner) -> Any:
        pytest.importorskip("tornado")
        dashboard = Dashboard()
        at_end.callback(dashboard.close)
        attached = dashboard.attach_on(runner)

        def ask(_: State) -> None:
            urlopen(dashboard.address + "data").close()

        return CompositeDisposable(attached, runner.on(Event.BATCH, ask)) if asked else attached

    return attach


def written(folder: Path, make: Callable[[Path], Attachment]) -> Attach:
    """Write a file for each runner."""
    names = map(str, itertools.count())
    return lambda runner: make(folder / next(names)).attach_on(runner)


def parts(folder: Path, at_end: ExitStack) -> dict[str, Attach]:
    """Return how each part is attached to a runner, ready for one test.

    Args:
        folder: Where they may write files.
        at_end: Closes what stays open when it is detached.
    """
    return {
        **{name: make().attach_on for name, make in ATTACHMENTS.items()},
        "MetricReducer": lambda runner: ATTACHMENTS["MetricReducer"]().attach_on(runner),
        **{f"operators.{name}": operated(make()) for name, make in OPERATORS.items()},
        "operators.states": states_of_each_run,
        "operators.pipeline": a_pipeline,
        "maybe_stop_early": finished(maybe_stop_early(patience=1)),
        "early_stopping": early_stopping("worse", patience=1, restore="weights").attach_on,
        "early_stopping by a threshold": early_stopping(
            "worse", stopping_threshold=-1, divergence_threshold=0.5, check_finite=True
        ).attach_on,
        "early_stopping without an end": finished(early_stopping("worse", "max", patience=1)),
        "checkpoint": finished(checkpoint("output", under=folder, when="better", at_most=2)),
        "checkpoint of the best": finished(
            checkpoint("output", under=folder, best="worse", at_most=2, link="best")
        ),
        "evaluate": evaluated,
        "pipeline": finished(pipeline(when("worse"), fold("seen", max, value="epoch"), stop())),
        "isolate": finished(isolate(lambda state: state["no such key"])),
        "isolate at the end of a pipeline": failing_view,
        "history": history,
        "selection": selected,
        "runs": every_run,
        "reports": reported,
        "measured": measured,
        "Dashboard": dashboard(at_end),
        "Dashboard with a page": dashboard(at_end, asked=True),
        "Record": written(folder, Record),
        "JsonLines": written(folder, lambda path: JsonLines(path, "output", "mean", on=OFTEN)),
        "Snapshots": written(folder, lambda path: Snapshots(path, every=OFTEN)),
        "CsvLog": written(folder, lambda path: CsvLog(path, "output", "mean", on=OFTEN)),
    }


PARTS = sorted(parts(Path(), ExitStack()))
"""Their names, for a test of each."""
