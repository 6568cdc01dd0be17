"""A run as an Observable: cold, where subscribing runs it, and hot, for those who outlive runs."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from threading import Thread, current_thread
from typing import NamedTuple, Protocol, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from rnnr._errors import RnnrWarning
from rnnr.event import BEGINNINGS, ENDS, Event
from rnnr.scheduling import IN_PLACE, InPlaceObservable
from rnnr.state import State, drawing_failed
from rnnr.streams._layer import Layer
from rnnr.streams._subject import EventSubject

__all__ = ["Emission", "ObservedRun", "RunnerLike", "all_runs"]


class Emission(NamedTuple):
    """What happened, and the state of the run; `rnnr.Runner.observe` emits it.

    Attributes:
        event (Event): What happened.
        state (dict): The state of the run: one dict, which goes on changing.
    """

    event: Event
    state: State


class RunnerLike(Protocol):
    """What observing needs of a runner.

    Attributes:
        state: The state of the run.
        _latest: Stands for the latest run or resume: another object for each.
    """

    state: State
    _latest: object

    def stream(self, event: Event) -> EventSubject:
        """Return the Subject of an event."""

    def stop(self) -> None:
        """Stop the run."""


Listener: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes what surrounds a run: somebody listens as long as it lasts."""


class ObservedRun(InPlaceObservable[Emission]):
    """An Observable that runs when it is subscribed, and resumes what has failed.

    Args:
        runner: Whose run it is.
        run: Runs from the beginning, while somebody listens.
        resume: Goes on with a failed run; takes whether to repeat its last batch, too.
    """

    works_in_subscribe = True

    def __init__(
        self,
        runner: RunnerLike,
        run: Callable[[Listener], None],
        resume: Callable[[bool, Listener], None],
    ) -> None:
        super().__init__()
        self._runner = runner
        self._run = run
        self._resume = resume
        self._current: _Subscription | None = None
        self._failed: tuple[object, State] | None = None  # the run that did, and its state

    def __repr__(self) -> str:
        return f"<a run of {self._runner!r}, for who subscribes>"

    def subscribe(
        self,
        on_next: abc.ObserverBase[Emission] | abc.OnNext[Emission] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Run, and tell an observer about it."""

        def begin(
            observer: abc.ObserverBase[Emission], scheduler: abc.SchedulerBase | None
        ) -> abc.DisposableBase:
            subscription = _Subscription(self, observer, on_next)
            if scheduler is None or isinstance(scheduler, IN_PLACE):
                # In place it would run before anybody holds what disposes of it, and take(2)
                # below could not end it. Here it comes when all are subscribed.
                scheduler = CurrentThreadScheduler.singleton()
            elif isinstance(scheduler, AsyncIOScheduler):  # as `await rx.concat(...)` passes it on
                _warn_in_event_loop()
            begun = scheduler.schedule(subscription.begin)
            return CompositeDisposable(begun, Disposable(subscription.dispose))

        return Observable(begin).subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def _go(self, listening: Listener) -> None:
        """Run, or resume what the last subscription has left where it failed."""
        failed, state = self._failed or (None, None)
        if state is not None and failed is self._runner._latest and state is self._runner.state:
            # the callbacks did not finish the last batch, unless it was drawing that failed
            self._resume(not drawing_failed(state), listening)
        else:
            self._run(listening)

    def _remember(self, failed: object) -> None:
        state = self._runner.state
        # a run whose beginning failed begins again: there is nothing to resume
        self._failed = (failed, state) if state["epoch"] else None


class _Subscription:
    """What one subscription does: one run, from its beginning or from where the last one failed.

    Args:
        source: What was subscribed.
        observer: Who is to be told.
        subscriber: What was passed to ``subscribe``. The scheduler of ``subscribe_on`` delays a
            disposal until the end of the run that it should end, but the observer itself knows.
    """

    def __init__(
        self, source: ObservedRun, observer: abc.ObserverBase[Emission], subscriber: object
    ) -> None:
        self._source = source
        self._observer = observer
        self._subscriber = subscriber
        self._is_running = self._is_disposed = False
        self._thread: Thread | None = None
        self._run: object = None  # the run that this subscription has begun, as the runner names it
        self._ended = threading.Event()
        self._next: list[_Subscription] = []

    def begin(self, *_: object) -> None:
        """Run; after the end of an subscription that was disposed of and is not through yet.

        For ``retry`` that is so where an operator above it has failed: it is called in the
        middle of the run whose emission that was.
        """
        before = self._source._current
        if before is not None and before._is_disposed:
            if before._thread is current_thread():
                before._next.append(self)
                return
            before._ended.wait()
        waiting = [self]
        while waiting:
            subscription = waiting.pop(0)
            subscription._begin()
            waiting += subscription._next

    def dispose(self) -> None:
        """Stop the run, if it is still going on."""
        self._is_disposed = True
        if self._is_running:
            self._source._runner.stop()

    def _begin(self) -> None:
        if self._is_disposed:
            return
        failure: Exception | None = None
        try:
            try:
                self._source._go(self._listening)
            except Exception as error:
                if self._run is not None:
                    self._source._remember(self._run)
                if self._is_unwanted():  # nobody would tell of it
                    raise
                failure = error
            finally:  # from here on the runner takes another run
                if self._source._current is self:
                    self._source._current = None
                self._ended.set()
            _finish(self._observer, failure)
        finally:
            del failure  # its traceback holds this frame

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Listen to the runner, while the run is this one and no other."""
        source = self._source
        self._run = source._runner._latest
        with CompositeDisposable(_listen(source._runner, self._emit)):
            self._is_running, self._thread, source._current = True, current_thread(), self
            try:
                yield
            finally:
                self._is_running = False

    def _emit(self, event: Event, state: State) -> None:
        if not self._is_running or self._run is not self._source._runner._latest:
            return  # an interrupt has left this handler behind
        if self._is_unwanted():
            state["running"] = False
        else:
            self._observer.on_next(Emission(event, state))

    def _is_unwanted(self) -> bool:
        return self._is_disposed or bool(getattr(self._subscriber, "is_stopped", False))


def all_runs(runner: RunnerLike) -> Observable[Observable[Emission]]:
    """Return a hot Observable of an Observable for each run to come."""

    def subscribe(
        observer: abc.ObserverBase[Observable[Emission]], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        current: Subject[Emission] | None = None
        disposed = False

        def emit(event: Event, state: State) -> None:
            nonlocal current
            if event in BEGINNINGS:
                if current is not None:  # of whose end nobody was told
                    current.on_completed()
                current = Subject()
                observer.on_next(current)
            if current is None:  # subscribed in the middle of a run
                return
            run = current
            run.on_next(Emission(event, state))
            if event in ENDS:
                current = None
                if disposed:
                    listening.dispose()
                _finish(run, state.get("error") if event is Event.FAILED else None)

        def dispose() -> None:  # take(1), say, leaves those who watch the run that it took
            nonlocal disposed
            disposed = True
            if current is None:
                listening.dispose()

        # FINISHED as the last of all, since a callback of it may fail
        listening = CompositeDisposable(*_listen(runner, emit, finished=Layer.CLOCK))
        return Disposable(dispose)

    return InPlaceObservable(subscribe)


def _warn_in_event_loop() -> None:
    warnings.warn(
        "a run on the thread of an event loop keeps it waiting, so that nothing can cancel the "
        "run: expected a thread for it, got an AsyncIOScheduler; write `await "
        "runner.observe(batches)` for each run, or `await asyncio.to_thread(observable.run)` for "
        "several in one Observable",
        RnnrWarning,
        stacklevel=2,  # called by the event loop, so there is no line of the user to point to
    )


def _finish(observer: abc.ObserverBase[Emission], error: Exception | None) -> None:
    if error is None:
        observer.on_completed()
    else:
        observer.on_error(error)


def _listen(
    runner: RunnerLike, emit: Callable[[Event, State], None], finished: Layer = Layer.USER
) -> list[abc.DisposableBase]:
    layers = {Event.FINISHED: finished}
    return [
        runner.stream(event).add(partial(emit, event), layer=layers.get(event, Layer.USER))
        for event in Event
    ]
