"""How a part of the library reads values (folding: operators/test_fold.py)."""

from typing import Any

import pytest

from rnnr.state import reader


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
