"""Many lines at once: what is read that way is what is read line by line."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnr import Event
from rnnr.recording._batches import Batches, batches_in
from rnnr.recording._format import decode, encode
from rnnr.reporting import Report

FLOATS = st.floats(width=16) | st.sampled_from([1e308, -0.0, 5e-324])
NOT_AS_USUAL: list[Any] = [None, True, "NaN", "Infinity", "-Infinity", "1", "x", 0, 3, 2.0, 2.5]
NOT_AS_USUAL += [2**63, 10**400, [], {}, ["loss"], {"a": 1}, "BATCH", "FINISHED"]
NAMES = ["event", "epoch", "max_epoch", "n_iters", "seconds", "metrics", "batches_per_second"]
NAMES += ["n_batches", "step", "is_inside", "results", "error", "config", "unknown"]
DAMAGED = [b"", b" ", b"damaged", b"{}", b"[", b'{"a":[1', b"2]}", b"{},{}", b"1],[2", b"\0"]
DAMAGED += [b"\xff", b'\xef\xbb\xbf{"event":"BATCH"}', b"NaN", b'{"x":["', b'"]}', b"9" * 5000]


@st.composite
def usual(draw: st.DrawFn) -> bytes:
    report = Report(
        Event.BATCH, draw(st.integers(0, 3)), 3, draw(st.integers(0, 99)), draw(st.floats(0, 99)),
        draw(st.dictionaries(st.sampled_from(["loss", "accuracy"]), FLOATS)),
        draw(st.none() | st.floats(1, 9)), draw(st.none() | st.integers(0, 9)),
        draw(st.integers(0, 99)),
    )  # fmt: skip
    return encode(report)[:-1]


@st.composite
def lines(draw: st.DrawFn) -> list[bytes]:
    """Some lines, of which a part is alike, a part is changed in a field, and a part is damaged."""
    first = draw(usual())
    found = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["same"] * 6 + ["other", "field", "metric", "odd"]))
        line = draw(usual()) if kind == "other" else first
        if kind in ("field", "metric"):
            fields = json.loads(line)
            changed = fields if kind == "field" else fields["metrics"]
            changed[draw(st.sampled_from(NAMES if kind == "field" else ["loss"]))] = draw(
                st.sampled_from(NOT_AS_USUAL)
            )
            line = json.dumps(fields).encode()
        found.append(draw(st.sampled_from(DAMAGED)) if kind == "odd" else line)
    return found


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
