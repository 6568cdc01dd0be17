"""The shape of the package: its layers, and what importing it costs."""

import ast
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import rnnr
from helpers.paths import page

PACKAGE = Path(rnnr.__file__).parent

ROOT = Path(__file__).parents[2]

TOUR = page("design")


def floors() -> list[str]:
    """Return the parts of the package in the order of the tour, from the ground up."""
    tour = TOUR.read_text().partition("## A tour of the files")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w/]+)` \|", tour, re.M)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_the_tour_of_the_design_page_names_every_part() -> None:
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")}
    assert sorted(part.removesuffix("/") for part in floors()) == sorted(parts - {"__init__"})


def test_imports_point_down_the_floors() -> None:
    height = {part.removesuffix("/"): i for i, part in enumerate(floors())}
    for path in PACKAGE.rglob("*.py"):
        for name in imports_of(path):
            if name.startswith("rnnr.") and part_of(path) != "__init__":
                part, other = part_of(path), name.split(".")[1]
                assert part == other or height[other] < height[part], f"{path} imports {name}"


def test_the_tests_that_the_rules_name_are_there() -> None:
    named = set(re.findall(r"`([\w/]*test_\w+\.py)`", TOUR.read_text()))
    assert len(named) > 30
    assert {name for name in named if not (ROOT / "tests" / name).exists()} == set()


def test_the_tests_of_the_promises_to_a_preempted_run_are_there() -> None:
    named = set(re.findall(r"`([\w/]*test_\w+\.py)`", page("preemptible-jobs").read_text()))
    assert len(named) > 5
    assert {name for name in named if not (ROOT / "tests" / name).exists()} == set()


def test_the_files_that_the_guide_names_are_there() -> None:
    guide = page("CONTRIBUTING").read_text()
    named = set(re.findall(r"`((?:src|tests|docs)/[\w/.]+)`", guide))
    assert len(named) > 20
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_it_depends_on_reactivex_and_tqdm_alone() -> None:
    third_party = {
        name.split(".")[0]
        for path in PACKAGE.rglob("*.py")
        for name in imports_of(path)
        if name.split(".")[0] not in sys.stdlib_module_names
    }
    optional = {"anywidget", "optuna", "rich", "tensorboard", "tornado", "traitlets"}
    assert third_party == {"reactivex", "rnnr", "tqdm", *optional}
    required = [line for line in distribution("rnnr").requires or [] if "extra ==" not in line]
    assert sorted(required) == ["reactivex<7,>=5.1", "tqdm>=4.60"]


def test_importing_imports_little_and_does_nothing() -> None:
    program = """
import logging, signal, sys, threading, reactivex
before = (list(logging.getLogger().handlers), signal.getsignal(signal.SIGINT))
import rnnr
assert "tqdm" not in sys.modules and "pickle" not in sys.modules
import rnnr.attachments, rnnr.callbacks, rnnr.durable, rnnr.operators
assert "tqdm" not in sys.modules
assert threading.active_count() == 1
assert before == (list(logging.getLogger().handlers), signal.getsignal(signal.SIGINT))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_installed_package_is_typed_and_has_its_licence() -> None:
    assert (PACKAGE / "py.typed").exists()
    files = {file.name for file in distribution("rnnr").files or []}
    assert "LICENSE" in files
    assert distribution("rnnr").version == rnnr.__version__
