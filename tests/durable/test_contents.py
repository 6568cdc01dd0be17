"""What a snapshot holds: objects, state and random states, as a whole."""

import json
import logging
import random
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from helpers.values import file_of
from rnnr import Event, Runner, State
from rnnr._values._pack import Template
from rnnr._values._safetensors import read_header
from rnnr._values._templates import find_templates
from rnnr.durable import Snapshots
from rnnr.durable._contents import Given, Values, pack_values
from rnnr.durable._random_states import RandomStates

np = pytest.importorskip("numpy")


class Pair(NamedTuple):
    one: Any
    other: Any


class Model:
    def __init__(self, weights: Any = 0.0) -> None:
        self.weights = weights

    def state_dict(self) -> Any:
        return {"weights": self.weights}

    def load_state_dict(self, state: Any) -> None:
        self.weights = state["weights"]


def saved(
    state: Any,
    objects: Any = None,
    *,
    removed: Any = (),
    versions: Any = None,
    templates: Any = None,
) -> Values:
    """Return values that were written and read."""
    packer, tree, _ = pack_values(
        state,
        removed,
        objects or {},
        RandomStates([]).capture(),
        templates or {},
        Given(None, None, had_other_batches=False, had_workers=False, n_batches=None),
    )
    written = {"values": tree, "versions": versions or {}, "saved_at": 0.0}
    manifest = json.loads(json.dumps(written, allow_nan=False))
    return Values(manifest, read_header(memoryview(file_of(packer))))


def test_state_objects_and_random_states_are_put_back() -> None:
    random.seed(1)
    templates = {("model",): Template(Model, 1), ("a",): Template(Model, 2)}
    values = saved({"n": 3, "rows": [1]}, {"model": Model(5), "w": np.ones(2)}, templates=templates)
    expected = random.random()
    state: State = {"n": 0, "other": 1}
    model, weights = Model(), np.zeros(2)
    values.restore(state, {"model": model, "w": weights})
    RandomStates([]).restore(values.random_states)
    assert state == {"n": 3, "rows": [1], "other": 1}
    assert model.weights == 5
    assert weights.tolist() == [1, 1]
    assert random.random() == expected


def test_what_the_state_shares_with_an_object_it_shares_again() -> None:
    weights = np.ones(2)
    own = np.zeros(2)
    state: State = {"w": None}
    saved({"w": weights}, {"weights": weights}).restore(state, {"weights": own})
    assert state["w"] is own


def test_keys_that_were_removed_are_removed_again() -> None:
    state: State = {"a": 1, "b": 2}
    saved({}, removed=["a", "never there"]).restore(state, {})
    assert state == {"b": 2}


def test_an_object_that_was_not_saved_then_stays_as_it_is() -> None:
    model = Model(7)
    saved({}, {"model": None}).restore({}, {"model": model})
    assert model.weights == 7


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (["a"], ["b"], "those that were saved, a, got b; name the same ones, or begin"),
        (["b", "a"], [], "those that were saved, a, b, got none;"),
        ([], ["a"], "those that were saved, none, got a;"),
    ],
)
def test_other_objects_are_refused(before: list[str], now: list[str], message: str) -> None:
    state: State = {"n": 0}
    values = saved({"n": 1}, {name: [1] for name in before})
    with pytest.raises(ValueError, match=message):
        values.restore(state, {name: [1] for name in now})
    assert state == {"n": 0}


@pytest.mark.parametrize("other", [np.zeros(3), np.zeros(2, "f4"), [0, 0], {}], ids=str)
def test_an_object_of_another_shape_is_refused(other: Any) -> None:
    values = saved({}, {"w": np.ones(2)})
    with pytest.raises(ValueError, match="w must have the type and the shape that were saved, got"):
        values.restore({}, {"w": other})


def test_another_version_of_a_library_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rnnr.durable")
    versions = {"numpy": "0.1", "rnnr": "0.2", "python": "2.7", "not_there": "1"}
    saved({}, versions=versions).restore({}, {})
    told = [record.getMessage().partition(" and goes on")[0] for record in caplog.records]
    assert told == [f"The run was saved with {one}" for one in ("numpy 0.1", "rnnr 0.2")]


PARTS = ["state", "objects", "removed", "given", "random_states"]


@pytest.mark.parametrize("key", PARTS)
def test_a_manifest_that_lacks_something_is_an_error(key: str) -> None:
    tree: dict[str, Any] = {name: [] for name in PARTS} | {"given": [1, 1, False, False, None]}
    manifest = {"values": tree | {"random_states": 1}, "versions": {}, "saved_at": 0.0}
    Values(manifest, {})
    del manifest["values"][key]  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        Values(manifest, {})


def test_what_is_nested_too_deeply_is_refused_by_its_name() -> None:
    value: Any = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(
        ValueError, match=r"state\['x'\] must be nested less deeply, got .*flat list"
    ):
        saved({"x": value})
    while value:  # or its end is a recursion, too
        value = value[0]


def test_names_of_any_characters_are_names() -> None:
    state: State = {}
    objects = {"\ud800\udc00": [1], "a b": [2]}
    saved({"\ud800\udc00": 3}, objects).restore(state, {"\ud800\udc00": [], "a b": []})
    assert state == {"\ud800\udc00": 3}


def test_templates_are_found_where_values_are_put_in_their_places() -> None:
    model, items = Model(), [1, Model()]
    items.append(items)
    value = {
        "a": model,
        "b": (items, {"c": Pair(model, Pair(1, 2))}),
        "d": deque([model]),
        "e": {model},
        "f": np.zeros(3),
        "g": Model,
    }
    assert dict(find_templates(value, ("x",))) == {
        ("x", "a"): Template(Model, id(model)),
        ("x", "b", 0, 1): Template(Model, id(items[1])),
        ("x", "b", 1, "c"): Template(Pair),
        ("x", "b", 1, "c", "one"): Template(Model, id(model)),
        ("x", "b", 1, "c", "other"): Template(Pair),
    }


# In a run.


def run(folder: Path, set_up: Any, on_batch: Any, *, n_batches: int = 3, **objects: Any) -> Runner:
    runner = Runner()
    set_up(runner.state)
    runner.on(Event.BATCH, on_batch)
    Snapshots(folder, every=Event.BATCH, **objects).attach_on(runner)
    runner.run(range(n_batches), max_epoch=1)
    return runner


def test_a_key_that_a_callback_removed_is_not_there_after_a_restart(tmp_path: Path) -> None:
    seen = []

    def on_batch(state: State) -> None:
        seen.append("first" in state)
        state.pop("first", None)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, lambda state: state.update(first=1), on_batch)
    run(tmp_path, lambda state: state.update(first=1), on_batch)
    assert seen == [True, False, False, False]


def test_objects_that_the_state_had_at_the_beginning_are_restored(tmp_path: Path) -> None:
    calls = []

    def set_up(state: State) -> None:
        state["parts"] = [SimpleNamespace(), {"model": Model(), "moments": Pair(np.zeros(1), 0)}]
        state["parts"].pop(0)

    def on_batch(state: State) -> None:
        calls.append(state["n_iters"])
        part = state["parts"][0]
        part["model"].weights += 1
        part["moments"] = Pair(part["moments"].one + 1, state["n_iters"])
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, set_up, on_batch)
    part = run(tmp_path, set_up, on_batch).state["parts"][0]
    assert part["model"].weights == 3
    assert part["moments"] == Pair(3, 3)


@pytest.mark.filterwarnings("ignore:what changes in a run must be saved")
@pytest.mark.parametrize("value", [Model(), Pair(1, 2)], ids=["object", "named tuple"])
@pytest.mark.parametrize("where", ["new", "parts"])
def test_an_object_that_a_restart_would_miss_is_refused_at_once(
    tmp_path: Path, value: Any, where: str
) -> None:
    def on_batch(state: State) -> None:
        state["parts"] += [value] if where == "parts" else []
        state.setdefault(where, value)

    with pytest.raises(TypeError, match="must be there before the run begins"):
        run(tmp_path, lambda state: state.update(parts=[]), on_batch)


def test_objects_are_saved_in_a_run_that_is_resumed_in_its_process(tmp_path: Path) -> None:
    model, runner = Model(), Runner()

    @runner.on(Event.BATCH)
    def on_batch(state: State) -> None:
        model.weights += 1
        if state["n_iters"] == 2:
            runner.stop()

    runner.run(range(4), max_epoch=1)
    Snapshots(tmp_path, every=Event.BATCH, parts=[model]).attach_on(runner)
    runner.resume()
    assert model.weights == 4
    assert [*tmp_path.glob("*-F")]


def test_arrays_that_cannot_take_a_value_are_refused_as_objects() -> None:
    read_only = np.zeros(2)
    read_only.flags.writeable = False
    for thing in (read_only, np.zeros(2, "i4,i4"), np.array([None]), np.float64(1), (1,), 3):
        with pytest.raises(TypeError, match=r"w must be an object with state_dict.* in place"):
            Snapshots("unused", w=thing)
