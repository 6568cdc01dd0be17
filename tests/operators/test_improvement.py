"""The rules about values that get better, on plain floats."""

from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np
from rnnr.operators._improvement import (
    check_patience,
    failures_in_a_row,
    improvement_rule,
    limit_rule,
)

NUMBERS = st.floats(allow_nan=False)
MODES = st.sampled_from(["min", "max"])
EIGHTHS = st.integers(-80, 80).map(lambda n: n / 8)  # their differences are exact


@given(EIGHTHS, EIGHTHS, st.integers(0, 40).map(lambda n: n / 8), MODES)
def test_better_is_better_by_more_than_the_least_difference(
    best: float, value: float, min_delta: float, mode: str
) -> None:
    gain = Fraction(best) - Fraction(value) if mode == "min" else Fraction(value) - Fraction(best)
    rule = improvement_rule("test", mode, min_delta, "raise")
    assert rule(best, value, 2) is (gain > Fraction(min_delta))


@given(NUMBERS, NUMBERS, MODES)
def test_infinities_are_values_like_any_other(best: float, value: float, mode: str) -> None:
    expected = value < best if mode == "min" else value > best
    assert improvement_rule("test", mode, 0.0, "raise")(best, value, 2) is expected


@given(NUMBERS, MODES, st.floats(0, 1e300))
def test_the_first_value_is_better_whatever_it_is(value: float, mode: str, delta: float) -> None:
    assert improvement_rule("test", mode, delta, "raise")(None, value, 1) is True


@given(st.none() | NUMBERS, MODES)
def test_a_nan_is_what_the_policy_says_even_as_the_first_value(
    best: float | None, mode: str
) -> None:
    assert improvement_rule("test", mode, 0.0, "no-improvement")(best, nan, 7) is False
    assert improvement_rule("test", mode, 0.0, "ignore")(best, nan, 7) is None
    expected = r"value 7 for test must be a number, got nan \(float\); find out what made it, or"
    with pytest.raises(ValueError, match=expected):
        improvement_rule("test", mode, 0.0, "raise")(best, nan, 7)


@given(EIGHTHS, EIGHTHS, st.integers(0, 8).map(lambda n: n / 8), MODES)
def test_a_relative_difference_is_a_share_of_the_size_of_the_best_whatever_its_sign(
    best: float, value: float, share: float, mode: str
) -> None:
    gain = Fraction(best) - Fraction(value) if mode == "min" else Fraction(value) - Fraction(best)
    rule = improvement_rule("test", mode, share, "raise", min_delta_mode="rel")
    assert rule(best, value, 2) is (gain > Fraction(share) * abs(Fraction(best)))


@pytest.mark.parametrize(("mode", "worst"), [("min", inf), ("max", -inf)])
def test_any_value_is_relatively_better_than_the_worst_infinity(mode: str, worst: float) -> None:
    rule = improvement_rule("test", mode, 0.01, "raise", min_delta_mode="rel")
    assert rule(worst, 5.0, 2) is True
    assert rule(-worst, 5.0, 2) is False
    assert rule(worst, worst, 2) is False


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_is_beyond_a_limit(mode: str) -> None:
    sign = 1 if mode == "min" else -1
    rule = limit_rule(mode, True, sign * 0.5, sign * 2.0)
    found = [rule(sign * value, 53) for value in (0.25, 0.5, 0.75, 2.0, 2.5, inf, -inf, nan)]
    stop, finite = "stopping_threshold", "check_finite"
    assert found == [stop, stop, None, None, "divergence_threshold", finite, finite, finite]
    rule = limit_rule(mode, False, None, None)
    assert [rule(value, 53) for value in (0.0, inf, -inf, nan)] == [None] * 4


@given(st.floats(1e-3, 1e4) | st.just(0.0), MODES, st.sampled_from(["float16", "float32"]))
def test_a_value_of_less_precision_is_compared_with_the_threshold_in_its_own(
    threshold: float, mode: str, kind: str
) -> None:
    value = np.dtype(kind).type(threshold)
    bits = {"float16": 11, "float32": 24}[kind]
    wanted = limit_rule(mode, False, threshold, None)
    assert wanted(float(value), bits) == "stopping_threshold"
    worse, better = (float(np.nextafter(value, value.dtype.type(to))) for to in (inf, -inf))
    worse, better = (worse, better) if mode == "min" else (better, worse)
    assert (wanted(worse, bits), wanted(better, bits)) == (None, "stopping_threshold")
    borne = limit_rule(mode, False, None, threshold)
    assert [borne(one, bits) for one in (float(value), worse)] == [None, "divergence_threshold"]


@given(st.lists(st.booleans()))
def test_failures_in_a_row_are_those_since_the_last_success(outcomes: list[bool]) -> None:
    count = 0
    for failed in outcomes:
        count = failures_in_a_row(count, failed)
    assert count == len(outcomes) - max((i + 1 for i, o in enumerate(outcomes) if not o), default=0)


@pytest.mark.parametrize("mode", ["", "MIN", "minimum", "auto"])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=r"mode must be one of 'min', 'max', got .*; 'min' is for"):
        improvement_rule("test", mode, 0.0, "raise")


@pytest.mark.parametrize("policy", ["", "skip", "no_improvement"])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    expected = "nan must be one of 'raise', 'ignore', 'no-improvement', got"
    with pytest.raises(ValueError, match=expected):
        improvement_rule("test", "min", 0.0, policy)


@pytest.mark.parametrize("wrong", [None, 1, min, ["min"], np.array(["min", "max"])])
def test_a_mode_or_policy_that_is_no_string_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="mode must be a string, got"):
        improvement_rule("test", wrong, 0.0, "raise")
    with pytest.raises(TypeError, match="nan must be a string, got"):
        improvement_rule("test", "min", 0.0, wrong)


@pytest.mark.parametrize("delta", [-1, -1e-300, nan, inf, -inf, 10**400])
def test_a_least_difference_that_is_negative_or_not_finite_is_refused(delta: Any) -> None:
    with pytest.raises(ValueError, match=r"min_delta must be a finite number .*; pass 0\.0"):
        improvement_rule("test", "min", delta, "raise")


@pytest.mark.parametrize("delta", [None, "0.1", [0.1], 1j])
def test_a_least_difference_that_is_no_number_is_refused(delta: Any) -> None:
    with pytest.raises(TypeError, match=r"min_delta must be a finite number .*; pass 0\.0"):
        improvement_rule("test", "min", delta, "raise")


@pytest.mark.parametrize("delta", [0, 1, 0.5, np.float32(0.5), np.int64(2), Fraction(1, 2)])
def test_any_real_number_will_do_and_the_verdict_is_a_plain_boolean(delta: Any) -> None:
    rule = improvement_rule("test", "min", delta, "raise")
    assert rule(3.0, 0.5, 2) is True
    assert rule(3.0, 3.0, 2) is False


@pytest.mark.parametrize("wrong", [-1, -0.5, nan])
def test_a_patience_below_0_is_refused_under_the_name_of_the_argument(wrong: float) -> None:
    with pytest.raises(
        ValueError, match=r"borne must be a number of 0 or more, got .*; pass a number"
    ):
        check_patience("borne", wrong)
