"""A bar that shows how far an epoch has come."""

from collections.abc import Callable
from typing import Any, Protocol

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr.attachments._attachment import Attachment, attach
from rnnr.claims import claim
from rnnr.errors import judge_string, wrong_type
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State, epoch_memory, is_open
from rnnr.stream import Callback, Layer
from rnnr.values import Reader, reader

__all__ = ["ProgressBar"]

_STATS_CURE = "set it to a dict of statistics in a BATCH callback"


class Bar(Protocol):
    """What the bars of ``tqdm_cls`` must be able to do."""

    def set_postfix(self, **stats: Any) -> object:
        """Show statistics."""

    def update(self, n: Any) -> object:
        """Advance by ``n``."""

    def close(self) -> object:
        """Show the last and leave the screen."""


class ProgressBar(Attachment):
    r"""An attachment that shows a `tqdm <https://tqdm.github.io>`_ bar for each epoch.

    The bar closes at the end of the epoch, and when the run stops or fails; a resumed epoch goes
    on where its bar stood. Statistics are drawn no more often than tqdm draws, the last ones
    always. In a notebook the bar is a widget.

    Args:
        n_items: Key of the number of items in the batch, by which the bar advances; a batch
            without it counts as 1.
        stats: If given, ``state[stats]`` is shown beside the bar: a dict from the names of the
            statistics to their values.
        tqdm_cls: Class to use instead of tqdm. It is called as ``tqdm_cls(batches, initial=n,
            **kwargs)``; its instances get ``set_postfix(**stats)`` and ``update(n)`` for each
            batch, and ``close()``.
        **kwargs: Keyword arguments for the bar, such as ``desc`` or ``unit``.

    Raises:
        TypeError: If a key is no string, ``tqdm_cls`` cannot be called, or ``kwargs`` has
            ``initial`` or ``iterable``, which are the bar's own.
        KeyError: In a run, when ``state[stats]`` is not set.

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
        judge_string("n_items", n_items, "name a key of the state")
        if tqdm_cls is not None and not callable(tqdm_cls):
            raise wrong_type("tqdm_cls", "a class like tqdm", tqdm_cls, "pass the class itself")
        own = sorted({"initial", "iterable"} & kwargs.keys())
        if own:
            raise wrong_type(
                "kwargs",
                "arguments other than the bar's own",
                own,
                f"leave out {', '.join(own)}",
            )
        self._n_items = n_items
        self._stats = None if stats is None else reader(stats, "ProgressBar", _STATS_CURE)
        self._make = tqdm_cls
        self._kwargs = kwargs

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that closes the bar and detaches again.
        """
        position, claimed = claim(runner, "_bar")
        live = _LiveBar(self._open, position, self._n_items, self._stats)
        handlers: dict[Event, Callback] = {
            Event.EPOCH_STARTED: live.open,
            Event.RESUMED: live.reopen,
            Event.BATCH: live.update,
            Event.EPOCH_FINISHED: live.close,
            Event.STOPPED: live.close,
            Event.FAILED: live.close,
        }
        attached = attach(runner, Layer.DISPLAY, handlers)
        return CompositeDisposable(attached, Disposable(live.close), claimed)

    def _open(self, batches: Any, initial: Any) -> Bar:
        if self._make is not None:
            return self._make(batches, initial=initial, **self._kwargs)
        from rnnr.attachments._tqdm import LazyBar

        return LazyBar(batches, initial=initial, **self._kwargs)


class _LiveBar:
    """The bar of one runner while an epoch is under way; its position is in the state."""

    def __init__(
        self, make: Callable[[Any, Any], Bar], position: str, n_items: str, stats: Reader | None
    ) -> None:
        self._make = make
        self._position = position
        self._n_items = n_items
        self._stats = stats
        self._bar: Bar = _NO_BAR

    def open(self, state: State) -> None:
        """Show a bar that stands where the epoch does."""
        self._bar = self._make(state["batches"], epoch_memory(state).get(self._position, 0))

    def reopen(self, state: State) -> None:
        """Show the bar of a resumed epoch."""
        if is_open(state):
            self.open(state)

    def update(self, state: State) -> None:
        """Show the statistics of a batch and advance by its items."""
        if self._stats is not None:
            self._bar.set_postfix(**self._stats(state))
        n_items = state.get(self._n_items, 1)
        self._bar.update(n_items)
        memory = epoch_memory(state)
        memory[self._position] = memory.get(self._position, 0) + n_items

    def close(self, _: State | None = None) -> None:
        """Close the bar, if one is shown."""
        self._bar.close()  # first: where it is interrupted, FAILED closes it again
        self._bar = _NO_BAR


class _NoBar:
    """Stands for the bar while none is shown."""

    def set_postfix(self, **stats: Any) -> None:
        """Do nothing."""

    def update(self, n: Any) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


_NO_BAR = _NoBar()
