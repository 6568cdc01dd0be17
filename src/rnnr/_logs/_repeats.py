"""Rows that were cut from a log, compared with those that are written again."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from rnnr._errors import warn_user
from rnnr._runs import runs_on_this_thread

__all__ = ["Repeats", "Row"]

_MOST_SHOWN: Final = 500  # characters of a row in a warning


class Row(NamedTuple):
    """A row of a log.

    Attributes:
        key: What it is a row of; the last part is the number of batches drawn by then.
        text: What must be the same when it is written again.
    """

    key: tuple[Any, ...]
    text: str


class Repeats:
    """Warns when a run that goes on writes other rows than those that were cut.

    Rows that are not written again are ignored: a stop is not repeated.

    Args:
        path: File of the rows, for the warning.
        parse: Returns the whole rows in some bytes.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], Iterable[Row]]) -> None:
        self._path = path
        self._parse = parse
        self._is_new = False
        self._expected: dict[tuple[Any, ...], list[Row]] = {}

    def expect(self, removed: bytes) -> None:
        """Expect that the rows in some bytes are written again."""
        self._expected, self._is_new = {}, True
        for row in self._parse(removed):
            self._expected.setdefault(row.key, []).append(row)

    def begin(self, _: object) -> None:
        """Expect nothing in a new run, unless it follows upon the cut or is part of another run."""
        if not self._is_new and len(runs_on_this_thread()) == 1:
            self._expected = {}
        self._is_new = False

    def check(self, written: bytes) -> None:
        """Warn, once, if a row that was written differs from what is expected."""
        if self._expected:
            for row in self._parse(written):
                self._check(row)

    def _check(self, row: Row) -> None:
        expected = self._expected.pop(row.key, [])
        if row in expected:
            expected.remove(row)
            if expected:
                self._expected[row.key] = expected
        elif expected:
            self._expected = {}
            self._warn(expected[0], row)

    def _warn(self, expected: Row, got: Row) -> None:
        warn_user(
            f"a run that goes on must write the rows again that were cut from {str(self._path)!r}, "
            f"expected {_shown(expected)}, got {_shown(got)}: it does not repeat exactly what it "
            "did before it was killed; name each random generator that the training or the batches "
            "use, as in Snapshots(generators=[rng]), and make the batches the same each time"
        )


def _shown(row: Row) -> str:
    text = row.text
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
