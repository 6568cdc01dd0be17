"""Operators that know their step: like any other over a stream, a plain function in a pipeline."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from rnnr._callbacks import check_handler
from rnnr.state import MISSING, State

__all__ = [
    "Operator",
    "Pipeline",
    "Reservation",
    "Step",
    "as_handler",
    "checked_handler",
    "named",
    "parts_of",
    "passing",
    "pooled",
    "stateful",
    "stateless",
    "steps",
]

_A = TypeVar("_A")
_B = TypeVar("_B")

Step: TypeAlias = Callable[[Any], Any]
"""Takes an item; returns the item to pass on, or `MISSING` to pass nothing on."""

Operator: TypeAlias = Callable[[Observable[Any]], Observable[Any]]
"""What ``stream.pipe`` takes: an operator of rnnr, of ReactiveX, or of your own."""

Reservation: TypeAlias = Callable[[Any], abc.DisposableBase]
"""Reserves on a runner what an operator writes there; returns a Disposable that frees it."""


class Pipeline(Generic[_A, _B]):
    """Operators joined into one, which is a callback, too; each operator of rnnr is one of its own.

    Applied to a stream, it is an operator like those of ReactiveX. Called with a state or passed
    to `rnnr.Runner.on`, it sends each state through its operators. `rnnr.operators.pipeline`
    joins several.

    Attributes:
        step: Takes an item; returns the item to pass on, or a sentinel, ``MISSING`` of
            `rnnr.state`, to pass nothing on. As a callback, the pipeline is this function.
        make: Returns a step with a memory of its own, for one subscription.
    """

    only_passes = False
    """Whether it does nothing but pass items on, so that a callback needs more."""

    def __init__(
        self,
        step: Step,
        make: Callable[[], Step],
        *,
        apply: Operator | None = None,
        parts: tuple[Operator, ...] = (),
        reservations: tuple[Reservation, ...] = (),
        renew: Callable[[], "Pipeline[_A, _B]"] | None = None,
    ) -> None:
        self.__qualname__ = str(getattr(step, "__qualname__", "pipeline"))
        self.step = step
        self.make = make
        self._apply = apply
        self._parts = parts
        self._reservations = reservations
        self._renew = renew

    @overload
    def __call__(self, source: Observable[_A]) -> Observable[_B]: ...
    @overload
    def __call__(self, source: State) -> None: ...

    def __call__(self, source: Any) -> Any:
        """Apply the operators to a stream, or send a state through them."""
        if not isinstance(source, Observable):
            self.step(source)
            return None
        return self._apply(source) if self._apply else _over(source, self.make)

    def __repr__(self) -> str:
        return self.__qualname__

    @property
    def parts(self) -> tuple[Operator, ...]:
        """The operators that it joins."""
        return self._parts or (self,)

    @property
    def remembers(self) -> bool:
        """Whether its step remembers something between items."""
        return self._renew is not None

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """What it reserves on a runner."""
        return self._reservations

    def reserve_on(self, runner: Any) -> abc.DisposableBase:
        """Reserve what it writes in the state of a runner, to which it is attached.

        Raises:
            ValueError: If another part of the runner writes it.
        """
        reserved = CompositeDisposable()
        try:
            for reserve in self._reservations:
                reserved.add(reserve(runner))
        except Exception:
            reserved.dispose()
            raise
        return reserved

    def __copy__(self) -> "Pipeline[_A, _B]":
        """Return one with a memory of its own."""
        return self if self._renew is None else named(self._renew(), self.__qualname__)

    def __deepcopy__(self, memo: object) -> "Pipeline[_A, _B]":
        """Return one with a memory of its own."""
        return self.__copy__()


_P = TypeVar("_P", bound=Pipeline[Any, Any])


def stateless(step: Step, *reservations: Reservation) -> Pipeline[Any, Any]:
    """Make an operator of a step that remembers nothing, or only in the state that it gets."""
    return Pipeline(step, lambda: step, reservations=reservations)


def stateful(make: Callable[[], Step], *reservations: Reservation) -> Pipeline[Any, Any]:
    """Make an operator of steps that remember: each subscription gets one of its own.

    Args:
        make: Returns a new step.
        reservations: What it reserves on a runner.
    """
    return Pipeline(
        pooled(make),
        make,
        reservations=reservations,
        renew=lambda: stateful(make, *reservations),
    )


def passing(operator: Pipeline[_A, _B]) -> Pipeline[_A, _B]:
    """Mark an operator that does nothing but pass items on."""
    operator.only_passes = True
    return operator


def steps(pipelines: Sequence[Pipeline[Any, Any]]) -> Pipeline[Any, Any]:
    """Fuse operators that know their steps into one that knows its step."""

    def make() -> Step:
        return _fused([each.make() for each in pipelines])

    remembers = any(each.remembers for each in pipelines)
    return Pipeline(
        pooled(make) if remembers else make(),
        make,
        parts=tuple(pipelines),
        reservations=tuple(one for each in pipelines for one in each.reservations),
        renew=(lambda: steps(pipelines)) if remembers else None,
    )


def parts_of(operator: Operator) -> tuple[Operator, ...]:
    """Return the operators that a pipeline joins; another operator is its only part."""
    return operator.parts if isinstance(operator, Pipeline) else (operator,)


def named(pipeline: _P, name: str) -> _P:
    """Set the name that a pipeline has in a table of handlers, as functions have it."""
    pipeline.__qualname__ = pipeline.step.__qualname__ = name
    return pipeline


def pooled(make: Callable[[], Step], completed: Sequence[object] = ()) -> Step:
    """Make a step of steps that remember.

    All calls go to one step, one after the other. A call inside another call, or on another thread,
    gets a step of its own. A step that raises an exception has lost its place in the stream and is
    not used again.

    Args:
        make: Returns a new step.
        completed: Not empty once nothing more is passed on, for good.
    """
    idle: list[Step] = []

    def step(item: Any) -> Any:
        if completed:
            return MISSING
        try:
            one = idle.pop()
        except IndexError:
            one = make()
        try:
            result = one(item)
        except Exception:
            raise
        except BaseException:
            idle.append(one)
            raise
        idle.append(one)
        return result

    step.__qualname__ = "pipeline"
    return step


def as_handler(name: str, callback: Callable[[State], object]) -> Callable[[State], object]:
    """Return what is called with each state in the place of a callback.

    Of a pipeline it is the step, with a memory of its own: one pipeline may be attached to several
    runners.

    Raises:
        TypeError: If it cannot be called, or does nothing when it is.
    """
    if not isinstance(callback, Pipeline):
        check_handler(name, callback)
    return checked_handler(callback)


def checked_handler(callback: Callable[[State], object]) -> Callable[[State], object]:
    """Return the same for a callback that was checked before."""
    return callback.__copy__().step if isinstance(callback, Pipeline) else callback


def _fused(chain: list[Step]) -> Step:
    """Return one function of several steps; of one step, the step itself."""
    if len(chain) == 1:
        return chain[0]

    def pipeline(item: Any) -> Any:
        for step in chain:
            item = step(item)
            if item is MISSING:
                break
        return item

    pipeline.__qualname__ = "pipeline"
    return pipeline


def _over(source: Observable[Any], make: Callable[[], Step]) -> Observable[Any]:
    """Apply a new step to each item of a stream, for each subscription."""

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        step = make()

        def on_next(item: Any) -> None:
            try:
                result = step(item)
            except Exception as error:  # noqa: BLE001  (it is passed on, as operators do)
                observer.on_error(error)
                return
            if result is not MISSING:
                observer.on_next(result)

        on_next.__qualname__ = getattr(step, "__qualname__", "pipeline")
        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return Observable(subscribe)
