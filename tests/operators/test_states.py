"""The states of some events of an observed run."""

from typing import Any

import pytest
from reactivex import operators as ops

from rnnr import Event, Runner
from rnnr.operators import select, states


@pytest.mark.parametrize(
    "selection",
    [
        Event.BATCH,
        Event.STARTED,
        Event.BATCH.every(2) | Event.EPOCH_FINISHED,
        Event.BATCH.first(3).where(lambda state: state["batch"] != 2),
    ],
    ids=str,
)
def test_they_are_what_the_stream_of_the_selection_has(selection: Any) -> None:
    observed: list[Any] = []
    streamed: list[Any] = []
    runner = Runner()
    of_interest = select("epoch", "n_iters")
    runner.stream(selection).pipe(of_interest).subscribe(streamed.append)
    run = runner.observe([1, 2, 3], max_epoch=2)
    run.pipe(states(selection), of_interest).subscribe(observed.append)
    assert observed == streamed != []


def test_each_subscription_has_a_memory_of_its_own() -> None:
    first = Runner().observe("ab").pipe(states(Event.BATCH.once()), select("batch"), ops.to_list())
    assert [first.run(), first.run()] == [["a"], ["a"]]


def test_it_is_for_the_runs_of_runner_runs_too() -> None:
    seen: list[Any] = []
    runner = Runner()

    def batches(run: Any) -> Any:
        return run.pipe(states(Event.BATCH), select("batch"), ops.to_list())

    runner.runs.pipe(ops.flat_map(batches)).subscribe(seen.append)
    runner.run("ab")
    assert seen == [["a", "b"]]


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(TypeError, match="selection must be an Event or a Selection, got 'BATCH'"):
        states("BATCH")  # type: ignore[arg-type]


def test_what_is_no_emission_is_refused() -> None:
    runner = Runner()
    stream: Any = runner.stream(Event.BATCH)
    stream.pipe(states(Event.BATCH)).subscribe()
    expected = r"what comes to states must be an Emission, got .*; put it right after"
    with pytest.raises(TypeError, match=expected):
        runner.run([1])


def test_select_without_it_says_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"must be a state, got Emission.*states\(Event.BATCH\)"):
        Runner().observe([1]).pipe(select("batch")).subscribe()  # type: ignore[arg-type]
