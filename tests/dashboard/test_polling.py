"""How often pages may ask, so that a training does not notice it."""

import heapq
from collections import Counter
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnr.dashboard._polling import PollingRate

SHARE = 0.003


class Machine:
    """A clock, and a processor that answers."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cpu = 0.0
        self.pace = PollingRate(lambda: self.now, lambda: self.cpu)

    def answer(self, page: str, seconds: float, at_most: float = inf) -> float:
        """Answer a page, for which the processor takes a time; return when it may ask again."""
        self.cpu += seconds
        return self.pace.seconds(page, at_most=at_most)

    def serve(self, pages: list[str], an_answer: float, n_answers: int) -> Counter[str]:
        """Serve pages that obey, until so many answers are given."""
        waiting = [(self.now + i / 100, page) for i, page in enumerate(pages)]
        answered: Counter[str] = Counter()
        for _ in range(n_answers):
            self.now, page = heapq.heappop(waiting)
            answered[page] += 1
            heapq.heappush(waiting, (self.now + self.answer(page, an_answer), page))
        return answered


def names(n: int) -> list[str]:
    return [f"page {i}" for i in range(n)]


@given(n_pages=st.integers(1, 30), an_answer=st.floats(1e-5, 0.015))
def test_the_answers_take_the_share_that_is_allowed_and_no_more(
    n_pages: int, an_answer: float
) -> None:
    machine = Machine()
    machine.serve(names(n_pages), an_answer, 100 + 10 * n_pages)  # until it knows what one takes
    now, cpu = machine.now, machine.cpu
    answered = machine.serve(names(n_pages), an_answer, 20 * n_pages)
    share = (machine.cpu - cpu) / (machine.now - now)
    slowest = n_pages * an_answer / 5  # it never keeps a page waiting for more than 5 seconds
    fastest = n_pages * an_answer / 0.2
    assert share == pytest.approx(max(slowest, min(SHARE, fastest)), rel=0.15)
    assert max(answered.values()) - min(answered.values()) <= 2  # all are treated alike


def test_five_pages_take_less_than_half_a_percent() -> None:
    machine = Machine()
    machine.serve(names(5), 0.003, 200)
    now, cpu = machine.now, machine.cpu
    machine.serve(names(5), 0.003, 200)
    assert (machine.cpu - cpu) / (machine.now - now) < 0.005


def test_it_waits_longer_for_more_pages_and_less_again_when_they_have_gone() -> None:
    machine = Machine()
    alone = machine.answer("a", 0.001)
    others = [machine.answer(page, 0.001) for page in "bcd"]
    assert [alone, *others] == pytest.approx([n * 0.001 / SHARE for n in (1, 2, 3, 4)])
    machine.now += 14
    assert machine.answer("a", 0.001) == pytest.approx(4 * alone)
    machine.now += 1
    assert machine.answer("a", 0.001) == pytest.approx(alone)


def test_a_page_that_has_gone_takes_no_memory() -> None:
    machine = Machine()
    for i in range(1000):
        machine.now += 1
        machine.answer(f"page {i}", 0.001)
    assert len(machine.pace._seen) == 15


@pytest.mark.parametrize(("an_answer", "seconds"), [(0.0, 0.2), (1e-4, 0.2), (0.1, 5.0), (9, 5.0)])
def test_a_page_waits_for_a_fifth_of_a_second_to_five(an_answer: float, seconds: float) -> None:
    machine = Machine()
    for _ in range(100):
        again = machine.answer("a", an_answer)
    assert again == seconds


def test_one_slow_answer_changes_little() -> None:
    machine = Machine()
    before = machine.answer("a", 0.001)
    assert before < machine.answer("a", 0.002) < before * 1.2


def test_who_is_in_a_hurry_waits_no_longer_than_that() -> None:
    machine = Machine()
    for _ in range(100):
        again = machine.answer("a", 1.0, at_most=0.2)
    assert again == 0.2
    assert machine.answer("a", 1.0, at_most=7.0) == 5.0


def test_newcomers_have_names_of_their_own() -> None:
    pace = PollingRate()
    assert len({pace.newcomer() for _ in range(100)}) == 100
    assert pace.seconds("a") == pytest.approx(0.001 / SHARE)  # by the real clocks
