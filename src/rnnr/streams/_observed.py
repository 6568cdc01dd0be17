"""Runs as Observables: a cold one that runs on subscribe, a hot one that emits every later run."""

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
    """An event and the state of the run; `rnnr.Runner.observe` emits it.

    Attributes:
        event (Event): The event.
        state (dict): The state of the run: one dict, which goes on changing.
    """

    event: Event
    state: State


class RunnerLike(Protocol):
    """The part of a runner that observing needs.

    Attributes:
        state: The state of the run.
        _latest: A token of the latest run or resume: another object for each.
    """

    state: State
    _latest: object

    def stream(self, event: Event) -> EventSubject:
        """Return the Subject of an event."""

    def stop(self) -> None:
        """Stop the run."""


Listener: TypeAlias = Callable[[], AbstractContextManager[object]]
"""Makes the context of a run, in which an observer listens to it."""


class ObservedRun(InPlaceObservable[Emission]):
    """An Observable that runs when it is subscribed to, and resumes a failed run.

    Args:
        runner: Runner of the run.
        run: Runs from the beginning, in the context that the listener makes.
        resume: Resumes a failed run in that context; its first argument is whether to repeat the
            last batch.
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
        self._failed: tuple[object, State] | None = None  # token and state of the run that failed

    def __repr__(self) -> str:
        runner, _, _ = repr(self._runner).partition("\n")  # without its callbacks
        return f"<a run of {runner}, which begins on subscribe>"

    def subscribe(
        self,
        on_next: abc.ObserverBase[Emission] | abc.OnNext[Emission] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Run, and emit the events to an observer."""

        def begin(
            observer: abc.ObserverBase[Emission], scheduler: abc.SchedulerBase | None
        ) -> abc.DisposableBase:
            subscription = _Subscription(self, observer, on_next)
            if scheduler is None or isinstance(scheduler, IN_PLACE):
                # In place it would run before the Disposable is returned, so that take(2) below
                # could not end it. This scheduler runs it when all operators are subscribed.
                scheduler = CurrentThreadScheduler.singleton()
            elif isinstance(scheduler, AsyncIOScheduler):  # as `await rx.concat(...)` passes it on
                _warn_in_event_loop()
            scheduled = scheduler.schedule(subscription.begin)
            return CompositeDisposable(scheduled, Disposable(subscription.dispose))

        return Observable(begin).subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def _run_or_resume(self, listener: Listener) -> None:
        """Run, or resume the run of the last subscription if it has failed."""
        failed_run, state = self._failed or (None, None)
        if state is not None and failed_run is self._runner._latest and state is self._runner.state:
            # the callbacks did not finish the last batch, unless drawing the next one failed
            self._resume(not drawing_failed(state), listener)
        else:
            self._run(listener)

    def _remember_failure(self, failed_run: object) -> None:
        state = self._runner.state
        # a run that failed before its first epoch begins again: there is nothing to resume
        self._failed = (failed_run, state) if state.get("epoch") else None


class _Subscription:
    """One subscription: one run, from the beginning or from where the last one failed.

    Args:
        source: Observable that was subscribed to.
        observer: Observer of the run.
        downstream: First argument of ``subscribe``. The scheduler of ``subscribe_on`` delays a
            disposal until the end of the run that it should end, but an observer knows at once
            that it is stopped.
    """

    def __init__(
        self, source: ObservedRun, observer: abc.ObserverBase[Emission], downstream: object
    ) -> None:
        self._source = source
        self._observer = observer
        self._downstream = downstream
        self._is_running = self._is_disposed = False
        self._thread: Thread | None = None
        self._token: object = None  # the runner's token of the run that this subscription began
        self._ended = threading.Event()
        self._next: list[_Subscription] = []

    def begin(self, *_: object) -> None:
        """Run; first wait for a subscription that was disposed of but has not ended yet.

        ``retry`` meets one when an operator above it fails: it subscribes again in the middle of
        the run whose emission made that operator fail.
        """
        previous = self._source._current
        if previous is not None and previous._is_disposed:
            if previous._thread is current_thread():
                previous._next.append(self)
                return
            previous._ended.wait()
        queue = [self]
        while queue:
            subscription = queue.pop(0)
            subscription._begin()
            queue += subscription._next

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
                self._source._run_or_resume(self._listening)
            except Exception as error:
                if self._token is not None:
                    self._source._remember_failure(self._token)
                if self._is_unwanted():  # the observer would not get the error
                    raise
                failure = error
            finally:  # from here on the runner accepts another run
                if self._source._current is self:
                    self._source._current = None
                self._ended.set()
            _finish(self._observer, failure)
        finally:
            del failure  # its traceback holds this frame

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Listen to the runner during the run of this subscription."""
        source = self._source
        self._token = source._runner._latest
        with CompositeDisposable(_listen(source._runner, self._emit)):
            self._is_running, self._thread, source._current = True, current_thread(), self
            try:
                yield
            finally:
                self._is_running = False

    def _emit(self, event: Event, state: State) -> None:
        if not self._is_running or self._token is not self._source._runner._latest:
            return  # an interrupt has left this handler behind
        if self._is_unwanted():
            state["running"] = False
        else:
            self._observer.on_next(Emission(event, state))

    def _is_unwanted(self) -> bool:
        return self._is_disposed or bool(getattr(self._downstream, "is_stopped", False))


def all_runs(runner: RunnerLike) -> Observable[Observable[Emission]]:
    """Return a hot Observable that emits an Observable for each later run."""

    def subscribe(
        observer: abc.ObserverBase[Observable[Emission]], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        current: Subject[Emission] | None = None
        disposed = False

        def emit(event: Event, state: State) -> None:
            nonlocal current
            if event in BEGINNINGS:
                if current is not None:  # an interrupt has kept its end from being emitted
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

        def dispose() -> None:  # after take(1), say, the run that it took goes on to be observed
            nonlocal disposed
            disposed = True
            if current is None:
                listening.dispose()

        # FINISHED after all callbacks, since one of them may fail
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
        stacklevel=2,  # the event loop calls this, so there is no line of the user to point to
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
