"""What early stopping decides and remembers."""

import logging
from copy import deepcopy
from typing import Any, Final

from rnnr._numbers import number_of, precision_of
from rnnr.callbacks._restore import Restorer
from rnnr.operators._improvement import Limit, Rule, failures_in_a_row
from rnnr.state import STOPPED_BY, State, begin_key, reader, stop_after_event

__all__ = ["Stopper"]

logger = logging.getLogger("rnnr.callbacks.early_stopping")

PATIENCE: Final = "patience"

_KEY_CURE = "set it in a callback or a reducer that runs before this one"
_MESSAGES: Final = {
    PATIENCE: "Patience exceeded, stopping early: %(part)s, "
    "no better than %(best)s for %(failures)d values",
    "check_finite": "Not finite, stopping early: %(part)s, got %(value)s, best so far %(best)s",
    "stopping_threshold": "Stopping threshold reached, stopping early: %(part)s, got %(value)s",
    "divergence_threshold": "Divergence threshold exceeded, stopping early: %(part)s, "
    "got %(value)s, best so far %(best)s",
}
"""What is logged, by the argument that stops the run."""


class Stopper:
    """What early stopping decides and remembers; it does not know what it is attached to.

    It is beside `EarlyStopping`, which holds pipelines of its methods, and would be in a cycle with
    them: a model that is restored would stay until the garbage collector comes.

    Args:
        key: Key of the metric.
        part: What it is called in messages.
        rule: Whether a value is better, for the patience.
        is_best: The same without a least difference, for what is restored.
        limit: Which limit a value is beyond.
        patience: How many failures in a row to bear.
        warm_up: How many values at the beginning to skip.
        restorer: Copies what is to be restored.
        memory: Key of the state under which it remembers.
    """

    def __init__(
        self,
        key: str,
        part: str,
        rule: Rule,
        is_best: Rule,
        limit: Limit,
        patience: float,
        warm_up: int,
        restorer: Restorer,
        memory: str,
    ) -> None:
        self._read = reader(key, part, _KEY_CURE)
        self.part = part
        self._rule = rule
        self._is_best = is_best
        self._limit = limit
        self._patience = patience
        self._warm_up = warm_up
        self.restorer = restorer
        self.memory = memory

    def next(self, memory: dict[str, Any], state: State) -> dict[str, Any]:
        """Return the memory after one more value; a new dict, so that a copy of the state keeps."""
        seen = memory["seen"] + 1
        after = {**memory, "seen": seen, "due": None}
        if seen <= self._warm_up:
            return after
        metric = self._read(state)
        value = number_of(metric, self.part)
        due = self._limit(value, precision_of(metric))
        if due:
            after |= {"due": due, "value": value}
        if due == "check_finite":
            return after
        better = self._rule(memory["best"], value, seen)
        if better is not None:
            after["failures"] = failures_in_a_row(memory["failures"], not better)
            if not due and not better and after["failures"] > self._patience:
                after["due"] = PATIENCE
        if better:
            after["best"] = value
        if self._is_best(memory.get("kept_value", memory["best"]), value, seen):
            after |= {"kept_value": value, "kept": self.restorer.copy(state)}
        return after

    def is_due(self, state: State) -> bool:
        """Return whether the last value was one failure too many, or beyond a limit."""
        memory = state.get(self.memory, {})
        due = memory.get("due")
        return bool(due) and (due != PATIENCE or memory["failures"] > self._patience)

    def log(self, state: State) -> None:
        """Log why the run is stopped."""
        memory = state[self.memory]
        logger.info(_MESSAGES[memory["due"]], {"part": self.part, **memory})

    def stop(self, state: State) -> None:
        """Stop the run after the event, in which it was saved with the value that was too much.

        A run that is restarted from there stops again.
        """
        stop_after_event(state, self._name(state[self.memory]))

    def settle(self, state: State) -> None:
        """Remember that this has stopped the run: `rnnr.Runner.resume` trains on."""
        memory = state.get(self.memory, {})
        if memory.get("due") and state.get(STOPPED_BY) == self._name(memory):
            self._settle(state)

    def stop_at_once(self, state: State) -> None:
        """Stop the run, and remember that."""
        self._settle(state)
        state["running"] = False

    def _settle(self, state: State) -> None:
        state[self.memory] = {**state[self.memory], "due": None}

    def _name(self, memory: dict[str, Any]) -> str:
        return f"{self.part}: {memory['due']}"

    def begin(self, state: State) -> None:
        """Forget an earlier run."""
        begin_key(state, self.memory)

    def restore(self, state: State) -> None:
        """Put the best back at the end of a run, and keep what it replaces."""
        memory = state.get(self.memory, {})
        if memory.get("kept") and "replaced" not in memory:  # FAILED may come after FINISHED
            # first of all, so that a resume finds it even if the rest fails half-way
            state[self.memory] = {
                **memory,
                "replaced": self.restorer.current(state, memory["kept"]),
            }
            self.restorer.restore(state, deepcopy(memory["kept"]), memory["kept"])

    def put_back(self, state: State) -> None:
        """Put back what the best has replaced, as if the run had never ended."""
        memory = {**state.get(self.memory, {})}
        if "replaced" in memory:
            self.restorer.restore(state, memory.pop("replaced"), memory["kept"])
            state[self.memory] = memory
