"""Arrays that the state shares with an object: the same after a restart, or told."""

from pathlib import Path
from typing import Any

import pytest

from rnnr import Event, RnnrWarning, Runner, State
from rnnr.durable import Snapshots

np = pytest.importorskip("numpy")


class Arrays:
    """Weights that are an array, of which its state is a copy or the array itself."""

    def __init__(self, copies: bool) -> None:
        self.weights = np.zeros(4)
        self._copies = copies

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.copy() if self._copies else self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights[:] = state["weights"]


@pytest.mark.parametrize("place", ["named", "in the state"])
def test_a_view_that_a_callback_sets_is_told_once(tmp_path: Path, place: str) -> None:
    model = Arrays(copies=False)
    runner = Runner()
    objects: dict[str, Any] = {"model": model} if place == "named" else {}
    if place != "named":
        runner.state["model"] = model
    runner.on(Event.BATCH, lambda state: state.update(view=model.weights[:2]))
    Snapshots(tmp_path, every=Event.BATCH, **objects).attach_on(runner)
    with pytest.warns(RnnrWarning, match=r"state\.view must not share .* put a copy") as told:
        runner.run([1, 2])
    assert len(told) == 1


def test_one_that_each_process_has_is_the_same_after_a_restart(tmp_path: Path) -> None:
    def life(batches: Any) -> Any:
        model, runner = Arrays(copies=False), Runner()
        runner.state["view"] = model.weights[:2]
        runner.on(Event.BATCH, lambda state: model.weights.__iadd__(state["batch"]))
        Snapshots(tmp_path, every=Event.BATCH, model=model).attach_on(runner)
        runner.run(batches)
        return model.weights.tolist(), runner.state["view"].tolist()

    with pytest.raises(TypeError):
        life([1, "x"])
    assert life([1, 2]) == ([3] * 4, [3] * 2)


def test_what_an_object_keeps_itself_is_still_the_same_array(tmp_path: Path) -> None:
    """Its state is the array, and load_state_dict copies into the array."""

    def life(batches: Any) -> Any:
        model, runner = Arrays(copies=False), Runner()
        runner.on(Event.STARTED, lambda state: state.update(weights=model.weights))
        runner.on(Event.BATCH, lambda state: model.weights.__iadd__(state["batch"]))
        Snapshots(tmp_path, every=Event.BATCH, model=model).attach_on(runner)
        runner.run(batches)
        return model.weights.tolist(), runner.state["weights"].tolist()

    with pytest.raises(TypeError):
        life([1, "x"])
    assert life([1, 2]) == ([3] * 4, [3] * 4)


def test_copies_numbers_and_scalars_share_nothing(tmp_path: Path) -> None:
    model, runner = Arrays(copies=True), Runner()

    def put(state: State) -> None:
        state.update(copy=model.weights.copy(), first=model.weights[0], batch_size=4)

    runner.on(Event.BATCH, put)
    Snapshots(tmp_path, every=Event.BATCH, model=model).attach_on(runner)
    runner.run([1, 2])
