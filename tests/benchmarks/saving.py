"""What snapshots cost: a batch that is not saved, and the pause of the training for one that is.

The benchmark in overhead.py prints these rows with its own.
"""

import threading
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch

from rnnr import Event, Layer, Runner, State
from rnnr.durable import Snapshots

__all__ = ["rows"]

_N_ARRAYS = 20


def rows(rounds: int, n_batches: int) -> list[str]:
    """Measure, and return the rows of a table: what, measured, budget."""
    idle = median(_nanoseconds_of_a_batch_that_is_not_saved(n_batches) for _ in range(rounds))
    megabytes = min(200, max(1, n_batches // 50))
    n_saves = max(1, rounds // 10)
    pauses, copies, blocked, pickled = _milliseconds_of_saves(megabytes, n_saves)
    ratio = median(pause / copied for pause, copied in zip(pauses, copies, strict=True))
    pause = f"pause of the training for a snapshot of {megabytes} MB of arrays"
    return [
        f"| a batch that `Snapshots` does not save | {idle:.0f} ns | ≤ 300 ns |",
        f"| {pause} | {median(pauses):.0f} ms, {ratio:.2f} times a copy | ≤ 1.3 times |",
        f"| the same with `background=False` | {median(blocked):.0f} ms | |",
        f"| `torch.save` of the same arrays | {median(pickled):.0f} ms | |",
    ]


def _nanoseconds_of_a_batch_that_is_not_saved(n_batches: int) -> float:
    batches = range(n_batches)

    def take(*, is_saved: bool) -> float:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: None)
        with TemporaryDirectory() as folder:
            if is_saved:
                every = Event.BATCH.every(10**9)
                Snapshots(folder, every=every, background=False).attach_on(runner)
            begun = ended = 0.0

            def begin(state: State) -> None:
                nonlocal begun
                begun = perf_counter()

            def end(state: State) -> None:
                nonlocal ended
                ended = perf_counter()

            runner.stream(Event.EPOCH_STARTED).add(begin, layer=Layer.STOP)
            runner.stream(Event.EPOCH_FINISHED).add(end, layer=Layer.DISPLAY)
            runner.run(batches)
        return ended - begun

    return (take(is_saved=True) - take(is_saved=False)) / n_batches * 1e9


def _milliseconds_of_saves(
    megabytes: int, n_saves: int
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return the pauses in the background, copies, pauses in the foreground, and pickles."""
    shape = megabytes * 1_000_000 // 8 // _N_ARRAYS
    arrays = {f"array{i}": np.random.default_rng(i).random(shape) for i in range(_N_ARRAYS)}
    warm = {name: np.zeros_like(array) for name, array in arrays.items()}

    def copy() -> float:
        start = perf_counter()
        for name, array in arrays.items():
            np.copyto(warm[name], array)
        return (perf_counter() - start) * 1e3

    with TemporaryDirectory() as folder:
        pauses, copies = _pauses(Path(folder, "background"), arrays, n_saves, copy, True)
        blocked, _ = _pauses(Path(folder, "foreground"), arrays, n_saves, copy, False)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        pickled = [_seconds_of_torch_save(tensors, Path(folder, "pickle")) for _ in range(n_saves)]
    return pauses, copies, blocked, [1e3 * seconds for seconds in pickled]


def _pauses(
    folder: Path, arrays: dict[str, Any], n_saves: int, copy: Any, background: bool
) -> tuple[list[float], list[float]]:
    """Return how long the training waits for each save, and how long a mere copy takes then.

    The snapshot before is on disk, so that neither has to wait for the other.
    """
    snapshots = Snapshots(folder, every=Event.BATCH, background=background, **arrays)
    runner = Runner()
    pauses: list[float] = []
    copies: list[float] = []

    def before(state: State) -> None:
        _wait_for_the_writer()
        copies.append(copy())
        pauses.append(-perf_counter())

    def after(state: State) -> None:
        pauses[-1] += perf_counter()

    runner.stream(Event.BATCH).add(before, layer=Layer.DISPLAY)
    snapshots.attach_on(runner)
    runner.stream(Event.BATCH).add(after, layer=Layer.STOP)
    runner.run(range(n_saves + 1))
    return [1e3 * pause for pause in pauses[1:]], copies[1:]  # the first one is of cold memory


def _wait_for_the_writer() -> None:
    """Wait until the snapshot before is on disk, and the one before that removed."""
    for thread in threading.enumerate():
        if thread.name == "rnnr snapshot":
            thread.join()


def _seconds_of_torch_save(tensors: dict[str, Any], path: Path) -> float:
    start = perf_counter()
    torch.save(tensors, path)
    return perf_counter() - start


if __name__ == "__main__":
    print(*rows(101, 10_000), sep="\n")
