"""One training, with six libraries: the numbers agree, and the page shows the files that run."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from helpers.paths import ROOT, TESTS

FOLDER = TESTS / "benchmarks" / "side_by_side"
PAGE = ROOT / "docs" / "explanation" / "why.md"
FILES = {
    "the task": "task",
    "by hand": "by_hand",
    "pytorch-ignite": "with_ignite",
    "Lightning": "with_lightning",
    "skorch": "with_skorch",
    "Keras": "with_keras",
    "rnnr": "with_rnnr",
}
SAME = ["pytorch-ignite", "Lightning", "skorch", "rnnr"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    for package in ("torch", "sklearn", "ignite", "lightning", "skorch", "keras"):
        if find_spec(package) is None:  # to import them all takes seconds
            pytest.importorskip(package)
    command = [sys.executable, str(FOLDER), "--json"]
    env = {**os.environ, "KERAS_HOME": str(tmp_path_factory.mktemp("keras"))}  # it writes there
    run = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    return found


def test_the_page_shows_the_files_in_full() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks == [
        (FOLDER / f"{module}.py").read_text(encoding="utf-8").split('"""\n\n', 1)[1]
        for module in FILES.values()
    ]


def test_each_library_trains_as_the_loop_by_hand_does(
    results: dict[str, dict[str, Any]],
) -> None:
    assert results.keys() == FILES.keys() - {"the task"}
    by_hand = results["by hand"]
    for name in SAME:
        assert results[name]["same weights"], name  # to the last bit
        assert results[name]["epochs"] == by_hand["epochs"], name
        assert results[name]["loss"] == pytest.approx(by_hand["loss"], rel=1e-6), name
    assert 5 < by_hand["epochs"] < 40  # it was stopped early


def test_keras_learns_the_same_digits_with_layers_of_its_own(
    results: dict[str, dict[str, Any]],
) -> None:
    assert not results["Keras"]["same weights"]
    assert results["Keras"]["accuracy"] > 0.88
    assert results["by hand"]["accuracy"] > 0.88


def test_the_page_counts_the_lines_of_the_files(results: dict[str, dict[str, Any]]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    counted = dict(re.findall(r"^\| ([\w -]+) \| .* \| (\d+) \|$", page, re.MULTILINE))
    for name, row in results.items():
        assert counted[name] == str(row["lines"]), name
