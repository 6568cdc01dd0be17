"""The lines of a recording: strict JSON, from which the same report comes back."""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np
from rnnr import Event
from rnnr._frozen import Frozen
from rnnr.event import BEGINNINGS
from rnnr.recording._format import DAMAGES, FORMAT, FormatError, decode, encode, rows_in
from rnnr.reporting import Report

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # half of a surrogate pair, too
COUNTS = st.integers(-sys.maxsize, sys.maxsize)
REPORTS = st.builds(
    Report,
    event=st.sampled_from(Event),
    epoch=COUNTS,
    max_epoch=COUNTS,
    n_iters=COUNTS,
    seconds=st.floats(),
    metrics=st.dictionaries(ANY_TEXT, st.floats()),
    batches_per_second=st.none() | st.floats(),
    n_batches=st.none() | COUNTS,
    step=COUNTS,
    is_inside=st.booleans(),
    error=st.none() | ANY_TEXT,
    config=st.dictionaries(
        st.text(max_size=20), st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9)
    ).map(Frozen),
    intervals=st.just(Frozen()),
    stopped_by=st.none() | ANY_TEXT,
)
LEAST = {"event": "BATCH", "epoch": 1, "max_epoch": 2, "n_iters": 3, "seconds": 0.5, "metrics": {}}


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def line(**changes: Any) -> bytes:
    return json.dumps(LEAST | changes).encode() + b"\n"


@given(REPORTS)
def test_the_same_report_comes_back(report: Report) -> None:
    back = decode(encode(report))
    assert repr(back) == repr(report)  # NaN equals itself there
    assert type(back.metrics) is Frozen


def test_a_counter_that_no_counter_reaches_is_damage() -> None:
    with pytest.raises(DAMAGES, match="a counter must be an integer"):
        decode(line(max_epoch=10**400))


@given(REPORTS)
def test_a_line_is_strict_json_in_ascii_with_one_end(report: Report) -> None:
    written = encode(report)
    assert written.isascii()
    assert written.index(b"\n") == len(written) - 1
    fields = json.loads(written, parse_constant=refuse)
    assert fields.keys() <= {*Report._fields, "format"}
    assert fields["event"] == report.event.name


def test_what_is_not_finite_is_a_word_wherever_a_number_may_stand() -> None:
    nan, inf = float("nan"), float("inf")
    report = Report(Event.BATCH, 1, 2, 3, nan, {"a": inf, "b": -inf, "c": 0.5}, inf)
    assert json.loads(encode(report)) == {
        "event": "BATCH",
        "epoch": 1,
        "max_epoch": 2,
        "n_iters": 3,
        "seconds": "NaN",
        "metrics": {"a": "Infinity", "b": "-Infinity", "c": 0.5},
        "batches_per_second": "Infinity",
    }


def test_fields_at_their_default_are_left_out() -> None:
    assert json.loads(encode(decode(line()))) == LEAST


def test_counters_that_are_numpy_integers_are_recorded() -> None:
    n: Any = np.int64(7)
    assert decode(encode(Report(Event.BATCH, n, n, n, 0.5, {}))).n_iters == 7


def test_a_counter_that_is_no_number_is_refused() -> None:
    n: Any = object()
    with pytest.raises(TypeError, match="integer"):
        encode(Report(Event.BATCH, 1, n, 1, 0.5, {}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"colour": "red", "epochs": [1]}, {}),  # of a later version
        ({"n_batches": None, "batches_per_second": None, "error": None}, {}),
        ({"epoch": 4.0, "seconds": 2}, {"epoch": 4, "seconds": 2.0}),  # written by another program
        ({"metrics": {"loss": 1}}, {"metrics": {"loss": 1.0}}),
        ({"step": 7, "is_inside": True}, {"step": 7, "is_inside": True}),
    ],
)
def test_lines_of_other_versions_and_programs_are_read(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    report = decode(line(**changes))
    assert repr(report) == repr(decode(line())._replace(**expected))


DAMAGED = {
    "no JSON": b"an unfinished sen\n",
    "half a line": line()[:40] + b"\n",
    "two halves": line()[:40] + line(),
    "zeros": b"\0" * 100 + b"\n",
    "zeros before it": b"\0\0\0" + line(),
    "no UTF-8": line().replace(b"BATCH", b"\xff\xfe"),
    "UTF-16": line().decode().encode("utf-16"),
    "no object": b"[1, 2]\n",
    "a number": b"7\n",
    "a text": b'"event"\n',
    "nothing in it": b"{}\n",
    "too deep": b"[" * 100_000 + b"\n",
    "an integer beyond all": b'{"epoch": ' + b"9" * 5000 + b"}\n",
    "an unknown event": line(event="HOLIDAY"),
    "an event that is a number": line(event=3),
    "an event that is a list": line(event=["BATCH"]),
    "a text for a counter": line(epoch="1"),
    "a truth for a counter": line(n_iters=True),
    "a fraction of an epoch": line(epoch=0.5),
    "an endless counter": line(n_iters="Infinity"),
    "no epochs": line(max_epoch=None),
    "no seconds": line(seconds=None),
    "another text for a number": line(seconds="soon"),
    "a number as Python writes it": line(seconds="nan"),
    "a list for a number": line(seconds=[1]),
    "metrics that are a list": line(metrics=[1]),
    "no metrics": line(metrics=None),
    "a number for a truth": line(is_inside=1),
    "a number for an error": line(error=1),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_what_holds_no_report_is_refused(damaged: bytes) -> None:
    with pytest.raises(DAMAGES):
        decode(damaged)


ODD = {
    "a text": "low",
    "the text of a number": "0.5",
    "nothing": None,
    "a truth": True,
    "a list": [0.5],
    "a mapping": {"mean": 0.5},
    "beyond the floats": 10**400,
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_metric_that_is_not_a_number_is_left_out_and_the_others_are_read(odd: Any) -> None:
    left_out: list[str] = []
    report = decode(line(metrics={"a": 1, "odd": odd, "b": "NaN"}), left_out.append)
    assert repr(report) == repr(decode(line())._replace(metrics={"a": 1.0, "b": float("nan")}))
    assert left_out == ["odd"]
    assert decode(line(metrics={"odd": odd})) == decode(line())


@pytest.mark.parametrize("n_digits", [399, 400, 5000])
def test_an_integer_of_more_digits_than_python_reads_is_an_odd_metric_too(n_digits: int) -> None:
    metrics = b'{"a": 1, "odd": ' + b"9" * n_digits + b"}"
    assert decode(line().replace(b"{}", metrics)).metrics == {"a": 1.0}


class Misbehaving:
    """What says that it is a number, and is none."""

    def __float__(self) -> float:
        raise RuntimeError("not now")


class Half(float):
    """A number of a type of the user's, which shows itself in its own way."""

    def __repr__(self) -> str:
        return "half"


class Elusive:
    """What cannot even be named."""

    def __str__(self) -> str:
        raise RuntimeError("no name")


WRITTEN: dict[str, tuple[dict[Any, Any], dict[str, float]]] = {
    "a type of the user's": ({"x": Half(0.5)}, {"x": 0.5}),
    "one that is not finite": ({"x": Half("inf")}, {"x": float("inf")}),
    "numpy's": (
        {"x": np.float64(0.5), "y": np.float32(0.25), "z": np.int8(3), "t": np.bool_(True)},
        {"x": 0.5, "y": 0.25, "z": 3.0, "t": 1.0},
    ),
    "names of any type": (
        {7: 0.5, (1, 2): 0.25, None: 1.0},
        {"7": 0.5, "(1, 2)": 0.25, "None": 1.0},
    ),
    "a lone surrogate": ({"\ud800": 0.5}, {"\ud800": 0.5}),
    "an enormous integer": ({"x": 10**5000}, {}),
    "one beyond the floats": ({"x": 10**400}, {}),
    "an object that misbehaves": ({"x": Misbehaving()}, {}),
    "a name that misbehaves": ({Elusive(): 0.5}, {}),
    "an object": ({"x": object()}, {}),
    "a text": ({"x": "low"}, {}),
}


@pytest.mark.parametrize(("metrics", "kept"), WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize(
    "others", [{"loss": 0.125}, {"loss": float("nan")}], ids=["", "beside NaN"]
)
def test_a_metric_that_is_odd_is_written_as_its_number_or_left_out_and_the_others_are_kept(
    metrics: dict[Any, Any], kept: dict[str, float], others: dict[str, float]
) -> None:
    report = Report(Event.BATCH, 1, 2, 3, 0.5, {**others, **metrics})
    assert repr(decode(encode(report))) == repr(report._replace(metrics={**others, **kept}))


@pytest.mark.parametrize("name", LEAST)
def test_a_line_that_lacks_a_field_without_a_default_is_refused(name: str) -> None:
    fields = {key: value for key, value in LEAST.items() if key != name}
    with pytest.raises(DAMAGES):
        decode(json.dumps(fields).encode())


@given(
    st.binary()
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_nothing_else_leaves_it_whatever_the_line_holds(data: bytes) -> None:
    try:
        report = decode(data)
    except DAMAGES:
        return
    assert isinstance(report, Report)


@given(
    st.sampled_from(sorted(Report._fields)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_a_field_of_the_wrong_type_is_refused_or_has_the_right_one(name: str, value: Any) -> None:
    try:
        report = decode(line(**{name: value}))
    except DAMAGES:
        return
    assert repr(decode(encode(report))) == repr(report)
    assert type(report.epoch) is type(report.n_iters) is type(report.step) is int
    assert type(report.seconds) is float
    assert all(type(number) is float for number in report.metrics.values())


PAGE = Path(__file__).parents[2] / "docs/reference/recording-format.md"
WRITTEN_BY_1 = b"""\
{"event":"STARTED","epoch":0,"max_epoch":2,"n_iters":0,"seconds":0.0,"metrics":{},"began":1.5,"config":{"lr":0.1}}
{"event":"BATCH","epoch":1,"max_epoch":2,"n_iters":1,"seconds":0.5,"metrics":{"loss":"NaN"},"n_batches":3,"step":1}
{"event":"STOPPED","epoch":1,"max_epoch":2,"n_iters":1,"seconds":1.0,"metrics":{},"step":1,"stopped_by":"SIGTERM"}
"""


def test_the_page_has_every_field_and_says_which_are_on_all_lines() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    fields = [name for name in Report._fields if name != "intervals"]  # they are not recorded
    assert [name for name, _ in rows] == [*fields, "format"]
    always = [name for name, where in rows if where == "all"]
    assert always == [name for name in fields if name not in Report._field_defaults]


def test_the_first_format_stays_readable() -> None:
    started, batch, stopped = map(decode, WRITTEN_BY_1.splitlines())
    assert (started.event, started.began, started.config) == (Event.STARTED, 1.5, {"lr": 0.1})
    assert math.isnan(batch.metrics["loss"])
    assert (batch.n_batches, batch.step) == (3, 1)
    assert stopped.stopped_by == "SIGTERM"


@pytest.mark.parametrize("event", Event)
def test_a_beginning_has_the_number_of_the_format(event: Event) -> None:
    fields = json.loads(encode(Report(event, 1, 2, 3, 0.5, {})))
    assert fields.get("format") == (FORMAT if event in BEGINNINGS else None)


@pytest.mark.parametrize("number", [FORMAT + 1, "1.1", None, True])
def test_a_beginning_in_another_format_is_refused(number: Any) -> None:
    with pytest.raises(FormatError, match=f"expected a recording in format {FORMAT}"):
        decode(line(event="STARTED", format=number))


def test_what_a_restored_run_writes_again_has_no_times_and_nothing_of_the_machine() -> None:
    metrics = {"loss": 0.5, "system/cpu_percent": 99.0}
    (row,) = rows_in(line(metrics=metrics) + line(event="STARTED") + b"damaged")
    assert row.key == (Event.BATCH, 1, 3)
    assert json.loads(row.text) == {
        "event": "BATCH",
        "epoch": 1,
        "n_iters": 3,
        "metrics": {"loss": 0.5},
    }
