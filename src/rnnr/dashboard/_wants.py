"""Which curves a page wants, and the rows of them that it lacks."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from rnnr.dashboard._run import RunModel

__all__ = ["MOST_OCTETS", "Rows", "places_in", "rows_of"]

MOST_OCTETS = 2 * 1024 * 1024
"""Octets of curves in one answer."""

Rows: TypeAlias = tuple[dict[str, Any], bytes]
"""The head of a curve, and its columns as octets."""


def rows_of(
    models: Mapping[str, RunModel], wanted: str, room: int | None
) -> tuple[list[Rows], bool]:
    """Return the rows that a page lacks, and whether the answer is cut.

    Args:
        models: Models of the runs by their keys.
        wanted: ``KEY.METRIC.REWRITTEN.CLOSED`` for each curve, joined by commas. What is not there
            is left out.
        room: Number of octets after which to cut; ``None`` for no limit.
    """
    found: list[Rows] = []
    n_octets = 0
    for key, metric, rewritten, closed in _numbers_in(wanted, 3):
        if room is not None and n_octets >= room:
            return found, True
        rows = models[key].curve(metric, rewritten, closed) if key in models else None
        if rows is not None:
            found.append(rows)
            n_octets += len(rows[1])
    return found, False


def places_in(wanted: str) -> list[tuple[str, int]]:
    """Return the keys and metrics in ``KEY.METRIC``, joined by commas."""
    return [(key, metric) for key, metric in _numbers_in(wanted, 1)]


def _numbers_in(wanted: str, n: int) -> list[Any]:
    """Return the key and the numbers of each curve, without what is not as it has to be."""
    found: dict[Any, Any] = {}
    for want in wanted.split(","):
        with suppress(ValueError):
            key, *texts = want.split(".")
            numbers = [*map(int, texts)]
            if len(numbers) == n:
                found[key, numbers[0]] = key, *numbers
    return [*found.values()]
