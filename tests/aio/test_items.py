"""`aiterate`: every item in order, none waits for the loop, and what is dropped is counted."""

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable, Subject
from reactivex import operators as ops

from helpers.threads import GUARD, on_thread
from rnnr import Event, Runner
from rnnr.aio import aiterate, arun
from rnnr.event import ENDS
from rnnr.reporting import Report, reports


async def listed(source: Observable[Any], **settings: Any) -> list[Any]:
    return [item async for item in aiterate(source, **settings)]


def test_the_items_come_in_order_and_the_end_ends_it() -> None:
    assert asyncio.run(listed(rx.of(1, None, 3))) == [1, None, 3]
    assert asyncio.run(listed(rx.empty())) == []


def test_an_error_of_the_source_is_raised_after_the_items_and_once() -> None:
    async def main() -> None:
        items = aiterate(rx.concat(rx.of(1), rx.throw(ValueError("boom"))))
        assert await anext(items) == 1
        with pytest.raises(ValueError, match="boom"):
            await anext(items)
        with pytest.raises(StopAsyncIteration):
            await anext(items)

    asyncio.run(main())


@given(st.integers(1, 5), st.lists(st.integers(0, 7), max_size=8))
def test_it_keeps_the_newest_and_counts_the_others(size: int, bursts: list[int]) -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source, size)
        n, n_dropped = 0, 0
        for burst in bursts:
            for _ in range(burst):
                source.on_next(n)
                n += 1
            kept = min(burst, size)
            n_dropped += burst - kept
            assert [await anext(items) for _ in range(kept)] == [*range(n - kept, n)]
            assert items.n_dropped == n_dropped
        source.on_completed()
        assert [item async for item in items] == []

    asyncio.run(main())


def test_items_of_another_thread_wake_the_loop_each_time() -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source)
        for n in range(100):
            thread = threading.Thread(target=source.on_next, args=(n,))
            thread.start()
            assert await asyncio.wait_for(anext(items), GUARD) == n
            thread.join(GUARD)

    asyncio.run(main())


def test_nothing_is_lost_between_threads_where_there_is_room() -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source, 10_000)
        numbers = rx.from_iterable(range(10_000))
        thread = threading.Thread(target=lambda: numbers.subscribe(source.on_next))
        thread.start()
        assert [await anext(items) for _ in range(10_000)] == [*range(10_000)]
        assert items.n_dropped == 0
        thread.join(GUARD)

    asyncio.run(main())


def test_a_run_is_told_to_its_end_and_is_not_held_up() -> None:
    def goes_on(report: Report) -> bool:
        return report.event not in ENDS

    async def main() -> None:
        told = reports(runner).pipe(ops.take_while(goes_on, inclusive=True))
        items = aiterate(told, size=3)
        await arun(runner, range(1000))  # while nobody takes an item
        seen = [report.event async for report in items]
        assert seen == [Event.BATCH, Event.EPOCH_FINISHED, Event.FINISHED]
        assert items.n_dropped == 1001  # with the two beginnings, and all batches but one

    runner = Runner()
    asyncio.run(main())


def test_break_unsubscribes() -> None:
    async def main() -> None:
        source = Subject[int]()
        asyncio.get_running_loop().call_soon(source.on_next, 1)
        async for item in aiterate(source):
            assert item == 1
            assert source.observers
            break
        gc.collect()
        assert not source.observers

    asyncio.run(main())


def test_to_close_it_unsubscribes_and_leaves_what_is_there() -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source)
        source.on_next(1)
        await items.aclose()
        await items.aclose()
        assert not source.observers
        source.on_next(2)
        assert [item async for item in items] == [1]

    asyncio.run(main())


def test_one_that_waits_can_be_cancelled_and_goes_on() -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(items), 0.01)
        source.on_next(1)
        assert await anext(items) == 1

    asyncio.run(main())


def test_two_that_wait_get_an_item_each() -> None:
    async def main() -> None:
        source = Subject[int]()
        items = aiterate(source)
        first, second = asyncio.ensure_future(anext(items)), asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        source.on_next(1)
        source.on_next(2)
        assert {await first, await second} == {1, 2}

    asyncio.run(main())


def test_a_source_that_outlives_the_loop_is_not_disturbed() -> None:
    async def main() -> Any:
        items = aiterate(source)
        with pytest.raises(TimeoutError):  # from now on it is to be woken
            await asyncio.wait_for(anext(items), 0.01)
        return items

    source = Subject[int]()
    items = asyncio.run(main())
    on_thread(lambda: source.on_next(1))
    assert source.observers
    del items
    gc.collect()
    assert not source.observers


@pytest.mark.parametrize(
    ("misuse", "error", "match"),
    [
        (lambda: aiterate([1]), TypeError, r"source must be an Observable, got \[1\]"),  # type: ignore[arg-type]
        (lambda: aiterate(rx.of(1), 0), ValueError, "size must be an integer of 1 or more"),
        (lambda: aiterate(Runner().observe([1])), ValueError, "await arun"),
        (
            lambda: aiterate(Runner().observe([1]).pipe(ops.take(1))),
            ValueError,
            "source must be an Observable that does not run on subscribe",
        ),
    ],
)
def test_bad_input_is_refused_at_once(
    misuse: Callable[[], Any], error: type[Exception], match: str
) -> None:
    async def main() -> None:
        with pytest.raises(error, match=match):
            misuse()

    asyncio.run(main())


@pytest.mark.parametrize("error", [StopIteration("x"), StopAsyncIteration("x")])
def test_an_error_that_would_be_taken_for_the_end_is_another_one(error: Exception) -> None:
    with pytest.raises(RuntimeError, match="the source of the items raised Stop"):
        asyncio.run(listed(rx.throw(error)))


def test_another_loop_is_refused() -> None:
    async def make() -> Any:
        return aiterate(Subject[int]())

    async def take(items: Any) -> None:
        with pytest.raises(RuntimeError, match="call aiterate there"):
            await anext(items)

    asyncio.run(take(asyncio.run(make())))


def test_it_needs_an_event_loop() -> None:
    source = Subject[int]()
    with pytest.raises(RuntimeError, match="no running event loop"):
        aiterate(source)
    gc.collect()
    assert not source.observers
