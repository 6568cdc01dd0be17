"""A run as an Observable: cold, where subscribing runs it, and hot, for those who outlive runs."""

import threading
from collections.abc import Callable
from functools import partial
from threading import Thread, current_thread
from typing import NamedTuple, Protocol

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.scheduler import CurrentThreadScheduler
from reactivex.subject import Subject

from rnnr.event import Event
from rnnr.scheduling import InPlaceObservable, InPlaceScheduler
from rnnr.state import State, epoch_memory, failed_drawing
from rnnr.stream import EventSubject

__all__ = ["Emission", "Observed", "OneRun", "all_runs"]


class Emission(NamedTuple):
    """What happened, and the state of the run; `rnnr.Runner.observe` emits it.

    Attributes:
        event (Event): What happened.
        state (dict): The state of the run: one dict, which goes on changing.
    """

    event: Event
    state: State


class Observed(Protocol):
    """What observing needs of a runner."""

    state: State

    def stream(self, event: Event) -> EventSubject:
        """Return the Subject of an event."""

    def stop(self) -> None:
        """Stop the run."""


class OneRun(InPlaceObservable[Emission]):
    """An Observable that runs when it is subscribed, and resumes what has failed.

    Args:
        runner: Whose run it is.
        run: Runs from the beginning.
        resume: Goes on with a failed run; takes whether to repeat its last batch.
    """

    def __init__(
        self, runner: Observed, run: Callable[[], None], resume: Callable[[bool], None]
    ) -> None:
        super().__init__()
        self.runner = runner
        self.current: _Attempt | None = None
        self._run = run
        self._resume = resume
        self._failed_in: tuple[State, int] | None = None  # an epoch's memory, and n_iters

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
            attempt = _Attempt(self, observer, on_next)
            if scheduler is None or isinstance(scheduler, InPlaceScheduler):
                # In place it would run before anybody holds what disposes of it, and take(2)
                # below could not end it. Here it comes when all are subscribed.
                scheduler = CurrentThreadScheduler.singleton()
            begun = scheduler.schedule(attempt.begin)
            return CompositeDisposable(begun, Disposable(attempt.dispose))

        return Observable(begin).subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def go(self) -> None:
        """Run, or resume what the last attempt has left where it failed."""
        state = self.runner.state
        resumes = self._failed_in is not None and _is_at(state, *self._failed_in)
        with self.runner.stream(Event.FAILED).add(self._remember):
            if resumes:
                self._resume(not failed_drawing(state))  # callbacks did not finish the last batch
            else:
                self._run()
        self._failed_in = None

    def _remember(self, state: State) -> None:
        self._failed_in = epoch_memory(state), state["n_iters"]


class _Attempt:
    """What one subscription does: one run, from its beginning or from where the last one failed.

    Args:
        source: What was subscribed.
        observer: Who is to be told.
        target: What was passed to ``subscribe``. The scheduler of ``subscribe_on`` puts a disposal
            off until the end of what it is to end, but the observer itself knows of it.
    """

    def __init__(
        self, source: OneRun, observer: abc.ObserverBase[Emission], target: object
    ) -> None:
        self._source = source
        self._observer = observer
        self._target = target
        self._is_running = self._is_disposed = False
        self._thread: Thread | None = None
        self._ended = threading.Event()
        self._next: list[Callable[[], None]] = []

    def begin(self, *_: object) -> None:
        """Run; after the end of an attempt that was disposed of and is not through yet.

        For ``retry`` that is so where an operator above it has failed: it is called in the
        middle of the run whose emission that was.
        """
        before = self._source.current
        if before is not None and before._is_disposed:
            if before._thread is current_thread():
                before._next.append(self.begin)
                return
            before._ended.wait()
        self._begin()
        for begin in self._next:
            begin()

    def _begin(self) -> None:
        failure: Exception | None = None
        with CompositeDisposable(*_listen(self._source.runner, self._emit), Disposable(self._end)):
            self._is_running, self._thread = True, current_thread()
            self._source.current = self._source.current or self
            try:
                self._source.go()
            except Exception as error:  # noqa: BLE001  (it is the observer's)
                failure = error
        _finish(self._observer, failure)

    def _emit(self, event: Event, state: State) -> None:
        if self._is_disposed or getattr(self._target, "is_stopped", False):
            state["running"] = False
        else:
            self._observer.on_next(Emission(event, state))

    def _end(self) -> None:
        self._is_running = False
        if self._source.current is self:
            self._source.current = None
        self._ended.set()

    def dispose(self) -> None:
        """Stop the run, if it is still going on."""
        self._is_disposed = True
        if self._is_running:
            self._source.runner.stop()


def _is_at(state: State, memory: State, n_iters: int) -> bool:
    return epoch_memory(state) is memory and bool(state["n_iters"] == n_iters)


def all_runs(runner: Observed) -> Observable[Observable[Emission]]:
    """Return a hot Observable of an Observable for each run to come."""

    def subscribe(
        observer: abc.ObserverBase[Observable[Emission]], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        current: Subject[Emission] | None = None
        disposed = False

        def emit(event: Event, state: State) -> None:
            nonlocal current
            if event in (Event.STARTED, Event.RESUMED):
                if current is not None:  # of whose end nobody was told
                    current.on_completed()
                current = Subject()
                observer.on_next(current)
            if current is None:  # subscribed in the middle of a run
                return
            run = current
            run.on_next(Emission(event, state))
            if event in _ENDS:
                current = None
                if disposed:
                    listening.dispose()
                _finish(run, state.get("error") if event is Event.FAILED else None)

        def dispose() -> None:  # take(1), say, leaves those who watch the run that it took
            nonlocal disposed
            disposed = True
            if current is None:
                listening.dispose()

        listening = CompositeDisposable(*_listen(runner, emit))
        return Disposable(dispose)

    return InPlaceObservable(subscribe)


_ENDS = (Event.FINISHED, Event.STOPPED, Event.FAILED)


def _finish(observer: abc.ObserverBase[Emission], error: Exception | None) -> None:
    if error is None:
        observer.on_completed()
    else:
        observer.on_error(error)


def _listen(runner: Observed, emit: Callable[[Event, State], None]) -> list[abc.DisposableBase]:
    return [runner.stream(event).add(partial(emit, event)) for event in Event]
