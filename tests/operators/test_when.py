"""`when` passes on what a key of the state allows."""

from typing import Any

import pytest

from helpers.extras import np
from rnnr import Event, Runner, State
from rnnr.operators import pipeline, select, when


@pytest.mark.parametrize("flag", [True, 1, "yes", [0], np.True_])
def test_what_is_true_passes(flag: object) -> None:
    assert passed([flag]) == [flag]


@pytest.mark.parametrize("flag", [False, 0, "", None, [], np.False_])
def test_what_is_false_does_not(flag: object) -> None:
    assert passed([flag]) == []


def test_every_state_is_checked_again() -> None:
    assert passed([1, 0, 0, 2, 0, 3]) == [1, 2, 3]


def test_a_missing_key_is_named_with_who_wants_it_and_the_cure() -> None:
    expected = (
        r"state\['better'\] is missing: when\('better'\) reads it, the state has epoch; "
        r"set state\['better'\] to True or False in an earlier callback"
    )
    with pytest.raises(KeyError, match=expected):
        pipeline(when("better"))({"epoch": 1})


def test_a_flag_that_is_neither_true_nor_false_is_an_error_of_its_own() -> None:
    with pytest.raises(ValueError, match="truth value of an array"):
        pipeline(when("better"))({"better": np.array([True, False])})


def test_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match=r"condition must be a key of the state or a function"):
        when(1)  # type: ignore[call-overload]


def test_a_condition_may_be_a_function_of_any_item() -> None:
    seen: list[Any] = []
    runner = Runner()
    large = runner.stream(Event.BATCH).pipe(select("batch"), when(lambda batch: batch > 1))
    large.subscribe(seen.append)
    runner.run([1, 2, 3])
    assert seen == [2, 3]


def test_a_function_that_does_nothing_when_it_is_called_is_refused() -> None:
    async def condition(_: State) -> bool:
        return True

    with pytest.raises(TypeError, match=r"condition must be a function that runs.*async"):
        when(condition)


def passed(batches: list[Any]) -> list[Any]:
    """Return the batches that pass, each being its own flag."""
    seen: list[Any] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(when("batch"), select("batch")).subscribe(seen.append)
    runner.run(batches)
    return seen
