"""Stop a run whose trial a search of hyperparameters gives up."""

from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr._errors import wrong_type, wrong_value
from rnnr._numbers import number_of
from rnnr.attachments._attachment import Attachment
from rnnr.event import Event
from rnnr.runner import Runner, check_runner
from rnnr.selection import Selection
from rnnr.state import STOPPED_BY, State, check_metric, reader, stop_after_event
from rnnr.streams._layer import Layer

__all__ = ["Prune"]

_BY = "pruned"


class Prune(Attachment):
    """Reports a metric to a trial of Optuna, and stops the run when the trial is pruned.

    At the end of each epoch it calls ``trial.report(value, step)``, where the step is the number of
    the epoch, or of the batch if ``on`` selects batches. If ``trial.should_prune()`` then, the run
    stops after the whole event: every callback has seen it, and snapshots have saved it. STOPPED is
    delivered, not FAILED, and ``state["stopped_by"]`` is ``"pruned"``. Then ``optuna.TrialPruned``
    leaves the run, as Optuna expects it of an objective.

    Attach it to the training and not to an evaluation, whose steps do not grow.

    Args:
        trial: The trial, as the objective gets it.
        key: Key of the state that holds the metric, such as ``"valid_loss"``.
        on: When to report: an event that is counted in batches or epochs, or a selection of one.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``on`` selects what is not counted, or from several events.

    Example:
        ::

            def objective(trial):
                lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
                runner = training(lr)
                Prune(trial, "valid_loss").attach_on(runner)
                runner.run(loader, max_epoch=20)
                return runner.state["valid_loss"]


            optuna.create_study().optimize(objective, n_trials=50)
    """

    def __init__(
        self, trial: Any, key: str, *, on: Event | Selection = Event.EPOCH_FINISHED
    ) -> None:
        for method in ("report", "should_prune"):
            if not callable(getattr(trial, method, None)):
                cure = "pass the trial that Optuna gives to the objective"
                raise wrong_type("trial", "a trial of Optuna", trial, cure)
        check_metric("key", key)
        if not isinstance(on, Event | Selection):
            raise wrong_type("on", "an Event or a Selection", on, "write on=Event.BATCH.every(100)")
        events = list(on.predicates())
        if len(events) != 1 or events[0].counter is None:
            cure = "write for example on=Event.BATCH.every(100)"
            raise wrong_value("on", "one event that counts batches or epochs", on, cure)
        self._trial = trial
        self._part = f"Prune({key!r})"
        self._read = reader(key, self._part, "set it in a callback or a reducer that runs before")
        self._on = on
        self._counter: str = events[0].counter

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to the runner of the training.

        Args:
            runner: Runner to attach to.

        Returns:
            A Disposable that detaches again.

        Raises:
            TypeError: If ``runner`` is not a runner.
        """
        check_runner(runner)
        return CompositeDisposable(
            runner.stream(self._on).add(self._report, layer=Layer.STOP),
            runner.stream(Event.STOPPED).add(self._leave, layer=Layer.STOP),
        )

    def _report(self, state: State) -> None:
        self._trial.report(number_of(self._read(state), self._part), state[self._counter])
        if self._trial.should_prune():
            stop_after_event(state, _BY)

    def _leave(self, state: State) -> None:
        if state.get(STOPPED_BY) == _BY:
            from optuna import TrialPruned

            raise TrialPruned(f"pruned in epoch {state['epoch']}, after batch {state['n_iters']}")
