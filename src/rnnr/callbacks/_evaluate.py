"""The evaluation of a training, by a run of another runner."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

from reactivex.disposable import Disposable

from rnnr._errors import check_string, warn_user, wrong_type, wrong_value
from rnnr._keys import Free, Keys
from rnnr._pipeline import Pipeline, named, stateless
from rnnr._runs import runs_on_this_thread
from rnnr.callbacks._eval_mode import check_models, modes_of, no_gradients, restore_modes
from rnnr.runner import Runner, Source
from rnnr.sources._epoch_batches import check_batches, is_one_shot
from rnnr.sources._kinds import can_be_iterated, is_asynchronous
from rnnr.state import EPOCH, REDUCER, RESULTS, State, check_key, epoch_memory, is_open

__all__ = ["evaluate"]

_Context = Callable[[], AbstractContextManager[object]]


def evaluate(
    evaluator: Runner,
    batches: Source | Callable[[], Source],
    *,
    prefix: str = "",
    model: Any = None,
    context: _Context | None = None,
) -> Pipeline[State, State]:
    """Make a callback that evaluates: another runner runs, and its results are copied.

    The results are what the reducers of the evaluator, and evaluations of its own, have stored at
    the end of its epoch. They come into the state of the training as ``f"{prefix}{name}"``, where
    early stopping, checkpoints and logs find them, if they are attached after this callback. At the
    end of an epoch, views find them among the results of the epoch.

    Each evaluation first removes what the one before has stored, so that no old value passes for a
    new one. One that is stopped stores nothing, and warns of it if the training goes on. An error
    leaves the training, too.

    Args:
        evaluator: Runs for one epoch over the batches, each time the callback is called. Its state
            stays, as for each `rnnr.Runner.run`.
        batches: Batches to evaluate, which can be iterated again; or a function without arguments
            that returns them.
        prefix: Beginning of the keys under which the results are stored.
        model: What is in eval mode during the evaluation, an object with ``eval()`` and
            ``train(mode)`` as a module of PyTorch, or a list of several. After it, however it ends,
            each submodule has the mode that it had. One without the attribute ``training``, such as
            an optimizer that has modes, is in training mode after it. Modules of PyTorch compute no
            gradients in it.
        context: Called for each evaluation; returns a context manager in which it runs, for example
            ``torch.inference_mode``. It takes the place of ``torch.no_grad``.

    Returns:
        The callback, for any event.

    Raises:
        TypeError: If an argument has the wrong type, or ``batches`` can be iterated only once.
        ValueError: If a result would be stored under a key of the run. When it is attached, or at
            the first evaluation, if another part of the runner writes there; when it is attached to
            the evaluator itself.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import MeanReducer
        >>> from rnnr.callbacks import evaluate
        >>> trainer, evaluator = Runner(), Runner()
        >>> weight = [0.0]
        >>> @trainer.on(Event.BATCH)
        ... def train(state):
        ...     weight[0] += 0.5 * (state["batch"] - weight[0])
        >>> @evaluator.on(Event.BATCH)
        ... def measure(state):
        ...     state["output"] = abs(state["batch"] - weight[0])
        >>> subscription = MeanReducer("loss").attach_on(evaluator)
        >>> validate = evaluate(evaluator, [2.0, 2.0], prefix="valid_")
        >>> subscription = trainer.on(Event.EPOCH_FINISHED, validate)
        >>> trainer.run([2.0])
        >>> trainer.state["valid_loss"]
        1.0
    """
    if not isinstance(evaluator, Runner):
        cure = "make one, evaluator = Runner(), and attach to it what evaluates"
        raise wrong_type("evaluator", "a Runner", evaluator, cure)
    check_string("prefix", prefix, "write for example 'valid_'")
    models = check_models(model)
    context = no_gradients(models) if context is None else context
    if not callable(context) or (hasattr(context, "__enter__") and not isinstance(context, type)):
        cure = "pass what makes one, torch.inference_mode without parentheses or a lambda"
        raise wrong_type("context", "a function that returns a context manager", context, cure)
    one = _Evaluation(evaluator, _maker(batches), prefix, models, context)
    return named(stateless(one, one.reserve), one.part)


class _Evaluation:
    """A step that evaluates; it remembers nothing but what it has reserved."""

    def __init__(
        self,
        evaluator: Runner,
        batches: Callable[[], Source],
        prefix: str,
        models: Sequence[Any],
        context: _Context,
    ) -> None:
        self.part = self.__qualname__ = f"evaluate(prefix={prefix!r})"
        self._evaluator = evaluator
        self._batches = batches
        self._prefix = prefix
        self._models = models
        self._context = context
        self._owner = object()  # not this one, which would be in a cycle with what it has reserved
        self._reserved: WeakKeyDictionary[Keys, list[dict[str, Free]]] = WeakKeyDictionary()
        self._check()

    def __call__(self, state: State) -> State:
        """Evaluate, and store the results."""
        self._check()
        self._forget(state)
        self._run()
        self._store(state)
        return state

    def reserve(self, runner: Any) -> Disposable:
        """Reserve the keys of the results that the evaluator has by now; the others when stored."""
        if runner is self._evaluator:
            cure = "pass another one, Runner(), with the reducers and callbacks of the evaluation"
            expected = "another runner than the one that it evaluates for"
            raise wrong_value("evaluator", expected, runner, cure)
        attachments = self._reserved.setdefault(runner._keys, [])
        frees: dict[str, Free] = {}
        attachments.append(frees)

        def free() -> None:
            attachments[:] = [one for one in attachments if one is not frees]
            while frees:
                frees.popitem()[1]()

        try:
            self._reserve_keys(runner._keys)
        except Exception:
            free()
            raise
        return Disposable(free)

    def _run(self) -> None:
        modes = modes_of(self._models)
        try:  # not a context manager of ours: an interrupt in its end would skip what it puts back
            for model in self._models:
                model.eval()
            with self._context():
                self._evaluator.run(self._batches())
        finally:
            try:
                restore_modes(modes)
            except BaseException:  # an interrupt
                restore_modes(modes)
                raise

    def _forget(self, state: State) -> None:
        for key in self._keys():
            state.pop(key, None)

    def _store(self, state: State) -> None:
        self._check()
        for slot, _, other in runs_on_this_thread():
            if other is state:
                self._reserve_keys(slot.runner()._keys)
        evaluated = self._evaluator.state
        if is_open(evaluated) and state.get("running"):
            warn_user(
                "an evaluation has results when it is finished, got one that was stopped after "
                f"{evaluated['n_iters']} batches and has none; to evaluate some of the batches, "
                "pass fewer, as in lambda: itertools.islice(batches, 100)"
            )
        names = epoch_memory(evaluated).get(RESULTS, ())
        for name in names:
            state[self._prefix + name] = evaluated[name]
        if not is_open(state):
            seen = epoch_memory(state).get(RESULTS, ())
            new = (self._prefix + name for name in names)
            epoch_memory(state)[RESULTS] = (*seen, *(key for key in new if key not in seen))

    def _keys(self) -> list[str]:
        """Return the keys of the results: of the attached reducers, and of the latest epoch."""
        attached = [key.removeprefix(REDUCER) for key in self._evaluator._keys.numbered(REDUCER)]
        latest = self._evaluator.state.get(EPOCH, {}).get(RESULTS, ())
        return [self._prefix + name for name in dict.fromkeys((*attached, *latest))]

    def _check(self) -> None:
        for key in self._keys():
            check_key("prefix with the name of a result", key)

    def _reserve_keys(self, keys: Keys) -> None:
        for frees in self._reserved.get(keys, ()):
            for key in self._keys():
                if key not in frees:
                    argument = "prefix with the name of a result"
                    frees[key] = keys.reserve(argument, key, self.part, self._owner)


def _maker(batches: Any) -> Callable[[], Source]:
    """Return what returns the batches of each evaluation."""
    is_source = can_be_iterated(batches) or is_asynchronous(batches)
    if not is_source and callable(batches):
        maker: Callable[[], Source] = batches
        return maker
    check_batches(batches)
    if is_one_shot(batches):
        cure = "pass a list, a loader, or a function that makes an iterator, lambda: iter(loader)"
        raise wrong_type("batches", "batches that can be iterated again", batches, cure)
    return lambda: batches
