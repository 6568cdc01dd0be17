"""The tests on the page about testing a training pass, and each fails for its fault."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from helpers.paths import page
from helpers.threads import one_thread_of_torch

pytest.importorskip("torch")

TEXT = page("test-your-training").read_text(encoding="utf-8")
SOURCE = "".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S))
NAMES = re.findall(r"^def (test_\w+)", SOURCE, re.M)

FAULTS = {
    "test_everything_runs_once": ('ext="pt", under=folder', 'ext="bin", under=folder'),
    "test_an_iterator_serves_one_epoch": ("itertools.islice(job.loader, 2), max_epoch=2", "[]"),
    "test_the_loss_goes_down_in_five_steps": ("loss.backward()", "(-loss).backward()"),
    "test_one_batch_is_learned_by_heart": ("lr=0.05", "lr=0.0005"),
    "test_a_seed_decides_all_numbers": ("torch.manual_seed(seed)", "torch.manual_seed(0)"),
    "test_an_evaluation_changes_nothing": (", generator=torch.Generator())", ")"),
    "test_weights_change_and_frozen_ones_do_not": ("Adam(head.par", "Adam(head[2].par"),
    "test_a_wrong_shape_ends_the_run_at_its_batch": (" or targets.ndim != 1", ""),
    "test_a_loss_that_is_not_finite_is_an_error": ("not math.isfinite", "not math.isnan"),
    "test_a_view_that_fails_is_found_in_the_log": ("isolate(lambda state: 1 /", "(lambda state:"),
    "test_a_pipeline_is_called_with_a_dict": (", stop())", ")"),
    "test_a_plateau_is_two_failures_in_a_row": ("patience(1)", "patience(2)"),
    "test_a_plateau_is_told_at_once": ('improved("min")', 'improved("max")'),
    "test_a_training_goes_on_after_a_batch_that_cannot_be_read": ("resume()", "run(job.loader)"),
    "test_a_file_is_whole_when_its_writer_fails": (
        "write_atomic(path, lambda file: torch.save(model.state_dict(), file))",
        "with path.open('wb') as file: torch.save(model.state_dict(), file)",
    ),
}
"""A part of the page, and what makes the test fail in its place."""

WRONG = (AssertionError, ArithmeticError, LookupError, OSError, pytest.fail.Exception)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with one_thread_of_torch():
        yield


def run(name: str, source: str, request: pytest.FixtureRequest) -> None:
    """Run one test of the page, as pytest does."""
    page: dict[str, Any] = {}
    exec(compile(source, "test_training.py", "exec"), page)
    test = page[name]
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    tables = [[{mark.args[0]: value} for value in mark.args[1]] for mark in marks] or [[{}]]
    for values in tables[0]:
        fixtures = inspect.signature(test).parameters.keys() - values.keys()
        test(**values, **{each: request.getfixturevalue(each) for each in fixtures})


@pytest.mark.parametrize("name", NAMES)
def test_a_test_of_the_page_passes(name: str, request: pytest.FixtureRequest) -> None:
    run(name, SOURCE, request)


@pytest.mark.parametrize("name", NAMES)
def test_a_test_of_the_page_fails_for_its_fault(name: str, request: pytest.FixtureRequest) -> None:
    right, wrong = FAULTS[name]
    assert right in SOURCE
    with pytest.raises(WRONG):
        run(name, SOURCE.replace(right, wrong), request)
