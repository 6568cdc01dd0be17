"""`EpochLog`: its table, what it marks as the best, and that it breaks no run."""

import io
import logging
import math
import pickle
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from helpers.clock import Clock
from helpers.extras import torch
from helpers.faults import raise_
from rnnr import Event, Runner, State
from rnnr.attachments import (
    EpochLog,
    LambdaReducer,
    MeanReducer,
    ProgressBar,
    RunningAverage,
    SumReducer,
)
from rnnr.callbacks import evaluate
from rnnr.operators import stop

NAME = "rnnr.attachments.epoch_log"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1_000_000.0)
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def logged(runner: Runner, *keys: str, best: Mapping[str, str] | None = None) -> io.StringIO:
    """Attach a log to a runner; return what it is written to."""
    file = io.StringIO()
    EpochLog(*keys, best=best, file=file).attach_on(runner)
    return file


def rows(file: io.StringIO) -> list[list[str]]:
    return [line.split() for line in file.getvalue().splitlines()]


def with_losses(*losses: Any) -> Runner:
    """Make a runner with one loss for each epoch."""
    runner = Runner()
    runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=losses[state["epoch"] - 1]))
    return runner


def column(file: io.StringIO, place: int = 2) -> list[str]:
    """Return the texts of a column, without its heads."""
    return [row[place] for row in rows(file) if row[0] != "epoch"]


class TestTheTable:
    def test_has_a_line_an_epoch_with_its_time_and_its_results(self, clock: Clock) -> None:
        runner = Runner()
        MeanReducer("loss", value="batch").attach_on(runner)
        SumReducer("n", value="batch").attach_on(runner)
        file = logged(runner, best={"loss": "min"})
        runner.on(Event.BATCH, clock.work)
        runner.on(Event.EPOCH_FINISHED, lambda _: clock.work(_))
        runner.run([0.25, 0.5], max_epoch=10)
        assert file.getvalue().splitlines()[:3] == [
            "epoch     time        loss           n",
            " 1/10     3.0s       0.375*       0.75",
            " 2/10     3.0s       0.375        0.75",
        ]
        assert len(file.getvalue().splitlines()) == 11

    def test_has_the_results_of_evaluations_in_the_epochs_that_have_one(self) -> None:
        runner, evaluator = Runner(), Runner()
        SumReducer("loss", value="batch").attach_on(evaluator)
        second = Event.EPOCH_FINISHED.where(lambda state: state["epoch"] == 2)
        runner.on(second, evaluate(evaluator, [1, 2], prefix="valid_"))
        file = logged(runner)
        runner.run("a", max_epoch=3)
        assert rows(file) == [
            ["epoch", "time"],
            ["1/3", "0.0s"],
            ["epoch", "time", "valid_loss"],
            ["2/3", "0.0s", "3"],
            ["3/3", "0.0s", "-"],
        ]

    def test_has_what_is_named_and_no_statistics_of_batches_otherwise(self) -> None:
        runner = with_losses(0.5)
        runner.on(Event.BATCH, lambda state: state.update(stats={"norm": 2.0}))
        named, others, all_of_it = logged(runner, "loss"), logged(runner), logged(runner, "stats")
        runner.run("a")
        assert rows(named) == [["epoch", "time", "loss"], ["1/1", "0.0s", "0.5"]]
        assert rows(others) == [["epoch", "time"], ["1/1", "0.0s"]]
        assert rows(all_of_it) == [["epoch", "time", "norm"], ["1/1", "0.0s", "2"]]

    def test_has_the_result_and_not_the_statistic_of_the_same_name(self) -> None:
        runner = Runner()
        MeanReducer("loss", value="batch").attach_on(runner)
        RunningAverage("loss", value="batch", window=1).attach_on(runner)
        file = logged(runner, "stats")
        runner.run([0.5, 1.5])
        assert column(file) == ["1"]

    def test_has_its_head_once_a_run_and_once_more_after_a_stop(self) -> None:
        runner = with_losses(1.0, 2.0, 3.0)
        file = logged(runner, "loss")
        runner.on(Event.BATCH.where(lambda state: state["n_iters"] == 2).once(), stop())
        runner.run("a", max_epoch=3)
        runner.resume()
        runner.run("a")
        heads = [i for i, row in enumerate(rows(file)) if row[0] == "epoch"]
        assert heads == [0, 2, 5]

    def test_has_wider_columns_for_long_names_and_many_epochs(self) -> None:
        runner = Runner()
        LambdaReducer("greatest_value_of_all", max, value="batch").attach_on(runner)
        file = logged(runner, best={"greatest_value_of_all": "max"})
        runner.on(Event.EPOCH_FINISHED.every(2), stop())
        runner.run([-1.25e-9], max_epoch=1000)
        assert file.getvalue() == (
            "    epoch     time  greatest_value_of_all\n"
            "   1/1000     0.0s              -1.25e-09*\n"
        )

    @pytest.mark.parametrize("max_epoch", [math.inf, sys.maxsize])
    def test_of_a_run_without_an_end_counts_alone(self, max_epoch: float) -> None:
        runner = Runner()
        runner.on(Event.STARTED, lambda state: state.update(max_epoch=max_epoch))
        file = logged(runner)
        runner.on(Event.EPOCH_STARTED.every(2), stop())
        runner.run("a")
        assert rows(file) == [["epoch", "time"], ["1", "0.0s"]]

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.04, "0.0s"), (59.9, "59.9s"), (61.6, "0:01:02"), (7200, "2:00:00")]
    )
    def test_tells_the_time(self, seconds: float, text: str, clock: Clock) -> None:
        runner = Runner()
        file = logged(runner)

        @runner.on(Event.BATCH)
        def train(_: State) -> None:
            clock.now += seconds

        runner.run("a")
        assert column(file, 1) == [text]

    def test_tells_no_time_of_an_epoch_whose_beginning_it_missed(self) -> None:
        runner = Runner()
        files = list[io.StringIO]()
        runner.on(Event.BATCH.once(), lambda _: files.append(logged(runner)))
        runner.run("a", max_epoch=2)
        assert column(files[0], 1) == ["-", "0.0s"]

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.123456789, "0.12346"),
            (123456, "123456"),
            (1e10, "1e+10"),
            (-3, "-3"),
            (math.inf, "inf"),
            (math.nan, "nan"),
            (True, "1"),
            (torch.tensor([0.5], dtype=torch.float16), "0.5"),
        ],
        ids=repr,
    )
    def test_shows_any_number(self, value: Any, text: str) -> None:
        runner = with_losses(value)
        file = logged(runner, "loss")
        runner.run("a")
        assert column(file) == [text]

    @pytest.mark.parametrize("value", [None, "good", [1, 2], torch.ones(2)], ids=repr)
    def test_leaves_out_what_is_not_a_number(self, value: Any) -> None:
        runner = with_losses(value)
        file = logged(runner, "loss")
        runner.run("a")
        assert rows(file) == [["epoch", "time"], ["1/1", "0.0s"]]

    def test_goes_to_the_standard_output_of_that_moment(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runner = with_losses(0.5)
        EpochLog("loss").attach_on(runner)
        runner.run("a")
        assert capsys.readouterr().out.split() == ["epoch", "time", "loss", "1/1", "0.0s", "0.5"]


class TestTheBest:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [("min", ["2*", "3", "1*", "1", "0.5*"]), ("max", ["2*", "3*", "1", "1", "0.5"])],
    )
    def test_is_marked_if_it_is_better_than_all_before_it(
        self, mode: str, expected: list[str]
    ) -> None:
        runner = with_losses(2.0, 3.0, 1.0, 1.0, 0.5)
        file = logged(runner, "loss", best={"loss": mode})
        runner.run("a", max_epoch=5)
        assert column(file) == expected

    def test_is_never_one_that_is_not_a_number(self) -> None:
        runner = with_losses(math.nan, 3.0, math.nan, 2.0)
        file = logged(runner, "loss", best={"loss": "min"})
        runner.run("a", max_epoch=4)
        assert column(file) == ["nan", "3*", "nan", "2*"]

    def test_is_none_where_a_metric_is_missing(self) -> None:
        runner = with_losses(1.0)
        file = logged(runner, "loss", best={"accuracy": "max", "loss": "min"})
        runner.run("a")
        assert column(file) == ["1*"]

    def test_is_remembered_by_a_run_that_goes_on_in_another_process_and_not_by_a_new_run(
        self,
    ) -> None:
        runner = with_losses(2.0, 1.0, 3.0)
        logged(runner, "loss", best={"loss": "min"})
        runner.on(Event.BATCH.where(lambda state: state["n_iters"] == 3), stop())
        runner.run("a", max_epoch=3)
        state = pickle.dumps(runner.state)
        other = with_losses(2.0, 1.0, 3.0)
        file = logged(other, "loss", best={"loss": "min"})
        other.state = pickle.loads(state)
        other.resume()
        assert rows(file) == [["epoch", "time", "loss"], ["3/3", "0.0s", "3"]]
        other.run("a")
        assert column(file) == ["3", "2*"]

    def test_of_one_log_is_not_that_of_another(self) -> None:
        runner = with_losses(2.0, 1.0, 3.0)
        files = [logged(runner, "loss", best={"loss": mode}) for mode in ("min", "max")]
        runner.run("a", max_epoch=3)
        assert [column(file) for file in files] == [["2*", "1*", "3"], ["2*", "1", "3*"]]


class Broken(io.StringIO):
    """A file that cannot be written to for a while."""

    is_broken = True

    def write(self, text: str) -> int:
        return raise_(OSError("no space left")) if self.is_broken else super().write(text)


class TestAFailure:
    def test_breaks_no_run_is_logged_once_and_the_next_line_has_a_head(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = with_losses(3.0, 2.0, 2.5)
        EpochLog("loss", best={"loss": "min"}, file=(file := Broken())).attach_on(runner)
        third = Event.EPOCH_STARTED.where(lambda state: state["epoch"] == 3)
        runner.on(third, lambda _: setattr(file, "is_broken", False))
        runner.run("a", max_epoch=3)
        assert rows(file) == [["epoch", "time", "loss"], ["3/3", "0.0s", "2.5"]]
        reason = "EpochLog cannot write the line of an epoch: OSError: no space left; "
        assert caplog.record_tuples == [(NAME, logging.ERROR, f"{reason}the run goes on")]

    def test_of_the_standard_output_that_is_not_there_breaks_no_run(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        EpochLog().attach_on(runner)
        monkeypatch.setattr(sys, "stdout", None)
        runner.run("a", max_epoch=2)
        assert [record.name for record in caplog.records] == [NAME]

    def test_does_not_swallow_an_interrupt(self) -> None:
        runner, file = Runner(), io.StringIO()
        EpochLog(file=file).attach_on(runner)
        file.flush = lambda: raise_(KeyboardInterrupt())  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            runner.run("a")


class TestBesideABar:
    def test_a_line_goes_above_a_bar_that_is_on_the_same_screen(self) -> None:
        outer, inner, screen = Runner(), Runner(), io.StringIO()
        looks: Any = {"file": screen, "bar_format": "{n}/{total}", "mininterval": 1e9}
        ProgressBar(**looks).attach_on(outer)
        EpochLog(file=screen).attach_on(inner)
        outer.on(Event.BATCH, lambda _: inner.run("a"))
        outer.run("bc")
        assert screen.getvalue().split("\r") == [
            "",
            "0/2",
            "   ",
            "epoch     time\n  1/1     0.0s\n",
            "0/2",
            "   ",
            "epoch     time\n  1/1     0.0s\n",
            "1/2",
            "2/2\n",
        ]

    def test_the_bar_of_an_epoch_is_closed_before_its_line(self) -> None:
        runner, screen = Runner(), io.StringIO()
        EpochLog(file=screen).attach_on(runner)
        ProgressBar(file=screen, bar_format="{n}/{total}", mininterval=1e9).attach_on(runner)
        runner.run("ab")
        assert screen.getvalue() == "\r0/2\r2/2\nepoch     time\n  1/1     0.0s\n"

    def test_nothing_is_asked_of_tqdm_where_nobody_has_imported_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "tqdm.std", raising=False)
        runner = Runner()
        file = logged(runner)
        runner.run("a")
        assert len(rows(file)) == 2
        assert "tqdm.std" not in sys.modules


class TestArguments:
    @pytest.mark.parametrize("key", ["epoch", "n_iters", "_run"])
    def test_a_key_of_the_run_is_refused(self, key: str) -> None:
        with pytest.raises(ValueError, match="the key of a metric"):
            EpochLog(key)

    def test_a_key_is_a_string(self) -> None:
        with pytest.raises(TypeError, match="a key of EpochLog must be a string"):
            EpochLog({"loss": "min"})  # type: ignore[arg-type]

    def test_best_is_a_mapping(self) -> None:
        with pytest.raises(TypeError, match="best must be a mapping, got 'loss'"):
            EpochLog(best="loss")  # type: ignore[arg-type]

    def test_a_mode_is_known(self) -> None:
        with pytest.raises(ValueError, match="mode must be one of 'min', 'max', got 'least'"):
            EpochLog(best={"loss": "least"})

    @pytest.mark.parametrize("file", ["log.txt", 3])
    def test_file_is_a_file(self, file: Any) -> None:
        with pytest.raises(TypeError, match="file must be an open file, got"):
            EpochLog(file=file)
