"""Real processes that are sent SIGTERM: stopped after a whole batch, saved, and gone on with."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")

SCRIPT = """
import os, random, signal, sys
from pathlib import Path
from rnnr import Event, Runner
from rnnr.attachments import MeanReducer
from rnnr.callbacks import early_stopping
from rnnr.durable import JsonLines, Snapshots, StopOnSignal

folder, moment = Path(sys.argv[1]), sys.argv[2]
weights = [0.0]


class Batches:
    def __iter__(self):
        order = random.sample(range(5), 5)
        return (i + random.random() for i in order)


def strike(where, state):
    if moment.startswith(f"{where} {state['epoch']} {state['n_iters']} "):
        for _ in range(int(moment.split()[-1])):
            os.kill(os.getpid(), signal.SIGTERM)


trainer, evaluator = Runner(), Runner()


@trainer.on(Event.BATCH)
def train(state):
    strike("before", state)
    weights[0] += state["batch"] * random.gauss(0, 1)
    state["output"] = weights[0]
    strike("after", state)
    print("batch", state["n_iters"], flush=True)


@evaluator.on(Event.BATCH)
def measure(state):
    state["output"] = state["batch"] * weights[0]
    if state["n_iters"] == 1:
        strike("evaluating", trainer.state)


@trainer.on(Event.EPOCH_FINISHED)
def evaluate(state):
    evaluator.run([1.0, 2.0])
    assert evaluator.state["n_iters"] == 2  # it was finished
    state["valid"] = evaluator.state["mean"]


MeanReducer("loss").attach_on(trainer)
MeanReducer("mean").attach_on(evaluator)
early_stopping("valid", patience=9).attach_on(trainer)
often = Event.BATCH | Event.EPOCH_FINISHED
log = JsonLines(folder / "log.jsonl", "output", "loss", "valid", on=often)
log.attach_on(trainer)
Snapshots(folder / "run", weights=weights, log=log, every=Event.BATCH.every(4)).attach_on(trainer)
StopOnSignal().attach_on(trainer)
StopOnSignal().attach_on(evaluator)
random.seed(0 if not (folder / "run").exists() else None)
trainer.run(Batches(), max_epoch=4)
print("done", weights, random.random())
"""

Start = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return what runs the script, with signals at a moment, in one folder."""
    return lambda moment: run(tmp_path / "folder", moment)


def run(folder: Path, moment: str) -> "subprocess.CompletedProcess[str]":
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", SCRIPT, str(folder), moment]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def result(folder: Path, process: "subprocess.CompletedProcess[str]") -> tuple[str, str]:
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()[-1], (folder / "log.jsonl").read_text()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed") / "folder"
    return result(folder, run(folder, "never"))


MOMENTS = {
    "in a callback": "before 2 7 1",
    "after the step": "after 2 7 1",
    "in the first batch": "before 1 1 1",
    "in the last batch of an epoch": "after 1 5 1",
    "in the last batch of all": "after 4 20 1",
    "in an evaluation": "evaluating 2 10 1",
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_the_run_is_saved_at_a_whole_moment_and_gone_on_with(
    moment: str, start: Start, expected: tuple[str, str], tmp_path: Path
) -> None:
    preempted = start(moment)
    assert preempted.returncode == 128 + signal.SIGTERM, preempted.stderr
    n_done = len([line for line in preempted.stdout.splitlines() if line.startswith("batch")])
    again = start("never")
    assert result(tmp_path / "folder", again) == expected
    first = next(line for line in [*again.stdout.splitlines(), "batch 21"] if "batch" in line)
    assert first == f"batch {n_done + 1}"  # nothing was done twice


def test_a_second_signal_kills_and_the_run_goes_on_from_the_snapshot_before(
    start: Start, expected: tuple[str, str], tmp_path: Path
) -> None:
    assert start("before 2 7 2").returncode == -signal.SIGTERM
    assert result(tmp_path / "folder", start("never")) == expected


def test_a_run_that_is_preempted_at_each_batch_ends_the_same(
    start: Start, expected: tuple[str, str], tmp_path: Path
) -> None:
    for n_iters in range(1, 21, 3):
        epoch = (n_iters + 4) // 5
        assert start(f"before {epoch} {n_iters} 1").returncode == 143
    assert result(tmp_path / "folder", start("never")) == expected


@pytest.mark.parametrize("n", [3, pytest.param(100, marks=pytest.mark.long)])
def test_signals_at_random_moments(n: int, expected: tuple[str, str], tmp_path: Path) -> None:
    delays, folder = random.Random(0), tmp_path / "folder"
    folder.mkdir()
    ends = []
    for _ in range(n):
        command = [sys.executable, "-c", SCRIPT, str(folder), "never"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it runs
            try:
                process.wait(delays.uniform(0, 0.01))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
            ends.append(process.wait())
    assert {*ends} <= {0, 143, -signal.SIGTERM}  # before the run and after it, it is not handled
    last = run(folder, "never")
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 24
    assert result(folder, last) == expected
