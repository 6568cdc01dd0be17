"""The runs under way on a thread, and which of them is the outermost."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from weakref import ref

from reactivex.disposable import Disposable

__all__ = ["Run", "Slot", "outermost", "runs_on_this_thread", "slot_around"]

State: TypeAlias = dict[str, Any]

_local = threading.local()


class Slot:
    """What is known of a runner's runs: which one is under way, and whether views watch it.

    It refers to the runner weakly: the state of the runner may hold a model, which a view that
    keeps the slot must not keep alive.

    Args:
        runner: The runner.

    Attributes:
        runner: Returns the runner, or ``None`` when it is gone.
        token: Holds under "running" the token of the run that is under way. A dict and not a lock:
            an interrupt right after ``acquire`` would leave a lock locked.
        has_run: Whether a run has begun.
        n_pauses: Grows while a run is paused: the time of a pause is not part of its speed.
        is_stopping: Whether the run stops at its next whole batch, so that no pause may hold it.
    """

    __slots__ = ("_watchers", "has_run", "is_stopping", "n_pauses", "runner", "token")

    def __init__(self, runner: Any) -> None:
        self.runner: Callable[[], Any] = ref(runner)
        self.token: dict[str, object] = {}
        self.n_pauses = 0
        self.has_run = self.is_stopping = False
        self._watchers: dict[object, None] = {}

    def watch(self) -> Disposable:
        """Make the runs count for `outermost`, until disposed."""
        watcher = object()
        self._watchers[watcher] = None
        return Disposable(lambda: self._watchers.pop(watcher, None))

    @property
    def is_watched(self) -> bool:
        """Whether a view watches the runs."""
        return bool(self._watchers)

    @property
    def is_done_with(self) -> bool:
        """Whether its runner has run and is gone, so that nothing of it has to be kept."""
        return self.has_run and self.runner() is None

    @property
    def is_running(self) -> bool:
        """Whether a run is under way; a state saved during a run says so even after its end."""
        return "running" in self.token


Run: TypeAlias = tuple[Slot, object, State]
"""A run that has begun on this thread: its slot, its token, its state. To make a named tuple would
take as long as everything else that a run does here."""


def runs_on_this_thread() -> list[Run]:
    """Return the list of runs under way on this thread, the outermost first; a run appends itself.

    A run that an interrupt kept from removing itself is removed here: its token is no longer the
    one under "running".
    """
    runs: list[Run] | None = getattr(_local, "runs", None)
    if runs is None:
        runs = _local.runs = []
    if runs:
        runs[:] = [run for run in runs if run[0].token.get("running") is run[1]]
    return runs


def slot_around(state: State) -> Slot | None:
    """Return the slot of the outermost watched run on this thread, around the run of a state."""
    runs: list[Run] = getattr(_local, "runs", [])
    around = outermost(state)
    return next((slot for slot, _, other in runs if other is around is not state), None)


def outermost(state: State, among: Iterable[Slot] | None = None) -> State:
    """Return the state of the outermost watched run on this thread.

    A run that is not watched does not count: a loop over folds is not the axis of a training.

    Args:
        state: State of a run; it is returned if no other run is around it.
        among: Slots of the runners whose runs count; all watched runners if not given.
    """
    runs: list[Run] = getattr(_local, "runs", [])
    for slot, token, other in runs:
        if other is state:
            break  # the others are inside this one
        is_among = among is None or any(slot is each for each in among)
        if is_among and slot.is_watched and slot.token.get("running") is token:
            return other
    return state
