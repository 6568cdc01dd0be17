"""A pipeline that was built and never subscribed to is told at the end of a run, and no other."""

import _thread
import asyncio
import gc
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from rnnr import Event, RnnrWarning, Runner, State
from rnnr.operators import do, pipeline, select, stop

TOLD = r"a pipeline over a stream must be subscribed to \(test_unsubscribed.py:(\d+)\)"
Told = list[tuple[str, int]]


def told(run: Callable[[], object]) -> Told:
    """Return the file and the line of each warning that a run makes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    assert all(one.category is RnnrWarning for one in caught)
    return [(one.filename, one.lineno) for one in caught]


def here(ahead: int) -> Told:
    """Return what is told of a line above the caller."""
    return [(__file__, sys._getframe(1).f_lineno - ahead)]


@pytest.fixture
def runner() -> Runner:
    return Runner()


def batches(runner: Runner) -> Observable[Any]:
    return runner.stream(Event.BATCH).pipe(select("batch"))


def test_a_statement_that_builds_one_is_told_where_it_stands(runner: Runner) -> None:
    runner.stream(Event.BATCH).pipe(select("batch"), ops.do_action(print))
    expected = here(ahead=1)
    assert told(lambda: runner.run([1, 2])) == expected
    assert told(lambda: runner.run([1, 2])) == []  # once


@pytest.mark.parametrize("operator", [select("batch"), ops.map(id), pipeline(ops.map(id), do(id))])
@pytest.mark.parametrize("event", [Event.BATCH, Event.BATCH.every(2), Event.STARTED])
def test_so_is_one_in_a_variable(runner: Runner, event: Any, operator: Any) -> None:
    losses = runner.stream(event).pipe(operator)
    expected = here(ahead=1)
    assert told(lambda: runner.run([1, 2], max_epoch=3)) == expected
    with losses.subscribe():  # after all; and it may be kept on purpose
        assert told(lambda: runner.run([1, 2])) == []


def test_so_is_one_over_several_lines(runner: Runner) -> None:
    (
        runner.stream(Event.BATCH).pipe(
            select("batch"),
            ops.do_action(print),
        )
    )
    expected = here(ahead=5)
    assert told(lambda: runner.run([1])) == expected


def test_so_are_those_of_a_merge_that_nobody_has_subscribed_to(runner: Runner) -> None:
    rx.merge(runner.stream(Event.BATCH).pipe(select("batch")), rx.of(1))
    expected = here(ahead=1)
    assert told(lambda: runner.run([1])) == expected


def test_so_is_a_variable_of_a_coroutine_and_of_a_module() -> None:
    async def main() -> Told:
        runner = Runner()
        losses = runner.stream(Event.BATCH).pipe(select("batch"))
        seen = told(lambda: runner.run([1]))
        await asyncio.sleep(0)
        assert losses is not None
        return seen

    assert len(asyncio.run(main())) == 1
    source = """losses = runner.stream(Event.BATCH).pipe(select("batch"))
(lambda: None)()
"""
    module = {"Event": Event, "select": select, "runner": Runner(), "__name__": "train"}
    exec(compile(source, "train.py", "exec"), module)
    run: Any = module["runner"]
    with pytest.warns(RnnrWarning, match=r"subscribed to \(train.py:1\)"):
        run.run([1])


def test_so_is_the_last_line_of_a_cell_which_the_notebook_keeps(runner: Runner) -> None:
    space: dict[str, Any] = {"runner": runner, "Event": Event, "select": select, "Out": {}}
    exec("_ = Out[1] = runner.stream(Event.BATCH).pipe(select('batch'))", space)
    assert told(lambda: runner.run([1])) == [("<string>", 1)]


def test_the_message_has_the_wrong_and_the_right_line_and_how_to_hide_it(runner: Runner) -> None:
    runner.stream(Event.BATCH).pipe(select("batch"))
    with pytest.warns(RnnrWarning, match=TOLD) as caught:
        runner.run([1])
    message = str(caught[0].message)
    assert "expected runner.stream(event).pipe(...).subscribe(), got" in message
    assert "got runner.stream(event).pipe(...) alone" in message
    assert "leave it as it is" in message
    runner.stream(Event.BATCH).pipe(select("batch"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "a pipeline over a stream", RnnrWarning)
        runner.run([1])  # as the message says


def test_it_is_told_after_a_stop_and_after_a_failure_too(runner: Runner) -> None:
    runner.stream(Event.BATCH).pipe(select("batch"))
    expected = here(ahead=1)
    runner.on(Event.BATCH, pipeline(stop()))
    assert told(lambda: runner.run([1])) == expected

    failing = Runner()
    failing.stream(Event.BATCH).pipe(select("batch"))
    expected = here(ahead=1)
    failing.on(Event.BATCH, lambda state: 1 / 0)

    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            failing.run([1])

    assert told(run) == expected


def test_as_an_error_it_leaves_a_whole_run_and_hides_no_other_error(runner: Runner) -> None:
    runner.stream(Event.BATCH).pipe(select("batch"))
    events: list[Event] = []
    for event in (Event.FINISHED, Event.FAILED):
        runner.on(event, lambda state, event=event: events.append(event))
    with pytest.raises(RnnrWarning, match=TOLD):
        runner.run([1])
    assert events == [Event.FINISHED]
    runner.run([1])

    runner.stream(Event.BATCH).pipe(select("batch"))
    runner.on(Event.BATCH, lambda state: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        runner.run([1])
    assert any("RnnrWarning: a pipeline over" in note for note in caught.value.__notes__)


def subscribed(runner: Runner) -> object:
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    losses.subscribe()
    return losses


def disposed_before_the_run(runner: Runner) -> object:
    losses = runner.stream(Event.BATCH).pipe(ops.map(id))
    losses.subscribe().dispose()
    return losses


def base_of_another(runner: Runner) -> object:
    base = runner.stream(Event.BATCH).pipe(select("batch"))
    base.pipe(do(id)).subscribe()
    return base


def base_of_operators_of_reactivex(runner: Runner) -> object:
    base = runner.stream(Event.BATCH.every(2)).pipe(ops.map(id))
    longer = base.pipe(ops.filter(bool))
    longer.pipe(do(id), ops.map(id)).subscribe()
    return base, longer


def operator_called_with_it(runner: Runner) -> object:
    base = batches(runner)
    ops.map(id)(base).subscribe()
    states = runner.stream(Event.BATCH).pipe(ops.map(dict))
    select("batch")(states).subscribe()
    return base, states


def merged(runner: Runner) -> object:
    one, other = batches(runner), batches(runner)
    rx.merge(one, other).subscribe()
    rx.zip(batches(runner), runner.stream(Event.BATCH).pipe(ops.map(id))).subscribe()
    return one, other


def second_of_concat(runner: Runner) -> object:
    first = runner.stream(Event.BATCH).pipe(select("batch"))
    second = runner.stream(Event.BATCH).pipe(select("batch"))
    rx.concat(first, second).subscribe()  # the first never ends
    return second


def instead_of_an_error_that_does_not_come(runner: Runner) -> object:
    other = runner.stream(Event.BATCH).pipe(select("batch"))
    return batches(runner).pipe(ops.catch(other), ops.take(1)).subscribe()


def the_branch_not_taken(runner: Runner) -> object:
    one = runner.stream(Event.BATCH).pipe(select("batch"))
    rx.if_then(lambda: True, one, runner.stream(Event.BATCH).pipe(select("batch"))).subscribe()
    return one


def until_another(runner: Runner) -> object:
    ends = runner.stream(Event.EPOCH_FINISHED)
    return batches(runner).pipe(ops.take_until(ends), ops.buffer(ends)).subscribe()


def inside_flat_map(runner: Runner) -> object:
    return (
        runner.stream(Event.EPOCH_STARTED)
        .pipe(ops.flat_map(lambda state: runner.stream(Event.BATCH).pipe(select("batch"))))
        .subscribe()
    )


def in_a_later_part_of_the_run(runner: Runner) -> object:
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    runner.on(Event.EPOCH_FINISHED, lambda state: losses.subscribe() and None)
    return losses


def the_stream_itself(runner: Runner) -> object:
    runner.stream(Event.BATCH)
    runner.stream(Event.BATCH.every(2))
    streams: list[Any] = [runner.stream(Event.BATCH), runner.stream(Event.BATCH.every(2))]
    return [stream.pipe() for stream in streams]


def observed(runner: Runner) -> object:
    runner.observe([1]).pipe(ops.count())
    return runner.runs.pipe(ops.merge_all()), runner.observe([1]).pipe(ops.map(id))


def given_to_on(runner: Runner) -> object:
    return runner.on(Event.BATCH, pipeline(select("batch"), ops.map(id)))


def shared(runner: Runner) -> object:
    losses = runner.stream(Event.BATCH).pipe(select("batch"), ops.share())
    losses.subscribe()
    connectable = runner.stream(Event.BATCH).pipe(select("batch"), ops.publish())
    connectable.connect()
    return losses, connectable


def of_an_object(runner: Runner) -> object:
    return types.SimpleNamespace(losses=runner.stream(Event.BATCH).pipe(select("batch")))


def stored_and_removed(runner: Runner) -> object:
    known = {"losses": runner.stream(Event.BATCH).pipe(select("batch"))}
    known.pop("losses")
    return known


def replaced(runner: Runner) -> object:
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    return losses.subscribe()


def a_variable_of_a_function_that_has_returned(runner: Runner) -> None:
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    assert losses is not None


def on_another_thread(runner: Runner) -> object:
    thread = threading.Thread(target=lambda: batches(runner).subscribe())
    thread.start()
    thread.join()
    return thread


INNOCENT = [
    subscribed,
    disposed_before_the_run,
    base_of_another,
    base_of_operators_of_reactivex,
    operator_called_with_it,
    merged,
    second_of_concat,
    instead_of_an_error_that_does_not_come,
    the_branch_not_taken,
    until_another,
    inside_flat_map,
    in_a_later_part_of_the_run,
    the_stream_itself,
    observed,
    given_to_on,
    shared,
    of_an_object,
    stored_and_removed,
    replaced,
    a_variable_of_a_function_that_has_returned,
    on_another_thread,
]


@pytest.mark.parametrize("build", INNOCENT)
def test_nothing_is_told_of_what_somebody_uses_or_may_use(
    runner: Runner, build: Callable[[Runner], object]
) -> None:
    built = build(runner)
    assert told(lambda: runner.run([1, 2], max_epoch=2)) == []
    assert told(lambda: runner.run([1, 2])) == []
    del built
    gc.collect()
    assert told(lambda: runner.run([1, 2])) == []


def test_nothing_is_told_of_awaited_ones(runner: Runner) -> None:
    async def main() -> Any:
        first = runner.stream(Event.BATCH).pipe(select("batch"), ops.take(1))
        awaited = asyncio.ensure_future(_await(first))
        await asyncio.sleep(0)
        assert told(lambda: runner.run([5])) == []
        return await awaited

    assert asyncio.run(main()) == 5


async def _await(one: Observable[Any]) -> Any:
    return await one


def test_pipelines_of_each_epoch_leave_no_memory_behind_and_are_told_once(runner: Runner) -> None:
    kept: list[weakref.ref[Any]] = []

    @runner.on(Event.EPOCH_STARTED)
    def build(state: State) -> None:
        runner.stream(Event.BATCH).pipe(select("batch"))
        losses = runner.stream(Event.BATCH).pipe(select("batch"))
        losses.subscribe().dispose()
        kept.append(weakref.ref(losses))

    assert len(told(lambda: runner.run([1], max_epoch=50))) == 1
    assert told(lambda: runner.run([1], max_epoch=50)) == []
    assert len(kept) == 100
    assert not any(one() for one in kept)
    notes = runner._streams.unsubscribed
    assert not notes._alive
    assert len(notes._settled) == 1


def test_it_is_not_among_the_callbacks_and_a_runner_is_freed_at_once(runner: Runner) -> None:
    before = repr(runner)
    losses = runner.stream(Event.BATCH).pipe(select("batch"))
    assert repr(runner) == before
    one = Runner()
    one.stream(Event.BATCH).pipe(select("batch"))
    gone = weakref.ref(one)
    gc.disable()
    try:
        del one
        assert gone() is None
    finally:
        gc.enable()
    with losses.subscribe():
        runner.run([1])


class Paired:
    """An operator that is gone as soon as `pipe` has returned."""

    def __call__(self, source: Observable[Any]) -> Observable[Any]:
        return source.pipe(ops.pairwise())


def test_one_that_no_line_of_the_user_has_built_is_not_told(runner: Runner) -> None:
    operator, is_built = Paired(), threading.Event()
    weakref.finalize(operator, is_built.set)
    _thread.start_new_thread(batches(runner).pipe, (operator,))
    del operator
    assert is_built.wait(30)
    assert told(lambda: runner.run([1])) == []


def test_a_run_that_builds_one_is_told_at_its_own_end(runner: Runner) -> None:
    @runner.on(Event.BATCH)
    def build(state: State) -> None:
        runner.stream(Event.BATCH).pipe(select("batch"))

    other = Runner()
    assert told(lambda: other.run([1])) == []
    assert len(told(lambda: runner.run([1]))) == 1
