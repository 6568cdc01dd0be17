"""What a page does with answers about curves, as a second implementation."""

import json
import struct
from array import array
from typing import Any

__all__ = ["Curves", "Row", "latest_of", "unpacked"]

Row = tuple[float, float, float, float]
"""Step, least, greatest, mean."""


def unpacked(octets: bytes) -> tuple[dict[str, Any], list[list[Row]]]:
    """Return the head of an answer, and the rows of each curve in it."""
    (length,) = struct.unpack("<I", octets[:4])
    begin = 4 + length
    assert begin % 8 == 0
    head: dict[str, Any] = json.loads(octets[4:begin])
    curves = []
    for curve in head["curves"]:
        columns = []
        for _ in range(curve["columns"]):
            end = begin + 8 * curve["n"]
            columns.append(array("d", octets[begin:end]))
            begin = end
        if len(columns) == 2:
            columns += [columns[1]] * 2
        curves.append([*zip(*columns, strict=True)])
    assert begin == len(octets)
    return head, curves


class Curves:
    """The curves of a page, which asks for what it lacks."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[Row]] = {}
        self._had: dict[tuple[str, int], tuple[int, int]] = {}

    def wanted(self, key: str, metric: int) -> str:
        rewritten, closed = self._had.get((key, metric), (0, 0))
        return f"{key}.{metric}.{rewritten}.{closed}"

    def take(self, octets: bytes) -> dict[str, Any]:
        """Take an answer; return its head."""
        head, curves = unpacked(octets)
        for curve, rows in zip(head["curves"], curves, strict=True):
            place = curve["key"], curve["metric"]
            kept = self.rows.setdefault(place, [])
            assert 0 <= curve["from"] <= len(kept)
            kept[curve["from"] :] = rows
            self._had[place] = curve["rewritten"], curve["closed"]
            assert curve["closed"] <= len(kept) <= curve["closed"] + 1
        return head


def latest_of(run: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """Return the latest value of each metric by its name, without those of the machine."""
    metrics = run["metrics"]
    columns = zip(metrics["names"], metrics["of"], metrics["last"], strict=True)
    return {
        name: last
        for name, kind, last in columns
        if of in (None, kind) and not name.startswith("system/")
    }
