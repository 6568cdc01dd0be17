"""Real trackers, offline, read back by their own readers; MLflow is on the page about trackers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rnnr import Event, Runner
from rnnr.attachments import MeanReducer
from rnnr.durable import Snapshots
from rnnr.tracking import TensorBoard, log_to

LOSSES = [(1, 1.0), (2, 0.5), (3, 0.25)]


def training() -> Runner:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    return runner


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """Return the steps and values that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return [(each.step, each.value) for each in read.Scalars(name)]


def job(folder: str, killed_at: int, background: int) -> None:
    """Train, and be killed at a batch."""
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: dict[str, Any]) -> None:
        if state["n_iters"] == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        state["stats"] = {"loss": float(state["n_iters"])}

    MeanReducer("mean", value="batch").attach_on(runner)
    tracker = TensorBoard(Path(folder, "logs"))
    on = Event.BATCH | Event.EPOCH_FINISHED
    bridge = log_to(runner, tracker, on=on, background=background)
    Snapshots(Path(folder, "saved"), every=Event.BATCH.every(3), log=bridge).attach_on(runner)
    runner.run(range(5), max_epoch=3)


class TestTensorBoard:
    @pytest.fixture(autouse=True)
    def tensorboard(self) -> None:
        pytest.importorskip("tensorboard")

    @pytest.mark.parametrize("background", [0, 100])
    def test_shows_what_was_logged(self, background: int, tmp_path: Path) -> None:
        runner = training()
        log_to(runner, TensorBoard(tmp_path), on=Event.BATCH, background=background)
        runner.run([1.0, 0.5, 0.25])
        assert scalars(tmp_path, "loss") == LOSSES

    @pytest.mark.parametrize("kills", [[6], [7, 14]])
    def test_shows_each_row_once_after_kills(self, kills: list[int], tmp_path: Path) -> None:
        for killed_at, background in zip([*kills, 0], [0, 100, 0], strict=False):
            call = f"job({str(tmp_path)!r}, {killed_at}, {background})"
            program = f"from tracking.test_trackers import *; {call}"
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
            assert done.returncode == (-signal.SIGKILL if killed_at else 0)
        assert scalars(tmp_path / "logs", "loss") == [(n, float(n)) for n in range(1, 16)]
        assert scalars(tmp_path / "logs", "mean") == [(5, 2.0), (10, 2.0), (15, 2.0)]

    def test_replaces_what_was_logged_from_a_step_on(self, tmp_path: Path) -> None:
        for losses, purge_step in [([1.0, 9.0, 9.0], None), ([0.5, 0.25], 2)]:
            tracker = TensorBoard(tmp_path, purge_step=purge_step)
            for i, loss in enumerate(losses):
                tracker({"loss": loss}, (purge_step or 1) + i)
            tracker.flush()
            tracker.close()
            tracker.close()
        assert scalars(tmp_path, "loss") == LOSSES

    def test_takes_rows_back_in_the_same_process(self, tmp_path: Path) -> None:
        runner = training()
        bridge = log_to(runner, TensorBoard(tmp_path), on=Event.BATCH)
        runner.run([1.0, 0.5])
        saved = bridge.state_dict()
        runner.run([9.0, 9.0, 9.0])
        bridge.load_state_dict(saved)
        bridge.dispose()
        assert scalars(tmp_path, "loss") == [(1, 1.0), (1, 9.0), (2, 0.5)]

    def test_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("rnnr.tracking._tensorboard.find_spec", lambda _: None)
        with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
            TensorBoard(tmp_path)

    def test_has_nothing_to_flush_before_the_first_row(self, tmp_path: Path) -> None:
        runner = Runner()
        log_to(runner, TensorBoard(tmp_path))
        runner.run([1])
        assert list(tmp_path.iterdir()) == []


def test_trackio_has_what_was_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    trackio = pytest.importorskip("trackio")
    sqlite3 = pytest.importorskip("sqlite3")
    trackio.init(project="digits", name="first")
    runner = training()
    log_to(runner, trackio.log, on=Event.BATCH)
    runner.run([1.0, 0.5, 0.25])
    trackio.finish()
    (path,) = tmp_path.rglob("*.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY step").fetchall()
    database.close()
    assert [(step, json.loads(text)) for step, text in rows] == [
        (n, {"loss": x}) for n, x in LOSSES
    ]
