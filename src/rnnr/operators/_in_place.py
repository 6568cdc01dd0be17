"""A scheduler that does at once what is due."""

from typing import TypeVar

from reactivex import abc
from reactivex.scheduler import TimeoutScheduler

__all__ = ["InPlaceScheduler"]

_T = TypeVar("_T")


class InPlaceScheduler(TimeoutScheduler):
    """Runs what is due now in place, and what is due later by a timer.

    ReactiveX's default puts off whatever is scheduled inside a subscription until that returns:
    for a run inside one, ``rx.of(batches).subscribe(runner.run)``, until after its end.
    """

    def schedule(
        self, action: abc.ScheduledAction[_T], state: _T | None = None
    ) -> abc.DisposableBase:
        """Run an action now."""
        return self.invoke_action(action, state)
