"""The command line: what it shows, and how it ends."""

import csv
import io
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rnnr
from helpers.http import data
from rnnr import Event, Runner
from rnnr.__main__ import main
from rnnr.attachments import MeanReducer
from rnnr.dashboard import Dashboard
from rnnr.durable import Snapshots
from rnnr.recording import Record
from rnnr.recording._export import write_csv

COMMAND = [sys.executable, "-W", "error", "-m", "rnnr"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    recorded(path)
    return path


def names_on(address: str) -> list[str]:
    """Return the names of the runs on a page, once no more are found."""
    names: list[str] = []
    for _ in range(20):
        answer = data(address)
        runs = {run["key"]: run["name"] for run in answer["runs"]}
        before, names = names, [runs[key] for key in answer["order"]]
        if names and names == before:
            break
    return names


def recorded(path: Path) -> None:
    runner = Runner()
    Record(path).attach_on(runner)
    runner.run([1, 2, 3])


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield str(listening.getsockname()[1])


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Have the user press Ctrl-C as soon as the page stands; return what each page has shown."""
    pytest.importorskip("tornado")
    shown = []

    class Waiting:
        def wait(self) -> None:
            (dashboard,) = pages
            shown.append(names_on(dashboard.address))
            raise KeyboardInterrupt

    pages: list[Dashboard] = []

    class Watched(Dashboard):
        def __init__(self, *arguments: object, allowed_hosts: tuple[str, ...]) -> None:
            super().__init__(*arguments, allowed_hosts=allowed_hosts)  # type: ignore[arg-type]
            pages.append(self)

    monkeypatch.setattr("rnnr.dashboard.Dashboard", Watched)
    monkeypatch.setattr("rnnr.__main__.threading", SimpleNamespace(Event=Waiting))
    return shown


def test_it_shows_recordings_until_ctrl_c(
    recording: Path,
    tmp_path: Path,
    interrupted: list[list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "other.jsonl"
    recorded(other)
    threads = threading.active_count()
    assert main(["dashboard", str(recording), str(other), str(recording)]) == 0
    assert interrupted == [[str(recording), str(other)]]  # each once
    assert "Ctrl-C" in capsys.readouterr().err
    assert threading.active_count() == threads  # it is closed


def test_it_shows_folders_patterns_and_files_by_the_names_that_they_are_given(
    recording: Path,
    tmp_path: Path,
    interrupted: list[list[str]],
) -> None:
    for name in ("runs/a.jsonl", "runs/b/c.jsonl", "more/lr=1.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        recorded(tmp_path / name)
    (tmp_path / "empty").mkdir()
    some = ["runs/", "more/*.jsonl=others", "empty", "run.jsonl=best"]
    arguments = [*some, "no/*.jsonl", "later/", "later/=again", "later.d/"]
    assert main(["dashboard", *(f"{tmp_path}/{each}" for each in arguments)]) == 0
    assert interrupted == [["best", "a", "b/c", "others/lr=1"]]


def test_it_listens_where_it_is_told(
    recording: Path, interrupted: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert main(["dashboard", str(recording), "--port", str(port), "--host", "localhost"]) == 0
    assert f"http://localhost:{port}/" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such.jsonl"], "no_such.jsonl"),
        (["/dev/null"], "path must be a file"),
        (["no_such.jsonl=best"], "no_such.jsonl=best"),
        (["{file}", "--port", "{taken}"], "port {taken} of 127.0.0.1 must be free"),
        (["{file}", "--port", "{taken}"], "port=0 picks a free one"),
        (["{file}", "--port", "65536"], "port must be at most 65535"),
        (["{file}", "--port", "-1"], "port must be an integer of 0 or more"),
        (["{file}", "--host", "192.0.2.1"], "host must be an address of this machine"),
        (["{file}", "--host", ""], "host must be an address of this machine"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line_and_the_status_is_1(
    arguments: list[str],
    said: str,
    recording: Path,
    taken: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("tornado")
    arguments = [each.format(file=recording, taken=taken) for each in arguments]
    assert main(["dashboard", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rnnr: ")
    assert said.format(taken=taken) in err
    assert err.count("\n") == 1


def test_a_file_that_is_missing_among_others_leaves_no_page_open(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    assert main(["dashboard", str(recording), "no_such.jsonl"]) == 1
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no_such_command"],
        ["dashboard"],
        ["dashboard", "a.jsonl", "--port"],
        ["dashboard", "a.jsonl", "--port", "http"],
        ["dashboard", "a.jsonl", "--no-such-option"],
        ["snapshots"],
        ["snapshots", "a", "b"],
        ["snapshots", "a", "--no-such-option"],
    ],
)
def test_a_wrong_command_is_explained_and_the_status_is_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m rnnr")


def test_the_help_tells_of_each_command_option_and_exit_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    subparsers: Any = rnnr.__main__._parser()._subparsers
    commands = subparsers._group_actions[0].choices
    assert list(commands) == ["dashboard", "snapshots", "export", "watch"]
    for command, parser in commands.items():
        text = shown_help([command, "--help"], capsys)
        for action in parser._actions:
            assert action.help, action
            assert " ".join(action.help.split()) in text
            assert (action.option_strings or [action.metavar])[-1] in text
        for status in ("exit status: 0 ", " 1 ", " 2 "):
            assert status in text
    text = shown_help(["snapshots", "--help"], capsys)
    for status in ("whole ", "damaged ", "fragment "):
        assert status in text
    text = shown_help(["--help"], capsys)
    assert "show recordings" in text
    assert "list the snapshots" in text


def shown_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a help says, in one line."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_it_lists_the_snapshots_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = Runner()
    Snapshots(tmp_path).attach_on(runner)
    runner.run([1, 2, 3])
    for arguments in ([str(tmp_path)], [str(tmp_path), "--verify"]):
        assert main(["snapshots", *arguments]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert [line.split()[:2] for line in out.splitlines()] == [
            ["name", "status"],
            ["000000003-0001-F", "whole"],
            ["000000003-0001-E", "whole"],
        ]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_snapshots_is_said_in_a_line_and_the_status_is_1(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["snapshots", str(tmp_path / name)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rnnr: FOLDER must be a folder with a whole snapshot, got ")
    assert err.count("\n") == 1


def test_damaged_snapshots_are_listed_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = Runner()
    Snapshots(tmp_path, at_most=1).attach_on(runner)
    runner.run([1, 2, 3])
    (manifest,) = tmp_path.rglob("manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"format", b"farmot"))
    assert main(["snapshots", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "damaged" in out
    assert "put back a copy" in err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rnnr {rnnr.__version__}\n"


def test_it_is_run_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rnnr", "dashboard", "no_such.jsonl"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(rnnr.__main__.__file__), run_name="__main__")
    assert ended.value.code == 1


def test_as_a_process_it_shows_recordings_that_grow_and_ends_with_0_on_ctrl_c(
    recording: Path,
) -> None:
    pytest.importorskip("tornado")
    command = [*COMMAND, "dashboard", str(recording)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert process.stderr.readline() == "Press Ctrl-C to end it.\n"
            address = said.split()[-1]
            first = data(address)
            assert (first["runs"][0]["n_iters"], first["live"], first["control"]) == (
                3,
                False,
                False,
            )
            recorded(recording)
            second = data(address, first["cursor"])
            assert len(second["events"]) == 2 * len(first["events"])
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["dashboard", "no_such.jsonl"], 1), (["snapshots", "no_such"], 1), (["--nonsense"], 2)],
)
def test_as_a_process_it_ends_with_its_status_and_no_traceback(
    arguments: list[str], status: int
) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_how_to_install_it(recording: Path) -> None:
    program = f"""
import sys
sys.modules["tornado"] = None
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "tornado" else found(name)
from rnnr.__main__ import main
sys.exit(main(["dashboard", {str(recording)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs tornado" in done.stderr
    assert "pip install 'rnnr[dashboard]'" in done.stderr
    assert "Traceback" not in done.stderr


class TestExport:
    @pytest.fixture
    def recording(self, tmp_path: Path) -> Path:
        path = tmp_path / "run.jsonl"
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1 / state["batch"]}))
        MeanReducer("mean, of all", value="batch").attach_on(runner)
        Record(path, clock=lambda: 0.0).attach_on(runner)
        runner.run([1, 3], max_epoch=2)
        return path

    def test_has_a_row_for_each_report_with_metrics(
        self, recording: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["export", str(recording), "--csv"]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert [row["event"] for row in rows[:4]] == [
            "BATCH",
            "BATCH",
            "EPOCH_FINISHED",
            "EPOCH_STARTED",
        ]
        assert [float(row["loss"]) for row in rows[:2]] == [1.0, 1 / 3]
        assert [row["mean, of all"] for row in rows[:3]] == ["", "", "2.0"]
        assert rows[1] == {
            "event": "BATCH",
            "epoch": "1",
            "n_iters": "2",
            "step": "2",
            "seconds": "0.0",
            "loss": repr(1 / 3),
            "mean, of all": "",
        }

    def test_has_a_column_of_its_own_for_each_metric(self, tmp_path: Path) -> None:
        path, file = tmp_path / "run.jsonl", io.StringIO()
        runner = Runner()
        stats = {"epoch": 0.5, "step": 0.25, "loss": 1.0}
        runner.on(Event.BATCH, lambda state: state.update(stats=stats))
        Record(path, on=Event.BATCH, clock=lambda: 0.0).attach_on(runner)
        runner.run([1])
        write_csv(path, file)
        assert list(csv.DictReader(io.StringIO(file.getvalue()))) == [
            {
                "event": "BATCH",
                "epoch": "1",
                "n_iters": "1",
                "step": "1",
                "seconds": "0.0",
                "epoch (metric)": "0.5",
                "step (metric)": "0.25",
                "loss": "1.0",
            }
        ]

    @pytest.mark.parametrize(
        ("encoding", "expected"),
        [("ascii", rb"caf\xe9,\udcff\x1b\n"), ("utf-8", "café".encode() + rb",\udcff\x1b\n")],
    )
    def test_spells_what_cannot_be_printed(
        self, tmp_path: Path, encoding: str, expected: bytes
    ) -> None:
        path, data = tmp_path / "run.jsonl", io.BytesIO()
        runner = Runner()
        stats = {"café": 1.0, "\udcff\x1b\n": 2.0}
        runner.on(Event.BATCH, lambda state: state.update(stats=stats))
        Record(path).attach_on(runner)
        runner.run([1])
        file = io.TextIOWrapper(data, encoding)
        write_csv(path, file)
        file.flush()
        assert data.getvalue().splitlines()[0].endswith(expected)

    def test_names_what_is_damaged(
        self, recording: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with recording.open("a") as file:
            file.write("half a line\n")
        assert main(["export", str(recording)]) == 0
        n_lines = len(recording.read_text().splitlines())
        assert f"line {n_lines}" in capsys.readouterr().err

    def test_of_what_is_not_there_fails(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["export", str(tmp_path / "missing.jsonl")]) == 1
        assert "missing.jsonl" in capsys.readouterr().err

    def test_ends_well_when_its_reader_has_enough(self, recording: Path) -> None:
        recording.write_bytes(recording.read_bytes() * 1000)  # more than a pipe holds
        with subprocess.Popen([*COMMAND, "export", recording], stdout=-1, stderr=-1) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"event,")
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
        assert process.returncode == 0
