"""`improved` tells whether values get better (the rules: test_improvement.py)."""

from itertools import accumulate
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from helpers.extras import np, torch
from rnnr.operators import improved

VALUES = st.lists(st.floats() | st.sampled_from([nan, inf, -inf, 0.0, 1.0]))


def verdicts(values: list[Any], *arguments: Any, **settings: Any) -> list[Any]:
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(improved(*arguments, **settings)).subscribe(seen.append)
    for value in values:
        source.on_next(value)
    return seen


@given(VALUES)
def test_a_value_is_better_if_it_is_below_all_before_it(values: list[float]) -> None:
    numbers = [value for value in values if not isnan(value)]
    records = [None, *accumulate(numbers, min)]
    expected = [best is None or value < best for value, best in zip(numbers, records, strict=False)]
    assert verdicts(values, nan="ignore") == expected
    verdict = iter(expected)
    assert verdicts(values) == [not isnan(value) and next(verdict) for value in values]


@given(VALUES, st.sampled_from([0.0, 0.5]), st.sampled_from(["ignore", "no-improvement"]))
def test_more_is_better_as_less_is_of_the_opposite(
    values: list[float], min_delta: float, policy: str
) -> None:
    opposite = [-value for value in values]
    less = verdicts(opposite, "min", min_delta, nan=policy)
    assert verdicts(values, "max", min_delta, nan=policy) == less


def test_small_steps_add_up_until_they_are_an_improvement() -> None:
    assert verdicts([1.0, 0.75, 0.5, 0.25], min_delta=0.5) == [True, False, False, True]


def test_a_step_can_be_a_share_of_the_best() -> None:
    losses = [100.0, 95.0, 80.0, 73.0, 71.0]
    better = verdicts(losses, min_delta=0.1, min_delta_mode="rel")
    assert better == [True, False, True, False, True]
    assert verdicts(losses, min_delta=0.1) == [True, True, True, True, True]
    rising = verdicts([-10.0, -9.5, -8.0], "max", 0.1, min_delta_mode="rel")
    assert rising == [True, False, True]


def test_a_nan_can_be_an_error_that_says_which_value_it_was() -> None:
    source = Subject[float]()
    story: list[Any] = []
    source.pipe(improved(nan="raise")).subscribe(story.append, story.append)
    for value in (1.0, 0.5, nan):
        source.on_next(value)
    *before, error = story
    assert before == [True, True]
    assert isinstance(error, ValueError)
    assert str(error).startswith("value 3 for improved('min') must be a number, got nan (float)")


@pytest.mark.parametrize("make", [np.float32, np.array, torch.tensor])
def test_any_number_of_an_array_library_gives_a_plain_boolean(make: Any) -> None:
    seen = verdicts([make(0.5), make(0.25), make(nan)])
    assert [(verdict, type(verdict)) for verdict in seen] == [
        (True, bool),
        (True, bool),
        (False, bool),
    ]


def test_arguments_are_checked_when_given() -> None:
    with pytest.raises(ValueError, match="mode must be one of 'min', 'max', got 'less'"):
        improved("less")
    with pytest.raises(ValueError, match="min_delta must be a finite number of 0 or more, got -1"):
        improved(min_delta=-1)
    with pytest.raises(ValueError, match="min_delta_mode must be one of 'abs', 'rel', got 're"):
        improved(min_delta_mode="relative")
    with pytest.raises(ValueError, match=r"nan must be one of .*, got 'skip'"):
        improved(nan="skip")
