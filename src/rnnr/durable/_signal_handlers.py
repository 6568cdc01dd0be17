"""Signal handlers that note the first signal of each kind, and then step aside."""

import os
import signal
from signal import Signals
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Final

from rnnr._runs import Slot

__all__ = ["SignalHandlers"]

_installed: Final[list["SignalHandlers"]] = []  # the outermost run's first, as signals have them


class SignalHandlers:
    """The handlers of some signals during the runs of one runner.

    The first signal of a kind is noted. With it, the handler that was there before is put back, so
    that the second one does what it did before; if it is a function, it is called, too.

    A handler may be left behind: an interrupt can keep a run from putting it back, and a forked
    process inherits it. Such a handler does what the one before it would have done.

    Args:
        numbers: The signals.
        slot: The slot of the runner.

    Attributes:
        received: The signals that came during the run, the first one first; one list for all runs.
        unanswered: Those of them that had no effect so far.
    """

    def __init__(self, numbers: tuple[Signals, ...], slot: Slot) -> None:
        self.received: list[Signals] = []
        self.unanswered: list[Signals] = []
        self._numbers = numbers
        self._slot = slot
        self._run: object = None  # its token
        self._process = 0
        self._before: dict[int, Any] = {}  # the handlers to put back
        self._entered: set[int] = set()

    @property
    def is_live(self) -> bool:
        """Whether the run for which they were installed is under way, in this process."""
        token = self._slot.token.get("running")
        return token is not None and token is self._run and self._process == os.getpid()

    def install(self) -> None:
        """Handle the signals of the run that begins, unless a run around it does.

        Raises:
            RuntimeError: If it is not on the main thread, or a handler could not be put back.
        """
        _check_thread()
        for each in [*_installed]:
            if not each.is_live:  # an interrupt has left it behind, or it was forked
                each.put_back()
                each.raise_again()
        taken = {number for each in _installed if each.is_live for number in each._numbers}
        _installed.append(self)
        self._run, self._process = self._slot.token["running"], os.getpid()
        for number in self._numbers:
            if number not in taken:
                self._before[number] = _handler_of(number)
                signal.signal(number, self._handle)

    def put_back(self) -> Signals | None:
        """Put back the handlers that were there before, where the present ones are ours.

        From another thread that is impossible. They do from now on what those would have done, and
        the next run that handles signals puts them back.

        Returns:
            The first signal that came during the run, if one did.
        """
        self._run, self._slot.is_stopping = None, False  # from here on no signal is noted
        first = self.received[0] if self.received else None
        self.received.clear()
        if current_thread() is main_thread():
            for number in [*self._before]:
                self._step_aside(number)
            _installed[:] = [each for each in _installed if each is not self]
        return first

    def answer(self, *numbers: Signals) -> None:
        """Take it that these signals have had their effect."""
        self.unanswered[:] = [each for each in self.unanswered if each not in numbers]

    def raise_again(self) -> None:
        """Raise the signals that had no effect, as if they came now."""
        if self._process != os.getpid():
            self.unanswered.clear()  # they came to the process that forked this one
        while self.unanswered:
            signal.raise_signal(self.unanswered.pop(0))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in self._entered:
            return  # a handler that was installed over this one has passed it on
        try:
            self._entered.add(number)
            if self.is_live and number not in self.received:
                self._note(number, frame)
            else:
                self._do_as_before(number)
        finally:
            self._entered.discard(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.unanswered.append(Signals(number))
        self.received.append(Signals(number))
        self._slot.is_stopping = True
        before = self._step_aside(number)
        if before not in (signal.SIG_DFL, signal.default_int_handler):
            self.answer(Signals(number))
            if before is not signal.SIG_IGN:
                before(number, frame)

    def _step_aside(self, number: int) -> Any:
        """Put back the handler before this one, unless there is another by now; return it.

        A signal between any two lines may do the same.
        """
        before = self._before.get(number)
        present = signal.getsignal(number)
        if present == self._handle:
            present = signal.SIG_DFL if before is None else before
            signal.signal(number, present)
            self._before.pop(number, None)  # it may hold the runner
        return present if before is None else before

    def _do_as_before(self, number: int) -> None:
        present = signal.signal(number, self._step_aside(number))
        try:
            signal.raise_signal(number)
        finally:
            signal.signal(number, present)


def _check_thread() -> None:
    if current_thread() is not main_thread():
        raise RuntimeError(
            "Python handles signals on the main thread: expected a run with StopOnSignal there, "
            f"got it on the thread {current_thread().name!r}; call run or resume on the main "
            "thread (`await runner.observe(...)` takes a thread of its own), or leave StopOnSignal "
            "out"
        )


def _handler_of(number: Signals) -> Any:
    handler = signal.getsignal(number)
    if handler is None:
        raise RuntimeError(
            f"the handler of {number.name} could not be put back: expected one that Python knows, "
            f"got one that was installed in C; leave {number.name} out of StopOnSignal, or call "
            "signal.signal with a function before the run"
        )
    return handler
