"""Values of the state: how a part of the library reads one (folding: operators/test_fold.py)."""

import pytest

from rnnr.values import reader


def test_a_reader_reads_what_there_is_even_none() -> None:
    read = reader("loss", "a part", "a cure")
    assert read({"loss": None}) is None
    with pytest.raises(KeyError, match=r"state\['loss'\] is missing: a part reads .*; a cure"):
        read({})


def test_a_reader_of_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="a key of the state for a part must be a string, got 3"):
        reader(3, "a part", "a cure")  # type: ignore[arg-type]
