"""How far a run is: plain numbers in, plain numbers out."""

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr import Event
from rnnr.dashboard._progress import ENDLESS, Progress
from rnnr.recording._batches import batches_in
from rnnr.recording._format import encode
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
        "batches_per_second": 1.0,
    }


def test_a_run_that_has_begun_has_done_nothing() -> None:
    assert told(BEGINNING[0]) == {
        "batch": 0,
        "n_batches": 10,
        "fraction": 0.0,
        "batches_per_second": None,
        "seconds_left": None,
    }


def test_a_pause_does_not_count_as_time_that_a_batch_takes() -> None:
    progress = Progress()
    for each in [*BEGINNING, report(Event.BATCH, 4)]:
        progress.add(each)
    held = report(Event.BATCH, 5)
    progress.add(held, is_paused=True)
    assert progress.of(held)["seconds_left"] == 15.0
    for n_iters in (6, 10):  # a thousand seconds later, as fast as before
        after = report(Event.BATCH, n_iters, seconds=1000.0 + n_iters)
        progress.add(after)
    assert progress.of(after)["seconds_left"] == 10.0


@pytest.mark.parametrize("is_inside_another", [False, True])
def test_the_speed_begins_again_after_a_pause_and_a_pause_is_not_in_the_mean(
    is_inside_another: bool,
) -> None:
    progress, speeds = Progress(), []
    for each in BEGINNING:
        progress.add(each)
    for n_iters in range(1, 11):
        pause = 1000.0 if n_iters > 5 else 0.0
        one = report(Event.BATCH, n_iters, seconds=pause + n_iters / 2)
        progress.add(one, is_paused=n_iters == 5 and not is_inside_another)
        if n_iters == 5 and is_inside_another:
            progress.pause()
        speeds.append(progress.of(one)["batches_per_second"])
    assert speeds == [2.0] * 5 + [None] + [2.0] * 4
    end = report(Event.FINISHED, 10, seconds=1005.0)
    progress.add(end)
    assert progress.of(end)["batches_per_second"] == 2.0


@pytest.mark.parametrize("event", [Event.FINISHED, Event.STOPPED, Event.FAILED])
def test_a_run_that_is_over_tells_the_mean_speed_since_it_was_started_or_resumed(
    event: Event,
) -> None:
    seen = [*BEGINNING, report(Event.BATCH, 10), report(event, 10, seconds=20.0)]
    assert told(*seen)["batches_per_second"] == 0.5
    resumed = report(Event.RESUMED, 10, seconds=520.0)
    assert told(*seen, resumed)["batches_per_second"] is None
    batch = report(Event.BATCH, 20, seconds=524.0)
    assert told(*seen, resumed, batch)["batches_per_second"] == 2.5
    end = report(event, 20, seconds=525.0)
    assert told(*seen, resumed, batch, end)["batches_per_second"] == 2.0


SECONDS = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(
        st.tuples(st.sampled_from([Event.BATCH, *Event]), st.integers(0, 9), SECONDS, st.booleans())
    )
)
def test_a_clock_that_tells_nonsense_gives_no_negative_speed_and_no_negative_time(
    story: list[tuple[Event, int, float, bool]],
) -> None:
    progress = Progress()
    for event, n_iters, seconds, is_held in story:
        one = report(event, n_iters, seconds=seconds)
        progress.add(one, is_paused=is_held)
        answer = progress.of(one)
        for known in ("batches_per_second", "seconds_left"):
            assert answer[known] is None or answer[known] >= 0
        assert 0 <= progress.longest_gap < inf


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


def test_a_recording_tells_of_a_pause_by_a_report_without_a_speed() -> None:
    progress = Progress()
    for each in BEGINNING:
        progress.add(each)
    for n_iters in range(1, 11):
        seconds, speed = n_iters + (3600.0 if n_iters > 5 else 0.0), None if n_iters == 6 else 1.0
        one = report(Event.BATCH, n_iters, seconds=seconds, batches_per_second=speed)
        progress.add(one)
    assert progress.of(one)["batches_per_second"] == 1.0
    assert progress.of(one)["seconds_left"] == 10.0
    assert progress.longest_gap < 3600


def test_an_epoch_that_is_set_back_behind_its_beginning_has_no_negative_length() -> None:
    reports = [
        *(report(Event.STARTED, epoch=0), report(Event.EPOCH_STARTED, 20, epoch=3)),
        *(report(Event.RESUMED, 5), report(Event.EPOCH_FINISHED, 10)),
    ]
    assert told(*(one._replace(n_batches=None) for one in reports))["n_batches"] is None


@pytest.mark.parametrize(
    ("epoch", "n_iters", "fraction"),
    [(2, 15, 1.5 / 4), (2, 20, 2 / 4), (1, 5, 0.5 / 4), (1, 10, 1 / 4), (3, 25, 2.5 / 4)],
    ids=["an epoch that had finished", "its end", "the first epoch", "its end", "the last epoch"],
)
def test_a_run_that_is_set_back_has_done_what_is_before_that(
    epoch: int, n_iters: int, fraction: float
) -> None:
    seen = [report(Event.STARTED, epoch=0, max_epoch=4)]
    for done in (0, 1, 2):
        seen += [
            report(Event.EPOCH_STARTED, 10 * done, done + 1, max_epoch=4),
            report(Event.BATCH, 10 * done + 9, done + 1, max_epoch=4),
            *([report(Event.EPOCH_FINISHED, 10 * done + 10, done + 1)] if done < 2 else []),
        ]
    back = report(Event.RESUMED, n_iters, epoch, max_epoch=4)
    assert told(*seen, back)["fraction"] == fraction


def everything(progress: Progress) -> dict[str, Any]:
    return {**vars(progress), "_throughput": vars(progress._throughput)}


ROWS = st.tuples(
    st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0, 100.0, -2.0, nan, inf]),
    st.sampled_from([1, 1, 1, 1, 0, -3]),
    st.sampled_from([2.0, 2.0, 2.0, 0.0, None]),
)


@given(
    st.lists(ROWS, max_size=4),
    st.lists(ROWS, min_size=4, max_size=30) | st.lists(ROWS.filter(lambda row: row[0] >= 0)),
    st.booleans(),
)
def test_many_batches_at_once_are_those_batches_one_by_one(
    before: list[tuple[float, int, float | None]],
    rows: list[tuple[float, int, float | None]],
    has_speed: bool,
) -> None:
    at_once, one_by_one = Progress(), Progress()
    seconds, n_iters, reports = 0.0, 0, list(BEGINNING)
    for elapsed, n, speed in before + rows:
        seconds, n_iters = seconds + elapsed if elapsed < inf else elapsed, n_iters + n
        speed = speed if has_speed else None
        reports.append(
            report(Event.BATCH, n_iters, seconds=seconds, batches_per_second=speed, step=3)
        )
    for each in reports:
        one_by_one.add(each)
    lines = [encode(each)[:-1] for each in reports[2 + len(before) :]]
    for each in reports[: 2 + len(before)]:
        at_once.add(each)
    for begin, end, batches in batches_in(lines) if lines else ():
        if batches is None:
            for each in reports[2 + len(before) + begin : 2 + len(before) + end]:
                at_once.add(each)
        else:
            at_once.add_batches(batches)
    assert repr(everything(at_once)) == repr(everything(one_by_one))
