"""The state: whose keys are whose, what an epoch remembers, and how a key is read."""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rnnr.state
from rnnr import Emission, Event, Runner
from rnnr.attachments import EpochTimer, ProgressBar, SumReducer
from rnnr.callbacks import checkpoint, early_stopping, maybe_stop_early
from rnnr.durable import Snapshots
from rnnr.reporting import RunInfo, reports
from rnnr.state import (
    State,
    begin_key,
    close_epoch,
    epoch_memory,
    is_open,
    n_batches_drawn,
    open_epoch,
    reader,
    run_memory,
)


def test_every_key_that_the_library_writes_is_documented_in_its_place(tmp_path: Path) -> None:
    class Records:
        def __iter__(self) -> Iterator[int]:
            return map(self.read, range(4))

        def read(self, i: int) -> int:
            return 1 // (2 - i)

    runner = Runner()
    attachments: list[Any] = [EpochTimer(), SumReducer("sum"), ProgressBar(file=io.StringIO())]
    for attachment in attachments:
        attachment.attach_on(runner)
    runner.on(Event.BATCH, lambda state: state.update(output=1, better=False))
    runner.on(Event.EPOCH_FINISHED, [maybe_stop_early(), checkpoint("it", 1, under=tmp_path)])
    early_stopping("output").attach_on(runner)
    reports(runner).subscribe()
    RunInfo().attach_on(runner)
    Snapshots(tmp_path / "snapshots").attach_on(runner)
    keys, memory = set[str](), set[str]()
    for event in Event:
        runner.on(event, lambda state: keys.update(state))
        runner.on(event, lambda state: memory.update(epoch_memory(state)))
    with pytest.raises(ZeroDivisionError):
        runner.run(Records())
    runner.on(Event.BATCH, lambda state: runner.end_epoch())
    runner.resume()

    def rows(docstring: str | None, mark: str) -> set[str]:
        lines = map(str.strip, str(docstring).splitlines())
        return {line.split("``")[1] for line in lines if line.startswith(mark)}

    own, of_an_epoch = str(rnnr.state.__doc__).split("in the memory of an epoch")
    documented = rows(Runner.__doc__, "* ``") | rows(own, "``")
    keys.add("stopped_by")  # nobody stops this run
    assert keys - {"output", "better", "sum"} == {
        key.format(what="it", key="output") for key in documented
    }
    assert set(run_memory(runner.state)) == {"_begun", "_info"}
    assert memory == {
        key.format(name="sum") for key in rows(of_an_epoch.partition("memory of a run")[0], "``")
    }


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


def test_asking_leaves_a_state_as_it_is() -> None:
    state: State = {"n_iters": 3}
    assert not is_open(state)
    assert n_batches_drawn(state) == 0
    assert state == {"n_iters": 3}


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
    runner.on(Event.EPOCH_STARTED, lambda state: counts.append(n_batches_drawn(state)))
    runner.on(Event.BATCH, lambda state: counts.append(n_batches_drawn(state)))
    runner.run(range(n_batches), max_epoch=n_epochs)
    assert counts == [*range(n_batches + 1)] * n_epochs


def test_the_memory_of_a_run_is_new_in_every_run_and_stays_through_a_resume() -> None:
    seen: list[Any] = []
    runner = Runner()
    runner.on(Event.STARTED, lambda state: run_memory(state).update(n=run_memory(state).get("n")))
    runner.on(Event.BATCH, lambda state: state.update(running=state["batch"] != 2))
    runner.on(Event.FINISHED, lambda state: seen.append(run_memory(state)["n"]))
    for n in range(2):
        runner.run([1, 2, 3])
        run_memory(runner.state)["n"] = n
        runner.state = pickle.loads(pickle.dumps(runner.state))
        runner.resume()
    assert seen == [0, 1]


def test_a_key_is_begun_once_in_a_run() -> None:
    runner = Runner()
    seen: list[Any] = []

    @runner.on(Event.BATCH)
    def count(state: State) -> None:
        begin_key(state, "mine")
        state["mine"] = state.get("mine", 0) + 1
        seen.append(state["mine"])

    for _ in range(2):
        runner.run("ab")
    assert seen == [1, 2, 1, 2]


def test_a_state_of_an_earlier_version_goes_on_with_what_it_has() -> None:
    state: State = {"mine": 3}
    begin_key(state, "mine")
    run_memory(state)["other"] = 1
    begin_key(state, "mine")
    assert state["mine"] == 3


def test_a_reader_reads_what_there_is_even_none() -> None:
    read = reader("loss", "a part", "a cure")
    assert read({"loss": None}) is None
    with pytest.raises(KeyError, match=r"state\['loss'\] is missing: a part reads .*; a cure"):
        read({})


def test_a_reader_of_what_is_no_state_says_how_to_get_one() -> None:
    read = reader("loss", "a part", "a cure")
    expected = r"what comes to a part must be a state, got \(1, 2\) .*; put it before what turns"
    with pytest.raises(TypeError, match=expected):
        read((1, 2))  # type: ignore[arg-type]
    expected = r"what comes to a part must be a state, got Emission.*; after runner.observe"
    with pytest.raises(TypeError, match=expected):
        read(Emission(Event.BATCH, {}))  # type: ignore[arg-type]


def test_an_error_in_a_state_of_the_users_own_is_left_alone() -> None:
    class Odd(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise TypeError("odd")

    with pytest.raises(TypeError, match="odd"):
        reader("loss", "a part", "a cure")(Odd())


def test_a_reader_of_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(TypeError, match="a key of the state for a part must be a string, got 3"):
        reader(3, "a part", "a cure")  # type: ignore[arg-type]
