"""The bar of one runner: what it is told, and what happens when it fails."""

from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from typing import Any, Final, Protocol

from rnnr._errors import wrong_type
from rnnr._isolate import Failures
from rnnr.attachments._bar_span import Bounds, Span
from rnnr.attachments._display import plain_number
from rnnr.state import Reader, State, is_open

__all__ = ["STATS", "AnyBar", "Bar", "LiveBar", "UserBar"]

# What may fail during a run, as the log says it.
STATS: Final = "ProgressBar cannot show statistics"
_DRAWING: Final = "ProgressBar cannot draw its bar, and shows none for this epoch"
_ITEMS: Final = "ProgressBar cannot count the items of a batch"


class Bar(Protocol):
    """The methods that the bars of ``tqdm_cls`` need."""

    def set_postfix(self, **stats: Any) -> object:
        """Show statistics."""

    def update(self, n: Any) -> object:
        """Advance by ``n``."""

    def close(self) -> object:
        """Draw for the last time and close the bar."""


class AnyBar(Protocol):
    """A bar of any class."""

    def show(self, stats: Any) -> object:
        """Show statistics, a mapping of any names to any values."""

    def update(self, n: Any) -> object:
        """Advance by ``n``."""

    def turn(self, desc: str | None, arguments: dict[str, Any]) -> object:
        """Begin the next epoch, with another description and total."""

    def close(self) -> object:
        """Draw for the last time and close the bar."""


class LiveBar:
    """The bar of one runner during an epoch or a run; its position is in the state.

    A bar that fails is closed, and the next epoch makes a new one.

    Args:
        make: Makes a bar of the state and its bounds.
        describe: Returns the description for a state.
        span: What the bar spans.
        position: Key of its position in the memory of what it spans.
        n_items: Key of the number of items in a batch.
        stats: Reads the statistics.
        failures: Logs what fails.
    """

    attached_as: Final = "ProgressBar"

    def __init__(
        self,
        make: Callable[[State, Bounds], AnyBar],
        describe: Callable[[State], str | None],
        span: Span,
        position: str,
        n_items: str,
        stats: Reader | None,
        failures: Failures,
    ) -> None:
        self._make = make
        self._describe = describe
        self._span = span
        self._memory = span.memory
        self._position = position
        self._n_items = n_items
        self._stats = stats
        self._failures = failures
        self._bar: AnyBar = _NO_BAR
        self._counts_epochs = False

    def open(self, state: State) -> None:
        """Show a bar at its position, or go on with the one that is shown."""
        try:
            bounds = self._span.bounds(state, self._memory(state).get(self._position, 0))
            if self._bar is _NO_BAR or not self._span.is_run:
                self._counts_epochs = bounds.counts_epochs
                self._bar = self._make(state, bounds)
            elif self._counts_epochs == bounds.counts_epochs:  # else the length is new: too late
                self._bar.turn(self._describe(state), bounds.arguments)
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._failures.log(_DRAWING, error)

    def reopen(self, state: State) -> None:
        """Show the bar of a resumed epoch."""
        if is_open(state):
            self.open(state)

    def update(self, state: State) -> None:
        """Show the statistics of a batch and advance by its items."""
        if self._stats is not None:
            try:
                self._bar.show(self._stats(state))
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._failures.log(STATS, error)
        n_items = state.get(self._n_items, 1)
        if type(n_items) is not int:
            n_items = self._counted(n_items)
        if not self._counts_epochs:
            try:
                self._bar.update(n_items)
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._drop(error)
        try:
            memory = self._memory(state)
            memory[self._position] = memory.get(self._position, 0) + n_items
        except Exception as error:  # noqa: BLE001  (it is logged: two kinds of numbers, say)
            self._failures.log(_ITEMS, error)

    def finish_epoch(self, state: State) -> None:
        """Close the bar of an epoch; the bar of a run counts the epoch, if it counts those."""
        if not self._span.is_run:
            self.close(state)
        elif self._counts_epochs:
            try:
                self._bar.update(1)
            except Exception as error:  # noqa: BLE001  (it is logged)
                self._drop(error)

    def close(self, _: State | None = None) -> None:
        """Close the bar, if one is shown."""
        try:
            self._bar.close()  # first: if it is interrupted, FAILED closes it again
        except Exception as error:  # noqa: BLE001  (it is logged)
            self._failures.log(_DRAWING, error)
        self._bar = _NO_BAR

    def _drop(self, error: Exception) -> None:
        bar, self._bar = self._bar, _NO_BAR
        self._failures.log(_DRAWING, error)
        with suppress(Exception):  # a further error is a consequence of the first
            bar.close()

    def _counted(self, n_items: Any) -> Any:
        """Return a number of items as a plain number, and 0 for anything else."""
        try:
            number = plain_number(n_items)
            if isfinite(number):
                return number
        except Exception:  # noqa: BLE001, S110  (logged below, with a cure)
            pass
        key = f"state[{self._n_items!r}]"
        cure = "set it to the number of items in the batch"
        self._failures.log(_ITEMS, wrong_type(key, "a finite number", n_items, cure))
        return 0


class UserBar:
    """A bar of the user's class."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self.update = bar.update
        self.close = bar.close

    def show(self, stats: Any) -> None:
        """Show statistics, with their names as strings, since they become keyword arguments."""
        stats = dict(stats)
        self._bar.set_postfix(**{str(name): plain_number(value) for name, value in stats.items()})

    def turn(self, desc: str | None, arguments: dict[str, Any]) -> None:  # noqa: ARG002
        """Show another description, if the bar can."""
        describe = getattr(self._bar, "set_description", None)
        if desc is not None and describe is not None:
            describe(desc)


class _NoBar:
    """Stands for the bar while none is shown."""

    def show(self, stats: Any) -> None:
        """Do nothing."""

    def update(self, n: Any) -> None:
        """Do nothing."""

    def turn(self, desc: str | None, arguments: dict[str, Any]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


_NO_BAR = _NoBar()
