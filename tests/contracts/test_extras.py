"""What is skipped for lack of a package, and how that is held to account."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.extras import Missing
from helpers.paths import ROOT, TESTS

CONFTEST = ROOT / "conftest.py"
TABLE = '''
"""Tests of a package that is not installed, and others."""
import pytest
from helpers.extras import Missing

no = Missing("no_such_package")

class Module(no.nn.Module):
    pass

@no.jit(level=3)
def decorated(): ...

@pytest.mark.parametrize("value", [1, no.int8(1), -no.ones(2)[0] * 2, no.pi, Module])
def test_of_a_value(value):
    assert value in (1, Module)

def test_of_its_own():
    no.zeros(2)

def test_of_something_decorated():
    decorated()
'''
TROUBLE = """
import pytest

def test_skipped(): pytest.skip("for no reason")

@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert False
"""
PAGE = """
What is imported from where matters.

```python
>>> from no_such_package import something
>>> something
```

```python
>>> 1 + 1
2
```
"""


def outcome(folder: Path, *options: str, **files: str) -> str:
    """Run pytest in a folder of its own, under the project's conftest; return its last lines."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["PYTHONPATH"] = str(TESTS)
    files_of = [str(each) for each in folder.iterdir() if each.suffix in (".py", ".md")]
    run = subprocess.run(
        [*command, *files_of], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    return run.stdout


def test_only_the_tests_of_a_package_that_is_missing_are_skipped(tmp_path: Path) -> None:
    said = outcome(tmp_path, table_py=TABLE).splitlines()
    assert said[-1].startswith("2 passed, 5 skipped")
    assert said[-2].startswith("5 skipped: could not import 'no_such_package'")


def test_a_page_that_imports_what_is_missing_is_skipped(tmp_path: Path) -> None:
    said = outcome(tmp_path, page_md=PAGE).splitlines()
    assert said[-1].startswith("3 skipped")


@pytest.mark.parametrize(
    ("lacking", "end"),
    [
        ("no_such_package", "2 passed, 5 skipped"),
        ("other,no_such_*", "2 passed, 5 skipped"),
        ("other", "2 failed, 2 passed, 3 errors"),
        ("", "2 failed, 2 passed, 3 errors"),
    ],
)
def test_a_skipped_test_fails_unless_for_lack_of_a_package_that_may_be_missing(
    lacking: str, end: str, tmp_path: Path
) -> None:
    said = outcome(tmp_path, f"--lacking={lacking}", table_py=TABLE).splitlines()
    assert said[-1].startswith(end)


def test_no_other_reason_is_an_excuse_where_packages_may_be_missing(tmp_path: Path) -> None:
    said = outcome(tmp_path, "--lacking=*", trouble_py=TROUBLE).splitlines()
    assert said[-1].startswith("2 failed")
    assert outcome(tmp_path).splitlines()[-1].startswith("1 skipped, 1 xfailed")


def test_a_module_that_is_skipped_fails_too(tmp_path: Path) -> None:
    module = "import pytest\npytest.importorskip('no_such_package')"
    said = outcome(tmp_path, "--lacking=", module_py=module).splitlines()
    assert said[-1].startswith("1 error")
    assert "does not allow it: Skipped: could not import 'no_such_package'" in "\n".join(said)


def test_what_stands_for_a_package_has_no_private_attributes() -> None:
    with pytest.raises(AttributeError):
        _ = Missing("no_such_package")._private


def test_pages_and_examples_install_from_a_clone_while_there_is_no_release() -> None:
    texts = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.py")]
    assert [path.name for path in texts if "pip install 'rnnr" in path.read_text()] == []
