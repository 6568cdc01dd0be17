"""`early_stopping`: the rule on a run, what it remembers, and the return to the best."""

import logging
import pickle
from collections.abc import Callable
from math import inf, isfinite, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from helpers.extras import np, torch
from rnnr import Event, Layer, Runner
from rnnr.callbacks import early_stopping
from rnnr.operators import improved, patience, select
from rnnr.state import State

VALUES = st.lists(st.floats() | st.sampled_from([nan, inf, 0.0, 1.0, 2.0]), max_size=12)
POLICIES = st.sampled_from(["ignore", "no-improvement"])


def run(values: list[Any], early: Any, **state: Any) -> Runner:
    """Run an epoch for each value of the loss."""
    runner = Runner()
    runner.state.update(state)
    losses = dict(enumerate(values, start=1))
    runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=losses[state["epoch"]]))
    early.attach_on(runner)
    runner.run([], max_epoch=len(values))
    return runner


class TestRule:
    @given(VALUES, POLICIES, st.sampled_from(["min", "max"]), st.integers(0, 3), st.integers(0, 3))
    def test_it_stops_where_the_operators_of_the_same_names_do(
        self, values: list[float], nan: str, mode: str, n: int, warm_up: int
    ) -> None:
        reference = Runner()
        better = improved(mode, 0.5, nan=nan)
        losses = reference.stream(Event.BATCH).pipe(select("batch"))
        losses.pipe(ops.skip(warm_up), better, patience(n)).subscribe(lambda _: reference.stop())
        reference.run(values)
        early = early_stopping("loss", mode, n, min_delta=0.5, warm_up=warm_up, nan=nan)
        assert run(values, early).state["epoch"] == reference.state["n_iters"]

    def test_five_failures_are_borne_by_default(self) -> None:
        assert run([1.0] * 9, early_stopping("loss")).state["epoch"] == 7

    def test_it_says_once_why_it_stopped(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        run([0.5, 0.25, 0.25, 0.75, 0.125], early_stopping("loss", patience=1))
        assert caplog.record_tuples == [
            (
                "rnnr.callbacks.early_stopping",
                logging.INFO,
                "Patience exceeded, stopping early: early_stopping('loss'), "
                "no better than 0.25 for 2 values",
            )
        ]

    def test_values_of_the_warm_up_are_not_looked_at(self) -> None:
        early = early_stopping("loss", patience=0, warm_up=2, nan="raise")
        runner = run([nan, None, 3.0, 2.0, 2.0, 1.0], early)
        assert runner.state["epoch"] == 5
        memory = runner.state["_early_stopping_loss"]
        assert (memory["seen"], memory["best"], memory["failures"]) == (5, 2.0, 1)

    def test_a_nan_can_be_an_error_that_leaves_the_run(self) -> None:
        expected = r"value 2 for early_stopping\('loss'\) must be a number, got nan"
        with pytest.raises(ValueError, match=expected):
            run([1.0, nan], early_stopping("loss", nan="raise"))

    def test_an_ignored_nan_does_not_stop_a_resumed_run_again(self) -> None:
        early = early_stopping("loss", patience=0, nan="ignore")
        runner = run([1.0, 1.0, nan, 0.5], early)
        assert runner.state["epoch"] == 2
        runner.resume()
        assert runner.state["epoch"] == 4

    @pytest.mark.parametrize("value", [None, "0.5", [0.5]])
    def test_a_metric_that_is_no_number_is_named_with_who_wanted_it(self, value: Any) -> None:
        expected = r"a value for early_stopping\('loss'\) must be a number, got .*; give it one"
        with pytest.raises(TypeError, match=expected):
            run([value], early_stopping("loss"))

    def test_a_metric_that_nobody_has_set_is_named_with_the_cure(self) -> None:
        expected = (
            r"state\['loss'\] is missing: early_stopping\('loss'\) reads it, the state has epoch; "
            "set it in a callback or a reducer that runs before this one"
        )
        with pytest.raises(KeyError, match=expected):
            early_stopping("loss")({"epoch": 1})


EIGHTHS = st.integers(-16, 16).map(lambda n: n / 8)  # their differences and products are exact
LOSSES_OF_ALL_KINDS = st.lists(EIGHTHS | st.sampled_from([nan, inf, -inf]), max_size=12)


def judged(
    losses: list[float],
    patience: int,
    min_delta: float,
    is_relative: bool,
    check_finite: bool,
    wanted: float | None,
    borne: float | None,
    warm_up: int,
    nan: str,
) -> tuple[int, str | None]:
    """Return the value after which a run is stopped, and by what."""
    best, since = None, 0
    for number, loss in enumerate(losses, start=1):
        if number <= warm_up:
            continue
        if check_finite and not isfinite(loss):
            return number, "check_finite"
        if wanted is not None and loss <= wanted:
            return number, "stopping_threshold"
        if borne is not None and loss > borne:
            return number, "divergence_threshold"
        if isnan(loss) and nan == "ignore":
            continue
        if best is None:
            is_better = not isnan(loss)
        else:
            is_share = is_relative and isfinite(best)
            is_better = best - loss > min_delta * (abs(best) if is_share else 1)
        best, since = (loss, 0) if is_better else (best, since + 1)
        if since > patience:
            return number, "patience"
    return len(losses), None


class TestLimits:
    @given(
        losses=LOSSES_OF_ALL_KINDS,
        mode=st.sampled_from(["min", "max"]),
        patience=st.integers(0, 3),
        min_delta=st.sampled_from([0.0, 0.125, 0.5]),
        min_delta_mode=st.sampled_from(["abs", "rel"]),
        check_finite=st.booleans(),
        wanted=st.none() | EIGHTHS,
        gap=st.none() | st.sampled_from([0.125, 1.0, 3.0]),
        warm_up=st.integers(0, 2),
        nan=POLICIES,
    )
    def test_it_stops_where_the_judge_does_and_says_by_what(
        self,
        losses: list[float],
        mode: str,
        patience: int,
        min_delta: float,
        min_delta_mode: str,
        check_finite: bool,
        wanted: float | None,
        gap: float | None,
        warm_up: int,
        nan: str,
    ) -> None:
        sign = 1 if mode == "min" else -1
        borne = None if gap is None else (wanted or 0.0) + gap
        early = early_stopping(
            "loss",
            mode,
            patience,
            min_delta=min_delta,
            min_delta_mode=min_delta_mode,
            check_finite=check_finite,
            stopping_threshold=None if wanted is None else sign * wanted,
            divergence_threshold=None if borne is None else sign * borne,
            warm_up=warm_up,
            nan=nan,
        )
        state = run([sign * loss for loss in losses], early).state
        is_relative = min_delta_mode == "rel"
        rules = (patience, min_delta, is_relative, check_finite, wanted, borne, warm_up, nan)
        epoch, argument = judged(losses, *rules)
        by = argument and f"early_stopping('loss'): {argument}"
        assert (state["epoch"], state.get("stopped_by")) == (epoch, by)

    @pytest.mark.parametrize(
        ("arguments", "values", "message"),
        [
            (
                {"check_finite": True},
                [0.5, nan],
                "Not finite, stopping early: early_stopping('loss'), got nan, best so far 0.5",
            ),
            (
                {"stopping_threshold": 0.25},
                [0.5, 0.25],
                "Stopping threshold reached, stopping early: early_stopping('loss'), got 0.25",
            ),
            (
                {"divergence_threshold": 0.5},
                [0.5, 0.75],
                "Divergence threshold exceeded, stopping early: early_stopping('loss'), "
                "got 0.75, best so far 0.5",
            ),
        ],
    )
    def test_it_says_why_as_an_attachment_and_as_a_plain_callback(
        self,
        caplog: pytest.LogCaptureFixture,
        arguments: dict[str, Any],
        values: list[float],
        message: str,
    ) -> None:
        caplog.set_level(logging.INFO)
        run([*values, 0.0], early_stopping("loss", **arguments))
        state: State = {"running": True}
        for state["loss"] in values:
            early_stopping("loss", **arguments)(state)
        assert not state["running"]
        assert [record.getMessage() for record in caplog.records] == [message] * 2

    def test_an_infinity_that_stops_is_not_what_is_restored(self) -> None:
        losses = iter([0.5, -inf])
        runner = Runner()
        runner.on(
            Event.EPOCH_FINISHED,
            lambda state: state.update(loss=next(losses), weights=state["epoch"]),
        )
        early_stopping("loss", check_finite=True, restore="weights").attach_on(runner)
        runner.run([], max_epoch=3)
        assert (runner.state["epoch"], runner.state["weights"]) == (2, 1)

    def test_the_value_that_was_wanted_is_the_best(self) -> None:
        runner = Runner()
        runner.on(
            Event.EPOCH_FINISHED,
            lambda state: state.update(loss=1 / state["epoch"], weights=state["epoch"]),
        )
        early = early_stopping("loss", stopping_threshold=0.25, restore="weights")
        early.attach_on(runner)
        runner.run([], max_epoch=9)
        assert (runner.state["epoch"], runner.state["weights"]) == (4, 4)

    def test_an_accuracy_of_1_is_reached(self) -> None:
        early = early_stopping("loss", "max", stopping_threshold=1.0)
        assert run([0.5, 1.0, 1.0], early).state["epoch"] == 2

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_an_accuracy_is_reached_in_its_own_precision(self, dtype: str) -> None:
        accuracies = [torch.tensor(one, dtype=getattr(torch, dtype)) for one in (0.5, 0.9, 1.0)]
        early = early_stopping("loss", "max", stopping_threshold=0.9)
        assert run(accuracies, early).state["epoch"] == 2

    def test_a_resumed_run_trains_on_and_stops_at_the_next_value(self) -> None:
        runner = run([0.5, 0.125, 0.0625, 0.5], early_stopping("loss", stopping_threshold=0.25))
        epochs = [runner.state["epoch"]]
        for _ in range(2):
            runner.resume()
            epochs.append(runner.state["epoch"])
        assert epochs == [2, 3, 4]
        assert "stopped_by" not in runner.state

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_an_overflow_of_half_precision_is_found(self, dtype: str) -> None:
        loss = torch.tensor(6e4, dtype=getattr(torch, dtype))
        values = [loss, loss * loss * loss * loss * loss * loss * loss * loss * loss]
        state = run([*values, loss], early_stopping("loss", check_finite=True)).state
        assert state["epoch"] == 2


class TestMemory:
    @given(VALUES, st.integers(0, 12), st.integers(0, 2))
    def test_a_run_that_goes_on_in_another_process_stops_where_it_would_have(
        self, values: list[float], n: int, borne: int
    ) -> None:
        uninterrupted: State = {"running": True}
        interrupted: State = {"running": True}
        for i, value in enumerate(values):
            if i == n:
                interrupted = pickle.loads(pickle.dumps(interrupted))
            for state in (uninterrupted, interrupted):
                state["loss"] = value
                early_stopping("loss", patience=borne)(state)
            assert str(interrupted) == str(uninterrupted)  # a text, for NaN

    def test_it_is_replaced_so_that_a_copy_of_the_state_stays_as_it_was(self) -> None:
        state: State = {"running": True, "loss": 0.5}
        early = early_stopping("loss")
        early(state)
        copy = {**state}
        state["loss"] = 0.25
        early(state)
        assert copy["_early_stopping_loss"]["best"] == 0.5
        assert state["_early_stopping_loss"]["best"] == 0.25

    def test_a_new_run_forgets_the_last_but_what_a_callback_restores_is_kept(self) -> None:
        runner = run([0.5, 1.0], early_stopping("loss"))
        kept = runner.state["_early_stopping_loss"]
        runner.run([], max_epoch=1)
        assert runner.state["_early_stopping_loss"]["seen"] == 1
        runner.on(Event.STARTED, lambda state: state.update(_early_stopping_loss=kept))
        runner.run([], max_epoch=1)
        assert runner.state["_early_stopping_loss"]["seen"] == 3

    def test_as_a_plain_callback_it_begins_again_in_each_run_too(self) -> None:
        runner = Runner()
        runner.state["loss"] = 1.0
        runner.on(Event.EPOCH_FINISHED, early_stopping("loss", patience=2))
        epochs = []
        for _ in range(3):
            runner.run([], max_epoch=9)
            epochs.append(runner.state["epoch"])
        assert epochs == [4, 4, 4]

    def test_what_is_restored_is_the_best_by_however_little_it_is_better(self) -> None:
        losses = iter([0.5, 0.495, 0.6])
        runner = Runner()

        @runner.on(Event.EPOCH_FINISHED)
        def evaluate(state: State) -> None:
            state.update(loss=next(losses), weights=state["epoch"])

        early_stopping("loss", min_delta=0.01, restore="weights").attach_on(runner)
        runner.run([], max_epoch=3)
        assert runner.state["weights"] == 2
        assert runner.state["_early_stopping_loss"]["failures"] == 2

    def test_two_on_one_metric_need_a_memory_each(self) -> None:
        runner = Runner()
        runner.state["loss"] = 1.0
        impatient = early_stopping("loss", patience=1, memory="one")
        patient = early_stopping("loss", patience=2, memory="other")
        for early in (impatient, patient):
            early.attach_on(runner)
        runner.run([], max_epoch=9)
        assert runner.state["epoch"] == 3
        assert (runner.state["one"]["seen"], runner.state["other"]["seen"]) == (3, 3)

    def test_it_checks_at_the_event_that_is_asked_for(self) -> None:
        runner = Runner()
        early_stopping("batch", patience=1).attach_on(runner, Event.BATCH)
        runner.run([3, 2, 2, 2, 1])
        assert runner.state["n_iters"] == 4


class Module(torch.nn.Module):
    """A module of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))


class Holder:
    """Has a state dict, and gives out its own list."""

    def __init__(self) -> None:
        self.values = [0]

    def state_dict(self) -> dict[str, list[int]]:
        return {"values": self.values}

    def load_state_dict(self, state_dict: dict[str, list[int]]) -> None:
        self.values = state_dict["values"]


def set_list(values: list[int], epoch: int) -> None:
    values[:] = [epoch]


def set_array(array: Any, epoch: int) -> None:
    array[...] = epoch


def set_module(module: Module, epoch: int) -> None:
    with torch.no_grad():
        module.weight[...] = epoch


def set_holder(holder: Holder, epoch: int) -> None:
    holder.values[:] = [epoch]


# what is trained, how it is changed in place, and how it is read
Model = tuple[Callable[[], Any], Callable[[Any, int], None], Callable[[Any], float]]
MODELS: dict[str, Model] = {
    "list": (lambda: [0], set_list, lambda values: values[0]),
    "array": (lambda: np.zeros(2), set_array, lambda array: array[0]),
    "tensor": (lambda: torch.zeros(2), set_array, lambda tensor: tensor[0].item()),
    "module": (Module, set_module, lambda module: module.weight[0].item()),
    "object": (Holder, set_holder, lambda holder: holder.values[0]),
}
LOSSES = [3.0, 1.0, 2.0, 2.0]  # the best is that of epoch 2


def stop_itself(_: Runner) -> None:
    """Leave it to the patience, which is for one failure."""


def stop_by_hand(runner: Runner) -> None:
    @runner.on(Event.EPOCH_STARTED)
    def stop_once(state: State) -> None:
        if state["epoch"] == 4:
            runner.stop()


def fail(error: BaseException, *, at: Event, when: Callable[[State], bool]) -> Any:
    def break_the(runner: Runner) -> None:
        def handler(state: State) -> None:
            if when(state) and "failed" not in state:
                state["failed"] = True
                raise error

        runner.on(at, handler)

    return break_the


class Batches:
    """Batches that fail once, in epoch 4."""

    n = 0

    def __iter__(self) -> Any:
        Batches.n += 1
        if Batches.n == 4:
            raise OSError("the disk is gone")
        return iter([1])


def in_epoch_4(state: State) -> bool:
    return bool(state["epoch"] == 4)


# how a run ends, with what batches and patience
ENDS: dict[str, tuple[Any, Any, int]] = {
    "finished": (stop_itself, [1], 9),
    "stopped by itself": (stop_itself, [1], 1),
    "stopped by hand": (stop_by_hand, [1], 9),
    "failed in a callback": (fail(ValueError(), at=Event.BATCH, when=in_epoch_4), [1], 9),
    "failed in the batches": (stop_itself, Batches, 9),
    "interrupted": (fail(KeyboardInterrupt(), at=Event.BATCH, when=in_epoch_4), [1], 9),
    "failed when finished": (fail(ValueError(), at=Event.FINISHED, when=in_epoch_4), [1], 9),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS[request.param]


@pytest.fixture(params=ENDS)
def end(request: pytest.FixtureRequest) -> tuple[Any, Any, int]:
    Batches.n = 0
    return ENDS[request.param]


def training(model: Model, end: tuple[Any, Any, int], as_object: bool) -> tuple[Runner, Any]:
    make, change, _ = model
    breaking, _, borne = end
    weights = make()
    runner = Runner()
    runner.state["weights"] = weights

    @runner.on(Event.EPOCH_FINISHED)
    def train(state: State) -> None:
        state["story"] = (*state.get("story", ()), model[2](state["weights"]))
        change(state["weights"], state["epoch"])
        state["loss"] = LOSSES[state["epoch"] - 1] if state["epoch"] <= 4 else 9.0

    restore = weights if as_object else "weights"
    early_stopping("loss", patience=borne, restore=restore).attach_on(runner)
    breaking(runner)
    return runner, weights


def until_it_ends(runner: Runner, run: Callable[[], None]) -> None:
    try:
        run()
    except (ValueError, OSError, KeyboardInterrupt):
        assert runner.state["running"] is False


class TestRestore:
    def test_the_best_is_back_however_the_run_ended_before_the_users_callbacks_see_it(
        self, model: Model, end: tuple[Any, Any, int]
    ) -> None:
        runner, _ = training(model, end, as_object=False)
        exported: list[float] = []
        for event in (Event.FINISHED, Event.STOPPED, Event.FAILED):
            runner.stream(event).add(
                lambda state: exported.append(model[2](state["weights"])), layer=Layer.USER
            )
        until_it_ends(runner, lambda: runner.run(batches_of(end), max_epoch=4))
        assert model[2](runner.state["weights"]) == 2
        assert set(exported) == {2}

    @pytest.mark.parametrize("name", ["module", "object"])
    def test_an_object_with_a_state_dict_can_be_given_itself(
        self, name: str, end: tuple[Any, Any, int]
    ) -> None:
        model = MODELS[name]
        runner, weights = training(model, end, as_object=True)
        until_it_ends(runner, lambda: runner.run(batches_of(end), max_epoch=4))
        assert runner.state["weights"] is weights
        assert model[2](weights) == 2

    @pytest.mark.filterwarnings("ignore:.* must not have been stopped early")
    @pytest.mark.parametrize("across_processes", [False, True])
    def test_a_resumed_run_equals_the_uninterrupted_one(
        self, model: Model, end: tuple[Any, Any, int], across_processes: bool
    ) -> None:
        whole, _ = training(model, (stop_itself, [1], 9), as_object=False)
        whole.run([1], max_epoch=6)
        runner, _ = training(model, end, as_object=False)
        until_it_ends(runner, lambda: runner.run(batches_of(end), max_epoch=4))
        runner.state["max_epoch"] = 6
        if across_processes:
            state = pickle.loads(pickle.dumps(runner.state))
            runner, _ = training(model, (stop_itself, [1], 9), as_object=False)
            runner.state = state
        while runner.state["epoch"] < 6:  # its patience may stop it again and again
            until_it_ends(runner, runner.resume)
        assert runner.state["story"] == whole.state["story"] == (0, 1, 2, 3, 4, 5)
        assert model[2](runner.state["weights"]) == model[2](whole.state["weights"]) == 2

    def test_a_change_of_what_was_restored_does_not_spoil_what_is_kept(self, model: Model) -> None:
        runner, _ = training(model, (stop_itself, [1], 9), as_object=False)
        runner.run([1], max_epoch=4)
        model[1](runner.state["weights"], 77)
        runner.state["max_epoch"] = 5
        runner.resume()
        assert model[2](runner.state["weights"]) == 2

    def test_the_state_of_a_resumed_run_has_the_very_object_that_training_had(self) -> None:
        runner, weights = training(MODELS["list"], (stop_itself, [1], 9), as_object=False)
        runner.run([1], max_epoch=4)
        assert runner.state["weights"] is not weights
        seen: list[object] = []
        runner.on(Event.RESUMED, lambda state: seen.append(state["weights"]))
        runner.resume()
        assert seen[0] is weights

    def test_nothing_is_restored_where_nothing_was_ever_better(self) -> None:
        early = early_stopping("loss", restore="weights")
        runner = run([nan, nan], early, weights="the last")
        assert runner.state["weights"] == "the last"

    def test_several_keys_are_restored_and_what_they_share_stays_shared(self) -> None:
        shared = [0]
        runner = Runner()
        runner.state.update(one=[shared], other=[shared])

        @runner.on(Event.EPOCH_FINISHED)
        def train(state: State) -> None:
            state["one"][0][:] = [state["epoch"]]
            state["loss"] = state["epoch"]

        early_stopping("loss", restore=["one", "other"]).attach_on(runner)
        runner.run([], max_epoch=3)
        assert runner.state["one"] == runner.state["other"] == [[1]]
        assert runner.state["one"][0] is runner.state["other"][0]

    def test_a_failure_to_restore_is_raised_and_does_not_hide_the_error_of_the_run(self) -> None:
        class Broken(Holder):
            def load_state_dict(self, state_dict: object) -> None:
                raise OSError("cannot load")

        with pytest.raises(OSError, match="cannot load"):
            run([1.0, 2.0], early_stopping("loss", restore=Broken()))
        early = early_stopping("loss", nan="raise", restore=Broken())
        with pytest.raises(ValueError, match="must be a number, got nan") as caught:
            run([1.0, nan], early)
        assert any("OSError: cannot load" in note for note in caught.value.__notes__)

    def test_a_value_that_cannot_be_copied_is_an_error_at_once(self) -> None:
        early = early_stopping("loss", restore="weights")
        with pytest.raises(TypeError, match="cannot pickle 'generator'"):
            run([1.0], early, weights=(i for i in [1]))

    def test_a_key_that_is_missing_is_named_with_the_cure(self) -> None:
        expected = (
            r"state\['weights'\] is missing: early_stopping\('loss'\) reads it, .*; set it in"
        )
        with pytest.raises(KeyError, match=expected):
            run([1.0], early_stopping("loss", restore="weights"))

    def test_it_is_no_plain_callback_and_says_how_it_is_attached(self) -> None:
        early: Any = early_stopping("loss", restore="weights")
        expected = r"must be attached where it restores, got .*; write attach_on\(runner\)"
        with pytest.raises(TypeError, match=expected):
            Runner().on(Event.EPOCH_FINISHED, early)
        with pytest.raises(TypeError, match=expected):
            early({"loss": 1.0})

    def test_a_key_that_was_not_there_when_the_run_ended_is_gone_again_after_a_resume(self) -> None:
        seen: list[bool] = []
        runner = Runner()

        @runner.on(Event.EPOCH_FINISHED)
        def train(state: State) -> None:
            state["loss"] = float(state["epoch"])
            if state["epoch"] == 1:
                state["weights"] = [1]
            else:
                seen.append("weights" in state)
                state.pop("weights", None)
                state["running"] = False

        early_stopping("loss", restore="weights").attach_on(runner)
        runner.run([], max_epoch=3)
        assert runner.state["weights"] == [1]
        runner.resume()
        assert seen == [True, False]

    def test_callbacks_that_are_added_later_see_the_last_epoch_too(self) -> None:
        seen: list[int] = []
        runner = Runner()
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=state["epoch"]))
        early_stopping("loss", patience=0).attach_on(runner)
        runner.on(Event.EPOCH_FINISHED, lambda state: seen.append(state["epoch"]))
        runner.run([], max_epoch=5)
        assert seen == [1, 2]

    def test_they_see_the_last_batch_too(self) -> None:
        seen: list[int] = []
        runner = Runner()
        runner.on(Event.BATCH, lambda state: state.update(loss=state["n_iters"]))
        early_stopping("loss", patience=0).attach_on(runner, Event.BATCH.every(2))
        runner.on(Event.BATCH, lambda state: seen.append(state["n_iters"]))
        runner.run(range(9))
        assert seen == [1, 2, 3, 4]

    def test_they_do_so_for_events_of_both_kinds(self) -> None:
        seen: list[str] = []
        runner = Runner()
        both = Event.BATCH.every(2) | Event.EPOCH_FINISHED
        runner.on(both, lambda state: state.update(loss=state.get("loss", 0) + 1))
        runner.on(Event.EPOCH_FINISHED, lambda _: seen.append("before"))
        early_stopping("loss", patience=0).attach_on(runner, both)
        runner.on(Event.EPOCH_FINISHED, lambda _: seen.append("after"))
        runner.run(range(3), max_epoch=9)
        assert seen == ["before", "after"]

    @pytest.mark.parametrize("killed_after", range(1, 4))
    def test_a_run_that_was_killed_after_a_save_at_the_end_of_an_epoch_goes_on_as_it_was(
        self, killed_after: int
    ) -> None:
        saved: list[bytes] = []
        losses = [0.5, 0.4, 0.6, 0.7, 0.1]

        def trainer() -> Runner:
            runner = Runner()

            @runner.on(Event.EPOCH_FINISHED)
            def train(state: State) -> None:
                state["loss"] = losses[state["epoch"] - 1]
                state["weights"] = [state["epoch"]]

            early_stopping("loss", patience=1, restore="weights").attach_on(runner)
            runner.on(Event.EPOCH_FINISHED, lambda state: saved.append(pickle.dumps(state)))
            return runner

        whole = trainer()
        whole.run([], max_epoch=5)
        other = trainer()
        other.state = pickle.loads(saved[killed_after - 1])
        other.resume()
        assert (whole.state["epoch"], whole.state["weights"]) == (4, [2])
        assert (other.state["epoch"], other.state["weights"]) == (4, [2])

    def test_what_an_older_script_did_not_keep_is_left_alone(self) -> None:
        runner = Runner()
        losses = iter([0.4, 0.5, 0.6, 0.3])
        runner.state.update(weights=[0], momentum=[7])
        runner.on(Event.EPOCH_FINISHED, lambda state: state.update(loss=next(losses)))
        older = early_stopping("loss", patience=1, restore="weights").attach_on(runner)
        runner.run([], max_epoch=4)
        older.dispose()
        restore = ["weights", "momentum"]
        early_stopping("loss", patience=9, restore=restore).attach_on(runner)
        runner.resume()
        assert runner.state["momentum"] == [7]


class TestTwoOnOneRunner:
    def test_of_one_memory_are_refused_and_nothing_is_attached(self) -> None:
        seen: list[int] = []
        runner = Runner()
        first = early_stopping("loss", patience=2).attach_on(runner)
        expected = (
            "memory must be for one early_stopping on a runner alone, got '_early_stopping_loss' "
            ".*; give each its own memory, or dispose of the other"
        )
        with pytest.raises(ValueError, match=expected):
            early_stopping("loss", patience=0).attach_on(runner)
        runner.state["loss"] = 0.0
        runner.on(Event.EPOCH_FINISHED, lambda state: seen.append(state["epoch"]))
        runner.run([], max_epoch=9)
        assert seen == [1, 2, 3, 4]
        first.dispose()
        early_stopping("loss").attach_on(runner)

    @pytest.mark.parametrize("restore", ["weights", ["other", "weights"]])
    def test_that_restore_the_same_are_refused(self, restore: Any) -> None:
        runner = Runner()
        early_stopping("loss", restore="weights").attach_on(runner)
        with pytest.raises(ValueError, match=r"restore must be for one .* alone, got 'weights'"):
            early_stopping("accuracy", "max", restore=restore).attach_on(runner)
        early_stopping("accuracy", "max", restore="other").attach_on(runner)

    def test_that_restore_the_same_object_are_refused(self) -> None:
        runner, model = Runner(), torch.nn.Linear(1, 1)
        early_stopping("loss", restore=model).attach_on(runner)
        with pytest.raises(ValueError, match=r"restore must be for one .* alone, got 'object"):
            early_stopping("accuracy", "max", restore=model).attach_on(runner)
        early_stopping("accuracy", "max", restore=torch.nn.Linear(1, 1)).attach_on(runner)


def batches_of(end: tuple[Any, Any, int]) -> Any:
    batches = end[1]
    return batches() if callable(batches) else batches


class TestArguments:
    @pytest.mark.parametrize("name", ["key", "memory"])
    def test_a_key_that_is_no_string_is_refused(self, name: str) -> None:
        with pytest.raises(TypeError, match=rf"{name} must be a string, got 1 \(int\); name the"):
            early_stopping(**{"key": "loss", name: 1})  # type: ignore[arg-type]

    @pytest.mark.parametrize("memory", ["loss", "epoch", "running", "_epoch"])
    def test_a_memory_that_is_in_use_is_refused(self, memory: str) -> None:
        with pytest.raises(ValueError, match=f"memory must be a key of its own, got '{memory}'"):
            early_stopping("loss", memory=memory)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"mode": "less"}, "mode must be one of 'min', 'max', got 'less'"),
            ({"patience": -1}, "patience must be a number of 0 or more, got -1"),
            ({"min_delta": nan}, "min_delta must be a finite number of 0 or more, got nan"),
            ({"min_delta_mode": "relative"}, "min_delta_mode must be one of 'abs', 'rel', got 're"),
            ({"stopping_threshold": nan}, "stopping_threshold must be a finite number, got nan"),
            ({"divergence_threshold": inf}, "divergence_threshold must be a finite number, got in"),
            (
                {"stopping_threshold": 0.9, "divergence_threshold": 0.5},
                "divergence_threshold must be worse than stopping_threshold 0.9 in mode 'min', "
                "got 0.5 .*; each value would stop the run; change the mode or a threshold",
            ),
            (
                {"mode": "max", "stopping_threshold": 0.5, "divergence_threshold": 0.5},
                "divergence_threshold must be worse than stopping_threshold 0.5 in mode 'max'",
            ),
            ({"warm_up": -1}, "warm_up must be an integer of 0 or more, got -1"),
            ({"nan": "skip"}, "nan must be one of 'raise', 'ignore', 'no-improvement', got"),
            (
                {"restore": []},
                "restore must be None, a key, .*; name keys of your own, or pass None",
            ),
            ({"restore": ""}, "restore must be None, a key, .*; name keys of your own, or pass"),
            ({"restore": ["w", "epoch"]}, "restore must be None, a key, .*; name keys of your"),
        ],
    )
    def test_a_value_that_makes_no_sense_is_refused(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            early_stopping("loss", **arguments)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"mode": None},
            {"patience": "5"},
            {"min_delta": "0"},
            {"min_delta_mode": None},
            {"check_finite": 1},
            {"stopping_threshold": "0.1"},
            {"divergence_threshold": torch.ones(1)},
            {"warm_up": 1.5},
            {"nan": None},
            {"restore": 5},
            {"restore": ["weights", 5]},
            {"restore": Holder},
            {"restore": {"weights": 1}},
        ],
    )
    def test_an_argument_of_the_wrong_type_is_refused(self, arguments: dict[str, Any]) -> None:
        (name,) = arguments
        with pytest.raises(TypeError, match=rf"{name} must be .*, got .*; "):
            early_stopping("loss", **arguments)

    def test_what_is_no_runner_or_no_event_is_refused_and_nothing_is_attached(self) -> None:
        early = early_stopping("loss")
        with pytest.raises(
            TypeError, match=r"runner must be a Runner, got None .*; write attach_on"
        ):
            early.attach_on(None)  # type: ignore[arg-type]
        runner = Runner()
        with pytest.raises(TypeError, match="event must be an Event"):
            early.attach_on(runner, "finished")  # type: ignore[arg-type]
        assert not runner.stream(Event.STARTED).rebuild()({})
        assert runner.stream(Event.STARTED).handlers == []
