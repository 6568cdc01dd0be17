"""Early stopping by a metric, and the return to its best."""

from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import as_integer, check_string, wrong_type, wrong_value
from rnnr._pipeline import named
from rnnr.attachments._attachment import reserve_key
from rnnr.callbacks._restore import Restorer
from rnnr.callbacks._stopper import Stopper
from rnnr.event import ENDS, Event
from rnnr.operators._do import do
from rnnr.operators._fold import folding
from rnnr.operators._improvement import check_patience, improvement_rule, limit_rule
from rnnr.operators._pipeline import pipeline
from rnnr.operators._when import when
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selection
from rnnr.state import State, check_key, check_metric
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["EarlyStopping", "early_stopping"]


def early_stopping(
    key: str,
    mode: str = "min",
    patience: float = 5,
    *,
    min_delta: float = 0.0,
    min_delta_mode: str = "abs",
    check_finite: bool = False,
    stopping_threshold: float | None = None,
    divergence_threshold: float | None = None,
    warm_up: int = 0,
    nan: str = "no-improvement",
    restore: Any = None,
    memory: str | None = None,
) -> "EarlyStopping":
    """Make a callback that stops the run when a metric has not got better for a while.

    It also stops when the metric has reached what was wanted, or will not any more.

    The callback counts the values in a row of ``state[key]`` that are not better than the best
    before them. When the count exceeds ``patience`` it sets ``state["running"]`` to ``False`` and
    logs why on ``rnnr.callbacks.early_stopping``. What it remembers is in the state, so a resumed
    run goes on with it, also in another process.

    Attach it with ``early_stopping(...).attach_on(runner)``: the run stops when all callbacks of
    the event have run, and ``state["stopped_by"]`` names the argument that stopped it, as in
    ``"early_stopping('loss'): patience"``. Without ``restore`` it is also a plain callback, for
    ``runner.on``, which stops the run at once. Each `rnnr.Runner.run` begins to count again.

    Note:
        ``patience=n`` of Keras and Lightning is ``patience=n - 1`` here: they stop at the
        n-th failure in a row, this one bears n of them, as `maybe_stop_early` does.

    Args:
        key: Key of the metric: a number, a NumPy scalar or a tensor of one item.
        mode: ``"min"`` if less is better, ``"max"`` if more is.
        patience: How many failures in a row to bear; one more stops the run.
        min_delta: A value is better if it is so by more than this.
        min_delta_mode: ``"abs"`` for a difference, ``"rel"`` for a share of the best so far,
            whatever its sign: with ``min_delta=0.01`` by more than 1 %.
        check_finite: Whether a NaN or an infinity stops the run, whatever ``nan`` says. It is
            never the best.
        stopping_threshold: Stop when a value is as good as this or better.
        divergence_threshold: Stop when a value is worse than this.
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
    rule = improvement_rule(part, mode, min_delta, nan, min_delta_mode=min_delta_mode)
    limit = limit_rule(mode, check_finite, stopping_threshold, divergence_threshold)
    check_patience("patience", patience)
    cure = "pass a number of values to skip; 0 checks from the first value on"
    warm_up = as_integer("warm_up", warm_up, 0, cure)
    memory = f"_early_stopping_{key}" if memory is None else memory
    check_string("memory", memory, "name the key under which to remember")
    check_metric("key", key)
    check_key("memory", memory, key)
    is_best = improvement_rule(part, mode, 0.0, "no-improvement")
    restorer = Restorer(part, restore)
    stopper = Stopper(key, part, rule, is_best, limit, patience, warm_up, restorer, memory)
    return EarlyStopping(stopper, restores=restore is not None)


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
