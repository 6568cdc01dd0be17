"""A metric object that is updated at each batch, and computed when the epoch ends."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from reactivex import abc

from rnnr._errors import add_note, check_string, wrong_type
from rnnr._metric_memory import METHODS, MetricMemory, TrackedMetric, is_metric
from rnnr._numbers import own
from rnnr.attachments._attachment import Attachment, attach, reserve_key
from rnnr.event import Event
from rnnr.runner import Runner, check_runner
from rnnr.state import LATEST, REDUCER, RESULTS, State, check_key, epoch_memory, reader
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["Metric", "MetricReducer"]


class Metric(Protocol):
    """What torchmetrics, pytorch-ignite, torcheval and your own classes have in common."""

    @property
    def update(self) -> Callable[..., object]:
        """Counts a batch."""

    @property
    def compute(self) -> Callable[[], Any]:
        """Returns the result of what was counted."""

    @property
    def reset(self) -> Callable[[], object]:
        """Forgets what was counted."""


class MetricReducer(Attachment):
    """An attachment that has a metric object count the batches of an epoch.

    A metric is any object with ``update``, ``compute`` and ``reset``, of torchmetrics, of
    pytorch-ignite, or written by hand. It is reset when an epoch begins and updated at each batch.
    At the end of an epoch ``state[name]`` is what ``compute()`` returns, whether it is a number, a
    dict or an array. It is ``None`` if the epoch had no batches, and nothing is computed then.

    The metric gets copies, and the state gets a copy of the result: tensors without their graphs,
    and arrays that may be filled again. What a tensor is, the result stays: `float` makes a number
    of one item.

    What the metric remembers is part of the state, so a run that is resumed in the middle of an
    epoch has the same result, also in another process. That is its attributes that are plain values
    (numbers, text, arrays, containers of these), and those of metrics in it. Functions and models
    in it are left out. Where it has another object in it, saving the state is an error, and
    `rnnr.durable.Snapshots` raises it when the run begins, unless ``__getstate__`` leaves it out,
    or the metric has ``state_dict()`` and ``load_state_dict()`` of its own.

    A metric works for one epoch at a time. One that two runners have may be used by one after the
    other; where a second epoch begins before the first has ended, the first raises an error.

    Args:
        name: Key for the result.
        metric: The metric, which stays the object that is updated.
        value: What to update it with: a key of the state, which a BATCH callback sets, or a
            function of the state. The items of a tuple are separate arguments.

    Raises:
        TypeError: If ``name`` is not a string, ``metric`` lacks a method, or ``value`` is neither a
            key nor a function.
        ValueError: If ``name`` is a key that the run writes.
        KeyError: In a run, when ``state[value]`` is not set.
        RuntimeError: In a run, when the metric was reset for another run in the middle of an epoch.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import MetricReducer
        >>> class Accuracy:
        ...     def reset(self):
        ...         self.n_right = self.n_items = 0
        ...     def update(self, predicted, true):
        ...         self.n_right += sum(a == b for a, b in zip(predicted, true))
        ...         self.n_items += len(true)
        ...     def compute(self):
        ...         return self.n_right / self.n_items
        >>> runner = Runner()
        >>> subscription = MetricReducer("accuracy", Accuracy()).attach_on(runner)
        >>> @runner.on(Event.BATCH)
        ... def predict(state):
        ...     true = state["batch"]
        ...     state["output"] = "a" * len(true), true
        >>> runner.run(["aab", "b"])
        >>> runner.state["accuracy"]
        0.5
    """

    def __init__(
        self, name: str, metric: Metric, *, value: str | Callable[[State], Any] = "output"
    ) -> None:
        check_string("name", name, "name the key for the result")
        check_key("name", name)
        if not is_metric(metric):
            raise _not_a_metric(metric)
        self.name = name
        self._part = part = f"MetricReducer({name!r})"
        self._tracked = TrackedMetric(metric, part)
        cure = f"set state[{value!r}] in a BATCH callback, or name another key: value='...'"
        self._read = value if callable(value) else reader(value, part, cure)

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that detaches again.

        Raises:
            ValueError: If another part of the runner writes ``state[name]``.
        """
        check_runner(runner)
        free = runner._keys.reserve("name", self.name, self._part, owner=object())
        key, reserved = reserve_key(runner, REDUCER + self.name, free)
        handlers: Mapping[Event, Callback] = {
            Event.STARTED: partial(self._begin, key),  # what cannot be saved is told at once
            Event.RESUMED: partial(self._resume, key),
            Event.EPOCH_STARTED: partial(self._begin, key),
            Event.BATCH: partial(self._update, key),
            Event.EPOCH_FINISHED: partial(self._store, key),
        }
        return attach(runner, Layer.REDUCE, handlers, reserved)

    def _begin(self, key: str, state: State) -> None:
        memory = epoch_memory(state)
        memory.pop(LATEST + key, None)
        memory[key] = self._tracked.begin()

    def _resume(self, key: str, state: State) -> None:
        memory: MetricMemory | None = epoch_memory(state).get(key)
        if memory is not None:
            self._tracked.restore(memory)
            self._tracked.warn_of_unfinished(memory)

    def _update(self, key: str, state: State) -> None:
        memory, epoch = self._held(key, state), epoch_memory(state)
        n_iters = state["n_iters"]
        if epoch.get(LATEST + key) == n_iters:  # repeated for another part, which has failed in it
            return
        value = own(self._read(state), graph=False)
        memory.unfinished = n_iters
        metric = self._tracked.metric
        try:
            metric.update(*value) if isinstance(value, tuple) else metric.update(value)
        except BaseException as error:
            kinds = map(type, value if isinstance(value, tuple) else [value])
            names = ", ".join(kind.__name__ for kind in kinds)
            add_note(error, f"rnnr: while {self._part} called update({names})")
            raise
        epoch[LATEST + key] = n_iters
        memory.unfinished = None

    def _store(self, key: str, state: State) -> None:
        memory, epoch = self._held(key, state), epoch_memory(state)
        has_batches = LATEST + key in epoch
        result = self._tracked.metric.compute() if has_batches else None
        state[self.name] = own(result, graph=False)
        memory.is_over = True
        epoch[RESULTS] = (*epoch.get(RESULTS, ()), self.name)

    def _held(self, key: str, state: State) -> MetricMemory:
        """Return the memory in the state, for which the metric works."""
        epoch = epoch_memory(state)
        if key not in epoch:  # attached in the middle of an epoch
            self._begin(key, state)
        memory: MetricMemory = epoch[key]
        self._tracked.restore(memory)
        if memory.is_taken:
            raise self._tracked.taken()
        return memory


def _not_a_metric(metric: object) -> TypeError:
    lacking = [name for name in METHODS if not callable(getattr(metric, name, None))]
    cure = f"give it {', '.join(lacking)}; a function of one batch goes with a MeanReducer"
    if isinstance(metric, type):
        cure = f"make one, {metric.__name__}(...)"
    return wrong_type("metric", "an object with update, compute and reset", metric, cure)
