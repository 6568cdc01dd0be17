"""What the loop costs: this rnnr, the published 0.4.0 and a bare loop, side by side.

    python tests/benchmarks/overhead.py

Each row alternates between the three for many rounds in one process, so that a machine whose speed
drifts slows all of them down; the ratio is the median of the rounds' ratios. Import time is
measured on fresh processes, in turn. It prints the table in docs/reference/performance.md.
"""

import argparse
import gc
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any, NamedTuple

import ignite
from ignite.engine import Engine, Events
from reactivex import operators as ops
from reactivex.subject import Subject

import rnnr
import rnnr.attachments
from rnnr import State
from rnnr.operators import chunk, fold
from rnnr.sources import prefetch
from rnnr.tracking import log_to

sys.path.insert(0, str(Path(__file__).parent.parent))
from saving import rows as rows_of_saving
from watching import rows as rows_of_watching

from helpers.published import VERSION, published

Make = Callable[[Any], Any]


class Row(NamedTuple):
    """One row of the table: medians in nanoseconds, and what the ratio may be at most."""

    name: str
    unit: str
    bare: float | None
    old: float
    new: float
    ratio: float
    budget: float | None


def nothing(state: State) -> None:
    """Do nothing, which leaves the loop's own cost."""


def nothing_more(state: State) -> None:
    """Do nothing, in another function."""


def still_nothing(state: State) -> None:
    """Do nothing, in a third."""


def compute(state: State) -> None:
    state["output"] = 1.0


def report(state: State) -> None:
    state["stats"] = {"loss": 0.25}


def one_callback(package: Any) -> Any:
    runner = package.Runner()
    runner.on(package.Event.BATCH, nothing)
    return runner


def three_callbacks(package: Any) -> Any:
    runner = package.Runner()
    runner.on(package.Event.BATCH, [nothing, nothing_more, still_nothing])
    return runner


def mean_reducer(package: Any) -> Any:
    runner = package.Runner()
    runner.on(package.Event.BATCH, compute)
    package.attachments.MeanReducer("mean").attach_on(runner)
    return runner


def mean_in_a_stream(package: Any) -> Any:
    """The same reduction as an operator on the stream, as a user would compose it."""
    if package is not rnnr:
        return mean_reducer(package)
    runner = package.Runner()
    runner.on(package.Event.BATCH, compute)

    def pair(state: State) -> tuple[float, int]:
        return state["output"], state.get("size", 1)

    def add(one: tuple[float, int], other: tuple[float, int]) -> tuple[float, int]:
        return one[0] + other[0], one[1] + other[1]

    total = fold("total", add, value=pair, per_epoch=True)
    runner.stream(package.Event.BATCH).pipe(total).subscribe()
    return runner


def bar_with_statistics(package: Any) -> Any:
    runner = package.Runner()
    runner.on(package.Event.BATCH, report)
    screen = open(os.devnull, "w")  # noqa: SIM115  (closed with the process)
    package.attachments.ProgressBar(stats="stats", file=screen).attach_on(runner)
    return runner


def bare_loop(batches: range) -> float:
    state: State = {}
    start = perf_counter()
    for batch in batches:
        state["batch"] = batch
        nothing(state)
    return perf_counter() - start


def a_run(make: Make, package: Any, batches: range) -> float:
    runner = make(package)
    start = perf_counter()
    runner.run(batches)
    return perf_counter() - start


def a_short_run(package: Any, times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        mean_reducer(package).run(range(10))
    return perf_counter() - start


def per_batch(
    name: str, make: Make, budget: float | None, old: Any, rounds: int, n_batches: int
) -> Row:
    batches = range(n_batches)
    bare, before, now = [], [], []
    for _ in range(rounds):
        bare.append(bare_loop(batches) / n_batches * 1e9)
        before.append(a_run(make, old, batches) / n_batches * 1e9)
        now.append(a_run(make, rnnr, batches) / n_batches * 1e9)
    return _row(name, "ns a batch", median(bare), before, now, budget)


def short_runs(old: Any, rounds: int, times: int) -> Row:
    before, now = [], []
    for _ in range(rounds):
        before.append(a_short_run(old, times) / times * 1e9)
        now.append(a_short_run(rnnr, times) / times * 1e9)
    return _row("built, attached, 10 batches", "ns a run", None, before, now, 1.4)


def _row(
    name: str,
    unit: str,
    bare: float | None,
    old: list[float],
    new: list[float],
    budget: float | None,
) -> Row:
    ratio = median(a / b for a, b in zip(new, old, strict=True))
    return Row(name, unit, bare, median(old), median(new), ratio, budget)


def import_milliseconds(rounds: int) -> tuple[float, float]:
    """Return how long ``import reactivex`` takes, and how much longer ``import rnnr`` does."""

    def take(package: str) -> float:
        clock = "time.perf_counter()"
        program = f"import time; a = {clock}; import {package}; print({clock} - a)"
        command = [sys.executable, "-X", f"pycache_prefix={folder}", "-c", program]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        return float(subprocess.run(command, capture_output=True, check=True, env=env).stdout) * 1e3

    with TemporaryDirectory() as folder:
        take("rnnr")  # compiles all, as an installation does
        pairs = [(take("reactivex"), take("rnnr")) for _ in range(rounds)]
    return median(a for a, _ in pairs), median(b - a for a, b in pairs)


def one_callback_in_ignite(rounds: int, n_batches: int) -> tuple[float, float]:
    """Return what a batch with one callback takes, here and in ignite, in ns."""

    def here() -> float:
        runner = one_callback(rnnr)
        start = perf_counter()
        runner.run(range(n_batches))
        return perf_counter() - start

    def there() -> float:
        engine = Engine(lambda engine, batch: None)
        start = perf_counter()
        engine.run(range(n_batches), max_epochs=1)
        return perf_counter() - start

    taken = [(here(), there()) for _ in range(rounds)]
    ours, ignites = (median(times) / n_batches * 1e9 for times in zip(*taken, strict=True))
    return ours, ignites


def five_selected_out(rounds: int, n_batches: int) -> tuple[float, float]:
    """Return what a handler costs a batch that it does not want, here and in ignite, in ns."""
    batches = range(n_batches)

    def here(n_handlers: int) -> float:
        runner = rnnr.Runner()
        runner.on(rnnr.Event.BATCH, nothing)
        for _ in range(n_handlers):
            runner.on(rnnr.Event.BATCH.every(100), nothing)
        start = perf_counter()
        runner.run(batches)
        return perf_counter() - start

    def there(n_handlers: int) -> float:
        engine = Engine(lambda engine, batch: None)
        engine.add_event_handler(Events.ITERATION_COMPLETED, nothing)
        for _ in range(n_handlers):
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=100), nothing)
        start = perf_counter()
        engine.run(batches, max_epochs=1)
        return perf_counter() - start

    def a_handler(take: Callable[[int], float]) -> float:
        return median((take(5) - take(0)) / 5 for _ in range(rounds)) / n_batches * 1e9

    return a_handler(here), a_handler(there)


def logged_to_a_tracker(rounds: int, n_batches: int) -> tuple[float, float]:
    """Return what a bridge costs a batch, and a row, whose tracker takes no time; in ns."""

    def take(on: Any) -> float:
        runner = rnnr.Runner()
        runner.on(rnnr.Event.BATCH, lambda state: state.update(stats={"loss": 0.5, "lr": 0.1}))
        with log_to(runner, lambda metrics, step: None, on=on) if on else nullcontext():
            start = perf_counter()
            runner.run(range(n_batches))
            return (perf_counter() - start) / n_batches * 1e9

    seldom = rnnr.Event.BATCH.seconds(1) | rnnr.Event.EPOCH_FINISHED
    taken = [(take(None), take(seldom), take(rnnr.Event.BATCH)) for _ in range(rounds)]
    idle = median(logged - bare for bare, logged, _ in taken)
    return idle, median(logged - bare for bare, _, logged in taken)


def lists_of_ten(rounds: int, n_items: int) -> tuple[float, float]:
    """Return what an item costs in `chunk(10)` and in ReactiveX's own, beyond a bare Subject."""

    def take(*operators: Any) -> float:
        subject = Subject[int]()
        (subject.pipe(*operators) if operators else subject).subscribe(lambda _: None)
        start = perf_counter()
        for item in range(n_items):
            subject.on_next(item)
        return (perf_counter() - start) / n_items * 1e9

    taken = [(take(), take(chunk(10)), take(ops.buffer_with_count(10))) for _ in range(rounds)]
    ours = median(chunked - bare for bare, chunked, _ in taken)
    return ours, median(buffered - bare for bare, _, buffered in taken)


def growth_with_observers(rounds: int) -> float:
    """Return how much dearer each of 10,000 observers that come and go is than each of 1,000."""

    def take(n: int) -> float:
        batches = rnnr.Runner().stream(rnnr.Event.BATCH)
        gc.disable()  # as timeit does: its passes over what is alive are no cost of ours
        start = perf_counter()
        for subscription in [batches.subscribe(nothing) for _ in range(n)]:
            subscription.dispose()
        taken = perf_counter() - start
        gc.enable()
        return taken / n

    return median(take(10_000) / take(1_000) for _ in range(rounds))


def growth_in_mib(n_batches: int) -> float:
    """Return by how much a long run makes the process grow."""
    runner = mean_reducer(rnnr)
    runner.run(range(n_batches // 100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    runner.run(range(n_batches))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


class SlowLoader:
    """Batches each of which takes as long to load as to learn from; sleeping stands for both."""

    SECONDS = 0.002

    def __init__(self, n_batches: int) -> None:
        self.n_batches = n_batches

    def __iter__(self) -> Iterator[int]:
        for i in range(self.n_batches):
            sleep(self.SECONDS)
            yield i


def slow_step(state: State) -> None:
    sleep(SlowLoader.SECONDS)


def speed_up_by_prefetch(rounds: int, n_batches: int) -> float:
    """Return how many times as fast a run is when its batches are loaded ahead."""

    def take(batches: Any) -> float:
        runner = rnnr.Runner()
        runner.on(rnnr.Event.BATCH, slow_step)
        start = perf_counter()
        runner.run(batches)
        return perf_counter() - start

    loader = SlowLoader(n_batches)
    return median(take(loader) / take(prefetch(loader)) for _ in range(rounds))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=101, help="rounds for each row")
    parser.add_argument("--batches", type=int, default=10_000, help="batches in each round")
    options = parser.parse_args(arguments)
    rounds, n = options.rounds, options.batches

    from rnnr.attachments import _tqdm  # noqa: F401  (not in the time of the first bar)

    old = published()
    rows = [
        per_batch("one callback", one_callback, 0.17, old, rounds, n),
        per_batch("three callbacks", three_callbacks, 0.26, old, rounds, n),
        per_batch("one callback, mean reducer", mean_reducer, 0.26, old, rounds, n),
        per_batch("the same, `fold` on the stream", mean_in_a_stream, 0.30, old, rounds, n),
        per_batch("bar with statistics", bar_with_statistics, 0.10, old, rounds, max(n // 10, 1)),
        short_runs(old, rounds, max(n // 50, 1)),
    ]
    reactivex, more = import_milliseconds(max(rounds // 10, 1))
    one, ignites_one = one_callback_in_ignite(max(rounds // 5, 1), n)
    ours, ignites = five_selected_out(max(rounds // 5, 1), n)
    chunked, windowed = lists_of_ten(max(rounds // 5, 1), n)
    idle, a_row = logged_to_a_tracker(max(rounds // 5, 1), n)
    dearer = growth_with_observers(max(rounds // 10, 1))
    long = n * 1000
    growth = growth_in_mib(long)
    speed_up = speed_up_by_prefetch(max(rounds // 10, 1), max(n // 100, 1))

    watching = rows_of_watching(rounds, n)
    saving = rows_of_saving(rounds, n)

    print(f"| | bare loop | rnnr {VERSION} | rnnr {rnnr.__version__} | ratio | budget |")
    print("|---|--:|--:|--:|--:|--:|")
    for row in rows:
        bare = "" if row.bare is None else f"{row.bare:.0f}"
        budget = "" if row.budget is None else f"≤ {row.budget:.2f}"
        times = f"{bare} | {row.old:.0f} | {row.new:.0f}"
        print(f"| {row.name} ({row.unit}) | {times} | {row.ratio:.2f} | {budget} |")
    print()
    print("| | measured | budget |")
    print("|---|--:|--:|")
    imported = f"`import rnnr` beyond `import reactivex` ({reactivex:.0f} ms)"
    print(f"| {imported} | {more:.1f} ms | ≤ 15 ms |")
    print(f"| one callback, a batch, at the same time as the next row | {one:.0f} ns | |")
    print(f"| the same in pytorch-ignite {ignite.__version__} | {ignites_one:.0f} ns | |")
    print(f"| a handler of `every(100)` that is not called, of five | {ours:.0f} ns | ≤ 300 ns |")
    print(f"| the same in pytorch-ignite {ignite.__version__} | {ignites:.0f} ns | |")
    print(f"| an item in `chunk(10)`, beyond a bare Subject | {chunked:.0f} ns | |")
    print(f"| an item in `ops.buffer_with_count(10)`, beyond it | {windowed:.0f} ns | |")
    print(f"| `log_to`, to a batch that is not logged | {idle:.0f} ns | |")
    print(f"| `log_to`, a row for a tracker that takes no time | {a_row:.0f} ns | |")
    print(f"| each of 10,000 observers that come and go, to each of 1,000 | {dearer:.2f} | flat |")
    print(f"| growth of the process over {long:,} batches | {growth:.1f} MiB | flat |")
    slow = f"`prefetch`, a loader and a step of {SlowLoader.SECONDS * 1000:.0f} ms each"
    print(f"| {slow} | {speed_up:.2f} times as fast | ≥ 1.8 times |")
    print(*watching, *saving, sep="\n")


if __name__ == "__main__":
    main()
