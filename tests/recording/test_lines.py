"""`GrowingLines`: whole lines of a file that grows, in bounded memory, each read once."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr.recording import _lines
from rnnr.recording._lines import TOO_LONG, GrowingLines, open_file


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Make the bounds small, so that short files reach them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "_BLOCK": 16, "_PIECE": 5, "_N_PIECES": 3, "_MOST": 40, "LONGEST": 30
        }.items():  # fmt: skip
            patch.setattr(_lines, name, value)
        yield


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def all_of(reader: GrowingLines, at_most: int = 1000) -> list[bytes]:
    lines = reader.read(at_most)
    while not reader.is_at_end:
        lines += reader.read(at_most)
    return lines


LINES = st.lists(st.integers(0, 70).map(lambda n: b"x" * n), max_size=30)


@given(
    LINES, st.sampled_from([b"", b"torn", b"t" * 50]), st.integers(1, 70), st.integers(1, 9),
    st.booleans(),
)  # fmt: skip
def test_however_a_file_grows_each_whole_line_is_read_once(
    lines: list[bytes], torn: bytes, step: int, at_most: int, is_whole_each_time: bool
) -> None:
    data = b"".join(line + b"\n" for line in lines) + torn
    expected = [TOO_LONG if len(line) >= 30 else line for line in lines]
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        path.touch()
        reader, seen = GrowingLines(path), []
        for begin in range(0, len(data), step):
            append(path, data[begin : begin + step])
            some = reader.read(at_most)
            assert len(some) <= at_most
            seen += some + (all_of(reader, at_most) if is_whole_each_time else [])
        seen += all_of(reader, at_most)
    # a block may hold a line that is too long as a whole, which is none too many
    assert [b"" if len(one) >= 30 or one == TOO_LONG else one for one in seen] == [
        b"" if one == TOO_LONG else one for one in expected
    ]
    assert (reader.n_lines, reader.is_torn, reader.restarted) == (len(lines), torn != b"", 0)
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    assert reader.position == (ends or [0])[-1]


def test_lines_that_were_read_are_read_again_while_the_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"one\ntwo\nthree\nhalf")
    reader = GrowingLines(path)
    all_of(reader)
    assert reader.read_again(4, reader.position) == [b"two", b"three"]
    append(path, b" and more\n")
    assert reader.read_again(4, 8) == [b"two"]
    for other in (b"one\ntwo\n", b"one\ntwo\nother and more\n"):
        path.write_bytes(other)
        with pytest.raises(OSError, match="different file"):
            reader.read_again(4, 8)


def test_what_was_seen_of_a_line_without_an_end_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, amounts = tmp_path / "run.jsonl", []

    class Counted(io.FileIO):
        def read(self, size: Any = -1, /) -> bytes:
            data = super().read(size)
            amounts.append(len(data))
            return data

    monkeypatch.setattr(_lines, "open_file", Counted)
    path.write_bytes(b"x" * 400)
    reader = GrowingLines(path)
    assert all_of(reader) == []
    amounts.clear()
    assert reader.read(10) == []
    assert sum(amounts) == 0
    append(path, b"\nnext\n")
    assert all_of(reader) == [TOO_LONG, b"next"]
    assert sum(amounts) < 50


def test_a_torn_line_that_is_cut_and_written_again_is_read_as_it_is_then(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"first\nhalf of it")
    reader = GrowingLines(path)
    assert all_of(reader) == [b"first"]
    path.write_bytes(b"first\nhalf\n")
    assert all_of(reader) == [b"half"]


@pytest.mark.parametrize("n_before", [0, 1, 2])
def test_an_error_of_the_disk_loses_no_line(
    n_before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(b"line %d\n" % n for n in range(9)))
    reader = GrowingLines(path)

    class Bad(io.FileIO):
        n_left = n_before

        def read(self, size: Any = -1, /) -> bytes:
            if not self.n_left:
                raise OSError(errno.EIO, "bad sector")
            self.n_left -= 1
            return super().read(size)

    with monkeypatch.context() as patch:
        patch.setattr(_lines, "open_file", Bad)
        if n_before == 2:
            seen = reader.read(100)
            assert seen
        else:
            with pytest.raises(OSError, match="bad sector"):
                reader.read(100)
            seen = []
    assert seen + all_of(reader) == [b"line %d" % n for n in range(9)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_pipe_in_place_of_the_file_is_an_error_and_waits_for_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is not a file"):
        open_file(tmp_path / "pipe")
