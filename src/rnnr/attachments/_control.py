"""Pause, step, resume and stop runs from outside."""

from enum import Enum
from functools import partial
from threading import Condition, RLock

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._runs import Slot, outermost, runs_on_this_thread
from rnnr.attachments._attachment import Attachment, attach
from rnnr.event import ENDS, Event
from rnnr.runner import Runner
from rnnr.state import State, stop_after_event
from rnnr.streams._layer import Layer

__all__ = ["Control", "ControlStatus"]

_INTERVAL = 0.1  # seconds after which a paused run checks whether it was stopped otherwise


class ControlStatus(Enum):
    """What a `Control` does to its runs.

    Attributes:
        NONE: Nothing: they run, or there is none.
        PAUSING: A pause was requested; no run is paused yet.
        PAUSED: A run is paused at the end of a batch.
        STOPPING: A stop was requested; the run has not stopped yet.
    """

    NONE = "none"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"


_PAUSING = ControlStatus.PAUSING  # its lookup would double the cost of `status` at each batch


class Control(Attachment):
    """Pauses, steps and stops runs from outside: another thread, a signal handler, a page.

    A run is paused and stopped at the end of a batch, when all its callbacks have run, so nothing
    of the batch is lost. A request that comes while they run takes effect after the next batch.
    Until one of the methods is called, a batch costs nothing more. Attach one control to a training
    and to its evaluation on the same thread: both are paused, and only the training is stopped.

    Attributes:
        status (ControlStatus): What it does at the moment.

    Example:
        >>> from threading import Timer
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import Control
        >>> runner, control = Runner(), Control()
        >>> subscription = control.attach_on(runner)
        >>> control.pause()  # also before the run begins
        >>> Timer(0.1, control.step).start()
        >>> Timer(0.2, control.stop).start()
        >>> runner.run(range(1000))
        >>> runner.state["n_iters"]
        2
    """

    def __init__(self) -> None:
        # Used by itself, not through the condition, which an interrupt would leave locked.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self._slots: dict[object, Slot] = {}
        self._handlers: dict[object, abc.DisposableBase] = {}
        # The requested status, and the number of steps to do before it.
        self._request: tuple[ControlStatus, int] = (ControlStatus.NONE, 0)
        self._n_requests = self._n_paused = 0

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, in addition to those that it is attached to.

        Returns:
            A Disposable that detaches again; a paused run of this runner goes on.
        """
        key = object()
        attached = attach(runner, Layer.STOP, dict.fromkeys(ENDS, self._end))
        with self._lock:
            alive = {key: slot for key, slot in self._slots.items() if slot.runner() is not None}
            self._slots = {**alive, key: runner._slot}
            self._update_handlers()

        def detach() -> None:
            with self._lock:
                self._slots = {
                    other: slot for other, slot in self._slots.items() if other is not key
                }
                self._update_handlers()

        return CompositeDisposable(attached, runner._slot.watch(), Disposable(detach))

    @property
    def status(self) -> ControlStatus:
        """What it does to its runs at the moment."""
        status, n_steps = self._request
        is_paused = status is _PAUSING and self._n_paused and not n_steps
        return ControlStatus.PAUSED if is_paused else status

    def pause(self) -> None:
        """Pause the run at the end of a batch, until `unpause`, `step` or `stop`."""
        self._ask(ControlStatus.PAUSING)

    def step(self) -> None:
        """Let a run that is paused, or about to be, do one more batch; pause a running one.

        Called twice, it lets the run do two.
        """
        with self._lock:
            status, n_steps = self._request
            self._ask(ControlStatus.PAUSING, n_steps + (status is ControlStatus.PAUSING))

    def unpause(self) -> None:
        """Let the run go on, and cancel every earlier request."""
        self._ask(ControlStatus.NONE)

    def stop(self) -> None:
        """Stop the run at the end of a batch. A run that has not begun yet is not stopped.

        A second call before that stops the run at once: it calls `rnnr.Runner.stop`, which skips
        the rest of the callbacks, and wakes a run that waits for a silent source.
        """
        with self._lock:
            is_first = self._request[0] is not ControlStatus.STOPPING and self._is_any_running()
            at_once = [] if is_first else self._live_runners().values()
            self._ask(ControlStatus.STOPPING if is_first else ControlStatus.NONE)
        for runner in at_once:  # without the lock, for which their sources may wait
            runner.stop()

    def wait_until_paused(self, timeout: float | None = None) -> bool:
        """Wait until a run is paused; its state can be read and changed then.

        Args:
            timeout: Seconds to wait at most; ``None`` for as long as it takes.

        Returns:
            Whether a run is paused.
        """
        with self._lock:
            return self._changed.wait_for(lambda: self.status is ControlStatus.PAUSED, timeout)

    def _ask(self, status: ControlStatus, n_steps: int = 0) -> None:
        request = status, n_steps
        number = self._n_requests = self._n_requests + 1
        with self._lock:
            # One line without a call, which a signal cannot interrupt: a signal handler makes its
            # own request before it, which is the later one and wins, or after it.
            self._request = request if number == self._n_requests else self._request
            self._update_handlers()

    def _live_runners(self) -> dict[object, Runner]:
        found = {key: slot.runner() for key, slot in self._slots.items()}
        return {key: runner for key, runner in found.items() if runner is not None}

    def _update_handlers(self) -> None:
        """Add a handler to the end of the batches of each runner, or remove them all.

        If a signal handler makes another request in the meantime, it begins again.
        """
        while True:
            request, slots = self._request, self._slots
            wanted = {} if request[0] is ControlStatus.NONE else self._live_runners()
            for key in self._handlers.keys() - wanted.keys():
                self._handlers.pop(key, Disposable()).dispose()
            for key in wanted.keys() - self._handlers.keys():
                stream = wanted[key].stream(Event.BATCH)
                handler = partial(self._wait_while_paused, key)
                vars(handler)["is_untimed"] = True  # the time of a pause is not its own
                added = stream.add(handler, layer=Layer.STOP)
                if self._handlers.setdefault(key, added) is not added:
                    added.dispose()  # a signal handler was quicker
            if request is self._request and slots is self._slots:
                break
        self._changed.notify_all()

    def _wait_while_paused(self, key: object, state: State) -> None:
        with self._lock:
            self._n_paused += 1
            try:
                while self._must_wait(key, state):
                    for slot, _, _ in runs_on_this_thread():  # the runs around it pause, too
                        slot.n_pauses += 1
                    self._changed.notify_all()  # for `wait_until_paused`
                    self._changed.wait(_INTERVAL)
            finally:
                self._n_paused -= 1
            slots = self._slots.values()
            if self._request[0] is ControlStatus.STOPPING and outermost(state, slots) is state:
                stop_after_event(state, type(self).__name__)

    def _must_wait(self, key: object, state: State) -> bool:
        status, n_steps = self._request
        if status is not ControlStatus.PAUSING or key not in self._handlers:
            return False
        if not state["running"] or any(slot.is_stopping for slot, _, _ in runs_on_this_thread()):
            return False
        if n_steps:
            self._request = status, n_steps - 1
        return not n_steps

    def _end(self, state: State) -> None:
        """Cancel the request when the last run has ended."""
        with self._lock:
            if not self._is_any_running(but=state):
                self.unpause()

    def _is_any_running(self, but: State | None = None) -> bool:
        return any(
            runner._slot.is_running and runner.state.get("running")
            for runner in self._live_runners().values()
            if runner.state is not but
        )
