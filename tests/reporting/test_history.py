"""`History`: few points for many, the right ones, and a reader who comes now and then."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr.reporting import History

LIMITS = st.integers(3, 12)
RISING = st.lists(st.integers(0, 400), unique=True, max_size=120).map(sorted)
ANY = st.lists(st.integers(0, 60), max_size=120)
EVEN = st.tuples(st.integers(0, 50), st.integers(1, 50), st.integers(1, 400))


def filled(limit: int, positions: list[int]) -> History[int]:
    """Make a history of points that hold their number, so that each is known again."""
    history = History[int](limit)
    for n, position in enumerate(positions):
        history.add(position, n)
    return history


def not_set_back(positions: list[int]) -> list[tuple[int, int]]:
    """Return what is left when each point replaces those at its position and beyond."""
    left: list[tuple[int, int]] = []
    for n, position in enumerate(positions):
        left = [point for point in left if point[0] < position]
        left.append((position, n))
    return left


def is_kept(history: History[int], position: int) -> bool:
    return any(point[0] == position for point in history.points)


@given(LIMITS, ANY)
def test_it_keeps_no_more_than_its_limit_beside_the_newest(
    limit: int, positions: list[int]
) -> None:
    history = History[int](limit)
    for n, position in enumerate(positions):
        history.add(position, n)
        assert len(history.points) <= limit
        assert history.last == (position, n)


@given(LIMITS, ANY)
def test_what_it_keeps_rises_and_was_added_and_not_set_back(
    limit: int, positions: list[int]
) -> None:
    history = filled(limit, positions)
    kept = [*history.points, history.last] if history.last else []
    assert all(a[0] < b[0] for a, b in pairwise(kept))
    assert set(kept) <= set(not_set_back(positions))


@given(LIMITS, RISING.filter(lambda positions: len(positions) > 1))
def test_the_first_stays(limit: int, positions: list[int]) -> None:
    assert filled(limit, positions).points[0] == (positions[0], 0)


@given(LIMITS, RISING.filter(bool))
def test_all_are_kept_while_there_is_room(limit: int, positions: list[int]) -> None:
    points = [(position, n) for n, position in enumerate(positions[: limit - limit % 2 + 1])]
    history = filled(limit, [position for position, _ in points])
    assert [*history.points, history.last] == points
    assert history.n_rewritten == 0


@given(LIMITS, EVEN)
def test_points_that_come_evenly_are_kept_evenly(limit: int, even: tuple[int, int, int]) -> None:
    first, step, n = even
    history = filled(limit, [first + i * step for i in range(n)])
    assert history.last is not None
    shown = [position for position, _ in (*history.points, history.last)]
    gaps = [b - a for a, b in pairwise(shown)]
    assert len(set(gaps[:-1])) <= 1, "all the same, but for the newest"
    assert all(gap <= gaps[0] for gap in gaps)
    assert all(gap <= max(step, 3 * (shown[-1] - first) / (limit - limit % 2)) for gap in gaps)


@given(st.integers(0, 10), RISING.filter(bool))
def test_a_set_back_drops_the_points_at_its_position_and_beyond_alone(
    position: int, positions: list[int]
) -> None:
    history = filled(8, positions)
    before = list(history.points)
    history.add(position, -1)
    left = [point for point in before if point[0] < position]
    newest = [(positions[-1], len(positions) - 1)] if positions[-1] < position else []
    assert history.points in (left, left + newest)
    assert history.last == (position, -1)


@given(LIMITS, ANY)
def test_a_reader_who_copies_what_is_new_has_what_there_is(
    limit: int, positions: list[int]
) -> None:
    history = History[int](limit)
    copied: list[tuple[int, int]] = []
    n_rewritten = history.n_rewritten
    for n, position in enumerate(positions):
        history.add(position, n)
        if n_rewritten != history.n_rewritten:
            n_rewritten, copied = history.n_rewritten, []
        copied += history.points[len(copied) :]
        assert copied == history.points


@given(LIMITS, ANY.filter(bool), st.integers(1, 90), st.integers(1, 90))
def test_due_tells_from_where_on_the_next_point_would_be_kept(
    limit: int, positions: list[int], distance: int, further: int
) -> None:
    history = filled(limit, positions)
    position = positions[-1] + distance
    due = history.due
    history.add(position, 1000)
    history.add(position + further, 1001)
    assert is_kept(history, position) == (position >= due)


@given(LIMITS, RISING.filter(bool))
def test_to_leave_out_what_is_not_due_leaves_the_same_points(
    limit: int, positions: list[int]
) -> None:
    sparing, diligent = History[int](limit), History[int](limit)
    for n, position in enumerate(positions):
        if position >= sparing.due:
            sparing.add(position, n)
        diligent.add(position, n)
    for history in (sparing, diligent):
        history.add(1000, -1)
    assert sparing.points == diligent.points


@given(LIMITS, RISING, st.integers(-1, 400))
def test_to_go_back_forgets_what_is_beyond_and_nothing_else(
    limit: int, positions: list[int], to: int
) -> None:
    history = filled(limit, positions)
    before, last, n_rewritten = [*history.points], history.last, history.n_rewritten
    history.go_back(to)
    assert history.points == [point for point in before if point[0] <= to]
    assert history.last == (last if last and last[0] <= to else None)
    assert history.n_rewritten - n_rewritten == (history.points != before)
    history.add(to + 1, -1)
    assert history.last == (to + 1, -1)
    assert all(a[0] < b[0] for a, b in pairwise([*history.points, history.last]))


def test_a_run_that_begins_anew_is_kept_as_closely_as_the_first() -> None:
    history = filled(4, [*range(10_000), *range(4)])
    assert [position for position, _ in history.points] == [0, 1, 2]


def test_a_run_that_is_set_back_to_its_first_point_is_kept_closely() -> None:
    history = filled(10, [*range(10_000), *range(1, 9)])
    assert [position for position, _ in history.points] == [*range(8)]


def test_a_run_that_is_set_back_half_way_goes_on_as_sparsely_as_before() -> None:
    history = filled(4, [*range(1000), *range(600, 700)])
    assert [position for position, _ in history.points] == [0, 256, 512]


def test_before_the_first_point_there_is_nothing_and_the_first_is_due() -> None:
    history = History[int]()
    assert (history.points, history.last, history.due, history.n_rewritten) == ([], None, 0, 0)


def test_a_million_points_leave_no_more_than_the_limit_and_few_rewritings() -> None:
    history = History[None](100)
    most = 0
    for position in range(1_000_000):
        history.add(position, None)
        most = max(most, len(history.points))
    assert most == 100
    assert history.n_rewritten == 14  # each time the points are twice as far apart: 2 ** 14


@pytest.mark.parametrize(
    ("limit", "error", "expected"),
    [
        (2, ValueError, "limit must be an integer of 3 or more, got 2 .*; pass for example 1000"),
        (0.5, TypeError, r"limit must be an integer of 3 or more, got 0\.5 .*; pass for example"),
    ],
)
def test_a_limit_that_is_none_is_refused(limit: int, error: type[Exception], expected: str) -> None:
    with pytest.raises(error, match=expected):
        History[int](limit)
