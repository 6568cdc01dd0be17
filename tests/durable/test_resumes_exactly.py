"""Crashes at pairs of moments of many kinds of runs: each is resumed to the last bit."""

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.extras import np, torch
from helpers.metrics import Chained, Median, Stateful
from rnnr import Event, Runner, State
from rnnr.attachments import (
    EpochLog,
    LambdaReducer,
    MeanReducer,
    MetricReducer,
    RunningAverage,
    SumReducer,
)
from rnnr.callbacks import checkpoint, early_stopping, maybe_stop_early
from rnnr.durable import CsvLog, Job, JsonLines, Snapshots, resumes_exactly
from rnnr.sources import epochs_of, prefetch
from rnnr.state import run_memory


class Shuffled:
    """Batches in an order of the global generators, with augmentation and a None among them."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.n_epochs = 0

    def __iter__(self) -> Iterator[Any]:
        size = self.sizes[self.n_epochs % len(self.sizes)]
        order = np.random.permutation(size).tolist()
        random.shuffle(order)
        for i in order:
            yield None if i == 1 else float(i) + np.random.normal() + random.random()


def set_epoch(state: State) -> None:
    state["batches"].n_epochs = state["epoch"] - 1


class Augmented:
    """Items for worker processes, with augmentation from the global generators."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> float:
        return i + float(np.random.normal()) + random.random()


def from_workers() -> Any:
    """Return a shuffling loader whose two workers yield arrays of three items."""
    items: Any = Augmented()
    return torch.utils.data.DataLoader(
        items, batch_size=3, shuffle=True, num_workers=2, collate_fn=np.array
    )


class Momentum:
    """An optimizer of NumPy."""

    def __init__(self, weights: Any) -> None:
        self.weights, self.velocity, self.n_steps = weights, np.zeros_like(weights), 0

    def step(self, gradient: Any) -> None:
        self.n_steps += 1
        self.velocity = 0.9 * self.velocity - 0.01 * gradient
        self.weights += self.velocity

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity, "n_steps": self.n_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.velocity, self.n_steps = state["velocity"], state["n_steps"]


def numpy_job(
    folder: Path,
    *,
    every: Any = Event.BATCH,
    background: bool = True,
    sizes: tuple[int, ...] = (3, 0),
    loader: Callable[[], Any] | None = None,
    early: dict[str, Any] | None = None,
    max_epoch: int = 2,
    stop: Callable[[Runner], object] | None = None,
    cut: int | None = None,
) -> Job:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=3)
    optimizer = Momentum(weights)
    runner = Runner()
    runner.state["best"] = weights.copy()
    batches: Any = loader() if loader else Shuffled([*sizes])
    if cut is None:
        runner.on(Event.EPOCH_STARTED | Event.RESUMED, set_epoch)
    else:
        batches = epochs_of(batches, cut)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        batch = state["batch"]
        gradient = weights * (0 if batch is None else batch) + rng.normal(size=3)
        optimizer.step(gradient)
        state["output"] = float(gradient @ gradient)
        state["history"] = [*state.get("history", []), state["output"]]

    for reducer in (MeanReducer("loss"), SumReducer("total"), LambdaReducer("worst", max)):
        reducer.attach_on(runner)
    for metric in (Chained(), Stateful()):
        MetricReducer(type(metric).__name__, metric).attach_on(runner)
    RunningAverage("smooth", value="output").attach_on(runner)
    RunningAverage("latest", value="output", window=3).attach_on(runner)

    @runner.on(Event.EPOCH_FINISHED)
    def evaluate(state: State) -> None:
        state["valid"] = float(np.abs(weights).sum()) + np.random.normal()
        state["best"][:] = weights
        state["better"] = state["valid"] < state.get("best_valid", np.inf)
        state["best_valid"] = min(state["valid"], state.get("best_valid", np.inf))

    runner.on(Event.EPOCH_FINISHED, checkpoint("best", when="better", under=folder / "best"))
    top = checkpoint("best", best="valid", at_most=2, link="top.pkl", under=folder / "top")
    runner.on(Event.EPOCH_FINISHED, top)
    if early is not None:
        early_stopping("valid", restore="best", **early).attach_on(runner)
    if stop is not None:
        stop(runner)
    EpochLog("valid", best={"valid": "min"}, file=io.StringIO()).attach_on(runner)
    rows = JsonLines(folder / "rows.jsonl", "output", "loss", on=Event.BATCH | Event.EPOCH_FINISHED)
    table = CsvLog(folder / "table.csv", "loss", "valid", "best_valid")
    for log in (rows, table):
        log.attach_on(runner)
    Snapshots(
        folder / "snapshots",
        weights=weights,
        optimizer=optimizer,
        rows=rows,
        table=table,
        every=every,
        generators=[rng],
        background=background,
    ).attach_on(runner)

    def result() -> dict[str, Any]:
        kept = {key: value for key, value in runner.state.items() if not key.startswith("_")}
        kept = {key: kept[key] for key in kept.keys() - {"batches", "batch"}}
        kept_files = [path for name in ("best", "top") for path in (folder / name).iterdir()]
        files = {
            f"{path.parent.name}/{path.name}": path.read_bytes()
            for path in [folder / "rows.jsonl", folder / "table.csv", *kept_files]
        }
        kept["best of the log"] = run_memory(runner.state)["_epoch_log"]
        return {**kept, "weights": weights, "optimizer": optimizer.state_dict(), "files": files}

    return Job(runner, lambda: runner.run(batches, max_epoch), result)


class Noisy:
    """Items with augmentation from the global generators."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        return torch.randn(3) + float(np.random.normal()) + random.random() + i


def torch_job(
    folder: Path,
    *,
    n_workers: int = 0,
    every: Any = Event.BATCH,
    buffered: bool = False,
    step_at: Any = Event.BATCH,
) -> Job:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    generator = torch.Generator().manual_seed(3)
    items: Any = Noisy()
    loader: Any = torch.utils.data.DataLoader(
        items, batch_size=3, shuffle=True, num_workers=n_workers, generator=generator
    )
    batches = prefetch(loader) if buffered else loader
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        loss = (model(state["batch"]) ** 2).mean()
        loss.backward()
        state["loss"], state["output"] = loss, loss.detach()

    @runner.on(step_at)
    def step(_: State) -> None:
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    MeanReducer("mean").attach_on(runner)
    MetricReducer("median", Median(), value="loss").attach_on(runner)
    RunningAverage("smooth", value="output").attach_on(runner)
    RunningAverage("latest", value="output", window=2).attach_on(runner)
    early_stopping("mean", patience=0, restore=model).attach_on(runner)
    Snapshots(
        folder / "snapshots",
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        every=every,
        generators=[generator],
    ).attach_on(runner)
    return Job(
        runner,
        lambda: runner.run(batches, 2),
        lambda: {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "mean": runner.state["mean"],
            "median": runner.state["median"],
            "stats": runner.state["stats"],
        },
    )


GROUPS = Event.BATCH.every(2, of="epoch", rest=True)

EVERY = {
    "group of an epoch": GROUPS,
    "batch": Event.BATCH,
    "third batch": Event.BATCH.every(3),
    "epoch": Event.EPOCH_FINISHED,
    "both": Event.BATCH.every(2) | Event.EPOCH_FINISHED,
}


def stops_by_a_flag(runner: Runner) -> object:
    return runner.on(Event.EPOCH_FINISHED, maybe_stop_early(0))


def stops_in_the_middle(runner: Runner) -> object:
    return runner.on(
        Event.BATCH.where(lambda state: state["n_iters"] == 4), lambda _: runner.stop()
    )


def ends_epochs(runner: Runner) -> object:
    return runner.on(
        Event.BATCH.where(lambda state: state["n_iters"] in (2, 5)), lambda _: runner.end_epoch()
    )


NUMPY: dict[str, dict[str, Any]] = {
    **{f"every {name}": {"every": every} for name, every in EVERY.items()},
    "in the foreground": {"background": False},
    "an empty epoch first": {"sizes": (0, 3)},
    "two empty epochs": {"sizes": (0,)},
    "one batch": {"sizes": (1, 1)},
    "early stopping with restore": {"early": {"patience": 0}, "max_epoch": 4, "sizes": (3,)},
    "early stopping by a threshold": {
        "early": {"stopping_threshold": 9.0, "warm_up": 1},
        "max_epoch": 4,
        "sizes": (3,),
    },
    "early stopping, saved by batches": {
        "early": {"patience": 0},
        "max_epoch": 4,
        "sizes": (3,),
        "every": Event.BATCH.every(2),
    },
    "early stopping by a flag": {"stop": stops_by_a_flag, "max_epoch": 4, "sizes": (2,)},
    "a stop in the middle of a batch": {"stop": stops_in_the_middle, "sizes": (3,)},
    "a pass that is cut into epochs": {"cut": 2, "sizes": (5,), "max_epoch": 6},
    "a cut pass of whole epochs": {"cut": 2, "sizes": (4,), "max_epoch": 4},
    "a cut pass, saved by epochs": {
        "cut": 2,
        "sizes": (5,),
        "max_epoch": 6,
        "every": Event.EPOCH_FINISHED,
    },
    "a cut pass whose epochs are ended": {
        "cut": 3,
        "stop": ends_epochs,
        "sizes": (5,),
        "max_epoch": 4,
    },
    "a cut pass of two workers": {"cut": 1, "loader": from_workers, "max_epoch": 3},
    "epochs that are ended": {"stop": ends_epochs, "sizes": (4,), "max_epoch": 3},
    "two workers": {"loader": from_workers},
}

TORCH: dict[str, dict[str, Any]] = {
    **{f"every {name}": {"every": every} for name, every in EVERY.items()},
    "accumulated gradients": {"every": GROUPS, "step_at": GROUPS},
    "two workers": {"n_workers": 2},
    "two workers, every third batch": {"n_workers": 2, "every": Event.BATCH.every(3)},
}

N_PAIRS = 6  # of several hundred, chosen at random; all of them with --long


@pytest.fixture(params=[N_PAIRS, pytest.param(None, marks=pytest.mark.long)], ids=["some", "all"])
def n_pairs(request: pytest.FixtureRequest) -> int | None:
    """Return how many pairs of moments to try; ``None`` for all."""
    found: int | None = request.param
    return found


@pytest.mark.parametrize("settings", NUMPY.values(), ids=NUMPY)
def test_numpy(settings: dict[str, Any], tmp_path: Path, n_pairs: int | None) -> None:
    if "loader" in settings:
        pytest.importorskip("torch")
    found = resumes_exactly(
        lambda folder: numpy_job(folder, **settings),
        tmp_path / "job",
        at_most=n_pairs and (3 if "loader" in settings else n_pairs),
    )
    assert found, str(found)


@pytest.mark.parametrize("settings", TORCH.values(), ids=TORCH)
def test_torch(settings: dict[str, Any], tmp_path: Path, n_pairs: int | None) -> None:
    pytest.importorskip("torch")
    found = resumes_exactly(
        lambda folder: torch_job(folder, **settings),
        tmp_path / "job",
        at_most=n_pairs and (3 if "n_workers" in settings else n_pairs),
        ignore={"output", "loss"},
    )
    assert found, str(found)


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_loader_that_draws_its_order_ahead_has_the_order_of_the_next_epoch(
    is_cut: bool, tmp_path: Path
) -> None:
    def shuffled(folder: Path) -> Job:
        generator = torch.Generator().manual_seed(3)
        items: Any = range(4)
        loader: Any = torch.utils.data.DataLoader(items, shuffle=True, generator=generator)
        batches = epochs_of(prefetch(loader, 2), 3) if is_cut else prefetch(loader, 2)
        runner = Runner()
        runner.state["seen"] = ()

        @runner.on(Event.BATCH)
        def note(state: State) -> None:
            state["seen"] = (*state["seen"], int(state["batch"]))

        Snapshots(
            folder / "snapshots", every=Event.BATCH, background=False, generators=[generator]
        ).attach_on(runner)
        return Job(runner, lambda: runner.run(batches, 3), dict)

    found = resumes_exactly(shuffled, tmp_path, at_most=8)
    assert found, str(found)
