"""The batches of an epoch: skipped after a resume, never fewer, and let go of once drawn."""

import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler

from helpers.events import delivered, stop_at
from helpers.faults import Boom, interrupt_at_call
from helpers.sources import PLAIN_TOO, Asynchronous, created, plain_too, source_threads, wait_for
from helpers.threads import in_thread
from rnnr import Event, Runner, State
from rnnr.sources import buffered, prefetch
from rnnr.sources._epoch_batches import EpochBatches


def stopped_after(n: int, batches: Any, *, n_epochs: int = 1) -> Runner:
    """Return a runner with the state of one that was stopped in another process."""
    first, other = Runner(), Runner()
    stop_at(first, n)
    first.run(range(1000), max_epoch=n_epochs)
    saved = {key: first.state[key] for key in first.state.keys() - {"batches"}}
    other.state.update(pickle.loads(pickle.dumps(saved)), batches=batches)
    return other


def ends(runner: Runner) -> list[str]:
    """Return the list to which the runner adds how it ended."""
    told: list[str] = []
    for event in (Event.EPOCH_FINISHED, Event.FINISHED, Event.STOPPED, Event.FAILED):
        runner.on(event, lambda _, event=event: told.append(event.name))
    return told


class Stopping:
    """The numbers below n; it stops the run of a runner before it yields some of them."""

    runner: Runner

    def __init__(self, n: int, *stops: int) -> None:
        self.n, self.stops = n, stops
        self.n_made = 0

    def __iter__(self) -> Iterator[int]:
        for i in range(self.n):
            if i in self.stops:
                self.runner.stop()
            self.n_made += 1
            yield i


class Faulty:
    """Iterators over the numbers below n that raise once, instead of one, and can go on."""

    def __init__(self, n: int, at: int, error: BaseException) -> None:
        self.n, self.at, self.error = n, at, error
        self.n_asked = 0

    def __iter__(self) -> Iterator[int]:
        return map(self._give, range(self.n))

    def _give(self, i: int) -> int:
        self.n_asked += 1
        if self.n_asked == self.at:
            raise self.error
        return i


class TestSkipping:
    """What the epoch has drawn before, in another process, is skipped."""

    @plain_too
    def test_a_stop_is_heard_within_a_batch_and_nothing_is_lost(
        self, kind: Callable[[Any], Any]
    ) -> None:
        loader = Stopping(1000, 5, 20)
        runner = loader.runner = stopped_after(500, kind(loader))
        seen, told = delivered(runner), ends(runner)
        before = {**runner.state}
        for n in range(1, 3):
            runner.resume()
            assert loader.n_made <= 20 * n + 10  # what the buffer has room for, and one
            assert (seen, told) == ([], ["STOPPED"] * n)
            assert runner.state == before
            assert source_threads() == []
        loader.stops = ()
        runner.resume()
        assert seen == [*range(500, 1000)]
        assert told == ["STOPPED", "STOPPED", "EPOCH_FINISHED", "FINISHED"]

    def test_a_plain_loader_is_asked_for_no_batch_more_and_goes_on_where_it_stood(self) -> None:
        loader = Stopping(10, 3)
        runner = loader.runner = stopped_after(8, loader)
        seen = delivered(runner)
        runner.resume()
        assert loader.n_made == 4
        runner.resume()
        assert loader.n_made == 10
        assert seen == [8, 9]

    @plain_too
    def test_a_state_that_was_stopped_meanwhile_is_resumed_by_a_third_one(
        self, kind: Callable[[Any], Any]
    ) -> None:
        loader = Stopping(10, 3)
        runner = loader.runner = stopped_after(8, kind(loader))
        runner.resume()
        third = Runner()
        third.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        third.state["batches"] = kind(range(10))
        seen = delivered(third)
        third.resume()
        assert seen == [8, 9]

    def test_a_stop_wakes_a_run_that_waits_for_one_of_them(self) -> None:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            for i in range(2 if not is_silent.is_set() else 10):
                observer.on_next(i)
            if not is_silent.is_set():
                is_silent.set()
            else:
                observer.on_completed()
            return Disposable()

        def stop() -> None:
            wait_for(is_silent)
            runner.stop()

        is_silent = threading.Event()
        runner = stopped_after(8, reactivex.create(subscribe))
        seen, told = delivered(runner), ends(runner)
        with in_thread(stop):
            runner.resume()
        assert (seen, told) == ([], ["STOPPED"])
        runner.resume()
        assert seen == [8, 9]

    @plain_too
    @pytest.mark.parametrize("module", ["_epoch_batches", "_iterator", "_buffer"])
    def test_an_interrupt_loses_nothing(self, kind: Callable[[Any], Any], module: str) -> None:
        n, interrupted = 0, True
        while interrupted:
            n += 1
            runner = stopped_after(3, kind(range(5)))
            seen = delivered(runner)
            try:
                with interrupt_at_call(n, f"rnnr.sources.{module}"):
                    runner.resume()
                interrupted = False
            except KeyboardInterrupt:
                assert source_threads() == []
                runner.resume()
            assert seen == [3, 4]

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            *((kind, Boom()) for kind in PLAIN_TOO.values()),
            *(
                (kind, KeyboardInterrupt())
                for kind in (PLAIN_TOO["a plain loader"], prefetch, created, Asynchronous)
            ),
        ],
    )
    def test_an_error_of_the_source_leaves_run_and_nothing_is_lost(
        self, kind: Callable[[Any], Any], error: BaseException
    ) -> None:
        runner = stopped_after(6, kind(Faulty(8, 3, error)))
        seen, told = delivered(runner), ends(runner)
        with pytest.raises(type(error)) as caught:
            runner.resume()
        assert caught.value is error
        assert any("while batches were drawn, epoch 1" in note for note in error.__notes__)
        runner.resume()
        assert seen == [6, 7]
        assert told == ["FAILED", "EPOCH_FINISHED", "FINISHED"]

    def test_what_had_failed_meanwhile_is_let_go_of(self) -> None:
        class Workers:
            """Stands for the processes of a loader."""

        class Loader:
            def __iter__(self) -> Iterator[int]:
                workers = Workers()
                made.append(weakref.ref(workers))
                return map(lambda i, _: 1 // (3 - i), range(9), itertools.repeat(workers))

        made = list[weakref.ref[Workers]]()
        runner = stopped_after(6, Loader())
        with pytest.raises(ZeroDivisionError):
            runner.resume()
        assert [one() for one in made] == [None]

    def test_an_iterator_that_comes_with_the_resume_is_used_too(self) -> None:
        runner = stopped_after(3, range(5))
        seen = delivered(runner)
        runner.on(Event.RESUMED, lambda state: state.update(batches=iter(prefetch(range(5)))))
        runner.resume()
        assert seen == [3, 4]

    @pytest.mark.parametrize("live", [True, False])
    def test_what_is_live_has_nothing_to_skip(self, live: bool) -> None:
        runner = stopped_after(3, buffered(reactivex.from_iterable(range(5)), live=live))
        seen = delivered(runner)
        runner.resume()
        assert seen == ([0, 1, 2, 3, 4] if live else [3, 4])


class TestFewerBatchesThanWereDrawn:
    @plain_too
    @pytest.mark.parametrize("n", [0, 1, 4])
    def test_it_is_an_error_and_a_resume_with_the_right_ones_goes_on(
        self, kind: Callable[[Any], Any], n: int
    ) -> None:
        runner = stopped_after(5, kind(range(n)))
        seen, told = delivered(runner), ends(runner)
        keys = ("n_iters", "epoch", "batch", "max_epoch", "batches", "running")
        before = [runner.state[key] for key in keys]
        for _ in range(2):
            with pytest.raises(RuntimeError) as caught:
                runner.resume()
            text = str(caught.value)
            assert "the epoch has drawn 5 batches" in text
            assert f"to skip them, got only {n}; put the batches" in text
            assert "buffered(source, live=True)" in text
            assert [runner.state[key] for key in keys] == before
            assert source_threads() == []
        assert (seen, told) == ([], ["FAILED", "FAILED"])
        runner.state["batches"] = kind(range(7))
        runner.resume()
        assert seen == [5, 6]
        assert told == ["FAILED", "FAILED", "EPOCH_FINISHED", "FINISHED"]

    @plain_too
    def test_exactly_as_many_end_the_epoch(self, kind: Callable[[Any], Any]) -> None:
        runner = stopped_after(5, kind(range(5)), n_epochs=2)
        seen, told = delivered(runner), ends(runner)
        runner.resume()
        assert seen == [*range(5)]  # of the second epoch
        assert told == ["EPOCH_FINISHED", "EPOCH_FINISHED", "FINISHED"]

    def test_an_iterator_with_too_few_is_not_taken_for_the_rest_of_the_epoch(self) -> None:
        runner = stopped_after(5, range(5))
        few = runner.on(Event.RESUMED, lambda state: state.update(batches=iter([1, 2])))
        with pytest.raises(RuntimeError, match="got only 2; put"):
            runner.resume()
        few.dispose()
        with pytest.raises(RuntimeError, match="epoch 1 cannot be resumed after 5 batches"):
            runner.resume()
        runner.state["batches"] = range(6)
        seen = delivered(runner)
        runner.resume()
        assert seen == [5]

    @pytest.mark.parametrize("again", [0, 2])
    def test_so_it_is_where_a_source_gives_fewer_when_it_is_subscribed_to_again(
        self, again: int
    ) -> None:
        amounts = iter([10, again])
        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 3)
        source = reactivex.defer(lambda _: reactivex.from_iterable(range(next(amounts))))
        runner.run(buffered(source, size=1))
        with pytest.raises(RuntimeError, match=f"got only {again}; put the batches"):
            runner.resume()
        assert seen == [*range(len(seen))]
        assert runner.state["n_iters"] == len(seen) >= 3

    def test_a_script_that_counts_more_than_batches_goes_on_where_it_was_begun(self) -> None:
        def count_samples(state: State) -> None:
            state["n_iters"] += 31

        runner = Runner()
        seen = delivered(runner)
        runner.on(Event.BATCH, count_samples)
        runner.on(Event.BATCH, lambda state: state.update(running=len(seen) != 2))
        runner.run(range(4))
        elsewhere = Runner()
        elsewhere.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        runner.resume()
        assert seen == [0, 1, 2, 3]
        with pytest.raises(RuntimeError, match=r"has drawn 64 batches, by n_iters: .* 4;"):
            elsewhere.resume()


class Batch:
    """A batch that can be referred to weakly."""


Make = Callable[[int], Batch]


def subscribed(make: Make) -> Observable[Any]:
    """Batches from a loop that has no name for any of them."""

    def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
        for i in range(4):
            observer.on_next(make(i))
        observer.on_completed()
        return Disposable()

    return reactivex.create(subscribe)


class AsyncProducer:
    """The same for `async for`."""

    def __init__(self, make: Make) -> None:
        self.left = map(make, range(4))

    def __aiter__(self) -> "AsyncProducer":
        return self

    async def __anext__(self) -> Batch:
        try:
            return next(self.left)
        except StopIteration:
            raise StopAsyncIteration from None


class TestWhatWasDrawnIsLetGoOf:
    @pytest.mark.parametrize("is_put_back", [False, True])
    @pytest.mark.parametrize(
        "kind",
        [
            lambda make: map(make, range(4)),
            lambda make: prefetch(map(make, range(4))),
            subscribed,
            lambda make: subscribed(make).pipe(ops.subscribe_on(NewThreadScheduler())),
            AsyncProducer,
        ],
        ids=["plain", "loaded ahead", "an Observable", "on another thread", "async"],
    )
    def test_no_part_holds_a_batch_that_was_drawn(
        self, kind: Callable[[Make], Any], is_put_back: bool
    ) -> None:
        def make(i: int) -> Batch:
            if i == 3:  # while this one is made, the others are gone
                if threading.current_thread() is not threading.main_thread():
                    wait_for(drawn)
                held.extend(one() for one in made)
            batch = Batch()
            made.append(weakref.ref(batch))
            return batch

        made, held = list[weakref.ref[Batch]](), list[Batch | None]()
        drawn, batches = threading.Event(), EpochBatches()
        state: State = {"batches": kind(make), "n_iters": 0, "running": True}
        left = batches.remaining(state)
        if is_put_back:
            batches.push_back(next(left))
            left = batches.remaining(state)
        for i in range(3):
            assert next(left) is made[i]()
        drawn.set()
        next(left)
        assert held == [None] * 3
        assert [*left] == []
        assert [one() for one in made] == [None] * 4  # and the epoch is not over yet

    @pytest.mark.parametrize("kind", [iter, prefetch])
    def test_one_that_was_put_back_is_held_no_longer_than_until_it_is_drawn_again(
        self, kind: Callable[[Any], Any]
    ) -> None:
        batches = EpochBatches()
        state: State = {"batches": kind(Batch() for _ in "a"), "n_iters": 0, "running": True}
        batches.push_back(next(batches.remaining(state)))
        left = batches.remaining(state)
        batch = next(left)
        made = weakref.ref(batch)
        del batch
        assert made() is None
        assert [*left] == []
