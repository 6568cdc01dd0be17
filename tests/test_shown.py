"""A runner shows where its run is, and its callbacks in order."""

import pytest

from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.operators import do, pipeline


def train(state: State) -> None:
    """Train."""


def made() -> Runner:
    runner = Runner()
    runner.on(Event.FINISHED, pipeline(do(train)))
    runner.on(Event.BATCH, train)
    runner.on(Event.BATCH.every(2), lambda state: None)
    return runner


def test_a_new_one() -> None:
    assert repr(Runner()) == "Runner(has not run)"
    assert Runner()._repr_html_() == "<div><div>Runner: has not run</div></div>"


def test_its_callbacks_stand_in_the_order_of_events_and_layers() -> None:
    runner = made()
    MeanReducer("loss", value="batch").attach_on(runner)
    runner.on(Event.BATCH, train)
    head, *lines = repr(runner).splitlines()
    assert head == "Runner(has not run)"
    assert [line.split()[:2] for line in lines] == [
        ["BATCH", "train"],
        ["BATCH", "<lambda>"],
        ["BATCH", "train"],
        ["BATCH", "MeanReducer('loss')"],
        ["EPOCH_FINISHED", "MeanReducer._store"],
        ["FINISHED", "do(train)"],
    ]
    assert lines[0] == f"  BATCH           train                test_shown.py:{_line()}"


def _line() -> int:
    return train.__code__.co_firstlineno


def test_it_shows_where_the_run_is() -> None:
    runner, seen = Runner(), list[str]()
    runner.on(Event.STARTED | Event.BATCH.first(2), lambda state: seen.append(repr(runner)))
    runner.run([1, 2, 3], max_epoch=2)
    heads = [shown.splitlines()[0] for shown in [*seen, repr(runner)]]
    assert heads == [
        "Runner(epoch 0 of 2, 0 batches, running)",
        "Runner(epoch 1 of 2, 1 batch, running)",
        "Runner(epoch 1 of 2, 2 batches, running)",
        "Runner(epoch 2 of 2, 6 batches, not running)",
    ]
    runner.state = {"n_iters": 3}
    assert repr(runner).startswith("Runner(epoch ? of ?, 3 batches, not running)")


def test_a_state_that_was_cleared_by_a_callback_is_shown_too() -> None:
    runner, seen = Runner(), list[str]()

    @runner.on(Event.FAILED)
    def look(state: State) -> None:
        seen.append(repr(runner).splitlines()[0])

    runner.on(Event.BATCH, [dict.clear])
    with pytest.raises(KeyError):
        runner.run([1])
    assert seen == ["Runner(running)"]


def test_in_a_notebook_it_is_a_table_and_names_are_escaped() -> None:
    html = made()._repr_html_()
    assert "<tr><td>BATCH</td><td>train</td><td>test_shown.py:" in html
    assert "<td>&lt;lambda&gt;</td>" in html
    assert html.count("<tr>") == 4


def test_to_look_makes_and_changes_nothing() -> None:
    runner = Runner()
    before = {**runner.state}
    assert repr(runner)
    assert runner._repr_html_()
    assert (runner.state, len(runner._streams)) == (before, 0)
