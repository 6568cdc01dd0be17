"""A small training that draws random numbers everywhere, and is exact only if nothing is lost."""

import random
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rnnr import Event, Runner, State
from rnnr.durable import Snapshots

__all__ = [
    "Killed",
    "Log",
    "Model",
    "Shuffled",
    "Training",
    "killed",
    "listing",
    "train",
    "undisturbed",
]


class Killed(BaseException):
    """The end of a process, as far as the files on disk can tell."""


class Model:
    """Weights that drift."""

    def __init__(self) -> None:
        self.weights = [0.0] * 50
        self.n_loaded = 0

    def step(self, batch: float) -> None:
        self.weights = [weight + batch * random.gauss(0, 1) for weight in self.weights]

    def state_dict(self) -> dict[str, Any]:
        return {"weights": array("d", self.weights).tobytes()}  # so many that they are an array

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = [*array("d", state["weights"])]
        self.n_loaded += 1


class Shuffled:
    """Numbers in an order of the global generator, with noise; it counts what it has yielded."""

    def __init__(self, n: int = 4) -> None:
        self.n = n
        self.n_drawn = 0

    def __iter__(self) -> Iterator[float]:
        order = random.sample(range(self.n), self.n)
        for i in order:
            self.n_drawn += 1
            yield i + random.random()


class Log:
    """A plain text file to which lines are added."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "a+b")  # noqa: SIM115

    def add(self, line: str) -> None:
        self.file.write(f"{line}\n".encode())

    def state_dict(self) -> dict[str, int]:
        self.file.flush()
        return {"offset": self.file.tell()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.file.truncate(state["offset"])
        self.file.seek(0, 2)


class Training(NamedTuple):
    """What a script has made.

    Attributes:
        runner: The runner.
        model: What it trains.
        snapshots: Attached to it.
        batches: The batches.
        seen: The batches that were delivered in this process, with their numbers.
    """

    runner: Runner
    model: Model
    snapshots: Snapshots
    batches: Any
    seen: list[int]

    def run(self, max_epoch: int = 2) -> "Training":
        """Run, and return itself."""
        self.runner.run(self.batches, max_epoch)
        return self

    @property
    def result(self) -> dict[str, Any]:
        """What has to be equal, whatever happened on the way."""
        state = self.runner.state
        kept = {key: state.get(key) for key in ("story", "n_iters", "epoch")}
        return {**kept, "weights": self.model.weights, "next random number": random.random()}


def train(
    folder: Path,
    *callbacks: Callable[[State], object],
    seed: int = 0,
    kill_at: int | None = None,
    batches: Any = None,
    **settings: Any,
) -> Training:
    """Do what a script does before it runs.

    Args:
        folder: Folder of the snapshots.
        callbacks: Further callbacks of BATCH.
        seed: Of the global generator; it may be another in each process.
        kill_at: Number of the batch in whose callbacks the process ends.
        batches: The batches.
        settings: Of `Snapshots`.
    """
    random.seed(seed)
    runner, model, seen = Runner(), Model(), []

    @runner.on(Event.BATCH)
    def step(state: State) -> None:
        seen.append(state["n_iters"])
        model.step(state["batch"])
        if state["n_iters"] == kill_at:
            raise Killed
        state["story"] = [*state.get("story", []), (state["n_iters"], state["batch"])]

    runner.on(Event.BATCH, callbacks)
    settings = {"every": Event.BATCH, "model": model, **settings}
    snapshots = Snapshots(folder, **settings)
    snapshots.attach_on(runner)
    return Training(runner, model, snapshots, Shuffled() if batches is None else batches, seen)


def killed(folder: Path, n_iters: int, **settings: Any) -> None:
    """Run until a batch, in whose callbacks the process ends."""
    with suppress(Killed):
        train(folder, kill_at=n_iters, **settings).run()


def undisturbed(folder: Path, max_epoch: int = 2, **settings: Any) -> dict[str, Any]:
    """Return the result of a run that nobody disturbs."""
    return train(folder, **settings).run(max_epoch).result


def listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the contents and the times of all files in a folder but the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }
