"""`write_atomic`: a file is whole or not there, whatever happens, whoever else writes."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from rnnr import files
from rnnr.files import is_stamped, new_stamp, stamp, write_atomic

ERRORS = [ValueError("full"), KeyboardInterrupt(), SystemExit(), GeneratorExit()]


def names(folder: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in folder.iterdir())


def text(words: str) -> Callable[[IO[bytes]], object]:
    """Make a function that writes some text."""
    return lambda file: file.write(words.encode())


def test_the_file_holds_what_was_written(tmp_path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(b"in the middle")
        file.seek(0)
        file.write(b"at")

    write_atomic(tmp_path / "x", write)
    assert (tmp_path / "x").read_text() == "at the middle"
    assert names(tmp_path) == ["x"]


def test_the_older_file_is_there_until_the_newer_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("older")
    seen: list[str] = []

    def write(file: IO[bytes]) -> None:
        file.write(b"half of the new")
        file.flush()
        seen.append(path.read_text())

    write_atomic(path, write)
    assert seen == ["older"]
    assert path.read_text() == "half of the new"


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("before", [[], ["x"]])
def test_an_error_leaves_as_itself_and_the_directory_as_it_was(
    tmp_path: Path, error: BaseException, before: list[str]
) -> None:
    for name in before:
        (tmp_path / name).write_text("older")

    def write(file: IO[bytes]) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomic(tmp_path / "x", write)
    assert caught.value is error
    assert names(tmp_path) == before
    assert all((tmp_path / name).read_text() == "older" for name in before)


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr)
def test_an_error_of_the_disk_leaves_the_directory_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    (tmp_path / "x").write_text("older")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)) as caught:
        write_atomic(tmp_path / "x", text("newer"))
    assert caught.value is error
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "older"


def test_a_directory_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "x", text("newer"))
    assert names(tmp_path) == ["x"]


def test_a_directory_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "no" / "x", text("newer"))


def test_the_file_and_then_its_directory_are_flushed_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[object] = []
    fsync, replace = os.fsync, os.replace

    def flush(fd: int) -> None:
        status = os.fstat(fd)
        story.append("directory" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")
        fsync(fd)

    def rename(one: Path, other: Path) -> None:
        story.append(f"renamed to {other.name}")
        replace(one, other)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write_atomic(tmp_path / "x", text("whole"))
    assert story == ["5 bytes", "renamed to x", "directory"]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("open", PermissionError(errno.EACCES, "a directory that cannot be read")),
        ("fsync", OSError(errno.EINVAL, "a file system that flushes no directory")),
        ("fsync", OSError(errno.ENOTSUP, "another one")),
    ],
)
def test_a_directory_that_cannot_be_flushed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: OSError
) -> None:
    real: Callable[..., Any] = getattr(os, function)

    def fail_for_directories(target: Any, *more: Any) -> Any:
        if stat.S_ISDIR(os.stat(target).st_mode):
            raise error
        return real(target, *more)

    monkeypatch.setattr(os, function, fail_for_directories)
    write_atomic(tmp_path / "x", text("whole"))
    assert (tmp_path / "x").read_text() == "whole"


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "x", text("whole"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path, exists: bool) -> None:
    link, folder = tmp_path / "link", tmp_path / "folder"
    folder.mkdir()
    link.symlink_to("folder/x")
    if exists:
        (folder / "x").write_text("older")
    seen: list[list[str]] = []

    def write(file: IO[bytes]) -> None:
        seen.append(names(tmp_path))
        file.write(b"newer")

    write_atomic(link, write)
    assert seen == [["folder", "link"]]  # aside of the target, where it can be renamed
    assert link.is_symlink()
    assert (folder / "x").read_text() == link.read_text() == "newer"
    assert names(folder) == ["x"]


HOLD = """
import sys
from pathlib import Path
from rnnr.files import write_atomic

def write(file):
    file.write(b"theirs")
    file.flush()
    print("writing", flush=True)
    sys.stdin.readline()

write_atomic(Path(sys.argv[1]), write)
"""


@contextmanager
def another_process_writes(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that is in the middle of a write until it is told to go on."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, **pipes, text=True) as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == "writing\n"
            yield other
        finally:
            other.kill()


@pytest.mark.parametrize("name", ["mine", "theirs"])
def test_processes_that_write_in_one_directory_leave_each_other_alone(
    tmp_path: Path, name: str
) -> None:
    with another_process_writes(tmp_path / "theirs") as other:
        write_atomic(tmp_path / name, text("mine"))
        assert len(names(tmp_path)) == 2  # and the other's file aside
        assert (tmp_path / name).read_text() == "mine"
        other.communicate("go on\n")
        assert other.returncode == 0
    assert names(tmp_path) == sorted({name, "theirs"})
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_threads_that_write_in_one_directory_leave_each_other_alone(tmp_path: Path) -> None:
    def write(file: IO[bytes]) -> None:
        write_atomic(tmp_path / "inner", text("inner"))  # as another thread would, meanwhile
        file.write(b"outer")

    write_atomic(tmp_path / "outer", write)
    assert names(tmp_path) == ["inner", "outer"]


def test_what_a_dead_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    with another_process_writes(tmp_path / "theirs") as other:
        other.kill()
        assert other.wait() == -signal.SIGKILL
    (leftover,) = names(tmp_path)
    write_atomic(tmp_path / "mine", text("mine"))
    assert leftover != "mine"
    assert names(tmp_path) == ["mine"]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    others = [".rnnr", ".rnnr-notes", "rnnr-1.tmp", "x.tmp", ".x-1.tmp"]
    for name in others:
        (tmp_path / name).touch()
    write_atomic(tmp_path / "x", text("mine"))
    assert names(tmp_path) == sorted([*others, "x"])


def test_a_leftover_that_may_not_be_removed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "it belongs to somebody else")

    (tmp_path / ".rnnr-1.tmp").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        write_atomic(tmp_path / "x", text("whole"))
    assert names(tmp_path) == [".rnnr-1.tmp", "x"]


def test_a_file_that_is_taken_for_a_leftover_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = files.lock
    taken: list[str] = []

    def another_is_quicker(file: IO[bytes], *, wait: bool) -> None:
        if wait and not taken:
            taken.extend(names(tmp_path))
            (tmp_path / taken[0]).unlink()
        lock(file, wait=wait)

    monkeypatch.setattr(files, "lock", another_is_quicker)
    write_atomic(tmp_path / "x", text("whole"))
    assert len(taken) == 1
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "whole"


def test_without_locks_a_file_is_written_and_no_leftover_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_: IO[bytes], *, wait: bool) -> None:
        raise OSError(errno.ENOLCK, f"no locks available, {wait=}")

    monkeypatch.setattr(files, "lock", no_locks)
    (tmp_path / ".rnnr-1.tmp").touch()  # for all that is known, somebody writes it
    write_atomic(tmp_path / "x", text("whole"))
    assert names(tmp_path) == [".rnnr-1.tmp", "x"]
    assert (tmp_path / "x").read_text() == "whole"


class TestStamps:
    def test_a_file_is_known_until_somebody_writes_it(self, tmp_path: Path) -> None:
        file, time_ns = tmp_path / "x", new_stamp()
        file.write_text("ours")
        assert stamp(file, time_ns) == time_ns
        assert is_stamped(file, time_ns)
        file.write_text("his!")
        assert not is_stamped(file, time_ns)

    @pytest.mark.parametrize("change", ["inside", "more", "less"])
    def test_a_folder_is_known_until_somebody_changes_what_is_in_it(
        self, tmp_path: Path, change: str
    ) -> None:
        folder, time_ns = tmp_path / "x", new_stamp()
        (folder / "y").mkdir(parents=True)
        for name in ("a", "y/b"):
            (folder / name).write_text(name)
        assert stamp(folder, time_ns) == time_ns
        assert is_stamped(folder, time_ns)
        if change == "inside":
            (folder / "y" / "b").write_text("c")
        elif change == "more":
            (folder / "y" / "c").touch()
        else:
            (folder / "a").unlink()
        assert not is_stamped(folder, time_ns)

    def test_what_is_not_there_has_none(self, tmp_path: Path) -> None:
        assert stamp(tmp_path / "x", new_stamp()) is None
        assert not is_stamped(tmp_path / "x", new_stamp())
        (tmp_path / "x").touch()
        assert not is_stamped(tmp_path / "x", None)

    def test_no_two_are_the_same(self) -> None:
        first = new_stamp()
        while (second := new_stamp()) == first:  # of the same microsecond
            pass
        assert second > first
