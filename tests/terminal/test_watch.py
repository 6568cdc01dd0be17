"""``python -m rnnr watch``: what a terminal shows of a run, and that it ends with the run."""

import io
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.faults import raise_
from rnnr import Event, Runner
from rnnr.__main__ import main
from rnnr._terminal._watched import Watched
from rnnr.attachments import MeanReducer
from rnnr.callbacks import early_stopping
from rnnr.recording import Record
from rnnr.reporting import Report, RunInfo, reports

pytest.importorskip("rich")

from rich.console import Console

from rnnr._terminal import _screen
from rnnr._terminal._screen import drawn, sparkline, watch


def recorded(path: Path, **settings: Any) -> Runner:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1.0 / state["n_iters"]}))
    MeanReducer("mean", value="batch").attach_on(runner)

    def clock() -> float:
        return float(runner.state.get("n_iters", 0))  # a batch takes a second

    Record(path, clock=clock, **settings).attach_on(runner)
    return runner


def console(*, is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=80, force_terminal=is_terminal)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(path: Path) -> list[str]:
    """Return the lines that are shown where no terminal is."""
    here = console()
    watch(path, here)
    return text(here).splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "first.jsonl"


def test_it_shows_the_progress_the_epochs_and_the_metrics(path: Path) -> None:
    recorded(path).run([2, 4], max_epoch=3)
    head, bar, progress, columns, *rest = shown(path)
    assert head.split() == ["first", "finished"]
    assert set(bar) == {"━"}
    assert progress.startswith("epoch 3 of 3 · batch 2 of 2 · 1 batches/s · 6.0 s elapsed")
    assert columns.split() == ["epoch", "time", "mean"]
    assert [row.split() for row in rest[:3]] == [[n, "2.0", "s", "3"] for n in "123"]
    assert [row.split() for row in rest[3:]] == [
        ["loss", "█▄▂▂▁▁", "0.1667"],
        ["mean", "▁▁▁", "3"],
    ]


def test_it_shows_the_name_of_the_run(path: Path) -> None:
    runner = recorded(path)
    RunInfo("digits").attach_on(runner)
    runner.run([1])
    assert shown(path)[0].split() == ["digits", "finished"]


def test_it_shows_who_has_stopped_a_run(path: Path) -> None:
    runner = recorded(path)
    early_stopping("mean", stopping_threshold=1, mode="max").attach_on(runner)
    runner.run([1], max_epoch=2)
    assert " ".join(shown(path)[0].split()) == (
        "first stopped by early_stopping('mean'): stopping_threshold"
    )


@pytest.mark.parametrize(
    ("end", "expected"),
    [(lambda state: state.update(running=False), "stopped"), (lambda state: 1 / 0, "failed")],
)
def test_it_shows_how_a_run_has_ended(
    path: Path, end: Callable[[Any], object], expected: str
) -> None:
    runner = recorded(path)
    runner.on(Event.BATCH, end)
    if expected == "failed":
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        expected = "failed ZeroDivisionError: division by zero"
    else:
        runner.run([1])
    assert " ".join(shown(path)[0].split()) == f"first {expected}"


def test_it_waits_for_a_run_and_ends_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, looks = recorded(path), list[int]()

    def go_on(_: float) -> None:
        looks.append(len(looks))
        if len(looks) == 2:
            runner.run([1, 2])

    here = console(is_terminal=True)
    monkeypatch.setattr(_screen.time, "sleep", go_on)  # type: ignore[attr-defined]
    watch(path, here)
    assert looks == [0, 1]
    assert "waiting" in text(here)
    assert "finished" in text(here)


def test_it_begins_again_when_another_file_takes_the_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"")
    other, n = path.with_name("other.jsonl"), 0

    def go_on(_: float) -> None:
        nonlocal n
        n += 1
        if n == 1:
            recorded(other, on=Event.EPOCH_FINISHED).run([9], max_epoch=3)
        else:
            recorded(other.with_name("third.jsonl")).run([5])
            os.replace(other.with_name("third.jsonl"), path)
            return
        os.replace(other, path)

    here = console(is_terminal=True)
    monkeypatch.setattr(_screen.time, "sleep", go_on)  # type: ignore[attr-defined]
    watch(path, here)
    assert n == 2
    last = text(here).rpartition("epoch")[2]
    assert "5" in last
    assert "9" not in last


def test_it_tells_of_a_run_without_news(path: Path) -> None:
    first_epoch = Event.BATCH.where(lambda state: state["epoch"] == 1)
    recorded(path, on=first_epoch).run([1, 2], max_epoch=2)
    head, _, progress, *_ = shown(path)
    assert head.split() == ["first", "running"]
    assert progress.endswith("left")
    os.utime(path, (0, 0))
    assert shown(path)[0].split()[:4] == ["first", "no", "news", "for"]


def test_a_metric_of_batches_and_of_epochs_has_two_lines() -> None:
    runner, watched = Runner(), Watched()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1.0}))
    MeanReducer("loss", value="batch").attach_on(runner)
    reports(runner).subscribe(watched.add)
    runner.run([5], max_epoch=2)
    assert [*watched.curves] == ["loss", "loss (epochs)"]


def test_epochs_that_are_run_again_replace_the_old_ones() -> None:
    watched = Watched()
    for epoch, loss in [(1, 0.5), (2, 0.4), (3, 0.3), (2, 0.2)]:
        metrics = {"loss": loss}
        watched.add(Report(Event.EPOCH_FINISHED, epoch, 9, epoch, 0.0, metrics, results=("loss",)))
    assert [(each.number, each.results["loss"]) for each in watched.epochs] == [(1, 0.5), (2, 0.2)]
    watched.add(Report(Event.STARTED, 0, 9, 0, 0.0, {}))
    assert not watched.epochs


def test_many_metrics_take_bounded_memory() -> None:
    watched = Watched()
    watched.add(Report(Event.BATCH, 1, 1, 1, 0.0, {str(n): 1.0 for n in range(100)}))
    assert len(watched.curves) == 20


def test_what_is_not_known_is_not_shown() -> None:
    watched = Watched()
    assert watched.progress == {}
    watched.add(Report(Event.BATCH, 1, 2**53, 1, 90.0, {"loss": math.nan}, results=("gone",)))
    watched.add(Report(Event.EPOCH_FINISHED, 1, 2**53, 1, 90.0, {}, results=("gone",)))
    here = console()
    here.print(drawn(watched, Path(__file__)))
    assert "left" not in text(here)
    assert "0:01:30 elapsed" in text(here)
    assert "epoch 1 · " in text(here)  # of a run without a last epoch
    assert "nan" in text(here)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], "▁█"),
        ([2, 2], "▁▁"),
        ([0, math.nan, 7], "▁ █"),
        ([math.inf], " "),
        ([-1.7e308, 0, 1.7e308], "▁▅█"),
        ([], ""),
    ],
)
def test_a_sparkline_has_eight_heights(values: list[float], expected: str) -> None:
    assert sparkline(values) == expected


def test_a_long_recording_is_read_to_its_end(path: Path) -> None:
    recorded(path).run(range(10_001))
    assert shown(path)[2].startswith("epoch 1 of 1 · batch 10001 of 10001")


def test_the_command_shows_a_run_and_ends(path: Path) -> None:
    recorded(path).run([1])
    command = [sys.executable, "-W", "error", "-m", "rnnr", "watch", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines()[0].split() == ["first", "finished"]
    assert done.stderr == ""


def test_the_command_says_what_is_missing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", str(path)]) == 1
    assert "first.jsonl" in capsys.readouterr().err
    monkeypatch.setattr("rnnr.__main__.find_spec", lambda _: None)
    assert main(["watch", str(path)]) == 1
    assert "pip install rich" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a[val]", "[red]a", "a[/b]", "a, b"])
def test_a_name_is_shown_as_it_is(path: Path, name: str) -> None:
    runner = Runner()
    RunInfo(name).attach_on(runner)
    runner.on(Event.BATCH, lambda state: state.update(stats={name: 1.0}, result=1.0))
    MeanReducer(name, value="batch").attach_on(runner)
    Record(path).attach_on(runner)
    runner.run([1])
    head, _, _, columns, _, batches, epochs = shown(path)
    assert head.startswith(f"{name} ")
    assert columns.split("  ")[-2].strip().endswith(name)
    assert batches.startswith(f"{name} ")
    assert epochs.startswith(f"{name} (epochs)")


def test_no_name_and_no_error_moves_the_cursor_of_the_terminal(path: Path) -> None:
    name = "\x1b[2J\x9b1A\x07\r\n\udcffx"
    runner = Runner()
    RunInfo(name).attach_on(runner)
    MeanReducer(name, value="batch").attach_on(runner)
    Record(path, name).attach_on(runner)
    runner.on(Event.BATCH, lambda state: state.update({"stats": {name: 1.0}, name: 2.0}))
    runner.on(Event.EPOCH_FINISHED, lambda state: raise_(ValueError(name)))
    with pytest.raises(ValueError, match="x"):
        runner.run([1])
    assert "failed" in shown(path)[0]
    assert all(line.isprintable() for line in shown(path))


def test_results_that_have_no_room_are_counted() -> None:
    watched = Watched()
    metrics = {f"a long name {n}": float(n) for n in range(3000)}
    watched.add(Report(Event.EPOCH_FINISHED, 1, 1, 1, 0.0, metrics, results=tuple(metrics)))
    for width, n_shown in [(80, 3), (40, 1), (10, 0)]:
        here = Console(file=io.StringIO(), width=width)
        here.print(drawn(watched, Path(__file__), width))
        lines = " ".join(text(here).split())
        assert f"{3000 - n_shown} more results have no room here" in lines
        assert ("a long name 0" in lines) == (width > 10)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e300, -1.0])
def test_a_duration_that_is_not_one_is_a_question_mark(seconds: float) -> None:
    watched = Watched()
    watched.add(Report(Event.FINISHED, 1, 1, 1, seconds, {}))
    here = console()
    here.print(drawn(watched, Path(__file__)))
    assert "? elapsed" in text(here)


def test_the_command_shows_it_where_it_is_called(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(path).run([1])
    assert main(["watch", str(path)]) == 0
    assert capsys.readouterr().out.split()[:2] == ["first", "finished"]
