"""Early stopping by a metric, and the return to its best."""

import logging
from copy import deepcopy
from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr._numbers import number_of
from rnnr._pipeline import named
from rnnr.attachments._attachment import reserve_key
from rnnr.callbacks._restore import Restorer
from rnnr.event import ENDS, Event
from rnnr.operators._do import do
from rnnr.operators._fold import folding
from rnnr.operators._improvement import Rule, check_patience, failures_in_a_row, improvement_rule
from rnnr.operators._pipeline import pipeline
from rnnr.operators._when import when
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selection
from rnnr.state import (
    STOPPED_BY,
    State,
    begin_key,
    check_key,
    check_metric,
    reader,
    stop_after_event,
)
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["EarlyStopping", "early_stopping"]

logger = logging.getLogger("rnnr.callbacks.early_stopping")

_KEY_CURE = "set it in a callback or a reducer that runs before this one"


def early_stopping(
    key: str,
    mode: str = "min",
    patience: float = 5,
    *,
    min_delta: float = 0.0,
    warm_up: int = 0,
    nan: str = "no-improvement",
    restore: Any = None,
    memory: str | None = None,
) -> "EarlyStopping":
    """Make a callback that stops the run when a metric has not got better for a while.

    The callback counts the values in a row of ``state[key]`` that are not better than the best
    before them. When the count exceeds ``patience`` it sets ``state["running"]`` to ``False`` and
    logs so on ``rnnr.callbacks.early_stopping``. What it remembers is in the state, so a resumed
    run goes on with it, also in another process.

    Attach it with ``early_stopping(...).attach_on(runner)``: the run stops when all callbacks of
    the event have run. Without ``restore`` it is also a plain callback, for ``runner.on``, which
    stops the run at once. Each `rnnr.Runner.run` begins to count again.

    Note:
        ``patience=n`` of Keras and Lightning is ``patience=n - 1`` here: they stop at the
        n-th failure in a row, this one bears n of them, as `maybe_stop_early` does.

    Args:
        key: Key of the metric: a number, a NumPy scalar or a tensor of one item.
        mode: ``"min"`` if less is better, ``"max"`` if more is.
        patience: How many failures in a row to bear; one more stops the run.
        min_delta: A value is better if it is so by more than this.
        warm_up: Number of values at the beginning to skip.
        nan: What to make of a NaN, which is never the best: ``"raise"`` a ValueError,
            ``"ignore"`` it, or count it as ``"no-improvement"``.
        restore: What to put back as it was when the metric was best (by however little, so
            ``min_delta`` does not count), once the run ends, be it
            finished, stopped or failed: a key of the state, a list of keys, or an object with
            ``state_dict()`` and ``load_state_dict()``. At each improvement a deep copy is kept in
            the state, of the value or, if it has these two methods, of what they return.
            Callbacks of FINISHED, STOPPED and FAILED see the best. A resume puts back what was
            there before, so a run that was stopped and resumed trains as if it never had been.
        memory: Key of the state under which it remembers; by default ``_early_stopping_{key}``.
            Two on one metric need one each.

    Returns:
        The callback.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has a value that makes no sense.
        KeyError: When the callback is called and ``state[key]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.callbacks import early_stopping
        >>> losses = iter([0.5, 0.4, 0.6, 0.7, 0.8, 0.3])
        >>> runner = Runner()
        >>> @runner.on(Event.EPOCH_FINISHED)
        ... def evaluate(state):
        ...     state["loss"] = next(losses)
        ...     state["weights"] = f"weights of epoch {state['epoch']}"
        >>> attached = early_stopping("loss", patience=2, restore="weights").attach_on(runner)
        >>> runner.run([], max_epoch=6)
        >>> runner.state["epoch"], runner.state["weights"]
        (5, 'weights of epoch 2')
    """
    check_string("key", key, "name the metric, for example 'loss'")
    part = f"early_stopping({key!r})"
    rule = improvement_rule(part, mode, min_delta, nan)
    check_patience("patience", patience)
    cure = "pass a number of values to skip; 0 checks from the first value on"
    warm_up = as_integer("warm_up", warm_up, 0, cure)
    memory = f"_early_stopping_{key}" if memory is None else memory
    check_string("memory", memory, "name the key under which to remember")
    check_metric("key", key)
    check_key("memory", memory, key)
    is_best = improvement_rule(part, mode, 0.0, "no-improvement")
    stopper = Stopper(key, part, rule, is_best, patience, warm_up, Restorer(part, restore), memory)
    return EarlyStopping(stopper, restores=restore is not None)


class Stopper:
    """What early stopping decides and remembers; it does not know what it is attached to.

    It is beside `EarlyStopping`, which holds pipelines of its methods, and would be in a cycle with
    them: a model that is restored would stay until the garbage collector comes.

    Args:
        key: Key of the metric.
        part: What it is called in messages.
        rule: Whether a value is better, for the patience.
        is_best: The same without a least difference, for what is restored.
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
        patience: float,
        warm_up: int,
        restorer: Restorer,
        memory: str,
    ) -> None:
        self._read = reader(key, part, _KEY_CURE)
        self.part = part
        self._rule = rule
        self._is_best = is_best
        self._patience = patience
        self._warm_up = warm_up
        self.restorer = restorer
        self.memory = memory

    def next(self, memory: dict[str, Any], state: State) -> dict[str, Any]:
        """Return the memory after one more value; a new dict, so that a copy of the state keeps."""
        seen = memory["seen"] + 1
        after = {**memory, "seen": seen, "due": False}
        if seen <= self._warm_up:
            return after
        value = number_of(self._read(state), self.part)
        better = self._rule(memory["best"], value, seen)
        if better is not None:
            after["failures"] = failures_in_a_row(memory["failures"], not better)
            after["due"] = not better and after["failures"] > self._patience
        if better:
            after["best"] = value
        if self._is_best(memory.get("kept_value", memory["best"]), value, seen):
            after |= {"kept_value": value, "kept": self.restorer.copy(state)}
        return after

    def is_due(self, state: State) -> bool:
        """Return whether the last value was one failure too many."""
        memory = state.get(self.memory, {})
        return bool(memory.get("due")) and memory["failures"] > self._patience

    def log(self, state: State) -> None:
        """Log that the run is stopped."""
        failures, best = (state[self.memory][key] for key in ("failures", "best"))
        message = "Patience exceeded, stopping early: %s, no better than %s for %d values"
        logger.info(message, self.part, best, failures)

    def stop(self, state: State) -> None:
        """Stop the run after the event, in which it was saved with the value that was too much.

        A run that is restarted from there stops again.
        """
        stop_after_event(state, self.part)

    def settle(self, state: State) -> None:
        """Remember that this has stopped the run: `rnnr.Runner.resume` trains on."""
        memory = state.get(self.memory, {})
        if memory.get("due") and state.get(STOPPED_BY) == self.part:
            self._settle(state)

    def stop_at_once(self, state: State) -> None:
        """Stop the run, and remember that."""
        self._settle(state)
        state["running"] = False

    def _settle(self, state: State) -> None:
        state[self.memory] = {**state[self.memory], "due": False}

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


class EarlyStopping:
    """A callback that stops a run by a metric; `early_stopping` makes one."""

    def __init__(self, stopper: Stopper, *, restores: bool) -> None:
        self._stopper = stopper
        self._restores = restores
        beginning = {"seen": 0, "failures": 0, "best": None}
        check = folding(stopper.memory, stopper.next, initial=beginning, name=stopper.part)
        self._check = named(pipeline(do(stopper.begin), check), stopper.part)
        due = when(stopper.is_due), do(stopper.log)
        at_once = pipeline(*due, do(stopper.stop_at_once))
        self._stop_at_once = named(at_once, f"stop of {stopper.part}")
        self._stop = named(pipeline(*due, do(stopper.stop)), f"stop of {stopper.part}")

    def __call__(self, state: State) -> None:
        """Check the metric, and stop the run if it has not got better for too long.

        Raises:
            TypeError: If it restores something: it has to be attached, to hear of the end.
        """
        self._check_plain()
        self._check(state)
        self._stop_at_once(state)

    def attach_on(
        self, runner: Runner, event: Event | Selection = Event.EPOCH_FINISHED
    ) -> abc.DisposableBase:
        """Attach to a runner.

        Attach it after what computes the metric, and before what saves the state: it checks in
        the order of the callbacks. The run stops when all callbacks of the event have run, so they
        all see the last epoch. A new run forgets the last one.

        Args:
            runner: Runner to attach to.
            event: Event at which to check the metric, or a selection of events.

        Returns:
            A Disposable that detaches again.

        Raises:
            TypeError: If ``runner`` is not a runner or ``event`` not an event.
            ValueError: If another one on this runner has the same memory, or restores the same.
        """
        check_runner(runner)
        stream = runner.stream(event)  # before anything is reserved: it may be no event
        reserved = self._reserve(runner)
        # A run begins before the user's callbacks (in the outermost layer), which may set or read
        # what is put back here; it ends before them, too, so that they can export the best.
        places: list[tuple[Event, Callback, Layer]] = [
            (Event.STARTED, self._stopper.begin, Layer.CLOCK),
            (Event.RESUMED, self._stopper.put_back, Layer.CLOCK),
            *((end, self._stopper.restore, Layer.REDUCE) for end in ENDS),
            *((end, self._stopper.settle, Layer.REDUCE) for end in ENDS),
            *((kind, self._stop, Layer.STOP) for kind in {*event.predicates(), Event.RESUMED}),
        ]
        return CompositeDisposable(
            reserved,
            stream.add(self._check),
            *(runner.stream(when).add(handler, layer=layer) for when, handler, layer in places),
        )

    def _reserve(self, runner: Runner) -> abc.DisposableBase:
        """Reserve what two may not share: one would undo what the other does."""
        reserved = CompositeDisposable()
        wishes = [
            ("memory", self._stopper.memory),
            *(("restore", name) for name in self._stopper.restorer.names()),
        ]
        try:
            for argument, name in wishes:
                wish = f"_early_stopping {argument} {name}"
                got, one = reserve_key(runner, wish)
                reserved.add(one)
                if got != wish:
                    cure = f"give each its own {argument}, or dispose of the other"
                    expected = "for one early_stopping on a runner alone"
                    raise wrong_value(argument, expected, name, cure)
            reserved.add(self._reserve_memory(runner))
        except ValueError:
            reserved.dispose()
            raise
        return reserved

    def reserve_on(self, runner: Runner) -> abc.DisposableBase:
        """Reserve what it writes in the state of a runner, to which it is attached as a callback.

        Raises:
            TypeError: If it restores something.
            ValueError: If another part of the runner writes it.
        """
        self._check_plain()
        return self._reserve_memory(runner)

    def _check_plain(self) -> None:
        """Raise unless it is a plain callback, which hears of one event alone."""
        if self._restores:
            expected, cure = "attached where it restores", "write attach_on(runner)"
            raise wrong_type("early_stopping", expected, self, cure)

    def _reserve_memory(self, runner: Runner) -> abc.DisposableBase:
        stopper = self._stopper
        return Disposable(runner._keys.reserve("memory", stopper.memory, stopper.part, self))
