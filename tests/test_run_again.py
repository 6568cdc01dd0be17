"""A cell of a notebook that is run again is told that it attaches a second time."""

import sys
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from rnnr import Event, RnnrWarning, Runner, State, isolate

CELL = "/tmp/ipykernel_7/{}.py"
DECORATED = """
@runner.on(Event.BATCH)
def train(state):
    seen.append(1)
"""


@pytest.fixture(autouse=True)
def in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))


class Notebook:
    """Runs cells as IPython does: each is compiled when it is run."""

    def __init__(self) -> None:
        self.runner = Runner()
        self.seen: list[Any] = []
        self.names = {
            "__name__": "__main__",
            "Event": Event,
            "isolate": isolate,
            "partial": partial,
            "runner": self.runner,
            "seen": self.seen,
        }

    def run(self, source: str, file: str = CELL.format(1)) -> None:
        exec(compile(source, file, "exec"), self.names)


@pytest.mark.parametrize("file", [CELL.format(1), "<ipython-input-3-abc>", "train.py"])
def test_a_cell_that_is_run_again_is_warned_of_with_the_cure(file: str) -> None:
    notebook = Notebook()
    notebook.run(DECORATED, file)
    with pytest.warns(RnnrWarning) as told:
        notebook.run(DECORATED, file)
    (warning,) = told
    assert "train (" in str(warning.message)
    assert "make the Runner() in the same cell, or dispose" in str(warning.message)
    assert warning.filename == file
    notebook.runner.run([1])
    assert notebook.seen == [1, 1]


@pytest.mark.parametrize("callbacks", ["log", "[print, isolate(log)]"])
@pytest.mark.parametrize("event", ["Event.BATCH", "Event.BATCH.every(2) | Event.FINISHED"])
def test_it_is_seen_behind_selections_and_wrappers(callbacks: str, event: str) -> None:
    notebook = Notebook()
    cell = f"def log(state): pass\nrunner.on({event}, {callbacks})"
    notebook.run(cell)
    with pytest.warns(RnnrWarning, match="log"):
        notebook.run(cell)


def test_a_cell_that_was_edited_is_known_by_the_name_of_the_function() -> None:
    notebook = Notebook()
    notebook.run(DECORATED, CELL.format(1))
    with pytest.warns(RnnrWarning, match="train"):
        notebook.run(DECORATED.replace("1", "2"), CELL.format(2))


def test_one_function_that_another_cell_attaches_again_is_warned_of() -> None:
    notebook = Notebook()
    notebook.run("def train(state): pass", CELL.format(1))
    notebook.run("runner.on(Event.STARTED, train)", CELL.format(2))
    with pytest.warns(RnnrWarning, match="train"):
        notebook.run("runner.on(Event.STARTED, train)", CELL.format(2))


class Model:
    def step(self, state: State) -> None:
        """Would train."""


def test_so_is_one_method_and_not_that_of_another_object() -> None:
    notebook = Notebook()
    notebook.names["models"] = [Model(), Model()]
    notebook.run("for model in models: runner.on(Event.BATCH, model.step)")
    with pytest.warns(RnnrWarning, match=r"Model\.step"):
        notebook.run("runner.on(Event.BATCH, models[0].step)")


WISHES: dict[str, list[tuple[str, str]]] = {
    "a loop that makes functions": [
        ("for i in range(2): runner.on(Event.BATCH, lambda state, i=i: seen.append(i))", "1"),
    ],
    "a function that makes functions": [
        (
            "def make(i):\n    def log(state): seen.append(i)\n    return log\n"
            "runner.on(Event.BATCH, [make(0), make(1)])",
            "1",
        )
    ],
    "two of one name in one cell": [
        (
            "@runner.on(Event.BATCH)\ndef log(state): pass\n"
            "@runner.on(Event.BATCH)\ndef log(other): pass",
            "1",
        )
    ],
    "two cells with a name that is none": [
        ("@runner.on(Event.BATCH)\ndef _(state): seen.append(1)", "1"),
        ("@runner.on(Event.BATCH)\ndef _(state): seen.append(2)", "2"),
    ],
    "two cells with other lambdas": [
        ("runner.on(Event.BATCH, lambda state: seen.append(1))", "1"),
        ("runner.on(Event.BATCH, lambda state: seen.append(2))", "2"),
    ],
    "two events": [
        ("def log(state): pass\nrunner.on(Event.BATCH, log)", "1"),
        ("def log(state): pass\nrunner.on(Event.FINISHED, log)", "1"),
    ],
    "a runner that the cell makes": [("runner = type(runner)()\n" + DECORATED, "1")] * 2,
    "a cell that disposes of it": [
        ("mine = runner.on(Event.BATCH, lambda state: None)", "1"),
        ("mine.dispose(); mine = runner.on(Event.BATCH, lambda state: None)", "1"),
    ],
    "a module of another name": [(DECORATED, "1"), ("__name__ = 'other'\n" + DECORATED, "2")],
    "what is written in C": [("runner.on(Event.STARTED, runner.state.copy)", "1")] * 2,
    "what has no name": [("runner.on(Event.BATCH, partial(print, 'batch'))", "1")] * 2,
}


@pytest.mark.parametrize("wish", WISHES)
def test_what_may_be_a_wish_is_not_warned_of(wish: str) -> None:
    notebook = Notebook()
    for source, cell in WISHES[wish]:
        notebook.run(source, CELL.format(cell))  # a warning is an error


@pytest.mark.parametrize("file", ["train.py", "<stdin>"])
def test_a_script_may_attach_one_function_twice_and_others_of_its_name(file: str) -> None:
    notebook = Notebook()
    notebook.run("def log(state): pass\nrunner.on(Event.BATCH, [log, log])", file)
    notebook.run("runner.on(Event.BATCH, log)", file)
    notebook.run("runner.on(Event.BATCH, lambda state: seen.append(1))", file)
    notebook.run("runner.on(Event.BATCH, lambda state: seen.append(2))", file)


def test_without_a_notebook_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython")
    notebook = Notebook()
    notebook.run(DECORATED)
    notebook.run(DECORATED)
