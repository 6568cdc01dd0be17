"""How a part of the library reads values (folding: operators/test_fold.py)."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from rnnr.values import number_of, reader


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
