"""Pause, step, go on, stop: from outside of the run."""

from enum import Enum
from functools import partial
from threading import Condition, RLock

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._runs import Slot, outermost, runs_on_this_thread
from rnnr.attachments._attachment import Attachment, attach
from rnnr.event import ENDS, Event
from rnnr.runner import Runner
from rnnr.state import State
from rnnr.streams._layer import last_layer

__all__ = ["Control", "ControlStatus"]

_LOOK = 0.1  # seconds after which a run that is held looks whether somebody else has stopped it


class ControlStatus(Enum):
    """What a `Control` does to its runs.

    Attributes:
        NONE: Nothing: they run, or there is none.
        PAUSING: A pause was asked for; no run waits yet.
        PAUSED: A run waits at the end of a batch.
        STOPPING: A stop was asked for; the run has not come to it yet.
    """

    NONE = "none"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"


_PAUSING = (
    ControlStatus.PAUSING
)  # to look it up takes as long as the rest of what asks at each batch


class Control(Attachment):
    """Pauses, steps and stops runs from outside: another thread, a signal handler, a page.

    A run is held and stopped at the end of a batch, when all its callbacks have had their turn, so
    nothing of it is lost: of the batch that is drawn next, where the callbacks of one are under
    way. Until one of the methods is called, it adds nothing to a batch. Attach one to a training
    and its evaluation on the same thread: both are held, and only the training is stopped.

    Attributes:
        status (ControlStatus): What it does at the moment.

    Example:
        >>> from threading import Timer
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments._control import Control
        >>> runner, control = Runner(), Control()
        >>> subscription = control.attach_on(runner)
        >>> control.pause()  # it may be asked for before the run begins
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
        self._gates: dict[object, abc.DisposableBase] = {}
        self._asked: tuple[ControlStatus, int] = (
            ControlStatus.NONE,
            0,
        )  # what for, and the steps to be done before
        self._n_asked = self._n_held = 0

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner, beside those that it is attached to.

        Returns:
            A Disposable that detaches again, and lets go of a run of this runner.
        """
        key = object()
        layer = last_layer(Event.STOPPED)
        attached = attach(runner, layer, dict.fromkeys(ENDS, self._end))
        with self._lock:
            known = {key: slot for key, slot in self._slots.items() if slot.runner() is not None}
            self._slots = {**known, key: runner._slot}
            self._place_gates()

        def detach() -> None:
            with self._lock:
                self._slots = {
                    other: slot for other, slot in self._slots.items() if other is not key
                }
                self._place_gates()

        return CompositeDisposable(attached, runner._slot.watch(), Disposable(detach))

    @property
    def status(self) -> ControlStatus:
        """What it does to its runs at the moment."""
        wish, n_steps = self._asked
        return ControlStatus.PAUSED if wish is _PAUSING and self._n_held and not n_steps else wish

    def pause(self) -> None:
        """ControlStatus the run at the end of a batch, until `unpause`, `step` or `stop`."""
        self._ask(ControlStatus.PAUSING)

    def step(self) -> None:
        """Let a run that is held, or will be, do one more batch; pause one that runs.

        Called twice, it lets the run do two.
        """
        with self._lock:
            wish, n_steps = self._asked
            self._ask(ControlStatus.PAUSING, n_steps + (wish is ControlStatus.PAUSING))

    def unpause(self) -> None:
        """Let the run go on; what was asked for before is called off."""
        self._ask(ControlStatus.NONE)

    def stop(self) -> None:
        """Stop the run at the end of a batch. A run that has not begun yet is not stopped.

        Called again before that, it waits no longer: it calls `rnnr.Runner.stop`, which skips the
        rest of the callbacks, and wakes a run that waits for a silent source.
        """
        with self._lock:
            is_first = self._asked[0] is not ControlStatus.STOPPING and self._is_any_running()
            at_once = [] if is_first else self._living().values()
            self._ask(ControlStatus.STOPPING if is_first else ControlStatus.NONE)
        for runner in at_once:  # without the lock, for which their sources may wait
            runner.stop()

    def wait_until_paused(self, timeout: float | None = None) -> bool:
        """Wait until a run is held; its state can be looked at and changed then.

        Args:
            timeout: Seconds to wait at most; ``None`` for as long as it takes.

        Returns:
            Whether a run is held.
        """
        with self._lock:
            return self._changed.wait_for(lambda: self.status is ControlStatus.PAUSED, timeout)

    def _ask(self, wish: ControlStatus, n_steps: int = 0) -> None:
        asked = wish, n_steps
        number = self._n_asked = self._n_asked + 1
        with self._lock:
            # one line without a call: a signal handler asks before it, and was later, or after it
            self._asked = asked if number == self._n_asked else self._asked
            self._place_gates()

    def _living(self) -> dict[object, Runner]:
        found = {key: slot.runner() for key, slot in self._slots.items()}
        return {key: runner for key, runner in found.items() if runner is not None}

    def _place_gates(self) -> None:
        """Put a gate at the end of the batches of each runner, or take them all away.

        A signal handler may ask for something else in the middle of it: then it begins again.
        """
        while True:
            asked, slots = self._asked, self._slots
            wanted = {} if asked[0] is ControlStatus.NONE else self._living()
            for key in self._gates.keys() - wanted.keys():
                self._gates.pop(key, Disposable()).dispose()
            for key in wanted.keys() - self._gates.keys():
                stream = wanted[key].stream(Event.BATCH)
                gate = partial(self._held, key)
                vars(gate)["is_untimed"] = True  # it waits for somebody, and takes no time itself
                added = stream.add(gate, layer=last_layer(Event.BATCH))
                if self._gates.setdefault(key, added) is not added:
                    added.dispose()  # a signal handler was quicker
            if asked is self._asked and slots is self._slots:
                break
        self._changed.notify_all()

    def _held(self, key: object, state: State) -> None:
        with self._lock:
            self._n_held += 1
            try:
                while self._is_held(key, state):
                    for slot, _, _ in runs_on_this_thread():  # those around it are held, too
                        slot.n_pauses += 1
                    self._changed.notify_all()  # those who wait for it
                    self._changed.wait(_LOOK)
            finally:
                self._n_held -= 1
            slots = self._slots.values()
            if self._asked[0] is ControlStatus.STOPPING and outermost(state, slots) is state:
                state["running"] = False

    def _is_held(self, key: object, state: State) -> bool:
        wish, n_steps = self._asked
        if wish is not ControlStatus.PAUSING or key not in self._gates or not state["running"]:
            return False
        if n_steps:
            self._asked = wish, n_steps - 1
        return not n_steps

    def _end(self, state: State) -> None:
        """Call off what was asked for, when the last run has ended."""
        with self._lock:
            if not self._is_any_running(but=state):
                self.unpause()

    def _is_any_running(self, but: State | None = None) -> bool:
        return any(
            runner._slot.is_running and runner.state.get("running")
            for runner in self._living().values()
            if runner.state is not but
        )
