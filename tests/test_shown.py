"""A runner shows where its run is, and its callbacks in order."""

from pathlib import Path
from typing import Any

import pytest

from rnnr import Event, Runner, State
from rnnr.attachments import (
    Attachment,
    Control,
    EpochLog,
    EpochTimer,
    MeanReducer,
    ProgressBar,
    RunningAverage,
)
from rnnr.durable import JsonLines, Snapshots, StopOnSignal
from rnnr.operators import do, pipeline
from rnnr.recording import Record


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
        ["EPOCH_FINISHED", "MeanReducer"],
        ["FINISHED", "do(train)"],
    ]
    assert lines[0] == f"  BATCH           train                test_shown.py:{_line()}"


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: EpochLog(),
        lambda folder: EpochTimer(),
        lambda folder: ProgressBar(per="run"),
        lambda folder: RunningAverage("loss"),
        lambda folder: Control(),
        lambda folder: StopOnSignal(),
        lambda folder: Snapshots(folder / "snapshots"),
        lambda folder: JsonLines(folder / "log.jsonl", "loss"),
    ],
)
def test_a_part_of_rnnr_has_the_name_of_what_was_attached(make: Any, tmp_path: Path) -> None:
    runner, part = Runner(), make(tmp_path)
    attached = part.attach_on(runner)
    names = {line.split()[1] for line in repr(runner).splitlines()[1:]}
    attached.dispose()
    assert names == {type(part).__name__}


def test_a_recording_is_made_of_reports(tmp_path: Path) -> None:
    runner = Runner()
    with Record(tmp_path / "run.jsonl").attach_on(runner):
        names = {line.split()[1] for line in repr(runner).splitlines()[1:]}
    assert names == {"Record", "reports"}


def test_a_part_of_the_user_has_the_names_of_its_methods() -> None:
    class Announcer(Attachment):
        attached_as = "mine"

        def attach_on(self, runner: Runner) -> None:
            runner.on(Event.STARTED, self.announce)

        def announce(self, state: State) -> None:
            """Announce."""

    runner = Runner()
    Announcer().attach_on(runner)
    assert "  STARTED  Announcer.announce  test_shown.py:" in repr(runner)


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
