"""Operators joined into a callback."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import wrong_type
from rnnr.scheduling import InPlaceScheduler
from rnnr.state import State
from rnnr.streams._walk import Callback

__all__ = ["Operator", "Pipeline", "pipeline"]

Operator: TypeAlias = Callable[[Observable[Any]], Observable[Any]]


class Pipeline:
    """A callback made of operators; `pipeline` makes one.

    Attributes:
        __qualname__: What it is called in a table of handlers, as functions have it.
        reserved: Reserves, in place of its operators, what it writes in the state of a runner.
    """

    def __init__(self, operators: tuple[Operator, ...]) -> None:
        self.__qualname__ = "pipeline"
        self.reserved: Callable[[Any], abc.DisposableBase] | None = None
        self._operators = operators
        self._idle: list[Callback] = []
        self._subscriptions: dict[Callback, abc.DisposableBase] = {}
        self._completed: list[bool] = []

    @overload
    def __call__(self, source: State) -> None: ...
    @overload
    def __call__(self, source: Observable[Any]) -> Observable[Any]: ...

    def __call__(self, source: State | Observable[Any]) -> Observable[Any] | None:
        """Send a state through the operators, or apply them to a stream."""
        if isinstance(source, Observable):
            return source.pipe(*self._operators)
        if self._completed:
            return None
        try:
            feed = self._idle.pop()
        except IndexError:  # the first call, one inside another, or another thread
            feed = self._subscribed()
        try:
            feed(source)
        except Exception:
            self._subscriptions.pop(feed).dispose()  # an operator has ended it: it is used no more
            raise
        except BaseException:
            self._idle.append(feed)
            raise
        self._idle.append(feed)
        return None

    def reserve_on(self, runner: Any) -> abc.DisposableBase:
        """Reserve what it writes in the state of a runner, to which it is attached."""
        if self.reserved is not None:
            return self.reserved(runner)
        reserved = CompositeDisposable()
        try:
            for operator in self._operators:
                if hasattr(operator, "reserve_on"):
                    reserved.add(operator.reserve_on(runner))
        except ValueError:
            reserved.dispose()
            raise
        return reserved

    def _subscribed(self) -> Callback:
        """Subscribe to the operators once more, and return what feeds them."""
        observers: list[abc.ObserverBase[State]] = []
        completed = self._completed  # and not the pipeline, which would be in a cycle

        def subscribe(observer: abc.ObserverBase[State], _: object = None) -> Disposable:
            observers.append(observer)
            return Disposable(lambda: observers.remove(observer))

        def feed(state: State) -> None:
            for observer in [*observers]:
                observer.on_next(state)

        def complete() -> None:  # take(3), say, has had its three: for good
            completed.append(True)

        self._subscriptions[feed] = (
            Observable(subscribe)
            .pipe(*self._operators)
            .subscribe(on_completed=complete, scheduler=InPlaceScheduler())
        )
        return feed

    def __copy__(self) -> "Pipeline":
        """Return one with subscriptions of its own."""
        copied = Pipeline(self._operators)
        copied.__qualname__, copied.reserved = self.__qualname__, self.reserved
        return copied

    def __del__(self) -> None:
        """Take the subscriptions apart: their observers hold each other, and what operators do."""
        for subscription in self._subscriptions.values():
            with suppress(Exception):
                subscription.dispose()


def pipeline(*operators: Operator) -> Pipeline:
    """Make a callback of operators.

    The result is called with a state, as every callback is, so it can be passed to
    `rnnr.Runner.on`; and it is an operator itself, for use inside ``stream.pipe(...)``. Each
    state goes through the operators at once, on the caller's thread. An error leaves the call
    as it is and ends nothing: the pipeline takes the next state.

    Args:
        operators: Operators of this package or of ``reactivex.operators``, in order. What
            `fold` remembers is in the state; what others do is lost after an error.

    Raises:
        TypeError: If an operator cannot be called.

    Example:
        ::

            source:   --1--2--3--4--|
                      [ filter(even), do_action(print) ]
            result:   -----2-----4--|

        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators._pipeline import pipeline
        >>> report = pipeline(
        ...     ops.filter(lambda state: state["batch"] % 2 == 0),
        ...     ops.do_action(lambda state: print("even:", state["batch"])),
        ... )
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, report)
        >>> runner.run([1, 2, 3, 4])
        even: 2
        even: 4
    """
    for i, operator in enumerate(operators):
        if not callable(operator):
            raise wrong_type(
                f"operators[{i}]", "an operator", operator, "pass for example when('better')"
            )
    return Pipeline(operators)
