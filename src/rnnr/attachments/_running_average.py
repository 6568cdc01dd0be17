"""The average of a value over the latest batches, for the bar."""

from typing import Final

from reactivex import abc
from reactivex.disposable import Disposable

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr.attachments._attachment import Attachment, attach
from rnnr.event import Event
from rnnr.operators._averaging import AveragingRule
from rnnr.operators._ema import check_decay, ema_rule
from rnnr.operators._running_mean import window_rule
from rnnr.runner import Runner, check_runner
from rnnr.state import State, check_key, reader, run_memory
from rnnr.streams._layer import Layer

__all__ = ["RunningAverage"]

_DECAY: Final = 0.98


class RunningAverage(Attachment):
    """An attachment that averages a value over the latest batches, for a bar.

    After each batch ``state[stats][name]`` is the average, beside the other statistics. It is an
    exponential moving average, or a mean over a window, as of the operators `rnnr.operators.ema`
    and `rnnr.operators.running_mean`: from the first batch on it is not drawn towards zero, it is
    computed in 64 bits, and it keeps no graph. What it remembers is in the memory of the run, so a
    resumed run goes on with it, also in another process; a new run begins again.

    Args:
        name: Name of the average among the statistics.
        value: Key of the batch's value, a number, array or tensor, which a BATCH callback sets; by
            default the name.
        decay: Weight of a value relative to the one after it, between 0 and 1: 0.98, the default,
            averages over about fifty batches.
        window: Number of batches in the window, instead of ``decay``.
        stats: Key of the statistics, a dict, which `ProgressBar` shows.

    Raises:
        TypeError: If an argument has the wrong type; in a run, if a value cannot be averaged, or
            ``state[stats]`` is not a dict.
        ValueError: If ``decay`` is not strictly between 0 and 1, ``window`` is below 1, or both are
            given.
        KeyError: In a run, when ``state[value]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import RunningAverage
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def train(state):
        ...     state["loss"] = state["batch"]
        >>> attached = RunningAverage("loss", window=2).attach_on(runner)
        >>> runner.run([4, 2, 1])
        >>> runner.state["stats"]
        {'loss': 1.5}
    """

    def __init__(
        self,
        name: str,
        *,
        value: str | None = None,
        decay: float | None = None,
        window: int | None = None,
        stats: str = "stats",
    ) -> None:
        check_string("name", name, "name the average, for example 'loss'")
        check_string("stats", stats, "name the key of the statistics")
        if decay is not None and window is not None:
            cure = "pass one of them"
            raise wrong_value("window", "left out where decay is given", window, cure)
        value = name if value is None else value
        check_key("stats", stats, value)
        self._part = part = f"RunningAverage({name!r})"
        self._name = name
        self._stats = stats
        self._key = f"_average {stats} {name}"
        cure = f"set state[{value!r}] in a BATCH callback, or name another key: value='...'"
        self._read = reader(value, part, cure)
        self._rule: AveragingRule
        if window is not None:
            n = as_integer("window", window, 1, "pass the number of batches to average over")
            self._rule = window_rule(n, part)
        else:
            self._rule = ema_rule(check_decay(_DECAY if decay is None else decay), part)

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that detaches again.

        Raises:
            ValueError: If another one on the runner has the same name.
        """
        check_runner(runner)
        free = runner._keys.reserve("name", self._key, self._part, object(), what="a statistic")
        return attach(runner, Layer.REDUCE, {Event.BATCH: self._average}, Disposable(free))

    def _average(self, state: State) -> None:
        value, stats = self._read(state), state.get(self._stats, {})
        if not isinstance(stats, dict):
            cure = "set it to a dict of statistics, or name another key: stats='...'"
            raise wrong_type(f"state[{self._stats!r}]", "a dict", stats, cure)
        memory = run_memory(state)
        memory[self._key], average = self._rule(memory.get(self._key, {}), value)
        state[self._stats] = {**stats, self._name: average}
