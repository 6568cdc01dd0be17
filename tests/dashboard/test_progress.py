"""How far a run is: plain numbers in, plain numbers out."""

from typing import Any

import pytest

from rnnr import Event
from rnnr.dashboard._progress import ENDLESS, Progress
from rnnr.reporting import Report


def report(event: Event, n_iters: int = 0, epoch: int = 1, **others: Any) -> Report:
    fields = {"max_epoch": 2, "seconds": float(n_iters), "metrics": {}, "n_batches": 10}
    return Report(event, epoch, n_iters=n_iters, **{**fields, **others})


def told(*reports: Report) -> dict[str, Any]:
    progress = Progress()
    for each in reports:
        progress.add(each)
    return progress.of(reports[-1])


BEGINNING = (report(Event.STARTED, epoch=0), report(Event.EPOCH_STARTED))


def test_it_tells_what_is_done_and_what_is_left() -> None:
    assert told(*BEGINNING, report(Event.BATCH, 5)) == {
        "batch": 5,
        "n_batches": 10,
        "fraction": 0.25,
        "seconds_left": 15.0,
    }


def test_a_run_that_has_begun_has_done_nothing() -> None:
    assert told(BEGINNING[0]) == {
        "batch": 0,
        "n_batches": 10,
        "fraction": 0.0,
        "seconds_left": None,
    }


def test_a_pause_does_not_count_as_time_that_a_batch_takes() -> None:
    progress = Progress()
    for each in [*BEGINNING, report(Event.BATCH, 4)]:
        progress.add(each)
    held = report(Event.BATCH, 5)
    progress.add(held, is_held=True)
    assert progress.of(held)["seconds_left"] == 15.0
    for n_iters in (6, 10):  # a thousand seconds later, as fast as before
        after = report(Event.BATCH, n_iters, seconds=1000.0 + n_iters)
        progress.add(after)
    assert progress.of(after)["seconds_left"] == 10.0


@pytest.mark.parametrize(
    ("max_epoch", "fraction"), [(1, None), (2, 0.0), (ENDLESS, None), (0, None)]
)
def test_nobody_knows_the_end_of_a_first_epoch_without_a_length(
    max_epoch: int, fraction: float | None
) -> None:
    unknown: dict[str, Any] = {"max_epoch": max_epoch, "n_batches": None}
    one = report(Event.BATCH, 5, **unknown)
    assert told(report(Event.STARTED, epoch=0, **unknown), one)["fraction"] == fraction


def test_a_second_epoch_is_taken_to_be_as_long_as_the_first() -> None:
    reports = [
        report(Event.STARTED, epoch=0, n_batches=None),
        report(Event.EPOCH_STARTED, n_batches=None),
        report(Event.EPOCH_FINISHED, 8, n_batches=None),
        report(Event.EPOCH_STARTED, 8, 2, n_batches=None),
        report(Event.BATCH, 10, 2, n_batches=None),
    ]
    assert told(*reports)["fraction"] == (1 + 2 / 8) / 2
