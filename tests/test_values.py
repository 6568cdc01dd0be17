"""How a part of the library reads values (folding: operators/test_fold.py)."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from rnnr.values import number_of, numbers_in, reader


def test_a_reader_reads_what_there_is_even_none() -> None:
    read = reader("loss", "a part", "a cure")
    assert read({"loss": None}) is None
    with pytest.raises(KeyError, match=r"state\['loss'\] is missing: a part reads .*; a cure"):
        read({})


def test_a_reader_of_what_is_no_state_says_how_to_get_one() -> None:
    read = reader("loss", "a part", "a cure")
    expected = r"what comes to a part must be a state, got \(1, 2\) .*; after runner.observe"
    with pytest.raises(TypeError, match=expected):
        read((1, 2))  # type: ignore[arg-type]


def test_an_error_in_a_state_of_the_users_own_is_left_alone() -> None:
    class Odd(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise TypeError("odd")

    with pytest.raises(TypeError, match="odd"):
        reader("loss", "a part", "a cure")(Odd())


def test_a_reader_of_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="a key of the state for a part must be a string, got 3"):
        reader(3, "a part", "a cure")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        Fraction(1, 2),
        Decimal("0.5"),
        np.float32(0.5),
        np.array(0.5),
        torch.tensor(0.5),
        torch.tensor([[0.5]]),
    ],
)
def test_whatever_is_one_number_is_a_plain_float(value: Any) -> None:
    number = number_of(value, "a part")
    assert (number, type(number)) == (0.5, float)


@pytest.mark.parametrize("value", [None, "0.5", b"1", [0.5], {}, 1j, np.ones(2), torch.ones(2)])
def test_what_is_not_one_number_is_refused_with_who_wanted_it(value: Any) -> None:
    expected = r"a value for a part must be a number, got .*; give it one number: a float"
    with pytest.raises(TypeError, match=expected):
        number_of(value, "a part")


class Odd:
    """A value that fails in its own way when it is asked for a number."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __float__(self) -> float:
        raise self.error


class Nameless:
    """A name that has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (True, 1.0),
        (Fraction(1, 2), 0.5),
        (Decimal("0.5"), 0.5),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (np.array([[0.5]]), 0.5),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor([3]), 3.0),
        (torch.tensor(True), 1.0),
        (math.inf, math.inf),
        (torch.tensor(-math.inf), -math.inf),
    ],
)
def test_numbers_among_values_are_plain_floats(value: Any, number: float) -> None:
    found = numbers_in({"value": value})
    assert found == {"value": number}
    assert type(found["value"]) is float


@pytest.mark.parametrize("value", [math.nan, np.float32(math.nan), torch.tensor(math.nan)])
def test_not_a_number_is_a_number_among_values(value: Any) -> None:
    assert math.isnan(numbers_in({"value": value})["value"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        "0.5",
        b"1",
        [0.5],
        {"a": 1},
        1j,
        np.complex64(1j),
        torch.tensor(1j),
        10**400,
        np.ones(2),
        np.array([]),
        np.array("0.5"),
        np.array([None]),
        torch.ones(2),
        torch.empty(0),
        torch.empty(1, device="meta"),
        float,
        Odd(ValueError()),
        Odd(RuntimeError()),
        Odd(StopIteration()),
    ],
    ids=repr,
)
def test_what_is_no_number_is_left_out(value: Any) -> None:
    assert numbers_in({"before": 1, "value": value, "after": 2}) == {"before": 1.0, "after": 2.0}


def test_names_become_text_and_what_has_none_is_left_out() -> None:
    found = numbers_in({3: 1, None: 2, ("a", 1): 3, Nameless(): 4})
    assert found == {"3": 1.0, "None": 2.0, "('a', 1)": 3.0}


def test_an_interrupt_while_a_value_is_read_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        numbers_in({"value": Odd(KeyboardInterrupt())})
