"""Stop a run after a whole batch when a signal comes."""

import logging
import signal
from collections.abc import Iterable
from operator import index
from signal import Signals
from typing import Any, Final

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import wrong_type, wrong_value
from rnnr.attachments._attachment import Attachment, attach
from rnnr.durable._signal_handlers import SignalHandlers
from rnnr.event import BEGINNINGS, Event
from rnnr.runner import Runner, check_runner
from rnnr.state import State, is_open, stop_after_event
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["StopOnSignal"]

logger = logging.getLogger("rnnr.durable")

_CURE: Final = "write for example signal.SIGTERM"

_NOT_FOR_PYTHON: Final = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS"}
"""Signals without a handler, and errors in C, after which a handler would return to the error."""


class StopOnSignal(Attachment):
    """Stops a run after the batch in which a signal comes, and ends the process.

    Schedulers send a signal some time before they kill a process, and by default that signal kills
    it in the middle of a batch. With this attached, the signal is only noted. When every handler of
    the batch has run, or of EPOCH_FINISHED, the run stops, and ``state["stopped_by"]`` is the name
    of the signal. Snapshots have saved the run by then. After STOPPED, `SystemExit` leaves the run
    with the exit code that a shell has for the signal, which is 128 and its number.

    A second signal of the same kind does what it did before: SIGTERM kills, SIGINT raises
    `KeyboardInterrupt`. A function that was the handler before is called at the first one, too.

    The outermost run that handles the signal is the one that stops: attach it to a training, and a
    run in its callbacks, such as an evaluation, is finished first, whatever is attached there. A
    signal while a batch is drawn takes effect when that batch is done. A run that is paused by a
    `rnnr.attachments.Control` goes on, in order to stop.

    A signal that comes too late to stop the run is raised again when FINISHED or FAILED has been
    delivered, as if it came after the run. So is one that finds the run stopped by something else,
    unless the process ends anyway.

    The handlers are there while a run of the runner is under way. They are put back at its end and
    when they are detached; from another thread, they only cease to have an effect. A handler that
    was installed over them meanwhile stays. Processes that are forked meanwhile, such as the
    workers of a loader, treat the signals as before.

    Args:
        signals: The signals, as in ``signal.SIGUSR1``; SIGTERM if none is given. They stop the run
            also where they were ignored before.
        exit: Whether `SystemExit` leaves the run. Otherwise the run returns.

    Raises:
        TypeError: If a signal is not an integer, or ``exit`` is not a bool.
        ValueError: If there is no such signal, or Python cannot handle it.

    Example:
        >>> import signal
        >>> from rnnr import Event, Runner
        >>> from rnnr.durable import StopOnSignal
        >>> runner = Runner()
        >>> subscription = StopOnSignal(signal.SIGTERM, exit=False).attach_on(runner)
        >>> @runner.on(Event.BATCH)
        ... def be_preempted(state):
        ...     if state["batch"] == 2:
        ...         signal.raise_signal(signal.SIGTERM)
        >>> runner.run(range(1000))
        >>> runner.state["batch"], runner.state["stopped_by"]
        (2, 'SIGTERM')
    """

    def __init__(self, *signals: int, exit: bool = True) -> None:  # noqa: A002  (it is what it does)
        self._signals = tuple(dict.fromkeys(_checked(signals or (signal.SIGTERM,))))
        if not isinstance(exit, bool):
            cure = "pass exit=False where run is to return"
            raise wrong_type("exit", "True or False", exit, cure)
        self._exit = exit

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, in addition to those that it is attached to.

        A run is refused with a RuntimeError at its beginning if it is not on the main thread, or if
        a handler was installed in C, so that Python cannot put it back.

        Args:
            runner: Runner to attach to.

        Returns:
            A Disposable that detaches again, also in the middle of a run. A signal that has come
            and has not stopped the run yet is raised again then.

        Raises:
            TypeError: If ``runner`` is not a runner.
        """
        check_runner(runner)
        stop = _Stop(SignalHandlers(self._signals, runner._slot), exits=self._exit)
        last: dict[Event, Callback] = {
            Event.BATCH: stop.check,
            Event.EPOCH_FINISHED: stop.check,
            Event.FINISHED: stop.end,
            Event.STOPPED: stop.leave,
            Event.FAILED: stop.fail,
        }
        return CompositeDisposable(
            attach(runner, Layer.CLOCK, dict.fromkeys(BEGINNINGS, stop.begin)),
            attach(runner, Layer.STOP, last),
            Disposable(stop.end),
        )


class _Stop:
    """What is done at the events of one runner.

    Args:
        handlers: The handlers of the signals.
        exits: Whether `SystemExit` leaves a run that got a signal and stopped.
    """

    attached_as: Final = "StopOnSignal"

    def __init__(self, handlers: SignalHandlers, *, exits: bool) -> None:
        self._handlers = handlers
        self._received = handlers.received
        self._exits = exits

    def begin(self, _: State) -> None:
        """Install the handlers."""
        self._handlers.install()

    def check(self, state: State) -> None:
        """Stop the run if a signal has come.

        To add this only when a signal comes would be a batch too late, which may take minutes: a
        delivery that is under way does not call what is added meanwhile.
        """
        if self._received:
            self._stop(state)

    def leave(self, _: State) -> None:
        """Put the handlers back after a stop, and leave the run for good if a signal came."""
        first = self._handlers.put_back()
        if first is not None and self._exits:
            self._handlers.unanswered.clear()
            raise SystemExit(128 + first)
        self._raise_again()

    def fail(self, state: State) -> None:
        """Put the handlers back after an error, which a signal that kills would hide."""
        error = state["error"]
        if isinstance(error, KeyboardInterrupt):
            self._handlers.answer(Signals.SIGINT)
        if self._handlers.unanswered:
            logger.error("The run failed after a signal", exc_info=error)
        self.end()

    def end(self, _: State | None = None) -> None:
        """Put the handlers back, and raise the signals again that did not stop the run."""
        self._handlers.put_back()
        self._raise_again()

    def _stop(self, state: State) -> None:
        name = self._received[0].name
        stop_after_event(state, name)
        self._handlers.unanswered.clear()
        logger.info("Got %s: stopping after this %s", name, "batch" if is_open(state) else "epoch")

    def _raise_again(self) -> None:
        for number in self._handlers.unanswered:
            logger.info("Got %s, which did not stop the run: raising it again", number.name)
        self._handlers.raise_again()


def _checked(signals: Iterable[Any]) -> Iterable[Signals]:
    for i, got in enumerate(signals):
        try:
            number = Signals(index(got))
        except TypeError:
            is_name = isinstance(got, str) and got in Signals.__members__
            cure = f"write signal.{got}" if is_name else _CURE
            raise wrong_type(f"signals[{i}]", "the number of a signal", got, cure) from None
        except ValueError:
            raise wrong_value(f"signals[{i}]", "the number of a signal", got, _CURE) from None
        if number.name in _NOT_FOR_PYTHON or number not in signal.valid_signals():
            expected = "a signal that Python can handle"
            raise wrong_value(f"signals[{i}]", expected, got, _CURE)
        yield number
