"""Pipelines that must not break a run."""

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable

from rnnr._isolate import log_failure
from rnnr.scheduling import InPlaceScheduler

__all__ = ["isolate"]

_T = TypeVar("_T")


def isolate() -> Callable[[Observable[_T]], Observable[_T]]:
    """Log what fails in a pipeline, and go on with the next item.

    Put it last, right before ``subscribe``, in a pipeline that is a view: a dashboard, a logger, a
    message to a phone. What the subscriber raises, and what an operator above raised, is logged
    at ERROR with its traceback on ``rnnr.isolation``, and leaves the run alone. After an error from
    above the source is subscribed again, where ReactiveX would have taken the pipeline
    apart for good: operators above begin with an empty memory, and the subscription moves to the
    end of the event's order. ``KeyboardInterrupt`` and ``SystemExit`` pass.

    It is meant for streams that are there whether somebody listens or not, as those of a runner
    are. Another kind is subscribed again, as by ``retry``, and starts from its beginning. If a
    source fails while it is being subscribed, the stream completes: it would fail for ever.

    `rnnr.isolate` is the same for a callback.

    Example:
        ::

            source:   --2--0--4--|
                      [ map(1 / x), isolate() ]
            result:   --½-----¼--|

        >>> import logging
        >>> logging.getLogger("rnnr.isolation").disabled = True  # for this page only
        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import isolate, select
        >>> runner = Runner()
        >>> batches = runner.stream(Event.BATCH).pipe(select("batch"))
        >>> inverse = batches.pipe(ops.map(lambda batch: 1 / batch), isolate())
        >>> subscription = inverse.subscribe(print)
        >>> runner.run([2, 0, 4])
        0.5
        0.25
    """

    def operator(source: Observable[_T]) -> Observable[_T]:
        def subscribe(
            observer: abc.ObserverBase[_T], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            # In place: what is put off until after the subscription would look alive when it
            # fails, and be subscribed again without an end.
            return _Isolation(source, observer, scheduler or InPlaceScheduler()).subscribed()

        return Observable(subscribe)

    return operator


class _Isolation:
    """One subscription, renewed whenever the source has ended it by an error."""

    def __init__(
        self,
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase,
    ) -> None:
        self._source = source
        self._observer = observer
        self._scheduler = scheduler
        self._subscription = SerialDisposable()
        self._subscribing = False

    def subscribed(self) -> abc.DisposableBase:
        self._subscribing = True
        try:
            self._subscription.disposable = self._source.subscribe(
                self._on_next, self._on_error, self._on_completed, scheduler=self._scheduler
            )
        finally:
            self._subscribing = False
        return self._subscription

    def _on_next(self, item: Any) -> None:
        try:
            self._observer.on_next(item)
        except Exception as error:  # noqa: BLE001  (it is logged)
            log_failure(error)

    def _on_error(self, error: Exception) -> None:
        log_failure(error)
        if self._subscribing:  # to subscribe again would be to fail again
            self._on_completed()
        else:
            self.subscribed()

    def _on_completed(self) -> None:
        try:
            self._observer.on_completed()
        except Exception as error:  # noqa: BLE001  (it is logged)
            log_failure(error)
