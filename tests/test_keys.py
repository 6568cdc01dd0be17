"""A name belongs to one part: of the run, or of what is attached to its runner."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from helpers.events import n_handlers
from rnnr import Event, Runner
from rnnr.attachments import LambdaReducer, MeanReducer, SumReducer
from rnnr.callbacks import checkpoint, early_stopping, maybe_stop_early
from rnnr.operators import fold, pipeline, when
from rnnr.recording import Record
from rnnr.reporting import reports
from rnnr.state import RUN_KEYS

Attach = Callable[[Runner, str], Any]


def on_epochs(make: Callable[[str], Any]) -> Attach:
    return lambda runner, key: runner.on(Event.EPOCH_FINISHED, make(key))


def writers(folder: Path) -> dict[str, Attach]:
    """Return how each part that writes a key of the state is attached, under the key."""
    return {
        "LambdaReducer": lambda runner, key: LambdaReducer(key, max).attach_on(runner),
        "SumReducer": lambda runner, key: SumReducer(key).attach_on(runner),
        "MeanReducer": lambda runner, key: MeanReducer(key).attach_on(runner),
        "maybe_stop_early": on_epochs(lambda key: maybe_stop_early(counter=key)),
        "early_stopping": lambda runner, key: early_stopping("loss", memory=key).attach_on(runner),
        "a plain early_stopping": on_epochs(lambda key: early_stopping("loss", memory=key)),
        "checkpoint": on_epochs(lambda key: checkpoint("model", under=folder, queue_fmt=key)),
        "fold": on_epochs(lambda key: pipeline(fold(key, max, value="loss"))),
        "a pipeline in a pipeline": on_epochs(
            lambda key: pipeline(when("better"), pipeline(fold(key, max, value="loss")))
        ),
    }


WRITERS = sorted(writers(Path()))


@pytest.mark.parametrize("key", sorted({*RUN_KEYS} - {"error"}))
@pytest.mark.parametrize("name", WRITERS)
def test_a_key_of_the_run_is_refused(name: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"must be a key of its own, got '{key}' .*; the run"):
        writers(tmp_path)[name](Runner(), key)


@pytest.mark.parametrize(("first", "second"), list(permutations(WRITERS, 2)))
def test_a_key_of_another_part_is_refused_and_the_first_goes_on(
    first: str, second: str, tmp_path: Path
) -> None:
    runner = Runner()
    attached = writers(tmp_path)[first](runner, "key")
    before = n_handlers(runner)
    with pytest.raises(ValueError, match=r"must be .*, got 'key' .*writes it|must be for one"):
        writers(tmp_path)[second](runner, "key")
    assert n_handlers(runner) == before
    attached.dispose()
    writers(tmp_path)[second](runner, "key").dispose()
    assert n_handlers(runner) == 0


@pytest.mark.parametrize("name", WRITERS)
def test_two_runners_have_keys_of_their_own(name: str, tmp_path: Path) -> None:
    for _ in range(2):
        writers(tmp_path)[name](Runner(), "key")


@pytest.mark.parametrize(
    "make",
    [
        lambda _: maybe_stop_early(),
        lambda folder: checkpoint("model", under=folder),
        lambda _: early_stopping("loss"),
        lambda _: pipeline(fold("seen", max, value="epoch")),
    ],
)
def test_one_callback_may_be_attached_to_several_events(make: Any, tmp_path: Path) -> None:
    runner, callback = Runner(), make(tmp_path)
    attached = [runner.on(event, callback) for event in (Event.BATCH, Event.EPOCH_FINISHED)]
    attached[0].dispose()
    with pytest.raises(ValueError, match="writes it"):
        early_stopping("loss", memory=key_of(callback)).attach_on(runner)
    attached[1].dispose()
    early_stopping("loss", memory=key_of(callback)).attach_on(runner)


def key_of(callback: Any) -> str:
    """Return the key that a callback has reserved."""
    runner = Runner()
    runner.on(Event.BATCH, callback)
    (key,) = runner._keys._writers
    return key


def test_two_folds_of_one_name_in_the_memory_of_an_epoch_are_refused() -> None:
    runner = Runner()
    first, second = (pipeline(fold("t", max, value="batch", per_epoch=True)) for _ in range(2))
    runner.on(Event.BATCH, first)
    with pytest.raises(ValueError, match="got 't in the memory of an epoch'"):
        runner.on(Event.BATCH, second)


def test_what_a_fold_reads_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="key must be a key of its own, got 'x' "):
        fold("x", max, value="x")


def test_a_fold_in_the_memory_of_an_epoch_takes_no_key_of_the_state() -> None:
    runner = Runner()
    runner.on(Event.BATCH, pipeline(fold("loss", max, value="batch", per_epoch=True)))
    MeanReducer("loss", value="batch").attach_on(runner)
    runner.run([1, 2, 3])
    assert runner.state["loss"] == 2


def test_a_decorator_reserves_too() -> None:
    runner = Runner()
    runner.on(Event.EPOCH_FINISHED)(maybe_stop_early(counter="n"))
    with pytest.raises(ValueError, match=r"maybe_stop_early\('better'\) writes it"):
        SumReducer("n").attach_on(runner)


@pytest.mark.parametrize("part", [maybe_stop_early, MeanReducer])
def test_what_a_part_reads_itself_is_refused(part: Any) -> None:
    with pytest.raises(ValueError, match=r"must be a key of its own, got .x. .*the part itself"):
        part(check="x", counter="x") if part is maybe_stop_early else part("x", size="x")


@pytest.mark.parametrize("key", sorted({*RUN_KEYS} - {"batch", "error"}))
def test_a_key_of_the_run_is_no_metric(key: str, tmp_path: Path) -> None:
    expected = f"must be the key of a metric, got '{key}' .*; the run writes it"
    with pytest.raises(ValueError, match=expected):
        early_stopping(key)
    with pytest.raises(ValueError, match=expected):
        reports(Runner(), key)
    with pytest.raises(ValueError, match=expected):
        Record(tmp_path / "run.jsonl", key)
