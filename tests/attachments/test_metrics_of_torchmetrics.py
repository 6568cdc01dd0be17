"""`MetricReducer` with metrics of torchmetrics, over pickles and kills."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from helpers.extras import torch
from rnnr import Event, Layer, Runner, State
from rnnr.attachments import MetricReducer
from rnnr.callbacks import evaluate
from rnnr.durable import Snapshots

tm: Any = pytest.importorskip("torchmetrics")

BATCHES = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 1, 2, 1]]


def of_classes(name: str, **settings: Any) -> Any:
    return getattr(tm, name)(**{"task": "multiclass", "num_classes": 3, **settings})


def collection() -> Any:
    """Return a collection, two of whose metrics have one state."""
    names = ("Accuracy", "Precision", "Recall")
    return tm.MetricCollection(
        {name: of_classes(name, average="macro") for name in names}
        | {"nested": tm.MetricCollection([of_classes("F1Score")])}
    )


def targets(state: State) -> Any:
    return state["output"][1].float()


METRICS: dict[str, Any] = {
    "accuracy": lambda: (of_classes("Accuracy"), "output"),
    "confusion": lambda: (of_classes("ConfusionMatrix"), "output"),
    "curve": lambda: (of_classes("AUROC"), "output"),  # keeps all predictions, in a list
    "binned": lambda: (of_classes("AUROC", thresholds=5), "output"),
    "collection": lambda: (collection(), "output"),
    "mean": lambda: (tm.MeanMetric(), targets),
    "latest": lambda: (tm.aggregation.RunningMean(window=2), targets),
    "extremes": lambda: (tm.wrappers.MinMaxMetric(tm.MeanMetric()), targets),
    "bootstrap": lambda: (tm.wrappers.BootStrapper(tm.MeanMetric(), num_bootstraps=2), targets),
    "classes": lambda: (
        tm.wrappers.ClasswiseWrapper(of_classes("Accuracy", average=None)),
        "output",
    ),
}


def runner_with_metrics() -> Runner:
    torch.manual_seed(0)
    runner = Runner()
    weight = torch.ones(3, requires_grad=True)

    @runner.on(Event.BATCH)
    def predict(state: State) -> None:
        numbers = torch.tensor(state["batch"])
        state["output"] = (torch.nn.functional.one_hot(numbers % 3, 3) * weight, numbers // 2 % 3)

    for name, make in METRICS.items():
        metric, value = make()
        MetricReducer(name, metric, value=value).attach_on(runner)

    @runner.on(Event.EPOCH_FINISHED)
    def keep(state: State) -> None:
        state["history"] = [*state.get("history", []), str([state[name] for name in METRICS])]

    return runner


@pytest.fixture(scope="module")
def expected() -> list[str]:
    runner = runner_with_metrics()
    runner.run(BATCHES, 2)
    assert len({*runner.state["history"]}) == 2  # of another bootstrap
    found: list[str] = runner.state["history"]
    return found


def test_an_epoch_has_what_the_metric_computes_of_all_its_batches() -> None:
    runner = runner_with_metrics()
    runner.run(BATCHES)
    numbers = torch.tensor(BATCHES).flatten()
    predicted, true = numbers % 3, numbers // 2 % 3
    assert runner.state["accuracy"] == (predicted == true).float().mean()
    matrix = torch.zeros(3, 3, dtype=torch.int64)
    for row, column in zip(true, predicted, strict=True):
        matrix[row, column] += 1
    assert runner.state["confusion"].equal(matrix)
    assert runner.state["mean"] == true.float().mean()
    assert {*runner.state["collection"]} >= {"Accuracy", "Precision", "Recall"}


@pytest.mark.parametrize("n_iters", [2, 4, 5])
def test_a_run_that_is_killed_equals_one_that_is_not(
    tmp_path: Path, n_iters: int, expected: list[str]
) -> None:
    def run(kill_at: int | None = None) -> Runner:
        runner = runner_with_metrics()
        snapshots = Snapshots(tmp_path / "run", every=Event.BATCH, background=False)
        snapshots.attach_on(runner)
        runner.on(Event.BATCH.where(lambda state: state["n_iters"] == kill_at), lambda _: 1 / 0)
        runner.run(BATCHES, 2)
        return runner

    with pytest.raises(ZeroDivisionError):
        run(n_iters)
    assert run().state["history"] == expected


@pytest.mark.parametrize("n_iters", [1, 3])
def test_a_run_that_goes_on_from_a_pickle_equals_one_that_was_not_stopped(
    n_iters: int, expected: list[str]
) -> None:
    def stop(state: State) -> None:
        state["running"] = state["n_iters"] != n_iters

    runner = runner_with_metrics()
    runner.stream(Event.BATCH).add(stop, layer=Layer.STOP)
    runner.run(BATCHES, 2)
    blob, rng = pickle.dumps(runner.state), torch.get_rng_state()
    runner = runner_with_metrics()
    torch.set_rng_state(rng)
    runner.state = pickle.loads(blob)
    runner.resume()
    assert runner.state["history"] == expected


def test_an_epoch_without_batches_brings_no_warning_and_is_none() -> None:
    runner = runner_with_metrics()
    runner.run([])
    assert [runner.state[name] for name in METRICS] == [None] * len(METRICS)


def test_a_metric_that_keeps_its_predictions_keeps_no_graph() -> None:
    runner, metric = Runner(), tm.CatMetric()
    weight = torch.ones(1, requires_grad=True)
    runner.on(Event.BATCH, lambda state: state.update(output=weight * state["batch"]))
    MetricReducer("kept", metric).attach_on(runner)
    runner.run([1.0, 2.0])
    assert [value.requires_grad for value in metric.value] == [False, False]
    assert runner.state["kept"].tolist() == [1, 2]


def test_a_metric_in_inference_mode_serves_the_training_after_it() -> None:
    metric = of_classes("Accuracy")
    trainer, evaluator = Runner(), Runner()
    for runner in (trainer, evaluator):
        runner.on(Event.BATCH, lambda state: state.update(output=(torch.eye(3), state["batch"])))
        MetricReducer("accuracy", metric).attach_on(runner)
    validate = evaluate(evaluator, [torch.arange(3)], prefix="valid_", context=torch.inference_mode)
    trainer.on(Event.EPOCH_FINISHED, validate)
    trainer.run([torch.zeros(3, dtype=torch.int64)], 2)
    assert trainer.state["accuracy"].item() == pytest.approx(1 / 3)
    assert trainer.state["valid_accuracy"] == 1


@pytest.mark.parametrize("is_persistent", [False, True])
def test_a_persistent_metric_is_the_same(
    is_persistent: bool, tmp_path: Path, expected: list[str]
) -> None:
    def run(kill_at: int | None = None) -> Any:
        runner, metric = Runner(), of_classes("Accuracy")
        metric.persistent(is_persistent)
        MetricReducer("accuracy", metric, value="batch").attach_on(runner)
        Snapshots(tmp_path, every=Event.BATCH, background=False).attach_on(runner)
        runner.on(Event.BATCH.where(lambda state: state["n_iters"] == kill_at), lambda _: 1 / 0)
        batches = [(torch.eye(3), torch.arange(3)), (torch.eye(3), torch.zeros(3).long())]
        runner.run(batches, 1)
        return runner.state["accuracy"]

    with pytest.raises(ZeroDivisionError):
        run(2)
    assert run().item() == pytest.approx(4 / 6)
