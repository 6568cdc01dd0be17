"""`ema`: the weighted mean of all values, written out as the judge."""

from decimal import Decimal
from fractions import Fraction
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from helpers.extras import np, torch
from rnnr.operators import ema

DECAYS = st.floats(0, 1, exclude_min=True, exclude_max=True)


def averages(values: list[Any], decay: Any) -> list[Any]:
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(ema(decay)).subscribe(seen.append)
    for value in values:
        source.on_next(value)
    return seen


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=12), DECAYS)
def test_it_is_the_mean_with_weights_that_decay(values: list[float], decay: float) -> None:
    for n, average in enumerate(averages(values, decay), start=1):
        weights = [Fraction(decay) ** (n - 1 - i) for i in range(n)]
        terms = [weight * Fraction(value) for weight, value in zip(weights, values, strict=False)]
        expected = float(sum(terms) / sum(weights))
        assert average == pytest.approx(expected, rel=1e-9, abs=1e-13 * max(map(abs, values)))


def test_it_is_not_drawn_towards_zero_at_the_beginning() -> None:
    assert averages([7.0] * 50, 1 - 1e-12) == pytest.approx([7.0] * 50, rel=1e-14)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_arrays_are_averaged_without_being_changed_and_may_change_afterwards(make: Any) -> None:
    array = make([1.0, 2.0])
    seen: list[Any] = []
    source = Subject[Any]()
    source.pipe(ema(0.5)).subscribe(seen.append)
    for _ in range(2):
        before = array.tolist()
        source.on_next(array)
        assert array.tolist() == before
        array *= 4  # as training does with weights
    assert [average.tolist() for average in seen] == [[1.0, 2.0], [3.0, 6.0]]


def test_integers_are_averaged_as_numbers_and_32_bits_stay_32_bits() -> None:
    assert averages([1, 2], 0.5) == [1.0, pytest.approx(5 / 3)]
    assert averages([np.ones(2, dtype=np.float32)], 0.5)[0].dtype == np.float32


@pytest.mark.parametrize("decay", [0, 1, 0.0, 1.0, -0.1, 1.1, nan, inf, True])
def test_a_decay_that_is_not_strictly_between_0_and_1_is_refused(decay: Any) -> None:
    expected = r"decay must be a number between 0 and 1, neither .*, got .*; pass for example 0\.9"
    with pytest.raises(ValueError, match=expected):
        ema(decay)


@pytest.mark.parametrize("decay", [None, "0.9", [0.9]])
def test_a_decay_that_is_no_number_is_refused(decay: Any) -> None:
    with pytest.raises(TypeError, match=r"decay must be a number between 0 and 1.*; pass for"):
        ema(decay)


@pytest.mark.parametrize("decay", [0.5, Fraction(1, 2), np.float32(0.5)])
def test_any_real_number_will_do(decay: Any) -> None:
    assert averages([4, 1], decay) == [4.0, 2.0]


@pytest.mark.parametrize("value", [np.float16(1), torch.tensor(1.0).half(), torch.tensor(True)])
def test_half_precision_and_booleans_are_averaged_in_64_bits(value: Any) -> None:
    assert float(averages([value] * 5000, 0.999)[-1]) == pytest.approx(1, abs=1e-7)


def test_graphs_are_not_kept() -> None:
    weight = torch.tensor(1.0, requires_grad=True)
    assert not any(one.requires_grad for one in averages([weight * 2], 0.5))


def test_what_does_not_mix_with_floats_is_named() -> None:
    with pytest.raises(TypeError, match=r"a value for ema\(0.5\) must be .*, got Decimal"):
        averages([Decimal(1)], 0.5)
