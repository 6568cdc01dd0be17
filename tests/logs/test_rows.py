"""Rows of a log: what they say, and where one ends."""

import csv
import json
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from io import BytesIO, StringIO
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np, torch
from rnnr._logs._rows import CsvRows, JsonRows, Plain, Rows, plain_value


class Whole(IntEnum):
    TWO = 2


class Word(StrEnum):
    LOW = "low"


class TestPlainValues:
    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            (lambda: None, None),
            (lambda: 0.1, 0.1),
            (lambda: 7, 7),
            (lambda: 10**30, 10**30),
            (lambda: True, True),
            (lambda: "text", "text"),
            (lambda: Whole.TWO, 2),
            (lambda: Word.LOW, "low"),
            (lambda: Fraction(1, 4), 0.25),
            (lambda: Decimal("0.25"), 0.25),
            (lambda: np.float64(0.1), 0.1),
            (lambda: np.float32(0.1), 0.10000000149011612),
            (lambda: np.float16(0.1), 0.0999755859375),
            (lambda: np.longdouble(0.25), 0.25),
            (lambda: np.int64(7), 7),
            (lambda: np.uint8(7), 7),
            (lambda: np.bool_(True), True),
            (lambda: np.str_("text"), "text"),
            (lambda: np.array(7), 7),
            (lambda: np.array([[0.5]]), 0.5),
            (lambda: torch.tensor(0.5, requires_grad=True), 0.5),
            (lambda: torch.tensor([0.1]), 0.10000000149011612),
            (lambda: torch.tensor(0.1, dtype=torch.float16), 0.0999755859375),
            (lambda: torch.tensor(0.1, dtype=torch.bfloat16), 0.10009765625),
            (lambda: torch.tensor(7), 7),
            (lambda: torch.tensor(True), True),
        ],
    )
    def test_numbers_of_any_kind_texts_and_none_are_values(self, make: Any, expected: Any) -> None:
        value = plain_value("key", make(), "JsonLines")
        assert value == expected
        assert type(value) is type(expected)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: {"loss": 0.5},
            lambda: [0.5],
            lambda: b"text",
            lambda: 1j,
            lambda: object(),
            lambda: np.ones(2),
            lambda: np.complex64(1j),
            lambda: np.datetime64("2020-01-01"),
            lambda: torch.ones(2),
            lambda: torch.tensor(1j),
        ],
    )
    def test_anything_else_is_an_error_with_a_cure(self, make: Any) -> None:
        message = (
            r"state\['key'\] for JsonLines must be a number, a text or None, got .*; set a key to "
            r"one such value in a callback, as in state\['loss'\] = loss.mean\(\), and name that"
        )
        with pytest.raises(TypeError, match=message):
            plain_value("key", make(), "JsonLines")


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text('a",\r\n')
NUMBERS = st.floats() | st.integers() | st.booleans()
VALUES = st.lists(st.none() | NUMBERS | TEXTS, min_size=2, max_size=2)


class TestRoundTrips:
    @given(VALUES)
    def test_json_is_strict_and_reads_back(self, values: list[Plain]) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        row = JsonRows(("x", "y")).encode([1, 2, *values])
        assert row.count(b"\n") == 1
        fields = json.loads(row, parse_constant=refuse)
        assert [*fields] == ["epoch", "n_iters", "x", "y"]
        for value, read in zip(values, [*fields.values()][2:], strict=True):
            if isinstance(value, float) and (isnan(value) or abs(value) == inf):
                assert str(float(read)) == str(value)
            else:
                assert (read, type(read)) == (value, type(value))

    @given(VALUES)
    def test_csv_reads_back(self, values: list[Plain]) -> None:
        rows = CsvRows(("x", "y"))
        text = str(rows.header + rows.encode([1, 2, *values]), "utf-8")
        [read] = csv.DictReader(StringIO(text, newline=""))
        expected = ["" if value is None else str(value) for value in values]
        assert read == {"epoch": "1", "n_iters": "2", "x": expected[0], "y": expected[1]}

    def test_half_a_character_stays_readable(self) -> None:
        assert b"\\ud800" in CsvRows(("x",)).encode([1, 2, "\ud800"])
        assert json.loads(JsonRows(("x",)).encode([1, 2, "\ud800"]))["x"] == "\ud800"


FORMATS = pytest.mark.parametrize("rows", [JsonRows(("x", "y")), CsvRows(("x", "y"))])


class TestWhereRowsEnd:
    @FORMATS
    @given(st.lists(VALUES, max_size=4))
    def test_the_whole_rows_before_any_byte_are_found(
        self, rows: Rows, tables: list[list[Plain]]
    ) -> None:
        written = [rows.encode([1, i, *values]) for i, values in enumerate(tables)]
        data = b"".join(written)
        for end in range(len(data) + 1):
            found = [*rows.whole(BytesIO(data[:end]))]
            assert found == written[: len(found)]
            assert sum(map(len, written[: len(found) + 1])) >= end or found == written
            assert [row.key for row in rows.parse(data[:end])] == [
                (1, i) for i in range(len(found))
            ]

    @FORMATS
    @given(VALUES)
    def test_only_what_lacks_its_end_alone_can_be_ended(
        self, rows: Rows, values: list[Plain]
    ) -> None:
        row = rows.encode([1, 2, *values])
        for end in range(1, len(row) - 1):
            assert rows.missing_end(row[:end]) == b""
        assert row[:-1] + rows.missing_end(row[:-1]) == row

    def test_what_is_not_a_row_is_skipped(self) -> None:
        damaged = b'[1]\n{"epoch": 1}\n{"epoch":1,"n_iters":null}\n7\n\xff\n{\n'
        assert [*JsonRows(("x",)).parse(damaged)] == []
        rows = CsvRows(("x",))
        assert [*rows.parse(rows.header + b"a,b,c\r\n1\r\n\r\n")] == []


def test_a_nan_is_written_as_the_others_are() -> None:
    values: list[Plain] = [1, 2, nan, inf, -inf]
    assert JsonRows(("a", "b", "c")).encode(values) == (
        b'{"epoch":1,"n_iters":2,"a":"NaN","b":"Infinity","c":"-Infinity"}\n'
    )
    assert CsvRows(("a", "b", "c")).encode(values) == b"1,2,nan,inf,-inf\r\n"
