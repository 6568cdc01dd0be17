"""A dashboard ends with its process: after the run, on Ctrl-C, whoever is connected."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("tornado")

from helpers.browser import PARKED, PageOpener

GUARD = 120.0
"""Seconds after which a process that hangs fails its test."""

SCRIPT = """
import signal, sys
from threading import Thread
from rnnr import Event, Runner
from rnnr.dashboard import Dashboard

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started by
runner, dashboard = Runner(), Dashboard()
dashboard.attach_on(runner)

@runner.on(Event.BATCH)
def train(state):
    state["stats"] = {"loss": 1 / state["n_iters"]}

def lines():
    yield "the first"
    print("running", flush=True)
    yield from sys.stdin

runner.run(lines())
print(runner.state["n_iters"], "batches")
"""

PAUSED = """
def tell():
    dashboard.control.wait_until_paused()
    print("running", flush=True)

dashboard.control.pause()
Thread(target=tell).start()
runner.run(lines())
"""


class Process:
    """A script whose run goes on until its input ends.

    Attributes:
        address: Where its dashboard is.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        announced = process.stderr.readline()
        found = re.fullmatch(
            r"The dashboard is at (http://127\.0\.0\.1:\d+/[\w-]{20,}/)\n", announced
        )
        assert found, announced + process.stderr.read()
        self.address = found[1]
        assert process.stdout.readline() == "running\n"

    def connect(self) -> HTTPConnection:
        """Return a connection that has asked for the data, and is kept alive."""
        parts = urlsplit(self.address)
        assert parts.hostname is not None
        connection = HTTPConnection(parts.hostname, parts.port, timeout=GUARD)
        connection.request("GET", f"{parts.path}data")
        response = connection.getresponse()
        assert response.status == 200
        assert b'"loss"' in response.read()
        assert not response.will_close
        return connection

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it, so that it can say no last word."""
        self._process.kill()

    def end(self) -> tuple[int, str, str]:
        """End the input; return the status, and what was written since."""
        out, err = self._process.communicate(timeout=GUARD)
        return self._process.returncode, out, err


@pytest.fixture
def process() -> Iterator[Process]:
    """The script, with all that Python can find to complain about."""
    with started(SCRIPT) as process:
        yield process


@contextmanager
def started(script: str) -> Iterator[Process]:
    """Start a script, and end it whatever happens."""
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Process(process)
        finally:
            process.kill()


def test_a_process_with_nobody_connected_ends_in_silence(process: Process) -> None:
    assert process.end() == (0, "1 batches\n", "")


def test_a_process_that_shows_a_recording_too_ends_in_silence_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.jsonl").write_text('{"event": "BATCH", "ep')
    follow = f"""
import pathlib, time
dashboard.follow({str(tmp_path / "run.jsonl")!r})
while (reader := dashboard._reading._process._process) is None:
    time.sleep(0.01)
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(reader.pid))
runner.run(lines())
"""
    with started(SCRIPT.replace("runner.run(lines())", follow)) as process:
        assert process.end() == (0, "1 batches\n", "")
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_ends_with_its_run_although_somebody_is_connected(process: Process) -> None:
    parts = urlsplit(process.address)
    with (
        closing(process.connect()),
        closing(socket.create_connection((parts.hostname, parts.port))) as silent,
        closing(socket.create_connection((parts.hostname, parts.port))) as half,
        closing(process.connect()),  # is answered, so those before it have been let in
    ):
        half.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: ".encode())
        assert process.end() == (0, "1 batches\n", "")
        assert silent.recv(1) == b""  # closed by the other side


def test_a_process_ends_with_its_run_although_a_browser_looks_at_it(
    process: Process, open_page: PageOpener
) -> None:
    from playwright.sync_api import expect

    page = open_page(process.address, may_complain=True)  # when the process has gone
    expect(page.locator("#status")).to_have_text("running")
    assert page.evaluate(PARKED, 1)
    assert process.end() == (0, "1 batches\n", "")
    expect(page.locator("#status")).to_have_text("training finished; its process has ended")
    expect(page.locator(".percent")).to_have_text("100 %")


def test_a_page_tells_that_a_process_was_killed_in_the_colour_of_warnings(
    process: Process, open_page: PageOpener
) -> None:
    from playwright.sync_api import expect

    page = open_page(process.address, may_complain=True)  # when the process has gone
    badge = page.locator(".badge")
    expect(badge).to_have_text("running")
    process.kill()
    lost = "the run's process has ended or cannot be reached, asking again…"
    expect(page.locator("#status")).to_have_text(lost)
    expect(badge).to_have_text("no answer")
    warning = badge.evaluate("(node) => getComputedStyle(node).getPropertyValue('--warn')")
    colour = badge.evaluate("(node) => getComputedStyle(node).color")
    assert colour == f"rgb({', '.join(map(str, bytes.fromhex(warning.strip()[1:])))})"


FAILING = SCRIPT.replace(
    "yield from sys.stdin", 'sys.stdin.read(); raise OSError("disk <b>full</b>")'
)


def test_a_page_shows_the_failure_that_ends_the_process(open_page: PageOpener) -> None:
    from playwright.sync_api import expect

    with started(FAILING) as process:
        page = open_page(process.address, may_complain=True)
        expect(page.locator("#status")).to_have_text("running")
        status, _, err = process.end()
    assert status == 1
    assert "OSError: disk <b>full</b>" in err
    expect(page.locator("#status")).to_have_text("training failed; its process has ended")
    expect(page.locator("#failure pre")).to_contain_text("Traceback")
    expect(page.locator("#failure")).to_contain_text("OSError: disk <b>full</b>")


def test_pages_that_have_left_keep_no_process(process: Process) -> None:
    parts = urlsplit(process.address)
    for _ in range(10):
        with closing(socket.create_connection((parts.hostname, parts.port))) as page:
            page.sendall(f"GET {parts.path}end HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=GUARD)) as waiting:
        waiting.request("GET", f"{parts.path}end")
        process.connect().close()  # answered after the other has been heard
        assert process.end() == (0, "1 batches\n", "")
        answer = json.loads(waiting.getresponse().read())
    assert [run["status"] for run in answer["runs"]] == ["finished"]


@pytest.mark.parametrize("is_watched", [False, True], ids=["nobody connected", "connected"])
def test_ctrl_c_ends_the_run_and_its_process_and_is_all_that_is_told(
    is_watched: bool, process: Process
) -> None:
    connections = [process.connect() for _ in range(3 * is_watched)]
    process.interrupt()
    status, out, err = process.end()
    for connection in connections:
        connection.close()
    assert status == -signal.SIGINT
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines.count(lines[0]) == 1
    assert lines[-2:] == [
        "KeyboardInterrupt",
        "rnnr: while batches were drawn, epoch 1, iteration 1",
    ]
    for word in ("Exception ignored", "Warning", "asyncio", "tornado", "rnnr dashboard"):
        assert word not in err


def test_ctrl_c_ends_a_run_that_is_paused() -> None:
    script = SCRIPT.replace("runner.run(lines())", PAUSED)
    with started(script) as process, closing(process.connect()):
        process.interrupt()
        status, _, err = process.end()
    assert status == -signal.SIGINT
    assert err.count("Traceback") == 1
    assert err.endswith("rnnr: in a handler of Event.BATCH, epoch 1, iteration 1\n")
