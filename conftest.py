"""Every example in README, docs and docstrings is a test; laws are tried on the same examples.

A test that cannot run here is skipped: for lack of a package (see `extras`) or of a browser.
"""

import gc
import re
import signal
from collections import Counter
from collections.abc import Generator
from doctest import ELLIPSIS
from fnmatch import fnmatch
from importlib.util import find_spec
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from sybil import Example, Sybil
from sybil.document import PythonDocStringDocument
from sybil.example import NotEvaluated
from sybil.integration.pytest import SybilItem
from sybil.parsers.myst import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

from helpers.extras import Missing

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as for `pytest &` in a script; tests send it, and wait for its effect
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("rnnr", deadline=None, derandomize=True)
settings.register_profile("fewer", settings.get_profile("rnnr"), max_examples=25)
settings.load_profile("rnnr")


class Docstrings(PythonDocStringDocument):
    """Docstrings whose examples import what they use, as a reader has to."""

    def import_document(self, example: Example) -> NoReturn:
        self.pop_evaluator(self.import_document)
        raise NotEvaluated


_pages = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS)],
    patterns=["*.md"],
    exclude="jax.md",  # in a process of its own: see tests/contracts/test_jax_page.py
)
_docstrings = Sybil(
    parsers=[DocTestParser(optionflags=ELLIPSIS)],
    patterns=["src/rnnr/*.py", "src/rnnr/*/*.py"],
    document_types={".py": Docstrings},
)
pytest_collect_file = (_pages + _docstrings).pytest()

_IMPORT = re.compile(
    r"^ *(?:>>> )?(?:import|from(?=\s\S+ import)) (rnnr\.(?:dashboard|notebook)|\w+)",
    re.MULTILINE,
)
_NEEDED_BY = {"rnnr.dashboard": "tornado", "rnnr.notebook": "anywidget"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that holds a full environment to its promise."""
    parser.addoption(
        "--lacking",
        metavar="PACKAGES",
        help="fail where a test is skipped or expected to fail, unless for lack of one of these "
        "packages (patterns separated by commas; --lacking= for none)",
    )
    parser.addoption("--long", action="store_true", help="run the long forms of tests, too")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker that tests get by the fixture that they use."""
    config.addinivalue_line("markers", "browser: drives a browser (given by the fixture)")
    config.addinivalue_line("markers", "long: the long form of a test, left out without --long")
    if config.getoption("--lacking"):  # all examples are tried where nothing is lacking
        settings.load_profile("fewer")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long forms of tests, unless they are asked for."""
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of later garbage collections: many tests need their own."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Do the same after each file."""
    if nextitem is not None and nextitem.path != item.path:
        pytest_collection_finish()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what drives a browser, so that it can be left out by ``-m 'not browser'``."""
    if "playwright" in getattr(item, "fixturenames", ()):
        item.add_marker("browser")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip an example of a page, and a test of a value, that needs what is not installed."""
    if isinstance(item, SybilItem):
        for name in _IMPORT.findall(item.example.document.text):
            if find_spec(package := _NEEDED_BY.get(name, name)) is None:
                pytest.importorskip(package)
    elif isinstance(item, pytest.Function) and hasattr(item, "callspec"):
        for value in item.callspec.params.values():
            if isinstance(value, Missing):
                value.skip_test()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that was left out without leave."""
    return _with_leave(item, (yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Fail a module that was left out without leave."""
    return _with_leave(collector, (yield))


def _with_leave(node: pytest.Item | pytest.Collector, report: Any) -> Any:
    lacking = node.config.getoption("--lacking")
    if lacking is not None and report.skipped:
        reason = "it is expected to fail" if hasattr(report, "wasxfail") else report.longrepr[2]
        package = re.match(r"Skipped: could not import '(\w+)", reason)
        if not package or not any(fnmatch(package[1], name) for name in lacking.split(",")):
            report.outcome = "failed"
            report.longrepr = f"left out, though --lacking={lacking} does not allow it: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say why tests were skipped: one line a reason, without being asked by ``-rs``."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].partition("\n")[0] for report in reports)  # no notes
    for reason, n in reasons.most_common():
        terminalreporter.write_line(f"{n} skipped: {reason.removeprefix('Skipped: ')}")
