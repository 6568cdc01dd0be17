"""What the page's server answers, and what it withstands, while a run goes on."""

import errno
import json
import logging
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado")

from helpers.curves import Curves, latest_of, unpacked
from helpers.http import connected, data, got, sent, token_of
from rnnr import Event, Runner
from rnnr.attachments import ControlStatus
from rnnr.dashboard import Dashboard, _connections, _farewell, _server
from rnnr.dashboard._page import Page
from rnnr.dashboard._run import RunModel

ORDERS = ["pause", "step", "unpause", "stop"]
FILES = ["page/dashboard.js", "page/dashboard.css", "page/index.html"]


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    yield dashboard
    dashboard.close()


@pytest.fixture
def address(dashboard: Dashboard) -> str:
    return dashboard.address


@pytest.mark.parametrize("path", ["", *FILES])
def test_the_page_and_its_files_are_served(address: str, path: str) -> None:
    answer = got(address, path)
    assert answer.status == 200
    assert len(answer.body) > 1000
    kind = {"js": "text/javascript", "css": "text/css"}.get(path.split(".")[-1], "text/html")
    assert answer.headers["content-type"].startswith(kind)


OTHERS = [
    "page/",
    "page",
    "page/no_such.js",
    "page/../_server.py",
    "page/..%2f_server.py",
    "page/%2e%2e/_server.py",
    "page/%2e%2e%2f_server.py",
    "page/..%5c_server.py",
    "page/..\\_server.py",
    "page/....//_server.py",
    "page/%252e%252e%252f_server.py",
    "page//etc/passwd",
    "page/%2fetc%2fpasswd",
    "page/" + "../" * 20 + "etc/passwd",
    "page/" + "..%2f" * 20 + "etc/passwd",
    "page/dashboard.js/",
    "page/dashboard.js%00",
    "page/%00",
    "page/" + "a" * 5000,
    "page/dashboard.js%ff",
    "autoload.js",
    "index.html",
    "datax",
    "data/",
    "//",
    "control",
    "control/",
]


@pytest.mark.parametrize("path", OTHERS)
def test_no_other_file_is_served_also_not_to_those_with_the_token(address: str, path: str) -> None:
    answer = got(address, path)
    assert answer.status in (400, 403, 404)
    assert b"import" not in answer.raw
    assert b"root:" not in answer.raw


def test_a_link_out_of_the_folder_is_no_way_out(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "inside.js").write_text("inside")
    (tmp_path / "page-secret.js").write_text("outside")
    monkeypatch.setattr(_server, "_PAGE", tmp_path / "page")
    dashboard = Dashboard()
    try:
        dashboard.attach_on(Runner())
        assert got(dashboard.address, "page/inside.js").body == b"inside"
        for path in ("page/../page-secret.js", "page/..%2fpage-secret.js", "page-secret.js"):
            assert got(dashboard.address, path).status in (403, 404)
    finally:
        dashboard.close()


HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("", "GET", 200),
        ("data", "GET", 200),
        ("page/dashboard.js", "GET", 200),
        ("page/dashboard.js", "HEAD", 200),
        ("curves", "GET", 200),
        ("curves?want=a.b,c", "GET", 200),
        ("curves?want=%ff", "GET", 400),
        ("curves", "HEAD", 405),
        ("curves", "POST", 405),
        ("", "HEAD", 200),
        ("data", "HEAD", 405),
        ("end", "HEAD", 405),
        ("control/unpause", "POST", 204),
        ("/", "GET", 403),
        ("/", "POST", 403),
        ("no such", "GET", 400),
        ("no/such", "GET", 404),
        ("page/..%2f_server.py", "GET", 404),
        ("control/no", "POST", 404),
        ("data", "POST", 405),
        ("control/stop", "GET", 405),
        ("", "DELETE", 405),
        ("", "FOO", 405),
        ("page/no.js", "GET", 404),
        ("data?cursor=%ff", "GET", 400),
    ],
)
def test_every_answer_keeps_the_page_to_itself(
    address: str, path: str, method: str, status: int
) -> None:
    answer = got(address, path, method)
    assert answer.status == status
    if path == "no such":
        return  # no request at all, so nothing of ours has answered it
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    kept = "no-cache" if status == 200 and "/" in path else "no-store"  # files hold nothing of ours
    assert answer.headers["cache-control"] == kept
    assert "server" not in answer.headers
    assert b"tornado" not in answer.raw.lower()


def test_a_file_that_the_browser_has_is_not_sent_again(address: str) -> None:
    tag = got(address, "page/dashboard.js").headers["etag"]
    answer = got(address, "page/dashboard.js", "GET", f"If-None-Match: {tag}")
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_given_by_post_alone(dashboard: Dashboard, order: str, method: str) -> None:
    assert got(dashboard.address, f"control/{order}", method).status == 405
    assert dashboard.control.status is ControlStatus.NONE


@pytest.mark.parametrize(
    "order",
    ["hold", "attach_on", "_ask", "__init__", "wait_until_paused", "PAUSE", "pause2", "%70"],
)
def test_what_is_no_button_is_404_and_does_nothing(dashboard: Dashboard, order: str) -> None:
    assert got(dashboard.address, f"control/{order}", "POST").status == 404
    assert dashboard.control.status is ControlStatus.NONE


def test_the_buttons_do_what_they_say(dashboard: Dashboard) -> None:
    story = []
    runner = Runner()
    attached = dashboard.attach_on(runner, name="steered")

    @runner.on(Event.BATCH)
    def press(_: object) -> None:
        for order in ["pause", "unpause", "step", "stop", "stop?seen=none", "unpause"]:
            assert got(dashboard.address, f"control/{order}", "POST").status == 204
            story.append(data(dashboard.address)["control_status"])

    runner.run([1])
    attached.dispose()
    assert story == ["pausing", "none", "pausing", "stopping", "stopping", "none"]


@pytest.mark.parametrize("order", [*ORDERS, "no_such"])
def test_without_the_right_to_control_there_are_no_buttons_and_orders_are_refused(
    order: str,
) -> None:
    runner, dashboard = Runner(), Dashboard(control=False)
    dashboard.attach_on(runner)
    answers: list[object] = []

    @runner.on(Event.BATCH)
    def ask(_: object) -> None:
        answers.append(got(dashboard.address, f"control/{order}", "POST").status)
        answers.append(data(dashboard.address)["control"])
        answers.append(dashboard.control.status)

    try:
        runner.run([1])
    finally:
        dashboard.close()
    assert answers == [403, False, ControlStatus.NONE]


def test_a_run_is_steered_from_the_page(dashboard: Dashboard) -> None:
    runner, done = Runner(), []
    subscription = dashboard.attach_on(runner, name="steered")

    @runner.on(Event.BATCH)
    def train(state: dict[str, Any]) -> None:
        done.append(state["batch"])
        if state["batch"] == 3:
            assert got(dashboard.address, "control/stop", "POST").status == 204

    runner.run(range(10))
    assert done in ([0, 1, 2, 3], [0, 1, 2, 3, 4])  # a gate stands from the next batch on
    assert [run["status"] for run in data(dashboard.address)["runs"]][-1] == "stopped"
    subscription.dispose()


CURSORS = [
    "x",
    "1",
    "1 x",
    "1 {}",
    "1 []",
    "1 null",
    "1 " + "[" * 10_000,
    '1 {"view": "other", "runs": {}, "events": 0, "log": 0}',
    '1 {"view": "VIEW"}',
    '1 {"view": "VIEW", "runs": [], "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"KEY": "ab"}, "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"KEY": []}, "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"KEY": null}, "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"KEY": 1e999}, "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"KEY": -7}, "events": 0, "log": 0}',
    '1 {"view": "VIEW", "runs": {"other": 1}, "events": 0, "log": 0}',
]


@pytest.mark.parametrize("cursor", CURSORS)
def test_an_unknown_cursor_begins_again(dashboard: Dashboard, cursor: str) -> None:
    view = dashboard._page
    key = next(iter(view._runners.values())).model.key
    cursor = cursor.replace("VIEW", view._name).replace("KEY", key)
    answer = data(dashboard.address, cursor)
    assert [run["key"] for run in answer["runs"]] == answer["order"]


def test_a_page_with_the_cursor_of_the_last_answer_gets_what_is_new(dashboard: Dashboard) -> None:
    runner, page = Runner(), Curves()
    subscription = dashboard.attach_on(runner, name="watched", system=False)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    runner.run([1.0, 2.0, 3.0])
    first = data(dashboard.address)
    key = first["order"][-1]
    head = page.take(got(dashboard.address, f"curves?want={page.wanted(key, 0)}").body)
    assert head["curves"][0]["n"] == 3
    runner.resume()  # nothing is left, but it is told
    second = data(dashboard.address, first["cursor"])
    third = data(dashboard.address, second["cursor"])
    head = page.take(got(dashboard.address, f"curves?want={page.wanted(key, 0)}").body)
    assert (head["curves"][0]["from"], head["curves"][0]["n"]) == (2, 1)
    assert [row[3] for row in page.rows[key, 0]] == [1.0, 2.0, 3.0]
    assert [run["key"] for run in second["runs"]] == [key]
    assert (third["runs"], third["order"]) == ([], first["order"])
    assert {"events", "log"} & first.keys() == {"events", "log"}
    assert "events" in second
    assert not {"events", "log"} & third.keys()
    subscription.dispose()


def test_many_runs_with_long_names_have_a_cursor_that_fits_into_a_request() -> None:
    runners, dashboard = [Runner() for _ in range(300)], Dashboard()
    try:
        for i, runner in enumerate(runners):
            dashboard.attach_on(runner, name="/a/long/path/\N{SNOWMAN}" * 10 + str(i))
        first = data(dashboard.address)
        second = data(dashboard.address, first["cursor"])
        assert len(second["order"]) == 300
        assert second["runs"] == []
        assert "events" not in second
    finally:
        dashboard.close()


@pytest.mark.parametrize("target", ["{token}/control/pause", "{token}/data", "no/token"])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 1000000000\r\n\r\nabc",
        b"Content-Length: 2000\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\nabc",
    ],
)
def test_a_large_body_is_refused_before_it_has_come(
    dashboard: Dashboard, target: str, body: bytes
) -> None:
    path = target.format(token=token_of(dashboard.address))
    head = f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    answer = sent(dashboard.address, head.encode() + body)
    assert answer.status == 400  # though it waits for no more of the body
    assert dashboard.control.status is ControlStatus.NONE


HALVES = {
    "nothing": b"",
    "half a header": b"GET / HTTP/1.1\r\nHost: 127.0",
    "half a body": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nabc",
    "half a chunk": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n9\r\nab",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_who_does_not_go_on_is_left(half: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_IDLE_SECONDS", 0.05)
    dashboard = Dashboard()
    try:
        dashboard.attach_on(Runner())
        assert sent(dashboard.address, half).status in (0, 403)  # it ends, without our doing
    finally:
        dashboard.close()


# A run whose batches are lines of the standard input: for each it tells how many files it has open
# and how much memory it has needed.
TRAINING = """
import os, resource, sys
soft = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from rnnr import Event, Runner
from rnnr.dashboard import Dashboard

runner, dashboard, mine = Runner(), Dashboard(), []
dashboard.attach_on(runner)

@runner.on(Event.BATCH)
def train(state):
    order = state["batch"].strip()
    if order == "take all files":
        try:
            while True:
                mine.append(open(os.devnull))
        except OSError:
            pass
    if order == "give them back":
        while mine:
            mine.pop().close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(0 if mine else len(os.listdir("/dev/fd")), memory, flush=True)  # to look takes one

print(dashboard.address, flush=True)
runner.run(sys.stdin)
print("ended", runner.state["n_iters"], flush=True)
"""


class Training:
    """A run in a process of its own."""

    def __init__(self, n_files: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-X", "dev", "-c", TRAINING, str(n_files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.address = self._line()

    def batch(self, order: str = "train") -> tuple[int, int]:
        """Let it do a batch; return the number of open files, and its memory in MiB."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        files, memory = map(int, self._line().split())
        return files, memory // (1024 if sys.platform == "linux" else 1024**2)

    def end(self) -> tuple[str, str]:
        """Let it end; return what it has said last, and what it has complained of."""
        out, err = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, err
        return out.strip(), err.partition("\n")[2]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def training(request: pytest.FixtureRequest) -> Iterator[Training]:
    training = Training(request.param)
    yield training
    training.kill()


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


LONG = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 50_000
LEFT = {**HALVES, "a long header": LONG, "a whole request": LONG + b"\r\n\r\n"}


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(
    ("training", "most", "left"),
    [
        (64, 8, HALVES["nothing"]),
        (4096, 100, HALVES["nothing"]),
        *((256, 32, left) for left in LEFT.values()),
    ],
    indirect=["training"],
    ids=["64 files", "4096 files", *LEFT],
)
def test_a_thousand_connections_that_are_opened_and_left_take_little_from_the_run(
    training: Training, most: int, left: bytes
) -> None:
    training.batch()  # so the run has begun
    assert data(training.address)["runs"][0]["status"] == "running"
    files, memory = training.batch()
    with ExitStack() as stack:
        for _ in range(1000):
            connection = stack.enter_context(connected(training.address))
            try:
                connection.sendall(left)
            except ConnectionError:
                continue  # it was closed already, for a newer one
        assert data(training.address)["runs"][0]["status"] == "running"  # a new one gets in
        files_now, memory_now = training.batch()
        assert files_now - files <= most
        assert memory_now - memory <= 40
        assert got(training.address).status == 200
    assert training.end() == ("ended 3", "")


@pytest.mark.parametrize("training", [64], indirect=True)
def test_a_run_that_has_used_up_its_files_is_not_disturbed_and_serves_when_it_has_some_again(
    training: Training,
) -> None:
    data(training.address)
    training.batch("take all files")
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(connected(training.address))
            training.batch()
        training.batch("give them back")
        assert data(training.address)["runs"][0]["status"] == "running"
    assert training.end() == ("ended 12", "")


def test_the_oldest_connection_is_closed_for_a_new_one_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connections, "_most_connections", lambda: 3)
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    with ExitStack() as stack:
        first, second, *_ = [stack.enter_context(connected(dashboard.address)) for _ in range(5)]
        assert first.recv(1) == second.recv(1) == b""
        assert got(dashboard.address).status == 200
    dashboard.close()


def test_who_cannot_be_let_in_is_let_in_later_and_meanwhile_another_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    accept, refused = socket.socket.accept, list[socket.socket]()

    def fail_thrice(listening: socket.socket) -> Any:
        if len(refused) < 3:
            refused.append(listening)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listening)

    with connected(dashboard.address) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"403" in idle.recv(1 << 16)  # so it is in
        monkeypatch.setattr(socket.socket, "accept", fail_thrice)
        with connected(dashboard.address):  # whether it gets in or not
            while idle.recv(1 << 16):
                pass
            assert got(dashboard.address).status == 200
    assert len(refused) == 3
    dashboard.close()


def test_closing_what_has_ended_already_does_nothing() -> None:
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    assert dashboard._server is not None
    dashboard._server.close()
    dashboard.close()


@pytest.mark.parametrize(
    ("limit", "most"), [(0, 8), (100, 12), (1024, 100), (resource.RLIM_INFINITY, 100)]
)
def test_it_takes_an_eighth_of_the_files_at_most(
    limit: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert _connections._most_connections() == most


class TestFaults:
    """Whatever breaks in an answer, the run goes on, and the next answer is given."""

    def test_a_fault_in_an_answer_is_500_and_logged_without_the_address(
        self,
        dashboard: Dashboard,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(view: Page, cursor: str) -> None:
            raise ValueError("a fault")

        with monkeypatch.context() as patched:
            patched.setattr(Page, "updates", fail)
            answer = got(dashboard.address, "data")
        assert answer.status == 500
        assert b"a fault" not in answer.raw
        assert answer.headers["content-security-policy"]
        assert [(record.name, record.levelname) for record in caplog.records] == [
            ("rnnr.dashboard", "ERROR")
        ]
        assert "ValueError: a fault" in caplog.text
        assert token_of(dashboard.address) not in caplog.text
        assert data(dashboard.address)["runs"]

    def test_a_fault_in_taking_in_a_report_is_logged_and_the_run_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(track: RunModel, report: object) -> None:
            raise ValueError("a fault")

        monkeypatch.setattr(RunModel, "add", fail)
        runner, dashboard = Runner(), Dashboard()
        dashboard.attach_on(runner)
        try:
            runner.run([1, 2])
            assert data(dashboard.address)["runs"][0]["status"] == "waiting"
        finally:
            dashboard.close()
        assert runner.state["n_iters"] == 2
        assert {record.name for record in caplog.records} == {"rnnr.isolation"}

    def test_metrics_of_any_kind_do_no_harm(self, dashboard: Dashboard) -> None:
        class Evil:
            def __repr__(self) -> str:
                raise ValueError("no repr")

            def __float__(self) -> float:
                raise SystemError("no float")

            __str__ = __hash__ = __repr__  # type: ignore[assignment]

        runner = Runner()
        subscription = dashboard.attach_on(runner, "evil", name="evil")

        @runner.on(Event.BATCH)
        def train(state: dict[str, Any]) -> None:
            state["stats"] = {"evil": Evil(), "</script>": 1, "big": 10**400, "": 2, "nan": "nan"}
            state["evil"] = Evil()
            data(dashboard.address)

        runner.run([1, 2])
        latest = latest_of(data(dashboard.address)["runs"][-1])
        assert latest == {"</script>": 1.0, "": 2.0}
        subscription.dispose()


def test_no_request_is_a_line_in_the_log_of_the_user(
    dashboard: Dashboard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in ("", "data", "no/such", "page/..%2f_server.py", "data?cursor=%ff", "/", *FILES):
        got(dashboard.address, path)
    got(dashboard.address, "control/no", "POST")
    assert caplog.records == []


def test_answers_are_json_that_every_browser_reads(dashboard: Dashboard) -> None:
    runner = Runner()
    subscription = dashboard.attach_on(runner, name="not finite")
    runner.on(
        Event.BATCH,
        lambda state: state.update(stats={"nan": float("nan"), "inf": 1e999, "-inf": -1e999}),
    )
    runner.run([1])
    answer = got(dashboard.address, "data")
    assert answer.headers["content-type"] == "application/json"
    latest = latest_of(json.loads(answer.body, parse_constant=pytest.fail)["runs"][-1])
    assert latest == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    subscription.dispose()


def test_the_server_ends_also_with_clients_connected() -> None:
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    thread = dashboard._server._thread if dashboard._server else None
    with connected(dashboard.address) as idle, connected(dashboard.address) as busy:
        busy.sendall(b"GET / HTTP/1.1\r\nHost: ")
        got(dashboard.address)
        address = dashboard.address
        dashboard.close()
        assert idle.recv(1) == busy.recv(1) == b""
    assert thread is not None
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connected(address)


def test_two_answers_come_over_one_connection(address: str) -> None:
    request = f"GET /{token_of(address)}/data HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with socket.create_connection(("127.0.0.1", int(address.split(":")[2].split("/")[0]))) as kept:
        kept.settimeout(30)
        kept.sendall((request + "\r\n" + request + "Connection: close\r\n\r\n").encode())
        received = b"".join(iter(lambda: kept.recv(1 << 16), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2


class Waiting:
    """A page that waits for the end, and then asks for the last curves."""

    def __init__(self, address: str, page: str = "") -> None:
        self._token, self._page = token_of(address), page
        self._connection = connected(address)
        self._send("end?page=")

    def _send(self, path: str) -> None:
        line = f"GET /{self._token}/{path}{self._page} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        self._connection.sendall(line.encode())

    def answer(self) -> bytes:
        received = b""
        while not (b"\r\n\r\n" in received and _is_whole(received)):
            received += self._connection.recv(1 << 16) or pytest.fail("it was closed")
        return received

    def end(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.answer().partition(b"\r\n\r\n")[2])
        return told

    def last_curves(self, want: str) -> bytes:
        self._send(f"curves?last=1&want={want}&page=")
        return self.answer().partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        self._connection.close()


def test_pages_that_wait_are_told_how_it_ended_and_get_the_last_curves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_farewell, "_SECONDS", 60.0)  # so that a test that goes wrong is noticed
    runner, dashboard = Runner(), Dashboard()
    dashboard.attach_on(runner, system=False)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    runner.run([1.0, 2.0])
    address = dashboard.address
    left, *waiting = [Waiting(address, page) for page in ("", "", "a", "a")]
    data(address)  # answered after they have been heard
    left.close()
    data(address)
    closing = threading.Thread(target=dashboard.close)
    closing.start()
    told = [each.end() for each in waiting]
    for one in told:
        assert [(run["status"], run["n_iters"]) for run in one["runs"]] == [("finished", 2)]
    key = told[0]["order"][0]
    for each in waiting[:2]:  # the third is of the same page as the second
        _, (rows,) = unpacked(each.last_curves(f"{key}.0.0.0"))
        assert [row[3] for row in rows] == [1.0, 2.0]
    closing.join(30)
    for each in waiting:
        each.close()
    assert not closing.is_alive()
    with pytest.raises(ConnectionRefusedError):
        connected(address)


def test_a_page_that_does_not_ask_again_is_not_waited_for_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_farewell, "_SECONDS", 0.05)
    dashboard = Dashboard()
    dashboard.attach_on(Runner())
    waiting = Waiting(dashboard.address)
    data(dashboard.address)
    dashboard.close()
    assert waiting.end()["runs"][0]["status"] == "waiting"
    waiting.close()


def test_a_request_that_waits_long_is_answered_with_nothing(
    monkeypatch: pytest.MonkeyPatch, dashboard: Dashboard
) -> None:
    monkeypatch.setattr(_server, "_PARKED", 0.01)
    answer = got(dashboard.address, "end")
    assert (answer.status, answer.body) == (204, b"")


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    return f"content-length: {len(body)}".encode() in head.lower()


def test_what_strangers_send_is_not_in_the_log(
    dashboard: Dashboard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = b"GET / HTTP/1.1\r\nHost: a\r\nHost: YOUR TRAINING HAS FAILED\r\n\r\n"
    assert sent(dashboard.address, request).is_refused
    assert not [each for each in caplog.records if each.name.startswith("tornado")]
    logging.getLogger("tornado.general").warning("of somebody else")
    assert "of somebody else" in caplog.text
