"""`Tail`: what was added to a recording, whole lines only, whatever happens to the file."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr import Event
from rnnr.recording import Tail
from rnnr.recording._format import encode
from rnnr.reporting import Report


def line(n: int) -> bytes:
    return encode(Report(Event.BATCH, 1, 1, n, n / 8, {"loss": 1 / (n + 1)}))


def lines(*numbers: int) -> bytes:
    return b"".join(map(line, numbers))


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def numbers(tail: Tail, at_most: int = 10_000) -> list[int]:
    return [report.n_iters for report in tail.read(at_most)]


def test_it_reads_what_was_added_since_it_was_read_last(path: Path) -> None:
    path.write_bytes(lines(1, 2))
    tail = Tail(path)
    assert numbers(tail) == [1, 2]
    assert numbers(tail) == []
    append(path, lines(3))
    assert numbers(tail) == [3]
    assert (tail.n_damaged, tail.restarted, tail.is_torn) == (0, 0, False)


def test_it_reads_at_most_as_many_lines_as_it_is_told_and_says_whether_there_may_be_more(
    path: Path,
) -> None:
    path.write_bytes(lines(1, 2) + b"damaged\n" + lines(3, 4))
    tail = Tail(path)
    seen = []
    while not tail.is_at_end:
        seen.append(numbers(tail, at_most=3))
    assert seen == [[1, 2], [3, 4]]


def test_at_the_very_end_it_may_have_to_look_once_more(path: Path) -> None:
    path.write_bytes(lines(1, 2))
    tail = Tail(path)
    assert (numbers(tail, at_most=2), tail.is_at_end) == ([1, 2], False)
    assert (numbers(tail, at_most=2), tail.is_at_end) == ([], True)


def test_a_line_that_is_being_written_stays_for_the_next_time(path: Path) -> None:
    path.write_bytes(line(1) + line(2)[:30])
    tail = Tail(path)
    assert (numbers(tail), tail.is_at_end, tail.is_torn) == ([1], True, True)
    append(path, line(2)[30:-1])
    assert (numbers(tail), tail.is_torn) == ([], True)  # its end is missing
    append(path, b"\n" + line(3))
    assert (numbers(tail), tail.is_torn) == ([2, 3], False)
    assert tail.n_damaged == 0


def test_a_torn_line_that_the_next_writer_has_ended_is_damaged(path: Path) -> None:
    path.write_bytes(line(1) + line(2)[:30])
    tail = Tail(path)
    tail.read()
    append(path, b"\n" + line(3))
    assert numbers(tail) == [3]
    assert (tail.n_damaged, tail.damaged) == (1, [2])


@given(st.lists(st.integers(0, 9) | st.sampled_from([b"", b"{}", b"\0", b"\xff", b" ", b"[1"])))
def test_however_a_file_grows_all_its_whole_reports_are_read_once(content: list[Any]) -> None:
    data = b"".join(line(one) if isinstance(one, int) else one + b"\n" for one in content)
    expected = [one for one in content if isinstance(one, int)]
    damaged = [i for i, one in enumerate(content, 1) if not isinstance(one, int) and one.strip()]
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.jsonl")
        path.touch()
        tail, seen = Tail(path), []
        for begin in range(0, len(data), 37):
            append(path, data[begin : begin + 37])
            seen += numbers(tail)
        assert seen == expected
        assert (tail.n_damaged, tail.damaged) == (len(damaged), damaged[:10])
        assert (tail.restarted, tail.is_torn) == (0, False)


def test_damaged_lines_are_counted_and_the_numbers_of_the_first_ten_are_kept(path: Path) -> None:
    path.write_bytes(line(1) + b"damaged\n" * 1000 + line(2))
    tail = Tail(path)
    assert numbers(tail) == [1, 2]
    assert (tail.n_damaged, tail.damaged) == (1000, list(range(2, 12)))


def test_a_run_in_a_later_format_is_told_apart_from_damage(path: Path) -> None:
    path.write_bytes(b'{"event":"STARTED","format":2}\n')
    tail = Tail(path)
    assert tail.read() == []
    assert tail.describe_skipped() == (
        "1 damaged (line 1) and a run in another format than 1, which a later rnnr can read"
    )


def test_a_line_with_a_metric_that_is_not_a_number_is_read_without_it_and_counts_as_damaged(
    path: Path,
) -> None:
    odd = line(2).replace(b'{"loss":', b'{"phase":"warm-up","loss":')
    path.write_bytes(line(1) + odd + b"damaged\n" + line(3))
    tail = Tail(path)
    assert [report.metrics for report in tail.read()] == [{"loss": 1 / n} for n in (2, 3, 4)]
    assert (tail.n_damaged, tail.damaged) == (2, [2, 3])
    assert tail.describe_skipped() == "2 damaged (line 2, 3)"


def test_it_says_how_much_of_the_file_it_has_read(path: Path) -> None:
    path.write_bytes(line(1) * 4)
    tail = Tail(path)
    fractions = [tail.fraction]
    for _ in range(4):
        tail.read(at_most=1)
        fractions.append(tail.fraction)
    assert fractions == [0, 0.25, 0.5, 0.75, 1]
    append(path, line(1) * 4)
    tail.read(at_most=2)
    assert tail.fraction == 0.75
    path.write_bytes(b"")
    tail.read()
    assert tail.fraction == 1


def test_empty_lines_are_nothing_and_ends_of_windows_are_ends(path: Path) -> None:
    path.write_bytes(b"\n" + line(1).replace(b"\n", b"\r\n") + b"  \r\n" + line(2))
    tail = Tail(path)
    assert numbers(tail) == [1, 2]
    assert tail.n_damaged == 0


def emptied(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def replaced(path: Path, data: bytes) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(data)
    aside.replace(path)


def removed_and_made_again(path: Path, data: bytes) -> None:
    path.unlink()  # often with the same number on the disk
    path.write_bytes(data)


CHANGES = [emptied, replaced, removed_and_made_again]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("content", [[], [7], [7, 8], [7, 8, 9, 1, 2, 3]])
def test_another_file_is_read_from_its_beginning(
    path: Path, change: Callable[[Path, bytes], None], content: list[int]
) -> None:
    path.write_bytes(line(1) + b"damaged\n" + line(2))
    tail = Tail(path)
    assert (numbers(tail), tail.restarted) == ([1, 2], 0)
    change(path, lines(*content))
    assert (numbers(tail), tail.restarted) == (content, 1)
    assert (tail.n_damaged, tail.damaged) == (0, [])
    append(path, line(5))
    assert (numbers(tail), tail.restarted) == ([5], 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_holds_more_is_not_another_file(
    path: Path, change: Callable[[Path, bytes], None]
) -> None:
    path.write_bytes(lines(1, 2) + line(3)[:20])
    tail = Tail(path)
    tail.read()
    change(path, lines(1, 2, 3, 4))
    assert (numbers(tail), tail.restarted) == ([3, 4], 0)


def test_a_long_line_is_a_line(path: Path) -> None:
    error = "x" * 3_000_000
    long = encode(Report(Event.FAILED, 1, 1, 1, 0.5, {}, error=error))
    path.write_bytes(long + line(2))
    tail = Tail(path)
    assert [report.error for report in tail.read()] == [error, None]
    append(path, line(3))
    assert numbers(tail) == [3]


def test_a_file_that_is_not_there_is_an_error_and_read_when_it_has_come(path: Path) -> None:
    tail = Tail(path)
    with pytest.raises(FileNotFoundError):
        tail.read()
    path.write_bytes(line(1))
    assert numbers(tail) == [1]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        tail.read()
    path.write_bytes(lines(1, 2))
    assert numbers(tail) == [2]


def test_a_path_is_that_of_the_directory_in_which_it_was_given(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(line(1))
    monkeypatch.chdir(tmp_path)
    tail = Tail("run.jsonl")
    monkeypatch.chdir("/")
    assert numbers(tail) == [1]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "path must be a path, got None (NoneType); pass for example 'run.jsonl'"),
        (7, "path must be a path, got 7 (int); pass for example 'run.jsonl'"),
        (b"x", "path must be a path, got b'x' (bytes); pass for example 'run.jsonl'"),
    ],
)
def test_what_is_no_path_is_refused(path: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Tail(path)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("at_most", "error", "message"),
    [
        (0, ValueError, "at_most must be an integer of 1 or more, got 0"),
        (1.5, TypeError, "at_most must be an integer of 1 or more, got 1.5"),
    ],
)
def test_a_wrong_number_of_lines_is_refused(
    path: Path, at_most: Any, error: type[Exception], message: str
) -> None:
    path.touch()
    with pytest.raises(error, match=message):
        Tail(path).read(at_most)


RECORD_SLOWLY = """
import sys
from rnnr import Event, Runner
from rnnr._logs import _log
from rnnr.recording import Record

class Drops(_log.LogFile):
    def write(self, data):  # so that a reader meets many a torn line
        return super().write(data[:11])

_log.LogFile = Drops
runner = Runner()
runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1 / state["n_iters"]}))
Record(sys.argv[1]).attach_on(runner)
runner.run(range(10), max_epoch=100)
"""


def test_it_reads_what_another_process_is_writing(path: Path) -> None:
    path.touch()
    tail = Tail(path)
    seen: list[Report] = []
    with subprocess.Popen([sys.executable, "-c", RECORD_SLOWLY, str(path)]) as process:
        while process.poll() is None:
            seen += tail.read(at_most=50)
    seen += tail.read()
    assert process.returncode == 0
    assert seen == Tail(path).read()
    assert [report.event for report in seen].count(Event.BATCH) == 1000
    assert seen[-1].event is Event.FINISHED
    assert (tail.n_damaged, tail.restarted, tail.is_torn) == (0, 0, False)
