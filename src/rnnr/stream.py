"""The Subject of an event: handlers in a defined order, behind a gate."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial, wraps
from typing import Final, TypeAlias
from weakref import ref

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable
from reactivex.subject import Subject

from rnnr.errors import judge_callback, note_failure, wrong_type
from rnnr.event import Event
from rnnr.scheduling import InPlaceObservable
from rnnr.selection import Predicate, Selection, always
from rnnr.state import State

__all__ = [
    "CLOSING",
    "Callback",
    "EventSubject",
    "Layer",
    "SelectedStream",
    "Wrapper",
    "last_layer",
    "selected",
    "subject_of",
]

Callback: TypeAlias = Callable[[State], object]

Wrapper: TypeAlias = Callable[[Callback], Callback]
"""Makes of a handler what is called in its place."""


class Layer(IntEnum):
    """Where in an event a handler runs, from the outermost layer to the innermost.

    Opening events and ``BATCH`` run the layers outside-in, closing events inside-out. Within
    a layer the order is that of subscription. `rnnr.Runner.on` and ``subscribe`` use ``USER``.

    Attributes:
        CLOCK: What measures: its time contains everything else.
        USER: The callbacks of the user.
        REDUCE: What computes from what the callbacks wrote.
        DISPLAY: What shows what was computed from a batch. At the end of an epoch it comes
            first, to close; the reducers have the epoch's results after it.

    Example:
        >>> from rnnr import Event, Layer, Runner
        >>> runner = Runner()
        >>> batches = runner.stream(Event.BATCH)
        >>> shown = batches.add(lambda state: print("shown"), layer=Layer.DISPLAY)
        >>> trained = runner.on(Event.BATCH, lambda state: print("trained"))
        >>> runner.run([1])
        trained
        shown
    """

    CLOCK = 0
    USER = 1
    REDUCE = 2
    DISPLAY = 3


CLOSING: Final = frozenset({Event.EPOCH_FINISHED, Event.FINISHED, Event.STOPPED, Event.FAILED})
"""Events that run the layers inside-out."""


def last_layer(event: Event) -> Layer:
    """Return the layer whose turn is last: closing events go outwards, the others inwards."""
    return Layer.CLOCK if event in CLOSING else Layer.DISPLAY


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
    loop that has looked at the gate may call ``(subject.deliver or subject.arrange())(state)``.
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
            TypeError: If the handler cannot be called or ``layer`` is no `Layer`.

        Example:
            >>> from rnnr import Event, Runner
            >>> runner = Runner()
            >>> subscription = runner.stream(Event.FINISHED).add(lambda state: print("done"))
            >>> runner.run([])
            done
            >>> subscription.dispose()
            >>> runner.run([])
        """
        judge_callback("handler", handler)
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

    def arrange(self) -> Callback:
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
        deliver = self.deliver or self.arrange()
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
        self.arrange()
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


class SelectedStream(InPlaceObservable[State]):
    """An Observable of the states that a selection selects, in the order of their delivery.

    Args:
        selection: What to select.
        subjects: Subject of each event that the selection has.
    """

    def __init__(self, selection: Selection, subjects: Mapping[Event, EventSubject]) -> None:
        super().__init__()
        self._selection = selection
        self._subjects = subjects

    def add(self, handler: Callback, *, layer: Layer = Layer.USER) -> abc.DisposableBase:
        """Call a handler with each selected state, as `EventSubject.add` does."""
        judge_callback("handler", handler)
        return CompositeDisposable(
            *(
                self._subjects[event].add(selected(test, handler), layer=layer)
                for event, test in self._selection.predicates().items()
            )
        )

    def _subscribe_core(
        self,
        observer: abc.ObserverBase[State],
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002  (everything is in place)
    ) -> abc.DisposableBase:
        return self.add(observer.on_next)


def selected(test: Predicate, handler: Callback) -> Callback:
    """Return a handler that is called with the states that pass a test."""
    if test is always:
        return handler

    @wraps(handler, updated=())
    def if_selected(state: State) -> None:
        if test(state):
            handler(state)

    return if_selected


def _walk(handlers: list[Callback]) -> Callback:
    """Make the function that calls the handlers of a list in order, while the state is running.

    The caller has looked at the gate for the first. The list is read at each call, so that one
    who leaves meanwhile can be replaced in it. Up to three are written out: the loop around so
    few takes as long as calling them.
    """
    walks = [_walk_none, _walk_one, _walk_two, _walk_three]
    return (walks[len(handlers)] if len(handlers) < len(walks) else _walk_many)(handlers)


def _walk_none(_: list[Callback]) -> Callback:
    return _skip


def _walk_one(handlers: list[Callback]) -> Callback:
    return handlers[0]


def _walk_two(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        handlers[0](state)
        if state["running"]:
            handlers[1](state)

    return walk


def _walk_three(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        handlers[0](state)
        if not state["running"]:
            return
        handlers[1](state)
        if not state["running"]:
            return
        handlers[2](state)

    return walk


def _walk_many(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        for handler in handlers:
            handler(state)
            if not state["running"]:
                return

    return walk


def subject_of(event: Event) -> EventSubject:
    """Return a new Subject with the rules of an event."""
    if event in (Event.STOPPED, Event.FAILED):
        return _EndSubject(inside_out=True)
    return EventSubject(inside_out=event in CLOSING)


def _leave(subject: "ref[EventSubject]", key: object) -> None:
    """Remove what was added to a Subject, if there still is one."""
    left = subject()
    if left is not None:
        left._remove(key)


def _skip(_: State) -> None:
    """Take the place of a handler that left while its delivery was under way."""
