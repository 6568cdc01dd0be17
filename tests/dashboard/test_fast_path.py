"""Recordings are read fast: the model is what it would be if it had got each report alone."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.curves import Curves
from helpers.lines import lines
from rnnr import Event
from rnnr.dashboard import _follower
from rnnr.dashboard._axis import Pairs
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._metrics import packed
from rnnr.dashboard._run import RunModel
from rnnr.recording._format import encode
from rnnr.recording._tail import Damage
from rnnr.reporting import Report


def told(model: RunModel) -> dict[str, Any]:
    """Return what a page is told, except for keys and versions, which differ."""
    run, _ = model.since(None)
    assert run is not None
    run["events"] = [(since, text) for _, since, text in model.events]
    del run["key"], run["metrics"]["version"], run["silent"]
    return run


def rows(model: RunModel) -> dict[int, Any]:
    """Return the rows of each curve, as a page has them."""
    page, place = Curves(), 0
    while (found := model.curve(place, 0, 0)) is not None:
        page.take(packed([found], is_cut=False))
        place += 1
    return {metric: rows for (_, metric), rows in page.rows.items()}


@settings(max_examples=100, deadline=None)
@given(lines(), st.integers(1, 30))
def test_a_model_is_the_same_as_one_that_gets_the_reports_one_by_one(
    some: list[bytes], at_once: int
) -> None:
    fast, slow, damage = RunModel("a"), RunModel("a"), Damage()
    for number, line in enumerate(some, 1):
        for report in damage.reports_on(line, number):
            slow.add(report)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_follower, "_AT_ONCE", at_once)
        path = Path(folder, "run.jsonl")
        path.write_bytes(b"".join(line + b"\n" for line in some))
        follower = Follower(path, fast)
        while follower.catch_up(10):
            pass
    fast.heard_at = slow.heard_at
    if fast._report is None:
        return
    for model in (fast, slow):
        model.events = type(model.events)(
            [event for event in model.events if "skipped" not in event[2]]
        )
    assert repr(told(fast)) == repr(told(slow))
    assert rows(fast).keys() == rows(slow).keys()
    for metric, some_rows in rows(fast).items():
        for row, other in zip(some_rows, rows(slow)[metric], strict=True):
            assert row == pytest.approx(other, nan_ok=True)
    assert repr(vars(fast._progress._throughput)) == repr(vars(slow._progress._throughput))


def test_batches_with_more_metrics_than_are_kept_are_the_same_too(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    metrics = {f"m{i}": 0.5 for i in range(1002)}
    reports = [Report(Event.BATCH, 1, 1, n, 0.5 * n, metrics, step=n) for n in range(1, 9)]
    path.write_bytes(b"".join(map(encode, reports)))
    fast, slow = RunModel("a"), RunModel("a")
    assert not Follower(path, fast).catch_up(10)
    for report in reports:
        slow.add(report)
    assert rows(fast) == rows(slow)
    assert len(rows(fast)) == 1000
    assert [text for *_, text in fast.events] == [text for *_, text in slow.events] != []


@given(
    st.integers(2, 10).map(lambda n: 2 * n),
    st.lists(st.integers(0, 9), max_size=40),
    st.lists(st.integers(1, 9), min_size=1, max_size=60),
    st.integers(0, 40),
)
def test_many_pairs_at_once_are_those_pairs_one_by_one(
    limit: int, before: list[int], gaps: list[int], first: int
) -> None:
    at_once, one_by_one = Pairs(limit), Pairs(limit)
    for n, gap in enumerate(before):
        for pairs in (at_once, one_by_one):
            pairs.add(3 * n + gap, float(n))
    steps = [first + sum(gaps[:n]) for n in range(len(gaps))]
    values = [step / 2 for step in steps]
    at_once.extend(steps, values)
    for step, value in zip(steps, values, strict=True):
        one_by_one.add(step, value)
    assert vars(at_once) == vars(one_by_one)
