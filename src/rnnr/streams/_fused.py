"""Streams of states that fuse the operators applied to them."""

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.internal.basic import default_error, noop

from rnnr._pipeline import Pipeline, Step, parts_of
from rnnr.scheduling import InPlaceObservable
from rnnr.state import MISSING

__all__ = ["FusingObservable"]

_T = TypeVar("_T")


class FusingObservable(InPlaceObservable[_T]):
    """An Observable whose first operators are fused, if they know their steps.

    They do what each would do by itself: one handler of the source calls them all.
    """

    if not TYPE_CHECKING:  # pragma: no branch  (the overloads of the original give the types)

        def pipe(self, *operators: Callable[[Any], Any]) -> Any:
            """Apply operators, as every Observable does."""
            parts = [part for operator in operators for part in parts_of(operator)]
            first = [*takewhile(lambda part: isinstance(part, Pipeline), parts)]
            if not first:
                return super().pipe(*operators)
            self._note_use()
            fused, rest = self._fuse(first), parts[len(first) :]
            if not rest:
                return self._noted(fused)
            fused.unsubscribed = self.unsubscribed
            return fused.pipe(*rest)

    def _fuse(self, pipelines: list[Pipeline[Any, Any]]) -> "FusingObservable[Any]":
        return _Fused(self, pipelines)


class _Fused(FusingObservable[Any]):
    """A stream of states with operators that know their steps.

    Args:
        source: The stream.
        pipelines: The operators.
    """

    def __init__(self, source: FusingObservable[Any], pipelines: list[Pipeline[Any, Any]]) -> None:
        super().__init__()
        self._source = source
        self._pipelines = pipelines

    def subscribe(
        self,
        on_next: abc.ObserverBase[Any] | abc.OnNext[Any] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,  # noqa: ARG002  (everything is in place)
    ) -> abc.DisposableBase:
        """Subscribe, as to every Observable."""
        self._note_use()
        receiver: Any = on_next
        if callable(getattr(receiver, "on_next", None)):
            receiver, on_error, on_completed = (
                receiver.on_next,
                receiver.on_error,
                receiver.on_completed,
            )
        chain = [part.make() for part in self._pipelines]
        subscription = _Subscription(on_error or default_error, on_completed or noop)
        forward = _forward(chain, receiver or noop, subscription)
        try:
            subscription.begin(self._source._subscribe_core(_Observer(forward, subscription)))
        except Exception as error:  # noqa: BLE001  (it is passed on, as every Observable does)
            subscription.fail(error)
        return subscription

    def _fuse(self, pipelines: list[Pipeline[Any, Any]]) -> FusingObservable[Any]:
        return _Fused(self._source, [*self._pipelines, *pipelines])


class _Subscription(abc.DisposableBase):
    """A subscription to a stream with operators, and how it ends.

    It stands for the two observers that ReactiveX would put before and behind each step: they take
    longer than a step does. What they promise holds: a subscriber that raises stays subscribed, a
    step that raises an exception ends the subscription, and nothing comes after the end.

    Attributes:
        is_disposed: Whether it has ended.
    """

    def __init__(
        self, on_error: Callable[[Exception], object], on_completed: Callable[[], object]
    ) -> None:
        self.is_disposed = False
        self._on_error = on_error
        self._on_completed = on_completed
        self._removal: abc.DisposableBase = Disposable()

    def begin(self, removal: abc.DisposableBase) -> None:
        """Keep what removes the handler."""
        self._removal = removal
        if self.is_disposed:  # the source was complete
            removal.dispose()

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self._end(partial(self._on_error, error))

    def complete(self) -> None:
        """End."""
        self._end(self._on_completed)

    def dispose(self) -> None:
        """End without a word, and let go of the observer."""
        self.is_disposed = True
        self._on_error = self._on_completed = noop
        self._removal.dispose()

    def _end(self, tell: Callable[[], object]) -> None:
        if self.is_disposed:
            return
        self.is_disposed = True
        try:
            tell()
        finally:
            self.dispose()


class _Observer(abc.ObserverBase[Any]):
    """What a stream gets: it calls the steps, and ends the subscription."""

    def __init__(self, forward: Callable[[Any], None], subscription: _Subscription) -> None:
        self._forward = forward
        self._subscription = subscription

    @property
    def on_next(self) -> Callable[[Any], None]:
        """Take an item."""
        return self._forward

    def on_error(self, error: Exception) -> None:
        """End with an error."""
        self._subscription.fail(error)

    def on_completed(self) -> None:
        """End."""
        self._subscription.complete()


def _forward(
    chain: list[Step], on_next: Callable[[Any], object], subscription: _Subscription
) -> Callable[[Any], None]:
    """Make the handler that calls the steps one after the other, and then the subscriber."""
    first, *rest = chain

    def forward(item: Any) -> None:
        if subscription.is_disposed:
            return
        try:
            item = first(item)
            for step in rest:
                if item is MISSING or subscription.is_disposed:
                    return
                item = step(item)
        except Exception as error:  # noqa: BLE001  (it is passed on, as operators do)
            subscription.fail(error)
            return
        if item is not MISSING and not subscription.is_disposed:
            on_next(item)

    def call(item: Any) -> None:  # the same for one step whose result nobody takes
        if subscription.is_disposed:
            return
        try:
            first(item)
        except Exception as error:  # noqa: BLE001  (it is passed on, as operators do)
            subscription.fail(error)

    handler = forward if rest or on_next is not noop else call
    handler.__qualname__ = "pipeline" if rest else getattr(first, "__qualname__", "pipeline")
    return handler
