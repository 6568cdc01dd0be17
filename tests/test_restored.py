"""A state that was restored by hand brings objects of its own, and may be of a run that is over."""

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from rnnr import Event, Layer, RnnrWarning, Runner, State
from rnnr.attachments import MeanReducer, SumReducer
from rnnr.callbacks import checkpoint, early_stopping
from rnnr.operators import do, pipeline


class Model:
    """Has its state in the manner of PyTorch."""

    def __init__(self, *names: str) -> None:
        self.weights = dict.fromkeys(names or ("weight",), 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights.update(state)

    def step(self, state: State) -> None:
        self.weights["weight"] += state["batch"]


class Broken(Model):
    def state_dict(self) -> dict[str, Any]:
        raise ZeroDivisionError


MODEL = Model()


def train_the_global_one(state: State) -> None:
    MODEL.step(state)


def closing_over(model: Model) -> Callable[[State], None]:
    def train(state: State) -> None:
        model.step(state)

    return train


def through_a_function(model: Model) -> Callable[[State], None]:
    inner = closing_over(model)
    return lambda state: inner(state)


class Trainer:
    def __init__(self, model: Model) -> None:
        self.models = [model]

    def __call__(self, state: State) -> None:
        self.models[0].step(state)


HOLDERS: dict[str, Callable[[Model], Callable[[State], object]]] = {
    "a closure": closing_over,
    "a closure in a closure": through_a_function,
    "a method": lambda model: model.step,
    "a partial": lambda model: partial(Model.step, model),
    "an object": Trainer,
    "a pipeline": lambda model: pipeline(do(closing_over(model))),
    "a checkpoint": lambda model: checkpoint("model", model, under=None, using=print),
}


def restored(*callbacks: Callable[[State], object], model: object) -> Runner:
    """Return a runner with the state of another process, whose epoch is over."""
    runner = Runner()
    runner.on(Event.BATCH, callbacks)
    runner.state = {"batches": [1.0], "max_epoch": 2, "n_iters": 1, "epoch": 1, "_run": {}}
    runner.state["model"] = model
    return runner


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_a_callback_that_holds_another_one_is_told(holder: Any) -> None:
    model = Model()
    runner = restored(holder(model), model=copy.deepcopy(model))
    with pytest.warns(RnnrWarning, match=r"state\['model'\] must be the object") as caught:
        runner.resume()
    assert caught[0].filename == __file__


def test_so_is_one_that_holds_it_as_a_global() -> None:
    runner = restored(train_the_global_one, model=Model())
    with pytest.warns(RnnrWarning, match="another Model than the one"):
        runner.resume()


def test_and_early_stopping_that_restores_it() -> None:
    model = Model()
    runner = restored(lambda state: state.update(loss=1.0), model=copy.deepcopy(model))
    early_stopping("loss", restore=model).attach_on(runner, Event.BATCH)
    with pytest.warns(RnnrWarning, match="must be the object"):
        runner.resume()


def test_where_very_much_is_held_not_all_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnnr._restored._MOST", 1)
    model = Model()
    runner = restored(closing_over(model), through_a_function(model), model=copy.deepcopy(model))
    runner.resume()


class Loader(Model):
    """Must not be asked for its state before its first batch."""

    def __iter__(self) -> Iterator[float]:
        return iter([1.0])

    def state_dict(self) -> dict[str, Any]:
        raise AssertionError


@pytest.mark.parametrize(
    ("held", "own"),
    [
        (MODEL, MODEL),  # the very same
        (Model("another"), Model()),  # of another architecture
        (Broken(), Broken()),
        (Loader(), Loader()),
        (Model, Model),  # a class
        ([0.5], [0.5]),  # not an object with a state
    ],
    ids=["the same", "another architecture", "broken", "a loader", "a class", "a list"],
)
def test_nothing_is_told_of(held: Any, own: Any) -> None:
    used = []
    runner = restored(lambda state: used.append(held), model=own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.resume()
    assert used == [held]


def test_nor_of_a_callback_that_uses_the_state() -> None:
    runner = restored(lambda state: state["model"].step(state), model=Model())
    runner.resume()
    assert runner.state["model"].weights == {"weight": 1.0}


def test_nor_in_the_process_that_made_the_state() -> None:
    model, runner = Model(), Runner()
    runner.on(Event.BATCH, closing_over(model))
    runner.on(Event.BATCH, lambda state: runner.stop())
    runner.state["model"] = Model()
    runner.run([1.0, 2.0])
    runner.resume()


def test_a_variable_that_is_not_set_yet_is_skipped() -> None:
    def train(state: State) -> None:
        if state["n_iters"] < 0:
            print(later)

    runner = restored(train, model=Model())
    runner.resume()
    later = 1


class TestARunThatWasStoppedEarly:
    def stopped(self) -> Runner:
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=1.0))
        early_stopping("loss", patience=0).attach_on(runner)
        runner.run([1.0], max_epoch=5)
        assert runner.state["stopped_by"] == "early_stopping('loss'): patience"
        return runner

    def test_is_told_when_another_process_resumes_it(self) -> None:
        other = Runner()
        other.state = pickle.loads(pickle.dumps(self.stopped().state))
        with pytest.warns(RnnrWarning, match=r"got one stopped by \"early_stopping\('loss'\): pat"):
            other.resume()
        assert other.state["epoch"] == 5
        assert "stopped_by" not in other.state

    def test_goes_on_without_a_word_in_its_own(self) -> None:
        runner = self.stopped()
        runner.resume()
        assert runner.state["epoch"] == 3


class TestAStateThatWasSavedBeforeItsReducersHadTheBatch:
    """Batches 1.0 to 4.0 in each of two epochs: a sum of 10."""

    def runner(self) -> Runner:
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(output=state["batch"]))
        SumReducer("total").attach_on(runner)
        MeanReducer("mean").attach_on(runner)
        return runner

    def saved(self, n_iters: int, layer: Layer, event: Event = Event.BATCH) -> bytes:
        runner, saved = self.runner(), list[bytes]()

        def save(state: State) -> None:
            if state["n_iters"] == n_iters:
                saved.append(pickle.dumps(state))

        runner.stream(event).add(save, layer=layer)
        runner.run([1.0, 2.0, 3.0, 4.0], max_epoch=2)
        return saved[0]

    def resumed(self, saved: bytes, **options: Any) -> State:
        runner = self.runner()
        runner.state = pickle.loads(saved)
        runner.resume(**options)
        return runner.state

    @pytest.mark.parametrize("n_iters", [1, 3, 4, 5, 8])
    def test_is_told(self, n_iters: int) -> None:
        saved = self.saved(n_iters, Layer.USER)
        with pytest.warns(RnnrWarning, match=f"got one without batch {n_iters} in them") as caught:
            self.resumed(saved)
        assert caught[0].filename == __file__

    @pytest.mark.parametrize("n_iters", [1, 3, 4, 5, 8])
    @pytest.mark.parametrize("layer", [Layer.DISPLAY, Layer.SAVE, Layer.STOP])
    def test_not_of_one_that_was_saved_after_them(self, n_iters: int, layer: Layer) -> None:
        state = self.resumed(self.saved(n_iters, layer))
        assert (state["total"], state["mean"]) == (10.0, 2.5)

    @pytest.mark.parametrize("n_iters", [1, 3, 4, 5, 8])
    def test_nor_where_the_batch_is_repeated(self, n_iters: int) -> None:
        state = self.resumed(self.saved(n_iters, Layer.USER), repeat_last_batch=True)
        assert (state["total"], state["mean"]) == (10.0, 2.5)

    @pytest.mark.parametrize("event", [Event.EPOCH_STARTED, Event.EPOCH_FINISHED])
    def test_nor_between_two_epochs(self, event: Event) -> None:
        assert self.resumed(self.saved(4, Layer.USER, event))["total"] == 10.0

    def test_nor_where_a_callback_alone_is_in_their_layer(self) -> None:
        runner = Runner()
        runner.stream(Event.BATCH).add(lambda state: None, layer=Layer.REDUCE)
        runner.state = pickle.loads(self.saved(1, Layer.USER))
        runner.resume()
        assert runner.state["n_iters"] == 8

    def test_nor_without_reducers(self) -> None:
        runner = Runner()
        runner.state = pickle.loads(self.saved(3, Layer.USER))
        runner.resume()
        assert runner.state["n_iters"] == 8

    def test_a_run_that_a_callback_stopped_is_told_too(self) -> None:
        runner = self.runner()
        runner.on(Event.BATCH.where(lambda state: state["batch"] == 2.0), lambda _: runner.stop())
        runner.run([1.0, 2.0, 3.0])
        with pytest.warns(RnnrWarning, match="without batch 2"):
            self.resumed(pickle.dumps(runner.state))
