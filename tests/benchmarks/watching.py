"""What a dashboard costs the training: with five pages that ask, against none at all.

With fifteen metrics, it looks at each of them at every batch.

    python tests/benchmarks/watching.py

Pages are threads of another process that ask as the real page does: again after as long as the
answer says. Rounds with them alternate with rounds of a runner that nobody watches, during
which they stand still.
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from statistics import median
from time import perf_counter, sleep
from typing import NamedTuple

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.dashboard import Dashboard

N_PAGES = 5
N_FIRST = 100  # batches that are reported one by one
N_VALUES = 1000  # of each metric, again and again
SETTLING = 5.0  # seconds until the pages have found their pace

PAGES = """
import http.client, json, sys, threading, time
from urllib.parse import quote, urlsplit

def ask():
    connection, cursor, had = http.client.HTTPConnection(address.netloc), "", {}
    def get(path):
        connection.request("GET", address.path + path)
        return connection.getresponse().read()
    while True:
        answer = json.loads(get(f"data?cursor={quote(cursor)}"))
        cursor = answer["cursor"]
        runs = [(run["key"], len(run["metrics"]["names"])) for run in answer["runs"]]
        places = [(key, i) for key, n in runs for i in range(n)]
        want = ",".join(f"{key}.{i}.{had.get((key, i), '0.0')}" for key, i in places)
        octets = get(f"curves?want={want}")
        head = json.loads(octets[4 : 4 + int.from_bytes(octets[:4], "little")])
        for curve in head["curves"]:
            had[curve["key"], curve["metric"]] = f"{curve['rewritten']}.{curve['closed']}"
        time.sleep(answer["again"])

address = urlsplit(sys.argv[1])
for _ in range(int(sys.argv[2])):
    threading.Thread(target=ask).start()
"""


class Watched(NamedTuple):
    """What a dashboard adds.

    Attributes:
        nanoseconds: To each batch.
        ratio: The time of a run with it to that without.
    """

    nanoseconds: float
    ratio: float


def nothing_at_all(state: State) -> None:
    """Do nothing, which leaves the dashboard's own cost."""


def waiting(state: State) -> None:
    """Wait a millisecond, as for a GPU."""
    sleep(0.001)


def computing_so_much() -> Callable[[State], None]:
    """Return what computes in Python for about a millisecond: the same amount each time."""

    def compute(state: State) -> None:
        total = 0
        for i in range(n):
            total += i

    n = 100_000
    start = perf_counter()
    compute({})
    n = int(n * 0.001 / (perf_counter() - start))
    return compute


def trainer(step: Callable[[State], None], n_metrics: int) -> Runner:
    """Return what trains: each batch has other values, made before, so that they cost nothing."""
    runner, rng = Runner(), Random(0)
    names = [f"metric {i}" for i in range(n_metrics)]
    metrics = [{name: rng.random() for name in names} for _ in range(N_VALUES)]

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        step(state)
        state["stats"] = metrics[state["n_iters"] % N_VALUES].copy()
        state["output"] = 1.0

    MeanReducer("mean").attach_on(runner)
    return runner


@contextmanager
def pages(address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have pages ask, in another process."""
    process = subprocess.Popen([sys.executable, "-c", PAGES, address, str(N_PAGES)])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def watched(
    step: Callable[[State], None], rounds: int, n_batches: int, n_metrics: int = 2
) -> Watched:
    """Return what a dashboard with five pages adds to a training."""
    alone, shown = trainer(step, n_metrics), trainer(step, n_metrics)
    dashboard = Dashboard()
    dashboard.attach_on(shown)
    without, with_it = [], []
    with pages(dashboard.address) as asking:
        settled = perf_counter() + min(SETTLING, rounds)
        while perf_counter() < settled:
            take(shown, n_batches)
        for _ in range(rounds):
            asking.send_signal(signal.SIGSTOP)
            without.append(take(alone, n_batches))
            asking.send_signal(signal.SIGCONT)
            with_it.append(take(shown, n_batches))
        assert asking.poll() is None, "the pages have to be there to the end"
    dashboard.close()
    pairs = list(zip(with_it, without, strict=True))
    return Watched(median(a - b for a, b in pairs) * 1e9, median(a / b for a, b in pairs))


def take(runner: Runner, n_batches: int) -> float:
    """Return the seconds that a batch takes."""
    start = perf_counter()
    runner.run(range(n_batches))
    return (perf_counter() - start) / n_batches


def rows(rounds: int, n_batches: int) -> list[str]:
    """Return the rows of the table: what is measured, the result, the budget."""
    few, n_short = max(rounds // 10, 1), max(n_batches // 2, 1)
    hot = watched(nothing_at_all, few, n_batches * 50)
    many = watched(nothing_at_all, few, n_batches * 50, n_metrics=15)
    first = watched(nothing_at_all, rounds, N_FIRST, n_metrics=15)
    asleep = watched(waiting, few, n_short)
    at_work = watched(computing_so_much(), few, n_short)
    shown = "a dashboard with five pages"
    return [
        f"| {shown}, to a batch of an empty step | {hot.nanoseconds:.0f} ns | ≤ 3000 ns |",
        f"| {shown} and fifteen metrics, to a batch | {many.nanoseconds:.0f} ns | ≤ 3000 ns |",
        f"| {shown} and fifteen metrics, to an empty step | {many.ratio:.1f} times | |",
        f"| the same, to each of the first {N_FIRST} | {first.nanoseconds / 1000:.0f} µs | |",
        f"| {shown}, to a step of 1 ms that waits | {asleep.ratio - 1:.1%} | ≤ 1 % |",
        f"| {shown}, to a step of 1 ms in Python | {at_work.ratio - 1:.1%} | ≤ 1 % |",
    ]


if __name__ == "__main__":
    print(*rows(101, 10_000), sep="\n")
