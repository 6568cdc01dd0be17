"""What a message says: expected, got, cure."""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from helpers.extras import np
from rnnr import RnnrWarning
from rnnr._errors import (
    add_note,
    as_number,
    missing_key,
    note_failure,
    warn_user,
    wrong_type,
    wrong_value,
)


@pytest.mark.parametrize(("make", "kind"), [(wrong_type, TypeError), (wrong_value, ValueError)])
def test_a_wrong_argument_is_told_what_was_expected_what_came_and_what_to_do(
    make: type, kind: type
) -> None:
    error = make("patience", "0 or more", -1, "pass 0")
    assert type(error) is kind
    assert str(error) == "patience must be 0 or more, got -1 (int); pass 0"


@pytest.mark.parametrize(("length", "shown"), [(78, "x" * 78), (79, "x" * 76)])
def test_a_long_value_is_cut(length: int, shown: str) -> None:
    error = wrong_type("under", "a path", "x" * length, "pass one")
    cut = f"'{shown}'" if length == 78 else f"'{shown}..."
    assert str(error) == f"under must be a path, got {cut} (str); pass one"


@pytest.mark.parametrize(
    ("state", "present"), [({}, "nothing"), ({"b": 1, "a": 2}, "a, b"), ({"b": 1, 3: 2}, "3, b")]
)
def test_a_missing_key_is_told_who_reads_it_what_there_is_and_what_to_do(
    state: dict[str, int], present: str
) -> None:
    error = missing_key("loss", "when('loss')", state, "set it")
    assert error.args == (
        f"state['loss'] is missing: when('loss') reads it, the state has {present}; set it",
    )


def test_a_second_failure_is_a_note_on_the_first_with_its_traceback() -> None:
    first, second = ValueError("the first"), KeyError("the second")
    with pytest.raises(KeyError) as caught:
        raise second
    note_failure(first, caught.value, "closing")
    (note,) = first.__notes__
    assert note.startswith("closing failed too:\nTraceback (most recent call last):\n")
    assert note.endswith("KeyError: 'the second'")
    assert "raise second" in note


def test_a_failure_is_no_note_on_itself() -> None:
    error = ValueError("the first")
    note_failure(error, error, "closing")
    assert not hasattr(error, "__notes__")


def test_an_exception_that_takes_no_note_is_left_as_it_is() -> None:
    @dataclass(frozen=True)
    class Frozen(Exception):
        reason: str

    error = Frozen("a reason")
    add_note(error, "a note")
    assert not hasattr(error, "__notes__")


def test_a_note_is_added_once_and_those_of_others_stay() -> None:
    error = ValueError("the first")
    error.add_note("the user's")
    for _ in range(3):
        add_note(error, "ours")
    assert error.__notes__ == ["the user's", "ours"]


def test_a_note_takes_the_place_of_one_of_the_same_place() -> None:
    error = ValueError("the first")
    for n in range(9):
        add_note(error, f"writing file {n}", place="writing")
        add_note(error, f"reading file {n}", place="reading")
    assert error.__notes__ == ["writing file 8", "reading file 8"]


def test_a_note_pickles_as_text() -> None:
    error = ValueError("the first")
    add_note(error, "ours")
    (note,) = pickle.loads(pickle.dumps(error)).__notes__
    assert (note, type(note)) == ("ours", str)


def test_a_second_failure_is_told_without_the_first_that_it_came_from() -> None:
    first, between, second = ValueError("the first"), TypeError("between"), KeyError("the second")
    between.__context__, second.__cause__ = first, between  # as if raised while it was handled
    note_failure(first, second, "closing")
    (note,) = first.__notes__
    assert "the second" in note
    assert "between" in note
    assert "ValueError: the first" not in note


def test_warnings_can_be_filtered_by_their_category() -> None:
    assert issubclass(RnnrWarning, UserWarning)


@pytest.mark.parametrize("wrong", [None, "5", [5], 5j, Decimal(5)])
def test_an_argument_that_is_no_real_number_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"n must be five, got .*; one cure"):
        as_number("n", wrong, "five", lambda n: n == 5, "one cure")


@pytest.mark.parametrize("right", [5, 5.0, Fraction(5), np.float32(5), np.int64(5)])
def test_an_argument_that_is_right_is_a_plain_float(right: Any) -> None:
    number = as_number("n", right, "five", lambda n: n == 5, "one cure")
    assert (number, type(number)) == (5.0, float)


@pytest.mark.parametrize("wrong", [6, 10**400, float("nan")])
def test_an_argument_that_is_another_number_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"n must be five, got .*; one cure"):
        as_number("n", wrong, "five", lambda n: n == 5, "one cure")


def test_a_warning_points_to_the_line_that_called_us() -> None:
    ours: dict[str, Any] = {"__name__": "rnnr.somewhere", "warn_user": warn_user}
    exec("def inner(): warn_user('oh')\ndef outer(): inner()", ours)
    with pytest.warns(RnnrWarning, match="oh") as caught:
        ours["outer"]()
    assert caught[0].filename == __file__


def test_a_warning_of_our_own_command_points_to_its_beginning() -> None:
    program = """
__name__ = "rnnr.__main__"
from rnnr._errors import warn_user
warn_user("oh")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "RnnrWarning: oh" in done.stderr
