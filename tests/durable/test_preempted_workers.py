"""Signals to all processes of a training, the workers of its loader among them."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from signal import Signals

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of POSIX")

SCRIPT = """
import random, signal, sys, time
import torch
from rnnr import Event, Runner
from rnnr.durable import Snapshots, StopOnSignal

folder, signum, ignores = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "ignored"


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        time.sleep(0.005)
        return torch.randn(2) + i


def ignore(worker):
    signal.signal(signum, signal.SIG_IGN)


torch.manual_seed(0)
torch.set_num_threads(1)
weights = torch.zeros(2)
loader = torch.utils.data.DataLoader(
    Data(), 2, shuffle=True, num_workers=2, multiprocessing_context="fork",
    worker_init_fn=ignore if ignores else None,
)
trainer = Runner()


@trainer.on(Event.BATCH)
def train(state):
    weights.add_(state["batch"].sum(0) * torch.rand(2))
    print(state["n_iters"], flush=True)


Snapshots(folder, every=Event.EPOCH_FINISHED, weights=weights).attach_on(trainer)
StopOnSignal(signum).attach_on(trainer)
trainer.run(loader, 3)
print(weights.tolist(), torch.rand(1).item())
"""


def command(folder: Path, signum: Signals, ignored: str) -> list[str]:
    return [sys.executable, "-c", SCRIPT, str(folder), str(int(signum)), ignored]


def undisturbed(folder: Path) -> str:
    """Return what the training prints in the end."""
    process = subprocess.run(
        command(folder, signal.SIGUSR1, ""), capture_output=True, text=True, check=True
    )
    return process.stdout.splitlines()[-1]


def preempted(folder: Path, signum: Signals, ignored: str, after: int) -> tuple[int, list[str]]:
    """Signal all processes of a training after some batches; return its exit code and output."""
    with subprocess.Popen(
        command(folder, signum, ignored),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(after)]
        os.killpg(process.pid, signum)
        lines += process.stdout.read().splitlines()
        return process.wait(), lines


@pytest.mark.parametrize("n", [2, pytest.param(20, marks=pytest.mark.long)])
def test_workers_that_ignore_the_signal_lose_no_batch(n: int, tmp_path: Path) -> None:
    expected, moments = undisturbed(tmp_path / "undisturbed"), random.Random(0)
    for i in range(n):
        folder = tmp_path / str(i)
        after = moments.choice([2, 3, 4, 5, 8, 9, 10])  # when workers are there, and ignore it
        code, before = preempted(folder, signal.SIGUSR1, "ignored", after)
        assert code == 128 + signal.SIGUSR1
        last = subprocess.run(
            command(folder, signal.SIGUSR1, "ignored"), capture_output=True, text=True, check=True
        ).stdout.splitlines()
        assert last[-1] == expected
        assert [*before, *last[:-1]] == [str(i) for i in range(1, 19)]  # each batch once


@pytest.mark.parametrize("n", [1, pytest.param(20, marks=pytest.mark.long)])
def test_workers_that_die_lose_batches_and_not_the_run(n: int, tmp_path: Path) -> None:
    expected, moments = undisturbed(tmp_path / "undisturbed"), random.Random(0)
    for i in range(n):
        folder = tmp_path / str(i)
        code, _ = preempted(folder, signal.SIGTERM, "", moments.randint(1, 12))
        assert code != 0
        last = subprocess.run(
            command(folder, signal.SIGTERM, ""), capture_output=True, text=True, check=True
        )
        assert last.stdout.splitlines()[-1] == expected
