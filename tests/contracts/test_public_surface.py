"""What is public: the names in the code, in ``__all__`` and on the API page are the same."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import rnnr
import rnnr.operators
from helpers.paths import page

MODULES = sorted(
    ["rnnr"]
    + [
        module.name
        for module in pkgutil.walk_packages(rnnr.__path__, "rnnr.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
)

OFFERED = {
    "__version__",  # as Python's packages have it
}
"""Names that begin with an underscore and are public."""

UNLISTED = {  # shared inside the library
    "rnnr.event": {"CLOSING"},
    "rnnr.runner": {"check_runner"},
    "rnnr.scheduling": {"last_item"},
    "rnnr.state": {"Reader", "reader"},
}
"""Names without an underscore that their module does not list in ``__all__``."""

UNDOCUMENTED = {
    # Shared inside the library. They are listed, so mypy lets other modules import them.
    "rnnr.event": {"ENDS"},
    "rnnr.files": {"delete", "is_stamped", "new_stamp", "stamp"},
    "rnnr.scheduling": {
        "IN_PLACE",
        "InPlaceObservable",
        "idle_trampoline",
        "is_inside_subscription",
    },
    "rnnr.selection": {"Predicate", "Predicates", "Selectable", "always"},
    "rnnr.state": {
        "EPOCH",
        "MISSING",
        "RESULTS",
        "RUN",
        "RUN_KEYS",
        "STARTED_AT",
        "begin_key",
        "check_key",
        "check_metric",
        "close_epoch",
        "drawing_failed",
        "is_open",
        "mark_epoch_start",
        "n_batches_drawn",
        "new_run_memory",
        "open_epoch",
    },
    # Types for annotations, which the page names in words.
    "rnnr.runner": {"Source"},
    "rnnr.streams": {"Callback"},
    # The page has no line for it; the package metadata say the same.
    "rnnr": {"__version__"},
}
"""Names in ``__all__`` that the API page leaves out."""


def names_in(module: ModuleType) -> set[str]:
    """Return the public names that a module defines, or, as a package, gives on."""
    assert module.__file__ is not None
    names: set[str] = set()
    for node in ast.parse(Path(module.__file__).read_text()).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names.update(each.id for each in targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=imported) if hasattr(module, "__path__"):
                names.update(each.asname or each.name for each in imported)
    assert names <= vars(module).keys()
    return {name for name in names if not name.startswith("_") or name in OFFERED}


def documented() -> set[tuple[str, str]]:
    """Return the module and the name of each entry of the API page."""
    directive = r"^\.\. (?:auto(?:class|function|data|exception)|py:data):: ([\w.]+)\.(\w+)"
    return set(re.findall(directive, page("api").read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_what_it_defines_and_gives_on(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(names_in(module) - UNLISTED.get(name, set()))


@pytest.mark.parametrize("name", MODULES)
def test_what_is_listed_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    # what several modules give on is documented in one of them
    objects = [getattr(importlib.import_module(path), entry) for path, entry in documented()]
    missing = {
        public
        for public in module.__all__
        if not any(getattr(module, public) is each for each in objects)
    }
    assert missing == UNDOCUMENTED.get(name, set())


def test_what_is_documented_is_listed() -> None:
    entries = documented()
    assert len(entries) > 50
    listed = {(name, each) for name in MODULES for each in importlib.import_module(name).__all__}
    assert entries <= listed


def test_names_of_0_4_0_stay_importable_from_their_modules() -> None:
    for module, name in [("event", "Event"), ("runner", "Runner"), ("runner", "Callback")]:
        assert hasattr(importlib.import_module(f"rnnr.{module}"), name)


@pytest.mark.parametrize("name", sorted({*rnnr.operators.__all__} - {"Operator", "Pipeline"}))
def test_every_operator_has_a_marble_diagram_and_an_example(name: str) -> None:
    text = getattr(rnnr.operators, name).__doc__
    assert all(part in text for part in ("source:  ", "[ ", "result:  ", ">>> ")), text
