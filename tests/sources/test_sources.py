"""Batches that come from other threads: all of them, once, in order, and nothing stays behind."""

import asyncio
import gc
import io
import itertools
import pickle
import signal
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from queue import Queue
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject, operators
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import BehaviorSubject, ReplaySubject

import rnnr.sources._producers
from helpers.events import delivered, stop_at
from helpers.faults import Boom, interrupt_at_call
from helpers.sources import (
    Asynchronous,
    Endless,
    Failing,
    Watched,
    created,
    join_source_threads,
    kinds,
    source_threads,
    wait_for,
)
from helpers.threads import GUARD, in_thread
from rnnr import Event, RnnrWarning, Runner, State
from rnnr.attachments import ProgressBar
from rnnr.operators import select, states
from rnnr.sources import buffered, prefetch
from rnnr.sources._epoch_batches import EpochBatches


class TestEpochs:
    @kinds
    def test_each_epoch_has_all_batches_in_order(self, kind: Callable[[Any], Any]) -> None:
        runner = Runner()
        seen = delivered(runner)
        runner.run(kind(range(20)), max_epoch=3)
        assert seen == [*range(20)] * 3
        assert runner.state["epoch"] == 3

    @kinds
    def test_an_epoch_may_be_empty(self, kind: Callable[[Any], Any]) -> None:
        runner = Runner()
        runner.run(kind([]), max_epoch=2)
        assert (runner.state["epoch"], runner.state["n_iters"]) == (2, 0)

    @kinds
    def test_the_state_keeps_what_was_passed(self, kind: Callable[[Any], Any]) -> None:
        runner, batches = Runner(), kind([1])
        runner.run(batches)
        assert runner.state["batches"] is batches

    @kinds
    def test_a_bar_goes_along(self, kind: Callable[[Any], Any]) -> None:
        runner, screen, batches = Runner(), io.StringIO(), kind(range(3))
        bar = ProgressBar(file=screen, bar_format="{n}/{total} ")
        bar.attach_on(runner)
        runner.run(batches)
        total = "3" if hasattr(batches, "__len__") else "None"
        assert screen.getvalue().split("\r")[-1].strip() == f"3/{total}"

    @kinds
    def test_two_runners_have_each_their_own_iterator(self, kind: Callable[[Any], Any]) -> None:
        trainer, evaluator, batches = Runner(), Runner(), kind(range(3))
        seen = delivered(trainer), delivered(evaluator)
        trainer.on(Event.BATCH, lambda state: evaluator.run(batches))
        trainer.run(batches)
        assert seen == ([0, 1, 2], [0, 1, 2] * 3)

    def test_an_iterator_that_is_loaded_ahead_serves_one_epoch(self) -> None:
        runner = Runner()
        seen = delivered(runner)
        with pytest.warns(RnnrWarning, match="it was exhausted before: this epoch has none"):
            runner.run(prefetch(i for i in range(3)), max_epoch=2)
        assert seen == [0, 1, 2]

    def test_a_generator_that_was_exhausted_before_is_warned_about(self) -> None:
        batches = prefetch(i for i in range(3))
        assert [*batches] == [0, 1, 2]
        with pytest.warns(RnnrWarning, match="it was exhausted before: this epoch has none"):
            Runner().run(batches)

    def test_ticks_of_virtual_time(self) -> None:
        clock, subscribed = VirtualTimeScheduler(), threading.Event()
        ticks = reactivex.interval(1, scheduler=clock).pipe(operators.take(4))

        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            subscription = ticks.subscribe(observer)
            subscribed.set()
            return subscription

        def tick() -> None:
            wait_for(subscribed)
            clock.advance_by(10)

        runner = Runner()
        seen = delivered(runner)
        with in_thread(tick):
            runner.run(reactivex.create(subscribe))
        assert seen == [0, 1, 2, 3]

    def test_ticks_of_real_time(self) -> None:
        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 3, 5)
        runner.run(reactivex.interval(0.0001))
        runner.resume()
        assert seen == [0, 1, 2, 3, 4]

    def test_a_set_of_batches_that_changes_between_epochs_is_subscribed_to_again(self) -> None:
        runner = Runner()
        seen = delivered(runner)
        runner.run(reactivex.defer(lambda _: reactivex.of(runner.state["epoch"])), max_epoch=3)
        assert seen == [1, 2, 3]


class TestRoom:
    @pytest.mark.parametrize("size", [1, 3])
    def test_a_producer_in_another_thread_waits_while_the_buffer_is_full(self, size: int) -> None:
        runner, subject, n_taken = Runner(), Watched(), 0
        seen, ahead = delivered(runner), set[int]()

        def produce() -> None:
            nonlocal n_taken
            wait_for(subject.subscribed)
            for i in range(200):
                subject.on_next(i)
                n_taken += 1
            subject.on_completed()

        runner.on(Event.BATCH, lambda state: ahead.add(n_taken - state["n_iters"]))
        with in_thread(produce):
            runner.run(buffered(subject, size))
        assert seen == [*range(200)]
        assert max(ahead) <= size

    @pytest.mark.parametrize("size", [1, 3])
    @pytest.mark.parametrize(
        "kind", [prefetch, lambda items, size: buffered(Asynchronous(items), size)]
    )
    def test_a_source_that_is_asked_is_ahead_by_the_size_at_most(
        self, kind: Callable[[Any, int], Any], size: int
    ) -> None:
        n_taken = 0

        def items() -> Iterator[int]:
            nonlocal n_taken
            for n_taken in range(1, 101):
                if n_taken == 1 + size:
                    is_full.set()
                yield n_taken

        def draw(state: State) -> None:
            wait_for(is_full)  # with the first batch drawn
            ahead.add(n_taken - state["n_iters"])

        runner, is_full, ahead = Runner(), threading.Event(), set[int]()
        runner.on(Event.BATCH, draw)
        runner.run(kind(items(), size))
        assert max(ahead) == size

    def test_a_batch_callback_that_feeds_its_own_source_does_not_wait_for_itself(self) -> None:
        runner, subject = Runner(), Watched()
        seen = delivered(runner)

        @runner.on(Event.BATCH)
        def feed(state: State) -> None:
            if state["batch"] == 0:
                for i in range(1, 10):
                    subject.on_next(i)
                subject.on_completed()

        def begin() -> None:
            wait_for(subject.subscribed)
            subject.on_next(0)

        with in_thread(begin):
            runner.run(buffered(subject, 2))
        assert seen == [*range(10)]

    def test_other_tasks_of_an_async_source_go_on_while_it_is_not_asked(self) -> None:
        pinged = threading.Event()

        class Connection:
            async def __aiter__(self) -> AsyncIterator[int]:
                async def ping() -> None:
                    wait_here = asyncio.get_running_loop().run_in_executor
                    await wait_here(None, wait_for, first_drawn)
                    pinged.set()

                task = asyncio.create_task(ping())
                for i in range(5):
                    yield i
                await task

        def draw(state: State) -> None:
            first_drawn.set()
            wait_for(pinged)

        runner, first_drawn = Runner(), threading.Event()
        runner.on(Event.BATCH, draw)
        runner.run(buffered(Connection(), 1))
        assert runner.state["n_iters"] == 5


class TestStop:
    @kinds
    def test_an_endless_source_ends_and_goes_on_where_it_stood(
        self, kind: Callable[[Any], Any]
    ) -> None:
        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 1, 5, 6, 30)
        runner.run(kind(Endless()))
        assert source_threads() == []
        for _ in range(3):
            runner.resume()
            assert source_threads() == []
        assert seen == [*range(30)]

    @kinds
    def test_another_process_goes_on_where_the_first_stood(
        self, kind: Callable[[Any], Any]
    ) -> None:
        runner = Runner()
        stop_at(runner, 7)
        runner.run(kind(Endless()))
        other = Runner()
        other.state.update(
            pickle.loads(
                pickle.dumps({key: runner.state[key] for key in runner.state.keys() - {"batches"}})
            ),
            batches=kind(Endless()),
        )
        seen = delivered(other)
        stop_at(other, 10)
        other.resume()
        assert seen == [7, 8, 9]

    @kinds
    @pytest.mark.parametrize("error", [Boom(), KeyboardInterrupt()])
    def test_nothing_is_at_work_after_an_error_in_a_callback(
        self, kind: Callable[[Any], Any], error: BaseException
    ) -> None:
        def fail(state: State) -> None:
            raise error

        runner = Runner()
        seen = delivered(runner)
        failing = runner.on(Event.BATCH, fail)
        stop_at(runner, 3)
        with pytest.raises(type(error)) as caught:
            runner.run(kind(Endless()))
        assert caught.value is error
        assert source_threads() == []
        failing.dispose()
        runner.resume()
        assert seen == [0, 1, 2]

    def test_the_subscription_is_disposed_of(self) -> None:
        story: list[str] = []

        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            story.append("subscribed")
            observer.on_next(1)
            return Disposable(lambda: story.append("disposed"))

        runner = Runner()
        runner.on(Event.BATCH, lambda _: story.append("batch"))
        stop_at(runner, 1)
        runner.run(reactivex.create(subscribe))
        assert sorted(story) == ["batch", "disposed", "subscribed"]

    def test_a_subject_forgets_the_run(self) -> None:
        subject, runner = Watched(), Runner()

        def produce() -> None:
            wait_for(subject.subscribed)
            subject.on_next(1)

        stop_at(runner, 1)
        with in_thread(produce):
            runner.run(subject)
        assert subject.observers == []

    def test_an_async_generator_closes_what_it_has_opened(self) -> None:
        story: list[str] = []

        class Connection:
            async def __aiter__(self) -> AsyncIterator[int]:
                story.append("open")
                try:
                    yield 1
                    await asyncio.get_running_loop().create_future()  # silent from now on
                finally:
                    await asyncio.sleep(0)
                    story.append("closed")

        runner = Runner()
        stop_at(runner, 1)
        runner.run(Connection())
        assert story == ["open", "closed"]

    @pytest.mark.parametrize("epochs_before", [0, 1])
    def test_it_wakes_a_run_that_waits_for_a_silent_source(self, epochs_before: int) -> None:
        def stop() -> None:
            for _ in range(2):
                wait_for(subject.subscribed)
                subject.subscribed.clear()
                runner.stop()
                wait_for(stopped)
                stopped.clear()
            wait_for(subject.subscribed)
            subject.on_next("at last")
            subject.on_completed()

        subject, runner, stopped = Watched(), Runner(), threading.Event()
        seen = delivered(runner)
        runner.stop()  # of no run: the next one does not know of it
        with in_thread(stop):
            runner.run(subject)
            assert runner.state["_epoch"]["_open"]
            stopped.set()
            runner.resume()
            assert runner.state["_epoch"]["_open"]
            stopped.set()
            runner.resume()
        assert seen == ["at last"]
        assert not runner.state["_epoch"]["_open"]

    def test_a_batch_that_was_put_back_comes_again_and_does_not_end_what_follows(self) -> None:
        def produce() -> None:
            wait_for(subject.subscribed)
            subject.on_next(1)
            wait_for(drawn)
            subject.on_next(2)
            subject.on_completed()

        subject, drawn, batches = Watched(), threading.Event(), EpochBatches()
        state: State = {"batches": subject, "n_iters": 0, "running": True}
        with in_thread(produce):
            batches.push_back(next(batches.remaining(state)))
            assert next(batches.remaining(state)) == 1
            state["running"] = False
            assert [*batches.remaining(state)] == []  # does not wait for a source that is silent
            state["running"] = True
            drawn.set()
            assert [*batches.remaining(state)] == [2]

    @pytest.mark.parametrize(
        ("number", "ends_in"), [(signal.SIGINT, "FAILED"), (signal.SIGTERM, "STOPPED")]
    )
    def test_signals_reach_a_run_that_waits(self, number: signal.Signals, ends_in: str) -> None:
        subject, runner, story = Watched(), Runner(), list[str]()
        for event in (Event.FAILED, Event.STOPPED, Event.FINISHED):
            runner.on(event, lambda _, name=event.name: story.append(name))
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            wait_for(subject.subscribed)
            signal.pthread_kill(main, number)
            # Python overlooks a signal that comes just before a lock is waited for, until the next.
            while not ended.wait(0.05):
                signal.pthread_kill(main, signal.SIGUSR1)

        ended = threading.Event()
        before = signal.signal(signal.SIGTERM, lambda *_: runner.stop())
        before_1 = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            with in_thread(interrupt):
                try:
                    runner.run(subject)
                except KeyboardInterrupt:
                    assert number is signal.SIGINT
                ended.set()
        finally:
            signal.signal(signal.SIGTERM, before)
            signal.signal(signal.SIGUSR1, before_1)
        assert story == [ends_in]
        assert source_threads() == []
        subject.on_completed()
        runner.resume()  # and nothing warns of an iterator that failed
        assert story == [ends_in, "FINISHED"]


class Raw(Observable[Any]):
    """An Observable that goes on after it was disposed of, from the threads of the test."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = threading.Event()

    def subscribe(self, *handlers: Any, scheduler: Any = None) -> Any:
        self.on_next, self.on_error, self.on_completed = handlers
        self.subscribed.set()
        return Disposable()


class TestLive:
    @pytest.mark.parametrize(
        ("source", "live"),
        [
            (Subject(), True),
            (BehaviorSubject(0), True),
            (Runner().stream(Event.BATCH), True),
            (Subject[int]().pipe(operators.publish()), True),
            (ReplaySubject(), False),
            (reactivex.of(1), False),
            (Subject[int]().pipe(operators.map(abs)), False),
            (Asynchronous([]), False),
        ],
    )
    def test_what_is_taken_for_live(self, source: Any, live: bool) -> None:
        assert buffered(source).live is live
        assert buffered(source, live=not live).live is not live

    @pytest.mark.parametrize(
        "derived",
        [
            lambda subject: subject,
            lambda subject: buffered(subject.pipe(operators.map(int)), live=True),
        ],
    )
    def test_nothing_that_came_before_a_stop_is_lost_and_nothing_after_it_passed_over(
        self, derived: Callable[[Any], Any]
    ) -> None:
        def produce() -> None:
            for first in (0, 3):
                wait_for(subject.subscribed)
                subject.subscribed.clear()
                for i in range(first, first + 3):
                    subject.on_next(i)
                pushed.set()
            wait_for(subject.subscribed)
            subject.on_completed()
            pushed.set()

        subject, runner, pushed = Watched(), Runner(), threading.Event()
        seen = delivered(runner)
        runner.on(Event.BATCH, lambda _: wait_for(pushed))
        runner.on(Event.RESUMED, lambda _: pushed.clear())
        stop_at(runner, 1, 4)
        with in_thread(produce):
            runner.run(derived(subject))
            runner.resume()
            runner.resume()
        assert seen == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize(("live", "expected"), [(True, [0, 1, 2]), (False, [0, 1])])
    def test_what_comes_late_is_kept_when_it_would_not_come_again(
        self, live: bool, expected: list[int]
    ) -> None:
        def produce() -> None:
            for i in range(2):
                wait_for(source.subscribed)
                source.subscribed.clear()
                if i:
                    late(2)
                    for passed_over in () if live else (0, 1):
                        source.on_next(passed_over)
                    source.on_completed()
                else:
                    source.on_next(0)

        source, runner = Raw(), Runner()
        seen = delivered(runner)
        stop_at(runner, 1)
        with in_thread(produce):
            runner.run(buffered(source, live=live))
            late = source.on_next
            late(1)  # while nobody draws
            source.on_completed()  # says nothing: the subscription was over
            runner.resume()
        assert seen == expected

    def test_after_a_stop_no_more_is_kept_than_there_is_room_for(self) -> None:
        source, runner = Raw(), Runner()
        seen = delivered(runner)
        stop_at(runner, 1)

        def produce() -> None:
            wait_for(source.subscribed)
            source.on_next(0)

        with in_thread(produce):
            runner.run(buffered(source, size=2, live=True))
        source.subscribed.clear()

        def unpause() -> None:
            for item in range(1, 1000):
                late(item)
            told.set()
            wait_for(source.subscribed)
            source.on_completed()

        late, told = source.on_next, threading.Event()
        with in_thread(unpause):
            wait_for(told)
            runner.resume()
        assert seen == [0, 1, 2]

    @pytest.mark.parametrize("live", [None, False, True])
    def test_an_async_generator_that_was_closed_by_a_stop_is_refused(
        self, live: bool | None
    ) -> None:
        runner = Runner()
        stop_at(runner, 2)
        runner.run(buffered(aiter(Asynchronous(range(1000))), size=1, live=live))
        with pytest.raises(RuntimeError, match="epoch 1 cannot be resumed after 2 batches"):
            runner.resume()

    def test_an_async_iterator_that_lives_goes_on(self) -> None:
        class Sensor:
            n = 0

            def __aiter__(self) -> "Sensor":
                return self

            async def __anext__(self) -> int:
                self.n += 1
                return self.n

        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 2, 20)
        runner.run(buffered(Sensor(), live=True))
        runner.resume()
        assert seen == [*range(1, 21)]


class TestErrors:
    @kinds
    @pytest.mark.parametrize("n", [0, 1, 2, 9])
    @pytest.mark.parametrize("error", [Boom(), LookupError("no such file")])
    def test_it_leaves_run_as_itself_after_the_batches_before_it(
        self, kind: Callable[[Any], Any], n: int, error: Exception
    ) -> None:
        runner = Runner()
        seen = delivered(runner)
        for _ in range(2):  # what failed can be run again
            with pytest.raises(type(error)) as caught:
                runner.run(kind(Failing(n, error)))
            assert caught.value is error
            assert source_threads() == []
        assert seen == [*range(n)] * 2

    @pytest.mark.parametrize(
        "error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()]
    )
    @pytest.mark.parametrize("kind", [prefetch, created, Asynchronous])
    def test_so_does_what_is_no_exception_to_handle(
        self, kind: Callable[[Any], Any], error: BaseException
    ) -> None:
        runner = Runner()
        seen = delivered(runner)
        with pytest.raises(type(error)) as caught:
            runner.run(kind(Failing(2, error)))
        assert caught.value is error
        assert seen == [0, 1]

    @kinds
    def test_one_that_waits_behind_batches_is_told_after_them_on_resume(
        self, kind: Callable[[Any], Any]
    ) -> None:
        def stop(state: State) -> None:
            if state["n_iters"] == 1:
                join_source_threads()  # which have met the error by then
                runner.stop()

        runner = Runner()
        seen = delivered(runner)
        runner.on(Event.BATCH, stop)
        runner.run(kind(Failing(2, Boom())))
        for _ in range(2):
            with pytest.raises(Boom):
                runner.resume()
        assert seen == [0, 1]

    def test_the_first_of_two_ends_counts(self) -> None:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            observer.on_completed()
            raise Boom

        Runner().run(reactivex.create(subscribe))

    def test_stop_iteration_is_no_end(self) -> None:
        error = StopIteration()
        with pytest.raises(RuntimeError, match="source of the batches raised StopIter") as caught:
            Runner().run(reactivex.throw(error))
        assert caught.value.__cause__ is error

    def test_an_iterator_that_can_go_on_does(self) -> None:
        def read(i: int) -> int:
            if i == 1:
                raise Boom
            return i

        runner = Runner()
        seen = delivered(runner)
        with pytest.raises(Boom):
            runner.run(prefetch(map(read, range(4))))
        runner.resume()
        assert seen == [0, 2, 3]

    @pytest.mark.parametrize(
        "batches",
        [
            prefetch(iter(Failing(1, Boom()))),
            aiter(Asynchronous(Failing(1, Boom()))),
            buffered(aiter(Asynchronous(Failing(1, Boom())))),
        ],
    )
    def test_a_generator_that_raised_is_not_taken_for_exhausted_in_silence(
        self, batches: Any
    ) -> None:
        runner = Runner()
        with pytest.raises(Boom):
            runner.run(batches)
        with pytest.warns(RnnrWarning, match="raised an error before and has nothing left"):
            runner.resume()

    def test_batches_whose_iteration_fails_at_once_are_asked_again(self) -> None:
        class Shy:
            n = 0

            def __iter__(self) -> Iterator[int]:
                self.n += 1
                if self.n == 1:
                    raise Boom
                return iter([1])

        runner = Runner()
        seen = delivered(runner)
        with pytest.raises(Boom):
            runner.run(prefetch(Shy()))
        runner.resume()
        assert seen == [1]

    def test_an_error_while_a_stopped_source_is_closed_leaves_run(self) -> None:
        runner = Runner()
        stop_at(runner, 1, 2)
        source = Closing(Boom())
        with pytest.raises(Boom):
            runner.run(source)
        assert runner.state["n_iters"] == 1
        source.error = None
        runner.resume()
        assert runner.state["n_iters"] == 2

    def test_it_does_not_hide_an_error_of_the_run(self) -> None:
        def fail(state: State) -> None:
            raise LookupError

        runner = Runner()
        runner.on(Event.BATCH, fail)
        with pytest.raises(LookupError) as caught:
            runner.run(Closing(Boom()))
        assert any(
            "the closing of the source failed too" in note for note in caught.value.__notes__
        )

    def test_a_source_that_catches_everything_does_not_end_the_epoch(self) -> None:
        def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
            try:
                for i in range(10):
                    observer.on_next(i)
            except BaseException as error:  # noqa: BLE001
                observer.on_error(error)
            finally:
                observer.on_completed()
            return Disposable()

        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 1)
        runner.run(buffered(reactivex.create(subscribe), 1))
        runner.resume()
        assert seen == [*range(10)]

    def test_an_async_source_that_swallows_its_cancellation_ends_all_the_same(self) -> None:
        class Stubborn:
            async def __aiter__(self) -> AsyncIterator[int]:
                for i in range(3):
                    yield i
                try:
                    asked.set()
                    await asyncio.get_running_loop().create_future()
                except asyncio.CancelledError:
                    yield 3

        runner, asked = Runner(), threading.Event()
        runner.on(Event.BATCH, lambda _: wait_for(asked))
        stop_at(runner, 1)
        runner.run(Stubborn())
        assert source_threads() == []


class Closing:
    """An async iterable that raises an error when it is closed before its end."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    async def __aiter__(self) -> AsyncIterator[int]:
        try:
            for i in range(100):
                yield i
        finally:
            if self.error is not None:
                raise self.error


class TestIterators:
    @pytest.mark.parametrize("wrapped", [lambda one: one, buffered])
    def test_an_async_generator_serves_one_epoch(self, wrapped: Callable[[Any], Any]) -> None:
        runner = Runner()
        seen = delivered(runner)
        with pytest.warns(RnnrWarning, match="it was exhausted before: this epoch has none"):
            runner.run(wrapped(aiter(Asynchronous(range(3)))), max_epoch=2)
        assert seen == [0, 1, 2]

    @pytest.mark.parametrize("n", [0, 1])
    def test_one_that_was_closed_by_a_stop_is_refused_until_it_is_replaced(self, n: int) -> None:
        class Silent:
            async def __aiter__(self) -> AsyncIterator[int]:
                for i in range(n):
                    yield i
                asked.set()
                await asyncio.get_running_loop().create_future()

        def stop() -> None:
            wait_for(asked)
            if n:
                wait_for(drawn)
            runner.stop()

        runner, asked = Runner(), threading.Event()
        drawn = threading.Event()
        seen = delivered(runner)
        runner.on(Event.BATCH, lambda _: drawn.set())
        with in_thread(stop):
            runner.run(aiter(Silent()))
        with pytest.raises(
            RuntimeError, match=rf"cannot be resumed after {n} batches: expected ba"
        ):
            runner.resume()
        runner.state["batches"] = range(3)
        runner.resume()
        assert seen == [0, 1, 2]

    def test_one_that_had_ended_before_the_stop_is_resumed(self) -> None:
        def stop(state: State) -> None:
            if state["n_iters"] == 1:
                join_source_threads()
                runner.stop()

        runner = Runner()
        seen = delivered(runner)
        runner.on(Event.BATCH, stop)
        runner.run(aiter(Asynchronous(range(3))))
        runner.resume()
        assert seen == [0, 1, 2]

    @kinds
    def test_what_the_source_holds_is_let_go_of_with_the_epoch(
        self, kind: Callable[[Any], Any]
    ) -> None:
        class Workers:
            """Stands for the processes of a loader."""

        class Loader:
            def __iter__(self) -> Iterator[int]:
                workers = Workers()
                made.append(weakref.ref(workers))
                return map(lambda i, _: i, range(3), itertools.repeat(workers))

        runner, made, gone = Runner(), list[weakref.ref[Workers]](), list[bool]()
        runner.on(Event.EPOCH_FINISHED, lambda _: gone.append(made[-1]() is None))
        gc.disable()
        try:
            runner.run(kind(Loader()), max_epoch=2)
        finally:
            gc.enable()
        assert gone == [True, True]

    def test_one_that_another_runner_has_begun_is_refused(self) -> None:
        runner, other = Runner(), Runner()
        stop_at(runner, 1)
        runner.run(prefetch(i for i in range(3)))
        other.state = {**runner.state, "_epoch": dict(runner.state["_epoch"])}
        with pytest.raises(RuntimeError, match=r"cannot be resumed after 1 batches: .*prefetch"):
            other.resume()
        runner.resume()
        assert runner.state["n_iters"] == 3

    def test_a_loader_that_is_blocked_does_not_hang_a_stop_and_loses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rnnr.sources._producers, "JOIN_TIMEOUT", 0.01)
        queue, runner = Queue[Any](), Runner()
        loader = prefetch(iter(queue.get, None))
        seen = delivered(runner)
        stop_at(runner, 1, 2, 3)
        queue.put(0)
        runner.run(loader)  # returns while the loader waits for the queue
        [thread] = source_threads()
        queue.put(1)
        runner.resume()
        assert source_threads() in ([thread], [])
        for item in (2, 3, None):
            queue.put(item)
        runner.resume()
        runner.resume()
        assert seen == [0, 1, 2, 3]

    def test_an_async_source_that_blocks_its_loop_neither_hangs_a_stop_nor_comes_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Blocked:
            n = 0

            async def __aiter__(self) -> AsyncIterator[int]:
                self.n += 1
                yield 0
                if self.n == 1:
                    wait_for(released)
                yield 1

        runner, released = Runner(), threading.Event()
        seen = delivered(runner)
        runner.on(Event.EPOCH_FINISHED, lambda _: released.set())
        stop_at(runner, 1)
        monkeypatch.setattr(rnnr.sources._producers, "JOIN_TIMEOUT", 0.01)
        runner.run(Blocked())
        [thread] = source_threads()
        runner.resume()
        thread.join(GUARD)
        assert seen == [0, 1]


@pytest.mark.parametrize(
    "around",
    [
        lambda loop: reactivex.concat(reactivex.of(-1), loop),
        lambda loop: loop.pipe(ops.start_with(-1)),
        lambda loop: loop.pipe(ops.retry()),
        lambda loop: reactivex.of(0).pipe(ops.flat_map(lambda _: loop)),
        lambda loop: reactivex.merge(reactivex.of(-1), loop),
    ],
    ids=["concat", "start_with", "retry", "flat_map", "merge"],
)
def test_a_loop_that_never_looks_is_left_wherever_it_is(around: Callable[[Any], Any]) -> None:
    runner = Runner()
    stop_at(runner, 3)
    runner.run(around(created(Endless())))
    join_source_threads()
    assert source_threads() == []


@kinds
def test_an_observed_run_takes_each_of_them(kind: Callable[[Any], Any]) -> None:
    run = Runner().observe(kind(range(4)), max_epoch=2)
    batches = run.pipe(states(Event.BATCH), select("batch"), ops.to_list())
    assert batches.run() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("kind", [prefetch, created, Asynchronous])
def test_they_work_on_a_thread_of_their_own_and_the_run_stays_on_its(
    kind: Callable[[Any], Any],
) -> None:
    threads: list[set[int]] = [set(), set()]

    def items() -> Iterator[int]:
        for item in range(3):
            threads[0].add(threading.get_ident())
            yield item

    runner = Runner()
    runner.on(Event.BATCH, lambda _: threads[1].add(threading.get_ident()))
    runner.run(kind(items()))
    assert threads[1] == {threading.get_ident()}
    assert len(threads[0]) == 1
    assert threads[0] != threads[1]


class TestARunThatFeedsAnother:
    @pytest.mark.parametrize("n", range(1, 6))
    def test_it_is_stopped_with_it_and_nothing_is_lost_when_it_is_resumed(self, n: int) -> None:
        told: list[Event] = []
        teacher, pupil = Runner(), Runner()
        for event in (Event.STOPPED, Event.FAILED, Event.FINISHED):
            teacher.on(event, lambda _, event=event: told.append(event))
        seen = delivered(pupil)
        stop_at(pupil, n)
        pupil.run(teacher.observe(range(20)).pipe(states(Event.BATCH), select("batch")))
        pupil.resume()
        assert seen == [*range(20)]
        assert told == [Event.STOPPED, Event.FINISHED]

    def test_a_second_run_gets_all_of_it_again(self) -> None:
        teacher, pupil = Runner(), Runner()
        source = teacher.observe(range(20)).pipe(states(Event.BATCH), select("batch"))
        pupil.on(Event.BATCH.first(3), lambda state: state.update(running=state["n_iters"] < 3))
        pupil.run(source)
        seen = delivered(pupil)
        pupil.run(source)
        assert seen == [*range(20)]


class TestInterrupt:
    """KeyboardInterrupt at each call that a draw makes: Python looks for signals there."""

    @kinds
    def test_no_batch_is_lost(self, kind: Callable[[Any], Any]) -> None:
        n, interrupted = 0, True
        while interrupted:
            n += 1
            runner = Runner()
            seen = delivered(runner)
            try:
                with interrupt_at_call(n, "rnnr.sources._iterator"):
                    runner.run(kind(range(4)))
                interrupted = False
            except KeyboardInterrupt:
                runner.resume()
            assert seen == [0, 1, 2, 3]
        assert n > 10
