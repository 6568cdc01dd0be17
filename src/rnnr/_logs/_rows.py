"""Rows of a log as bytes: in JSON, in CSV."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BytesIO, StringIO
from json import JSONEncoder, loads
from operator import index
from typing import Any, Final, Protocol, TypeAlias

from rnnr._errors import wrong_type
from rnnr._logs._repeats import Row
from rnnr._numbers import as_json, number_of
from rnnr.attachments._display import plain_number

__all__ = ["COUNTERS", "CsvRows", "JsonRows", "Plain", "Rows", "plain_value"]

COUNTERS: Final = ("epoch", "n_iters")
"""Keys with which each row begins."""

Plain: TypeAlias = float | int | str | None

_PLAIN: Final = (float, int, str, bool, type(None))

_encode = JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def plain_value(key: str, value: Any, part: str) -> Plain:
    """Return a value of the state as a number, a text or ``None``.

    Args:
        key: Its key, for the message.
        value: The value: a number of any type, a tensor or an array of one item, a text, ``None``.
        part: Who writes it, for the message.

    Raises:
        TypeError: If it is something else.
    """
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    number = plain_number(value)
    if isinstance(number, bool):
        return number
    if isinstance(number, str):
        return str.__str__(number)
    with suppress(TypeError):
        return index(number)
    try:
        return number_of(number, part)
    except TypeError as error:
        raise wrong_type(
            f"state[{key!r}] for {part}",
            "a number, a text or None",
            value,
            "set a key to one such value in a callback, as in state['loss'] = loss.mean(), and "
            "name that key",
        ) from error


class Rows(Protocol):
    """How the rows of one log become bytes.

    Attributes:
        header: What a file begins with.
        expected: What a file has to be so that rows can be added to it, in words.
        cure: What to do if it is not.
    """

    header: bytes
    expected: str
    cure: str

    def encode(self, values: list[Plain]) -> bytes:
        """Return a row, with its end."""

    def parse(self, data: bytes) -> Iterator[Row]:
        """Yield the whole rows in some bytes; skip what is not a row."""

    def whole(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the whole rows that some lines make."""

    def missing_end(self, rest: bytes) -> bytes:
        """Return what is missing at the end of the last row; nothing if other parts may be."""

    def fits(self, first: bytes, rest: bytes) -> bool:
        """Return whether rows can be added to a file.

        Args:
            first: Its first whole row.
            rest: What comes after its last whole row.
        """


class JsonRows:
    """Rows as objects of strict JSON, one on each line.

    Args:
        keys: Keys of the state.
    """

    header = b""
    expected = "a file of JSON objects, one on each line"
    cure = "write to another file, or end the last line if it lacks its end alone"
    _BEGINNING = b'{"epoch":'

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._names = (*COUNTERS, *keys)

    def encode(self, values: list[Plain]) -> bytes:
        """Return a row, with its end."""
        spelled = (as_json(value) if type(value) is float else value for value in values)
        return _encode(dict(zip(self._names, spelled, strict=True))).encode("ascii") + b"\n"

    def parse(self, data: bytes) -> Iterator[Row]:
        """Yield the whole rows in some bytes; skip what is not a row."""
        for line in self.whole(BytesIO(data)):
            with suppress(ValueError, TypeError, KeyError):
                fields = loads(line)
                key = fields["epoch"], index(fields["n_iters"])
                yield Row(key, str(line, "utf-8").rstrip("\n"))

    def whole(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the whole rows that some lines make."""
        return (line for line in lines if line.endswith(b"\n"))

    def missing_end(self, rest: bytes) -> bytes:
        """Return what is missing at the end of the last row; nothing if other parts may be."""
        with suppress(ValueError):
            loads(rest)
            return b"\n"
        return b""

    def fits(self, first: bytes, rest: bytes) -> bool:
        """Return whether the first row is an object, and the rest can be a part of one of ours."""
        n = min(len(rest), len(self._BEGINNING))
        return first[:1] in (b"", b"{") and rest[:n] == self._BEGINNING[:n]


class CsvRows:
    """Rows of a table in CSV, the first of which names the columns.

    Args:
        keys: Keys of the state.
    """

    cure = "name the keys that the file has, or write to another file"

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._names = [*COUNTERS, *keys]
        self._to_text = csv.writer(_Returning()).writerow
        self.header = self._bytes(self._names)
        self.expected = f"a file whose first row is {_text(self.header)!r}"

    def encode(self, values: list[Plain]) -> bytes:
        """Return a row, with its end."""
        return self._bytes(values)

    def parse(self, data: bytes) -> Iterator[Row]:
        """Yield the whole rows in some bytes; skip what is not a row."""
        for row in self.whole(BytesIO(data)):
            with suppress(ValueError):
                epoch, n_iters, *_ = row.split(b",", 2)
                yield Row((int(epoch), int(n_iters)), _text(row))

    def whole(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the whole rows that some lines make: a line may end inside of quotes."""
        row, n_quotes = b"", 0
        for line in lines:
            row += line
            n_quotes += line.count(b'"')
            if line.endswith(b"\n") and n_quotes % 2 == 0:
                yield row
                row, n_quotes = b"", 0

    def missing_end(self, rest: bytes) -> bytes:
        """Return what is missing at the end of the last row; nothing if other parts may be."""
        is_whole = rest.endswith(b"\r") and rest.count(b'"') % 2 == 0
        return b"\n" if is_whole else b""

    def fits(self, first: bytes, rest: bytes) -> bool:
        """Return whether the first row names the columns, as far as it is there."""
        if not first:
            return self.header.startswith(rest)
        try:
            return [*csv.reader(StringIO(str(first, "utf-8"), newline=""))] == [self._names]
        except (UnicodeDecodeError, csv.Error):
            return False

    def _bytes(self, values: list[Any]) -> bytes:
        text: Any = self._to_text(values)
        return str(text).encode("utf-8", "backslashreplace")  # of half a character, as in "\ud800"


class _Returning:
    """A file for `csv.writer`, which returns what ``write`` returns."""

    def write(self, text: str) -> str:
        return text


def _text(row: bytes) -> str:
    return str(row, "utf-8", "replace").rstrip("\r\n")
