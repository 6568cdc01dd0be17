"""`fold`: any type, any function, and a memory that lives in the state."""

import pickle
from collections.abc import Callable
from functools import reduce
from operator import add, or_
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np, torch
from rnnr import Event, Runner
from rnnr.operators import fold, pipeline, select
from rnnr.state import State, epoch_memory

ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.tuples(st.integers())


class Euro:
    """Money, which adds up with money only."""

    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __add__(self, other: object) -> "Euro":
        if not isinstance(other, Euro):
            raise TypeError("euros and something else")
        return Euro(self.cents + other.cents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Euro) and self.cents == other.cents

    __hash__ = None  # type: ignore[assignment]


def pair(one: object, other: object) -> tuple[object, object]:
    """Keep everything, and the order of it."""
    return one, other


def folded(batches: list[Any], function: Callable[[Any, Any], Any], **settings: Any) -> list[Any]:
    """Return the accumulator after each batch."""
    seen: list[Any] = []
    runner = Runner()
    total = fold("total", function, value="batch", **settings)
    runner.stream(Event.BATCH).pipe(total, select("total")).subscribe(seen.append)
    runner.run(batches)
    return seen


@given(st.lists(ANYTHING))
def test_it_accumulates_from_the_first_value(batches: list[Any]) -> None:
    assert folded(batches, pair) == [reduce(pair, batches[: i + 1]) for i in range(len(batches))]


@given(st.lists(ANYTHING), ANYTHING)
def test_it_accumulates_from_a_given_initial_value(batches: list[Any], initial: Any) -> None:
    expected = [reduce(pair, batches[: i + 1], initial) for i in range(len(batches))]
    assert folded(batches, pair, initial=initial) == expected


@pytest.mark.parametrize(
    ("batches", "function", "result"),
    [
        ([None, None, 3], pair, ((None, None), 3)),
        ([0, 0, 3], add, 3),
        ([Euro(1), Euro(2)], add, Euro(3)),
        ([{"a": 1}, {"b": 2}], or_, {"a": 1, "b": 2}),
    ],
)
def test_any_first_value_will_do(
    batches: list[Any], function: Callable[[Any, Any], Any], result: object
) -> None:
    assert folded(batches, function)[-1] == result


@pytest.mark.parametrize("array", [np.array, torch.tensor])
def test_arrays_and_tensors_are_folded_and_left_alone(array: Callable[[list[int]], Any]) -> None:
    batches = [array([1, 2]), array([30, 40])]
    assert [total.tolist() for total in folded(batches, add)] == [[1, 2], [31, 42]]
    assert [batch.tolist() for batch in batches] == [[1, 2], [30, 40]]


def test_the_function_is_not_called_for_the_first_value() -> None:
    calls: list[tuple[object, ...]] = []
    folded([1, 2, 3], lambda *call: calls.append(call))
    assert calls == [(1, 2), (None, 3)]


def test_the_value_may_be_computed_from_the_state() -> None:
    state: State = {"loss": 3, "size": 2}
    pipeline(fold("total", add, value=lambda state: state["loss"] * state["size"]))(state)
    assert state["total"] == 6


def test_the_state_itself_is_passed_on() -> None:
    seen: list[State] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(fold("total", add, value="batch")).subscribe(seen.append)
    runner.run([1])
    assert seen[0] is runner.state


def test_an_epochs_memory_is_emptied_when_the_next_one_begins() -> None:
    story: list[tuple[int, int]] = []
    runner = Runner()
    runner.on(Event.BATCH, pipeline(fold("total", add, value="batch", per_epoch=True)))
    runner.on(
        Event.EPOCH_FINISHED,
        lambda state: story.append((state["epoch"], epoch_memory(state)["total"])),
    )
    runner.run([1, 2, 3], max_epoch=2)
    assert story == [(1, 6), (2, 6)]
    assert "total" not in runner.state


def test_a_state_that_no_runner_made_has_an_epochs_memory_too() -> None:
    state: State = {"batch": 2}
    total = pipeline(fold("total", add, value="batch", per_epoch=True))
    total(state)
    total(state)
    assert epoch_memory(state)["total"] == 4


def test_runners_that_share_a_fold_do_not_share_its_memory() -> None:
    total = pipeline(fold("total", add, value="batch"))
    trainer, evaluator = Runner(), Runner()
    trainer.on(Event.BATCH, [lambda _: evaluator.run([10, 20]), total])
    evaluator.on(Event.BATCH, total)
    trainer.run([1, 2])
    assert (trainer.state["total"], evaluator.state["total"]) == (3, 60)


def test_the_accumulator_survives_a_pickle() -> None:
    before, after = Runner(), Runner()
    for runner in (before, after):
        runner.on(Event.BATCH, pipeline(fold("total", add, value="batch")))
    before.run([1, 2])
    after.state = pickle.loads(pickle.dumps(before.state))
    after.run([3])
    assert after.state["total"] == 6


def test_a_missing_value_is_named_with_who_wants_it_and_the_cure() -> None:
    total = pipeline(fold("total", add, value="loss"))
    expected = (
        r"state\['loss'\] is missing: fold\('total'\) reads it, the state has batch, epoch; "
        r"set state\['loss'\] in an earlier callback"
    )
    with pytest.raises(KeyError, match=expected):
        total({"epoch": 1, "batch": 2})


def test_a_function_that_fails_leaves_the_accumulator_as_it_was() -> None:
    total = pipeline(fold("total", lambda one, other: one / other, value="batch"))
    state: State = {"batch": 8}
    total(state)
    with pytest.raises(ZeroDivisionError):
        total(state | {"batch": 0})
    assert state["total"] == 8
    total(state | {"batch": 2})
    assert state["total"] == 8  # the dict that was passed has it
    state["batch"] = 2
    total(state)
    assert state["total"] == 4


@pytest.mark.parametrize(
    ("key", "function", "value", "expected"),
    [
        (1, add, "batch", r"key must be a string, got 1 \(int\); name the key"),
        ("total", 1, "batch", r"function must be callable, got 1 \(int\); pass for example"),
        ("total", add, 1, r"a key of the state for fold\('total'\) must be a string, got 1"),
    ],
)
def test_wrong_arguments_are_refused_when_given(
    key: Any, function: Any, value: Any, expected: str
) -> None:
    with pytest.raises(TypeError, match=expected):
        fold(key, function, value=value)


def test_names_of_rnnr_itself_are_refused_in_the_epochs_memory() -> None:
    with pytest.raises(ValueError, match="without a leading underscore, rnnr's own, got '_open'"):
        fold("_open", add, value="batch", per_epoch=True)


def test_an_initial_value_that_the_function_changes_is_not_shared() -> None:
    def collect(seen: list[int], batch: int) -> list[int]:
        seen.append(batch)
        return seen

    collected = pipeline(fold("seen", collect, value="batch", initial=[]))
    first, second = Runner(), Runner()
    for runner in (first, second):
        runner.on(Event.BATCH, collected)
        runner.run([1, 2])
    assert (first.state["seen"], second.state["seen"]) == ([1, 2], [1, 2])


def test_without_a_value_the_function_gets_the_state_itself() -> None:
    runner = Runner()
    total = fold("total", lambda total, state: total + state["batch"], initial=0)
    runner.on(Event.BATCH, pipeline(total))
    runner.run([1, 2, 3])
    assert runner.state["total"] == 6


def test_without_a_value_and_a_beginning_it_is_refused() -> None:
    with pytest.raises(TypeError, match=r"initial must be given where value is not.*initial=0"):
        fold("total", max)


def test_each_fold_begins_with_a_copy_of_all_that_is_in_initial() -> None:
    def collect(accumulator: State, batch: int) -> State:
        accumulator["batches"].append(batch)
        return accumulator

    runner, seen = Runner(), []
    operator = fold("seen", collect, value="batch", initial={"batches": []}, per_epoch=True)
    runner.stream(Event.BATCH).pipe(operator).subscribe()
    runner.on(Event.EPOCH_FINISHED, lambda state: seen.append(epoch_memory(state)["seen"]))
    runner.run([1, 2], max_epoch=2)
    assert seen == [{"batches": [1, 2]}] * 2


def test_an_initial_accumulator_that_cannot_be_copied_is_refused_when_given() -> None:
    with pytest.raises(TypeError, match="initial must be one that can be copied, got <generator"):
        fold("seen", add, value="batch", initial=(i for i in range(3)))


def test_a_first_value_that_is_filled_again_is_copied() -> None:
    buffer = np.zeros(1)
    runner = Runner()
    runner.on(Event.BATCH, lambda state: buffer.fill(state["batch"]))
    runner.stream(Event.BATCH).pipe(fold("sum", add, value=lambda _: buffer)).subscribe()
    runner.run([1, 10, 100])
    assert runner.state["sum"] == [111]
