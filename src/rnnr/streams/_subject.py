"""The Subject of an event: handlers in a defined order, behind a gate."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias
from weakref import ref

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from rnnr._pipeline import as_handler
from rnnr._unsubscribed import Unsubscribed
from rnnr.event import RULES, Event
from rnnr.state import State
from rnnr.streams._delivery import Callback, skip, walk, walk_all
from rnnr.streams._fused import FusingObservable
from rnnr.streams._layer import Layer, check_layer, place_of

__all__ = ["EventSubject", "Streams", "Wrapper", "new_subject"]

Wrapper: TypeAlias = Callable[[Callback], Callback]
"""Takes a handler; returns what is called in its place."""


class _Removal(abc.DisposableBase):
    """Removes a handler from its Subject. It holds neither: the Subject has both.

    Attributes:
        is_disposed: Whether the handler was removed.
    """

    def __init__(self, subject: "ref[EventSubject]") -> None:
        self.is_disposed = False
        self._subject = subject

    def dispose(self) -> None:
        """Remove the handler, also in the middle of a delivery."""
        self.is_disposed = True
        subject = self._subject()
        if subject is not None:
            subject._remove(self)


class _Entry(NamedTuple):
    """One handler of a Subject."""

    layer: Layer
    handler: Callback
    observer: abc.ObserverBase[State] | None


class EventSubject(FusingObservable[State], Subject[State]):
    """A ReactiveX Subject whose handlers run in layers and behind the gate.

    It delivers like any Subject, to the observers that were subscribed when the delivery began and
    have not left since, with two rules more: the order is that of the layers, and a
    handler is skipped once ``state["running"]`` is false.

    ReactiveX's own Subject takes two lock round trips and copies its list for each item.
    This one keeps a function that calls its handlers in order, until somebody comes or goes: a
    loop that has looked at the gate may call ``(subject.deliver or subject.rebuild())(state)``.
    Handlers may come and go from any thread; items must come from one thread at a time.

    Args:
        inside_out: Run the innermost layer first, as closing events do.
        gated: Skip the rest of the handlers once ``state["running"]`` is false. Without it every
            handler is called, whatever the others raise, as at the end of a run.
    """

    def __init__(self, *, inside_out: bool = False, gated: bool = True) -> None:
        super().__init__()
        self.deliver: Callback | None = None
        self.handlers: list[Callback] = []
        self._wrappers: dict[object, Wrapper] = {}
        self._inside_out = inside_out
        self._gated = gated
        self._entries: dict[_Removal, _Entry] = {}  # in the order of subscription
        self._places: dict[_Removal, int] = {}
        self._n_changes = 0  # of the entries and the wrappers
        self._itself = ref(self)  # for Disposables: with a strong one observers would be in a cycle

    def add(self, handler: Callback, *, layer: Layer = Layer.USER) -> abc.DisposableBase:
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
        handler = as_handler("handler", handler)
        check_layer(layer)
        return self.add_checked(handler, layer)

    def add_checked(self, handler: Callback, layer: Layer) -> abc.DisposableBase:
        """Do what `add` does, for a handler that was checked before, or that is rnnr's own."""
        return self._add(handler, None, layer)

    @property
    def callbacks(self) -> list[Callback]:
        """The handlers, as they were added."""
        return [entry.handler for entry in [*self._entries.values()]]

    @property
    def in_order(self) -> list[Callback]:
        """The handlers in the order of delivery."""
        return [entry.handler for _, entry in self._ordered()]

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
        itself = self._itself

        def unwrap() -> None:
            subject = itself()
            if subject is not None:
                subject._unwrap(key)

        return Disposable(unwrap)

    def rebuild(self) -> Callback:
        """Put ``handlers`` into delivery order, and return the function that calls them.

        A signal handler may add and remove some in the middle of it: then it begins again.
        """
        with self.lock:
            self.check_disposed()
            n_changes = None
            while n_changes != self._n_changes:
                n_changes = self._n_changes
                entries = self._ordered()
                places = {removal: place for place, (removal, _) in enumerate(entries)}
                handlers = [entry.handler for _, entry in entries]
                for wrapper in [*self._wrappers.values()]:
                    handlers = [wrapper(handler) for handler in handlers]
                deliver = walk(handlers) if self._gated else walk_all(handlers)
                # all at once: a signal comes after calls
                self.handlers, self._places, self.deliver = handlers, places, deliver
            return deliver

    def on_next(self, value: State) -> None:
        """Deliver the state to the handlers, in order, while it is running."""
        deliver = self.deliver or self.rebuild()
        if not self._gated or value["running"]:
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
    ) -> abc.DisposableBase:
        removal = _Removal(self._itself)
        with self.lock:
            self.check_disposed()
            if not self.is_stopped:
                self._entries[removal] = _Entry(layer, handler, observer)
                self._change()
        return removal

    def _remove(self, removal: _Removal) -> None:
        with self.lock:
            self._entries.pop(removal, None)
            place = self._places.pop(removal, None)
            if place is not None:  # a delivery may be walking this very list
                self.handlers[place] = skip
            self._change()

    def _unwrap(self, key: object) -> None:
        with self.lock:
            self._wrappers.pop(key, None)
            self._change()

    def _clear(self) -> list[abc.ObserverBase[State]]:
        observers = [entry.observer for entry in self._entries.values() if entry.observer]
        self._entries, self._places, self.handlers = {}, {}, []
        self._change()
        return observers

    def _ordered(self) -> list[tuple[_Removal, _Entry]]:
        entries = list(self._entries.items())  # which a signal handler does not change
        entries.sort(key=self._place_of)
        return entries

    def _place_of(self, item: tuple[_Removal, _Entry]) -> int:
        return place_of(item[1].layer, inside_out=self._inside_out)

    def _change(self) -> None:
        self._n_changes += 1
        self.deliver = None


class Streams(dict[Event, EventSubject]):
    """The Subjects of a runner, each made when somebody asks for it.

    Attributes:
        unsubscribed: The pipelines over them to which nobody has subscribed.
    """

    def __init__(self) -> None:
        self.unsubscribed = Unsubscribed()

    def __missing__(self, event: Event) -> EventSubject:
        subject = new_subject(event)
        subject.unsubscribed = self.unsubscribed
        return self.setdefault(event, subject)  # another thread may have been quicker


def new_subject(event: Event) -> EventSubject:
    """Return a new Subject with the rules of an event."""
    rules = RULES[event]
    return EventSubject(inside_out=rules.closes, gated=rules.gated)
