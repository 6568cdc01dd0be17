"""Zooming into a recording: every value between two steps, as the model has them."""

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnr import Event
from rnnr.dashboard import _detail, _follower
from rnnr.dashboard._detail import Detail, Segments
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._run import RunModel
from rnnr.recording._batches import batches_in
from rnnr.recording._format import encode
from rnnr.reporting import Report
from rnnr.reporting._curve import Curve


def batch(step: int, value: float = 0.5, event: Event = Event.BATCH) -> bytes:
    return encode(Report(event, 1, 1, step, step / 8, {"loss": value}, step=step))


def followed(path: Path, *lines: bytes) -> Follower:
    path.write_bytes(b"".join(lines))
    follower = Follower(path, RunModel("a"))
    while follower.catch_up(10):
        pass
    return follower


def values(follower: Follower, first: int, last: int, place: int = 0) -> dict[int, float] | None:
    """Return the values by their steps; ``None`` if they are left out."""
    for head, octets in follower.part([place], first, last):
        assert (head["columns"], head["part"], len(octets)) == (2, [first, last], 16 * head["n"])
        numbers = array("d", octets)
        steps, found = numbers[: head["n"]], numbers[head["n"] :]
        return dict(zip(map(int, steps), found, strict=True))
    return None


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of files small."""
    monkeypatch.setattr(_detail, "_N_LINES", 4)
    monkeypatch.setattr(_detail, "_MOST_OCTETS", 1 << 26)
    monkeypatch.setattr(_follower, "_AT_ONCE", 3)


STORY = st.lists(
    st.integers(-30, 12).map(lambda move: move if move > -25 else move + 30) | st.just(1),
    max_size=60,
)


@settings(deadline=None)
@given(STORY, st.integers(0, 60), st.integers(0, 30), st.sets(st.integers(0, 60)))
def test_the_values_are_those_of_a_curve_that_keeps_them_all(
    tmp_path_factory: pytest.TempPathFactory,
    moves: list[int],
    first: int,
    more: int,
    resumed: set[int],
) -> None:
    path, step, lines, curve = tmp_path_factory.mktemp("detail") / "run.jsonl", 0, [], Curve(10_000)
    for n, move in enumerate(moves):
        step = max(0, step + move)
        if n in resumed:
            lines.append(encode(Report(Event.RESUMED, 1, 1, step, 0.0, {}, step=step)))
            curve.go_back(step)
        lines.append(batch(step, float(n)))
        curve.add(step, float(n))
    found = values(followed(path, *lines), first, first + more)
    expected = {int(step): interval.least for step, interval in curve.intervals()}
    wanted = {step: one for step, one in expected.items() if first <= step <= first + more}
    assert found == wanted if lines else found is None


def test_a_new_run_in_the_same_file_has_nothing_of_the_old_one(tmp_path: Path) -> None:
    started = encode(Report(Event.STARTED, 0, 1, 0, 0.0, {}))
    old = [started, *(batch(n, 1.0) for n in range(1, 20))]
    new = [started, *(batch(n, 2.0) for n in range(1, 9))]
    follower = followed(tmp_path / "run.jsonl", *old, *new)
    assert values(follower, 0, 100) == dict.fromkeys(range(1, 9), 2.0)


def test_values_of_epochs_of_the_end_and_of_the_machine_are_there(tmp_path: Path) -> None:
    def report(event: Event, step: int, **metrics: float) -> bytes:
        return encode(Report(event, 1, 1, step, 0.0, metrics, step=step))

    lines = [report(Event.BATCH, 1, loss=0.5), report(Event.EPOCH_STARTED, 1, loss=0.5)]
    lines += [report(Event.EPOCH_FINISHED, n, accuracy=n / 8) for n in (2, 4)]
    lines += [encode(Report(Event.BATCH, 1, 1, 5, 0.0, {"system/memory_mb": 7.0}, step=5))]
    lines += [encode(Report(Event.BATCH, 1, 1, 5, 0.0, {"system/memory_mb": 8.0}, step=5))]
    lines += [report(Event.FINISHED, 6, accuracy=1.0, final=2.0)]
    follower = followed(tmp_path / "run.jsonl", *lines)
    found = [values(follower, 0, 9, place) for place in range(4)]
    assert found == [{1: 0.5}, {2: 0.25, 4: 0.5, 6: 1.0}, {5: 7.0}, {6: 2.0}]


def test_a_last_batch_that_only_the_end_tells_of_is_one_of_the_batches(tmp_path: Path) -> None:
    def report(event: Event, step: int, value: float, *results: str) -> bytes:
        return encode(Report(event, 1, 1, step, 0.0, {"loss": value}, step=step, results=results))

    lines = [report(Event.BATCH, 1, 0.5), report(Event.EPOCH_FINISHED, 1, 0.75, "loss")]
    lines += [report(Event.BATCH, 2, 0.25), report(Event.STOPPED, 3, 0.125)]
    follower = followed(tmp_path / "run.jsonl", *lines)
    found = [values(follower, 0, 9, place) for place in range(2)]
    assert found == [{1: 0.5, 2: 0.25, 3: 0.125}, {1: 0.75}]


def test_the_value_of_a_batch_that_a_callback_has_stopped_is_there(tmp_path: Path) -> None:
    lines = [*(batch(n) for n in range(1, 6)), batch(6, 7.0, Event.STOPPED)]
    follower = followed(tmp_path / "run.jsonl", *lines)
    assert values(follower, 4, 9) == {4: 0.5, 5: 0.5, 6: 7.0}


def test_a_curve_with_too_many_values_and_one_that_is_not_there_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_detail, "MOST_VALUES", 8)
    follower = followed(tmp_path / "run.jsonl", *(batch(n) for n in range(1, 30)))
    assert values(follower, 5, 12) == dict.fromkeys(range(5, 13), 0.5)
    assert values(follower, 5, 13) is None
    assert values(follower, 5, 12, place=1) is None
    monkeypatch.setattr(_detail, "_MOST_OCTETS", 400)
    assert values(follower, 5, 12) is None


@pytest.mark.parametrize("change", ["cut", "replaced", "gone"])
def test_a_file_that_is_a_different_one_by_now_tells_nothing(tmp_path: Path, change: str) -> None:
    path = tmp_path / "run.jsonl"
    follower = followed(path, *(batch(n) for n in range(1, 30)))
    if change == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif change == "replaced":
        path.write_bytes(b"".join(batch(n, 7.0) for n in range(1, 60)))
    else:
        path.unlink()
    assert values(follower, 1, 9) is None


def test_damaged_lines_are_not_counted_again(tmp_path: Path) -> None:
    follower = followed(tmp_path / "run.jsonl", batch(1), b"damaged\n", batch(2))
    assert values(follower, 1, 9) == {1: 0.5, 2: 0.5}
    assert follower._damage.n == 1


@pytest.mark.parametrize("is_inside", [False, True])
@pytest.mark.parametrize("steps", [range(1, 9), [3, 4, 4, 5, 2, 3]])
def test_many_batches_are_added_as_one_by_one(steps: Sequence[int], is_inside: bool) -> None:
    def lines(steps: Sequence[int]) -> list[bytes]:
        return [
            encode(Report(Event.BATCH, 1, 1, n, n / 8, {"loss": i, "system/cpu": -i}, step=n))
            for i, n in enumerate(steps)
        ]

    metrics = {(of, name) for of in ("batch", "epoch") for name in ("loss", "system/cpu", "f1")}
    names = {name for _, name in metrics}
    slow, fast = (Detail(metrics, 3, 6, of_batches=names, is_inside=is_inside) for _ in range(2))
    for some in (range(4, 12), steps):
        [(_, _, batches)] = batches_in(lines(some))
        assert batches is not None
        fast.add_batches(batches)
        for n in range(len(batches)):
            slow.add(batches.report(n))
    assert [fast.columns(metric) for metric in metrics] == [
        slow.columns(metric) for metric in metrics
    ]
    assert (fast.columns(("batch", "loss")) == (0, b"")) == is_inside


def test_no_more_is_read_again_than_shows_that_there_are_too_many_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_detail, "MOST_VALUES", 8)
    follower = followed(tmp_path / "run.jsonl", *(batch(n) for n in range(1, 100)))
    n_read: list[int] = []
    read_again = follower._lines.read_again

    def counted(begin: int, end: int) -> list[bytes]:
        lines = read_again(begin, end)
        n_read.append(len(lines))
        return lines

    monkeypatch.setattr(follower._lines, "read_again", counted)
    assert values(follower, 1, 99) is None
    assert 8 < sum(n_read) < 20


def test_only_what_has_the_steps_is_read_again() -> None:
    segments = Segments()
    for n in range(10):
        segments.add(100 * n, 100 * (n + 1), 4, [10 * n + 1, 10 * n + 10])
    segments.add(1000, 1100, 4, [])
    assert [each.begin for each in segments.between(25, 41)] == [200, 300, 400]
    segments.add(1100, 1200, 4, [15, 16])
    assert [each.begin for each in segments.between(25, 41)] == [200, 300, 400, 1100]


def test_of_a_run_inside_another_one_a_later_test_outside_has_no_place(tmp_path: Path) -> None:
    inside = [
        encode(Report(Event.EPOCH_FINISHED, 1, 1, 3, 1.0, {"f1": n}, step=n, is_inside=True))
        for n in (10, 20)
    ]
    outside = [
        encode(Report(event, 1, 1, 0, 0.0, {"f1": 0.5}))
        for event in (Event.STARTED, Event.EPOCH_FINISHED)
    ]
    follower = followed(tmp_path / "run.jsonl", *inside, *outside)
    assert values(follower, 0, 100) == {10: 10, 20: 20}
