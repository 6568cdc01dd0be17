"""Which runs are under way on a thread, and which of them is inside which."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias
from weakref import ref

from reactivex.disposable import Disposable

__all__ = ["Run", "Slot", "outermost", "runs_on_this_thread"]

State: TypeAlias = dict[str, Any]

_local = threading.local()


class Slot:
    """The place of a runner among the runs: it runs once at a time, and some watch it.

    Nobody who keeps it keeps the runner alive, whose state may hold a model.

    Args:
        runner: The runner.

    Attributes:
        runner: Returns the runner, or ``None`` when it is gone.
        token: Under "running" what stands for the run that is under way. A dict and not a lock: an
            interrupt right after ``acquire`` would leave it locked.
        has_run: Whether a run has begun.
        n_holds: Grows while a run is held: the time of a pause is not part of its speed.
    """

    __slots__ = ("_watchers", "has_run", "n_holds", "runner", "token")

    def __init__(self, runner: Any) -> None:
        self.runner: Callable[[], Any] = ref(runner)
        self.token: dict[str, object] = {}
        self.n_holds = 0
        self.has_run = False
        self._watchers: dict[object, None] = {}

    def watch(self) -> Disposable:
        """Have the runs count for `outermost`, until disposed."""
        watcher = object()
        self._watchers[watcher] = None
        return Disposable(lambda: self._watchers.pop(watcher, None))

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches the runs."""
        return bool(self._watchers)

    @property
    def is_done_with(self) -> bool:
        """Whether its runner has run, and is gone: what was kept of it is of no use any more."""
        return self.has_run and self.runner() is None

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, which a state that was saved meanwhile does not tell."""
        return "running" in self.token


Run: TypeAlias = tuple[Slot, object, State]
"""A run that has begun on this thread: its slot, its token, its state. A named tuple would take as
long to make as all else that a run does here."""


def runs_on_this_thread() -> list[Run]:
    """Return the runs under way on this thread, the outermost first: a list to add the next to.

    An interrupt may have kept the end of one from being told, and ``running`` does not tell it.
    """
    runs: list[Run] | None = getattr(_local, "runs", None)
    if runs is None:
        runs = _local.runs = []
    if runs:
        runs[:] = [run for run in runs if run[0].token.get("running") is run[1]]
    return runs


def outermost(state: State, among: Iterable[Slot] | None = None) -> State:
    """Return the state of the watched run on this thread that all others are inside of.

    A run that nobody watches does not count: a loop over folds is not the axis of a training.

    Args:
        state: Of a run, which is the outermost itself if there is no other.
        among: Slots of the runners whose runs count; those of all watched ones if left out.
    """
    runs: list[Run] = getattr(_local, "runs", [])
    for slot, token, other in runs:
        if other is state:
            break  # the others are inside of this one
        is_among = among is None or any(slot is one for one in among)
        if is_among and slot.is_watched and slot.token.get("running") is token:
            return other
    return state
