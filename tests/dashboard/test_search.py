"""Folders and patterns: which files are recordings, whatever else is there."""

import logging
import os
import socket
from pathlib import Path

import pytest

from helpers.clock import Clock
from rnnr import Event
from rnnr.dashboard import _search
from rnnr.dashboard._search import Search, is_search
from rnnr.recording._format import encode
from rnnr.reporting import Report

LINE = encode(Report(Event.BATCH, 1, 1, 1, 0.5, {"loss": 0.5}))


def record(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LINE)


def names(search: Search) -> list[str]:
    return [search.name_of(path) for path in search.look()]


def test_a_folder_has_every_recording_below_it_by_its_path_without_the_suffix(
    tmp_path: Path,
) -> None:
    record(*(tmp_path / name for name in ("b.jsonl", "a/c.jsonl", "a/d/e.f.jsonl", "notes.txt")))
    assert names(Search(tmp_path)) == ["b", "a/c", "a/d/e.f"]


def test_what_is_new_is_found_by_the_next_look_alone(tmp_path: Path) -> None:
    search = Search(tmp_path)
    assert names(search) == []
    record(tmp_path / "a.jsonl")
    assert names(search) == ["a"]
    record(tmp_path / "b" / "c.jsonl")
    assert names(search) == ["b/c"]
    assert names(search) == []


def test_hidden_files_and_folders_and_links_to_folders_are_not_searched(tmp_path: Path) -> None:
    record(*(tmp_path / name for name in (".a.jsonl", ".b/c.jsonl", "d/e.jsonl")))
    (tmp_path / "again").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "circle").symlink_to(tmp_path)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "d" / "e.jsonl")
    (tmp_path / "self.jsonl").symlink_to(tmp_path / "self.jsonl")
    assert names(Search(tmp_path)) == ["link", "d/e"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a"]),
        ("*/*.jsonl", ["b/c", "d/e"]),
        ("b/*", ["c", "f.log"]),
        ("[bd]/?.jsonl", ["b/c", "d/e"]),
        ("*/c.jsonl", ["b/c"]),
        ("**/*.jsonl", ["a", "b/c", "d/e", "d/g/h"]),
        ("d/**", ["e", "g/h"]),
        (".hidden/*", ["i"]),
        (".*/*", [".hidden/i"]),
        ("*/no", []),
        ("missing/*.jsonl", []),
    ],
)
def test_a_pattern_finds_what_the_shell_would_find(
    pattern: str, found: list[str], tmp_path: Path
) -> None:
    files = ("a.jsonl", "b/c.jsonl", "b/f.log", "d/e.jsonl", "d/g/h.jsonl", ".hidden/i.jsonl")
    record(*(tmp_path / name for name in files))
    assert names(Search(tmp_path / pattern)) == found


def test_a_pattern_goes_through_a_link_that_it_names(tmp_path: Path) -> None:
    record(tmp_path / "a" / "log.jsonl")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert names(Search(tmp_path / "*" / "log.jsonl")) == ["a/log", "b/log"]


def test_what_is_not_a_recording_is_left_out_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "right.jsonl", tmp_path / "locked.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "binary.jsonl").write_bytes(LINE + bytes(100))
    (tmp_path / "other.jsonl").write_bytes(b'{"loss": 1.0}\n')
    (tmp_path / "long.jsonl").write_bytes(b"x" * 100_000)
    os.mkfifo(tmp_path / "pipe.jsonl")
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jsonl")
        real = os.open

        def refuse(path: str, *arguments: int) -> int:
            if path.endswith("locked.jsonl"):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *arguments)

        monkeypatch.setattr(os, "open", refuse)
        search = Search(tmp_path)
        assert names(search) == ["right"]
        assert names(search) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"Left out {tmp_path / name}.jsonl: {reason}"
        for name, reason in [
            ("binary", "it is a binary file"),
            ("locked", "Permission denied"),
            ("long", "it has no report of rnnr"),
            ("other", "it has no report of rnnr"),
            ("pipe", "it is not a file"),
            ("socket", "it is not a file"),
        ]
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_file_that_becomes_a_recording_is_found_then(tmp_path: Path) -> None:
    path, search = tmp_path / "run.jsonl", Search(tmp_path)
    for content in (b"", LINE[:20], b"\n", b"damaged\n"):
        path.write_bytes(content)
        assert names(search) == []
    path.write_bytes(b"damaged\n" + LINE)
    assert names(search) == ["run"]


def test_a_file_that_goes_away_during_the_look_is_left_out_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run.jsonl").symlink_to(tmp_path / "gone")
    assert names(Search(tmp_path)) == []
    assert not caplog.records


def test_a_folder_that_cannot_be_read_is_logged_once_and_found_when_it_is_there_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "runs"
    record(folder / "a.jsonl")
    search = Search(folder)
    assert names(search) == ["a"]
    folder.rename(tmp_path / "away")
    assert [names(search) for _ in range(3)] == [[]] * 3
    assert [record.getMessage() for record in caplog.records] == [
        f"Waiting for {folder}: there is no such folder"
    ]
    record(tmp_path / "away" / "b.jsonl")
    (tmp_path / "away").rename(folder)
    assert names(search) == ["b"]


def test_the_next_look_is_the_later_the_longer_the_last_one_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = Clock()
    search = Search(tmp_path, now)
    assert search.due <= now()
    list(search.look())
    assert search.due == now() + 2

    def slow(*_: object) -> list[str]:
        now.take(0.5)
        return []

    monkeypatch.setattr(search, "_matching", slow)
    list(search.look())
    assert search.due == now() + 500


def test_folders_are_searched_down_to_some_depth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "_DEEPEST", 3)
    record(tmp_path / "1" / "2" / "a.jsonl", tmp_path / "1" / "2" / "3" / "b.jsonl")
    assert names(Search(tmp_path)) == ["1/2/a"]


def test_folders_and_patterns_are_searches_and_files_are_not(tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl", tmp_path / "[b].jsonl")
    assert is_search(tmp_path)
    assert is_search(tmp_path / "*.jsonl")
    for name in ("a.jsonl", "[b].jsonl", "missing.jsonl"):
        assert not is_search(tmp_path / name)


def test_a_folder_that_is_not_there_so_far_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert is_search(tmp_path / "runs")
    assert is_search(f"{tmp_path}/runs.d/")
    assert not is_search(f"{tmp_path}/runs.d")
    search = Search(tmp_path / "runs.d")
    for _ in range(2):
        assert names(search) == []
    record(tmp_path / "runs.d" / "b" / "a.jsonl")
    assert names(search) == ["b/a"]
    waiting = f"Waiting for {tmp_path / 'runs.d'}: there is no such folder"
    assert [record.getMessage() for record in caplog.records] == [waiting]


def test_what_comes_in_place_of_a_folder_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search = Search(tmp_path / "runs")
    record(tmp_path / "runs")
    for _ in range(2):
        assert names(search) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"Cannot look through {tmp_path / 'runs'}: Not a directory"
    ]


@pytest.mark.parametrize(
    ("beginning", "found"), [(b'{"event": "STARTED", "config": "', ["a"]), (b'{"loss": "', [])]
)
def test_a_first_line_may_be_long(tmp_path: Path, beginning: bytes, found: list[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(beginning + b"x" * 100_000 + b'"}\n' + LINE)
    assert names(Search(tmp_path)) == found
