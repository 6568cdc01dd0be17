"""Reports with intervals: the plain floats of all batches, whatever else is in the state."""

import gc
import logging
import weakref
from collections import UserDict
from functools import reduce
from math import inf, isfinite, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np
from rnnr import Event, Layer, Runner, State
from rnnr.reporting import Interval, Report, _batch_values, reports

NAMES = st.sampled_from(["loss", "accuracy", "", "rate", "grad"])
VALUES = st.floats() | st.sampled_from([1e308, 3, "text", None, True])
STATS = st.dictionaries(NAMES, VALUES, max_size=4)


class Slots:
    """A value that notices all that is done with it."""

    def _raise(self, *_: object) -> Any:
        raise AssertionError("it was called")

    __float__ = __add__ = __radd__ = __lt__ = __gt__ = __eq__ = __bool__ = _raise
    __hash__ = _raise
    item = property(_raise)


def trained(story: list[Any], *keys: str, n: int = 7, **others: Any) -> list[Report]:
    """Return the reports of a run whose batches leave something in ``state["stats"]``."""
    runner, seen = Runner(), list[Report]()
    on = others.pop("on", Event.BATCH.every(n) | Event.EPOCH_FINISHED)
    reports(runner, *keys, on=on, intervals=True, **others).subscribe(seen.append)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["stats"] = state["batch"]

    runner.run(story)
    return seen


def whole(report: Report) -> dict[str, Interval]:
    """Return all values of each metric as one interval."""
    found = {}
    for name, parts in report.intervals.items():
        steps = [step for step, _ in parts]
        assert steps == sorted({*steps})
        assert steps[-1] <= report.n_iters
        found[name] = reduce(Interval.joined, (interval for _, interval in parts))
    return found


def stop_after(runner: Runner, n_iters: int) -> None:
    """Stop a run once, when all handlers of a batch have run."""

    def stop(state: State) -> None:
        if state["n_iters"] == n_iters:
            stopping.dispose()
            runner.stop()

    stopping = runner.stream(Event.BATCH).add(stop, layer=Layer.STOP)


def expected(values: list[float]) -> Interval:
    finite = [*filter(isfinite, values)]
    return Interval(
        min(finite, default=nan),
        max(finite, default=nan),
        0.0,
        len(finite),
        len(values) - len(finite),
        values[-1],
    )


@pytest.mark.parametrize("at_once", [1, 3, 256])
@pytest.mark.parametrize("n_parts", [2, 16])
@given(story=st.lists(STATS, max_size=30), n=st.integers(1, 9))
def test_they_are_those_of_all_floats_since_the_report_before(
    at_once: int, n_parts: int, story: list[dict[str, Any]], n: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_batch_values, "_N_BATCHES", at_once)
        patch.setattr(_batch_values, "_N_KINDS", 3)
        patch.setattr(_batch_values, "_N_PARTS", n_parts)
        patch.setattr(_batch_values, "_MOST_PARTS", 2 * n_parts)
        seen = trained(story, n=n)
    begin = 0
    for report in seen:
        values: dict[str, list[float]] = {}
        for stats in story[begin : report.n_iters]:
            for name, value in stats.items():
                if type(value) in (float, int, bool):
                    values.setdefault(name, []).append(float(value))
        begin = report.n_iters
        told = {name: each._replace(sum=0.0) for name, each in whole(report).items()}
        assert repr(sorted(told.items())) == repr(
            sorted((name, expected(many)) for name, many in values.items())
        )
        for name, many in values.items():
            finite = [*filter(isfinite, many)]
            if finite and max(map(abs, finite)) < 1e300:
                assert whole(report)[name].sum == pytest.approx(sum(finite), abs=1e290)


def test_each_batch_has_its_own_where_they_are_few() -> None:
    seen = trained([{"loss": float(i)} for i in range(20)], n=10)
    assert [[(step, each.last) for step, each in r.intervals["loss"]] for r in seen[:2]] == [
        [(step, step - 1.0) for step in range(1, 11)],
        [(step, step - 1.0) for step in range(11, 21)],
    ]


def test_there_are_few_where_batches_are_many() -> None:
    (report,) = trained([{"loss": 1.0}] * 40_000, on=Event.EPOCH_FINISHED)
    assert 16 < len(report.intervals["loss"]) <= 64 + 16


def test_a_counter_of_numpy_is_one() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, on=Event.FINISHED, intervals=True).subscribe(seen.append)
    runner.on(Event.STARTED, lambda state: state.update(n_iters=np.int64(0)))
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    runner.run([1.0, 2.0])
    assert [(step, type(step)) for step, _ in seen[0].intervals["loss"]] == [(1, int), (2, int)]


def test_without_being_asked_for_there_are_none() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner).subscribe(seen.append)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": 1.0}))
    runner.run([1])
    assert {len(report.intervals) for report in seen} == {0}


def test_a_batch_that_is_not_reported_is_in_the_next_interval() -> None:
    seen = trained([{"loss": float(i)} for i in range(10)], n=4)
    told = [(r.n_iters, whole(r).get("loss")) for r in seen]
    assert told == [
        (4, Interval(0.0, 3.0, 6.0, 4, 0, 3.0)),
        (8, Interval(4.0, 7.0, 22.0, 4, 0, 7.0)),
        (10, Interval(8.0, 9.0, 17.0, 2, 0, 9.0)),
    ]


def test_the_last_value_is_the_latest_also_when_other_metrics_come_and_go() -> None:
    story = [{"a": 1.0}, {"a": 2.0, "b": 0.0}, {"a": 3.0}, {"a": 4.0, "b": 9.0}, {"a": 5.0}]
    (report,) = trained(story, on=Event.EPOCH_FINISHED)
    assert whole(report)["a"] == Interval(1.0, 5.0, 15.0, 5, 0, 5.0)
    assert whole(report)["b"] == Interval(0.0, 9.0, 9.0, 2, 0, 9.0)


def test_named_keys_are_numbers_or_mappings() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, "rate", "scores", "absent", on=Event.EPOCH_FINISHED, intervals=True).subscribe(
        seen.append
    )

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["stats"] = {"loss": 1.0}
        state["rate"] = state["batch"]
        if state["n_iters"] == 3:
            state["scores"] = {"f1": 0.5, "text": "no"}

    runner.run([0.1, 0.2, 0.3])
    intervals = whole(seen[0])
    assert (intervals["loss"].count, intervals["rate"].greatest) == (3, 0.3)
    assert intervals["f1"] == Interval(0.5, 0.5, 0.5, 1, 0, 0.5)
    assert intervals.keys() == {"loss", "rate", "f1"}


def test_a_named_key_that_is_a_float_is_seen_without_stats() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, "loss", on=Event.EPOCH_FINISHED, intervals=True).subscribe(seen.append)
    runner.on(Event.BATCH, lambda state: state.update(loss=state["batch"]))
    runner.run([1.0, 5.0])
    assert whole(seen[0]) == {"loss": Interval(1.0, 5.0, 6.0, 2, 0, 5.0)}


@pytest.mark.parametrize(
    "stats",
    [None, 3, "text", [1.0], Slots(), {"loss": Slots()}, {Slots: 1}, {"a": {"b": 1.0}}],
    ids=lambda each: type(each).__name__,
)
def test_nonsense_does_no_harm(stats: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen = trained([stats, {"loss": 2.0}], on=Event.EPOCH_FINISHED)
    assert whole(seen[0])["loss"] == Interval(2.0, 2.0, 2.0, 1, 0, 2.0)
    assert caplog.records == []


def test_what_comes_in_place_of_a_number_is_left_out() -> None:
    story = [{"loss": 1.0}, {"loss": Slots()}, {"loss": "text"}, {"loss": 3.0}, {"loss": 10**400}]
    (report,) = trained(story, on=Event.EPOCH_FINISHED)
    assert whole(report) == {"loss": Interval(1.0, 3.0, 4.0, 2, 0, 3.0)}


def test_statistics_that_are_changed_while_they_are_read_are_told_and_do_no_further_harm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def summed(values: Any, start: float) -> float:
        total: float = sum(values, start)
        if total == 2.0:  # another thread comes between
            story[1]["late"] = 5.0
        return total

    monkeypatch.setattr(_batch_values, "sum", summed, raising=False)
    story = [{"loss": float(i)} for i in range(1, 8)]
    first, second, _ = trained(story, on=Event.BATCH.every(3) | Event.EPOCH_FINISHED)
    assert caplog.records
    assert "changed while it was read" in caplog.text
    assert (first.n_iters, whole(first)) == (3, {})
    assert whole(second)["loss"] == Interval(4.0, 6.0, 15.0, 3, 0, 6.0)


def test_a_value_that_is_not_a_plain_float_is_neither_called_nor_kept() -> None:
    class Tensor:
        def __float__(self) -> float:
            read.append(1)
            return 1.0

    read: list[int] = []
    runner = Runner()
    source = reports(runner, on=Event.FINISHED, intervals=True)
    source.subscribe(lambda _: None)
    alive: list[weakref.ref[Any]] = []

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        tensor = Tensor()
        alive.append(weakref.ref(tensor))
        state["stats"] = {"loss": tensor, "rate": 1.0}

    @runner.on(Event.EPOCH_FINISHED)
    def look(state: State) -> None:
        state["stats"] = {}
        gc.collect()
        assert [each() for each in alive] == [None] * 3

    runner.run("abc")
    assert read == []


def test_a_float_of_numpy_is_a_plain_float_and_one_of_32_bits_is_not() -> None:
    (report,) = trained([{"a": np.float64(0.5), "b": np.float32(1)}], on=Event.EPOCH_FINISHED)
    assert whole(report) == {"a": Interval(0.5, 0.5, 0.5, 1, 0, 0.5)}
    assert type(whole(report)["a"].least) is float


def test_any_mapping_and_any_names_will_do() -> None:
    (report,) = trained(
        [UserDict({"loss": 1.0, 7: 2.0}), {7: 3.0, "loss": 0.5}], on=Event.EPOCH_FINISHED
    )
    assert {name: each.count for name, each in whole(report).items()} == {"loss": 2, "7": 2}


def test_what_raises_is_logged_once_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Name:
        def __hash__(self) -> int:
            return 1

        def __str__(self) -> str:
            raise ValueError("no name")

    caplog.set_level(logging.ERROR)
    seen = trained([{Name(): 1.0}] * 3, on=Event.EPOCH_FINISHED)
    assert whole(seen[0]) == {}
    assert len([r for r in caplog.records if r.name == "rnnr.isolation"]) == 1


def test_the_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_batch_values, "_N_METRICS", 5)
    (report,) = trained([{f"loss {i}": 1.0} for i in range(50)], on=Event.EPOCH_FINISHED)
    assert len(report.intervals) == 5


def test_a_new_run_begins_again_and_one_that_goes_on_does_not() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, on=Event.FINISHED, intervals=True).subscribe(seen.append)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    stop_after(runner, 2)
    runner.run([1.0, 2.0, 3.0])
    runner.resume()
    assert whole(seen[-1])["loss"].count == 3
    stop_after(runner, 2)
    runner.run([1.0, 2.0, 3.0])
    runner.run([5.0])
    assert whole(seen[-1])["loss"].count == 1


def test_a_run_that_was_set_back_does_not_count_what_it_has_forgotten() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, on=Event.FINISHED, intervals=True).subscribe(seen.append)
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    stop_after(runner, 2)
    runner.run([1.0, 2.0, 3.0])
    runner.state["n_iters"] = 1
    runner.resume()
    assert whole(seen[-1])["loss"] == Interval(1.0, 3.0, 4.0, 2, 0, 3.0)


def test_a_callback_may_set_it_back_between_two_reports() -> None:
    runner, seen = Runner(), list[Report]()
    reports(runner, on=Event.FINISHED, intervals=True).subscribe(seen.append)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        if state["batch"] == "undo":
            state["n_iters"] = 2
        state["stats"] = {"loss": float(state["n_iters"]), f"at {state['n_iters']}": 1.0}

    runner.run(["", "", "", "", "undo", ""])
    assert [step for step, _ in seen[0].intervals["loss"]] == [1, 2, 3]
    assert {name for name in seen[0].intervals if name != "loss"} == {"at 1", "at 2", "at 3"}


def test_integers_and_truth_values_are_numbers_too() -> None:
    story = [{"hinge": 0}, {"hinge": 0.5}, {"hinge": True}, {"hinge": 10**400}, {"hinge": 2}]
    (report,) = trained(story, on=Event.EPOCH_FINISHED)
    assert whole(report) == {"hinge": Interval(0.0, 2.0, 3.5, 4, 0, 2.0)}
    assert {type(each.least) for _, each in report.intervals["hinge"]} == {float}


def test_a_constant_has_itself_as_its_mean() -> None:
    (report,) = trained([{"rate": 0.1}] * 1000, on=Event.EPOCH_FINISHED)
    assert {each.mean for _, each in report.intervals["rate"]} == {0.1}


def test_not_a_number_and_infinity_are_counted() -> None:
    (report,) = trained(
        [{"a": nan}, {"a": inf}, {"a": 1e308}, {"a": 1e308}], on=Event.EPOCH_FINISHED
    )
    interval = whole(report)["a"]
    assert (interval.not_finite, interval.count, interval.mean) == (2, 2, 1e308)
    (report,) = trained([{"a": nan}], on=Event.EPOCH_FINISHED)
    assert isnan(whole(report)["a"].mean)
