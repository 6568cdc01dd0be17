"""Batches that come from other threads, of each kind, and the threads themselves."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler

from helpers.threads import GUARD
from rnnr.sources import prefetch

__all__ = [
    "KINDS",
    "PLAIN_TOO",
    "Asynchronous",
    "Endless",
    "Failing",
    "Watched",
    "created",
    "join_source_threads",
    "kinds",
    "plain_too",
    "source_threads",
    "wait_for",
]


class Asynchronous:
    """An iterable, as an async one that can be iterated again."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            await asyncio.sleep(0)
            yield item


class Endless:
    """The numbers from 0, each time anew."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class Failing:
    """Numbers, then an error."""

    def __init__(self, n: int, error: BaseException) -> None:
        self.n, self.error = n, error

    def __iter__(self) -> Iterator[int]:
        yield from range(self.n)
        raise self.error


def created(items: Iterable[Any]) -> Observable[Any]:
    """Items from a loop in a subscribe function, which never looks whether it was disposed."""

    def subscribe(observer: Any, scheduler: Any = None) -> Disposable:
        for item in items:
            observer.on_next(item)
        observer.on_completed()
        return Disposable()

    return reactivex.create(subscribe)


KINDS: dict[str, Callable[[Any], Any]] = {
    "loaded ahead": prefetch,
    "an Observable": reactivex.from_iterable,
    "an Observable from a loop": created,
    "an Observable on a thread of its own": lambda items: reactivex.from_iterable(
        items, NewThreadScheduler()
    ),
    "an async iterable": Asynchronous,
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
PLAIN_TOO: dict[str, Callable[[Any], Any]] = {"a plain loader": lambda loader: loader, **KINDS}
plain_too = pytest.mark.parametrize("kind", PLAIN_TOO.values(), ids=PLAIN_TOO)


def source_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "rnnr source"]


def join_source_threads() -> None:
    for thread in source_threads():
        thread.join(GUARD)
        assert not thread.is_alive()


def wait_for(event: threading.Event) -> None:
    assert event.wait(GUARD)


class Watched(Subject[Any]):
    """A Subject that tells when somebody subscribes."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribed = threading.Event()

    def _subscribe_core(self, observer: Any, scheduler: Any = None) -> Any:
        subscription = super()._subscribe_core(observer, scheduler)
        self.subscribed.set()
        return subscription
