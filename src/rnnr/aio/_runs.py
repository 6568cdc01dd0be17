"""Await a run, which a cancellation stops at a whole moment."""

from collections.abc import Callable
from functools import partial
from threading import current_thread
from typing import Final

from reactivex.disposable import CompositeDisposable

from rnnr._awaiting import Work, done
from rnnr.event import BEGINNINGS
from rnnr.runner import Runner, Source, check_runner
from rnnr.state import State, look_up
from rnnr.streams._layer import Layer

__all__ = ["aresume", "arun"]

_BY: Final = "cancelled"


async def arun(runner: Runner, batches: Source, max_epoch: int = 1) -> None:
    """Run on a thread of its own, while the event loop goes on.

    A cancellation stops the run when the present batch, or the present end of an epoch, is whole:
    every callback has seen it, and snapshots have saved it. A run that waits for a silent source is
    stopped at once. Then ``state["stopped_by"]`` is ``"cancelled"``, STOPPED is delivered, and when
    the run has ended, ``CancelledError`` is raised. So a timeout, Ctrl-C and a task group
    whose other task fails end a run that can go on with `aresume`.

    Callbacks are called on the thread of the run. It has the context variables and the settings of
    NumPy and PyTorch of the caller.

    Args:
        runner: Runner of the run.
        batches: Batches of an epoch, as for `rnnr.Runner.run`.
        max_epoch: Number of epochs to run.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``max_epoch`` is negative.
        RuntimeError: If the runner is running already.
        BaseException: Whatever leaves a callback or the batches.

    Example:
        >>> import asyncio
        >>> from itertools import count
        >>> from rnnr import Event, Runner
        >>> from rnnr.aio import arun
        >>> runner = Runner()
        >>> async def train():
        ...     try:
        ...         async with asyncio.timeout(0.05):
        ...             await arun(runner, count())  # without an end
        ...     except TimeoutError:
        ...         print("stopped:", runner.state["stopped_by"])
        >>> asyncio.run(train())
        stopped: cancelled
    """
    check_runner(runner)
    await _on_a_thread(runner, partial(runner.run, batches, max_epoch))


async def aresume(runner: Runner, repeat_last_batch: bool = False) -> None:
    """Go on with a stopped or failed run, as `arun` runs it.

    Args:
        runner: Runner of the run.
        repeat_last_batch: Whether to deliver the last batch once more, as for
            `rnnr.Runner.resume`.

    Raises:
        TypeError: If ``runner`` is not a runner.
        RuntimeError: As for `rnnr.Runner.resume`.
        BaseException: Whatever leaves a callback or the batches.

    Example:
        >>> import asyncio
        >>> from rnnr import Event, Runner
        >>> from rnnr.aio import aresume
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH.first(1), lambda state: runner.stop())
        >>> runner.run("abc")
        >>> asyncio.run(aresume(runner))
        >>> runner.state["batch"]
        'c'
    """
    check_runner(runner)
    await _on_a_thread(runner, partial(runner.resume, repeat_last_batch))


async def _on_a_thread(runner: Runner, function: Callable[[], None]) -> None:
    work = _Run(runner, function)
    try:
        await done(work)
    finally:
        del work  # a traceback that holds its own exception keeps the state alive


class _Run(Work):
    """A run.

    Args:
        runner: Its runner.
        function: Runs it.
    """

    def __init__(self, runner: Runner, function: Callable[[], None]) -> None:
        super().__init__()
        self._runner = runner
        self._function = function
        self._is_cancelled = False
        self._state: State | None = None  # of the run under way

    def do(self) -> None:
        """Run, unless it was cancelled before."""
        streams = [self._runner.stream(event) for event in BEGINNINGS]
        with CompositeDisposable(*(each.add(self._begin, layer=Layer.STOP) for each in streams)):
            try:
                if not self._is_cancelled:
                    self._function()
            finally:
                self._state = None
                self._runner._slot.is_stopping = False

    def cancel(self) -> None:
        """Stop the run after the present event, or while it waits for a batch."""
        self._is_cancelled = True
        self._stop()

    def _begin(self, state: State) -> None:
        if current_thread() is self.thread:  # another thread may run it, and this one be refused
            self._state = state
            if self._is_cancelled:
                self._stop()

    def _stop(self) -> None:
        state, runner = self._state, self._runner
        if state is not None:
            runner._slot.is_stopping = True  # no pause holds it
            runner._batches.request.by = _BY
            look_up(state)
            runner._batches.wake()
