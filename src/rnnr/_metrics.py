"""Which values of a state are metrics."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from rnnr.state import EPOCH, RESULTS, State

__all__ = ["results_of", "values_at"]


def results_of(state: State) -> tuple[str, ...]:
    """Return the keys of the epoch's results, of reducers and evaluations."""
    names: tuple[str, ...] = (state.get(EPOCH) or {}).get(RESULTS, ())
    return names


def values_at(state: State, keys: Iterable[str]) -> dict[object, object]:
    """Return the values of some keys by their names; of a mapping, what is in it."""
    found: dict[object, object] = {}
    for key in keys:
        if key in state:
            with suppress(Exception):  # a mapping may compute on reading; a view never breaks a run
                value = state[key]
                found.update(value if isinstance(value, (dict, Mapping)) else {key: value})
    return found
