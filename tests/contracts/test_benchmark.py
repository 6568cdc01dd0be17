"""The benchmark runs; what it measures is no business of a test."""

import subprocess
import sys

import pytest

from helpers.paths import TESTS

OVERHEAD = TESTS / "benchmarks" / "overhead.py"


def test_the_benchmark_prints_its_table() -> None:
    pytest.importorskip("ignite")
    command = [sys.executable, str(OVERHEAD), "--rounds", "1", "--batches", "10"]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert "| three callbacks (ns a batch) |" in table
    assert len({row.count("|") for row in rows[:8]}) == 1
    assert len(rows) == 32
