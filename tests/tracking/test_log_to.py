"""`log_to`: which rows a tracker gets, and that it breaks no run."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from helpers.faults import Boom, raise_
from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.callbacks import evaluate
from rnnr.reporting import RunInfo
from rnnr.tracking import _log_to, log_to

NAME = "rnnr.tracking"


class Tracker:
    """Remembers what is written, on which threads, and what is asked of it."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.story: list[Any] = []
        self.threads: set[int] = set()

    def __call__(self, metrics: dict[str, float], *, step: int) -> None:
        self.rows.append((step, dict(metrics)))
        self.story.append(step)
        self.threads.add(threading.get_ident())

    def flush(self) -> None:
        self.story.append("flush")


class WithPurge(Tracker):
    def purge(self, step: int) -> None:
        self.rows = [row for row in self.rows if row[0] < step]


class Held:
    """A tracker that waits to be let go."""

    def __init__(self) -> None:
        self.is_called, self.go = threading.Event(), threading.Event()
        self.steps: list[int] = []

    def __call__(self, metrics: dict[str, float], *, step: int) -> None:
        self.is_called.set()
        self.go.wait()
        self.steps.append(step)


def with_loss(runner: Runner | None = None) -> Runner:
    runner = runner or Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": float(state["batch"])}))
    return runner


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


class TestTheRows:
    def test_are_those_of_the_selected_events_with_the_number_of_batches(self) -> None:
        runner, tracker = with_loss(), Tracker()
        log_to(runner, tracker, on=Event.BATCH.every(2))
        runner.run([1, 2, 3, 4], max_epoch=2)
        assert tracker.rows == [(n, {"loss": loss}) for n, loss in [(2, 2), (4, 4), (6, 2), (8, 4)]]

    def test_are_without_more_words_the_ends_of_epochs_and_some_batches(self) -> None:
        runner, tracker = with_loss(), Tracker()
        MeanReducer("mean", value="batch").attach_on(runner)
        log_to(runner, tracker)
        runner.run([1, 2, 3], max_epoch=2)
        assert [row for row in tracker.rows if "mean" in row[1]] == [
            (3, {"mean": 2.0}),  # without the loss of the last batch
            (6, {"mean": 2.0}),
        ]
        assert tracker.rows[0] == (1, {"loss": 1.0})

    def test_have_the_keys_that_are_named_and_the_prefix(self) -> None:
        runner, tracker = Runner(), Tracker()
        runner.on(Event.BATCH, lambda state: state.update(lr=0.5, text="no number"))
        log_to(runner, tracker, "lr", "text", on=Event.BATCH, prefix="train/")
        runner.run([1])
        assert tracker.rows == [(1, {"train/lr": 0.5})]

    def test_of_an_evaluation_are_at_the_step_of_the_training(self) -> None:
        runner, evaluator, tracker = Runner(), Runner(), Tracker()
        MeanReducer("loss", value="batch").attach_on(evaluator)
        runner.on(Event.EPOCH_FINISHED, evaluate(evaluator, [1, 3]))
        log_to(runner, Tracker())
        log_to(evaluator, tracker, on=Event.EPOCH_FINISHED)
        runner.run(range(5), max_epoch=2)
        assert tracker.rows == [(5, {"loss": 2.0}), (10, {"loss": 2.0})]

    def test_come_after_the_step_that_the_tracker_has(self) -> None:
        runner, tracker = with_loss(), Tracker()
        log_to(runner, tracker, on=Event.BATCH, after=3)
        runner.run(range(5))
        assert [step for step, _ in tracker.rows] == [4, 5]

    def test_end_with_the_disposal(self) -> None:
        runner, tracker = with_loss(), Tracker()
        with log_to(runner, tracker, on=Event.BATCH):
            runner.run([1])
        runner.run([1, 2])
        assert [step for step, _ in tracker.rows] == [1]


@pytest.mark.parametrize("background", [0, 1000])
class TestAnyWay:
    def test_it_is_flushed_at_every_end_of_a_run(self, background: int) -> None:
        runner, tracker = with_loss(), Tracker()
        log_to(runner, tracker, on=Event.BATCH, background=background)
        runner.run([1, 2])
        with pytest.raises(Boom):
            runner.run(each if each else raise_(Boom()) for each in [1, 0])
        runner.on(Event.BATCH, lambda state: runner.stop())
        runner.run([1])
        assert tracker.story == [1, 2, "flush", 1, "flush", "flush"]

    def test_a_function_is_flushed_by_another_one(self, background: int) -> None:
        runner, story = with_loss(), Tracker()
        log_to(runner, story.__call__, flush=story.flush, on=Event.BATCH, background=background)
        runner.run([1])
        assert story.story == [1, "flush"]

    def test_what_fails_is_logged_once_and_counted(
        self, background: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner, seen = with_loss(), []

        def write(metrics: dict[str, float], step: int) -> None:
            if step != 3:
                raise ConnectionError(f"no network at {step}")
            seen.append(step)

        log_to(runner, write, on=Event.BATCH, background=background)
        runner.run(range(5))
        assert seen == [3]
        assert runner.state["n_iters"] == 5
        first, last = caplog.messages
        assert "write: ConnectionError: no network at 1; the run goes on" in first
        assert "write lacks 4 rows of this run" in last

    def test_what_is_restored_takes_later_rows_back(self, background: int) -> None:
        runner, tracker = with_loss(), WithPurge()
        bridge = log_to(runner, tracker, on=Event.BATCH, background=background)
        saved: list[Any] = []
        runner.on(Event.BATCH.every(2), lambda state: saved.append(bridge.state_dict()))
        runner.run(range(5))
        rows = list(tracker.rows)
        bridge.load_state_dict(saved[-1])
        bridge.state_dict()  # waits
        assert tracker.rows == rows[: saved[-1]["rows"][-1][1]]

    def test_a_tracker_may_change_the_dict_that_it_gets(self, background: int) -> None:
        runner = with_loss()

        def write(metrics: dict[str, float], step: int) -> None:
            metrics["_step"] = metrics.pop("loss")

        bridge = log_to(runner, write, on=Event.BATCH, background=background)
        runner.run([3])
        assert bridge.state_dict() == {"rows": [[{"loss": 3.0}, 1]]}


class TestInTheBackground:
    def test_rows_come_in_order_on_one_other_thread_that_ends_with_the_run(self) -> None:
        runner, tracker = with_loss(), Tracker()
        log_to(runner, tracker, on=Event.BATCH, background=1000)
        before = threading.active_count()
        runner.run(range(500))
        assert [step for step, _ in tracker.rows] == list(range(1, 501))
        assert len(tracker.threads) == 1
        assert tracker.threads != {threading.get_ident()}
        assert threading.active_count() == before

    def test_the_run_does_not_wait_and_rows_without_room_are_counted(
        self, held: Held, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = with_loss()

        @runner.on(Event.BATCH)
        def look(state: State) -> None:
            if state["n_iters"] == 2:
                assert held.is_called.wait(60)

        runner.on(Event.FINISHED, lambda state: held.go.set())
        log_to(runner, held, on=Event.BATCH, background=3)
        runner.run(range(10))
        assert held.steps == [1, 2, 3, 4]
        assert caplog.messages == [
            "Held is too slow: rows are lost",
            "Held lacks 6 rows of this run",
        ]

    def test_a_tracker_that_hangs_ends_no_run_and_holds_none(
        self, held: Held, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_log_to, "_PATIENCE", 0.01)
        runner = with_loss()
        bridge = log_to(runner, held, on=Event.BATCH, background=3)
        runner.on(Event.BATCH, lambda state: bridge.state_dict())
        runner.run(range(2))
        assert caplog.messages == [
            "Held takes longer than a minute; rows may be missing",
            "Held takes longer than a minute; rows are lost",
            "Held lacks 1 rows of this run",
        ]

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_a_tracker_that_would_end_the_process_loses_the_row_alone(
        self, kind: type[BaseException], caplog: pytest.LogCaptureFixture
    ) -> None:
        runner, steps = with_loss(), list[int]()

        def write(metrics: dict[str, float], step: int) -> None:
            if step == 2:
                raise kind
            steps.append(step)

        log_to(runner, write, on=Event.BATCH, background=10)
        runner.run(range(4))
        assert steps == [1, 3, 4]
        assert kind.__name__ in caplog.messages[0]
        assert caplog.messages[1].endswith("write lacks 1 rows of this run")


def test_a_call_is_not_made_where_nothing_is_to_be_written() -> None:
    runner, tracker = Runner(), Tracker()
    log_to(runner, tracker, on=Event.BATCH)
    runner.run(range(3))
    assert tracker.story == ["flush"]


def test_a_snapshot_before_the_first_row_takes_all_of_them_back() -> None:
    runner, tracker = with_loss(), WithPurge()
    bridge = log_to(runner, tracker, on=Event.BATCH)
    saved = bridge.state_dict()
    runner.run(range(3))
    bridge.load_state_dict(saved)
    assert tracker.rows == []


def test_a_tracker_that_cannot_take_back_goes_on() -> None:
    runner, tracker = with_loss(), Tracker()
    bridge = log_to(runner, tracker, on=Event.BATCH)
    bridge.load_state_dict(bridge.state_dict())
    runner.run([1])
    assert tracker.rows == [(1, {"loss": 1.0})]


def fluent(metrics: dict[str, float], step: int) -> None:
    """Stand for a function of MLflow."""


fluent.__module__ = "mlflow.tracking.fluent"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda: log_to(Runner(), "mlflow"), "write must be callable"),  # type: ignore[arg-type]
        (lambda: log_to(Runner(), print, flush=1), "flush must be callable"),  # type: ignore[arg-type]
        (lambda: log_to(Runner(), print, prefix=1), "prefix must be a string"),  # type: ignore[arg-type]
        (lambda: log_to(Runner(), print, background=-1), "background must be"),
        (lambda: log_to(Runner(), print, after="1"), "after must be"),  # type: ignore[arg-type]
        (lambda: log_to(Runner(), print, "epoch"), "epoch"),
        (lambda: log_to(Runner(), fluent, background=9), "run_id=run.info.run_id"),
    ],
)
def test_wrong_arguments_are_errors_at_once(wrong: Callable[[], object], expected: str) -> None:
    with pytest.raises((TypeError, ValueError), match=expected):
        wrong()


def test_a_function_that_is_bound_to_a_run_may_work_in_the_background() -> None:
    log_to(Runner(), partial(fluent), background=9)


def test_a_logging_handler_that_fails_breaks_no_run(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log_to, "_PATIENCE", 0.01)
    monkeypatch.setattr(logging.getLogger(NAME), "warning", lambda *_: raise_(Boom()))
    runner = with_loss()
    log_to(runner, held, on=Event.BATCH, background=1)
    runner.run(range(9))
    assert runner.state["n_iters"] == 9


def test_the_configuration_is_passed_on_when_a_run_begins() -> None:
    runner, found = Runner(), list[dict[str, Any]]()
    with log_to(runner, Tracker(), parameters=found.append):
        runner.run([1])
        RunInfo("first", {"lr": 0.1}).attach_on(runner)
        runner.run([1])
    assert [(each["run.name"], each["lr"]) for each in found] == [("first", 0.1)]


def test_a_configuration_that_is_refused_breaks_no_run(caplog: pytest.LogCaptureFixture) -> None:
    runner = Runner()
    RunInfo("first").attach_on(runner)
    log_to(runner, Tracker(), parameters=lambda _: raise_(Boom()))
    runner.run([1])
    assert "log_to cannot pass the configuration to Tracker" in caplog.text
