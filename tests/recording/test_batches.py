"""Many lines at once: what is read that way is what is read line by line."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from helpers.lines import lines
from rnnr import Event
from rnnr.recording._batches import Batches, batches_in
from rnnr.recording._format import decode, encode
from rnnr.reporting import Report


def by_line(line: bytes) -> tuple[str, list[str]]:
    """Return the report on a line as text, which has NaN and types, and what is left out."""
    odd: list[str] = []
    try:
        return repr(decode(line, odd.append)), odd
    except Exception as error:  # noqa: BLE001
        return type(error).__name__, []


@settings(max_examples=400)
@given(lines())
def test_what_is_read_at_once_is_what_each_line_says(some: list[bytes]) -> None:
    end = 0
    for begin, end_of, batches in batches_in(some):
        assert begin == end < end_of
        end = end_of
        if batches is not None:
            assert len(batches) == end - begin
            read: list[tuple[str, list[str]]] = [
                (repr(batches.report(n)), []) for n in range(len(batches))
            ]
            assert read == [by_line(line) for line in some[begin:end]]
    assert end == len(some)


def line(n: int, metrics: dict[str, Any], **fields: Any) -> bytes:
    report = Report(Event.BATCH, 1, 1, n, n / 8, metrics)
    return json.dumps(json.loads(encode(report)) | fields).encode()


def usual_parts(some: list[bytes]) -> list[tuple[int, int, bool]]:
    return [(begin, end, isinstance(found, Batches)) for begin, end, found in batches_in(some)]


def test_a_recording_as_it_usually_is_is_read_at_once() -> None:
    some = [line(n, {"loss": 1 / n, "rate": math.nan}) for n in range(1, 100)]
    assert usual_parts(some) == [(0, 99, True)]


def test_other_events_and_other_metrics_are_parts_of_their_own() -> None:
    batches = [line(n, {"loss": 1 / n}) for n in range(1, 10)]
    other = encode(Report(Event.EPOCH_FINISHED, 1, 1, 9, 1.5, {"loss": 0.5}))
    more = [line(n, {"loss": 1 / n, "accuracy": 0.5}) for n in range(1, 10)]
    assert usual_parts([*batches, other, *more, *batches[:2]]) == [
        (0, 9, True), (9, 10, False), (10, 19, True), (19, 21, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fields", [{"is_inside": True}, {"is_inside": 0}, {"error": "x"}, {"results": ["loss"]}]
)
def test_a_run_inside_another_one_and_errors_are_read_by_line(fields: dict[str, Any]) -> None:
    assert usual_parts([line(n, {"loss": 0.5}, **fields) for n in range(9)]) == [(0, 9, False)]


def test_lines_that_make_sense_only_together_are_damaged() -> None:
    good = line(1, {"loss": 0.5})
    some = [b'{"x":[1', b"2]}", good + b"," + good, *[good] * 5]
    assert usual_parts(some) == [(0, 8, False)]
