"""What the reports of a run tell: at each event, of what, of how long, and of runs inside."""

import math
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from helpers.clock import Clock
from helpers.events import stop_at
from helpers.extras import np, torch
from rnnr import Event, Layer, Runner, isolate
from rnnr._frozen import Frozen
from rnnr.attachments import Control, MeanReducer, SumReducer
from rnnr.reporting import Report, reports
from rnnr.state import State
from rnnr.streams._layer import view_layer

Metrics = list[dict[str, float]]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


def reported(runner: Runner, *keys: str, **arguments: Any) -> list[Report]:
    """Collect the reports of a runner."""
    seen: list[Report] = []
    reports(runner, *keys, **arguments).subscribe(seen.append)
    return seen


def metrics_at(event: Event, seen: list[Report]) -> Metrics:
    return [dict(report.metrics) for report in seen if report.event is event]


class TestEvents:
    def test_each_event_of_a_run_has_a_report_of_how_the_run_stands(self) -> None:
        runner = Runner()
        seen = reported(runner, clock=lambda: 0.0)
        runner.run("ab", max_epoch=2)
        assert [(r.event.name, r.epoch, r.max_epoch, r.n_iters, r.step) for r in seen] == [
            ("STARTED", 0, 2, 0, 0),
            ("EPOCH_STARTED", 1, 2, 0, 0),
            ("BATCH", 1, 2, 1, 1),
            ("BATCH", 1, 2, 2, 2),
            ("EPOCH_FINISHED", 1, 2, 2, 2),
            ("EPOCH_STARTED", 2, 2, 2, 2),
            ("BATCH", 2, 2, 3, 3),
            ("BATCH", 2, 2, 4, 4),
            ("EPOCH_FINISHED", 2, 2, 4, 4),
            ("FINISHED", 2, 2, 4, 4),
        ]
        fields: Any = (1, 2, 1, 0.0, {}, None, 2, 1, False, None, (), None, {}, None, {})
        assert seen[2] == (Event.BATCH, *fields)

    def test_it_is_told_when_the_run_began_also_when_it_goes_on(self) -> None:
        runner, times = Runner(), iter([1000.0, 1000.0, 1020.0, 1020.0])
        stop_at(runner, 1)
        seen = reported(runner, on=Event.STARTED | Event.RESUMED, clock=lambda: next(times))
        runner.run("ab")
        runner.resume()
        assert [(one.event, one.began, one.seconds) for one in seen] == [
            (Event.STARTED, 1000.0, 0.0),
            (Event.RESUMED, 1000.0, 20.0),
        ]

    def test_a_stop_a_resumption_and_a_failure_have_reports(self) -> None:
        runner = Runner()
        stop_at(runner, 1)
        seen = reported(runner, on=Event.STOPPED | Event.RESUMED | Event.FAILED)
        runner.run("ab")
        runner.on(Event.BATCH, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.resume()
        assert [(report.event, report.n_iters) for report in seen] == [
            (Event.STOPPED, 1),
            (Event.RESUMED, 1),
            (Event.FAILED, 2),
        ]

    @pytest.mark.parametrize(
        ("stop", "by"),
        [
            (lambda runner, control: control.stop(), "Control"),
            (lambda runner, control: runner.stop(), None),
            (lambda runner, control: runner.state.update(running=False, stopped_by=0), None),
        ],
    )
    def test_who_has_stopped_the_run_is_told_at_its_end_alone(
        self, stop: Callable[[Runner, Control], None], by: str | None
    ) -> None:
        runner, control = Runner(), Control()
        control.attach_on(runner)
        stopping = runner.on(Event.BATCH.once(), lambda _: stop(runner, control))
        seen = reported(runner)
        runner.run("abc")
        assert [report.stopped_by for report in seen if report.event is Event.STOPPED] == [by]
        stopping.dispose()
        runner.resume()
        told = {report.stopped_by for report in seen if report.event is not Event.STOPPED}
        assert told == {None}

    def test_a_failure_is_told_with_the_traceback_of_what_led_to_it(self) -> None:
        runner = Runner()
        seen = reported(runner)

        @runner.on(Event.BATCH)
        def fail(_: State) -> None:
            try:
                raise KeyError("the cause")
            except KeyError as error:
                raise ValueError("the effect") from error

        with pytest.raises(ValueError, match="the effect"):
            runner.run([1])
        *others, failed = seen
        assert failed.event is Event.FAILED
        assert [report.error for report in others] == [None] * len(others)
        parts = ("KeyError: 'the cause'", "direct cause", "ValueError: the effect", "in fail\n")
        assert all(part in (failed.error or "") for part in parts)
        assert "rnnr: in a handler of Event.BATCH" in (failed.error or "")

    @pytest.mark.parametrize("max_epoch", [math.inf, sys.maxsize, 10**30], ids=str)
    def test_a_run_without_an_end_has_the_largest_number_of_epochs(self, max_epoch: Any) -> None:
        runner = Runner()
        seen = reported(runner, on=Event.EPOCH_FINISHED)
        runner.on(Event.STARTED, lambda state: state.update(max_epoch=max_epoch))
        runner.on(Event.EPOCH_FINISHED.every(2), lambda state: state.update(max_epoch=2))
        runner.run([1])
        assert [report.max_epoch for report in seen] == [sys.maxsize, 2]


class TestSelections:
    @pytest.mark.parametrize(
        ("on", "expected"),
        [
            (Event.EPOCH_FINISHED, [3, 6]),
            (Event.BATCH.every(2), [2, 4, 6]),
            (Event.BATCH.every(4) | Event.FINISHED, [4, 6]),
            (Event.BATCH.where(lambda state: state["batch"] == "b"), [2, 5]),
            (Event.BATCH.seconds(2, clock=count().__next__), [1, 3, 5]),
            (Event.BATCH.first(2), [1, 2]),
            ((Event.BATCH | Event.EPOCH_STARTED).once(), [0]),
        ],
        ids=str,
    )
    def test_what_is_selected_is_reported(self, on: Any, expected: list[int]) -> None:
        runner = Runner()
        seen = reported(runner, on=on)
        runner.run("abc", max_epoch=2)
        assert [report.n_iters for report in seen] == expected

    def test_what_is_not_selected_makes_no_report(self) -> None:
        runner = Runner()
        ticks = count()
        seen = reported(runner, on=Event.BATCH.every(100), clock=lambda: float(next(ticks)))
        runner.run(range(200))
        assert len(seen) == 2
        assert next(ticks) == 3, "the beginning and two reports"

    def test_two_subscriptions_each_have_their_selection_and_their_first(self) -> None:
        runner = Runner()
        first = reports(runner, on=Event.BATCH.once())
        seen: list[tuple[str, int]] = []
        first.subscribe(lambda report: seen.append(("a", report.n_iters)))
        runner.run("ab")
        first.subscribe(lambda report: seen.append(("b", report.n_iters)))
        runner.run("ab")
        assert seen == [("a", 1), ("b", 1)]


class TestMetrics:
    def test_the_numbers_among_the_stats_are_found_when_they_appear(self) -> None:
        runner = Runner()
        seen = reported(runner)

        @runner.on(Event.BATCH)
        def train(state: State) -> None:
            if state["n_iters"] == 2:
                state["stats"] = {"loss": 0.5, "phase": "warm-up"}

        runner.run("ab")
        assert metrics_at(Event.BATCH, seen) == [{}, {"loss": 0.5}]
        assert metrics_at(Event.FINISHED, seen) == [{"loss": 0.5}]

    def test_what_the_last_callback_of_any_layer_writes_is_in_the_report(self) -> None:
        runner = Runner()
        seen = reported(runner, "mine", on=Event.BATCH | Event.EPOCH_FINISHED)
        for event in (Event.BATCH, Event.EPOCH_FINISHED):
            for layer in {*Layer} - {view_layer(event), Layer.SAVE, Layer.STOP}:

                def write(state: State, event: Event = event, layer: Layer = layer) -> None:
                    state.setdefault("mine", {})[f"{event.name} {layer.name}"] = layer

                runner.stream(event).add(write, layer=layer)
        runner.run("a")
        batch = {"BATCH CLOCK": 0, "BATCH USER": 1, "BATCH REDUCE": 2}
        end = {"EPOCH_FINISHED DISPLAY": 3, "EPOCH_FINISHED REDUCE": 2, "EPOCH_FINISHED USER": 1}
        assert [dict(report.metrics) for report in seen] == [batch, {**batch, **end}]

    def test_the_results_of_reducers_are_found_from_the_end_of_the_epoch_to_the_next(self) -> None:
        runner = Runner()
        seen = reported(runner)
        SumReducer("total").attach_on(runner)
        MeanReducer("mean").attach_on(runner)
        runner.on(Event.BATCH, lambda state: state.update(output=state["batch"]))
        runner.run([1, 2], max_epoch=2)
        results = {"total": 3.0, "mean": 1.5}
        assert metrics_at(Event.EPOCH_FINISHED, seen) == [results, results]
        assert metrics_at(Event.FINISHED, seen) == [results]
        assert metrics_at(Event.EPOCH_STARTED, seen) == [{}, {}]
        assert metrics_at(Event.BATCH, seen) == [{}] * 4

    def test_an_epoch_without_batches_has_no_result(self) -> None:
        runner = Runner()
        seen = reported(runner)
        SumReducer("total").attach_on(runner)
        runner.run([])
        assert metrics_at(Event.EPOCH_FINISHED, seen) == [{}]

    def test_what_an_end_of_epoch_callback_writes_is_in_its_report(self) -> None:
        runner = Runner()
        seen = reported(runner, "accuracy", on=Event.EPOCH_FINISHED)
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(accuracy=0.9))
        runner.run([1])
        assert [dict(report.metrics) for report in seen] == [{"accuracy": 0.9}]

    def test_named_keys_are_numbers_or_mappings_that_hold_some(self) -> None:
        runner = Runner()
        runner.state.update(rate=3, scores=Frozen(f1=0.5, note="good", deep={"x": 1}), text="1")
        seen = reported(runner, "rate", "scores", "text", "absent", on=Event.STARTED)
        runner.run([])
        assert [*seen[0].metrics.items()] == [("rate", 3.0), ("f1", 0.5)]

    def test_they_are_in_the_order_in_which_they_were_found_and_the_latest_counts(self) -> None:
        runner = Runner()
        runner.state.update(b=1, a=2, stats={"c": 3, "a": 4}, more={"a": 5})
        seen = reported(runner, "b", "a", "more", on=Event.STARTED)
        runner.run([])
        assert [*seen[0].metrics.items()] == [("c", 3.0), ("a", 5.0), ("b", 1.0)]

    @pytest.mark.parametrize("stats", [3, 0.5, None, "text", [1, 2]], ids=str)
    def test_stats_that_are_no_mapping_do_no_harm(self, stats: Any) -> None:
        runner = Runner()
        runner.state["stats"] = stats
        seen = reported(runner, on=Event.STARTED)
        runner.run([])
        is_number = isinstance(stats, (int, float))
        assert seen[0].metrics == ({"stats": stats} if is_number else {})

    def test_many_kinds_of_values_at_once_are_plain_floats_or_left_out(self) -> None:
        runner = Runner()
        runner.state["stats"] = {
            "tensor": torch.tensor(1.0, requires_grad=True),
            "tensor of one": torch.tensor([[2]]),
            "tensors": torch.ones(2),
            "scalar": np.float32(3),
            "array": np.array(4),
            "array of one": np.array([5]),
            "bool": True,
            "text": "6",
            "none": None,
            "complex": 1j,
            "huge": 10**400,
            7: 7,
        }
        seen = reported(runner, on=Event.STARTED)
        runner.run([])
        metrics = seen[0].metrics
        assert metrics == {
            "tensor": 1.0,
            "tensor of one": 2.0,
            "scalar": 3.0,
            "array": 4.0,
            "array of one": 5.0,
            "bool": 1.0,
            "7": 7.0,
        }
        assert {type(value) for value in metrics.values()} == {float}

    def test_numbers_that_are_not_finite_are_reported(self) -> None:
        runner = Runner()
        runner.state["stats"] = {"nan": math.nan, "up": math.inf, "down": -torch.tensor(math.inf)}
        seen = reported(runner, on=Event.STARTED)
        runner.run([])
        assert repr(seen[0].metrics) == "{'nan': nan, 'up': inf, 'down': -inf}"


class TestLength:
    def lengths(self, runner: Runner, batches: Any) -> list[int | None]:
        seen = reported(runner, on=Event.BATCH)
        runner.run(batches)
        return [report.n_batches for report in seen]

    def test_batches_with_a_length_tell_it(self) -> None:
        assert self.lengths(Runner(), "abc") == [3, 3, 3]

    def test_batches_without_one_do_not(self) -> None:
        assert self.lengths(Runner(), iter("abc")) == [None] * 3

    @pytest.mark.parametrize(
        "wrong", [TypeError, NotImplementedError, ZeroDivisionError, -1, math.inf, 10**20, None]
    )
    def test_a_length_that_raises_or_cannot_be_one_is_none(self, wrong: Any) -> None:
        class Loader:
            def __len__(self) -> Any:
                if isinstance(wrong, type):
                    raise wrong
                return wrong

            def __iter__(self) -> Iterator[int]:
                yield from range(3)

        assert self.lengths(Runner(), Loader()) == [None] * 3

    def test_it_is_asked_for_at_the_first_batch_of_an_epoch_and_at_no_other(self) -> None:
        asked: list[str] = []

        class Loader(list[int]):
            def __len__(self) -> int:
                asked.append(f"{runner.state['epoch']} {runner.state.get('batch')}")
                return 9

        runner = Runner()
        self.lengths(runner, Loader([1, 2, 3]))
        runner.run(Loader([4, 5, 6]), max_epoch=2)
        assert asked == ["1 1", "1 4", "2 4"]

    def test_one_that_changes_is_told_as_it_is_in_each_epoch(self) -> None:
        runner = Runner()
        batches = [1, 2]
        runner.on(Event.EPOCH_STARTED, lambda _: batches.append(0))
        seen = reported(runner, on=Event.BATCH | Event.EPOCH_FINISHED)
        runner.run(batches, max_epoch=2)
        assert [report.n_batches for report in seen] == [3] * 4 + [4] * 5

    def test_one_that_is_known_only_when_they_are_iterated_is_told_from_then_on(self) -> None:
        class Loader(list[int]):
            length = 0

            def __len__(self) -> int:
                return self.length

            def __iter__(self) -> Iterator[int]:
                self.length = 2
                yield from (1, 2)

        runner = Runner()
        seen = reported(runner, on=Event.EPOCH_STARTED | Event.BATCH | Event.EPOCH_FINISHED)
        runner.run(Loader())
        assert [report.n_batches for report in seen] == [0, 2, 2, 2]

    def test_the_batches_are_not_held(self) -> None:
        runner = Runner()
        reported(runner)
        batches = range(3)
        references = sys.getrefcount(batches)
        runner.run(batches)
        runner.state.clear()
        assert sys.getrefcount(batches) == references

    def test_other_batches_have_another_length(self) -> None:
        runner = Runner()
        seen = reported(runner, on=Event.EPOCH_STARTED)
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(batches="abc"))
        runner.run("ab", max_epoch=2)
        runner.run("abcd")
        assert [report.n_batches for report in seen] == [2, 3, 4]


class TestThroughput:
    def rates(
        self, seen: list[Report], runner: Runner, batches: Any = range(6)
    ) -> list[float | None]:
        runner.run(batches)
        return [r.batches_per_second for r in seen if r.event is Event.BATCH]

    def test_it_is_that_of_the_last_second_or_more(self, clock: Clock) -> None:
        runner = Runner()
        seen = reported(runner, clock=clock)
        steps = iter([0.25, 0.25, 0.5, 0.75, 0.75, 2.0])
        runner.on(Event.BATCH, lambda _: setattr(clock, "now", clock.now + next(steps)))
        # until the first second is over, that of so far; then each window's until the next
        assert self.rates(seen, runner) == [4.0, 4.0, 3.0, 3.0, 2 / 1.5, 0.5]

    def test_there_is_none_before_time_passes_and_batches_are_drawn(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_STARTED, lambda _: setattr(clock, "now", clock.now + 0.5))
        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner, [1, 2]) == [2.0, 4.0]
        assert [r.batches_per_second for r in seen[:2]] == [None, None]

    def test_an_hour_without_batches_is_an_hour_of_none(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        runner.on(Event.EPOCH_FINISHED, lambda _: setattr(clock, "now", clock.now + 3600))
        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner) == [1.0] * 6
        assert seen[-1].batches_per_second == 0.0

    def test_a_clock_that_is_set_back_gives_no_wrong_rate(self, clock: Clock) -> None:
        runner = Runner()
        moves = iter([1, 1, -3600, 1, 1, 1])
        runner.on(Event.BATCH, lambda _: setattr(clock, "now", clock.now + next(moves)))
        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner) == [1.0] * 6

    @pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -float("inf")])
    def test_a_clock_that_tells_nonsense_once_gives_no_wrong_rate(
        self, clock: Clock, nonsense: float
    ) -> None:
        runner = Runner()
        moments = iter([clock.now + since for since in (1.0, 2.0, nonsense, 4.0, 5.0, 6.0)])
        runner.on(Event.BATCH, lambda _: setattr(clock, "now", next(moments)))
        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner) == [1.0] * 6

    def test_counters_that_are_set_back_give_no_wrong_rate(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)

        @runner.on(Event.BATCH)
        def set_back(state: State) -> None:
            if state["n_iters"] == 3 and "once" not in state:
                state.update(n_iters=1, once=True)

        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner) == [1.0] * 6

    def test_counters_that_are_restored_at_the_start_count_from_there(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        runner.on(Event.STARTED, lambda state: state.update(n_iters=1000))
        seen = reported(runner, clock=clock)
        assert self.rates(seen, runner) == [1.0] * 6

    def test_who_subscribes_in_the_middle_counts_from_there(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        seen: list[Report] = []

        @runner.on(Event.BATCH)
        def subscribe(state: State) -> None:
            if state["batch"] == 2:
                reports(runner, clock=clock).subscribe(seen.append)

        assert self.rates(seen, runner) == [None, 1.0, 1.0]
        assert [report.seconds for report in seen] == [0.0, 1.0, 2.0, 2.0, 2.0]

    def test_a_resumed_run_does_not_count_the_pause(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        stop_at(runner, 2)
        seen = reported(runner, on=Event.BATCH, clock=clock)
        runner.run(range(4))
        clock.now += 3600
        runner.resume()
        assert [report.batches_per_second for report in seen] == [1.0] * 3


class TestSeconds:
    def test_they_are_not_negative_where_the_clock_is_set_back(self, clock: Clock) -> None:
        runner = Runner()
        moments = iter([clock.now + since for since in (1.0, -3600.0, 2.0)])
        runner.on(Event.BATCH, lambda _: setattr(clock, "now", next(moments)))
        seen = reported(runner, on=Event.BATCH, clock=clock)
        runner.run("abc")
        assert [report.seconds for report in seen] == [1.0, 0.0, 2.0]

    def test_they_count_from_the_beginning_of_the_run(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.STARTED, clock.work)  # before the report of STARTED
        runner.on(Event.BATCH, clock.work)
        seen = reported(runner, clock=clock)
        for _ in range(2):
            runner.run("ab")
            assert [report.seconds for report in seen] == [0, 0, 1, 2, 2, 2]
            seen.clear()
            clock.now += 100

    @pytest.mark.parametrize("across_processes", [False, True])
    def test_they_go_on_over_a_pause_also_in_another_process(
        self, clock: Clock, across_processes: bool
    ) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        stop_at(runner, 1)
        reported(runner, clock=clock)
        runner.run("ab")
        if across_processes:
            state = pickle.loads(pickle.dumps(runner.state))
            runner = Runner()
            runner.on(Event.BATCH, clock.work)
            runner.state = state
        clock.now += 100
        seen = reported(runner, on=Event.RESUMED | Event.FINISHED, clock=clock)
        runner.resume()
        assert [report.seconds for report in seen] == [101, 102]

    def test_a_pause_before_the_first_batch_counts_too(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_STARTED, lambda state: state.update(running=False))
        seen = reported(runner, on=Event.FINISHED, clock=clock)
        runner.run("ab")
        clock.now += 100
        runner.resume()
        assert [report.seconds for report in seen] == [100]

    def test_a_state_that_is_restored_when_the_run_starts_keeps_its_beginning(
        self, clock: Clock
    ) -> None:
        old, new = Runner(), Runner()
        reported(old, clock=clock)
        old.run("ab")
        clock.now += 100
        new.on(Event.STARTED, lambda state: state.update({**old.state, "running": True}))
        seen = reported(new, on=Event.STARTED, clock=clock)
        new.run("ab")
        assert [(report.n_iters, report.seconds) for report in seen] == [(2, 100)]

    def test_two_subscriptions_tell_the_same(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, clock.work)
        one, other = (reported(runner, clock=clock) for _ in range(2))
        runner.run("abc", max_epoch=2)
        assert one == other
        assert len(one) == 12


class TestNesting:
    """A run inside a callback of another one is on the axis of that one."""

    def inside(self, at: Event) -> tuple[Runner, list[Report]]:
        """Make a runner with an evaluation at an event, of which the reports are collected."""
        outer, inner = Runner(), Runner()
        reported(outer, on=Event.FINISHED)
        outer.on(at, lambda _: inner.run("xyz"))
        return outer, reported(inner, on=Event.BATCH)

    def test_an_evaluation_at_the_end_of_epochs_stands_at_the_training_s_batches(self) -> None:
        outer, seen = self.inside(Event.EPOCH_FINISHED)
        outer.run("ab", max_epoch=2)
        assert {report.is_inside for report in seen} == {True}
        assert [(r.n_iters, r.step) for r in seen] == [
            (1, 2),
            (2, 2),
            (3, 2),
            (1, 4),
            (2, 4),
            (3, 4),
        ]

    def test_one_at_the_very_beginning_is_inside_too(self) -> None:
        outer, seen = self.inside(Event.STARTED)
        outer.run("ab")
        assert [(report.step, report.is_inside) for report in seen] == [(0, True)] * 3

    def test_the_training_itself_and_later_runs_alone_are_not(self) -> None:
        outer, inner = Runner(), Runner()
        outer.on(Event.BATCH, lambda _: inner.run("x"))
        training, evaluation = reported(outer), reported(inner)
        outer.run("ab")
        assert not any(report.is_inside for report in training)
        evaluation.clear()
        inner.run("xy")
        assert [(r.step, r.is_inside) for r in evaluation if r.event is Event.BATCH] == [
            (1, False),
            (2, False),
        ]

    def test_after_the_training_has_failed_an_evaluation_is_alone(self) -> None:
        outer, inner = Runner(), Runner()
        reported(outer)
        seen = reported(inner, on=Event.BATCH)
        outer.on(Event.BATCH, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            outer.run("ab")
        inner.run("x")
        assert [(report.step, report.is_inside) for report in seen] == [(1, False)]

    def test_an_evaluation_that_goes_on_after_a_stop_of_the_training_stays_inside(self) -> None:
        outer, inner = Runner(), Runner()
        reported(outer)
        seen = reported(inner, on=Event.BATCH | Event.FINISHED)
        outer.on(Event.EPOCH_FINISHED, lambda _: inner.run("x"))
        inner.on(Event.BATCH, lambda _: outer.stop())
        outer.run("ab")
        assert [(report.step, report.is_inside) for report in seen] == [(2, True)] * 2

    def test_of_three_levels_the_outermost_gives_the_step(self) -> None:
        outer, middle, inner = (Runner() for _ in range(3))
        outer.on(Event.EPOCH_FINISHED, lambda _: middle.run("xy"))
        middle.on(Event.BATCH, lambda _: inner.run("z"))
        reported(outer)
        of_middle, of_inner = (reported(runner, on=Event.BATCH) for runner in (middle, inner))
        outer.run("abc")
        assert [(r.step, r.is_inside) for r in of_middle + of_inner] == [(3, True)] * 4

    def test_runs_in_two_threads_are_not_inside_each_other(self) -> None:
        (one, of_one), (other, of_other) = (self.inside(Event.EPOCH_FINISHED) for _ in range(2))
        both_run = threading.Barrier(2, timeout=30)
        for runner in (one, other):
            runner.on(Event.BATCH.once(), lambda _: both_run.wait())
        thread = threading.Thread(target=one.run, args=("a",))
        thread.start()
        other.run("abcd")
        thread.join(30)
        assert [report.step for report in of_one] == [1, 1, 1]
        assert [report.step for report in of_other] == [4, 4, 4]


class TestSubscription:
    @pytest.mark.parametrize("event", Event, ids=str)
    def test_it_can_be_disposed_of_at_any_event(self, event: Event) -> None:
        runner, seen = Runner(), list[Report]()
        stop_at(runner, 1)
        subscription = reports(runner).subscribe(seen.append)
        runner.on(event, lambda _: subscription.dispose())
        runner.run([1, 2])
        runner.on(Event.FINISHED, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runner.resume()
        assert event not in [report.event for report in seen]
        n = len(seen)
        with pytest.raises(ZeroDivisionError):
            runner.run([1])
        assert len(seen) == n

    def test_a_view_that_fails_ends_the_run_unless_it_is_isolated(self) -> None:
        runner = Runner()
        stream = reports(runner, on=Event.BATCH)
        isolated = stream.subscribe(isolate(lambda _: 1 / 0))
        runner.run([1, 2])
        isolated.dispose()

        def fail(_: Report) -> None:
            raise ZeroDivisionError

        stream.subscribe(fail)
        with pytest.raises(ZeroDivisionError):
            runner.run([1, 2])
        assert runner.state["n_iters"] == 1

    def test_it_can_be_composed_and_neither_completes_nor_errors(self) -> None:
        runner, seen = Runner(), list[Any]()

        def loss(report: Report) -> float:
            return report.metrics["loss"]

        stream = reports(runner, "loss", on=Event.BATCH).pipe(ops.map(loss), ops.pairwise())
        stream.subscribe(seen.append, seen.append, lambda: seen.append("completed"))
        runner.on(Event.BATCH, lambda state: state.update(loss=state["batch"]))
        runner.run([1, 2])
        runner.run([3])
        assert seen == [(1.0, 2.0), (2.0, 3.0)]


class TestReport:
    def report(self) -> Report:
        runner = Runner()
        runner.state["stats"] = {"loss": math.inf}
        seen = reported(runner, on=Event.BATCH)
        runner.run([1])
        return seen[0]

    def test_it_refuses_every_change(self) -> None:
        report = self.report()
        with pytest.raises(AttributeError, match="can't set"):
            report.epoch = 3  # type: ignore[misc]
        with pytest.raises(TypeError, match="does not support item assignment"):
            report.metrics["loss"] = 0.0  # type: ignore[index]

    def test_it_comes_back_from_a_pickle_as_it_was(self) -> None:
        report = self.report()
        restored = pickle.loads(pickle.dumps(report))
        assert restored == report
        assert type(restored) is Report
        assert type(restored.metrics) is type(report.metrics)

    def test_it_does_not_change_with_the_state(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda s: s.setdefault("stats", {}).update(loss=s["batch"]))
        seen = reported(runner)
        runner.run([1, 2])
        assert metrics_at(Event.BATCH, seen) == [{"loss": 1.0}, {"loss": 2.0}]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: reports(3), r"runner must be a Runner, got 3 \(int\); "),  # type: ignore[arg-type]
        (
            lambda: reports(Runner(), "loss", 3),  # type: ignore[arg-type]
            r"a key of reports must be a string, got 3 \(int\); write for example reports\(runner",
        ),
        (
            lambda: reports(Runner(), on="BATCH"),  # type: ignore[arg-type]
            r"on must be an Event or a Selection, got 'BATCH' .*; write for example on=Event.BATCH",
        ),
        (
            lambda: reports(Runner(), clock=3.0),  # type: ignore[arg-type]
            r"clock must be callable, got 3.0 \(float\); pass for example time.time",
        ),
    ],
)
def test_bad_arguments_are_refused_when_given(make: Callable[[], Any], expected: str) -> None:
    with pytest.raises(TypeError, match=expected):
        make()


@given(
    st.integers(0, 3),
    st.integers(0, 3),
    st.sets(st.integers(1, 12)),
    st.sets(st.integers(1, 12)),
    st.integers(0, 4),
)
def test_reports_tell_the_story_that_callbacks_see(
    n_batches: int, max_epoch: int, stops: set[int], faults: set[int], n_resumptions: int
) -> None:
    runner = Runner()
    told: list[Any] = []
    seen: list[Any] = []
    calls = count(1)

    def act(state: State) -> None:
        call = next(calls)
        state["running"] = state["running"] and call not in stops
        if call in faults:
            raise ZeroDivisionError

    for event in Event:

        def see(state: State, event: Event = event) -> None:
            seen.append((event, state["epoch"], state["n_iters"]))

        runner.on(event, act)
        runner.stream(event).add(see, layer=view_layer(event))
    reports(runner).subscribe(lambda r: told.append((r.event, r.epoch, r.n_iters)))
    with suppress(ZeroDivisionError):
        runner.run(range(n_batches), max_epoch)
    for _ in range(n_resumptions):
        with suppress(ZeroDivisionError):
            runner.resume()
    assert told == seen


class TestNonsense:
    def test_a_report_that_cannot_be_made_is_left_out_and_logged_and_the_run_goes_on(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        runner = Runner()
        seen = reported(runner, on=Event.BATCH)

        @runner.on(Event.BATCH)
        def spoil(state: State) -> None:
            state["epoch"] = None if state["batch"] == "b" else 1

        runner.run("abc")
        assert [report.n_iters for report in seen] == [1, 3]
        assert "'NoneType' object cannot be interpreted as an integer" in caplog.text

    def test_a_mapping_that_fails_when_it_is_read_is_left_out(self) -> None:
        class Lazy(dict[str, float]):
            def keys(self) -> NoReturn:
                raise ZeroDivisionError

            __iter__ = keys

        runner = Runner()
        seen = reported(runner, "lazy", "sure", on=Event.BATCH)
        runner.state.update(lazy=Lazy(a=1), sure=2)
        runner.run([1])
        assert [report.metrics for report in seen] == [{"sure": 2.0}]

    def test_the_results_are_those_of_reducers_and_named_keys(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(output=1, stats={"loss": 1}, rate=0.1))
        MeanReducer("mean").attach_on(runner)
        seen = reported(runner, "rate", on=Event.BATCH | Event.EPOCH_FINISHED)
        runner.run([1])
        assert [report.results for report in seen] == [(), ("rate", "mean")]


def test_a_pause_is_no_part_of_the_throughput(clock: Clock) -> None:
    outer, inner, control = Runner(), Runner(), Control()
    for runner in (outer, inner):
        control.attach_on(runner)
    seen = reported(outer, clock=clock, on=Event.BATCH)

    def unpause() -> None:
        control.wait_until_paused(30)
        clock.now += 3600
        control.unpause()

    @outer.on(Event.BATCH)
    def pause_once(state: State) -> None:
        clock.work(state)
        if state["n_iters"] == 3:  # in an evaluation, which holds the training, too
            control.pause()
            threading.Thread(target=unpause).start()
            inner.run([1])

    outer.run(range(6))
    assert [report.batches_per_second for report in seen] == [1, 1, None, 1, 1, 1]
