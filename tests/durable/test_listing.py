"""The list of snapshots: whole, damaged and unfinished ones, and exit by an error."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rnnr import Event, Runner
from rnnr.durable import Snapshots
from rnnr.durable._folder import ARRAYS, MANIFEST, Folder, Snapshot
from rnnr.durable._listing import _format_size, print_snapshots

np = pytest.importorskip("numpy")

NAMES = ["000000004-0002-F", "000000004-0002-B", "000000003-0002-B", "000000002-0001-B"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with four snapshots of a run that has finished."""
    runner = Runner()
    weights = np.arange(300.0)
    snapshots = Snapshots(tmp_path, every=Event.BATCH, at_most=4, weights=weights, log=[])
    snapshots.attach_on(runner)
    runner.run("ab", max_epoch=2)
    return tmp_path


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[list[str]]]:
    """Print the list, and return the words of each line; the problem is one of them."""

    def words(folder: Path, *, verify: bool = False) -> list[list[str]]:
        print_snapshots(folder, verify=verify)
        out, err = capsys.readouterr()
        assert err == ""
        return [line.split(maxsplit=7) for line in out.splitlines()]

    return words


def statuses(table: list[list[str]]) -> list[str]:
    return [status for _, status, *_ in table[1:]]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return each file with its bytes and its time."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_it_shows_the_newest_first_with_what_is_known_of_each(
    folder: Path, table: Callable[..., list[list[str]]]
) -> None:
    header, *rows = table(folder)
    assert header == ["name", "status", "epoch", "batch", "age", "size", "objects"]
    assert [row[0] for row in rows] == NAMES
    assert [row[1:4] for row in rows] == [
        ["whole", "2", "4"],
        ["whole", "2", "4"],
        ["whole", "2", "3"],
        ["whole", "1", "2"],
    ]
    for row in rows:
        assert row[4].endswith(("s", "min"))
        n_bytes = sum(path.stat().st_size for path in (folder / row[0]).iterdir())
        assert row[5:] == [_format_size(n_bytes), "weights,log"]


def test_columns_are_aligned_and_no_line_ends_in_blanks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(folder / NAMES[0] / MANIFEST, 0)
    print_snapshots(folder, verify=False)
    lines = capsys.readouterr().out.splitlines()
    words = ["status", "damaged", "whole", "whole", "whole"]
    places = [line.index(word) for line, word in zip(lines, words, strict=True)]
    assert {*places} == {len(NAMES[0]) + 2}
    assert lines == [line.rstrip() for line in lines]
    assert lines[1].endswith(f"  -            the seal of {MANIFEST} does not match")


def test_a_run_without_objects_has_a_dash(
    tmp_path: Path, table: Callable[..., list[list[str]]]
) -> None:
    runner = Runner()
    Snapshots(tmp_path).attach_on(runner)
    runner.run("a")
    assert {row[6] for row in table(tmp_path)[1:]} == {"-"}


def test_a_name_that_a_terminal_may_not_have_is_escaped(
    tmp_path: Path, table: Callable[..., list[list[str]]]
) -> None:
    runner = Runner()
    Snapshots(tmp_path, größe=[]).attach_on(runner)
    runner.run("a")
    assert table(tmp_path)[1][6] == r"gr\xf6\xdfe"


def test_seal_and_sizes_are_checked_in_any_case(
    folder: Path, table: Callable[..., list[list[str]]]
) -> None:
    flip(folder / NAMES[0] / MANIFEST, 5)
    with open(folder / NAMES[1] / ARRAYS, "ab") as file:
        file.write(b"more")
    (folder / NAMES[2] / MANIFEST).unlink()
    found = table(folder)
    assert statuses(found) == ["damaged", "damaged", "fragment", "whole"]
    problems = [row[7] for row in found[1:4]]
    assert problems[0] == f"the seal of {MANIFEST} does not match"
    assert problems[1].startswith(f"{ARRAYS} has ")
    assert problems[2] == "it was not written to its end"
    assert len(found[4]) == 7


def test_sums_are_checked_on_demand(folder: Path, table: Callable[..., list[list[str]]]) -> None:
    flip(folder / NAMES[0] / ARRAYS, -1)
    assert statuses(table(folder)) == ["whole"] * 4
    found = table(folder, verify=True)
    assert statuses(found) == ["damaged", "whole", "whole", "whole"]
    assert found[1][6:] == [
        "weights,log",
        f"{ARRAYS} has another SHA-256 sum than what was written",
    ]


def test_it_changes_nothing_and_works_beside_the_run(
    folder: Path, table: Callable[..., list[list[str]]]
) -> None:
    shown = []

    def look(_: object) -> None:
        before = contents(folder)
        shown.append(statuses(table(folder, verify=True)))
        assert contents(folder) == before

    runner = Runner()
    runner.on(Event.BATCH, look)
    settings: dict[str, Any] = {"background": False, "weights": np.zeros(300), "log": []}
    Snapshots(folder, at_most=4, **settings).attach_on(runner)
    runner.run("ab", max_epoch=3)
    assert shown == [["whole"] * 4] * 2


@pytest.mark.parametrize("verify", [False, True])
def test_a_snapshot_that_vanishes_meanwhile_is_left_out(
    folder: Path,
    table: Callable[..., list[list[str]]],
    monkeypatch: pytest.MonkeyPatch,
    verify: bool,
) -> None:
    snapshots = Folder.snapshots

    def then_one_vanishes(one: Folder) -> list[Snapshot]:
        found = snapshots(one)
        shutil.rmtree(folder / NAMES[3])
        return found

    monkeypatch.setattr(Folder, "snapshots", then_one_vanishes)
    assert [row[0] for row in table(folder, verify=verify)[1:]] == NAMES[:3]


def test_a_snapshot_that_is_being_removed_is_a_fragment(
    folder: Path, table: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = Snapshot.verified

    def half_removed(one: Snapshot) -> Snapshot:
        if str(one.name) == NAMES[3]:
            (one.path / MANIFEST).unlink()
            (one.path / ARRAYS).unlink()
        return verified(one)

    monkeypatch.setattr(Snapshot, "verified", half_removed)
    found = table(folder, verify=True)
    assert statuses(found) == ["whole", "whole", "whole", "fragment"]
    assert found[4][7] == "it is being removed"


def test_a_file_that_is_named_like_a_snapshot_is_not_one(
    folder: Path, table: Callable[..., list[list[str]]]
) -> None:
    (folder / "000000009-0001-B").write_text("a file")
    assert statuses(table(folder)) == ["whole"] * 4


def test_without_a_whole_one_it_lists_what_is_there_and_raises(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        flip(folder / name / MANIFEST, 0)
    with pytest.raises(ValueError, match=r"got one with damaged ones and fragments alone .*; put"):
        print_snapshots(folder, verify=False)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(NAMES)


def test_without_a_snapshot_it_says_which_folder_to_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"got no folder .*; pass the folder that the script"):
        print_snapshots(tmp_path / "missing", verify=False)
    with pytest.raises(ValueError, match=r"got one without snapshots .*; pass the folder"):
        print_snapshots(tmp_path, verify=False)
    assert capsys.readouterr().out == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0kB"),
        (9949, "9.9kB"),
        (9951, "10kB"),
        (999_499, "999kB"),
        (999_500, "1.0MB"),
        (123_456_789, "123MB"),
        (5 * 10**12, "5.0TB"),
    ],
)
def test_sizes_have_two_or_three_digits(n_bytes: int, text: str) -> None:
    assert _format_size(n_bytes) == text


def test_it_is_a_command(folder: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "rnnr", "snapshots", "--verify", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["name", *NAMES]
