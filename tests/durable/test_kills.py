"""Processes that are killed: at each moment a whole snapshot is there, and the restart is exact."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

long = pytest.mark.long


def kills(scene: str, folder: Path, n: int, *, at_most: int, background: bool = True) -> int:
    """Play a scene of `helpers.killing`; return how many processes were killed."""
    command = [sys.executable, "-W", "error", "-c", "from helpers.killing import main; main()"]
    arguments = [scene, folder, 0, n, at_most, background]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=long)])
@pytest.mark.parametrize("background", [True, False], ids=["background", "foreground"])
@pytest.mark.parametrize("at_most", [1, 2])
def test_before_each_operation_of_a_save_and_of_a_removal(
    tmp_path: Path, at_most: int, background: bool, stride: int
) -> None:
    n = kills("each operation", tmp_path, stride, at_most=at_most, background=background)
    assert n > 4 * 11  # four snapshots, of eleven operations each, and the removals


@pytest.mark.parametrize("n", [15, pytest.param(200, marks=long)])
def test_at_random_moments_of_a_run_that_saves_back_to_back(tmp_path: Path, n: int) -> None:
    assert kills("back to back", tmp_path, n, at_most=1) == n


@pytest.mark.parametrize("n", [2, pytest.param(20, marks=long)])
def test_again_and_again_until_the_run_ends(tmp_path: Path, n: int) -> None:
    assert kills("until it ends", tmp_path, n, at_most=2) > n
