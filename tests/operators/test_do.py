"""`do`: an action for each item, which is passed on."""

from typing import Any

import pytest

from helpers.faults import Boom
from rnnr import Event, Runner
from rnnr.operators import do, every, fold, pipeline, select


def test_the_item_is_passed_on_whatever_the_action_returns() -> None:
    seen: list[object] = []
    runner = Runner()
    stream = runner.stream(Event.BATCH).pipe(select("batch"), do(lambda batch: batch + 1))
    stream.subscribe(seen.append)
    runner.run([1, 2])
    assert seen == [1, 2]


def test_it_is_a_callback_itself() -> None:
    seen: list[object] = []
    runner = Runner()
    runner.on(Event.BATCH, do(lambda state: seen.append(state["batch"])))
    runner.run("ab")
    assert seen == ["a", "b"]


def test_what_the_action_raises_leaves_the_run_as_itself() -> None:
    error = Boom()

    def fail(_: object) -> None:
        raise error

    runner = Runner()
    runner.on(Event.BATCH, pipeline(do(fail)))
    with pytest.raises(Boom) as caught:
        runner.run("a")
    assert caught.value is error


def test_the_action_may_be_a_pipeline_whose_items_go_no_further() -> None:
    seen: list[object] = []
    runner = Runner()
    inner = pipeline(select("batch"), do(seen.append))
    runner.on(Event.BATCH, pipeline(do(inner), select("n_iters"), do(seen.append)))
    runner.run("ab")
    assert seen == ["a", 1, "b", 2]


def test_what_an_inner_pipeline_remembers_belongs_to_each_attachment() -> None:
    seen: list[int] = []
    inner = pipeline(select("batch"), every(2), do(seen.append))
    outer = pipeline(do(inner))
    for _ in range(2):
        runner = Runner()
        runner.on(Event.BATCH, outer)
        runner.run([1, 2, 3])
    assert seen == [2, 2]


def test_what_an_inner_pipeline_writes_is_reserved() -> None:
    runner = Runner()
    runner.on(Event.BATCH, do(pipeline(fold("total", max, value="batch"))))
    with pytest.raises(ValueError, match="key must be a key that no other part"):
        runner.on(Event.BATCH, pipeline(fold("total", max, value="batch")))


def test_a_function_that_does_nothing_when_it_is_called_is_refused() -> None:
    async def send(_: object) -> None:
        """Wait for a server."""

    with pytest.raises(TypeError, match=r"action must be a function that runs.*async"):
        do(send)


@pytest.mark.parametrize("wrong", [None, "print", 3])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"action must be callable, got .*pass a function of"):
        do(wrong)
