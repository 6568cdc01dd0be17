"""`HandlerTimes`: who took how long, under which name, and nothing while nobody asks."""

import operator
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from reactivex import Observer, Subject, abc
from reactivex import operators as ops

from helpers.clock import Clock
from helpers.threads import on_thread
from rnnr import Event, Runner, isolate
from rnnr._handler_names import is_own
from rnnr.attachments import Control, EpochTimer, MeanReducer
from rnnr.callbacks import checkpoint, maybe_stop_early
from rnnr.durable import JsonLines
from rnnr.operators import fold, pipeline, stop
from rnnr.reporting import DRAWING_BATCHES, HandlerTime, HandlerTimes, reports
from rnnr.state import State

Rows = list[tuple[str, str, int, float]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def measured(runner: Runner, clock: Clock) -> HandlerTimes:
    """Measure a runner from now on, for good."""
    times = HandlerTimes(runner, clock=clock)
    times.measure()
    return times


def rows(times: HandlerTimes) -> Rows:
    return [(row.event.name, row.name, row.calls, row.seconds) for row in times.slowest_first()]


def taking(clock: Clock, seconds: float, name: str) -> Callable[[State], None]:
    """Make a callback of a name that takes so long."""

    def callback(_: State) -> None:
        clock.take(seconds)

    callback.__qualname__ = name
    return callback


def handlers(runner: Runner) -> dict[Event, list[Any]]:
    for event in Event:
        runner.stream(event).rebuild()
    return {event: runner.stream(event).handlers for event in Event}


class TestTimes:
    def test_each_handler_has_its_calls_and_seconds_the_worst_first(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, [taking(clock, 1, "quick"), taking(clock, 5, "slow")])
        runner.on(Event.EPOCH_FINISHED, taking(clock, 7, "closing"))
        times = measured(runner, clock)
        runner.run("ab", max_epoch=2)
        assert rows(times) == [
            ("BATCH", "slow", 4, 20.0),
            ("EPOCH_FINISHED", "closing", 2, 14.0),
            ("BATCH", "quick", 4, 4.0),
            ("BATCH", DRAWING_BATCHES, 4, 0.0),
        ]

    def test_what_was_never_called_has_no_row(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.FAILED, print)
        times = measured(runner, clock)
        runner.run([])
        assert times.slowest_first() == []

    def test_one_handler_of_two_events_has_two_rows_and_twice_of_one_has_one(
        self, clock: Clock
    ) -> None:
        runner = Runner()
        callback = taking(clock, 1, "callback")
        runner.on(Event.EPOCH_STARTED, [callback, callback])
        runner.on(Event.FINISHED, callback)
        times = measured(runner, clock)
        runner.run([])
        assert rows(times) == [
            ("EPOCH_STARTED", "callback", 2, 2.0),
            ("FINISHED", "callback", 1, 1.0),
        ]

    def test_a_handler_that_raises_is_measured_to_that_point(self, clock: Clock) -> None:
        runner = Runner()

        @runner.on(Event.BATCH)
        def fail(_: State) -> None:
            clock.take(3)
            raise ValueError("a fault")

        times = measured(runner, clock)
        with pytest.raises(ValueError, match="a fault"):
            runner.run([1])
        assert rows(times)[0] == ("BATCH", fail.__qualname__.split(".")[-1], 1, 3.0)

    def test_a_handler_that_leaves_in_the_middle_is_measured_no_more(self, clock: Clock) -> None:
        runner = Runner()
        times = measured(runner, clock)
        leaving: abc.DisposableBase
        runner.on(Event.BATCH, lambda state: state["batch"] == 2 and leaving.dispose())
        leaving = runner.on(Event.BATCH, taking(clock, 1, "leaving"))
        runner.run([1, 2, 3])
        assert rows(times)[:1] == [("BATCH", "leaving", 1, 1.0)]
        assert {name for _, name, *_ in rows(times)} == {"leaving", "<lambda>", DRAWING_BATCHES}

    def test_one_that_comes_in_the_middle_is_measured_from_then_on(self, clock: Clock) -> None:
        runner = Runner()
        times = measured(runner, clock)
        coming = taking(clock, 1, "coming")
        runner.on(Event.BATCH.once(), lambda _: runner.on(Event.BATCH, coming))
        runner.run([1, 2, 3])
        assert rows(times)[0] == ("BATCH", "coming", 2, 2.0)

    def test_the_gate_and_the_results_are_those_of_a_run_that_is_not_measured(
        self, clock: Clock
    ) -> None:
        runner, seen = Runner(), list[int]()
        runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] < 2))
        runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
        times = measured(runner, clock)
        runner.run([1, 2, 3])
        assert seen == [1]
        assert [calls for *_, calls, _ in rows(times)] == [2, 1, 2]

    def test_an_evaluation_counts_for_the_callback_that_runs_it(self, clock: Clock) -> None:
        training, evaluation = Runner(), Runner()
        evaluation.on(Event.BATCH, taking(clock, 1, "evaluate"))
        training.on(Event.BATCH, pipeline(fold("n", operator.add, initial=0, value="epoch")))
        training.on(Event.EPOCH_FINISHED, lambda _: evaluation.run(range(3)))
        of_training, of_evaluation = (measured(each, clock) for each in (training, evaluation))
        training.run([1])
        assert rows(of_training)[0] == ("EPOCH_FINISHED", "<lambda>", 1, 3.0)
        assert rows(of_evaluation)[0] == ("BATCH", "evaluate", 3, 3.0)


class TestDrawing:
    def drawing(self, times: HandlerTimes) -> tuple[int, float]:
        return next(
            (row.calls, row.seconds) for row in times.slowest_first() if row.name == DRAWING_BATCHES
        )

    def test_it_is_what_passes_between_the_handlers_of_two_batches(self, clock: Clock) -> None:
        def batches() -> Any:
            for _ in range(3):
                clock.take(10)
                yield 1

        runner = Runner()
        runner.on(Event.BATCH, [taking(clock, 1, "one"), taking(clock, 1, "two")])
        runner.on(Event.EPOCH_STARTED, taking(clock, 100, "no drawing"))
        times = measured(runner, clock)
        runner.run(batches())
        assert self.drawing(times) == (3, 30.0)

    def test_what_passes_between_two_runs_is_none(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, taking(clock, 1, "train"))
        times = measured(runner, clock)
        for _ in range(2):
            clock.take(3600)
            runner.run([1])
        clock.take(3600)
        runner.resume()
        assert self.drawing(times) == (2, 0.0)

    def test_nor_is_a_pause_nor_a_batch_that_is_delivered_once_more(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(running=state["n_iters"] != 2))
        times = measured(runner, clock)
        runner.run([1, 2])
        clock.take(3600)
        runner.resume(repeat_last_batch=True)
        assert self.drawing(times) == (2, 0.0)

    def test_a_run_that_is_measured_from_the_middle_on_draws_from_the_next_batch_on(
        self, clock: Clock
    ) -> None:
        runner = Runner()
        times = HandlerTimes(runner, clock=clock)
        runner.on(Event.BATCH.once(), lambda _: times.measure())
        runner.on(Event.BATCH, taking(clock, 1, "not measured at first"))
        runner.run([1, 2, 3, 4])
        assert self.drawing(times) == (2, 0.0)


class TestOnAndOff:
    def test_before_and_after_the_handlers_are_as_they_were(self, clock: Clock) -> None:
        runner = Runner()
        EpochTimer().attach_on(runner)
        runner.on(Event.BATCH, [taking(clock, 1, "one"), taking(clock, 1, "two")])
        times = HandlerTimes(runner, clock=clock)
        before = handlers(runner)
        measuring = times.measure()
        assert handlers(runner) != before
        measuring.dispose()
        assert handlers(runner) == before

    def test_what_was_measured_before_is_kept(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, taking(clock, 1, "train"))
        times = HandlerTimes(runner, clock=clock)
        for _ in range(2):
            with times.measure():
                runner.run("ab")
            runner.run("abc")
        assert rows(times)[0] == ("BATCH", "train", 4, 4.0)

    def test_it_goes_on_and_off_in_the_middle_of_a_run_from_another_thread(
        self, clock: Clock
    ) -> None:
        runner = Runner()
        times = HandlerTimes(runner, clock=clock)
        measuring = list[abc.DisposableBase]()

        def switch(n: int) -> None:
            if n == 2:
                on_thread(lambda: measuring.append(times.measure()))
            if n == 5:
                on_thread(measuring[0].dispose)

        def batches() -> Iterator[int]:
            for n in range(1, 9):
                switch(n)  # while this one is drawn
                yield n

        runner.on(Event.BATCH, taking(clock, 1, "train"))
        before = handlers(runner)
        runner.run(batches())
        assert rows(times)[0] == ("BATCH", "train", 3, 3.0)
        assert handlers(runner) == before

    def test_it_goes_on_and_off_in_the_middle_of_a_delivery(self, clock: Clock) -> None:
        runner = Runner()
        times = HandlerTimes(runner, clock=clock)
        measuring = list[abc.DisposableBase]()

        @runner.on(Event.BATCH)
        def switch(state: State) -> None:
            if state["batch"] == 2:
                measuring.append(times.measure())
            if state["batch"] == 5:
                measuring[0].dispose()

        runner.on(Event.BATCH, taking(clock, 1, "train"))
        before = handlers(runner)[Event.BATCH]
        runner.run(range(1, 9))
        assert rows(times)[0] == ("BATCH", "train", 3, 3.0)
        assert handlers(runner)[Event.BATCH] == before

    def test_two_who_measure_at_once_find_the_same(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, [taking(clock, 1, "one"), lambda _: None])
        runner.stream(Event.BATCH).pipe(ops.pairwise()).subscribe()
        one, other = (HandlerTimes(runner, clock=clock) for _ in range(2))
        with one.measure(), other.measure():
            runner.run("abc")
        assert one.slowest_first() == other.slowest_first()
        assert len(one.slowest_first()) == 4

    def test_to_measure_twice_at_once_counts_once(self, clock: Clock) -> None:
        runner = Runner()
        runner.on(Event.BATCH, taking(clock, 1, "train"))
        times = HandlerTimes(runner, clock=clock)
        with times.measure():
            with times.measure():
                runner.run("a")
            runner.run("bc")
        runner.run("def")
        assert rows(times)[0] == ("BATCH", "train", 3, 3.0)

    def test_it_can_be_read_while_the_run_goes_on(self, clock: Clock) -> None:
        runner, seen = Runner(), list[Rows]()
        times = measured(runner, clock)
        runner.on(Event.BATCH, taking(clock, 1, "train"))
        runner.on(Event.EPOCH_FINISHED, lambda _: seen.append(rows(times)))
        runner.run("ab")
        assert seen == [[("BATCH", "train", 2, 2.0), ("BATCH", DRAWING_BATCHES, 2, 0.0)]]


class Model:
    """A user's class, with one of each kind of what can be called."""

    def train(self, _: State) -> None: ...

    @classmethod
    def of_class(cls, _: State) -> None: ...

    @staticmethod
    def static(_: State) -> None: ...

    def __call__(self, _: State) -> None: ...


def function(_: State) -> None: ...


def with_more(_: State, more: int) -> None: ...


class EverythingIsThere:
    """Has every attribute that one may ask for, as some proxies."""

    def __getattr__(self, _: str) -> "EverythingIsThere":
        return self

    def __call__(self, _: State) -> None: ...


class OddlyNamed:
    """Has a name that is not a text."""

    def __init__(self) -> None:
        self.__qualname__ = 3

    def __call__(self, _: State) -> None: ...


def stream(runner: Runner) -> Any:
    return runner.stream(Event.EPOCH_STARTED)


def on(callback: Any) -> Callable[[Runner], Any]:
    return lambda runner: runner.on(Event.EPOCH_STARTED, callback)


HERE = "test_handler_times.py"


class TestNames:
    def row(self, attach: Callable[[Runner], Any]) -> HandlerTime:
        runner = Runner()
        attach(runner)
        times = HandlerTimes(runner)
        with times.measure():
            runner.run([])
        return next(row for row in times.slowest_first() if row.event is Event.EPOCH_STARTED)

    @pytest.mark.parametrize(
        ("attach", "name"),
        [
            (on(function), "function"),
            (on(Model().train), "Model.train"),
            (on(Model.of_class), "Model.of_class"),
            (on(Model.static), "Model.static"),
            (on(Model()), "Model"),
            (on(partial(with_more, more=3)), "with_more"),
            (on(partial(partial(Model().train))), "Model.train"),
            (on(lambda _: None), "TestNames.<lambda>"),
            (on(isolate(function)), "function"),
            (on(isolate(partial(function))), "function"),
            (lambda runner: runner.on(Event.EPOCH_STARTED.every(1), function), "function"),
            (lambda runner: runner.on(Event.EPOCH_STARTED.once(), Model().train), "Model.train"),
            (lambda runner: stream(runner).subscribe(function), "function"),
            (lambda runner: stream(runner).subscribe(Model().train), "Model.train"),
            (lambda runner: stream(runner).subscribe(Observer(function)), "Observer.on_next"),
            (lambda runner: stream(runner).subscribe(Subject()), "Subject.on_next"),
        ],
    )
    def test_a_handler_is_known_by_what_the_user_wrote(
        self, attach: Callable[[Runner], Any], name: str
    ) -> None:
        row = self.row(attach)
        assert row.name == name
        is_of_user = not name.endswith("on_next")
        assert row.where.startswith(HERE) is is_of_user

    def test_the_place_is_the_file_and_the_line_of_the_definition(self) -> None:
        line = function.__code__.co_firstlineno
        assert self.row(on(function)).where == f"{HERE}:{line}"

    def test_a_local_function_is_known_by_its_own_name(self) -> None:
        def local(_: State) -> None: ...

        assert self.row(on(local)).name == "local"

    @pytest.mark.parametrize(
        ("callback", "name"),
        [
            (repr, "repr"),
            ([].append, "list.append"),
            (dict, "dict"),
            (operator.itemgetter("epoch"), "itemgetter"),
        ],
    )
    def test_what_is_not_written_in_python_has_no_place(self, callback: Any, name: str) -> None:
        row = self.row(on(callback))
        assert (row.name, row.where) == (name, "")

    @pytest.mark.parametrize(
        ("attach", "name"),
        [
            (lambda runner: stream(runner).pipe(ops.map(str)).subscribe(), "map_"),
            (lambda runner: stream(runner).pipe(ops.pairwise()).subscribe(), "pairwise_"),
            (on(pipeline(fold("n", max, value="epoch"))), "fold('n')"),
            (on(pipeline(stop(), stop())), "pipeline"),
            (on(checkpoint("model", 1, when="n_iters")), "checkpoint('model')"),
            (on(maybe_stop_early(check="n_iters")), "maybe_stop_early('n_iters')"),
            (lambda runner: reports(runner, on=Event.EPOCH_STARTED).subscribe(), "noop"),
            (lambda runner: EpochTimer().attach_on(runner), "EpochTimer"),
        ],
    )
    def test_what_a_library_makes_is_known_by_what_made_it(
        self, attach: Callable[[Runner], Any], name: str
    ) -> None:
        row = self.row(attach)
        assert row.name == name
        assert not row.where.startswith(HERE)

    def test_reducers_are_told_from_one_another(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(output=1))
        for name in ("loss", "accuracy"):
            MeanReducer(name).attach_on(runner)
        times = HandlerTimes(runner)
        with times.measure():
            runner.run([1])
        names = {row.name for row in times.slowest_first() if row.event is Event.BATCH}
        both = {"MeanReducer('loss')", "MeanReducer('accuracy')"}
        assert names == {*both, "<lambda>", DRAWING_BATCHES}

    @pytest.mark.parametrize("kind", [EverythingIsThere, OddlyNamed])
    def test_one_that_answers_oddly_is_known_by_its_class_and_does_no_harm(
        self, kind: type[Any]
    ) -> None:
        runner = Runner()
        runner.on(Event.EPOCH_STARTED, kind())
        times = HandlerTimes(runner)
        with times.measure():
            runner.run([])
        assert [(row.name, row.where) for row in times.slowest_first()] == [(kind.__name__, "")]


def test_what_is_no_runner_is_refused() -> None:
    with pytest.raises(TypeError, match="runner must be a Runner, got 3"):
        HandlerTimes(3)  # type: ignore[arg-type]


def test_a_handler_that_waits_for_somebody_is_in_no_row(clock: Clock) -> None:
    runner = Runner()
    runner.on(Event.BATCH, taking(clock, 1, "train"))
    wait = taking(clock, 100, "wait")
    vars(wait)["is_untimed"] = True
    runner.on(Event.BATCH, wait)
    times = measured(runner, clock)
    runner.run(range(3))
    assert rows(times) == [("BATCH", "train", 3, 3.0), ("BATCH", DRAWING_BATCHES, 3, 0.0)]


def test_whose_a_handler_is_can_be_told_whatever_it_is() -> None:
    class Odd:
        @property
        def __module__(self) -> str:  # type: ignore[override]
            raise ValueError

        def __call__(self, state: object) -> None: ...

    assert is_own(Odd())
    assert is_own(print)
    assert not is_own(Control().pause)
    assert not is_own(JsonLines("log.jsonl", "loss")._write)
