"""The law of fusion: operators do the same fused, one by one and over a stream, errors too."""

from collections.abc import Callable
from copy import copy, deepcopy
from operator import add
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

import rnnr.operators
from rnnr import Event
from rnnr.operators import (
    Operator,
    chunk,
    do,
    ema,
    every,
    fold,
    frozen,
    improved,
    patience,
    pipeline,
    running_mean,
    select,
    stop,
    when,
)
from rnnr.state import State
from rnnr.streams._subject import new_subject

Make: TypeAlias = Callable[[], Operator]
Story: TypeAlias = list[tuple[list[Any], str | None, State]]
"""For each item what came, the error, and the state after it."""

OURS: dict[str, Make] = {
    "do": lambda: do(lambda item: item["seen"].append(item["x"])),
    "ema": lambda: ema(0.5),
    "every": lambda: every(2),
    "fold": lambda: fold("total", add, value="x"),
    "fold in the epoch": lambda: fold("total", add, value="x", initial=0, per_epoch=True),
    "fold, whole state": lambda: fold("last", lambda _, state: state["x"], initial=None),
    "frozen": frozen,
    "improved": improved,
    "patience": lambda: patience(1),
    "running_mean": lambda: running_mean(2),
    "select": lambda: select("x"),
    "select two": lambda: select("x", "total"),
    "select, function": lambda: select(lambda state: {**state, "x": state["x"] + 1}),
    "stop": stop,
    "when": lambda: when("ok"),
    "when, function": lambda: when(lambda state: state["x"] % 3),
}

THEIRS: dict[str, Make] = {
    "catch": lambda: ops.catch(lambda _, source: source),
    "chunk": lambda: chunk(2),
    "filter": lambda: ops.filter(lambda item: item["x"] > 1),
    "map": lambda: ops.map(lambda item: item["x"]),
    "pairwise": ops.pairwise,
    "scan": lambda: ops.scan(lambda before, item: before, {"x": 9}),
    "skip": lambda: ops.skip(1),
    "take": lambda: ops.take(2),
}

ELSEWHERE = {
    "Operator",
    "Pipeline",
    "all_but_newest",  # with delete_files and save_file in operators/test_save_file.py
    "delete_files",
    "isolate",  # goes on after an error
    "pipeline",
    "save_file",
    "states",  # takes what observed runs emit
    "throughput",  # asks a clock
}


def test_every_operator_is_among_them() -> None:
    names = {name.partition(",")[0].partition(" ")[0] for name in OURS}
    assert names | {"chunk"} | ELSEWHERE == {*rnnr.operators.__all__}


some = st.sampled_from(sorted(OURS.values(), key=id) * 2 + sorted(THEIRS.values(), key=id))
nested = st.lists(some, max_size=3).map(lambda makes: lambda: pipeline(*(make() for make in makes)))
operators = st.lists(some | nested, max_size=6)
our_own = st.lists(st.sampled_from(sorted(OURS.values(), key=id)), max_size=6)
items = st.lists(
    st.fixed_dictionaries({"ok": st.booleans()}, optional={"x": st.integers(0, 5)}), max_size=6
)


def opaque(operator: Operator) -> Operator:
    """Hide that an operator knows its step."""
    return lambda source: operator(source)


def told(send: Callable[[State], object], seen: list[Any], states: list[State]) -> Story:
    """Send states one after the other, all in one dict, as a run does."""
    story: Story = []
    state: State = {"seen": []}
    for one in states:
        state.pop("x", None)
        state.update(one, running=True)
        error = None
        try:
            send(state)
        except Exception as raised:  # noqa: BLE001  (it is compared)
            error = repr(raised)
        story.append((deepcopy(seen), error, deepcopy(state)))
        seen.clear()
    return story


def called(chain: list[Operator], states: list[State]) -> Story:
    seen: list[Any] = []
    callback = pipeline(*chain, do(lambda item: seen.append(deepcopy(item))))
    return told(callback, seen, states)


def one_by_one(chain: list[Operator], states: list[State]) -> Story:
    seen: list[Any] = []
    record: Operator = do(lambda item: seen.append(deepcopy(item)))
    callback = pipeline(*map(opaque, chain), opaque(record))
    return told(callback, seen, states)


def streamed(subject: Subject[Any], chain: list[Operator], states: list[State]) -> Story:
    seen: list[Any] = []
    stream: Observable[Any] = subject.pipe(*chain)
    stream.subscribe(lambda item: seen.append(deepcopy(item)))
    return told(subject.on_next, seen, states)


def to_the_first_error(story: Story) -> Story:
    """Leave out what is after an error: it has ended the stream."""
    ends = [i for i, (_, error, _) in enumerate(story) if error is not None]
    return story[: ends[0] + 1] if ends else story


@given(operators, items)
def test_a_pipeline_does_what_its_operators_do_one_by_one(
    makes: list[Make], states: list[State]
) -> None:
    fused = called([make() for make in makes], deepcopy(states))
    assert fused == one_by_one([make() for make in makes], deepcopy(states))


@given(operators, items)
def test_a_pipeline_does_what_its_operators_do_to_a_stream(
    makes: list[Make], states: list[State]
) -> None:
    expected = to_the_first_error(called([make() for make in makes], deepcopy(states)))
    for subject in (new_subject(Event.BATCH), Subject[Any]()):
        story = streamed(subject, [make() for make in makes], deepcopy(states))
        assert to_the_first_error(story) == expected


@given(our_own, items)
def test_a_stream_that_has_failed_has_no_handler_left(
    makes: list[Make], states: list[State]
) -> None:
    subject = new_subject(Event.BATCH)
    story = streamed(subject, [make() for make in makes], deepcopy(states))
    subject.rebuild()
    has_failed = any(error is not None for _, error, _ in story)
    assert len(subject.handlers) == (0 if has_failed else 1)


@given(our_own, items)
def test_a_copy_of_a_pipeline_begins_with_an_empty_memory(
    makes: list[Make], states: list[State]
) -> None:
    seen: list[Any] = []
    callback = pipeline(*(make() for make in makes), do(lambda item: seen.append(deepcopy(item))))
    first = told(callback, seen, deepcopy(states))
    assert told(copy(callback), seen, deepcopy(states)) == first
