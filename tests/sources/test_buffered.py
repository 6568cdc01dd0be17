"""`prefetch` and `buffered`: what they make, by hand, and what they refuse."""

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable
from copy import copy
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject
from reactivex.subject import BehaviorSubject

from helpers.events import delivered, stop_at
from helpers.sources import Asynchronous, Endless, source_threads, wait_for
from helpers.threads import GUARD, in_thread, on_thread, until
from rnnr import Event, Runner, State
from rnnr.sources import buffered, prefetch


class TestBuffered:
    def test_it_can_be_iterated_by_hand_and_dropped(self) -> None:
        iterator = iter(prefetch(Endless()))
        assert [next(iterator) for _ in range(3)] == [0, 1, 2]
        [thread] = source_threads()
        del iterator
        thread.join(GUARD)
        assert not thread.is_alive()

    def test_an_iterator_of_it_ends_for_good(self) -> None:
        iterator = iter(buffered(reactivex.of(1)))
        assert [*iterator] == [1]
        assert [*iterator] == []

    def test_it_may_be_given_as_an_iterator(self) -> None:
        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 1)
        runner.run(iter(prefetch([0, 1])))
        runner.resume()
        assert seen == [0, 1]

    def test_it_has_the_length_of_its_source(self) -> None:
        assert len(prefetch([1, 2, 3])) == 3
        assert prefetch([])
        for source in (prefetch(iter([])), buffered(reactivex.of(1)), buffered(Asynchronous([]))):
            assert source
            with pytest.raises(TypeError, match="no len"):
                len(source)

    def test_it_pickles_in_the_middle_of_an_epoch(self) -> None:
        runner, other = Runner(), Runner()
        stop_at(runner, 2)
        runner.run(prefetch([1, 2, 3]))
        other.state = pickle.loads(pickle.dumps(runner.state))
        seen = delivered(other)
        other.resume()
        assert seen == [3]

    def test_one_in_another_is_refused(self) -> None:
        with pytest.raises(TypeError, match="iterable must be an iterable without a buffer, got"):
            prefetch(prefetch([1]))

    def test_it_shows_what_it_is_made_of(self) -> None:
        assert repr(prefetch([1], 3)) == "prefetch([1], size=3)"
        assert repr(buffered(reactivex.of(1))).startswith("buffered(<reactivex")

    @pytest.mark.parametrize(
        ("misuse", "error", "match"),
        [
            (
                lambda: buffered([1]),  # type: ignore[arg-type]
                TypeError,
                r"source must be an Observable or an async iterable, got \[1\] .*; use prefetch",
            ),
            (lambda: buffered(3), TypeError, "source must be .*, got 3 .*; pass a Subject"),  # type: ignore[arg-type]
            (
                lambda: prefetch(reactivex.of(1)),  # type: ignore[arg-type]
                TypeError,
                "iterable must be an iterable, got <reactivex.*; use buffered",
            ),
            (lambda: prefetch(Asynchronous([])), TypeError, "; use buffered"),  # type: ignore[arg-type]
            (lambda: prefetch(3), TypeError, r"an iterable, got 3 \(int\); pass a list"),  # type: ignore[arg-type]
            (
                lambda: buffered(reactivex.of(1), 0),
                ValueError,
                r"size must be an integer of 1 or more, got 0 \(int\); pass how many batches",
            ),
            (lambda: prefetch([1], size=0), ValueError, "size must be an integer of 1 or more"),
            (lambda: prefetch([1], 1.5), TypeError, "size must be .*; pass how many"),  # type: ignore[arg-type]
            (
                lambda: buffered(reactivex.of(1), live="yes"),  # type: ignore[arg-type]
                TypeError,
                "live must be True, False or None, got 'yes'",
            ),
            (
                lambda: buffered(reactivex.of(1), full="drop"),  # type: ignore[arg-type]
                ValueError,
                "full must be 'wait' or 'drop oldest', got 'drop'",
            ),
            (
                lambda: buffered(reactivex.of(1), live=False, full="drop oldest"),
                ValueError,
                "full must be 'wait' for a source that is not live",
            ),
        ],
    )
    def test_bad_input_is_refused_at_once(
        self, misuse: Callable[[], Any], error: type[Exception], match: str
    ) -> None:
        with pytest.raises(error, match=match):
            misuse()


class TestDropOldest:
    """A source that cannot wait: the newest batches are kept, and the others counted."""

    @given(st.integers(1, 4), st.lists(st.integers(0, 6), min_size=1, max_size=6))
    def test_the_newest_are_delivered_in_order(self, size: int, bursts: list[int]) -> None:
        source = Subject[int]()
        batches = buffered(source, size, full="drop oldest")
        runner = Runner()
        seen, sent, n_dropped = delivered(runner), list[int](), 0
        expected: list[int] = []
        left = iter(bursts)

        def send() -> None:  # while the run is busy with a batch
            nonlocal n_dropped
            burst = [*range(len(sent), len(sent) + next(left, 0))]
            for number in burst:
                sent.append(number)
                source.on_next(number)
            waiting.extend(burst)
            n_dropped += max(0, len(waiting) - size)
            del waiting[: max(0, len(waiting) - size)]

        waiting: list[int] = []

        @runner.on(Event.BATCH)
        def train(state: State) -> None:
            expected.append(waiting.pop(0))
            on_thread(send)
            if not waiting:
                source.on_completed()

        with in_thread(lambda: runner.run(batches)):
            until(lambda: source.observers)
            sent.append(0)
            waiting.append(0)
            source.on_next(0)
        assert seen == expected
        assert batches.n_dropped == n_dropped
        assert len(seen) + n_dropped == len(sent)

    def test_nothing_is_lost_or_doubled_between_threads(self) -> None:
        source = Subject[int]()
        batches = buffered(source, 2, full="drop oldest")
        runner = Runner()
        seen = delivered(runner)
        with in_thread(lambda: runner.run(batches)):
            until(lambda: source.observers)
            for number in range(20_000):
                source.on_next(number)
            source.on_completed()
        assert seen == sorted(set(seen))
        assert seen[-1] == 19_999
        assert len(seen) + batches.n_dropped == 20_000

    def test_the_source_counts_as_live_and_a_resumed_run_skips_nothing(self) -> None:
        runner = Runner()
        stop_at(runner, 1)
        seen = delivered(runner)
        batches = buffered(reactivex.of(1, 2), full="drop oldest", size=5)
        assert batches.live
        runner.run(batches)
        other = Runner()
        other.state = pickle.loads(pickle.dumps({**runner.state, "batches": None}))
        other.state["batches"] = batches
        seen += delivered(other)
        other.resume()
        assert runner.state["n_iters"] == 1

    def test_an_async_iterable_is_asked_on(self) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(100):
                await asyncio.sleep(0)
                yield number
            asked.set()

        asked = threading.Event()
        batches = buffered(numbers(), 3, full="drop oldest")
        runner = Runner()
        runner.on(Event.BATCH.once(), lambda _: wait_for(asked))
        seen = delivered(runner)
        runner.run(batches)
        assert seen[-3:] == [97, 98, 99]
        assert len(seen) + batches.n_dropped == 100

    def test_a_batch_that_was_put_back_takes_a_place_like_the_others(self) -> None:
        source = BehaviorSubject(1)
        batches = buffered(source, 1, full="drop oldest")
        iterator = iter(batches)
        first = next(iterator)
        source.on_next(2)
        iterator.push_back(first)
        source.on_next(3)
        source.on_next(4)
        source.on_completed()
        assert (list(iterator), batches.n_dropped) == ([4], 3)

    def test_it_is_shown_and_pickles(self) -> None:
        batches = buffered(Asynchronous([1]), full="drop oldest")
        assert repr(batches).endswith("size=8, full='drop oldest')")
        again = pickle.loads(pickle.dumps(batches))
        assert (again.full, again.n_dropped, [*again]) == ("drop oldest", 0, [1])


def test_what_belongs_to_the_source_is_refused_with_where_it_is() -> None:
    batches = prefetch([1])
    with pytest.raises(
        AttributeError, match=r"got 'epoch'; ask .* state\['batches'\].source.epoch"
    ):
        batches.epoch = 3
    with pytest.raises(AttributeError, match=r"got 'generator'; ask the source itself"):
        _ = batches.generator
    assert list(pickle.loads(pickle.dumps(batches))) == list(copy(batches)) == [1]
