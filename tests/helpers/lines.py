"""Lines of recordings, as they are and as they should not be."""

import json
from typing import Any

from hypothesis import strategies as st

from rnnr import Event
from rnnr.recording._format import encode
from rnnr.reporting import Report

__all__ = ["lines"]

FLOATS = st.floats(width=16) | st.sampled_from([1e308, -0.0, 5e-324])
JSON_FLOATS = st.floats(-9, 9, width=16) | st.sampled_from(["NaN", "Infinity"])
KINDS = ["next"] * 14 + ["other", "event", "field", "metric", "system", "damaged"]
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
    """Some lines, most of them of batches that follow each other, others changed or damaged."""
    first = json.loads(draw(usual()))
    stride = draw(st.sampled_from([1, 1, 1, 0, -1]))
    found = []
    for n in range(draw(st.integers(1, 25))):
        fields = json.loads(json.dumps(first))
        fields |= {"n_iters": n, "step": 40 + stride * n, "seconds": n * first["seconds"]}
        fields["metrics"] = {name: draw(JSON_FLOATS) for name in first["metrics"]}
        match draw(st.sampled_from(KINDS)):
            case "other":
                fields = json.loads(draw(usual()))
            case "event":
                fields["event"] = draw(st.sampled_from(Event)).name
            case "field":
                fields[draw(st.sampled_from(NAMES))] = draw(st.sampled_from(NOT_AS_USUAL))
            case "metric":
                fields["metrics"]["loss"] = draw(st.sampled_from(NOT_AS_USUAL))
            case "system":
                fields["metrics"]["system/memory_mb"] = 1.0
            case "damaged":
                found.append(draw(st.sampled_from(DAMAGED)))
                continue
        found.append(json.dumps(fields).encode())
    return found
