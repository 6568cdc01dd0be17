"""Measure how long the page takes to read recordings: one long file, and many short ones.

Run it with ``python tests/benchmarks/reading.py``; a number after it is that of the lines of the
long file. The time begins with the start of the reading process.
"""

import asyncio
import json
import math
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rnnr import Event
from rnnr.dashboard._reading import Reading
from rnnr.recording._format import encode
from rnnr.reporting import Report

N_LINES = 1_000_000
N_SHORT, N_BATCHES = 30, 1500


def record(path: Path, n: int) -> None:
    """Write a recording of batches with three metrics."""
    with open(path, "wb") as file:
        file.write(encode(Report(Event.STARTED, 0, 10, 0, 0.0, {}, None, n)))
        for step in range(1, n + 1):
            metrics = {"loss": 1 / step, "accuracy": math.sin(step), "rate": 0.1 / step}
            batch = Report(Event.BATCH, 1, 1, step, step / 80, metrics, 80.0, n, step)
            file.write(encode(batch))
        file.write(encode(Report(Event.FINISHED, 1, 1, n, n / 80, {}, 80.0, n, n)))


async def finished(reading: Reading, n_runs: int) -> None:
    """Ask as a page does until all runs are read."""
    while True:
        answer = await reading.ask(ask="data", cursor="")
        runs = [] if answer is None else json.loads(b"[" + answer.body + b"]")
        if [run["status"] for run in runs] == ["finished"] * n_runs:
            return
        await asyncio.sleep(0.2)


def seconds_for(path: Path, n_runs: int) -> float:
    """Return the seconds until a file, or a folder, is read."""
    began = time.perf_counter()
    reading = Reading(lambda _, text: print(text))
    if path.is_file():
        reading.follow(path, "run")
    else:
        reading.search(path, "")
    try:
        asyncio.run(finished(reading, n_runs))
    finally:
        reading.close()
    return time.perf_counter() - began


def main(n_lines: int = N_LINES) -> None:
    """Measure both, and print the seconds."""
    with TemporaryDirectory() as folder:
        long, short = Path(folder, "long.jsonl"), Path(folder, "short")
        short.mkdir()
        record(long, n_lines)
        for n in range(N_SHORT):
            record(short / f"{n}.jsonl", N_BATCHES)
        print(f"{n_lines} lines: {seconds_for(long, 1):.1f} s")
        print(f"{N_SHORT} recordings of {N_BATCHES}: {seconds_for(short, N_SHORT):.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
