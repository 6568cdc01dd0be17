"""Which files are the best by a metric, and their values in the memory of the run."""

import os
from collections.abc import Callable, Iterable
from math import isnan
from typing import Any, Final

from rnnr._errors import check_string
from rnnr._numbers import number_of
from rnnr.files import KeptFiles, SavedFile, SavedFiles
from rnnr.operators._improvement import improvement_rule
from rnnr.state import RUN, State, check_metric, reader, run_memory

__all__ = ["Ranking", "is_of_another_moment", "is_there"]

_VALUES: Final = "_values"
"""Key, in the memory of a run, of the value and the batch of each file, for each saver."""

_CURE = "set it in a callback or a reducer that runs before this one, or save only when it is set"


class Ranking:
    """Ranks files by the values of a metric when they were written.

    A NaN is never among the best. Of two equal values the older file is the better one.

    Args:
        part: What it is called in messages.
        key: Key of the metric.
        mode: ``"min"`` if less is better, ``"max"`` if more is.
    """

    def __init__(self, part: str, key: str, mode: str) -> None:
        check_string("best", key, "name the metric, for example 'valid_loss'")
        check_metric("best", key)
        self._is_better = improvement_rule(part, mode, 0.0, "no-improvement")
        self._part = part
        self._read = reader(key, part, _CURE)
        self._mode = mode
        self.key = key

    def __str__(self) -> str:
        return f"{self._mode} {self.key}"

    def is_among_best(
        self, state: State, saver: str, own: Iterable[str], path: str, n: int
    ) -> bool:
        """Return whether a file that is written now is among the n best.

        Args:
            state: State of the run.
            saver: Name of the part that keeps the files.
            own: Files that it keeps and that are there.
            path: Where the new one would be written.
            n: How many it is to keep.
        """
        value, values = self._value(state), _values_of(state, saver)
        as_good = [one for one in own if not self._is_better(values.get(one), value, 0)]
        return not isnan(value) and len(as_good) < n and path not in as_good

    def remember(
        self, state: State, saver: str, own: Iterable[str], path: str
    ) -> Callable[[bool], None]:
        """Remember the value of a file that is written now; return what forgets it again.

        That takes whether the file is still the one that was there before. If it is not, a writer
        has left a fragment there, which is not among the best.
        """
        memory = run_memory(state)
        before: dict[str, Any] = memory.get(_VALUES, {})
        kept = {one: entry for one, entry in before.get(saver, {}).items() if one in {*own}}
        entry = [self._value(state), state.get("n_iters")]
        memory[_VALUES] = {**before, saver: {**kept, path: entry}}

        def forget(is_as_before: bool) -> None:
            whole = kept if is_as_before else {one: kept[one] for one in kept if one != path}
            memory[_VALUES] = {**before, saver: whole}

        return forget

    def worst_first(self, files: KeptFiles) -> KeptFiles:
        """Return the files in another order: those that are gone, then the worst to the best."""
        saved = SavedFiles.of(files.state[files.key]).files
        values = _values_of(files.state, files.saver)
        sign = 1 if self._mode == "min" else -1

        def badness(path: str) -> tuple[bool, float]:
            is_known = path in values and is_there(path, saved[path])
            return not is_known, sign * values.get(path, 0.0)

        newest_first = reversed(files.paths)
        return files._replace(paths=tuple(sorted(newest_first, key=badness, reverse=True)))

    def _value(self, state: State) -> float:
        return number_of(self._read(state), self._part)


def is_of_another_moment(state: State, savers: Iterable[str], path: str) -> bool:
    """Return whether one of several keeps a file among its best, and wrote it at another batch."""
    values = state.get(RUN, {}).get(_VALUES, {})
    entries = [values[saver][path] for saver in savers if path in values.get(saver, {})]
    return any(n_iters != state.get("n_iters") for _, n_iters in entries)


def is_there(path: str, file: SavedFile) -> bool:
    """Return whether a file was not deleted by another program; a writer may have made none."""
    return file.stamp is None or os.path.lexists(path)


def _values_of(state: State, saver: str) -> dict[str, float]:
    entries = state.get(RUN, {}).get(_VALUES, {}).get(saver, {})
    return {path: value for path, (value, _) in entries.items()}
