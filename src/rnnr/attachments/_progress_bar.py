"""A progress bar for each epoch."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import Any, Final, Protocol

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import check_string, wrong_type
from rnnr._isolate import Failures
from rnnr.attachments._attachment import Attachment, attach, reserve_key
from rnnr.attachments._display import plain_number
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import Reader, State, epoch_memory, is_open, reader
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["ProgressBar"]

logger = logging.getLogger("rnnr.attachments.progress_bar")

_STATS_CURE = "set it to a dict of statistics in a BATCH callback"

# What may fail during a run, as the log says it.
_DRAWING: Final = "ProgressBar cannot draw its bar, and shows none for this epoch"
_STATS: Final = "ProgressBar cannot show statistics"
_ITEMS: Final = "ProgressBar cannot count the items of a batch"


class Bar(Protocol):
    """The methods that the bars of ``tqdm_cls`` need."""

    def set_postfix(self, **stats: Any) -> object:
        """Show statistics."""

    def update(self, n: Any) -> object:
        """Advance by ``n``."""

    def close(self) -> object:
        """Draw for the last time and close the bar."""


class _AnyBar(Protocol):
    """A bar of any class."""

    def show(self, stats: Any) -> object:
        """Show statistics, a mapping of any names to any values."""

    def update(self, n: Any) -> object:
        """Advance by ``n``."""

    def close(self) -> object:
        """Draw for the last time and close the bar."""


class ProgressBar(Attachment):
    r"""An attachment that shows a `tqdm <https://tqdm.github.io>`_ bar for each epoch.

    The bar closes at the end of the epoch, and when the run stops or fails; the bar of a resumed
    epoch continues from its position. Statistics are drawn only when tqdm draws, the last ones
    always; a tensor or array of one item is shown as its number. In a notebook the bar is a widget.

    It asks the batches for their length, and never iterates over them. It never breaks a run: if
    it cannot write to the screen or show statistics, it logs that once, at ERROR on
    ``rnnr.attachments.progress_bar``, and the run goes on.

    Args:
        n_items: Key of the number of items in the batch, by which the bar advances; a batch
            without it counts as 1.
        stats: Key of the statistics to show beside the bar, a dict from their names to their
            values. None are shown unless given.
        tqdm_cls: Class to use instead of tqdm. It is called as ``tqdm_cls(batches, initial=n,
            **kwargs)``; for each batch ``set_postfix(**stats)`` and ``update(n)`` of its instance
            are called, and ``close()`` in the end.
        **kwargs: Keyword arguments for the bar, such as ``desc`` or ``unit``. If ``total`` is
            among them, the batches are not asked for their length.

    Raises:
        TypeError: If a key is not a string, if ``tqdm_cls`` cannot be called, or if ``kwargs`` has
            arguments that tqdm does not know, or ``initial`` or ``iterable``, which the bar sets
            itself.

    Example:
        >>> import io
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import ProgressBar
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["stats"] = {"loss": 1 / state["n_iters"]}
        >>> screen = io.StringIO()
        >>> bar = ProgressBar(stats="stats", file=screen, bar_format="{n}/{total}{postfix}")
        >>> subscription = bar.attach_on(runner)
        >>> runner.run(range(4))
        >>> print(screen.getvalue().split("\r")[-1].strip())
        4/4, loss=0.25
    """

    def __init__(
        self,
        *,
        n_items: str = "n_items",
        stats: str | None = None,
        tqdm_cls: Callable[..., Bar] | None = None,
        **kwargs: Any,
    ) -> None:
        check_string("n_items", n_items, "name a key of the state")
        if tqdm_cls is not None and not callable(tqdm_cls):
            raise wrong_type("tqdm_cls", "a class like tqdm", tqdm_cls, "pass the class itself")
        own = sorted({"initial", "iterable"} & kwargs.keys())
        if own:
            raise wrong_type(
                "kwargs",
                "arguments that the bar does not set",
                own,
                f"leave out {', '.join(own)}",
            )
        if kwargs and tqdm_cls is None:
            from rnnr.attachments._tqdm import check_arguments

            check_arguments(kwargs)
        self._n_items = n_items
        self._stats = None if stats is None else reader(stats, "ProgressBar", _STATS_CURE)
        self._make = tqdm_cls
        self._kwargs = kwargs

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that closes the bar and detaches again.
        """
        position, reserved = reserve_key(runner, "_bar")
        failures = Failures(logger)
        make = partial(self._make_bar, partial(failures.log, _STATS))
        live = _LiveBar(make, position, self._n_items, self._stats, failures)
        handlers: dict[Event, Callback] = {
            Event.EPOCH_STARTED: live.open,
            Event.RESUMED: live.reopen,
            Event.BATCH: live.update,
            Event.EPOCH_FINISHED: live.close,
            Event.STOPPED: live.close,
            Event.FAILED: live.close,
        }
        attached = attach(runner, Layer.DISPLAY, handlers)
        return CompositeDisposable(attached, Disposable(live.close), reserved)

    def _make_bar(
        self, log_failure: Callable[[Exception], object], batches: Any, initial: Any
    ) -> _AnyBar:
        if self._make is not None:
            return _UserBar(self._make(batches, initial=initial, **self._kwargs))
        from rnnr.attachments._tqdm import LazyBar

        return LazyBar(batches, log_failure, initial=initial, **self._kwargs)


class _LiveBar:
    """The bar of one runner during an epoch; its position is in the state.

    A bar that fails is closed, and the next epoch makes a new one.
    """

    def __init__(
        self,
        make: Callable[[Any, Any], _AnyBar],
        position: str,
        n_items: str,
        stats: Reader | None,
        failures: Failures,
    ) -> None:
        self._make = make
        self._position = position
        self._n_items = n_items
        self._stats = stats
        self._failures = failures
        self._bar: _AnyBar = _NO_BAR

    def open(self, state: State) -> None:
        """Show a bar at the position of the epoch."""
        try:
            self._bar = self._make(state["batches"], epoch_memory(state).get(self._position, 0))
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._failures.log(_DRAWING, error)

    def reopen(self, state: State) -> None:
        """Show the bar of a resumed epoch."""
        if is_open(state):
            self.open(state)

    def update(self, state: State) -> None:
        """Show the statistics of a batch and advance by its items."""
        if self._stats is not None:
            try:
                self._bar.show(self._stats(state))
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._failures.log(_STATS, error)
        n_items = state.get(self._n_items, 1)
        if type(n_items) is not int:
            n_items = self._counted(n_items)
        try:
            self._bar.update(n_items)
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._drop(error)
        try:
            memory = epoch_memory(state)
            memory[self._position] = memory.get(self._position, 0) + n_items
        except Exception as error:  # noqa: BLE001  (it is logged: two kinds of numbers, say)
            self._failures.log(_ITEMS, error)

    def close(self, _: State | None = None) -> None:
        """Close the bar, if one is shown."""
        try:
            self._bar.close()  # first: if it is interrupted, FAILED closes it again
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._failures.log(_DRAWING, error)
        self._bar = _NO_BAR

    def _drop(self, error: Exception) -> None:
        bar, self._bar = self._bar, _NO_BAR
        self._failures.log(_DRAWING, error)
        with suppress(Exception):  # a further error is a consequence of the first
            bar.close()

    def _counted(self, n_items: Any) -> Any:
        """Return a number of items as a plain number, and 0 for anything else."""
        try:
            number = plain_number(n_items)
            if isfinite(number):
                return number
        except Exception:  # noqa: BLE001, S110  (logged below, with a cure)
            pass
        key = f"state[{self._n_items!r}]"
        cure = "set it to the number of items in the batch"
        self._failures.log(_ITEMS, wrong_type(key, "a finite number", n_items, cure))
        return 0


class _UserBar:
    """A bar of the user's class."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self.update = bar.update
        self.close = bar.close

    def show(self, stats: Any) -> None:
        """Show statistics, with their names as strings, since they become keyword arguments."""
        stats = dict(stats)
        self._bar.set_postfix(**{str(name): plain_number(value) for name, value in stats.items()})


class _NoBar:
    """Stands for the bar while none is shown."""

    def show(self, stats: Any) -> None:
        """Do nothing."""

    def update(self, n: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


_NO_BAR = _NoBar()
