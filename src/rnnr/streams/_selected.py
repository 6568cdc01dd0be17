"""The stream of a selection of events."""

from collections.abc import Mapping
from functools import wraps

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr._pipeline import as_handler
from rnnr.event import Event
from rnnr.selection import Multiples, Predicate, Selection, always
from rnnr.state import State
from rnnr.streams._delivery import Callback
from rnnr.streams._fused import FusingObservable
from rnnr.streams._layer import Layer, check_layer
from rnnr.streams._subject import EventSubject

__all__ = ["SelectedStream", "only_if"]


class SelectedStream(FusingObservable[State]):
    """An Observable of the states that a selection selects, in the order of their delivery.

    Args:
        selection: What to select.
        subjects: Subject of each event that the selection has.
    """

    def __init__(self, selection: Selection, subjects: Mapping[Event, EventSubject]) -> None:
        super().__init__()
        self._selection = selection
        self._subjects = subjects
        for subject in subjects.values():  # all of one runner
            self.unsubscribed = subject.unsubscribed

    def add(self, handler: Callback, *, layer: Layer = Layer.USER) -> abc.DisposableBase:
        """Call a handler with each selected state, as `EventSubject.add` does."""
        handler = as_handler("handler", handler)
        check_layer(layer)
        return self.add_checked(handler, layer)

    def add_checked(self, handler: Callback, layer: Layer) -> abc.DisposableBase:
        """Do what `add` does, for a handler that was checked before, or that is rnnr's own."""
        return CompositeDisposable(
            *(
                self._subjects[event].add_checked(only_if(test, handler), layer)
                for event, test in self._selection.predicates().items()
            )
        )

    @property
    def callbacks(self) -> list[Callback]:
        """The handlers of its events, as they were added."""
        return [one for subject in self._subjects.values() for one in subject.callbacks]

    def _subscribe_core(
        self,
        observer: abc.ObserverBase[State],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002  (everything is in place)
    ) -> abc.DisposableBase:
        return self.add(observer.on_next)


def only_if(test: Predicate, handler: Callback) -> Callback:
    """Return a handler that is called with the states that pass a test."""
    if test is always:
        return handler

    # Each batch comes to the most frequent one, so it asks by itself: that saves a call.
    if isinstance(test, Multiples):
        call = _if_multiple(test.key, test.n, handler)
    else:
        call = _if(test, handler)
    return wraps(handler, updated=())(call)


def _if(test: Predicate, handler: Callback) -> Callback:
    def if_selected(state: State) -> None:
        if test(state):
            handler(state)

    return if_selected


def _if_multiple(key: str, n: int, handler: Callback) -> Callback:
    def if_selected(state: State) -> None:
        if not state[key] % n:
            handler(state)

    return if_selected
