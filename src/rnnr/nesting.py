"""Which run is inside which: an evaluation in a callback of a training is part of the training."""

import threading
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr.claims import judge_runner
from rnnr.event import ENDS, Event
from rnnr.runner import Runner
from rnnr.state import State
from rnnr.stream import Callback, Layer

__all__ = ["is_under_way", "outermost", "track"]

_local = threading.local()


class _Run(NamedTuple):
    """A run that has begun on this thread; its end may go unheard."""

    runner: Runner
    token: object
    state: State

    def is_under_way(self) -> bool:
        """Tell whether it has not ended, which ``running`` does not tell: it may be stopping."""
        return self.runner._tokens.get("running", self) is self.token


def track(runner: Runner) -> abc.DisposableBase:
    """Have the runs of a runner known to `outermost`, until disposed.

    A run is known from the very first handler of its opening to the very last of its end.
    """
    judge_runner(runner)
    handlers: dict[Event, Callback] = {
        **dict.fromkeys((Event.STARTED, Event.RESUMED), partial(_enter, runner)),
        **dict.fromkeys(ENDS, _leave),
    }
    return CompositeDisposable(
        *(
            runner.stream(event).add(handler, layer=Layer.CLOCK)
            for event, handler in handlers.items()
        )
    )


def outermost(state: State, among: Iterable[Runner] | None = None) -> State:
    """Return the state of the tracked run on this thread that all others are inside of.

    Args:
        state: Of a run, which is the outermost itself if there is no other.
        among: Runners whose runs count; all, unless they are given.
    """
    for run in _runs():
        if run.state is state:
            break  # the others are inside of this one
        if (among is None or any(run.runner is one for one in among)) and run.is_under_way():
            return run.state
    return state


def is_under_way(runner: Runner) -> bool:
    """Tell whether a runner runs, which a state that was saved while it ran does not tell."""
    return "running" in runner._tokens


def _runs() -> list[_Run]:
    runs: list[_Run] | None = getattr(_local, "runs", None)
    if runs is None:
        runs = _local.runs = []
    return runs


def _enter(runner: Runner, state: State) -> None:
    runs = _runs()
    runs[:] = [run for run in runs if run.is_under_way()]
    if not any(run.state is state for run in runs):
        runs.append(_Run(runner, runner._tokens.get("running"), state))


def _leave(state: State) -> None:
    runs = _runs()
    runs[:] = [run for run in runs if run.state is not state]
