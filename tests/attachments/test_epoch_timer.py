"""`EpochTimer`: its lines, and what its time contains."""

import io
import logging
import math
import pickle
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import pytest

import rnnr
import rnnr.attachments
from helpers.clock import Clock
from helpers.extras import np, torch
from helpers.published import published
from rnnr import Event, Layer, Runner
from rnnr.attachments import EpochTimer
from rnnr.state import State

OLD = published()
NAME = "rnnr.attachments.epoch_timer"


class WallClock(Clock):
    """A clock beside which that of the wall may be set."""

    shift = 0.0

    def wall(self) -> float:
        return self.now + self.shift


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock(1_000_000.0)
    monkeypatch.setattr(time, "time", clock.wall)
    monkeypatch.setattr(time, "monotonic", clock)
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
    clock: WallClock, caplog: pytest.LogCaptureFixture
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
    max_epoch: int, clock: WallClock, caplog: pytest.LogCaptureFixture
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
    clock: WallClock, caplog: pytest.LogCaptureFixture
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
    # Seven handlers of EPOCH_STARTED and of each of two batches, and four of EPOCH_FINISHED: one of
    # its own layer comes later there, and so does what saves and stops the run.
    assert done == ["Epoch 1/2 done in 0:00:25", "Epoch 2/2 done in 0:00:25"]


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
    in_another_process: bool, clock: WallClock, caplog: pytest.LogCaptureFixture
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
    clock: WallClock, caplog: pytest.LogCaptureFixture
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
    end: str, clock: WallClock, caplog: pytest.LogCaptureFixture
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
    clock: WallClock, caplog: pytest.LogCaptureFixture
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
    clock: WallClock, caplog: pytest.LogCaptureFixture
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


class TestAClockThatIsSet:
    """The wall clock is set by a server, by a user, by a virtual machine that wakes up."""

    @pytest.mark.parametrize("shift", [-3600, 3600])
    def test_changes_no_time_of_an_epoch(
        self, shift: float, clock: WallClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = timed()

        @runner.on(Event.BATCH)
        def train(state: State) -> None:
            clock.work(state)
            clock.shift += shift

        runner.run([1], max_epoch=2)
        assert caplog.messages[1::2] == [f"Epoch {n}/2 done in 0:00:01" for n in (1, 2)]

    def test_changes_no_time_of_an_epoch_that_is_resumed(
        self, clock: WallClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = stopping_once()
        runner.run([1, 2], max_epoch=2)
        clock.now += 60
        clock.shift -= 3600
        runner.resume()
        assert "Epoch 1/2 done in 0:01:00" in caplog.messages

    @pytest.mark.parametrize(("shift", "time"), [(-3600, "0:00:00"), (3600, "1:01:00")])
    def test_is_believed_where_another_process_began_the_epoch_and_no_time_is_below_0(
        self, shift: float, time: str, clock: WallClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        before, after = stopping_once(), timed()
        before.run([1, 2], max_epoch=2)
        clock.now += 60
        clock.shift += shift
        after.state = pickle.loads(pickle.dumps(before.state))
        after.resume()
        assert f"Epoch 1/2 done in {time}" in caplog.messages

    def test_is_told_from_one_of_another_run_that_the_same_runner_made(
        self, clock: WallClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = stopping_once()
        runner.run([1, 2], max_epoch=2)
        saved = pickle.dumps(runner.state)
        clock.now += 60
        runner.run([1, 2], max_epoch=2)
        clock.now += 1
        runner.state = pickle.loads(saved)
        runner.resume()
        assert "Epoch 1/2 done in 0:01:01" in caplog.messages


def test_one_timer_on_a_runner_and_on_one_inside_of_it_times_each(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    timer, outer, inner = EpochTimer(), Runner(), Runner()
    timer.attach_on(outer)
    timer.attach_on(inner)
    inner.on(Event.BATCH, clock.work)

    @outer.on(Event.BATCH)
    def evaluate(_: State) -> None:
        clock.shift -= 3600
        inner.run([1, 2], max_epoch=3)

    outer.run([1], max_epoch=2)
    done = [message for message in caplog.messages if "done" in message]
    inside = [f"Epoch {n}/3 done in 0:00:02" for n in (1, 2, 3)]
    assert done == [
        *(*inside, "Epoch 1/2 done in 0:00:06"),
        *(*inside, "Epoch 2/2 done in 0:00:06"),
    ]


def test_two_timers_on_one_runner_tell_the_same(
    clock: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    runner = timed()
    EpochTimer().attach_on(runner)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        clock.work(state)
        clock.shift -= 3600

    runner.run([1], max_epoch=2)
    assert [line for line in caplog.messages if "done" in line] == [
        f"Epoch {n}/2 done in 0:00:01" for n in (1, 1, 2, 2)
    ]


class Unreadable:
    """A number of epochs of which nothing can be said."""

    def __le__(self, _: object) -> NoReturn:
        raise ZeroDivisionError

    def __repr__(self) -> str:
        raise ZeroDivisionError


def after_the_timer(runner: Runner, callback: Any) -> None:
    """Add a callback that comes after the timer of a runner at the end of an epoch."""
    runner.stream(Event.EPOCH_FINISHED).add(callback, layer=Layer.CLOCK)


class TestMaxEpoch:
    @pytest.mark.parametrize(
        ("max_epoch", "text"),
        [
            (math.inf, "inf"),
            (math.nan, "nan"),
            (2.0, "2"),
            (2.5, "2"),
            (np.int64(3), "3"),
            (np.float32(math.inf), "inf"),
            (torch.tensor(3), "3"),
            (torch.tensor(math.inf), "inf"),
            (Fraction(5, 2), "2"),
            (Decimal("Infinity"), "Infinity"),
            (10**30, f"{10**30}"),
            (None, "None"),
            ("many", "many"),
        ],
        ids=repr,
    )
    def test_of_any_kind_is_logged(
        self, max_epoch: Any, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = timed()
        runner.on(Event.EPOCH_STARTED, lambda state: state.update(max_epoch=max_epoch))
        after_the_timer(runner, lambda state: state.update(max_epoch=1))  # the loop reads it, too
        runner.run([1])
        (line,) = caplog.messages
        assert line.startswith(f"Epoch 1/{text} done in 0:00:00")

    def test_that_is_infinite_is_logged_for_each_epoch(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = timed()
        runner.on(Event.STARTED, lambda state: state.update(max_epoch=math.inf))
        runner.on(Event.EPOCH_FINISHED.every(2), lambda _: runner.stop())
        runner.run([])
        assert [line.partition(" done")[0] for line in caplog.messages] == [
            "Starting epoch 1/inf", "Epoch 1/inf", "Starting epoch 2/inf"
        ]  # fmt: skip

    def test_of_which_nothing_can_be_said_breaks_no_run_and_is_logged_once(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stderr", said := io.StringIO())
        runner = timed()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(max_epoch=Unreadable()))
        after_the_timer(runner, lambda state: state.update(max_epoch=3))
        runner.run([1], max_epoch=3)
        assert runner.state["epoch"] == 3
        assert said.getvalue() == ""
        started = [(NAME, logging.INFO, f"Starting epoch {n}/3") for n in (1, 2, 3)]
        reason = "EpochTimer cannot log the time of an epoch: ZeroDivisionError; the run goes on"
        assert caplog.record_tuples == [started[0], (NAME, logging.ERROR, reason), *started[1:]]


class Loud(logging.Handler):
    """A handler that raises, as those do that forget to catch what they raise."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelno)
        raise self.error


@pytest.fixture
def attach_handler() -> Iterator[Any]:
    """Attach handlers to the logger of the timer for one test."""
    handlers: list[logging.Handler] = []

    def attach(handler: logging.Handler) -> None:
        handlers.append(handler)
        EpochTimer.logger.addHandler(handler)

    yield attach
    for handler in handlers:
        EpochTimer.logger.removeHandler(handler)


class TestALoggingHandlerThatFails:
    def test_does_not_break_the_run_and_is_told_once(self, attach_handler: Any) -> None:
        runner = timed()
        attach_handler(handler := Loud(OSError("no space left")))
        runner.run([1], max_epoch=2)
        assert runner.state["epoch"] == 2
        assert sorted(handler.levels) == [logging.INFO] * 4 + [logging.ERROR]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_does_not_swallow_what_is_no_failure(
        self, kind: type[BaseException], attach_handler: Any
    ) -> None:
        runner = timed()
        attach_handler(Loud(kind()))
        with pytest.raises(kind):
            runner.run([1], max_epoch=2)
