"""`frozen` takes out of the state what others may keep."""

import json
import pickle
from typing import Any

import pytest

from rnnr import Event, Runner
from rnnr.operators import frozen, pipeline, select
from rnnr.state import State


def test_it_holds_everything_but_the_keys_that_are_the_librarys_own() -> None:
    seen: list[Any] = []
    state: State = {"epoch": 1, "_epoch": {}, "_counter": 3, "loss": 0.5, "a_b": 1}
    pipeline(frozen(), lambda stream: stream.do_action(seen.append))(state)
    assert seen == [{"epoch": 1, "loss": 0.5, "a_b": 1}]


def test_it_does_not_change_with_the_state() -> None:
    seen: list[Any] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(frozen()).subscribe(seen.append)
    runner.run("ab", max_epoch=2)
    assert [one["batch"] for one in seen] == ["a", "b", "a", "b"]
    assert [one["epoch"] for one in seen] == [1, 1, 2, 2]
    with pytest.raises(TypeError, match="does not support item assignment"):
        seen[0]["batch"] = "z"


@pytest.mark.parametrize("take", [frozen(), select("epoch", "batch")])
def test_a_list_of_them_in_the_state_can_be_pickled_with_it(take: Any) -> None:
    runner = Runner()
    history = runner.state["history"] = []
    runner.stream(Event.BATCH).pipe(take).subscribe(history.append)
    runner.run([1, 2], max_epoch=2)
    restored = pickle.loads(pickle.dumps(runner.state))
    assert [(one["epoch"], one["batch"]) for one in restored["history"]] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


def test_it_becomes_json() -> None:
    lines: list[str] = []
    runner = Runner()
    runner.stream(Event.EPOCH_FINISHED).pipe(frozen()).subscribe(
        lambda one: lines.append(json.dumps(one))
    )
    runner.run([1, 2])
    assert json.loads(lines[0]) == {
        "batches": [1, 2],
        "max_epoch": 1,
        "n_iters": 2,
        "running": True,
        "epoch": 1,
        "batch": 2,
    }
