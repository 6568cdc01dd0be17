"""`chunk` cuts a stream into lists."""

from pathlib import Path
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject
from reactivex import operators as ops

from rnnr import Event, RnnrWarning, Runner
from rnnr.operators import chunk, select

ITEMS = st.lists(st.none() | st.integers())
SIZES = st.integers(1, 6)


def chunked(items: list[Any], n: int, *, completed: bool) -> list[list[Any]]:
    seen: list[list[Any]] = []
    source = Subject[Any]()
    source.pipe(chunk(n)).subscribe(seen.append)
    for item in items:
        source.on_next(item)
    if completed:
        source.on_completed()
    return seen


@given(ITEMS, SIZES)
def test_a_stream_that_completes_is_cut_as_a_list_is(items: list[Any], n: int) -> None:
    slices = [items[i : i + n] for i in range(0, len(items), n)]
    assert chunked(items, n, completed=True) == slices
    cold = reactivex.from_iterable(items).pipe(chunk(n), ops.to_list())
    assert cold.run() == slices


@given(ITEMS, SIZES)
def test_a_stream_that_goes_on_keeps_the_rest(items: list[Any], n: int) -> None:
    full = [items[i : i + n] for i in range(0, len(items) - n + 1, n)]
    assert chunked(items, n, completed=False) == full


@given(ITEMS, SIZES, st.booleans())
def test_it_does_what_buffer_with_count_does(items: list[Any], n: int, fails: bool) -> None:
    ours, theirs = list[Any](), list[Any]()
    source = Subject[Any]()
    source.pipe(chunk(n), ops.materialize()).subscribe(ours.append)
    source.pipe(ops.buffer_with_count(n), ops.materialize()).subscribe(theirs.append)
    for item in items:
        source.on_next(item)
    if fails:
        source.on_error(ValueError("above"))
    else:
        source.on_completed()
    assert [*map(str, ours)] == [*map(str, theirs)]


def test_one_dict_again_and_again_is_warned_of_once_with_the_cure() -> None:
    runner, seen = Runner(), list[Any]()
    runner.stream(Event.BATCH).pipe(chunk(2)).subscribe(seen.append)
    with pytest.warns(
        RnnrWarning, match=r"one dict again and again.*put select\(.*every\(n\)"
    ) as told:
        runner.run(range(6))
    assert [Path(one.filename).name for one in told] == ["test_chunk.py"]
    assert seen == [[runner.state] * 2] * 3


@pytest.mark.parametrize("item", [None, 7, "x"])
def test_equal_items_that_are_no_dict_are_fine(item: Any) -> None:
    assert chunked([item] * 4, 2, completed=True) == [[item] * 2] * 2


def test_a_list_of_one_state_and_lists_of_other_dicts_are_fine() -> None:
    runner, seen = Runner(), list[Any]()
    runner.stream(Event.BATCH).pipe(chunk(1)).subscribe(seen.append)
    runner.run(range(2))
    assert len(seen) == 2
    assert chunked([{}, {}], 2, completed=True) == [[{}, {}]]


def test_each_list_is_its_own() -> None:
    seen: list[list[int]] = []
    source = Subject[int]()
    source.pipe(chunk(2)).subscribe(lambda items: seen.append(items) or items.append(9))  # type: ignore[func-returns-value]
    for i in range(4):
        source.on_next(i)
    assert seen == [[0, 1, 9], [2, 3, 9]]


def test_the_rest_of_a_run_waits_for_the_next() -> None:
    seen: list[list[int]] = []
    runner = Runner()
    runner.stream(Event.BATCH).pipe(select("batch"), chunk(2)).subscribe(seen.append)
    runner.run([1, 2, 3])
    runner.run([4])
    assert seen == [[1, 2], [3, 4]]


@pytest.mark.parametrize("n", [0, -1])
def test_a_size_below_1_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"n must be an integer of 1 or more, got .*pass how many"):
        chunk(n)


@pytest.mark.parametrize("n", [None, 2.0, "2", float("nan")])
def test_a_size_that_is_no_integer_is_refused(n: Any) -> None:
    with pytest.raises(TypeError, match=r"n must be an integer of 1 or more, got .*pass how many"):
        chunk(n)
