"""The process that reads recordings: it answers, ends with its parent, and disturbs nothing."""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.threads import GUARD, until
from rnnr import Event, Runner
from rnnr.dashboard import _process, _reading
from rnnr.dashboard._reading import Reading
from rnnr.recording import Record


def recorded(path: Path, n: int = 3) -> Path:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    with Record(path).attach_on(runner):
        runner.run(range(n))
    return path


class Told(list[tuple[int, str]]):
    """What the user was told."""

    def __call__(self, level: int, text: str) -> None:
        self.append((level, text))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def reading(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    monkeypatch.setattr(_reading, "_PATIENCE", GUARD)
    reading = Reading(told)
    yield reading
    reading.close()


def runs(reading: Reading, cursor: str = "") -> dict[str, Any]:
    """Return the runs by their names."""
    answer = asyncio.run(reading.ask(ask="data", cursor=cursor))
    assert answer is not None
    return {run["name"]: run for run in json.loads(b"[" + answer.body + b"]")}


def process_of(reading: Reading) -> "subprocess.Popen[bytes]":
    helper = reading._process
    assert helper is not None
    until(lambda: helper._process is not None)
    assert helper._process is not None
    return helper._process


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_it_reads_files_and_folders_and_what_is_added_later(
    reading: Reading, tmp_path: Path, told: Told
) -> None:
    (tmp_path / "runs").mkdir()
    recorded(tmp_path / "runs" / "a.jsonl")
    reading.follow(recorded(tmp_path / "single"), "single")
    until(lambda: runs(reading).keys() == {"single"})
    reading.reserve(["a"])
    reading.search(tmp_path / "runs", "")
    until(lambda: runs(reading).keys() == {"single", (tmp_path / "runs" / "a").as_posix()})
    recorded(tmp_path / "single", 5)
    assert runs(reading)["single"]["n_iters"] == 5
    assert told == []


def test_what_is_left_stays_as_it_is(reading: Reading, tmp_path: Path) -> None:
    number = reading.follow(recorded(tmp_path / "a"), "a")
    until(lambda: runs(reading)["a"]["n_iters"] == 3)
    reading.leave(number)
    recorded(tmp_path / "a", 5)
    assert runs(reading)["a"]["n_iters"] == 3


def test_without_anything_to_read_there_is_no_process(told: Told) -> None:
    reading = Reading(told)
    reading.reserve(["a"])
    assert asyncio.run(reading.ask(ask="data", cursor="")) is None
    reading.close()


def test_what_it_logs_is_told_here(reading: Reading, tmp_path: Path, told: Told) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\0")
    reading.search(tmp_path, "")
    until(lambda: told)
    assert told == [(logging.WARNING, f"Left out {tmp_path / 'a.jsonl'}: it is a binary file")]


def test_a_question_that_cannot_be_answered_is_told_and_the_next_one_is_answered(
    reading: Reading, tmp_path: Path, told: Told
) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    answer = asyncio.run(reading.ask(ask="data"))
    assert answer is not None
    assert (answer.head, answer.body) == ({}, b"")
    until(lambda: told)
    assert "could not do what it was asked\nTraceback" in told[0][1]
    assert runs(reading).keys() == {"a"}


def test_it_is_started_again_three_times_when_it_was_killed_and_reads_all_again(
    reading: Reading, tmp_path: Path, told: Told
) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    while len(told) < 4:
        n_told = len(told)
        assert runs(reading).keys() == {"a"}
        process_of(reading).kill()
        until(lambda n_told=n_told: len(told) > n_told)  # type: ignore[misc]
    again = "The process that reads recordings has ended with status -9, and is started again"
    last = "The process that reads recordings has ended with status -9 again; "
    assert told[:3] == [(logging.WARNING, again)] * 3
    assert told[3] == (logging.ERROR, last + "the page shows no more of recordings")
    assert asyncio.run(reading.ask(ask="data", cursor="")) is None


@pytest.mark.parametrize("executable", ["/no/such/python", None])
def test_one_that_cannot_be_started_is_told(
    executable: str | None, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    reading = Reading(told)
    reading.follow(recorded(tmp_path / "a"), "a")
    until(lambda: told)
    assert told[0][0] == logging.ERROR
    assert told[0][1].startswith("Cannot start the process that reads recordings: ")
    assert asyncio.run(reading.ask(ask="data", cursor="")) is None
    reading.close()


def test_a_process_that_hangs_holds_up_one_answer_and_then_none(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process = process_of(reading)
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(_reading, "_PATIENCE", 0.01)
    assert asyncio.run(reading.ask(ask="data", cursor="")) is None
    monkeypatch.setattr(_reading, "_PATIENCE", GUARD)
    assert asyncio.run(reading.ask(ask="data", cursor="")) is None
    process.send_signal(signal.SIGCONT)
    until(lambda: asyncio.run(reading.ask(ask="data", cursor="")))


def test_questions_that_do_not_fit_into_the_pipe_are_not_asked(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process, helper = process_of(reading), reading._process
    assert helper is not None
    process.send_signal(signal.SIGSTOP)
    futures = [helper.ask({"ask": "data", "cursor": "x" * 1000}) for _ in range(100)]
    assert 10 < sum(future.cancelled() for future in futures) < 90
    process.send_signal(signal.SIGCONT)
    assert futures[0].result(GUARD).head["order"]


def test_messages_to_a_process_that_hangs_hold_up_nobody_and_come_later(
    reading: Reading, tmp_path: Path
) -> None:
    path = recorded(tmp_path / "a")
    reading.follow(path, "a")
    runs(reading)
    process = process_of(reading)
    process.send_signal(signal.SIGSTOP)
    for n in range(200):  # more than fits into the pipe
        reading.reserve([f"{n} {'x' * 1000}"])
    reading.follow(path, "b")
    process.send_signal(signal.SIGCONT)
    until(lambda: runs(reading).keys() == {"a", "b"})


def test_it_finds_modules_where_this_process_does(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old packages have the names of modules that Python has by now."""
    (tmp_path / "pathlib.py").write_text("raise ImportError('for Python 2 alone')")
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    sys.path.append(str(tmp_path))
    reading = Reading(told)
    try:
        reading.follow(recorded(tmp_path / "a"), "a")
        assert runs(reading).keys() == {"a"}
    finally:
        sys.path.remove(str(tmp_path))
        reading.close()
    assert told == []


@pytest.mark.parametrize("is_stopped", [False, True])
def test_closing_ends_it_and_leaves_no_zombie(
    is_stopped: bool, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_process, "_FAREWELL", 0.1 if is_stopped else GUARD)
    reading = Reading(told)
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process = process_of(reading)
    if is_stopped:
        process.send_signal(signal.SIGSTOP)
    reading.close()
    until(lambda: process.returncode is not None)
    assert not Path(f"/proc/{process.pid}").exists()
    assert told == []
    reading.close()


def test_a_fork_does_not_end_the_process_of_its_parent(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process, helper = process_of(reading), reading._process
    assert helper is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        helper.close()
    assert runs(reading).keys() == {"a"}
    assert process_of(reading) is process


def test_it_can_be_closed_before_it_has_begun(tmp_path: Path, told: Told) -> None:
    reading = Reading(told)
    path = recorded(tmp_path / "a")
    for _ in range(3):
        reading.follow(path, "a")
        reading.close()
    assert told == []


def test_it_inherits_no_file_and_no_socket(reading: Reading, tmp_path: Path) -> None:
    with open(tmp_path / "held", "w") as file, socket.create_server(("127.0.0.1", 0)) as listening:
        for each in (file.fileno(), listening.fileno()):
            os.set_inheritable(each, True)
        reading.follow(recorded(tmp_path / "a"), "a")
        runs(reading)
        folder = Path(f"/proc/{process_of(reading).pid}/fd")
        held = [os.readlink(each) for each in folder.iterdir()]
    assert all(each.startswith(("pipe:", "/dev/null")) for each in held), held


PARENT = """
import os, signal, sys, time
from pathlib import Path
from rnnr.dashboard._reading import Reading

reading = Reading(lambda level, text: print(text, flush=True))
reading.follow(Path(sys.argv[1]), "a")
while reading._process._process is None:
    time.sleep(0.01)
print(reading._process._process.pid, flush=True)
{}
"""

ENDS = {
    "exit": "",
    "os._exit": "os._exit(0)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "a fork lives on": """
pid = os.fork()
if not pid:
    reading.close()  # as `atexit` does, which is not for a fork
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(60)
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGKILL)
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_with_its_parent_however_that_ends(end: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT.format(ENDS[end]), str(recorded(tmp_path / "a"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        fork = int(parent.stdout.readline()) if end == "a fork lives on" else None
        parent.wait(GUARD)
        try:
            until(lambda: not is_alive(pid))
        finally:
            if fork is not None:
                os.kill(fork, signal.SIGKILL)


def test_ctrl_c_in_the_terminal_does_not_reach_it(reading: Reading, tmp_path: Path) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process = process_of(reading)
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.send_signal(signal.SIGINT)
    assert runs(reading).keys() == {"a"}
    assert process_of(reading) is process


def test_what_is_printed_when_python_starts_does_no_harm(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "print('hello', flush=True)\n"
        "print('not flushed', end='')\n"
        "atexit.register(print, 'bye', flush=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    reading.follow(recorded(tmp_path / "a"), "a")
    for _ in range(3):
        assert runs(reading).keys() == {"a"}
    assert told == []


def test_modules_of_the_working_directory_are_not_taken_for_those_of_python(
    reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not the real one')")
    monkeypatch.chdir(tmp_path)
    reading.follow(recorded(tmp_path / "a"), "a")
    assert runs(reading).keys() == {"a"}
    assert told == []


def test_one_that_is_closed_before_it_has_begun_is_not_started(reading: Reading) -> None:
    reading.follow(Path("absent"), "a")
    helper = reading._process
    assert helper is not None
    helper.close()
    assert helper._run_once() == 0
    assert helper._process is None


def test_a_question_to_a_process_that_dies_is_cancelled(reading: Reading, tmp_path: Path) -> None:
    reading.follow(recorded(tmp_path / "a"), "a")
    runs(reading)
    process, helper = process_of(reading), reading._process
    assert helper is not None
    process.send_signal(signal.SIGSTOP)
    future = helper.ask({"ask": "data", "cursor": ""})
    process.kill()
    until(future.cancelled)
