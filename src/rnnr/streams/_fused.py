"""Streams of states that fuse the operators applied to them."""

from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.internal.basic import default_error, noop

from rnnr._pipeline import Pipeline, parts_of, steps
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
            fused, rest = self._fuse(first), parts[len(first) :]
            return fused.pipe(*rest) if rest else fused

    def _fuse(self, pipelines: list[Pipeline[Any, Any]]) -> "FusingObservable[Any]":
        return _Fused(self, steps(pipelines))


class _Fused(FusingObservable[Any]):
    """A stream of states with operators that know their steps.

    Args:
        source: The stream.
        pipeline: The operators, fused.
    """

    def __init__(self, source: FusingObservable[Any], pipeline: Pipeline[Any, Any]) -> None:
        super().__init__()
        self._source = source
        self._pipeline = pipeline

    def subscribe(
        self,
        on_next: abc.ObserverBase[Any] | abc.OnNext[Any] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribe, as to every Observable."""
        receiver: Any = on_next
        if hasattr(receiver, "on_next"):
            receiver, on_error, on_completed = (
                receiver.on_next,
                receiver.on_error,
                receiver.on_completed,
            )
        observer = _Observer(
            self._pipeline.make(), receiver or noop, on_error or default_error, on_completed or noop
        )
        return observer.subscribed_to(self._source, scheduler)

    def _fuse(self, pipelines: list[Pipeline[Any, Any]]) -> FusingObservable[Any]:
        return _Fused(self._source, steps([self._pipeline, *pipelines]))


class _Observer(abc.ObserverBase[Any], abc.DisposableBase):
    """Calls a step with each item, and a subscriber with what the step passes on.

    It leaves out the two observers that ReactiveX would put before and behind the step: they
    take longer than a step does. What it promises is the same: a subscriber that raises stays
    subscribed; a step that raises an exception ends the subscription.
    """

    def __init__(
        self,
        step: Callable[[Any], Any],
        on_next: Callable[[Any], object],
        on_error: Callable[[Exception], object],
        on_completed: Callable[[], object],
    ) -> None:
        self._on_error = on_error
        self._on_completed = on_completed
        self._subscription: abc.DisposableBase = Disposable()
        self._is_stopped = False
        fail = self.on_error

        def forward(item: Any) -> None:
            try:
                result = step(item)
            except Exception as error:  # noqa: BLE001  (it is passed on, as operators do)
                fail(error)
                return
            if result is not MISSING:
                on_next(result)

        def call(item: Any) -> None:  # the same where nobody takes the result
            try:
                step(item)
            except Exception as error:  # noqa: BLE001  (it is passed on, as operators do)
                fail(error)

        self.forward = call if on_next is noop else forward
        self.forward.__qualname__ = getattr(step, "__qualname__", "pipeline")

    def subscribed_to(
        self, source: FusingObservable[Any], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        """Subscribe to a stream; return the Disposable that ends the subscription."""
        self._subscription = source._subscribe_core(self, scheduler)
        if self._is_stopped:  # the source was complete
            self.dispose()
        return self

    @property
    def on_next(self) -> Callable[[Any], None]:
        """Take an item."""
        return self.forward

    def on_error(self, error: Exception) -> None:
        """End with an error."""
        self._end(partial(self._on_error, error))

    def on_completed(self) -> None:
        """End."""
        self._end(self._on_completed)

    def dispose(self) -> None:
        """End without a word."""
        self._is_stopped = True
        self._subscription.dispose()

    def _end(self, tell: Callable[[], object]) -> None:
        if self._is_stopped:
            return
        self._is_stopped = True
        try:
            tell()
        finally:
            self.dispose()
