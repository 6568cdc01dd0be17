"""Operators joined into a callback."""

from contextlib import suppress
from itertools import groupby
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rnnr._callbacks import uncalled
from rnnr._errors import wrong_type
from rnnr._pipeline import Operator, Pipeline, Step, parts_of, pooled, steps
from rnnr.scheduling import InPlaceScheduler
from rnnr.state import MISSING, State

__all__ = ["pipeline"]


def pipeline(*operators: Operator | Pipeline[Any, Any]) -> Pipeline[State, Any]:
    """Make a callback of operators.

    The result is called with a state, as every callback is, so it can be passed to
    `rnnr.Runner.on`; and it is an operator itself, for use inside ``stream.pipe(...)``. Each
    state goes through the operators at once, on the caller's thread. An error leaves the call
    as it is and ends nothing: the pipeline takes the next state.

    Operators of this package are fused: a pipeline of them alone is one plain function, and costs
    what the function costs. Those of ReactiveX are subscribed to.

    Args:
        operators: Operators of this package or of ``reactivex.operators``, in order. What
            `fold` remembers is in the state; what others remember is lost after an error.

    Raises:
        TypeError: If an operator cannot be called.

    Example:
        ::

            source:   --1--2--3--4--|
                      [ when(even), do(print) ]
            result:   -----2-----4--|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import do, pipeline, when
        >>> report = pipeline(
        ...     when(lambda state: state["batch"] % 2 == 0),
        ...     do(lambda state: print("even:", state["batch"])),
        ... )
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, report)
        >>> runner.run([1, 2, 3, 4])
        even: 2
        even: 4
    """
    for i, operator in enumerate(operators):
        _check_operator(f"operators[{i}]", operator)
    return _joined(tuple(part for operator in operators for part in parts_of(operator)))


def _joined(parts: tuple[Operator, ...]) -> Pipeline[State, Any]:
    pipelines = [part for part in parts if isinstance(part, Pipeline)]
    if len(pipelines) == len(parts):
        return steps(pipelines)
    stretches: list[Operator] = []
    for kind, stretch in groupby(parts, type):
        some = [*stretch]
        fusible = [part for part in some if isinstance(part, Pipeline)]
        stretches += [steps(fusible)] if kind is Pipeline else some
    completed: list[bool] = []

    def apply(source: Observable[Any]) -> Observable[Any]:
        return source.pipe(*map(_checked, stretches))

    def make() -> Step:
        return _Subscribed(apply, completed)

    return Pipeline(
        pooled(make, completed),
        make,
        apply=apply,
        parts=parts,
        reservations=tuple(one for each in pipelines for one in each.reservations),
        renew=lambda: _joined(parts),
    )


def _check_operator(name: str, operator: object) -> None:
    cure = "pass for example when('better')"
    if isinstance(operator, list | tuple):
        cure = "write pipeline(*operators)"
    missed = uncalled(operator)
    if missed is not None:
        cure = missed
    elif callable(operator):
        return
    raise wrong_type(name, "an operator", operator, cure)


def _checked(operator: Operator) -> Operator:
    """Return an operator that raises unless it returns an Observable."""

    def check(source: Observable[Any]) -> Observable[Any]:
        result: object = operator(source)
        if isinstance(result, Observable):
            return result
        what = getattr(operator, "__qualname__", operator)
        cure = "to call a function with each item write do(function)"
        raise wrong_type(f"what {what} returns", "an Observable", result, cure)

    return check


class _Subscribed:
    """A subscription to operators, some of which are of ReactiveX, fed item by item.

    Args:
        apply: Applies the operators to a stream.
        completed: Filled when the operators complete, as ``take(3)`` does: then for good.
    """

    def __init__(self, apply: Operator, completed: list[bool]) -> None:
        observers: list[abc.ObserverBase[Any]] = []
        self._observers = observers
        self._completed = completed

        def subscribe(observer: abc.ObserverBase[Any], _: object = None) -> Disposable:
            observers.append(observer)
            return Disposable(lambda: observers.remove(observer))

        self._subscription = apply(Observable(subscribe)).subscribe(
            on_completed=lambda: completed.append(True), scheduler=InPlaceScheduler()
        )

    def __call__(self, item: Any) -> Any:
        if self._completed:
            return MISSING
        try:
            for observer in [*self._observers]:
                observer.on_next(item)
        except Exception:  # an operator has ended it
            self._subscription.dispose()
            raise
        return MISSING

    def __del__(self) -> None:
        """Dispose of it: its observers hold each other, and what the operators hold."""
        with suppress(Exception):
            self._subscription.dispose()
