"""A file of lines with one writer: appended to as a whole, and cut back to a position."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.faults import Boom
from rnnr._logs._file import BEGINNING, LogFile, Position
from rnnr._logs._log import Log, LogPlace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


LINES = st.lists(st.binary(max_size=20), max_size=10)


@given(before=LINES, after=LINES, closed=st.booleans())
def test_a_file_that_was_cut_and_written_again_is_as_if_nothing_had_happened(
    before: list[bytes], after: list[bytes], closed: bool
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "log")
        log = Log(path, "Log")
        for line in before:
            log.open().append(line)
        position = log.briefly(LogFile.position)
        for line in after:
            log.open().append(line)
        if closed:  # as at the end of a process
            log.close()
            log = Log(path, "Log")
        assert log.briefly(lambda file: file.cut(position)) == b"".join(after)
        assert path.read_bytes() == b"".join(before)
        for line in after:
            log.open().append(line)
        assert path.read_bytes() == b"".join([*before, *after])
        log.close()


class TestPosition:
    def test_only_what_was_written_since_is_flushed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, flushed = Log(path, "Log"), list[int]()
        monkeypatch.setattr("os.fsync", flushed.append)
        file = log.open()
        log.open().append(b"a line\n")
        for n in (2, 2, 2):  # the file and, once, its directory
            assert file.position().offset == 7
            assert len(flushed) == n
        file.append(b"another\n")
        assert file.position().offset == 15
        assert len(flushed) == 3
        log.close()

    def test_a_file_that_grew_to_the_same_size_has_another(self, path: Path) -> None:
        file = Log(path, "Log").open()
        begin = file.position()
        file.append(b"a")
        first = file.position()
        file.cut(begin)
        file.append(b"b")
        assert file.position().offset == first.offset
        assert file.position().mark != first.mark

    @pytest.mark.parametrize(
        ("contents", "got"),
        [
            (b"0123456789", "a file of 10"),
            (b"", "a file of 0"),
            (b"0123456x89" * 1000, "a file whose bytes before that are others"),
        ],
    )
    def test_a_file_that_is_shorter_or_another_is_refused_and_not_changed(
        self, path: Path, contents: bytes, got: str
    ) -> None:
        place = LogPlace(path, "Log")
        path.write_bytes(b"0123456789" * 100)
        position = place.position()
        path.write_bytes(contents)
        with pytest.raises(
            ValueError, match=rf"must be .* all of its first 1000 bytes, got {got}; put that file"
        ):
            place.cut(position)
        assert path.read_bytes() == contents

    def test_an_edit_of_the_last_4096_bytes_before_it_is_seen(self, path: Path) -> None:
        place = LogPlace(path, "Log")
        path.write_bytes(b"x" * 5000)
        position = place.position()
        for at, is_seen in ((0, False), (903, False), (904, True), (4999, True)):
            path.write_bytes(b"x" * at + b"y" + b"x" * 6000)
            if is_seen:
                with pytest.raises(ValueError, match="bytes before that are others"):
                    place.cut(position)
            else:
                assert len(place.cut(position)) == at + 6001 - 5000

    def test_no_file_is_the_beginning_of_one(self, path: Path) -> None:
        place = LogPlace(path, "Log")
        assert place.position() == BEGINNING
        assert place.cut(BEGINNING) == b""
        assert not path.exists()
        with pytest.raises(ValueError, match="first 7 bytes, got no file"):
            place.cut(Position(7, ""))
        path.write_bytes(b"abc")
        assert place.cut(BEGINNING) == b"abc"
        assert path.read_bytes() == b""

    @pytest.mark.parametrize(
        ("state", "error", "message"),
        [
            (None, TypeError, "state must be a dict with an offset and a mark, got None"),
            ({"offset": 1}, TypeError, "a dict with an offset and a mark, got {'offset': 1}"),
            ({"offset": 1.5, "mark": ""}, TypeError, "offset must be an integer of 0 or more"),
            ({"offset": -1, "mark": ""}, ValueError, "offset must be an integer of 0 or more"),
            ({"offset": 1, "mark": 1}, TypeError, "mark must be a string, got 1"),
        ],
    )
    def test_what_is_not_one_is_refused(
        self, state: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=f"{message}.*; pass what state_dict"):
            Position.of(state)


class Limited(LogFile):
    """Writes so many bytes, then fails."""

    left = 10

    def write(self, data: Any) -> int:
        n = super().write(data[: min(3, self.left)])
        self.left -= n
        return n


class Stuck(Limited):
    """Cannot remove a part either."""

    def truncate(self, size: int | None = None) -> int:
        raise Boom


class TestAppending:
    def test_all_or_nothing_is_appended(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rnnr._logs._log.LogFile", Limited)
        file = Log(path, "Log").open()
        file.append(b"1234567\n", b"")
        with pytest.raises(OSError, match="nothing was written"):
            file.append(b"abcdefg\n")
        assert path.read_bytes() == b"1234567\n"
        assert not file.is_torn

    def test_a_file_with_a_part_of_a_line_is_opened_again_and_prepared(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rnnr._logs._log.LogFile", Stuck)
        prepared: list[bytes] = []
        log = Log(path, "Log", prepare=lambda _: prepared.append(path.read_bytes()))
        with pytest.raises(OSError, match="nothing was written"):
            log.open().append(b"0123456789abc\n")
        monkeypatch.setattr("rnnr._logs._log.LogFile", LogFile)
        log.open().append(b"more\n")
        assert prepared == [b"", b"0123456789"]
        assert log.open() is log.open()

    def test_a_header_comes_first_in_an_empty_file(self, path: Path) -> None:
        file = Log(path, "Log").open()
        for _ in range(2):
            file.append(b"row\n", b"header\n")
        assert path.read_bytes() == b"header\nrow\nrow\n"


class TestOpening:
    def test_a_file_that_cannot_be_prepared_is_not_kept(self, path: Path) -> None:
        def refuse(_: LogFile) -> None:
            raise Boom

        with pytest.raises(Boom):
            Log(path, "Log", prepare=refuse)
        Log(path, "Log").close()

    def test_what_is_done_between_two_runs_leaves_it_closed(self, path: Path) -> None:
        log = Log(path, "Log")
        log.pause()
        log.briefly(LogFile.position)
        assert log.file is None

    def test_it_may_be_closed_before_it_is_opened(self, path: Path) -> None:
        place = LogPlace(path, "Log")
        place.detach()
        assert not place.is_attached
        assert not path.exists()

    def test_it_is_not_used_after_it_is_closed(self, path: Path) -> None:
        log = Log(path, "Log")
        log.close()
        log.use(os.abort)
