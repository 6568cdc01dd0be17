"""`select` takes out of the state what may be kept."""

from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops

from rnnr import Event, Runner
from rnnr.operators import Operator, pipeline, select
from rnnr.state import State

NUMBERS = st.lists(st.integers(0, 3))


def seen_through(batches: list[Any], *operators: Operator) -> list[Any]:
    """Return what leaves the operators when a runner runs on the batches."""
    seen: list[Any] = []
    runner = Runner()
    stream: Observable[Any] = runner.stream(Event.BATCH)
    stream.pipe(*operators).subscribe(seen.append)
    runner.run(batches)
    return seen


@given(st.lists(st.none() | st.integers()))
def test_one_key_is_turned_into_its_value(batches: list[int | None]) -> None:
    assert seen_through(batches, select("batch")) == batches


def test_several_keys_are_turned_into_a_mapping_of_them() -> None:
    assert seen_through(["a", "b"], select("n_iters", "batch")) == [
        {"n_iters": 1, "batch": "a"},
        {"n_iters": 2, "batch": "b"},
    ]


def test_the_mapping_cannot_be_changed() -> None:
    (mapping,) = seen_through(["a"], select("n_iters", "batch"))
    with pytest.raises(TypeError, match="does not support item assignment"):
        mapping["batch"] = "b"


@given(NUMBERS)
def test_pairs_are_right_where_pairs_of_the_state_would_be_one_state_twice(
    batches: list[int],
) -> None:
    assert seen_through(batches, select("batch"), ops.pairwise()) == list(pairwise(batches))
    raw = seen_through(batches, ops.pairwise())
    assert all(one is other for one, other in raw)


@given(NUMBERS, st.integers(1, 4))
def test_buffers_are_right(batches: list[int], count: int) -> None:
    full = [batches[i : i + count] for i in range(0, len(batches) - count + 1, count)]
    assert seen_through(batches, select("batch"), ops.buffer_with_count(count)) == full


@given(NUMBERS)
def test_changes_are_right_for_one_key_and_for_several(batches: list[int]) -> None:
    expected = [number for number, _ in groupby(batches)]
    changes: Operator = ops.distinct_until_changed()
    assert seen_through(batches, select("batch"), changes) == expected
    several = seen_through(batches, select("epoch", "batch"), changes)
    assert several == [{"epoch": 1, "batch": number} for number in expected]


@pytest.mark.parametrize("keys", [("loss",), ("epoch", "loss")])
def test_a_missing_key_is_named_with_who_wants_it_and_the_cure(keys: tuple[str, ...]) -> None:
    part = ", ".join(map(repr, keys))
    expected = (
        rf"state\['loss'\] is missing: select\({part}\) reads it, the state has epoch; "
        "set it before this event, or select another key"
    )
    state: State = {"epoch": 1}
    with pytest.raises(KeyError, match=expected):
        pipeline(select(*keys))(state)


def test_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keys must be one key or more, got \(\)"):
        select()


@pytest.mark.parametrize("keys", [(1,), ("epoch", None), (["epoch", "loss"],)])
def test_a_key_that_is_no_string_is_refused(keys: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=r"a key of the state for select\(.*\) must be a string"):
        select(*keys)


def test_a_function_is_called_with_each_item() -> None:
    seen: list[object] = []
    runner = Runner()
    doubled = runner.stream(Event.BATCH).pipe(select("batch"), select(lambda batch: 2 * batch))
    doubled.subscribe(seen.append)
    runner.run([1, 2])
    assert seen == [2, 4]
