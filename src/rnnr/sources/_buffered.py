"""Batches from another thread: of Observables and async iterables, or loaded ahead."""

from collections.abc import AsyncIterable, Iterable
from typing import Any, Final, Literal

from reactivex import Observable
from reactivex.observable import ConnectableObservable
from reactivex.subject import ReplaySubject, Subject

from rnnr._errors import as_integer, wrong_type, wrong_value
from rnnr.sources._buffer import Buffer
from rnnr.sources._epochs import Epochs
from rnnr.sources._iterator import BufferedIterator
from rnnr.sources._kinds import can_be_iterated, is_asynchronous
from rnnr.sources._producers import AsyncProducer, IterableProducer, ObservableProducer, Producer

__all__ = ["Buffered", "buffered", "prefetch"]

_ATTRIBUTES: Final = ("source", "size", "live", "full", "n_dropped")
_WAIT: Final = "wait"
_DROP: Final = "drop oldest"
_SIZE_CURE = "pass how many batches may wait; 1 is the smallest buffer"


class Buffered:
    """Batches with a buffer between their source and the run; made by `buffered` and `prefetch`.

    It can be iterated as often as its source, and has a length if the source has one. It pickles if
    the source does: threads and subscriptions belong to its iterators.

    Attributes:
        source: Source of the batches.
        size (int): Number of batches that the buffer holds.
        live (bool): Whether the source goes on by itself, so that a new subscription has nothing
            to skip.
        full (str): What happens to a batch that comes while the buffer is full: ``"wait"``, or
            ``"drop oldest"``.
        n_dropped (int): Number of batches that were dropped.

    Example:
        >>> from rnnr.sources import prefetch
        >>> batches = prefetch(range(3))
        >>> list(batches), len(batches), batches
        ([0, 1, 2], 3, prefetch(range(0, 3), size=2))
    """

    def __init__(self, source: Any, size: int, live: bool, full: str = _WAIT) -> None:
        self.source = source
        self.size = size
        self.live = live
        self.full = full
        self.n_dropped = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Raise for an attribute of the source: set here, it would have no effect."""
        if name not in _ATTRIBUTES:
            raise AttributeError(_of_the_source(name))
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Raise, and name the source, which may have the attribute."""
        raise AttributeError(_of_the_source(name))

    def __iter__(self) -> BufferedIterator:
        drop = None if self.full == _WAIT else self._drop
        return BufferedIterator(Buffer(self.size, drop), self._new_producer)

    def __len__(self) -> int:
        return len(self.source)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        name = "buffered" if is_asynchronous(self.source) else "prefetch"
        full = "" if self.full == _WAIT else f", full={self.full!r}"
        return f"{name}({self.source!r}, size={self.size}{full})"

    def _drop(self) -> None:
        self.n_dropped += 1

    def _new_producer(self, buffer: Buffer) -> Producer:
        if isinstance(self.source, Observable):
            return ObservableProducer(buffer, self.source, self.live)
        if is_asynchronous(self.source):
            return AsyncProducer(buffer, self.source, self.live)
        return IterableProducer(buffer, self.source)


def _of_the_source(name: str) -> str:
    return (
        f"batches with a buffer have {', '.join(_ATTRIBUTES)}, got {name!r}; ask the source "
        f"itself: state['batches'].source.{name}"
    )


def buffered(
    source: Observable[Any] | AsyncIterable[Any],
    size: int = 8,
    *,
    live: bool | None = None,
    full: Literal["wait", "drop oldest"] = "wait",
) -> Buffered:
    """Put a bounded buffer between a run and a source that delivers batches from other threads.

    A runner does this by itself, with the defaults, if ``batches`` is an Observable or an async
    iterable. Each epoch subscribes or iterates again, on its own thread, from the first draw to the
    end of the source or of the run. No batch is lost or reordered: while the buffer is full, a
    producer waits in its ``on_next``, and an async iterable is not asked for more. Only a callback
    of the run may exceed the size with an ``on_next``, since it would wait for itself.

    A camera cannot wait, and its oldest pictures matter least. With ``full="drop oldest"`` nobody
    waits: the oldest batch in a full buffer is dropped, and counted in
    ``state["batches"].n_dropped``.

    When a run is stopped or fails, the subscription is disposed of, or the async iterable is
    cancelled. Batches that were received by then are kept for ``resume``. A source starts from its
    beginning when it is subscribed to or iterated again, so the batches that were received are
    skipped, unless it is live.

    Args:
        source: Observable or async iterable. An async iterator serves one epoch, which cannot be
            resumed after a stop.
        size: Number of batches that the buffer holds, 1 or more.
        live: Whether the source goes on by itself, so that ``resume`` has nothing to skip.
            If not given, only a Subject (other than a ReplaySubject) and a ConnectableObservable
            count as live. Pass ``live=True`` for a sensor, or for a Subject behind an operator.
        full: What happens while the buffer is full: ``"wait"``, or ``"drop oldest"``, which makes
            the source count as live, since batches that are lost cannot be skipped.

    Raises:
        TypeError: If ``source`` is neither, ``size`` is not an integer, or ``live`` is not a bool.
        ValueError: If ``size`` is less than 1, ``full`` is something else, or batches are to be
            dropped of a source that is not live.

    Example:
        >>> import reactivex
        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.sources import buffered
        >>> ticks = reactivex.interval(0.001).pipe(ops.take(3))
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, lambda state: print(state["batch"]))
        >>> runner.run(buffered(ticks, size=2))
        0
        1
        2
    """
    if not is_asynchronous(source):
        cure = "use prefetch for an iterable" if can_be_iterated(source) else "pass a Subject"
        raise wrong_type("source", "an Observable or an async iterable", source, cure)
    if full not in (_WAIT, _DROP):
        raise wrong_value("full", f"{_WAIT!r} or {_DROP!r}", full, "leave it out to lose nothing")
    if full == _DROP and live is False:
        cure = "leave live out, or let the source wait"
        raise wrong_value("full", "'wait' for a source that is not live", full, cure)
    if live is None and full == _DROP:
        live = True
    elif live is None:
        live = isinstance(source, Subject | ConnectableObservable)
        live = live and not isinstance(source, ReplaySubject)
    elif not isinstance(live, bool):
        raise wrong_type("live", "True, False or None", live, "leave it out for the default")
    return Buffered(source, as_integer("size", size, 1, _SIZE_CURE), live, full)


def prefetch(iterable: Iterable[Any], size: int = 2) -> Buffered:
    """Load batches ahead, on a thread, while the run works on earlier ones.

    Each epoch iterates over ``iterable`` again, on a thread that loads a batch as soon as there is
    room for it. When a run is stopped or fails, the thread ends after the batch that it is loading;
    the loaded batches are kept for ``resume``. It helps where the loader waits, or computes without
    Python's lock, as files, sockets and NumPy do.

    The thread sees the same context variables and settings of PyTorch (gradients, default device,
    autocast, CUDA stream) as the run. A seeded run computes the same numbers as without `prefetch`,
    unless the loader draws from a global random generator for every batch: give it its own.

    Args:
        iterable: Iterable of the batches of an epoch. As without `prefetch`, an iterator serves
            one epoch.
        size: Number of batches to load ahead, 1 or more.

    Raises:
        TypeError: If ``iterable`` cannot be iterated or has a buffer already, or ``size`` is not
            an integer.
        ValueError: If ``size`` is less than 1.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.sources import prefetch
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, lambda state: print(state["batch"]))
        >>> runner.run(prefetch(["one", "two"]))
        one
        two
    """
    if is_asynchronous(iterable):
        cure = "use buffered for an Observable or an async iterable"
        raise wrong_type("iterable", "an iterable", iterable, cure)
    if isinstance(iterable, Epochs):
        cure = "write epochs_of(prefetch(loader), n), so that the order is kept"
        raise wrong_type("iterable", "an iterable that is not cut", iterable, cure)
    if isinstance(iterable, Buffered):
        cure = "pass the source itself, which has a buffer already"
        raise wrong_type("iterable", "an iterable without a buffer", iterable, cure)
    if not can_be_iterated(iterable):
        raise wrong_type("iterable", "an iterable", iterable, "pass a list or a loader of batches")
    return Buffered(iterable, as_integer("size", size, 1, _SIZE_CURE), live=False)
