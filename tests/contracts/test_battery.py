"""What holds for everything that attaches to a runner: the common battery.

Each part in helpers/parts.py is attached, detached, stopped, failed, resumed, pickled and
put on two runners at once, with a fault at every event.
"""

import gc
import logging
import pickle
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

import rnnr.attachments
import rnnr.callbacks
import rnnr.dashboard
import rnnr.durable
import rnnr.operators
import rnnr.recording
from helpers.events import n_handlers
from helpers.memory import without_collector
from helpers.parts import PARTS, Attach, Bar, parts
from rnnr import Event, Layer, Runner, State
from rnnr.callbacks import checkpoint, early_stopping, evaluate
from rnnr.operators import pipeline


def test_every_part_of_the_library_is_among_them() -> None:
    names = {*rnnr.attachments.__all__, *rnnr.callbacks.__all__}
    names |= {*rnnr.dashboard.__all__, *rnnr.durable.__all__, *rnnr.recording.__all__}
    others = {"Attachment", "EarlyStopping", "EarlyStoppingCallback", "ControlStatus", "save"}
    others |= {"Exactness", "Job", "Moment", "SavedSnapshot", "resumes_exactly", "Tail", "replay"}
    assert names - others <= set(PARTS)
    operators = {*rnnr.operators.__all__} - {"Operator", "Pipeline"}
    assert {f"operators.{name}" for name in operators} <= set(PARTS)


RESULTS = (
    "longest",
    "sum",
    "mean",
    "metric",
    "stats",
    "valid_sum",
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
        state["stats"], state["n_items"] = {"loss": state["batch"]}, 1

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


def remove_snapshots(folder: Path) -> None:
    """Have the next run with Snapshots be a new one."""
    for manifest in [*folder.glob("*/*/manifest.json")]:
        shutil.rmtree(manifest.parent)


def test_a_second_run_gives_the_same_as_the_first(
    attach: Attach, expected: State, tmp_path: Path
) -> None:
    runner = trained(attach)
    runner.run([9, 9])
    remove_snapshots(tmp_path)
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
    attach: Attach, expected: State, event: Event, layer: Layer, tmp_path: Path
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
    remove_snapshots(tmp_path)
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
    """What a weak reference can tell of, and a part restore or evaluate."""

    training = True

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, contents: State) -> None:
        assert contents == {}

    def train(self, mode: bool = True) -> None:
        self.training = mode

    def eval(self) -> None:
        self.train(False)


HELD_BY_THE_SUBSCRIPTION = {
    "operators.isolate",  # it would subscribe again, so it holds the stream with all its handlers
    "operators.states",  # in a `flat_map`, whose disposables hold what they subscribe to
}
"""Parts that hold the runner, or its handlers, as long as their Disposable is kept."""


def test_a_runner_is_freed_with_its_last_name_and_without_the_collector(
    attach: Attach, request: pytest.FixtureRequest
) -> None:
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
            references = ran(fail)
            if request.node.callspec.params["attach"] in HELD_BY_THE_SUBSCRIPTION:
                kept.clear()
                gc.collect()
            assert [reference() for reference in references] == [None] * 3, fail
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def keep_what_it_returns(attach: Attach, kept: list[Any], runner: Runner) -> None:
    kept.append(attach(runner))


HOLDERS: dict[str, Callable[[Runner, Model, Path], Any]] = {
    "checkpoint": lambda runner, model, folder: runner.on(
        Event.EPOCH_FINISHED, checkpoint("model", model, using=print_nothing, under=folder)
    ),
    "evaluate": lambda runner, model, _: runner.on(
        Event.EPOCH_FINISHED, evaluate(Runner(), [1], model=model)
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

    with without_collector():
        assert ran()() is None
