"""A recording as a table: ``python -m rnnr export``."""

import csv
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from rnnr.recording._tail import Tail
from rnnr.reporting._report import Report

__all__ = ["write_csv"]

_FIELDS = ("event", "epoch", "n_iters", "step", "seconds")
_AT_A_TIME = 1000  # lines to read


def write_csv(path: Path, file: TextIO) -> None:
    """Write the metrics in a recording as CSV, a row for each report that has some.

    The columns are what was reported when, and then the metrics in the order in which the recording
    has them. A metric with the name of another column is called, for example, ``epoch (metric)``.
    A metric that a report lacks is empty there. Numbers are written in full. What is added to the
    recording meanwhile is left out. Damaged lines are named on standard error.

    Args:
        path: Recording to read, twice and a few lines at a time.
        file: Where to write it.

    Raises:
        ValueError: If ``path`` is not a file.
        OSError: If the file is not there, or cannot be read.
    """
    tail = Tail(path)
    tail.check()
    names: dict[str, None] = {}
    n_reports = 0
    for report in _reports_in(tail):
        names.update(dict.fromkeys(report.metrics))
        n_reports += 1
    if tail.describe_skipped():
        print(f"rnnr: left out of {path}: {tail.describe_skipped()}", file=sys.stderr)
    rows = csv.writer(file, lineterminator="\n")
    encoding = file.encoding or "utf-8"
    rows.writerow([*_FIELDS, *(_column(name, encoding) for name in names)])
    for report in islice(_reports_in(Tail(path)), n_reports):
        if report.metrics:
            counts = (report.event.name, *(getattr(report, name) for name in _FIELDS[1:]))
            rows.writerow([*counts, *(report.metrics.get(name, "") for name in names)])


def _column(name: str, encoding: str) -> str:
    """Return the head of a metric's column, in characters that can be printed."""
    spelled = (each if each.isprintable() else ascii(each)[1:-1] for each in name)
    name = "".join(spelled).encode(encoding, "backslashreplace").decode(encoding)
    return f"{name} (metric)" if name in _FIELDS else name


def _reports_in(tail: Tail) -> Iterator[Report]:
    while not tail.is_at_end:
        yield from tail.read(_AT_A_TIME)
