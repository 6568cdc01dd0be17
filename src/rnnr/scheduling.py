"""Schedulers and Observables that work around ReactiveX's deferral, which may lose states.

Inside a subscription ReactiveX defers whatever is scheduled on the current thread until that
subscription returns: for a run inside one, until after its end. That queue is its trampoline.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex import Observable, abc
from reactivex.scheduler import (
    CurrentThreadScheduler,
    ImmediateScheduler,
    TimeoutScheduler,
    TrampolineScheduler,
)
from reactivex.scheduler.currentthreadscheduler import CurrentThreadSchedulerSingleton
from reactivex.scheduler.trampoline import Trampoline

from rnnr._awaiting import last_item
from rnnr._unsubscribed import Unsubscribed

__all__ = ["InPlaceScheduler"]

_T = TypeVar("_T")


class InPlaceScheduler(TimeoutScheduler):
    """A scheduler that runs an action that is due now at once, and a later one by a timer.

    Pass it to ``subscribe`` where ReactiveX's default would run an action too late: inside a
    subscription, or below an operator that subscribes while it delivers. Pipelines over
    `rnnr.Runner.stream` use it by themselves.

    Example:
        >>> import reactivex as rx
        >>> from reactivex import operators as ops
        >>> from rnnr.scheduling import InPlaceScheduler
        >>> def inside(_):
        ...     late, now = rx.of("late"), rx.of("now")
        ...     late.subscribe(print)
        ...     now.subscribe(print, scheduler=InPlaceScheduler())
        >>> subscription = rx.of(1).subscribe(inside)
        now
        late
    """

    def __new__(cls) -> "InPlaceScheduler":
        """Return a new scheduler with its own queue; TimeoutScheduler would return a shared one."""
        return object.__new__(cls)

    def __init__(self) -> None:
        self._now = CurrentThreadScheduler()

    def schedule(
        self, action: abc.ScheduledAction[_T], state: _T | None = None
    ) -> abc.DisposableBase:
        """Run an action now, or right after the action of this scheduler that is running."""
        return self._now.schedule(lambda _, state: action(self, state), state)


IN_PLACE = (InPlaceScheduler, ImmediateScheduler, TrampolineScheduler)
"""Schedulers that run an action before ``schedule`` returns, so that it cannot be disposed of."""


class InPlaceObservable(Observable[_T]):
    """An Observable whose pipelines deliver in place, wherever they are subscribed."""

    works_in_subscribe = False
    """Whether ``subscribe`` blocks until the end, so that awaiting it needs a thread."""

    unsubscribed: Unsubscribed | None = None
    """What is told of pipelines that are built and subscribed to, if it is a stream of a runner."""

    if not TYPE_CHECKING:  # pragma: no branch  (the overloads of the original give the types)

        def pipe(self, *operators: Callable[[Any], Any]) -> Any:
            """Apply operators, as every Observable does."""
            self._note_use()
            piped = super().pipe(*operators)
            if type(piped) is not Observable:
                return piped
            return self._noted(_Piped(piped, self.works_in_subscribe))

    def run(self, scheduler: abc.SchedulerBase | None = None) -> _T:
        """Subscribe on this thread, wait for the end, and return the last item.

        ReactiveX does this on a new thread, which an interrupt of this one does not reach.
        """
        with idle_trampoline():  # a busy one would wait for us, and we for it
            return super().run(scheduler or InPlaceScheduler())

    def __await__(self) -> Generator[Any, None, _T]:
        """Return the last item to ``await``, while the event loop goes on.

        ReactiveX subscribes on the thread of the loop, which a run would block until its end.
        """
        return last_item(self).__await__() if self.works_in_subscribe else super().__await__()

    def _note_use(self) -> None:
        """Note that it was subscribed to, or that a pipeline was built from it."""
        if self.unsubscribed is not None:
            self.unsubscribed.remove(self)

    def _noted(self, pipeline: "InPlaceObservable[Any]") -> "InPlaceObservable[Any]":
        """Note that a pipeline was built from it; return the pipeline."""
        if self.unsubscribed is not None:
            pipeline.unsubscribed = self.unsubscribed
            self.unsubscribed.add(pipeline)
        return pipeline


class _Piped(InPlaceObservable[_T]):
    """The Observable that operators make of an `InPlaceObservable`."""

    def __init__(self, source: Observable[_T], works_in_subscribe: bool) -> None:
        super().__init__(source._subscribe_core)
        self.works_in_subscribe = works_in_subscribe

    def subscribe(self, *observer: Any, **arguments: Any) -> abc.DisposableBase:
        """Subscribe, as to every Observable."""
        self._note_use()
        if arguments.get("scheduler") is None:
            arguments["scheduler"] = InPlaceScheduler()
        return super().subscribe(*observer, **arguments)


def is_inside_subscription() -> bool:
    """Return whether ReactiveX is in the middle of a subscription on this thread."""
    return not CurrentThreadScheduler.singleton().schedule_required()


@contextmanager
def idle_trampoline() -> Iterator[None]:
    """Replace the thread's trampoline in a ``with`` block, as if it were in no subscription.

    ReactiveX has no public way to do so. The attribute is the same from 4.0 to 6.1.
    """
    local = CurrentThreadSchedulerSingleton._local
    busy, local.tramp = local.tramp, Trampoline()
    try:
        yield
    finally:
        local.tramp = busy
