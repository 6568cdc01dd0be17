"""The Subject of an event: handlers in a defined order, behind a gate."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias
from weakref import ref

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rnnr._errors import check_callback, note_failure, wrong_type
from rnnr.event import CLOSING, Event
from rnnr.scheduling import InPlaceObservable
from rnnr.state import State
from rnnr.streams._layer import Layer
from rnnr.streams._walk import Callback, _skip, _walk

__all__ = ["EventSubject", "Wrapper", "new_subject"]

Wrapper: TypeAlias = Callable[[Callback], Callback]
"""Makes of a handler what is called in its place."""


class _Entry:
    """One subscription. No dataclass, for making one takes as long as the rest of the import."""

    __slots__ = ("handler", "layer", "observer")

    def __init__(
        self, layer: Layer, handler: Callback, observer: abc.ObserverBase[State] | None
    ) -> None:
        self.layer = layer
        self.handler = handler
        self.observer = observer


class EventSubject(InPlaceObservable[State], Subject[State]):
    """A ReactiveX Subject whose handlers run in layers and behind the gate.

    It delivers like any Subject, to those who were subscribed when the delivery began and
    have not left since, with two rules more: the order is that of the layers, and a
    handler is skipped once ``state["running"]`` is false.

    ReactiveX's own Subject takes two lock round trips and copies its list for each item.
    This one keeps a function that calls its handlers in order, until somebody comes or goes: a
    loop that has looked at the gate may call ``(subject.deliver or subject.rebuild())(state)``.
    Handlers may come and go from any thread; items must come from one thread at a time.

    Args:
        inside_out: Run the innermost layer first, as closing events do.
    """

    def __init__(self, *, inside_out: bool = False) -> None:
        super().__init__()
        self.deliver: Callback | None = None
        self.handlers: list[Callback] = []
        self._wrappers: dict[object, Wrapper] = {}
        self._inside_out = inside_out
        self._entries: dict[object, _Entry] = {}  # in the order of subscription
        self._places: dict[object, int] = {}
        self._n_changes = 0  # of the entries and the wrappers
        self._itself = ref(self)  # for Disposables: with a strong one observers would be in a cycle

    def add(self, handler: Callback, *, layer: Layer = Layer.USER) -> Disposable:
        """Call a handler with the state at every delivery.

        This is what `rnnr.Runner.on` does. ``subscribe`` does it too, for observers.

        Args:
            handler: Callable that accepts the state.
            layer: Layer to run it in.

        Returns:
            A Disposable that removes the handler, also in the middle of a delivery.

        Raises:
            TypeError: If the handler cannot be called or ``layer`` is not a `rnnr.Layer`.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.stream(Event.FINISHED).add(lambda state: print("done"))
            >>> runner.run([])
            done
            >>> subscription.dispose()
            >>> runner.run([])
        """
        check_callback("handler", handler)
        if not isinstance(layer, Layer):
            raise wrong_type("layer", "a Layer", layer, "write for example Layer.REDUCE")
        return self._add(handler, None, layer)

    def wrap(self, wrapper: Wrapper) -> Disposable:
        """Call what a function makes of each handler in the place of the handler, until disposed.

        It is how handlers are timed while somebody asks for it, at no cost while nobody does.

        Args:
            wrapper: Called with a handler; returns what is called with the state instead.

        Returns:
            A Disposable after which the handlers are called as they are.
        """
        key = object()
        with self.lock:
            self._wrappers[key] = wrapper
            self._change()
        return Disposable(partial(_leave, self._itself, key))

    def rebuild(self) -> Callback:
        """Put ``handlers`` into delivery order, and return the function that calls them.

        A signal handler may add and remove some in the middle of it: then it begins again.
        """
        with self.lock:
            self.check_disposed()
            n_changes = None
            while n_changes != self._n_changes:
                n_changes = self._n_changes
                entries = dict(self._entries)  # which a signal handler does not change
                keys = sorted(  # stable, also in reverse
                    entries, key=lambda key: entries[key].layer, reverse=self._inside_out
                )
                places = {key: place for place, key in enumerate(keys)}
                handlers = [entries[key].handler for key in keys]
                for wrapper in [*self._wrappers.values()]:
                    handlers = [wrapper(handler) for handler in handlers]
                deliver = _walk(handlers)
                # all at once: a signal comes after calls
                self.handlers, self._places, self.deliver = handlers, places, deliver
            return deliver

    def on_next(self, value: State) -> None:
        """Deliver the state to the handlers, in order, while it is running."""
        deliver = self.deliver or self.rebuild()
        if value["running"]:
            deliver(value)

    def dispose(self) -> None:
        """Remove every handler, for good."""
        with self.lock:
            self._clear()
            super().dispose()

    def _subscribe_core(
        self, observer: abc.ObserverBase[State], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        with self.lock:
            if self.is_stopped:
                return super()._subscribe_core(observer, scheduler)
            return self._add(observer.on_next, observer, Layer.USER)

    def _on_error_core(self, error: Exception) -> None:
        with self.lock:
            self.exception = error
            observers = self._clear()
        for observer in observers:
            observer.on_error(error)

    def _on_completed_core(self) -> None:
        with self.lock:
            observers = self._clear()
        for observer in observers:
            observer.on_completed()

    def _add(
        self, handler: Callback, observer: abc.ObserverBase[State] | None, layer: Layer
    ) -> Disposable:
        key = object()
        with self.lock:
            self.check_disposed()
            if not self.is_stopped:
                self._entries[key] = _Entry(layer, handler, observer)
                self._change()
        return Disposable(partial(_leave, self._itself, key))

    def _remove(self, key: object) -> None:
        """Remove an entry, or a wrapper."""
        with self.lock:
            self._wrappers.pop(key, None)
            self._entries.pop(key, None)
            place = self._places.pop(key, None)
            if place is not None:  # a delivery may be walking this very list
                self.handlers[place] = _skip
            self._change()

    def _clear(self) -> list[abc.ObserverBase[State]]:
        observers = [entry.observer for entry in self._entries.values() if entry.observer]
        self._entries, self._places, self.handlers = {}, {}, []
        self._change()
        return observers

    def _change(self) -> None:
        self._n_changes += 1
        self.deliver = None


class _EndSubject(EventSubject):
    """The Subject of an event that reaches every handler, whatever the others do."""

    def on_next(self, value: State) -> None:
        """Deliver the state to every handler, then raise the first of their errors."""
        failures: list[BaseException] = []
        self.rebuild()
        for handler in self.handlers:
            try:
                handler(value)
            except BaseException as error:  # noqa: BLE001  (what closes must all be closed)
                failures.append(error)
        try:
            if failures:
                while len(failures) > 1:
                    note_failure(failures[0], failures.pop(1), "another handler of the event")
                raise failures[0]
        finally:
            del failures  # a traceback that holds its own exception keeps the state alive


def new_subject(event: Event) -> EventSubject:
    """Return a new Subject with the rules of an event."""
    if event in (Event.STOPPED, Event.FAILED):
        return _EndSubject(inside_out=True)
    return EventSubject(inside_out=event in CLOSING)


def _leave(subject: "ref[EventSubject]", key: object) -> None:
    """Remove what was added to a Subject, if there still is one."""
    left = subject()
    if left is not None:
        left._remove(key)
