"""A progress bar for each epoch, or for a run."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import check_string, wrong_type, wrong_value
from rnnr._isolate import Failures
from rnnr.attachments._attachment import Attachment, attach, reserve_key
from rnnr.attachments._bar_span import (
    EPOCH_SPAN,
    RUN_SPAN,
    RUN_SPAN_WITH_TOTAL,
    Bounds,
    with_fields,
)
from rnnr.attachments._live_bar import STATS, AnyBar, Bar, LiveBar, UserBar
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import EPOCH, RUN, State, reader
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["ProgressBar"]

logger = logging.getLogger("rnnr.attachments.progress_bar")

_SPANS: Final = {"epoch": EPOCH_SPAN, "run": RUN_SPAN}

_PER_CURE = "'epoch' makes a bar for each epoch, and 'run' one bar for all of them"
_STATS_CURE = "set it to a dict of statistics in a BATCH callback"


class ProgressBar(Attachment):
    r"""An attachment that shows a `tqdm <https://tqdm.github.io>`_ bar for each epoch or run.

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
        per: ``"epoch"`` for a bar for each epoch, or ``"run"`` for one bar over all epochs. That
            counts batches if they have a length, which is asked for in each epoch, and epochs
            otherwise.
        **kwargs: Keyword arguments for the bar, such as ``desc`` or ``unit``. If ``total`` is
            among them, it is used instead of the length of the batches. In ``desc`` a key of the
            state in braces becomes its value when an epoch begins: ``"epoch {epoch}/{max_epoch}"``.

    Raises:
        TypeError: If a key is not a string, if ``tqdm_cls`` cannot be called, or if ``kwargs`` has
            arguments that tqdm does not know, or ``initial`` or ``iterable``, which the bar sets
            itself.
        ValueError: If ``per`` is unknown.

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
        per: str = "epoch",
        **kwargs: Any,
    ) -> None:
        check_string("n_items", n_items, "name a key of the state")
        if tqdm_cls is not None and not callable(tqdm_cls):
            raise wrong_type("tqdm_cls", "a class like tqdm", tqdm_cls, "pass the class itself")
        check_string("per", per, _PER_CURE)
        if per not in _SPANS:
            raise wrong_value("per", "'epoch' or 'run'", per, _PER_CURE)
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
        self._span = _SPANS[per]
        if per == "run" and kwargs.get("total") is not None:
            self._span = RUN_SPAN_WITH_TOTAL

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that closes the bar and detaches again.
        """
        span = self._span
        position, reserved = reserve_key(runner, "_bar", memory=RUN if span.is_run else EPOCH)
        failures = Failures(logger)
        make = partial(self._make_bar, partial(failures.log, STATS))
        stats, n_items = self._stats, self._n_items
        live = LiveBar(make, self._description, span, position, n_items, stats, failures)
        handlers: dict[Event, Callback] = {
            Event.EPOCH_STARTED: live.open,
            Event.RESUMED: live.reopen,
            Event.BATCH: live.update,
            Event.EPOCH_FINISHED: live.finish_epoch,
        }
        ends, around = [Event.STOPPED, Event.FAILED], Layer.DISPLAY
        if span.is_run:  # at the beginning, too: the end of a run may reach nobody
            handlers[Event.STARTED] = live.close
            ends.append(Event.FINISHED)
            around = Layer.REDUCE  # after the bars of epochs: tqdm would leave those on the screen
        attached = attach(runner, Layer.DISPLAY, handlers)
        closed = attach(runner, around, dict.fromkeys(ends, live.close))
        return CompositeDisposable(attached, closed, Disposable(live.close), reserved)

    def _make_bar(
        self, log_failure: Callable[[Exception], object], state: State, bounds: Bounds
    ) -> AnyBar:
        batches, initial = state["batches"], bounds.initial
        kwargs = {**bounds.arguments, **self._kwargs}
        if "desc" in kwargs:
            kwargs["desc"] = self._description(state)
        if self._make is not None:
            return UserBar(self._make(batches, initial=initial, **kwargs))
        from rnnr.attachments._tqdm import LazyBar

        sized = None if self._span.is_run else batches  # whose length is the total
        return LazyBar(sized, log_failure, initial=initial, **kwargs)

    def _description(self, state: State) -> Any:
        desc = self._kwargs.get("desc")
        return with_fields(desc, state) if isinstance(desc, str) else desc
