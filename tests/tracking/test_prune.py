"""`Prune`: what it reports, and how a pruned run ends."""

from collections.abc import Callable
from typing import Any

import pytest

from helpers.extras import np
from rnnr import Event, Runner
from rnnr.callbacks import evaluate
from rnnr.tracking import Prune


class Trial:
    """Remembers what is reported, and is pruned at a step."""

    def __init__(self, pruned_at: int = -1) -> None:
        self.reported: list[tuple[int, float]] = []
        self._pruned_at = pruned_at

    def report(self, value: float, step: int) -> None:
        self.reported.append((step, value))

    def should_prune(self) -> bool:
        return self.reported[-1][0] == self._pruned_at


def with_loss() -> Runner:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(loss=1 / state["n_iters"]))
    return runner


def test_it_reports_each_epoch() -> None:
    runner, trial = with_loss(), Trial()
    Prune(trial, "loss").attach_on(runner)
    runner.run(range(2), max_epoch=2)
    assert trial.reported == [(1, 0.5), (2, 0.25)]


def test_it_reports_batches_that_are_selected() -> None:
    runner, trial = with_loss(), Trial()
    with Prune(trial, "loss", on=Event.BATCH.every(2)).attach_on(runner):
        runner.run(range(4))
    runner.run(range(4))
    assert trial.reported == [(2, 0.5), (4, 0.25)]


def test_the_value_is_a_plain_float() -> None:
    runner, trial = Runner(), Trial()
    runner.on(Event.BATCH, lambda state: state.update(loss=np.float32(0.5)))
    Prune(trial, "loss").attach_on(runner)
    runner.run([1])
    assert [type(value) for _, value in trial.reported] == [float]


def test_a_run_that_is_pruned_ends_stopped_after_the_whole_event() -> None:
    optuna = pytest.importorskip("optuna")
    runner, story = with_loss(), list[Any]()
    Prune(Trial(pruned_at=2), "loss").attach_on(runner)
    runner.on(Event.EPOCH_FINISHED, lambda state: story.append(state["epoch"]))
    for end in (Event.FINISHED, Event.STOPPED, Event.FAILED):
        runner.on(end, lambda state, end=end: story.append(end))
    with pytest.raises(optuna.TrialPruned, match="in epoch 2, after batch 4"):
        runner.run(range(2), max_epoch=5)
    assert story == [1, 2, Event.STOPPED]
    assert runner.state["stopped_by"] == "pruned"


def test_a_run_that_is_stopped_by_something_else_is_not_pruned() -> None:
    runner = with_loss()
    Prune(Trial(), "loss").attach_on(runner)
    runner.on(Event.EPOCH_FINISHED, lambda state: runner.stop())
    runner.run(range(2), max_epoch=5)
    assert runner.state["epoch"] == 1


def test_the_steps_of_an_evaluation_are_not_reported() -> None:
    runner, evaluator, trial = with_loss(), with_loss(), Trial()
    runner.on(Event.EPOCH_FINISHED, evaluate(evaluator, range(3)))
    Prune(trial, "loss").attach_on(runner)
    runner.run(range(2), max_epoch=3)
    assert [step for step, _ in trial.reported] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda: Prune(1, "loss"), "trial must be a trial of Optuna, got 1"),
        (lambda: Prune(Trial(), "epoch"), "key must be the key of a metric"),
        (lambda: Prune(Trial(), 1), "must be a string"),  # type: ignore[arg-type]
        (lambda: Prune(Trial(), "loss", on="epoch"), "on must be"),  # type: ignore[arg-type]
        (lambda: Prune(Trial(), "loss", on=Event.FINISHED), "on must be one event"),
        (lambda: Prune(Trial(), "loss", on=Event.BATCH | Event.FINISHED), "on must be one event"),
    ],
)
def test_wrong_arguments_are_errors_at_once(wrong: Callable[[], object], expected: str) -> None:
    with pytest.raises((TypeError, ValueError), match=expected):
        wrong()


def test_a_metric_that_is_missing_is_named() -> None:
    runner = Runner()
    Prune(Trial(), "valid_loss").attach_on(runner)
    with pytest.raises(KeyError, match="valid_loss"):
        runner.run([1])
