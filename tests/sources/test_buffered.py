"""`prefetch` and `buffered`: what they make, by hand, and what they refuse."""

import pickle
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest
import reactivex

from helpers.events import delivered, stop_at
from helpers.sources import Asynchronous, Endless, source_threads
from helpers.threads import GUARD
from rnnr import Runner
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
        ],
    )
    def test_bad_input_is_refused_at_once(
        self, misuse: Callable[[], Any], error: type[Exception], match: str
    ) -> None:
        with pytest.raises(error, match=match):
            misuse()


def test_what_belongs_to_the_source_is_refused_with_where_it_is() -> None:
    batches = prefetch([1])
    with pytest.raises(
        AttributeError, match=r"got 'epoch'; ask .* state\['batches'\].source.epoch"
    ):
        batches.epoch = 3
    with pytest.raises(AttributeError, match=r"got 'generator'; ask the source itself"):
        _ = batches.generator
    assert list(pickle.loads(pickle.dumps(batches))) == list(copy(batches)) == [1]
