"""A recording on the page: as far as it is written, whatever happens to its file."""

import logging
import os
from pathlib import Path

import pytest

from rnnr import Event, Runner
from rnnr.dashboard import _follower
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._track import Track
from rnnr.recording import Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def recorded(path: Path, n: int = 3) -> None:
    runner = Runner()
    Record(path).attach_on(runner)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    runner.run(range(n))


def steps(track: Track) -> list[int]:
    lane = track.since(None)[0]["lanes"][0]
    return [*lane["steps"], *([lane["last"]["step"]] if lane["last"] else [])]


def notes(track: Track) -> list[str]:
    return [text for *_, text in track.events if "·" not in text]


def test_it_reads_what_is_there_and_then_what_is_added(path: Path) -> None:
    recorded(path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:10])
    track = Track("a")
    follower = Follower(path, track)
    assert not follower.catch_up(10)
    assert steps(track) == [1]
    path.write_bytes(whole)
    assert not follower.catch_up(10)
    assert steps(track) == [1, 2, 3]
    assert track.since(None)[0]["status"] == "finished"


def test_it_reads_no_longer_than_it_may_and_says_that_there_is_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 2)
    recorded(path)  # seven lines
    track = Track("a")
    follower = Follower(path, track)
    assert [follower.catch_up(0) for _ in range(4)] == [True, True, True, False]
    assert steps(track) == [1, 2, 3]


def test_it_reads_on_while_there_is_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_follower, "_AT_ONCE", 2)
    recorded(path)
    track = Track("a")
    assert not Follower(path, track).catch_up(60)
    assert steps(track) == [1, 2, 3]


def test_damaged_lines_are_left_out_and_told(path: Path) -> None:
    recorded(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"damaged\n" + b"".join(lines[1:]) + b"{}\n")
    track = Track("a")
    follower = Follower(path, track)
    follower.catch_up(10)
    assert steps(track) == [1, 2, 3]
    assert notes(track) == ["left out, whole or in part: 2 damaged (line 2, 9)"]
    follower.catch_up(10)
    assert len(notes(track)) == 1  # told once


def test_another_file_in_its_place_begins_anew(path: Path) -> None:
    recorded(path, 5)
    track = Track("a")
    follower = Follower(path, track)
    follower.catch_up(10)
    path.unlink()
    path.write_bytes(b"damaged\n")
    follower.catch_up(10)
    assert steps(track) == []
    assert notes(track) == ["left out, whole or in part: 1 damaged (line 1)"]
    recorded(path, 2)
    follower.catch_up(10)
    assert steps(track) == [1, 2]


def test_a_file_that_is_away_for_a_while_is_told_once_and_read_on_when_it_is_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(path)
    track = Track("a")
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


@pytest.mark.parametrize("kind", ["missing", "a directory"])
def test_what_cannot_be_read_is_refused_at_once(path: Path, kind: str) -> None:
    if kind == "a directory":
        path.mkdir()
    with pytest.raises((OSError, ValueError), match=r"must be a file.*run\.jsonl"):
        Follower(path, Track("a"))


def test_a_path_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match="path must be"):
        Follower(3, Track("a"))  # type: ignore[arg-type]


def test_an_empty_file_waits(path: Path) -> None:
    path.touch()
    track = Track("a")
    assert not Follower(path, track).catch_up(10)
    assert track.since(None)[0]["status"] == "waiting"


def test_it_holds_no_file_open(path: Path) -> None:
    recorded(path)
    before = len(os.listdir("/dev/fd"))
    follower = Follower(path, Track("a"))
    follower.catch_up(10)
    assert len(os.listdir("/dev/fd")) == before
