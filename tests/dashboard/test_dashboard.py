"""Who is shown on the dashboard, where it is, and what it refuses."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("tornado")

from helpers.curves import latest_of, unpacked
from helpers.events import n_handlers
from helpers.http import connected, data, got, token_of
from rnnr import Event, Runner, State
from rnnr.attachments import ControlStatus
from rnnr.dashboard import Dashboard
from rnnr.recording import Record
from rnnr.reporting import reports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def trained(**stats: float) -> Runner:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={**stats, "loss": state["batch"]}))
    return runner


def test_it_shows_its_address_and_in_a_notebook_a_link() -> None:
    dashboard = Dashboard()
    assert repr(dashboard) == dashboard._repr_html_() == "Dashboard(not open)"
    dashboard.attach_on(Runner())
    link = dashboard.address
    assert repr(dashboard) == f"Dashboard({link})"
    assert f'<a href="{link}" target="_blank"' in dashboard._repr_html_()
    dashboard.close()
    assert repr(dashboard) == "Dashboard(not open)"


def names(dashboard: Dashboard) -> list[str]:
    return [run["name"] for run in data(dashboard.address)["runs"]]


def hosts() -> list[str]:
    """Return hosts that a dashboard may have on this machine."""
    found = ["127.0.0.1", "localhost", "0.0.0.0", socket.gethostname()]
    with suppress(OSError):
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        found += ["::1", "::"]
    for _, interface in socket.if_nameindex():
        for address in link_local_addresses(interface):
            found.append(f"{address}%{interface}")
    return found


def link_local_addresses(interface: str) -> list[str]:
    """Return those of an interface, as Linux tells them."""
    with suppress(OSError):
        rows = [row.split() for row in Path("/proc/net/if_inet6").read_text().splitlines()]
        addresses = [str(IPv6Address(int(row[0], 16))) for row in rows if row[-1] == interface]
        return [address for address in addresses if address.startswith("fe80:")]
    return []


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rnnr dashboard"]


class TestShown:
    def test_it_shows_the_runs_of_several_runners_under_their_names(
        self, dashboard: Dashboard
    ) -> None:
        trainer, evaluator = trained(), trained(accuracy=0.5)
        dashboard.attach_on(trainer)
        dashboard.attach_on(evaluator, name="validation")
        trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run([7, 8]))
        trainer.run([1, 2, 3], max_epoch=2)
        training, validation = data(dashboard.address)["runs"]
        assert (training["name"], training["inside"], training["n_iters"]) == ("training", False, 6)
        assert (validation["name"], validation["inside"]) == ("validation", True)
        assert latest_of(validation) == {"accuracy": 0.5, "loss": 8.0}
        assert (validation["part_of"], validation["part"]) == (training["key"], "validation")
        assert (training["part_of"], training["part"]) == (None, "training")
        _, (rows,) = unpacked(got(dashboard.address, f"curves?want={validation['key']}.0.0.0").body)
        assert [row[0] for row in rows] == [3, 6]

    def test_metrics_are_found_under_the_keys_that_are_named(self, dashboard: Dashboard) -> None:
        runner = Runner()
        dashboard.attach_on(runner, "loss", "scores")
        runner.on(Event.BATCH, lambda state: state.update(loss=1.0, scores={"f1": 2}, other=3))
        runner.run([1])
        assert latest_of(data(dashboard.address)["runs"][0]) == {"loss": 1.0, "f1": 2.0}

    def test_the_configuration_and_the_machine_are_shown(self, dashboard: Dashboard) -> None:
        runner = Runner()
        dashboard.attach_on(runner, config={"lr": 0.1, "deep": {"a": [1]}})
        runner.run([1])
        run = data(dashboard.address)["runs"][0]
        assert run["config"] == {"lr": 0.1, "deep.a": "[1]"}
        assert any(name.startswith("system/") for name in run["metrics"]["names"])

    def test_an_evaluation_of_a_run_that_is_not_shown_is_a_row_of_its_own(
        self, dashboard: Dashboard
    ) -> None:
        trainer, validator = Runner(), Runner()
        reports(trainer).subscribe(lambda _: None)
        dashboard.attach_on(validator, name="validation", system=False)
        trainer.on(Event.EPOCH_FINISHED, lambda _: validator.run([1]))
        trainer.run("ab")
        (run,) = data(dashboard.address)["runs"]
        assert (run["inside"], run["part_of"], run["part"]) == (True, None, "training")
        assert run["metrics"]["names"] == []

    def test_a_failure_is_shown_with_its_traceback(self, dashboard: Dashboard) -> None:
        runner = Runner()
        dashboard.attach_on(runner)
        runner.on(Event.BATCH, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        run = data(dashboard.address)["runs"][0]
        assert run["status"] == "failed"
        assert run["error"].startswith("Traceback")
        assert "ZeroDivisionError: division by zero" in run["error"]

    def test_a_later_run_uses_it_again(self, dashboard: Dashboard) -> None:
        runner = trained()
        dashboard.attach_on(runner)
        runner.run([1, 2, 3])
        address = dashboard.address
        runner.run([4])
        run = data(address)["runs"][0]
        assert (run["status"], run["n_iters"], latest_of(run)) == ("finished", 1, {"loss": 4.0})

    def test_it_shows_what_is_logged_during_a_run(self, dashboard: Dashboard) -> None:
        runner, logger = Runner(), logging.getLogger("test.shown")
        dashboard.attach_on(runner)
        runner.on(Event.BATCH, lambda _: logger.warning("during"))
        runner.run([1, 2])
        logger.warning("after")
        log = data(dashboard.address)["log"]
        assert [record["text"] for record in log] == ["during", "during"]

    def test_attached_in_the_middle_of_a_run_it_shows_the_rest(self, dashboard: Dashboard) -> None:
        runner = trained()

        @runner.on(Event.BATCH)
        def attach(state: State) -> None:
            if state["batch"] == 2:
                dashboard.attach_on(runner)
                logging.getLogger("test").warning("hello")

        runner.run([1, 2, 3], max_epoch=1)
        answer = data(dashboard.address)
        assert answer["runs"][0]["n_iters"] == 3
        assert [record["text"] for record in answer["log"]] == ["hello"]

    def test_what_is_detached_stays_on_the_page_and_gets_no_more(
        self, dashboard: Dashboard
    ) -> None:
        runner = trained()
        before = n_handlers(runner)
        attached = dashboard.attach_on(runner)
        runner.run([1])
        attached.dispose()
        attached.dispose()
        assert n_handlers(runner) == before
        runner.run([1, 2, 3])
        (run,) = data(dashboard.address)["runs"]
        assert run["n_iters"] == 1

    def test_a_name_is_free_again_and_what_comes_under_it_begins_again(
        self, dashboard: Dashboard
    ) -> None:
        first, second = trained(), trained()
        attached = dashboard.attach_on(first)
        first.run([1, 2, 3])
        cursor = data(dashboard.address)["cursor"]
        attached.dispose()
        dashboard.attach_on(second, system=False)
        attached.dispose()  # has no say in it any more
        second.run([4, 5, 6, 7])
        (run,) = data(dashboard.address, cursor)["runs"]
        _, (rows,) = unpacked(got(dashboard.address, f"curves?want={run['key']}.0.0.0").body)
        assert [row[3] for row in rows] == [4, 5, 6, 7]

    def test_one_runner_may_be_on_two_dashboards(self, dashboard: Dashboard) -> None:
        runner, other = trained(), Dashboard()
        try:
            for each in (dashboard, other):
                each.attach_on(runner)
            runner.run([1, 2])
            runs = [data(each.address)["runs"][0]["n_iters"] for each in (dashboard, other)]
            assert runs == [2, 2]
        finally:
            other.close()

    def test_a_paused_run_is_stepped_from_another_thread(self, dashboard: Dashboard) -> None:
        runner = trained()
        dashboard.attach_on(runner)
        assert got(dashboard.address, "control/pause", "POST").status == 204
        training = threading.Thread(target=runner.run, args=(range(10),))
        training.start()
        assert dashboard.control.wait_until_paused(60)
        assert data(dashboard.address)["control_status"] == "paused"
        assert runner.state["n_iters"] == 1
        assert got(dashboard.address, "control/stop", "POST").status == 204
        training.join(60)
        assert runner.state["n_iters"] == 1


class TestRecordings:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path, runner = tmp_path / "run.jsonl", trained()
        Record(path).attach_on(runner)
        runner.run([1, 2, 3])
        return path

    def test_they_are_shown_side_by_side_under_their_paths_or_names(
        self, dashboard: Dashboard, path: Path
    ) -> None:
        dashboard.follow(path)
        dashboard.follow(path, "again")
        answer = data(dashboard.address)
        assert [run["name"] for run in answer["runs"]] == [str(path), "again"]
        assert [latest_of(run) for run in answer["runs"]] == [{"loss": 3.0}] * 2
        assert (answer["live"], answer["control"]) == (False, False)

    def test_what_is_followed_no_more_stays_as_it_is(
        self, dashboard: Dashboard, path: Path
    ) -> None:
        following = dashboard.follow(path)
        data(dashboard.address)
        following.dispose()
        with open(path, "ab") as file:
            file.write(path.read_bytes())
        assert len(data(dashboard.address)["events"]) == 4
        dashboard.follow(path)
        assert len(data(dashboard.address)["events"]) == 8

    def test_one_that_is_not_there_is_refused_and_nothing_is_opened(
        self, dashboard: Dashboard, tmp_path: Path
    ) -> None:
        cure = "pass a file that .* has written, or a folder, as in 'runs/'"
        with pytest.raises(FileNotFoundError, match=f"missing.*{cure}"):
            dashboard.follow(tmp_path / "missing.jsonl")
        assert not own_threads()

    def test_two_under_one_name_are_refused(self, dashboard: Dashboard, path: Path) -> None:
        dashboard.follow(path)
        with pytest.raises(ValueError, match="name must be of one runner on the page alone"):
            dashboard.follow(path)


class TestAddress:
    def test_it_has_none_before_it_is_attached_and_after_it_is_closed(
        self, dashboard: Dashboard
    ) -> None:
        with pytest.raises(RuntimeError, match="attach_on"):
            dashboard.address  # noqa: B018
        dashboard.attach_on(Runner())
        assert dashboard.address.startswith("http://127.0.0.1:")
        dashboard.close()
        with pytest.raises(RuntimeError, match="attach_on"):
            dashboard.address  # noqa: B018

    def test_it_is_at_the_port_that_is_asked_for(self, taken: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        dashboard = Dashboard(port)
        dashboard.attach_on(Runner())
        assert f":{port}/" in dashboard.address
        assert got(dashboard.address).status == 200
        dashboard.close()

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "::1"])
    def test_the_loopback_is_no_reason_to_warn(
        self, host: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        dashboard = Dashboard(host=host)
        try:
            dashboard.attach_on(Runner())
        except ValueError:
            assert host == "::1"  # this machine has no IPv6
            return
        shown = f"[{host}]" if ":" in host else host
        assert dashboard.address.startswith(f"http://{shown}:")
        dashboard.close()
        assert caplog.records == []

    @pytest.mark.parametrize("host", hosts())
    def test_what_is_told_can_be_copied_and_opened_with_and_without_its_last_slash(
        self, host: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        dashboard = Dashboard(host=host)
        dashboard.attach_on(Runner())
        told = capsys.readouterr().err.splitlines()[0].removeprefix("The dashboard is at ")
        try:
            for address in (told, told.rstrip("/"), f"{told}?from=mail", f"{told[:-1]}?from=mail"):
                for method in ("GET", "HEAD"):
                    with urlopen(Request(address, method=method), timeout=60) as answer:
                        assert answer.status == 200
                        assert urlsplit(answer.url).path == urlsplit(told).path
                        assert urlsplit(answer.url).query == urlsplit(address).query
                        assert method == "HEAD" or b"<title>rnnr" in answer.read()
        finally:
            dashboard.close()

    def test_a_name_that_has_an_address_of_version_6_alone_is_told_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def found(host: str, port: int, *others: Any, **more: Any) -> Any:
            names.append(host)
            return really_found("::1" if host == "only6" else host, port, *others, **more)

        if "::1" not in hosts():
            return
        names: list[str] = []
        really_found = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", found)
        dashboard = Dashboard(host="only6")
        dashboard.attach_on(Runner())
        assert dashboard.address.startswith("http://only6:")
        with urlopen(dashboard.address, timeout=60) as answer:
            assert answer.status == 200
        dashboard.close()
        assert "only6" in names

    @pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 64, "192.0.2.1"])
    @pytest.mark.parametrize(("host", "told"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]")])
    def test_where_the_name_of_the_machine_does_not_lead_to_it_the_loopback_is_told(
        self, host: str, told: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if host not in hosts():
            return
        monkeypatch.setattr(socket, "gethostname", lambda: name)
        dashboard = Dashboard(host=host)
        dashboard.attach_on(Runner())
        assert dashboard.address.startswith(f"http://{told}:")
        with urlopen(dashboard.address, timeout=60) as answer:
            assert answer.status == 200
        dashboard.close()

    @pytest.mark.parametrize("control", [True, False])
    def test_a_host_that_others_can_reach_is_a_reason_to_warn(
        self, control: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        dashboard = Dashboard(host="0.0.0.0", control=control)
        dashboard.attach_on(Runner())
        dashboard.close()
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("rnnr.dashboard", "WARNING")
        assert "0.0.0.0" in caplog.text
        assert ("may stop it" in caplog.text) is control

    def test_it_is_logged_where_that_shows(
        self,
        dashboard: Dashboard,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.INFO)
        dashboard.attach_on(Runner())
        dashboard.attach_on(Runner(), name="another")  # which says nothing
        assert [record.getMessage() for record in caplog.records] == [
            f"The dashboard is at {dashboard.address}"
        ]
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        "setting",
        [
            "",
            "logging.getLogger().setLevel(logging.INFO)",
            "logging.getLogger().addHandler(logging.NullHandler())\n"
            "logging.getLogger().setLevel(logging.INFO)",
            "logging.basicConfig()",
            "logging.basicConfig(level=logging.INFO)\n"
            "logging.getLogger().handlers[0].setLevel(logging.ERROR)",
            "logging.disable(logging.INFO)",
            "logging.basicConfig(level=logging.INFO)",
        ],
    )
    def test_it_is_on_stderr_in_any_case_and_once(self, setting: str) -> None:
        program = f"""
import logging
{setting}
from rnnr import Runner
from rnnr.dashboard import Dashboard
Dashboard().attach_on(Runner())
"""
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr.count("The dashboard is at http://127.0.0.1:") == 1


class TestLogging:
    def test_it_does_not_keep_a_script_from_setting_up_its_own(self) -> None:
        program = """
import logging
from rnnr import Event, Runner
from rnnr.dashboard import Dashboard
runner = Runner()
Dashboard().attach_on(runner)
logging.basicConfig(level=logging.INFO, format="mine: %(message)s")
runner.on(Event.BATCH, lambda _: logging.info("hello"))
runner.run([1])
"""
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr.splitlines()[1:] == ["mine: hello"]

    def test_nothing_is_in_it_but_during_runs(self, dashboard: Dashboard) -> None:
        before = list(logging.getLogger().handlers)
        during = []
        runner, other = Runner(), Runner()
        dashboard.attach_on(runner)
        dashboard.attach_on(other, name="other")

        @runner.on(Event.BATCH)
        def evaluate(_: object) -> None:
            other.run([1])
            during.append(logging.getLogger().handlers != before)

        runner.run([1, 2])
        assert during == [True, True]
        assert logging.getLogger().handlers == before
        dashboard.close()
        assert logging.getLogger().handlers == before


class TestClose:
    def test_it_detaches_and_can_be_attached_again(self, dashboard: Dashboard) -> None:
        runner = trained()
        before = n_handlers(runner)
        dashboard.attach_on(runner)
        runner.run([1, 2])
        dashboard.close()
        dashboard.close()
        assert n_handlers(runner) == before
        assert not own_threads()
        runner.run([3])
        dashboard.attach_on(runner)
        assert [run["status"] for run in data(dashboard.address)["runs"]] == ["waiting"]
        runner.run([4, 5, 6])
        assert [run["n_iters"] for run in data(dashboard.address)["runs"]] == [3]

    def test_a_run_that_is_paused_goes_on(self, dashboard: Dashboard) -> None:
        runner = trained()
        dashboard.attach_on(runner)
        dashboard.control.pause()
        training = threading.Thread(target=runner.run, args=([1, 2, 3],))
        training.start()
        assert dashboard.control.wait_until_paused(60)
        dashboard.close()
        training.join(60)
        assert runner.state["n_iters"] == 3
        assert dashboard.control.status is ControlStatus.NONE

    def test_in_the_middle_of_a_run_the_run_goes_on(self, dashboard: Dashboard) -> None:
        runner = trained()
        dashboard.attach_on(runner)
        runner.on(Event.BATCH.where(lambda state: state["batch"] == 2), lambda _: dashboard.close())
        runner.run([1, 2, 3])
        assert runner.state["n_iters"] == 3
        assert not own_threads()

    def test_before_it_is_attached_it_does_nothing(self, dashboard: Dashboard) -> None:
        dashboard.close()

    def test_it_ends_with_the_process_also_with_clients_connected(self) -> None:
        program = """
import sys
from rnnr import Runner
from rnnr.dashboard import Dashboard
runner, dashboard = Runner(), Dashboard()
dashboard.attach_on(runner)
print(dashboard.address, flush=True)
runner.run(sys.stdin)
"""
        command = [sys.executable, "-W", "error", "-X", "dev", "-c", program]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                with connected(address) as idle, connected(address) as half:
                    half.sendall(b"GET / HTTP/1.1\r\n")
                    assert [run["name"] for run in data(address)["runs"]] == ["training"]
                    _, err = process.communicate("a batch\n", timeout=60)
                    assert process.returncode == 0
                    assert err.splitlines() == [f"The dashboard is at {address}"]
                    assert idle.recv(1) == b""
            finally:
                process.kill()


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"port": -1}, ValueError, r"port must be an integer of 0 or more, got -1.*0 picks"),
            ({"port": 65536}, ValueError, r"port must be at most 65535, got 65536.*0 picks"),
            ({"port": "80"}, TypeError, r"port must be an integer of 0 or more, got '80'"),
            ({"port": 80.0}, TypeError, r"port must be an integer"),
            ({"port": None}, TypeError, r"port must be an integer"),
            ({"host": 127}, TypeError, r"host must be a string, got 127.*127\.0\.0\.1"),
            ({"host": None}, TypeError, r"host must be a string"),
            ({"host": ""}, ValueError, r"host must be an address of this machine, got ''"),
            ({"allowed_hosts": (1,)}, TypeError, r"a name in allowed_hosts must be a string"),
            ({"allowed_hosts": "gpu7"}, TypeError, r"write allowed_hosts=\('gpu7',\)"),
        ],
    )
    def test_arguments_are_checked_when_they_are_given(
        self, arguments: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            Dashboard(**arguments)

    @pytest.mark.parametrize(
        "host",
        [
            "192.0.2.1",
            "no such host",
            "127.0.0.1 ",
            "999.0.0.1",
            "http://127.0.0.1",
            "127.0.0.1\0",
            "a" * 64 + ".example",
            "..",
            "2001:db8::1",
            "fe80::1",  # of which interface?
        ],
    )
    def test_a_host_that_is_none_of_this_machine_is_refused(self, host: str) -> None:
        runner = Runner()
        with pytest.raises(ValueError, match="host must be an address of this machine, got"):
            Dashboard(host=host).attach_on(runner)
        assert n_handlers(runner) == 0
        assert not own_threads()

    def test_a_port_in_use_is_named_and_that_0_picks_a_free_one(self, taken: int) -> None:
        runner = Runner()
        with pytest.raises(
            OSError, match=rf"port {taken} of 127\.0\.0\.1 must be free.*port=0 picks a free one"
        ):
            Dashboard(taken).attach_on(runner)
        assert n_handlers(runner) == 0
        assert not own_threads()

    def test_a_port_that_may_not_be_used_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(socket, "create_server", refuse)
        with pytest.raises(PermissionError, match=r"port 80 .*Permission denied.*port=0 picks"):
            Dashboard(80).attach_on(Runner())

    def test_two_runners_under_one_name_are_refused(self, dashboard: Dashboard) -> None:
        first, second = Runner(), Runner()
        dashboard.attach_on(first)
        with pytest.raises(ValueError, match=r'page alone, got .training.*name="validation"'):
            dashboard.attach_on(second)
        assert n_handlers(second) == 0
        assert names(dashboard) == ["training"]

    def test_one_runner_under_two_names_is_refused(self, dashboard: Dashboard) -> None:
        runner = Runner()
        dashboard.attach_on(runner)
        before = n_handlers(runner)
        with pytest.raises(ValueError, match="runner must be on the page once"):
            dashboard.attach_on(runner, name="again")
        assert n_handlers(runner) == before

    @pytest.mark.parametrize(
        ("arguments", "others", "message"),
        [
            (("trainer",), {}, "runner must be a Runner"),
            ((Runner(), 3), {}, "a key of reports must be a string"),
            ((Runner(),), {"name": 3}, "name must be a string, got 3"),
            ((Runner(),), {"name": ["a"]}, "name must be a string"),
        ],
    )
    def test_what_is_attached_is_checked_before_the_page_is_opened(
        self, dashboard: Dashboard, arguments: Any, others: Any, message: str
    ) -> None:
        with pytest.raises(TypeError, match=message):
            dashboard.attach_on(*arguments, **others)
        assert not own_threads()

    def test_a_missing_extra_is_told_with_the_command_that_installs_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rnnr.dashboard._dashboard.find_spec", lambda name: None)
        told = r"a Dashboard needs tornado, which.*pip install 'rnnr\[dashboard\]'"
        with pytest.raises(ModuleNotFoundError, match=told) as caught:
            Dashboard()
        assert caught.value.name == "tornado"

    def test_it_can_be_imported_without_the_extra(self) -> None:
        program = """
import sys
sys.modules["tornado"] = None
import rnnr.dashboard, rnnr.__main__
"""
        subprocess.run([sys.executable, "-c", program], check=True)


def test_a_token_is_kept_when_it_is_opened_again(dashboard: Dashboard) -> None:
    dashboard.attach_on(Runner())
    token = token_of(dashboard.address)
    dashboard.close()
    dashboard.attach_on(Runner())
    assert token_of(dashboard.address) == token


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk is at hand")
def test_a_screen_that_is_away_keeps_no_script_from_its_run() -> None:
    script = """
from rnnr import Runner
from rnnr.dashboard import Dashboard
runner = Runner()
Dashboard().attach_on(runner)
runner.run([1])
print("trained")
"""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, text=True
        )
    assert done.stdout == "trained\n"


def test_a_runner_that_has_run_and_is_gone_leaves_its_name_to_the_next() -> None:
    dashboard, kept = Dashboard(), []
    try:
        for _ in range(3):  # the trials of a sweep, or a cell of a notebook that is run again
            runner = Runner()
            kept.append(dashboard.attach_on(runner))
            runner.run([1])
            del runner
        kept.append(dashboard.attach_on(Runner()))
        with pytest.raises(ValueError, match="of one runner on the page alone"):
            dashboard.attach_on(Runner())  # the last one has not run yet
    finally:
        dashboard.close()


@pytest.mark.parametrize("is_running", [True, False])
def test_what_the_reading_process_says_is_on_the_page_once(
    dashboard: Dashboard, is_running: bool
) -> None:
    runner = Runner()
    dashboard.attach_on(runner)

    def say(_: State) -> None:
        dashboard._tell(logging.WARNING, "a line is damaged")

    runner.on(Event.BATCH, say)
    if is_running:
        runner.run(["a batch"])
    else:
        say({})
    assert [record["text"] for record in dashboard._page.log.last()] == ["a line is damaged"]
