"""What is public: the names in ``__all__`` and on the pages of the API are the same.

Other names of a public module serve rnnr itself.
"""

import ast
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import rnnr
import rnnr.operators
from helpers.paths import DOCS, page

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


API = sorted((DOCS / "reference" / "api").glob("*.md"))


def entries(path: Path, kinds: str = "class|function|exception|data") -> list[tuple[str, str]]:
    """Return the module and the name of each entry of a page of the API."""
    directive = rf"^\.\. (?:auto|py:)(?:{kinds}):: ([\w.]+)\.(\w+)"
    return re.findall(directive, path.read_text(encoding="utf-8"), re.M)


def documented() -> set[tuple[str, str]]:
    """Return the module and the name of each entry of all pages of the API."""
    return {entry for path in API for entry in entries(path)}


@pytest.mark.parametrize("name", MODULES)
def test_a_package_lists_what_it_gives_on_and_a_module_nothing_that_is_not_there(name: str) -> None:
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        assert sorted(module.__all__) == sorted(names_in(module))
    assert set(module.__all__) <= vars(module).keys()


@pytest.mark.parametrize("name", MODULES)
def test_what_is_listed_is_what_the_api_documents(name: str) -> None:
    module = importlib.import_module(name)
    # what several modules give on is documented in one of them
    objects = [getattr(importlib.import_module(path), entry) for path, entry in documented()]
    missing = {
        public
        for public in module.__all__
        if not any(getattr(module, public) is each for each in objects)
    }
    assert missing - OFFERED == set()
    assert {entry for path, entry in documented() if path == name} <= set(module.__all__)


def test_the_api_has_entries_of_these_modules_alone_and_each_once() -> None:
    everything = [entry for path in API for entry in entries(path)]
    assert len(everything) > 50
    assert {path for path, _ in everything} <= {*MODULES}
    assert len(everything) == len({*everything})


@pytest.mark.parametrize("path", API, ids=lambda path: path.stem)
def test_a_page_of_the_api_begins_with_a_summary_of_it(path: Path) -> None:
    summaries = re.findall(
        r"^\.\. autosummary::\n   :nosignatures:\n\n((?:   \w+\n)+)", path.read_text(), re.M
    )
    summarised = [name for summary in summaries for name in summary.split()]
    assert summarised == [name for _, name in entries(path, "class|function|exception")]
    assert f"api/{path.stem}.md" in page("api").read_text(encoding="utf-8")


def test_names_of_0_4_0_stay_importable_from_their_modules() -> None:
    for module, name in [("event", "Event"), ("runner", "Runner"), ("runner", "Callback")]:
        assert hasattr(importlib.import_module(f"rnnr.{module}"), name)


@pytest.mark.parametrize("name", sorted({*rnnr.operators.__all__} - {"Operator", "Pipeline"}))
def test_every_operator_has_a_marble_diagram_and_an_example(name: str) -> None:
    text = getattr(rnnr.operators, name).__doc__
    assert all(part in text for part in ("source:  ", "[ ", "result:  ", ">>> ")), text
