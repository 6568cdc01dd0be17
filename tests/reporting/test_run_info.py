"""`RunInfo`: what is told of a run, and that it stays the same run."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest

from helpers.faults import raise_
from rnnr import Event, Runner
from rnnr.durable import Snapshots
from rnnr.recording import Record, Tail
from rnnr.reporting import RunInfo, _run_info, reports


def told(runner: Runner) -> list[dict[str, Any]]:
    """Return a list that gets what each beginning of a run tells."""
    found: list[dict[str, Any]] = []
    beginnings = Event.STARTED | Event.RESUMED
    reports(runner, on=beginnings).subscribe(lambda report: found.append(dict(report.config)))
    return found


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script in a repository of its own, which runs."""
    path = tmp_path / "project" / "train.py"
    path.parent.mkdir()
    path.write_text("the script\n")
    for arguments in (["init", "-q"], ["add", "."], [*IDENTITY, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", path.parent, *arguments], check=True)
    monkeypatch.setattr(sys, "argv", [str(path), "--name", "a b"])
    return path


IDENTITY = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]


def test_a_run_tells_its_name_its_configuration_and_its_process(script: Path) -> None:
    runner = Runner()
    RunInfo("first", {"lr": 0.1, "model": {"width": 64}}).attach_on(runner)
    found = told(runner)
    runner.run([1])
    (info,) = found
    commit = subprocess.check_output(["git", "-C", script.parent, "rev-parse", "HEAD"], text=True)
    assert (info["lr"], info["model.width"], info["run.name"]) == (0.1, 64, "first")
    assert info["run.command"] == f"{script} --name 'a b'"
    assert info["run.host"] == socket.gethostname()
    assert info["run.python"] == ".".join(map(str, sys.version_info[:3]))
    assert (info["run.commit"], info["run.is_clean"]) == (commit.strip(), True)
    assert len(info["run.id"]) == 8


def test_a_file_that_was_changed_is_told(script: Path) -> None:
    script.write_text("another one\n")
    (script.parent / "out.log").write_text("git does not know it\n")
    runner = Runner()
    RunInfo().attach_on(runner)
    found = told(runner)
    runner.run([])
    assert found[0]["run.is_clean"] is False
    assert "run.name" not in found[0]


@pytest.mark.parametrize("error", [OSError(), subprocess.TimeoutExpired("git", 5)])
def test_without_git_the_rest_is_told(
    error: Exception, monkeypatch: pytest.MonkeyPatch, script: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(_run_info.subprocess, "run", fail)  # type: ignore[attr-defined]
    runner = Runner()
    RunInfo().attach_on(runner)
    found = told(runner)
    runner.run([])
    assert "run.commit" not in found[0]
    assert "run.host" in found[0]


def test_a_working_directory_that_is_gone_breaks_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr(Path, "absolute", lambda _: raise_(FileNotFoundError()))
    runner = Runner()
    RunInfo().attach_on(runner)
    found = told(runner)
    runner.run([])
    assert "run.commit" not in found[0]
    assert found[0]["run.command"] == "train.py"


def test_a_file_whose_name_is_not_utf8_breaks_no_run(script: Path) -> None:
    folder = script.parent
    name = os.fsdecode(b"caf\xe9")
    try:
        (folder / name).write_text("first")
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    for arguments in (
        ["config", "core.quotepath", "false"],
        ["add", "."],
        [*IDENTITY, "commit", "-qm", "second"],
    ):
        subprocess.run(["git", "-C", folder, *arguments], check=True)
    (folder / name).write_text("changed")
    runner = Runner()
    RunInfo().attach_on(runner)
    found = told(runner)
    runner.run([])
    assert found[0]["run.is_clean"] is False


def test_the_id_is_that_of_the_run() -> None:
    runner = Runner()
    subscription = RunInfo().attach_on(runner)
    found = told(runner)
    runner.on(Event.BATCH.once(), lambda state: runner.stop())
    runner.run([1, 2])
    runner.resume()
    runner.run([1])
    subscription.dispose()
    runner.run([1])
    first, resumed, other, without = found
    assert first["run.id"] == resumed["run.id"] != other["run.id"]
    assert first["run.started"] == resumed["run.started"]
    assert without == {}


def test_the_id_survives_a_kill(tmp_path: Path) -> None:
    found = []
    for n_kept in (2, 0):
        runner = Runner()
        RunInfo("first").attach_on(runner)
        found.append(told(runner))
        Snapshots(tmp_path, every=Event.BATCH).attach_on(runner)
        if n_kept:
            runner.on(Event.BATCH, lambda state: 1 / (2 - state["n_iters"]))
            with pytest.raises(ZeroDivisionError):
                runner.run(range(4))
        else:
            runner.run(range(4))
    ((first,), (second,)) = found
    assert first["run.id"] == second["run.id"]
    assert first["run.started"] == second["run.started"]


def test_it_is_on_the_first_line_of_a_recording(tmp_path: Path) -> None:
    runner = Runner()
    RunInfo("first", {"lr": 0.1}).attach_on(runner)
    Record(tmp_path / "run.jsonl", config={"lr": 0.2}).attach_on(runner)
    runner.run([1])
    first = Tail(tmp_path / "run.jsonl").read()[0]
    assert first.config["run.name"] == "first"
    assert first.config["lr"] == 0.2  # what is named for this one


def test_a_recording_has_it_beside_a_large_configuration(tmp_path: Path) -> None:
    runner = Runner()
    RunInfo("first", {f"a{n}": n for n in range(300)}).attach_on(runner)
    runner.on(Event.STARTED, lambda state: state.update(stats={"loss": nan}))
    Record(tmp_path / "run.jsonl", config={f"b{n}": n for n in range(300)}).attach_on(runner)
    found = told(runner)
    runner.run([])
    config = Tail(tmp_path / "run.jsonl").read()[0].config
    assert config["run.name"] == "first"
    assert config["run.id"] == found[0]["run.id"]
    assert (config["a198"], config["b198"], config["and more"]) == (198, 198, "101 more entries")


def test_what_is_left_out_is_not_there() -> None:
    runner = Runner()
    RunInfo("first", {"token": "secret"}, leave_out=("run.command", "token")).attach_on(runner)
    found = told(runner)
    runner.run([])
    assert found[0].keys() & {"run.command", "token"} == set()


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda: RunInfo({"lr": 0.1}), "name must be a string"),  # type: ignore[arg-type]
        (lambda: RunInfo("first", 1), "config must be"),
        (lambda: RunInfo(leave_out=(1,)), "leave_out must be a string"),  # type: ignore[arg-type]
        (lambda: RunInfo().attach_on(1), "runner"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_errors_at_once(wrong: Callable[[], object], expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        wrong()
