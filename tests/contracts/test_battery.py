"""What holds for everything that attaches to a runner: the common battery.

Whatever is new enters `PARTS`, and is attached, detached, stopped, failed, resumed, pickled and
put on two runners at once, with a fault at every event.
"""

import gc
import io
import logging
import pickle
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable

import rnnr.attachments
import rnnr.callbacks
import rnnr.dashboard
import rnnr.operators
import rnnr.recording
from helpers.events import n_handlers
from rnnr import Emission, Event, Layer, Runner, State, isolate
from rnnr.attachments import (
    Control,
    EpochTimer,
    LambdaReducer,
    MeanReducer,
    ProgressBar,
    SumReducer,
)
from rnnr.callbacks import checkpoint, early_stopping, maybe_stop_early
from rnnr.dashboard import Dashboard
from rnnr.operators import fold, pipeline, select, stop, when
from rnnr.recording import Record
from rnnr.reporting import HandlerTimes, Report, reports

Attach = Callable[[Runner], Any]


class Bar:
    """A bar that tells how many are open."""

    n_open = 0

    def __init__(self, batches: object, *, initial: int) -> None:
        self.n = initial
        Bar.n_open += 1

    def set_postfix(self, **stats: object) -> None:
        assert stats

    def update(self, n: int) -> None:
        self.n += n

    def close(self) -> None:
        Bar.n_open -= 1


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


def dashboard(at_end: ExitStack) -> Attach:
    def attach(runner: Runner) -> Any:
        pytest.importorskip("tornado")
        dashboard = Dashboard()
        at_end.callback(dashboard.close)
        return dashboard.attach_on(runner)

    return attach


def record(folder: Path) -> Attach:
    return lambda runner: Record(folder / f"{id(runner)}.jsonl").attach_on(runner)


def parts(folder: Path, at_end: ExitStack) -> dict[str, Attach]:
    return {
        "Control": Control().attach_on,
        "EpochTimer": EpochTimer().attach_on,
        "ProgressBar": ProgressBar(stats="stats", tqdm_cls=Bar).attach_on,
        "tqdm": ProgressBar(stats="stats", file=io.StringIO(), mininterval=0).attach_on,
        "LambdaReducer": LambdaReducer("longest", max).attach_on,
        "SumReducer": SumReducer("sum").attach_on,
        "MeanReducer": MeanReducer("mean").attach_on,
        "maybe_stop_early": finished(maybe_stop_early(patience=1)),
        "early_stopping": early_stopping("worse", patience=1, restore="weights").attach_on,
        "early_stopping without an end": finished(early_stopping("worse", "max", patience=1)),
        "checkpoint": finished(checkpoint("output", under=folder, when="better", at_most=2)),
        "pipeline": finished(pipeline(when("worse"), fold("seen", max, value="epoch"), stop())),
        "isolate": finished(isolate(lambda state: state["no such key"])),
        "operators.isolate": failing_view,
        "snapshot": history,
        "selection": selected,
        "runs": every_run,
        "reports": reported,
        "measured": measured,
        "Dashboard": dashboard(at_end),
        "Record": record(folder),
    }


PARTS = sorted(parts(Path(), ExitStack()))


def test_every_part_of_the_library_is_among_them() -> None:
    names = {*rnnr.attachments.__all__, *rnnr.callbacks.__all__}
    names |= {*rnnr.dashboard.__all__, *rnnr.recording.__all__}
    others = {"Attachment", "EarlyStopping", "EarlyStoppingCallback", "ControlStatus", "save"}
    assert names - others - {"Tail", "replay"} <= set(PARTS)


RESULTS = (
    "longest",
    "sum",
    "mean",
    "_counter",
    "_early_stopping_worse",
    "_saved_output",
    "seen",
    "weights",
    "history",
    "epoch",
    "n_iters",
)


@pytest.fixture(params=PARTS)
def attach(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Attach]:
    with ExitStack() as at_end:
        yield parts(tmp_path, at_end)[request.param]


@pytest.fixture(autouse=True)
def every_bar_is_closed() -> Any:
    yield
    assert Bar.n_open == 0


def trained(attach: Attach) -> Runner:
    """A runner whose callbacks compute what the parts read."""
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["output"] = state["batch"]
        weights = state.setdefault("weights", [])  # changed in place, a repeated batch once
        weights[state["n_iters"] - 1 :] = [state["epoch"] * state["batch"]]
        state["stats"] = {"loss": state["batch"]}

    @runner.on(Event.EPOCH_FINISHED)
    def check(state: State) -> None:
        state["better"] = state["epoch"] != 2
        state["worse"] = state["epoch"] == 3

    attach(runner)
    return runner


def results(runner: Runner) -> State:
    return {key: runner.state[key] for key in RESULTS if key in runner.state}


@pytest.fixture
def expected(attach: Attach) -> State:
    runner = trained(attach)
    runner.run([1, 2, 3], max_epoch=4)
    return results(runner)


def test_it_leaves_nothing_behind_when_it_is_detached(attach: Attach) -> None:
    runner = trained(lambda _: None)
    before = n_handlers(runner)
    attached = attach(runner)
    assert n_handlers(runner) > before
    attached.dispose()
    assert n_handlers(runner) == before
    runner.run([1])


def test_it_can_be_detached_during_any_event(attach: Attach) -> None:
    for event in Event:
        runner = trained(lambda _: None)
        before = n_handlers(runner)
        attached = attach(runner)
        subscription = runner.on(event, lambda _, attached=attached: attached.dispose())  # type: ignore[misc]
        stopping = runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] != 2))
        failing = runner.on(Event.FINISHED, lambda _: 1 / 0)
        runner.run([1, 2, 3])
        with pytest.raises(ZeroDivisionError):
            runner.resume()
        for mine in (subscription, stopping, failing):
            mine.dispose()
        assert n_handlers(runner) == before, event


def test_a_second_run_gives_the_same_as_the_first(attach: Attach, expected: State) -> None:
    runner = trained(attach)
    runner.run([9, 9])
    for key in RESULTS:
        runner.state.pop(key, None)
    runner.run([1, 2, 3], max_epoch=4)
    assert results(runner) == expected


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("across_processes", [False, True])
def test_stop_and_resume_equals_the_uninterrupted_run(
    attach: Attach, expected: State, n: int, across_processes: bool
) -> None:
    runner = trained(lambda runner: stop_once(runner, n))
    attach(runner)
    runner.run([1, 2, 3], max_epoch=4)
    assert runner.state["n_iters"] == n
    if across_processes:
        state = pickle.loads(pickle.dumps(runner.state))
        runner = trained(attach)
        runner.state = state
    runner.resume(repeat_last_batch=True)
    assert results(runner) == expected


def stop_once(runner: Runner, n: int) -> None:
    @runner.on(Event.BATCH)
    def stop_at(state: State) -> None:
        if state["n_iters"] == n and "stopped" not in state:
            state["stopped"], state["running"] = True, False


@pytest.mark.parametrize("layer", Layer)
@pytest.mark.parametrize(
    "event",
    [Event.STARTED, Event.EPOCH_STARTED, Event.BATCH, Event.EPOCH_FINISHED, Event.FINISHED],
)
def test_after_a_fault_at_any_event_of_a_run_and_layer_the_next_run_counts_right(
    attach: Attach, expected: State, event: Event, layer: Layer
) -> None:
    runner = trained(attach)
    error = ValueError("a fault")

    def fail(state: State) -> None:
        raise error

    fault = runner.stream(event).add(fail, layer=layer)
    with pytest.raises(ValueError, match="a fault") as caught:
        runner.run([7], max_epoch=2)
    assert caught.value is error
    assert Bar.n_open == 0
    fault.dispose()
    for key in RESULTS:
        runner.state.pop(key, None)
    runner.run([1, 2, 3], max_epoch=4)
    assert results(runner) == expected


def test_two_runners_one_inside_the_other_do_not_mix(attach: Attach, expected: State) -> None:
    outer, inner = trained(attach), trained(attach)
    outer.on(Event.BATCH, lambda _: inner.run([5, 6], max_epoch=1))
    outer.run([1, 2, 3], max_epoch=4)
    assert results(outer) == expected
    assert inner.state["n_iters"] == 2


class Model:
    """What a weak reference can tell of, and a part restore."""

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, contents: State) -> None:
        assert contents == {}


def test_a_runner_is_freed_with_its_last_name_and_without_the_collector(attach: Attach) -> None:
    def ran(fail: bool) -> list[weakref.ref[Any]]:
        """Run, stop, resume, fail; return references to what should be free after it."""
        runner, model, captured = trained(attach), Model(), Model()
        runner.state["model"] = model
        runner.on(Event.BATCH, lambda _: captured)
        stop_once(runner, 2)
        runner.run([1, 2, 3], max_epoch=2)
        runner.resume()
        if fail:
            runner.on(Event.EPOCH_FINISHED, lambda _: 1 / 0)
            with suppress(ZeroDivisionError):
                runner.run([1])
        return [weakref.ref(one) for one in (runner, model, captured)]

    kept = list[Any]()  # as a notebook keeps what attach_on has returned
    attach = partial(keep_what_it_returns, attach, kept)
    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps the records, and these what was caught
    try:
        for fail in (False, True):
            assert [reference() for reference in ran(fail)] == [None] * 3, fail
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def keep_what_it_returns(attach: Attach, kept: list[Any], runner: Runner) -> None:
    kept.append(attach(runner))


HOLDERS: dict[str, Callable[[Runner, Model, Path], Any]] = {
    "checkpoint": lambda runner, model, folder: runner.on(
        Event.EPOCH_FINISHED, checkpoint("model", model, using=print_nothing, under=folder)
    ),
    "early_stopping": lambda runner, model, _: early_stopping("worse", restore=model).attach_on(
        runner
    ),
    "pipeline": lambda runner, model, _: runner.on(
        Event.EPOCH_FINISHED, pipeline(ops.filter(lambda _: bool(model)), ops.take(9))
    ),
}


def print_nothing(model: object, path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_model_that_a_part_was_given_is_freed_with_the_runner(
    holder: str, tmp_path: Path
) -> None:
    def ran() -> weakref.ref[Model]:
        runner, model = trained(lambda _: None), Model()
        HOLDERS[holder](runner, model, tmp_path)
        runner.run([1, 2], max_epoch=2)
        return weakref.ref(model)

    gc.collect()
    gc.disable()
    try:
        assert ran()() is None
    finally:
        gc.enable()
