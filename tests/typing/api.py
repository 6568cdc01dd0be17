"""The public API as users write it. Nobody runs this file: mypy and pyright read it.

``assert_type`` stands where the type is a promise. What users must not write has a comment that
ignores the error; where there is no error any longer, the type checker says that it is unused.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, assert_type

from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase

import rnnr
from rnnr import Emission, Event, Layer, Runner, Selection, State, isolate
from rnnr.attachments import (
    Attachment,
    Control,
    EpochTimer,
    LambdaReducer,
    MeanReducer,
    MetricReducer,
    ProgressBar,
    SumReducer,
)
from rnnr.callbacks import (
    EarlyStopping,
    checkpoint,
    early_stopping,
    maybe_stop_early,
)
from rnnr.dashboard import Dashboard
from rnnr.operators import (
    Operator,
    Pipeline,
    chunk,
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
from rnnr.recording import Record, Tail, replay
from rnnr.reporting import Curve, HandlerTime, HandlerTimes, Interval, Report, reports
from rnnr.sources import Buffered, buffered, prefetch
from rnnr.streams import EventSubject, SelectedStream

runner = Runner()


# Callbacks


def log(state: State) -> None:
    print(state["n_iters"])


assert_type(runner.on(Event.BATCH, log), DisposableBase)
assert_type(runner.on(Event.BATCH, [log, isolate(log)]), DisposableBase)
assert_type(runner.on(Event.BATCH.every(100) | Event.EPOCH_FINISHED, log), DisposableBase)


@runner.on(Event.BATCH)
def train(state: State) -> float:
    return float(state["batch"])


@runner.on(Event.BATCH.where(lambda state: state["n_iters"] > 3).once())
def look(state: State) -> None:
    log(state)


assert_type(train({}), float)  # the decorator gives back what it was given
assert_type(isolate(log), Callable[[Any], None])
runner.on("BATCH", log)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
runner.on(Event.BATCH, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
runner.on(Event.BATCH, lambda: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


# Selections

assert_type(Event.BATCH.every(2), Selection)
assert_type(Event.BATCH.every(2, of="epoch", rest=True), Selection)
assert_type(Event.BATCH.first(3) | Event.FINISHED, Selection)
assert_type(Event.BATCH | Event.FINISHED, Selection)
assert_type(Event.BATCH.seconds(1.5), Selection)
Event.BATCH.every("2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Event.BATCH.where("better")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Streams

assert_type(runner.stream(Event.BATCH), EventSubject)
assert_type(runner.stream(Event.BATCH.every(2)), EventSubject | SelectedStream)
assert_type(runner.stream(Event.BATCH).add(log, layer=Layer.CLOCK), DisposableBase)
batches = runner.stream(Event.BATCH).pipe(select("batch"), ops.pairwise())
batches.subscribe(print)
assert_type(runner.stream(Event.BATCH).pipe(frozen()), Observable[Mapping[str, Any]])
assert_type(runner.stream(Event.BATCH).pipe(throughput(1.0)), Observable[float])
assert_type(runner.stream(Event.BATCH).pipe(every(2), chunk(3)), Observable[list[State]])
losses = runner.stream(Event.EPOCH_FINISHED).pipe(select("loss"))
assert_type(losses.pipe(improved("max"), patience(5)), Observable[int])
losses.pipe(ema(0.9), running_mean(3)).subscribe(print)
select(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
when(True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


# Pipelines: callbacks that are operators

saving = pipeline(when("better"), fold("best", max, value="loss"), stop())
assert_type(saving, Pipeline[State, Any])
runner.on(Event.EPOCH_FINISHED, saving)
runner.stream(Event.EPOCH_FINISHED).pipe(saving).subscribe(print)
as_operator: Operator = pipeline(saving, ops.take(3))
pipeline(log)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Runs


class Loader:
    async def __aiter__(self) -> AsyncIterator[int]:
        yield 1


runner.run([1, 2, 3], max_epoch=2)
runner.run(Loader())
runner.resume(repeat_last_batch=True)
runner.stop()
assert_type(runner.state, dict[str, Any])
assert_type(runner.observe(prefetch([1, 2]), max_epoch=2), Observable[Emission])
assert_type(runner.runs, Observable[Observable[Emission]])
assert_type(runner.observe([1]).pipe(states(Event.BATCH)), Observable[State])
runner.observe([1]).subscribe(lambda emission: print(emission.event.name, emission.state))
assert_type(prefetch([1, 2], size=4), Buffered)
assert_type(buffered(Loader(), live=True), Buffered)
runner.run(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
prefetch(Loader())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
buffered([1, 2])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def awaited() -> None:
    emission = await runner.observe([1, 2])
    assert_type(emission, Emission)


# Attachments

attachments: list[Attachment] = [
    Control(),
    EpochTimer(),
    LambdaReducer("longest", max),
    MeanReducer("loss", value="loss_sum"),
    ProgressBar(stats="stats", unit="batch"),
    SumReducer("n_correct"),
]
for attachment in attachments:
    assert_type(attachment.attach_on(runner), DisposableBase | None)  # None by a user's own


class Accuracy:
    def update(self, predicted: list[int], true: list[int]) -> None: ...
    def compute(self) -> float:
        return 1.0

    def reset(self) -> None: ...


MetricReducer("accuracy", Accuracy(), value=lambda state: (state["a"], state["b"]))
MetricReducer("accuracy", max)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
MeanReducer("loss", "loss_sum")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Attachment()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
EpochTimer().attach_on(Runner)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Callbacks of the library

assert_type(early_stopping("loss", patience=3), EarlyStopping)
early_stopping("loss", restore="weights").attach_on(runner, Event.EPOCH_FINISHED)
callback: Callable[[State], object] = early_stopping("loss")
runner.on(Event.EPOCH_FINISHED, early_stopping("loss"))
runner.on(Event.EPOCH_FINISHED, maybe_stop_early(patience=3))
runner.on(Event.EPOCH_FINISHED, checkpoint("model", under=Path("out"), when="better", at_most=2))
checkpoint("model", "obj", "folder")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
early_stopping("loss", patience="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# What watchers are told

assert_type(reports(runner, "lr", on=Event.BATCH.seconds(1)), Observable[Report])
assert_type(replay("run.jsonl", speed=2.0), Observable[Report])
with Record("run.jsonl", "lr").attach_on(runner):
    runner.run("abc")
assert_type(Tail(Path("run.jsonl")).read(), list[Report])
times = HandlerTimes(runner)
assert_type(times.measure(), DisposableBase)
assert_type(times.slowest_first(), list[HandlerTime])
curve = Curve(100)
curve.add(1, 0.5)
assert_type(curve.intervals(), list[tuple[int, Interval]])
curve.add(2, "0.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
reports(runner, on="BATCH")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
dashboard = Dashboard(control=False)
dashboard.attach_on(runner, "lr", name="training", config={"lr": 0.1}, system=False)
dashboard.follow("run.jsonl")
assert_type(dashboard.address, str)
Dashboard("8000")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(rnnr.__version__, str)


# Functions in pipelines, as lambdas

runner.stream(Event.BATCH).pipe(when(lambda state: state["n_iters"] > 3)).subscribe(print)
runner.stream(Event.BATCH).pipe(select(lambda state: state["loss"]), do(print)).subscribe(print)
runner.stream(Event.BATCH).pipe(select("loss"), when(lambda loss: loss > 1)).subscribe(print)
runner.on(
    Event.EPOCH_FINISHED,
    pipeline(when(lambda state: state["better"]), save_file("model"), do(lambda kept: kept.paths)),
)
