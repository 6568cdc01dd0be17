"""`end_epoch` ends an epoch while the run goes on; `close` lets go of its batches."""

import gc
import itertools
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from typing import Any

import pytest

from helpers.events import delivered, stop_at, told
from helpers.sources import Endless, Watched, plain_too, source_threads, wait_for
from helpers.threads import in_thread
from rnnr import Event, RnnrWarning, Runner, State
from rnnr.attachments import SumReducer
from rnnr.sources import prefetch


def ending(runner: Runner, *n_iters: int) -> None:
    """End the epoch at some batches."""
    runner.on(
        Event.BATCH.where(lambda state: state["n_iters"] in n_iters), lambda _: runner.end_epoch()
    )


@plain_too
def test_the_rest_of_the_batches_is_not_drawn_and_all_callbacks_see_the_last_one(
    kind: Callable[[Any], Any],
) -> None:
    runner, sums = Runner(), list[int]()
    ending(runner, 2, 3)
    seen = delivered(runner)
    SumReducer("sum", value="batch").attach_on(runner)
    runner.on(Event.EPOCH_FINISHED, lambda state: sums.append(state["sum"]))
    runner.run(kind(range(5)), max_epoch=3)
    assert seen == [0, 1, 0, 0, 1, 2, 3, 4]
    assert sums == [1, 0, 10]
    assert runner.state["n_iters"] == 8
    assert runner.state["running"] is False


def test_a_plain_loader_is_asked_for_no_batch_more_and_its_generator_is_closed_first() -> None:
    story = list[Any]()

    class Loader:
        def __iter__(self) -> Iterator[int]:
            try:
                for i in itertools.count():
                    story.append(i)
                    yield i
            finally:
                story.append("closed")

    runner = Runner()
    runner.on(Event.EPOCH_FINISHED, lambda _: story.append("finished"))
    ending(runner, 2, 3)
    runner.run(Loader(), max_epoch=2)
    assert story == [0, 1, "closed", "finished", 0, "closed", "finished"]


def test_no_thread_loads_for_an_epoch_that_was_ended() -> None:
    runner, n_threads = Runner(), list[int]()
    ending(runner, 2)
    runner.on(Event.EPOCH_FINISHED, lambda _: n_threads.append(len(source_threads())))
    runner.run(prefetch(Endless()))
    assert n_threads == [0]


def test_on_epoch_started_nothing_is_drawn_and_no_iterator_is_made() -> None:
    class Never:
        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    runner = Runner()
    story = told(runner)
    runner.on(Event.EPOCH_STARTED, lambda _: runner.end_epoch())
    runner.run(Never(), max_epoch=2)
    epoch = ["EPOCH_STARTED", "EPOCH_FINISHED"]
    assert story == ["STARTED", *epoch, *epoch, "FINISHED"]


@pytest.mark.parametrize(
    "event", [Event.STARTED, Event.EPOCH_FINISHED, Event.FINISHED, Event.STOPPED, Event.FAILED]
)
def test_where_no_epoch_is_open_nothing_happens(event: Event) -> None:
    runner = Runner()
    runner.end_epoch()
    assert runner.state == {}
    runner.on(event, lambda _: runner.end_epoch())
    seen = delivered(runner)
    runner.run([1, 2], max_epoch=2)
    runner.end_epoch()
    assert seen == [1, 2, 1, 2]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
@pytest.mark.parametrize("repeat", [False, True])
def test_a_run_that_was_stopped_meanwhile_ends_the_epoch_when_it_goes_on(
    elsewhere: bool, repeat: bool
) -> None:
    runner = Runner()
    ending(runner, 2)
    stop_at(runner, 2)
    runner.run(range(5), max_epoch=2)
    assert runner.state["n_iters"] == 2
    if elsewhere:
        state, runner = runner.state, Runner()
        runner.state = pickle.loads(pickle.dumps(state))
    story, seen = told(runner), delivered(runner)
    runner.resume(repeat_last_batch=repeat)
    again = ["BATCH"] if repeat else []
    assert story[: 2 + len(again)] == ["RESUMED", *again, "EPOCH_FINISHED"]
    assert seen == [1] * repeat + [*range(5)]


@plain_too
def test_it_may_come_on_resumed_after_batches_were_drawn(kind: Callable[[Any], Any]) -> None:
    first, runner = Runner(), Runner()
    stop_at(first, 3)
    first.run(range(5), max_epoch=2)
    runner.state = {**pickle.loads(pickle.dumps(first.state)), "batches": kind(range(5))}
    runner.on(Event.RESUMED, lambda _: runner.end_epoch())
    story, seen = told(runner), delivered(runner)
    runner.resume()
    assert story[:2] == ["RESUMED", "EPOCH_FINISHED"]
    assert seen == [*range(5)]


def test_another_thread_wakes_a_run_whose_source_is_silent() -> None:
    source, runner = Watched(), Runner()
    seen, story = delivered(runner), told(runner)
    runner.on(Event.EPOCH_FINISHED.once(), lambda _: source.subscribed.clear())
    with in_thread(lambda: runner.run(source, max_epoch=2)):
        wait_for(source.subscribed)
        source.on_next(1)
        runner.end_epoch()
        wait_for_epoch(runner, 2)
        wait_for(source.subscribed)
        source.on_next(2)
        source.on_completed()
    assert seen == [1, 2]
    assert story.count("EPOCH_FINISHED") == 2


def wait_for_epoch(runner: Runner, epoch: int) -> None:
    begun = threading.Event()
    subscription = runner.on(Event.EPOCH_STARTED, lambda _: begun.set())
    if runner.state["epoch"] < epoch:
        wait_for(begun)
    subscription.dispose()


def test_another_thread_ends_a_plain_loader_after_the_batch_that_is_being_loaded() -> None:
    asked, go = threading.Event(), threading.Event()

    def batches() -> Iterator[int]:
        yield 0
        asked.set()
        wait_for(go)
        yield 1
        yield 2

    runner = Runner()
    seen = delivered(runner)
    with in_thread(lambda: runner.run(batches())):
        wait_for(asked)
        runner.end_epoch()
        go.set()
    assert seen == [0, 1]


def test_an_iterator_is_cut_into_epochs_and_nothing_is_warned_of() -> None:
    runner = Runner()
    seen = list[tuple[int, int]]()
    runner.on(Event.BATCH, lambda state: seen.append((state["epoch"], state["batch"])))
    runner.on(Event.BATCH.every(2), lambda _: runner.end_epoch())
    runner.on(
        Event.EPOCH_STARTED.where(lambda state: state["epoch"] == 3), lambda _: runner.end_epoch()
    )
    runner.run(itertools.count(), max_epoch=4)
    assert seen == [(1, 0), (1, 1), (2, 2), (2, 3), (4, 4), (4, 5)]


def test_an_epoch_whose_batches_are_exhausted_before_is_still_warned_of() -> None:
    runner = Runner()
    runner.on(Event.BATCH.every(2), lambda _: runner.end_epoch())
    with pytest.warns(RnnrWarning, match="epoch 3 needs batches that can be iterated again"):
        runner.run(iter(range(3)), max_epoch=3)


def test_a_run_inside_another_ends_its_own_epoch() -> None:
    inner, outer = Runner(), Runner()
    inner.on(Event.BATCH, lambda _: inner.end_epoch())
    outer.on(Event.BATCH, lambda _: inner.run(range(3)))
    seen, within = delivered(outer), delivered(inner)
    outer.run(range(2))
    assert (seen, within) == ([0, 1], [0, 0])
    inner.on(Event.BATCH, lambda _: outer.end_epoch())
    outer.run(range(2))
    assert seen == [0, 1, 0]


@pytest.mark.parametrize("value", [1, "yes", 2.0])
def test_other_true_values_of_running_end_nothing(value: Any) -> None:
    runner = Runner()
    seen = delivered(runner)
    runner.on(Event.BATCH, lambda state: state.update(running=value))
    runner.run(range(3), max_epoch=2)
    assert seen == [0, 1, 2, 0, 1, 2]


def test_a_stop_in_the_same_batch_is_a_stop() -> None:
    runner = Runner()
    story = told(runner)

    @runner.on(Event.BATCH)
    def both(state: State) -> None:
        runner.end_epoch()
        runner.stop()
        runner.end_epoch()

    runner.run(range(3))
    assert story[-1] == "STOPPED"
    assert runner.state["running"] is False


class TestClose:
    @plain_too
    def test_what_is_kept_for_resume_is_let_go_of_and_the_run_goes_on(
        self, kind: Callable[[Any], Any]
    ) -> None:
        class Items:
            def __iter__(self) -> Iterator[int]:
                return iter(range(5))

        runner = Runner()
        seen = delivered(runner)
        stop_at(runner, 2)
        runner.run(kind(Items()))
        kept = weakref.ref(runner._batches._source)
        runner.close()
        gc.collect()
        assert kept() is None
        assert source_threads() == []
        runner.resume()
        assert seen == [0, 1, 2, 3, 4]
        runner.close()
        runner.run(kind(Items()))
        assert seen == [*range(5)] * 2

    def test_a_generator_is_closed_with_it(self) -> None:
        closed = list[bool]()

        class Loader:
            def __iter__(self) -> Iterator[int]:
                try:
                    yield from range(3)
                finally:
                    closed.append(True)

        runner = Runner()
        stop_at(runner, 1)
        runner.run(Loader())
        assert closed == []
        runner.close()
        assert closed == [True]

    def test_the_workers_of_a_loader_end_with_it(self) -> None:
        pytest.importorskip("torch")
        from torch.utils.data import DataLoader

        items: Any = range(8)
        runner, before = Runner(), active_children()
        stop_at(runner, 1)
        runner.run(DataLoader(items, batch_size=2, num_workers=1))
        assert len(active_children()) == len(before) + 1
        runner.close()
        assert active_children() == before
        seen = delivered(runner)
        runner.resume()
        assert [batch.tolist() for batch in seen] == [[2, 3], [4, 5], [6, 7]]

    def test_the_position_in_an_iterator_is_lost_and_said_to_be(self) -> None:
        runner = Runner()
        stop_at(runner, 1)
        runner.run(iter(range(3)))
        runner.close()
        with pytest.raises(RuntimeError, match="cannot be resumed after 1 batches"):
            runner.resume()

    def test_a_running_one_is_refused_with_the_cure(self) -> None:
        runner = Runner()
        runner.on(Event.BATCH, lambda _: runner.close())
        with pytest.raises(RuntimeError, match=r"between two runs.*call stop\(\) first"):
            runner.run([1])

    def test_one_that_has_not_run_may_be_closed(self) -> None:
        runner = Runner()
        runner.close()
        runner.run(Endless(), max_epoch=0)
