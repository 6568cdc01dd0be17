"""A recording on the page: as far as it is written, whatever happens to its file."""

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from helpers.curves import Curves
from rnnr import Event, Runner
from rnnr.dashboard import _follower
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._metrics import packed
from rnnr.dashboard._run import RunModel
from rnnr.recording import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def recorded(path: Path, n: int = 3) -> None:
    runner = Runner()
    Record(path).attach_on(runner)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    runner.run(range(n))


def told(track: RunModel) -> dict[str, Any]:
    run, _ = track.since(None)
    assert run is not None
    return run


def steps(track: RunModel) -> list[int]:
    page = Curves()
    found = track.curve(0, 0, 0)
    if found is None:
        return []
    page.take(packed([found], is_cut=False))
    return [int(row[0]) for row in page.rows[track.key, 0]]


def notes(track: RunModel) -> list[str]:
    return [text for *_, text in track.events if "·" not in text]


def test_it_reads_what_is_there_and_then_what_is_added(path: Path) -> None:
    recorded(path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:10])
    track = RunModel("a")
    follower = Follower(path, track)
    assert not follower.catch_up(10)
    assert steps(track) == [1]
    path.write_bytes(whole)
    assert not follower.catch_up(10)
    assert steps(track) == [1, 2, 3]
    assert told(track)["status"] == "finished"


def test_it_reads_no_longer_than_it_may_and_says_that_there_is_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 2)
    recorded(path)  # seven lines
    track = RunModel("a")
    follower = Follower(path, track)
    assert told(track)["status"] == "waiting"
    answers = []
    for _ in range(4):
        is_more = follower.catch_up(0)
        summary = told(track)
        answers.append((is_more, summary["status"], summary["fraction"]))
    n_bytes, lines = path.stat().st_size, path.read_bytes().splitlines(keepends=True)
    fractions = [sum(map(len, lines[:n])) / n_bytes for n in (2, 4, 6)]
    assert answers == [*((True, "reading", part) for part in fractions), (False, "finished", 1)]
    assert steps(track) == [1, 2, 3]


def test_while_it_is_read_nothing_is_told_of_the_time_and_the_speed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 6)
    runner, now = Runner(), iter(range(1000))
    with Record(path, clock=lambda: float(next(now))).attach_on(runner):
        runner.run(range(9))
    os.utime(path, (0, 0))
    track = RunModel("a")
    follower = Follower(path, track)
    assert follower.catch_up(0)
    summary = told(track)
    keys = ("status", "seconds_left", "batches_per_second", "silent")
    assert [summary[key] for key in keys] == ["reading", None, None, 0]


def test_what_is_read_of_a_file_without_a_report_is_told_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 1)
    path.write_bytes(b"damaged\n" * 4)
    track = RunModel("a")
    Follower(path, track).catch_up(0)
    summary = told(track)
    assert (summary["status"], summary["fraction"]) == ("reading", 0.25)


DAY = 86_400.0


@pytest.mark.parametrize(
    ("gap", "silence", "status"),
    [
        (0.1, 0.0, "running"),
        (0.1, 20.0, "running"),
        (0.1, 60.0, "silent"),
        (0.1, DAY, "silent"),
        (300.0, 1000.0, "running"),  # its reports are ten minutes apart
        (300.0, 3000.0, "silent"),
    ],
)
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_recording_without_an_end_and_without_news_is_silent_when_that_is_long_for_it(
    path: Path, gap: float, silence: float, status: str, is_resumed: bool
) -> None:
    runner, clock = Runner(), iter([n * gap for n in range(1000)])
    runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 5))
    with Record(path, clock=lambda: next(clock)).attach_on(runner):
        runner.run(range(20))
        if is_resumed:
            for _ in range(500):
                next(clock)  # a pause is no news that is late
            runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 10))
            runner.resume()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))  # killed: STOPPED has not been written
    written = time.time() - silence
    os.utime(path, (written, written))
    track = RunModel("a")
    Follower(path, track).catch_up(10)
    summary = told(track)
    assert summary["status"] == status
    assert (summary["seconds_left"] is None) is (status == "silent")
    assert (summary["batches_per_second"] is None) is (status == "silent")
    assert summary["silent"] == pytest.approx(silence, abs=10)


def test_a_recording_with_an_end_is_not_silent_however_old(path: Path) -> None:
    recorded(path)
    os.utime(path, (0, 0))
    track = RunModel("a")
    Follower(path, track).catch_up(10)
    summary = told(track)
    assert (summary["status"], summary["silent"]) == ("finished", 0)


def test_it_reads_on_while_there_is_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 2)
    recorded(path)
    track = RunModel("a")
    assert not Follower(path, track).catch_up(60)
    assert steps(track) == [1, 2, 3]


def test_damaged_lines_are_left_out_and_told(path: Path) -> None:
    recorded(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + b"".join(lines[1:]) + b"{}\n")
    track = RunModel("a")
    follower = Follower(path, track)
    follower.catch_up(10)
    assert steps(track) == [1, 2, 3]
    assert notes(track) == ["skipped, whole or in part: 2 damaged (line 2, 9)"]
    follower.catch_up(10)
    assert len(notes(track)) == 1  # told once


def test_another_file_in_its_place_begins_again(path: Path) -> None:
    recorded(path, 5)
    track = RunModel("a")
    follower = Follower(path, track)
    follower.catch_up(10)
    path.unlink()
    path.write_bytes(b"damaged\n")
    follower.catch_up(10)
    assert steps(track) == []
    assert notes(track) == ["skipped, whole or in part: 1 damaged (line 1)"]
    recorded(path, 2)
    follower.catch_up(10)
    assert steps(track) == [1, 2]


def test_a_file_that_is_away_for_a_while_is_told_once_and_read_on_when_it_is_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(path)
    track = RunModel("a")
    follower = Follower(path, track)
    follower.catch_up(10)
    for _ in range(2):
        path.rename(path.with_suffix(".away"))
        assert [follower.catch_up(10) for _ in range(3)] == [False] * 3
        path.with_suffix(".away").rename(path)
        assert not follower.catch_up(10)
    assert steps(track) == [1, 2, 3]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert str(path) in caplog.text


def test_a_path_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match="path must be"):
        Follower(3, RunModel("a"))  # type: ignore[arg-type]


def test_an_empty_file_waits(path: Path) -> None:
    path.touch()
    track = RunModel("a")
    assert not Follower(path, track).catch_up(10)
    assert told(track)["status"] == "waiting"


def test_it_holds_no_file_open(path: Path) -> None:
    recorded(path)
    before = len(os.listdir("/dev/fd"))
    follower = Follower(path, RunModel("a"))
    follower.catch_up(10)
    assert len(os.listdir("/dev/fd")) == before
