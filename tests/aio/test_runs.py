"""`arun` and `aresume`: the loop goes on, and a cancellation stops at a whole moment."""

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Subject

from helpers.events import delivered, n_handlers, told
from helpers.sources import Asynchronous, plain_too
from helpers.threads import GUARD, on_thread
from rnnr import Event, Layer, Runner, State
from rnnr._awaiting import done
from rnnr.aio import _runs, aresume, arun
from rnnr.attachments import Control, MeanReducer
from rnnr.durable import Snapshots
from rnnr.sources import buffered, epochs_of
from rnnr.state import StopRequest

USED = ContextVar("USED", default=0)


def run_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rnnr run"]


async def until(is_so: Callable[[], object]) -> None:
    """Let the other tasks go on until something is so."""
    async with asyncio.timeout(GUARD):
        while not is_so():
            await asyncio.sleep(0.001)


def cancels(runner: Runner, event: Event, is_now: Callable[[State], object]) -> list[Any]:
    """Have the task that awaits the run cancelled once, in the middle of an event."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    done: list[Any] = []

    def cancel(state: State) -> None:
        if is_now(state) and not done:
            done.append(event)
            asked = threading.Event()
            loop.call_soon_threadsafe(task.cancel)
            loop.call_soon_threadsafe(loop.call_soon, asked.set)  # when the task has heard of it
            assert asked.wait(GUARD)

    runner.on(event, cancel)
    return done


def test_the_tasks_of_the_program_go_on_meanwhile() -> None:
    async def answer() -> None:
        await until(asked.is_set)
        answered.set()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(arun(runner, [1]))
            tasks.create_task(answer())

    def ask(_: State) -> None:
        asked.set()
        assert answered.wait(GUARD)

    runner, asked, answered = Runner(), threading.Event(), threading.Event()
    runner.on(Event.BATCH, ask)
    asyncio.run(main())
    assert run_threads() == []


def test_it_runs_as_run_does_and_leaves_no_handler() -> None:
    async def main(runner: Runner) -> None:
        await arun(runner, "abc", max_epoch=2)

    plain, runner = Runner(), Runner()
    stories = [told(plain), told(runner)]
    before = n_handlers(runner)
    plain.run("abc", max_epoch=2)
    asyncio.run(main(runner))
    assert stories[0] == stories[1]
    assert n_handlers(runner) == before
    assert {**plain.state, "batches": 0} == {**runner.state, "batches": 0}


def test_the_run_sees_the_context_of_the_one_who_awaits() -> None:
    async def main() -> None:
        USED.set(3)
        await arun(runner, [1])

    runner = Runner()
    seen: list[int] = []
    runner.on(Event.BATCH, lambda _: seen.append(USED.get()))
    asyncio.run(main())
    assert seen == [3]


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_the_run_is_raised_where_it_is_awaited(error: BaseException) -> None:
    async def main() -> None:
        with pytest.raises(type(error)) as raised:
            await arun(runner, [1])
        assert raised.value is error

    def fail(_: State) -> None:
        raise error

    runner = Runner()
    runner.on(Event.BATCH, fail)
    asyncio.run(main())


@pytest.mark.parametrize(
    "misuse",
    [
        lambda runner: arun(runner, 3),  # type: ignore[arg-type]
        lambda runner: arun(runner, [1], max_epoch="2"),  # type: ignore[arg-type]
        lambda runner: arun("a", [1]),  # type: ignore[arg-type]
        lambda runner: aresume("a"),  # type: ignore[arg-type]
    ],
)
def test_what_is_not_a_run_is_refused(misuse: Callable[[Runner], Any]) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="must be"):
            await misuse(Runner())

    asyncio.run(main())


def test_there_must_be_something_to_resume() -> None:
    with pytest.raises(RuntimeError, match="there is no run to resume"):
        asyncio.run(aresume(Runner()))


def test_a_second_run_of_the_same_runner_is_refused_and_leaves_the_first() -> None:
    async def main() -> None:
        first = asyncio.create_task(arun(runner, silent))
        await until(lambda: silent.observers)
        with pytest.raises(RuntimeError, match="a runner runs once at a time"):
            await arun(runner, [1])
        assert runner.state["running"]
        silent.on_completed()
        await first

    runner, silent = Runner(), Subject[int]()
    asyncio.run(main())
    assert "stopped_by" not in runner.state


@pytest.mark.parametrize(
    "event", [Event.STARTED, Event.EPOCH_STARTED, Event.BATCH, Event.EPOCH_FINISHED]
)
@pytest.mark.parametrize("n_iters", [0, 1, 3, 4])
def test_all_handlers_of_the_event_are_called_when_it_is_cancelled(
    event: Event, n_iters: int
) -> None:
    async def main() -> None:
        cancelled = cancels(runner, event, lambda state: state["n_iters"] == n_iters)
        runner.on(event, lambda state: after.append((event, state["epoch"], state["n_iters"])))
        last = runner.stream(event)
        last.add(lambda state: after.append("saved"), layer=Layer.SAVE)
        try:
            await arun(runner, "abc", max_epoch=2)
        except asyncio.CancelledError:
            assert cancelled
            assert after[-2:] == [(event, runner.state["epoch"], n_iters), "saved"]
            assert runner.state["stopped_by"] == "cancelled"
            assert story[-1] == "STOPPED"
            await aresume(runner)
        else:
            assert not cancelled
        assert story[-1] == "FINISHED"
        assert seen == [*"abcabc"]

    runner = Runner()
    story, seen, after = told(runner), delivered(runner), list[Any]()
    asyncio.run(main())


@plain_too
@given(st.integers(1, 7))
def test_a_run_that_is_cancelled_and_resumed_is_that_which_was_not(
    kind: Callable[[Any], Any], n: int
) -> None:
    def trained() -> Runner:
        runner = Runner()
        runner.state["seen"] = []
        runner.on(Event.BATCH, lambda state: state["seen"].append(state["batch"]))
        MeanReducer("mean", value="batch").attach_on(runner)
        return runner

    async def main() -> None:
        cancels(runner, Event.BATCH, lambda state: state["n_iters"] == n)
        try:
            await arun(runner, kind(range(3)), max_epoch=2)
        except asyncio.CancelledError:
            assert runner.state["n_iters"] == n
            await aresume(runner)

    plain, runner = trained(), trained()
    plain.run(range(3), max_epoch=2)
    asyncio.run(main())
    for key in ("seen", "mean", "n_iters", "epoch"):
        assert runner.state[key] == plain.state[key]


SILENT: dict[str, Callable[[Any], Any]] = {
    "a Subject": lambda subject: subject,
    "with a buffer": buffered,
    "cut into epochs": lambda subject: epochs_of(buffered(subject), 5),
    "that drops": lambda subject: buffered(subject, full="drop oldest"),
}


@pytest.mark.parametrize("kind", SILENT.values(), ids=SILENT)
def test_a_silent_source_is_not_waited_for(kind: Callable[[Any], Any]) -> None:
    async def main() -> None:
        task = asyncio.create_task(arun(runner, kind(silent)))
        await until(lambda: silent.observers)
        silent.on_next("a")
        await until(lambda: seen == ["a"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runner.state["stopped_by"] == "cancelled"
        assert story == ["STARTED", "EPOCH_STARTED", "BATCH", "STOPPED"]
        task = asyncio.create_task(aresume(runner))
        await until(lambda: silent.observers)
        silent.on_next("b")
        silent.on_completed()
        await task
        assert seen == ["a", "b"]

    runner, silent = Runner(), Subject[str]()
    story, seen = told(runner), delivered(runner)
    asyncio.run(main())


def test_a_run_that_skips_what_it_has_drawn_is_stopped_in_between() -> None:
    async def main() -> None:
        runner = Runner()
        cancels(runner, Event.BATCH, lambda state: state["n_iters"] == 2)
        with pytest.raises(asyncio.CancelledError):
            await arun(runner, Asynchronous("abc"))
        other, seen = Runner(), Subject[str]()
        other.state = {**runner.state, "batches": seen}
        other.state["batches"] = buffered(seen, live=False)
        task = asyncio.create_task(aresume(other))
        await until(lambda: seen.observers)
        seen.on_next("a")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert other.state["n_iters"] == 2
        batches = delivered(other)
        task = asyncio.create_task(aresume(other))
        await until(lambda: seen.observers)
        for each in "abc":
            seen.on_next(each)
        seen.on_completed()
        await task
        assert batches == ["c"]

    asyncio.run(main())


def test_a_paused_run_goes_on_in_order_to_stop() -> None:
    async def main() -> None:
        task = asyncio.create_task(arun(runner, itertools.count()))
        control.pause()
        await until(lambda: control.wait_until_paused(0))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    runner, control = Runner(), Control()
    control.attach_on(runner)
    asyncio.run(main())
    assert runner.state["stopped_by"] == "cancelled"
    assert not runner._slot.is_stopping


def test_one_that_is_cancelled_before_it_begins_does_not_run() -> None:
    async def main() -> None:
        work = _runs._Run(runner, lambda: runner.run([1]))
        work.cancel()
        await done(work)

    runner = Runner()
    story = told(runner)
    asyncio.run(main())
    assert story == []
    assert run_threads() == []


def test_a_run_of_another_thread_that_was_quicker_is_left_alone() -> None:
    async def main() -> None:
        work = _runs._Run(runner, lambda: on_thread(lambda: runner.run([1, 2])))
        runner.on(Event.BATCH.first(1), lambda _: work.cancel())
        await done(work)

    runner = Runner()
    seen = delivered(runner)
    asyncio.run(main())
    assert seen == [1, 2]


def test_it_is_waited_for_however_often_it_is_cancelled() -> None:
    async def main() -> None:
        task = asyncio.create_task(arun(runner, [1, 2]))
        await until(begun.is_set)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
        unpause.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runner.state["n_iters"] == 1

    def hold(_: State) -> None:
        begun.set()
        assert unpause.wait(GUARD)

    runner, begun, unpause = Runner(), threading.Event(), threading.Event()
    runner.on(Event.BATCH, hold)
    asyncio.run(main())


def test_an_error_on_the_way_to_the_stop_is_raised() -> None:
    async def main() -> None:
        cancels(runner, Event.BATCH, lambda _: True)
        runner.on(Event.STOPPED, lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await arun(runner, itertools.count())

    runner = Runner()
    asyncio.run(main())


def test_ctrl_c_stops_it_at_a_whole_batch() -> None:
    async def main() -> None:
        await arun(runner, itertools.count())

    def interrupt(state: State) -> None:
        if state["n_iters"] == 3:
            os.kill(os.getpid(), signal.SIGINT)  # to the main thread, as from a terminal

    runner = Runner()
    runner.on(Event.BATCH, interrupt)
    whole = list[int]()
    runner.on(Event.BATCH, lambda state: whole.append(state["n_iters"]))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert len(whole) == runner.state["n_iters"]
    assert runner.state["stopped_by"] == "cancelled"


def test_a_cancellation_changes_no_dict_that_a_callback_may_save() -> None:
    async def main() -> None:
        runner.on(Event.BATCH, lambda state: sizes.append(n_keys(state)))
        cancels(runner, Event.BATCH, lambda _: True)
        runner.on(Event.BATCH, lambda state: sizes.append(n_keys(state)))
        with pytest.raises(asyncio.CancelledError):
            await arun(runner, [1, 2])

    def n_keys(state: State) -> tuple[int, ...]:
        return (len(state), *(len(state[key]) for key in ("_run", "_epoch")))

    runner, sizes = Runner(), list[tuple[int, ...]]()
    asyncio.run(main())
    assert sizes[0] == sizes[1]


def test_a_stop_while_it_is_looked_at_is_a_stop() -> None:
    class Racing(StopRequest):
        def stops(self, state: State) -> bool:
            if state["n_iters"]:
                runner.stop()
            return super().stops(state)

    runner = Runner()
    runner._batches.request = Racing()
    story = told(runner)
    runner.run([1, 2], max_epoch=2)
    assert story[-1] == "STOPPED"


def test_what_was_asked_for_is_not_kept_for_the_next_run() -> None:
    async def main() -> None:
        cancels(runner, Event.FINISHED, lambda _: True)
        with pytest.raises(asyncio.CancelledError):
            await arun(runner, [1])  # too late to stop it
        assert story[-1] == "FINISHED"
        await arun(runner, [1, 2], max_epoch=2)
        assert (story[-1], runner.state["n_iters"]) == ("FINISHED", 4)

    runner = Runner()
    story = told(runner)
    asyncio.run(main())


def test_a_cancelled_run_is_saved_and_goes_on_in_another_process(tmp_path: Path) -> None:
    def job() -> Runner:
        runner = Runner()
        runner.state["total"] = 0
        runner.on(Event.BATCH, lambda state: state.update(total=state["total"] + state["batch"]))
        Snapshots(tmp_path / "snapshots").attach_on(runner)
        return runner

    async def first() -> None:
        runner = job()
        cancels(runner, Event.BATCH, lambda state: state["n_iters"] == 2)
        with pytest.raises(asyncio.CancelledError):
            await arun(runner, [1, 2, 3, 4])

    async def second() -> tuple[int, list[int]]:
        runner = job()
        seen = delivered(runner)
        await arun(runner, [1, 2, 3, 4])
        return runner.state["total"], seen

    asyncio.run(first())
    assert asyncio.run(second()) == (10, [3, 4])
