"""`running_mean`: the mean of a window, with nothing left of what is outside of it."""

from fractions import Fraction
from math import fsum, inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from helpers.extras import np, torch
from rnnr.operators import running_mean

FLOATS = st.floats(-1e9, 1e9)
SIZES = st.integers(1, 7)


def means(values: Any, n: int) -> list[Any]:
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(running_mean(n)).subscribe(seen.append)
    for value in values:
        source.on_next(value)
    return seen


def windows(values: list[Any], n: int) -> list[list[Any]]:
    return [values[max(0, i - n) : i] for i in range(1, len(values) + 1)]


@given(st.lists(FLOATS), SIZES)
def test_it_is_the_mean_of_the_newest(values: list[float], n: int) -> None:
    expected = [fsum(window) / len(window) for window in windows(values, n)]
    for got, mean, window in zip(means(values, n), expected, windows(values, n), strict=True):
        assert got == pytest.approx(mean, rel=1e-12, abs=1e-12 * max(map(abs, window)))


@given(st.lists(st.fractions()), SIZES)
def test_exact_numbers_have_an_exact_mean(values: list[Fraction], n: int) -> None:
    exact = [sum(window, Fraction()) / len(window) for window in windows(values, n)]
    assert means(values, n) == exact


@given(st.lists(st.sampled_from([1.0, 2.0, nan, inf, -inf])), SIZES)
def test_a_nan_or_an_infinity_leaves_with_its_window(values: list[float], n: int) -> None:
    for got, window in zip(means(values, n), windows(values, n), strict=True):
        expected = sum(window) / len(window)
        assert got == expected or (isnan(got) and isnan(expected))


def test_nothing_drifts_after_a_large_value_has_passed() -> None:
    assert means([1e16, *[0.1] * 100_000], 3)[-1] == pytest.approx(0.1, rel=1e-15)


def test_integers_are_divided_truly_and_booleans_are_counted() -> None:
    assert means([1, 2], 2) == [1.0, 1.5]
    assert means([True, True, False], 3)[-1] == 2 / 3


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_arrays_are_averaged_without_being_changed_and_may_change_afterwards(make: Any) -> None:
    array = make([1.0, 2.0])
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(running_mean(3)).subscribe(seen.append)
    for _ in range(3):
        before = array.tolist()
        source.on_next(array)
        assert array.tolist() == before
        array *= 2  # as training does with weights
    means = [mean.tolist() for mean in seen]
    assert means[:2] == [[1.0, 2.0], [1.5, 3.0]]
    assert means[2] == pytest.approx([7 / 3, 14 / 3])


def test_small_integers_do_not_overflow() -> None:
    last = means([np.array([200, 100], dtype=np.uint8)] * 2, 2)[-1]
    assert last.tolist() == [200.0, 100.0]


@pytest.mark.parametrize("n", [0, -1])
def test_a_window_below_1_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"n must be an integer of 1 or more, got .*pass the"):
        running_mean(n)


@pytest.mark.parametrize("n", [None, 2.0, "2", nan])
def test_a_window_that_is_no_integer_is_refused(n: Any) -> None:
    with pytest.raises(TypeError, match=r"n must be an integer of 1 or more, got .*pass the"):
        running_mean(n)


@pytest.mark.parametrize("value", [np.float16(1), torch.tensor(1.0).half(), torch.tensor(True)])
def test_half_precision_and_booleans_are_averaged_in_64_bits(value: Any) -> None:
    assert float(means([value] * 5000, 5000)[-1]) == pytest.approx(1, abs=1e-7)


def test_graphs_are_not_kept() -> None:
    weight = torch.tensor(1.0, requires_grad=True)
    assert not any(one.requires_grad for one in means([weight * 2], 2))
