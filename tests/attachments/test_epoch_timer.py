"""`EpochTimer`: its lines, and what its time contains."""

import logging
import pickle
import time
from typing import Any

import pytest

import rnnr
import rnnr.attachments
from published import published
from rnnr import Event, Layer, Runner
from rnnr.attachments import EpochTimer
from rnnr.state import State

OLD = published()
NAME = "rnnr.attachments.epoch_timer"


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def read(self) -> float:
        return self.now

    def work(self, _: State) -> None:
        """Take a second, as a callback."""
        self.now += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.read)
    return clock


@pytest.fixture(autouse=True)
def lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=NAME)


def timed() -> Runner:
    """Make a runner that is timed."""
    runner = Runner()
    EpochTimer().attach_on(runner)
    return runner


def test_it_logs_the_beginning_and_the_time_of_each_epoch_at_info(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = timed()
    runner.on(Event.BATCH, clock.work)
    runner.run([1, 2, 3], max_epoch=2)
    assert caplog.record_tuples == [
        (NAME, logging.INFO, "Starting epoch 1/2"),
        (NAME, logging.INFO, "Epoch 1/2 done in 0:00:03"),
        (NAME, logging.INFO, "Starting epoch 2/2"),
        (NAME, logging.INFO, "Epoch 2/2 done in 0:00:03"),
    ]


@pytest.mark.parametrize("max_epoch", [0, 1, 2, 3])
def test_its_lines_are_those_of_the_published_one(
    max_epoch: int, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def lines(package: Any, attachments: Any) -> list[object]:
        caplog.clear()
        runner = package.Runner()
        stopped: list[int] = []

        @runner.on(package.Event.BATCH)  # type: ignore[untyped-decorator]
        def train(state: State) -> None:
            clock.now += 0.25
            if state["n_iters"] == 2 and not stopped:
                stopped.append(2)
                state["running"] = False

        attachments.EpochTimer().attach_on(runner)
        runner.on(package.Event.EPOCH_FINISHED, clock.work)
        runner.run([1, 2, 3], max_epoch=max_epoch)
        runner.resume()
        return list(caplog.record_tuples)

    assert lines(rnnr, rnnr.attachments) == lines(OLD, OLD.attachments)


def test_a_single_epoch_is_not_timed(caplog: pytest.LogCaptureFixture) -> None:
    runner = timed()
    runner.run([1])
    runner.on(Event.BATCH, lambda _: runner.stop())
    runner.run([1, 2])
    runner.resume()
    assert caplog.messages == []


def test_its_time_contains_what_every_callback_of_the_epoch_takes(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Runner()
    for event in Event:
        runner.on(event, clock.work)
    EpochTimer().attach_on(runner)
    for event in Event:
        for layer in Layer:
            runner.stream(event).add(clock.work, layer=layer)
    runner.run([1, 2], max_epoch=2)
    done = [line for line in caplog.messages if "done" in line]
    # Nine handlers for STARTED and the like; EPOCH_STARTED, two batches and EPOCH_FINISHED count,
    # without what is in its own layer: attached later at the beginning, earlier at the end.
    assert done == ["Epoch 1/2 done in 0:00:19", "Epoch 2/2 done in 0:00:19"]


@pytest.mark.parametrize("attach_first", [True, False])
def test_its_lines_enclose_what_every_callback_of_the_epoch_says(
    attach_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger(NAME)
    runner = timed() if attach_first else Runner()
    runner.on(Event.EPOCH_STARTED, lambda state: log.info("begin %d", state["epoch"]))
    runner.on(Event.EPOCH_FINISHED, lambda state: log.info("end %d", state["epoch"]))
    if not attach_first:
        EpochTimer().attach_on(runner)
    runner.run([1], max_epoch=2)
    lines = [line.partition(" done")[0] for line in caplog.messages]
    assert lines == [
        *("Starting epoch 1/2", "begin 1", "end 1", "Epoch 1/2"),
        *("Starting epoch 2/2", "begin 2", "end 2", "Epoch 2/2"),
    ]


def stopping_once() -> Runner:
    """Make a timed runner that stops in its first epoch."""
    runner = timed()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["running"] = state["n_iters"] != 1

    return runner


@pytest.mark.parametrize("in_another_process", [False, True])
def test_a_resumed_epoch_is_timed_from_its_beginning(
    in_another_process: bool, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = stopping_once()
    runner.on(Event.EPOCH_FINISHED, clock.work)
    runner.run([1, 2], max_epoch=2)
    clock.now += 3600
    if in_another_process:
        state = pickle.loads(pickle.dumps(runner.state))
        runner = stopping_once()
        runner.on(Event.EPOCH_FINISHED, clock.work)
        runner.state = state
    runner.resume()
    assert caplog.messages == [
        "Starting epoch 1/2",
        "Resuming epoch 1/2",
        "Epoch 1/2 done in 1:00:01",
        "Starting epoch 2/2",
        "Epoch 2/2 done in 0:00:01",
    ]


def test_a_run_that_is_resumed_between_epochs_starts_the_next_one(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = timed()
    runner.on(Event.EPOCH_FINISHED, lambda state: state.update(running=state["epoch"] != 1))
    runner.run([1], max_epoch=2)
    clock.now += 60
    runner.resume()
    # The gate: a callback that stops the run at the end of an epoch skips what comes after it.
    assert caplog.messages == [
        "Starting epoch 1/2",
        "Starting epoch 2/2",
        "Epoch 2/2 done in 0:00:00",
    ]


@pytest.mark.parametrize("end", ["stopped", "failed"])
def test_a_fresh_run_after_one_that_was_cut_off_resumes_nothing(
    end: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = timed()

    def cut_off(state: State) -> None:
        state["running"] = False
        if end == "failed":
            raise ValueError("a fault")

    faulty = runner.on(Event.BATCH, cut_off)
    try:
        runner.run([1, 2], max_epoch=2)
    except ValueError:
        assert end == "failed"
    faulty.dispose()
    caplog.clear()
    clock.now += 60
    runner.run([1, 2], max_epoch=2)
    assert caplog.messages == [
        "Starting epoch 1/2",
        "Epoch 1/2 done in 0:00:00",
        "Starting epoch 2/2",
        "Epoch 2/2 done in 0:00:00",
    ]


def test_attached_in_the_middle_of_an_epoch_it_times_the_next_one(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = Runner()
    attached: list[object] = []

    @runner.on(Event.BATCH)
    def attach_once(state: State) -> None:
        clock.work(state)
        if not attached:
            attached.append(EpochTimer().attach_on(runner))

    runner.run([1, 2], max_epoch=2)
    assert caplog.messages == ["Starting epoch 2/2", "Epoch 2/2 done in 0:00:02"]


def test_max_epoch_may_change_in_the_middle_of_the_run(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = timed()
    runner.on(Event.BATCH, clock.work)
    runner.on(Event.BATCH, lambda state: state.update(max_epoch=2))
    runner.run([1])
    assert caplog.messages == [
        "Epoch 1/2 done in 0:00:01",
        "Starting epoch 2/2",
        "Epoch 2/2 done in 0:00:01",
    ]


def test_detached_it_says_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner()
    EpochTimer().attach_on(runner).dispose()
    runner.run([1], max_epoch=2)
    assert caplog.messages == []


def test_its_logger_can_be_configured_by_the_class() -> None:
    assert EpochTimer.logger is logging.getLogger(NAME)
