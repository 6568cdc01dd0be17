"""The state: whose keys are whose, and what an epoch remembers."""

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnr.state
from rnnr import Event, Runner
from rnnr.attachments import EpochTimer, MeanReducer, ProgressBar, SumReducer
from rnnr.callbacks import checkpoint, maybe_stop_early
from rnnr.state import (
    State,
    close_epoch,
    epoch_memory,
    is_open,
    n_drawn,
    open_epoch,
    reader,
)


def test_every_key_that_the_library_writes_is_in_the_one_table(tmp_path: Path) -> None:
    runner = Runner()
    attachments: list[Any] = [EpochTimer(), SumReducer("sum"), MeanReducer("mean")]
    for attachment in [*attachments, ProgressBar(file=io.StringIO())]:
        attachment.attach_on(runner)
    mine = {"output", "better"}
    runner.on(Event.BATCH, lambda state: state.update(output=1, better=False))
    runner.on(Event.EPOCH_FINISHED, [maybe_stop_early(), checkpoint("it", 1, under=tmp_path)])
    keys: set[str] = set()
    for event in Event:
        runner.on(event, lambda state: keys.update(state))
    runner.on(Event.BATCH, lambda state: 1 / (state["n_iters"] - 3))
    with pytest.raises(ZeroDivisionError):
        runner.run([1, 2], max_epoch=2)
    documented = {
        line.split("``")[1] for line in str(rnnr.state.__doc__).splitlines() if "``" in line
    }
    written = {key.replace("_saved_it", "_saved_{what}") for key in keys - mine}
    assert written - {"sum", "mean"} == documented


def test_the_memory_of_an_epoch_is_in_the_state_and_new_in_every_epoch() -> None:
    state: State = {"epoch": 0}
    open_epoch(state)
    epoch_memory(state)["total"] = 3
    restored = pickle.loads(pickle.dumps(state))
    assert epoch_memory(restored)["total"] == 3
    close_epoch(state)
    assert epoch_memory(state)["total"] == 3
    open_epoch(state)
    assert "total" not in epoch_memory(state)
    assert state["epoch"] == 2


def test_a_state_that_no_runner_made_gets_a_memory_when_it_is_asked_for() -> None:
    state: State = {}
    assert epoch_memory(state) is epoch_memory(state)
    assert not is_open(state)


def test_an_epoch_is_open_from_its_beginning_until_its_batches_are_exhausted() -> None:
    story: list[tuple[str, bool]] = []
    runner = Runner()
    for event in Event:

        def tell(state: State, name: str = event.name) -> None:
            story.append((name, is_open(state)))

        runner.on(event, tell)
    runner.run(["a batch"])
    assert story == [
        ("STARTED", False),
        ("EPOCH_STARTED", True),
        ("BATCH", True),
        ("EPOCH_FINISHED", False),
        ("FINISHED", False),
    ]


@given(st.integers(0, 4), st.integers(0, 3), st.integers(-5, 5))
def test_the_batches_that_the_epoch_has_drawn_are_counted(
    n_batches: int, n_epochs: int, n_iters: int
) -> None:
    counts: list[int] = []
    runner = Runner()
    runner.on(Event.STARTED, lambda state: state.update(n_iters=n_iters))
    runner.on(Event.EPOCH_STARTED, lambda state: counts.append(n_drawn(state)))
    runner.on(Event.BATCH, lambda state: counts.append(n_drawn(state)))
    runner.run(range(n_batches), max_epoch=n_epochs)
    assert counts == [*range(n_batches + 1)] * n_epochs


def test_a_reader_reads_what_there_is_even_none() -> None:
    read = reader("loss", "a part", "a cure")
    assert read({"loss": None}) is None
    with pytest.raises(KeyError, match=r"state\['loss'\] is missing: a part reads .*; a cure"):
        read({})


def test_a_reader_of_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="a key of the state for a part must be a string, got 3"):
        reader(3, "a part", "a cure")  # type: ignore[arg-type]
