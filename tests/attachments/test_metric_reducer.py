"""`MetricReducer`: a metric object counts each epoch, over stops, errors, pickles and kills."""

import copy
import pickle
import random
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np, torch
from helpers.metrics import Chained, Mean, Median, Stateful
from rnnr import Event, Layer, RnnrWarning, Runner, State
from rnnr.attachments import LambdaReducer, MeanReducer, MetricReducer
from rnnr.callbacks import checkpoint, early_stopping, evaluate
from rnnr.durable import Snapshots
from rnnr.reporting import reports


def counting(metric: Any = None, **settings: Any) -> tuple[Runner, Any]:
    """Return a runner that counts its batches, and the metric."""
    runner, metric = Runner(), metric or Mean()
    MetricReducer("metric", metric, **{"value": "batch", **settings}).attach_on(runner)
    return runner, metric


def stop_at(runner: Runner, *n_iters: int) -> None:
    """Stop after whole batches."""

    def stop(state: State) -> None:
        state["running"] = state["n_iters"] not in n_iters

    runner.stream(Event.BATCH).add(stop, layer=Layer.STOP)


class Best(Mean):
    """The best mean of all epochs, which `reset` leaves."""

    best = 0.0

    def compute(self) -> float:
        self.best = max(self.best, super().compute())
        return self.best


# What is stored, and when.


def test_each_epoch_is_counted_alone_and_all_callbacks_of_its_end_see_the_result(
    tmp_path: Path,
) -> None:
    runner, seen = Runner(), list[Any]()
    runner.on(Event.EPOCH_FINISHED, lambda state: seen.append(state["metric"]))
    runner.on(Event.EPOCH_FINISHED, checkpoint("metric", best="metric", at_most=1, under=tmp_path))
    early_stopping("metric", "max", patience=0).attach_on(runner)
    MetricReducer("metric", Mean(), value="batch").attach_on(runner)
    reported = list[Any]()
    reports(runner, on=Event.EPOCH_FINISHED).subscribe(
        lambda report: reported.append((report.results, report.metrics["metric"]))
    )

    class Batches:
        n = 0

        def __iter__(self) -> Any:
            self.n += 1
            return iter([[1, 2], [3, 6], [0, 1], [9]][self.n - 1])

    runner.run(Batches(), 4)
    assert seen == [1.5, 4.5, 0.5]  # early stopping has read them, too
    assert reported == [(("metric",), value) for value in seen]
    assert len([*tmp_path.iterdir()]) == 1


def test_an_epoch_without_batches_has_none_and_nothing_is_computed() -> None:
    runner, metric = counting()
    metric.compute = lambda: 1 / 0
    runner.run([])
    assert runner.state["metric"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("batch", [([1, 2],), ([3],)]),
        (lambda state: tuple(state["batch"]), [(1, 2), (3,)]),
        (lambda state: (tuple(state["batch"]),), [((1, 2),), ((3,),)]),
        (lambda state: state["n_iters"], [(1,), (2,)]),
    ],
)
def test_a_key_or_a_function_says_what_it_is_updated_with_and_a_tuple_is_several_arguments(
    value: Any, expected: list[Any]
) -> None:
    class Calls(Median):
        def update(self, *args: Any) -> None:
            self.values.append(args)

        def compute(self) -> Any:
            return self.values

    runner, _ = counting(Calls(), value=value)
    runner.run([[1, 2], [3]])
    assert runner.state["metric"] == expected


def test_the_metric_has_copies_without_graphs_of_buffers_that_are_filled_again() -> None:
    buffer, weight = np.zeros(1), torch.ones(1, requires_grad=True)
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        buffer[:] = state["batch"]
        state["output"] = (buffer, {"loss": [weight * state["batch"]]})

    class Kept(Median):
        def update(self, *args: Any) -> None:
            self.values.append(args)

        def compute(self) -> Any:
            return self.values

    MetricReducer("kept", Kept()).attach_on(runner)
    runner.run([1.0, 2.0])
    (first, losses), (second, _) = runner.state["kept"]
    assert (first.item(), second.item()) == (1, 2)
    assert losses["loss"][0].grad_fn is None
    assert not losses["loss"][0].requires_grad


def test_the_result_is_a_copy_that_the_next_epoch_does_not_change() -> None:
    class Matrix:
        def __init__(self) -> None:
            self.counts = np.zeros(2, int)

        def reset(self) -> None:
            self.counts[:] = 0

        def update(self, i: int) -> None:
            self.counts[i] += 1

        def compute(self) -> Any:
            return {"counts": self.counts}

    runner, _ = counting(Matrix())
    seen = list[Any]()
    runner.on(Event.BATCH, lambda state: seen.append(state.get("metric")))
    runner.run([0, 0], 2)
    assert seen[-1]["counts"].tolist() == [2, 0]


class Several(Mean):
    """A metric with several results."""

    def compute(self) -> Any:
        return {"mean": self.total / self.n, "n": np.int64(self.n), "all": np.ones((2, 2))}


def test_several_results_become_keys_that_early_stopping_reads() -> None:
    runner, _ = counting(Several())
    runner.on(Event.EPOCH_FINISHED, lambda state: state.update(state["metric"]))
    early_stopping("mean", patience=0).attach_on(runner)
    runner.run([1, 2], 9)
    assert (runner.state["epoch"], runner.state["mean"]) == (2, 1.5)


def test_the_numbers_among_several_results_are_reported() -> None:
    runner, _ = counting(Several())
    seen = list[Any]()
    reports(runner, on=Event.EPOCH_FINISHED).subscribe(lambda report: seen.append(report.metrics))
    runner.run([1, 2])
    assert dict(seen[0]) == {"mean": 1.5, "n": 2}


def test_an_evaluation_copies_the_result() -> None:
    evaluator, _ = counting()
    trainer = Runner()
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, [2, 4], prefix="valid_"))
    trainer.run([1])
    assert trainer.state["valid_metric"] == 3


def test_it_is_detached_in_the_middle_of_an_epoch_and_another_one_takes_its_name() -> None:
    runner, metric = Runner(), Mean()
    first = MetricReducer("metric", metric, value="batch").attach_on(runner)

    @runner.on(Event.BATCH.once())
    def change(_: State) -> None:
        first.dispose()
        MetricReducer("metric", metric, value="batch").attach_on(runner)

    runner.run([1, 2, 4])
    assert runner.state["metric"] == 3  # of the batches after it was attached


def test_one_that_is_attached_after_the_last_batch_has_none() -> None:
    runner, metric = Runner(), Mean()
    old = MetricReducer("metric", metric, value="batch").attach_on(runner)

    def change(state: State) -> None:
        if state["n_iters"] == 2:
            old.dispose()
            MetricReducer("metric", metric, value="batch").attach_on(runner)

    runner.stream(Event.BATCH).add(change, layer=Layer.STOP)
    runner.run([1, 2])
    assert runner.state["metric"] is None


def test_one_that_is_attached_between_a_stop_and_resume_counts_from_there() -> None:
    runner = Runner()
    stop_at(runner, 1)
    runner.run([1, 2, 4])
    MetricReducer("metric", Mean(), value="batch").attach_on(runner)
    runner.resume()
    assert runner.state["metric"] == 3


# Arguments.


def test_two_of_one_name_are_refused() -> None:
    runner, _ = counting()
    with pytest.raises(ValueError, match=r"MetricReducer\('metric'\) writes it"):
        MeanReducer("metric").attach_on(runner)
    with pytest.raises(ValueError, match=r"MetricReducer\('metric'\) writes it"):
        MetricReducer("metric", Mean()).attach_on(runner)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 1}, TypeError, "name must be a string, got 1"),
        ({"name": "epoch"}, ValueError, "name must be a key of its own, got 'epoch'"),
        (
            {"metric": Mean},
            TypeError,
            r"metric must be an object with update, compute and reset, got .*; make one, Mean\(",
        ),
        ({"metric": max}, TypeError, "got .*; give it update, compute, reset; a function of one"),
        ({"metric": {}}, TypeError, r"got \{\} .*; give it compute, reset;"),
        ({"value": 1}, TypeError, r"MetricReducer\('metric'\) must be a string, got 1"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MetricReducer(**{"name": "metric", "metric": Mean(), **arguments})


def test_what_is_missing_is_named_with_the_cure() -> None:
    runner, _ = counting(value="output")
    expected = r"state\['output'\] is missing: MetricReducer\('metric'\) reads it.*value='...'"
    with pytest.raises(KeyError, match=expected):
        runner.run([1])


def test_an_error_of_an_update_says_what_it_was_called_with() -> None:
    runner, _ = counting(value=lambda state: (1, "two"))
    with pytest.raises(TypeError) as caught:
        runner.run([1])
    notes = caught.value.__notes__
    assert "rnnr: while MetricReducer('metric') called update(int, str)" in notes
    runner, _ = counting()
    with pytest.raises(TypeError) as caught:
        runner.run(["two"])
    assert "rnnr: while MetricReducer('metric') called update(str)" in caught.value.__notes__


# Stops, errors, pickles.


@given(
    values=st.lists(st.integers(-9, 9), max_size=7),
    n_epochs=st.integers(1, 3),
    stops=st.sets(st.integers(1, 20), max_size=3),
    way=st.sampled_from(["the same process", "a pickle", "a copy"]),
)
def test_a_run_that_is_stopped_has_the_results_of_one_that_is_not(
    values: list[int], n_epochs: int, stops: set[int], way: str
) -> None:
    def runner_with(results: list[Any]) -> Runner:
        runner, _ = counting(Median())
        MetricReducer("mean", Mean(), value="batch").attach_on(runner)
        runner.on(
            Event.EPOCH_FINISHED, lambda state: results.append((state["metric"], state["mean"]))
        )
        return runner

    expected, found = list[Any](), list[Any]()
    runner_with(expected).run(values, n_epochs)
    runner = runner_with(found)
    stop_at(runner, *stops)
    runner.run(values, n_epochs)
    for _ in stops:
        if len(found) < n_epochs:
            if way != "the same process":
                is_pickle = way == "a pickle"
                state = runner.state
                state = pickle.loads(pickle.dumps(state)) if is_pickle else copy.deepcopy(state)
                runner = runner_with(found)
                stop_at(runner, *stops)
                runner.state = state
            runner.resume()
    assert found == expected


def test_a_pickle_of_a_pickle_that_was_never_resumed_is_the_same() -> None:
    runner, _ = counting()
    stop_at(runner, 2)
    runner.run([1, 2, 6])
    state = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(runner.state))))
    runner, metric = counting()
    runner.state = state
    runner.resume()
    assert runner.state["metric"] == 3
    assert metric.n == 3


def test_what_a_metric_keeps_beyond_its_reset_is_kept_between_epochs_too() -> None:
    def runner_with_best() -> Runner:
        runner, _ = counting(Best())
        runner.stream(Event.EPOCH_FINISHED).add(
            lambda state: state.update(running=state["epoch"] != 1), layer=Layer.STOP
        )
        return runner

    runner = runner_with_best()
    runner.run([2], 2)
    state = pickle.loads(pickle.dumps(runner.state))
    runner = runner_with_best()
    runner.state = {**state, "batches": [1]}
    runner.resume()
    assert runner.state["metric"] == 2


def test_a_batch_that_is_delivered_again_for_another_reducer_is_counted_once() -> None:
    runner, metric = counting()
    LambdaReducer("other", lambda a, b: a + b).attach_on(runner)
    with pytest.raises(KeyError):
        runner.run([1, 3])
    runner.on(Event.BATCH, lambda state: state.update(output=1))
    runner.resume(repeat_last_batch=True)
    assert (runner.state["metric"], metric.n) == (2, 2)


@pytest.mark.parametrize("way", ["the same process", "a pickle"])
def test_an_update_that_was_left_in_the_middle_is_warned_of(way: str) -> None:
    runner, metric = counting()
    with pytest.raises(TypeError):
        runner.run([1, "two", 3])
    assert (metric.n, metric.total) == (2, 1.0)  # half of the second batch
    if way == "a pickle":
        state = pickle.loads(pickle.dumps(runner.state))
        runner, metric = counting()
        runner.state = state
    with pytest.warns(RnnrWarning) as caught:
        runner.resume()
    expected = r"an update of MetricReducer('metric') must be whole, got one of batch 2 that was"
    assert any(expected in str(warning.message) for warning in caught)
    runner.run([1, 3])
    assert runner.state["metric"] == 2


def test_a_state_that_was_saved_before_the_metric_had_its_batch_is_warned_of() -> None:
    runner, _ = counting()
    runner.on(Event.BATCH.every(2), lambda state: runner.stop())
    runner.run([1, 2, 3])
    state = pickle.loads(pickle.dumps(runner.state))
    runner, metric = counting()
    runner.state = state
    with pytest.warns(RnnrWarning, match="the reducers have its last batch"):
        runner.resume()
    assert metric.n == 2


def test_a_metric_that_is_made_otherwise_is_refused() -> None:
    runner, _ = counting()
    stop_at(runner, 1)
    runner.run([1, 2])
    other, _ = counting(Median())
    other.state = pickle.loads(pickle.dumps(runner.state))
    expected = r"metric of MetricReducer\('metric'\) must be made as the one that was saved, Mean,"
    with pytest.raises(ValueError, match=expected):
        other.resume()


# One metric for several.


def test_one_metric_serves_a_training_and_its_evaluation_one_after_the_other() -> None:
    metric = Mean()
    trainer, _ = counting(metric)
    evaluator, _ = counting(metric)
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, [10, 20], prefix="valid_"))
    seen = list[Any]()
    trainer.on(
        Event.EPOCH_FINISHED, lambda state: seen.append((state["metric"], state["valid_metric"]))
    )
    trainer.run([1, 3], 2)
    assert seen == [(2, 15)] * 2
    state = pickle.loads(pickle.dumps(trainer.state))  # the metric belongs to the other one by now
    trainer, _ = counting()
    trainer.state = state
    trainer.state["max_epoch"] = 3
    trainer.resume()
    assert trainer.state["metric"] == 2


@pytest.mark.parametrize("is_resumed", [False, True])
def test_an_epoch_whose_metric_another_epoch_has_reset_raises_an_error(is_resumed: bool) -> None:
    metric = Mean()
    trainer, _ = counting(metric)
    evaluator, _ = counting(metric)
    if is_resumed:
        stop_at(trainer, 1)
        trainer.run([1, 3])
        evaluator.run([5])
    else:
        trainer.on(Event.BATCH.every(2), evaluate(evaluator, [5], prefix="valid_"))
    expected = (
        r"the metric of MetricReducer\('metric'\) must be its own until its epoch has ended, got "
        r".*Mean object.*; give each a metric of its own, for example copy.deepcopy\(metric\)"
    )
    with pytest.raises(RuntimeError, match=expected):
        trainer.resume() if is_resumed else trainer.run([1, 3])
    with pytest.raises(RuntimeError, match=expected):
        pickle.dumps(trainer.state)
    trainer.run([])  # a new epoch takes it back


def test_a_metric_that_is_attached_twice_raises_an_error() -> None:
    runner, metric = counting()
    MetricReducer("again", metric, value="batch").attach_on(runner)
    with pytest.raises(RuntimeError, match=r"the metric of MetricReducer\('metric'\) must be its"):
        runner.run([1])


def test_a_metric_that_is_attached_and_in_another_one_raises_an_error() -> None:
    class Both(Mean):
        def __init__(self) -> None:
            self.parts = {"mean": Mean(), "median": Median()}
            super().__init__()

        def reset(self) -> None:
            super().reset()
            for part in self.parts.values():
                part.reset()  # type: ignore[attr-defined]

        def update(self, value: float) -> None:
            super().update(value)
            for part in self.parts.values():
                part.update(value)  # type: ignore[attr-defined]

    runner, both = counting(Both())
    MetricReducer("part", both.parts["mean"], value="batch").attach_on(runner)
    with pytest.raises(RuntimeError, match=r"the metric of MetricReducer\('metric'\) must be its"):
        runner.run([1])


def test_a_run_that_was_stopped_and_is_forgotten_leaves_its_metric_to_the_next() -> None:
    metric = Mean()
    old, _ = counting(metric)
    stop_at(old, 1)
    old.run([1, 2])
    new, _ = counting(metric)
    new.run([4])
    assert new.state["metric"] == 4


def test_a_run_on_another_thread_counts_the_same() -> None:
    runner, _ = counting()
    thread = Thread(target=runner.run, args=([1, 2, 6],))
    thread.start()
    thread.join()
    assert runner.state["metric"] == 3


# Snapshots.


@pytest.mark.parametrize("n_iters", range(1, 7))
def test_a_run_that_is_killed_has_the_results_of_one_that_is_not(
    tmp_path: Path, n_iters: int
) -> None:
    def history(folder: str, kill_at: int | None = None) -> Any:
        runner = Runner()
        metrics: Any = {"chained": Chained(), "stateful": Stateful(), "median": Median()}
        for name, metric in metrics.items():
            MetricReducer(name, metric, value="batch").attach_on(runner)

        @runner.on(Event.EPOCH_FINISHED)
        def keep(state: State) -> None:
            kept = [state[name] for name in ("chained", "stateful", "median")]
            state["history"] = [*state.get("history", []), kept]

        snapshots = Snapshots(tmp_path / folder, every=Event.BATCH, background=False)
        snapshots.attach_on(runner)
        killing = Event.BATCH.where(lambda state: state["n_iters"] == kill_at)
        runner.on(killing, lambda _: 1 / 0)
        runner.run([7.5, 2.0, 4.25], 2)
        return runner.state["history"]

    expected = history("undisturbed")
    with pytest.raises(ZeroDivisionError):
        history("killed", n_iters)
    assert str(history("killed")) == str(expected)


def test_a_metric_with_an_object_in_it_is_refused_before_the_first_batch(tmp_path: Path) -> None:
    class Odd(Mean):
        rng: Any = None

        def reset(self) -> None:
            super().reset()
            self.rng = random.Random(0)

    runner, _ = counting(Odd())
    seen = list[Any]()
    runner.on(Event.BATCH, seen.append)
    Snapshots(tmp_path).attach_on(runner)
    expected = (
        r"metric.rng must be a plain value to be saved \(.*\), or a metric, a function or a model, "
        r"got <random.Random .*; keep plain values there, or leave it out in __getstate__ if"
    )
    with pytest.raises(TypeError, match=expected):
        runner.run([1])
    assert seen == []
    runner, _ = counting(Odd())
    runner.run([1])  # without snapshots it may have what it likes
    assert runner.state["metric"] == 1


def test_a_metric_with_a_state_of_its_own_is_not_warned_of_as_unsaved(tmp_path: Path) -> None:
    evaluator, _ = counting(Stateful())
    trainer, _ = counting(Stateful())
    trainer.on(Event.EPOCH_FINISHED, evaluate(evaluator, [2], prefix="valid_"))
    Snapshots(tmp_path).attach_on(trainer)
    trainer.run([1])  # a warning would be an error
    assert (trainer.state["metric"], trainer.state["valid_metric"]) == (1, 2)
