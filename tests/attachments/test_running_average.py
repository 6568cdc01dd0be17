"""`RunningAverage`: the operators' averages among the statistics, over stops and processes."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np, torch
from rnnr import Event, Layer, Runner
from rnnr.attachments import RunningAverage
from rnnr.operators import ema, running_mean, select
from rnnr.state import State

SETTINGS: list[dict[str, Any]] = [{"decay": 0.5}, {"window": 1}, {"window": 3}, {}]


def operator(settings: dict[str, Any]) -> Any:
    """Return the operator that averages so."""
    window = settings.get("window")
    return running_mean(window) if window else ema(settings.get("decay", 0.98))


def averaged(runner: Runner, settings: dict[str, Any]) -> list[Any]:
    """Attach one, and return the list of what it writes."""
    seen: list[Any] = []
    runner.on(Event.BATCH, lambda state: state.update(loss=state["batch"]))
    RunningAverage("loss", **settings).attach_on(runner)
    stream = runner.stream(Event.BATCH)
    stream.add(lambda state: seen.append(state["stats"]["loss"]), layer=Layer.DISPLAY)
    return seen


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@given(
    values=st.lists(st.integers(-64, 64).map(lambda n: n / 8), max_size=9),
    n_epochs=st.integers(1, 3),
    stops=st.sets(st.integers(1, 20), max_size=3),
)
def test_it_is_what_the_operator_emits_also_over_stops_and_processes(
    settings: dict[str, Any], values: list[float], n_epochs: int, stops: set[int]
) -> None:
    reference, expected = Runner(), list[Any]()
    averages = reference.stream(Event.BATCH).pipe(select("batch"), operator(settings))
    averages.subscribe(expected.append)
    reference.run(values, n_epochs)

    def stop(state: State) -> None:
        state["running"] = state["n_iters"] not in stops

    runner = Runner()
    found = averaged(runner, settings)
    runner.stream(Event.BATCH).add(stop, layer=Layer.STOP)
    runner.run(values, n_epochs)
    while len(found) < len(expected):
        state = pickle.loads(pickle.dumps(runner.state))
        runner = Runner()
        more = averaged(runner, settings)
        runner.stream(Event.BATCH).add(stop, layer=Layer.STOP)
        runner.state = state
        runner.resume()
        found += more
    assert found == expected


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_new_run_begins_again(settings: dict[str, Any]) -> None:
    runner = Runner()
    seen = averaged(runner, settings)
    runner.run([8.0, 4.0])
    runner.run([2.0, 4.0])
    other = Runner()
    expected = averaged(other, settings)
    other.run([2.0, 4.0])
    assert seen[2:] == expected


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_tensors_are_averaged_without_their_graphs_and_buffers_may_be_filled_again(
    settings: dict[str, Any], dtype: str
) -> None:
    model = torch.nn.Linear(1, 1).to(getattr(torch, dtype))
    buffer = np.zeros(2, np.float16)
    runner = Runner()

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["loss"] = model.bias.sum() * state["batch"]
        buffer[:] = state["batch"]
        state["buffer"] = buffer

    with torch.no_grad():
        model.bias.fill_(1.0)
    RunningAverage("loss", **settings).attach_on(runner)
    RunningAverage("buffer", **settings).attach_on(runner)
    runner.run([1.0, 1.0, 4.0])
    loss, array = runner.state["stats"]["loss"], runner.state["stats"]["buffer"]
    reference, expected = Runner(), list[float]()
    averages = reference.stream(Event.BATCH).pipe(select("batch"), operator(settings))
    averages.subscribe(expected.append)
    reference.run([1.0, 1.0, 4.0])
    assert not loss.requires_grad
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected[-1], rel=1e-6)
    assert array.tolist() == pytest.approx([expected[-1]] * 2, rel=1e-6)
    assert "grad_fn" not in repr(runner.state["_run"])


def test_it_stands_beside_other_statistics_and_leaves_the_users_dict_alone() -> None:
    mine = {"rate": 0.1, "loss": "mine"}
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(loss=state["batch"], bar=mine))
    RunningAverage("loss", window=2, stats="bar").attach_on(runner)
    RunningAverage("smooth", value="loss", decay=0.5, stats="bar").attach_on(runner)
    runner.run([4.0, 1.0])
    assert runner.state["bar"] == {"rate": 0.1, "loss": 2.5, "smooth": 2.0}
    assert mine == {"rate": 0.1, "loss": "mine"}


def test_a_value_that_cannot_be_averaged_changes_nothing() -> None:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(loss=state["batch"]))
    RunningAverage("loss", window=2).attach_on(runner)
    expected = r"a value for RunningAverage\('loss'\) must be a number, array or tensor, got 'x'"
    with pytest.raises(TypeError, match=expected):
        runner.run([2.0, 4.0, "x"])
    assert runner.state["stats"] == {"loss": 3.0}
    assert runner.state["_run"]["_average stats loss"]["new"] == [2.0, 4.0]


def test_two_of_one_name_are_refused_and_those_of_two_dicts_are_not() -> None:
    runner = Runner()
    with RunningAverage("loss").attach_on(runner):
        expected = (
            "name must be a statistic that no other part of this runner writes, got .*loss'"
            r".*; RunningAverage\('loss'\) writes it; choose another name"
        )
        with pytest.raises(ValueError, match=expected):
            RunningAverage("loss", window=3).attach_on(runner)
        RunningAverage("loss", stats="more").attach_on(runner)
    RunningAverage("loss", window=3).attach_on(runner)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": 1}, TypeError, "name must be a string, got 1"),
        ({"stats": 1}, TypeError, "stats must be a string, got 1"),
        ({"stats": "epoch"}, ValueError, "stats must be a key of its own, got 'epoch'"),
        ({"stats": "loss"}, ValueError, "stats must be a key of its own, got 'loss'"),
        ({"value": 1}, TypeError, "must be a string, got 1"),
        ({"decay": 1.0}, ValueError, "decay must be a number between 0 and 1, .* got 1.0"),
        ({"decay": "0.9"}, TypeError, "decay must be a number between 0 and 1, .* got '0.9'"),
        ({"window": 0}, ValueError, "window must be an integer of 1 or more, got 0"),
        ({"window": 2.0}, TypeError, "window must be an integer of 1 or more, got 2.0"),
        (
            {"window": 2, "decay": 0.5},
            ValueError,
            "window must be left out where decay is given, got 2 .*; pass one of them",
        ),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RunningAverage(**{"name": "loss", **arguments})


def test_what_is_missing_or_no_dict_is_named_with_the_cure() -> None:
    runner = Runner()
    RunningAverage("loss").attach_on(runner)
    expected = (
        r"state\['loss'\] is missing: RunningAverage\('loss'\) reads it, .*; set state\['loss'\] "
        "in a BATCH callback, or name another key: value="
    )
    with pytest.raises(KeyError, match=expected):
        runner.run([1])
    runner.state.update(loss=1.0, stats=3)
    expected = r"state\['stats'\] must be a dict, got 3 .*; set it to a dict of statistics, or name"
    with pytest.raises(TypeError, match=expected):
        runner.run([1])
