"""A run as an Observable: cold, where subscribing runs it, and hot, for those who outlive runs."""

from collections.abc import Callable
from functools import partial
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


class OneRun(Observable[Emission]):
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
        self._runner = runner
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
        # In the scheduler of subscribe_on the disposal waits for the end of what it is to end, so
        # the loop looks at the observer itself, which knows.
        subscription = Observable(partial(self._begin, on_next))
        return subscription.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

    def _begin(
        self,
        target: object,
        observer: abc.ObserverBase[Emission],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        if scheduler is None or isinstance(scheduler, InPlaceScheduler):
            # In place it would run before anybody holds what disposes of it, and take(2) below
            # could not end it. Here it comes when all are subscribed.
            scheduler = CurrentThreadScheduler.singleton()
        running = disposed = False

        def emit(event: Event, state: State) -> None:
            if disposed or getattr(target, "is_stopped", False):
                state["running"] = False
            else:
                observer.on_next(Emission(event, state))

        def go(_: abc.SchedulerBase, __: object = None) -> None:
            nonlocal running
            failure: Exception | None = None
            with CompositeDisposable(*_listen(self._runner, emit)):
                running = True
                try:
                    self._go()
                except Exception as error:  # noqa: BLE001  (it is the observer's)
                    failure = error
                finally:
                    running = False
            _end(observer, failure)

        def dispose() -> None:
            nonlocal disposed
            disposed = True
            if running:
                self._runner.stop()

        return CompositeDisposable(scheduler.schedule(go), Disposable(dispose))

    def _go(self) -> None:
        """Run, or resume what the last subscription has left where it failed."""
        resumes = self._failed_in is not None and _is_at(self._runner.state, *self._failed_in)
        failing = self._runner.stream(Event.FAILED).add(self._remember)
        with failing:
            if resumes:
                # a batch that its callbacks did not finish is to be repeated
                self._resume(not failed_drawing(self._runner.state))
            else:
                self._run()
        self._failed_in = None

    def _remember(self, state: State) -> None:
        self._failed_in = epoch_memory(state), state["n_iters"]


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
                _end(run, state.get("error") if event is Event.FAILED else None)

        def dispose() -> None:  # take(1), say, leaves those who watch the run that it took
            nonlocal disposed
            disposed = True
            if current is None:
                listening.dispose()

        listening = CompositeDisposable(*_listen(runner, emit))
        return Disposable(dispose)

    return InPlaceObservable(subscribe)


_ENDS = (Event.FINISHED, Event.STOPPED, Event.FAILED)


def _end(observer: abc.ObserverBase[Emission], error: Exception | None) -> None:
    if error is None:
        observer.on_completed()
    else:
        observer.on_error(error)


def _listen(runner: Observed, emit: Callable[[Event, State], None]) -> list[abc.DisposableBase]:
    return [runner.stream(event).add(partial(emit, event)) for event in Event]
