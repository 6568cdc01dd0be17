"""Reductions over the batches of an epoch."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from reactivex import abc

from rnnr._errors import check_string, wrong_type
from rnnr._numbers import Sums, own
from rnnr.attachments._attachment import Attachment, attach, reserve_key
from rnnr.event import Event
from rnnr.operators._fold import folding
from rnnr.runner import Runner, check_runner
from rnnr.state import (
    LATEST,
    MISSING,
    REDUCER,
    RESULTS,
    Reader,
    State,
    check_key,
    epoch_memory,
    reader,
)
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["LambdaReducer", "MeanReducer", "SumReducer"]


_Pair: TypeAlias = tuple[Any, Any]


class _Reducer(Attachment):
    """Folds a value of each batch into the epoch's memory, and stores what comes of it.

    Args:
        name: Key for the result.
        function: Folds an accumulator and a value into the next accumulator.
        read: Reads the value from the state; if ``None``, the function gets the state itself.
        first: Makes the first accumulator of the first value.
        finish: Makes the result of the last accumulator.
        others: Keys that it reads, and may not write.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any, Any], Any],
        read: Reader | None,
        first: Callable[[Any], Any],
        finish: Callable[[Any], Any],
        *others: str,
    ) -> None:
        check_key("name", name, *others)
        self.name = name
        self._function = function
        self._read = read
        self._first = first
        self._finish = finish

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that detaches again.

        Raises:
            ValueError: If another part of the runner writes ``state[name]``.
        """
        check_runner(runner)
        part = f"{type(self).__name__}({self.name!r})"
        free = runner._keys.reserve("name", self.name, part, owner=object())
        key, reserved = reserve_key(runner, REDUCER + self.name, free)
        accumulate = folding(
            key,
            self._function,
            value=self._read,
            per_epoch=True,
            first=self._first,
            latest=LATEST + key,
            name=part,
        )
        handlers: dict[Event, Callback] = {
            Event.BATCH: accumulate,
            Event.EPOCH_FINISHED: partial(self._store, key),
        }
        return attach(runner, Layer.REDUCE, handlers, reserved)

    def _store(self, key: str, state: State) -> None:
        """Take the last accumulator of an epoch, finish it, and store the result."""
        memory = epoch_memory(state)
        accumulator = memory.pop(key, MISSING)
        memory.pop(LATEST + key, None)
        state[self.name] = None if accumulator is MISSING else self._finish(accumulator)
        memory[RESULTS] = (*memory.get(RESULTS, ()), self.name)


class LambdaReducer(_Reducer):
    """An attachment that reduces a value of each batch with a function.

    At the end of an epoch ``state[name]`` is the reduction of its batches, or ``None`` if it had
    none. The reduction starts from the first value, whatever its type.

    Args:
        name: Key for the result.
        reduce_fn: Called as ``reduce_fn(accumulator, value)``; returns the next accumulator.
        value: Key of the batch's value, which a BATCH callback sets.

    Raises:
        TypeError: If a key is not a string or ``reduce_fn`` cannot be called.
        ValueError: If ``name`` is a key that the run writes.
        KeyError: In a run, when ``state[value]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import LambdaReducer
        >>> runner = Runner()
        >>> subscription = LambdaReducer("longest", max).attach_on(runner)
        >>> @runner.on(Event.BATCH)
        ... def measure(state):
        ...     state["output"] = len(state["batch"])
        >>> runner.run(["to", "be", "sure"])
        >>> runner.state["longest"]
        4
    """

    def __init__(
        self, name: str, reduce_fn: Callable[[Any, Any], Any], *, value: str = "output"
    ) -> None:
        check_string("name", name, "name the key for the result")
        if not callable(reduce_fn):
            raise wrong_type("reduce_fn", "callable", reduce_fn, "pass a function of two values")
        super().__init__(name, reduce_fn, _output(self, name, value), own, _itself)


class SumReducer(_Reducer):
    """An attachment that sums a value of each batch.

    At the end of an epoch ``state[name]`` is the sum over its batches, or ``None`` if it had none.
    Whatever has ``+`` can be summed, as exactly as 64 bits are (see `MeanReducer`).

    Args:
        name: Key for the result.
        value: Key of the batch's value, which a BATCH callback sets.

    Raises:
        TypeError: If a key is not a string; in a run, if a value cannot be added.
        ValueError: If ``name`` is a key that the run writes.
        KeyError: In a run, when ``state[value]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import SumReducer
        >>> runner = Runner()
        >>> subscription = SumReducer("total").attach_on(runner)
        >>> @runner.on(Event.BATCH)
        ... def compute(state):
        ...     state["output"] = state["batch"]
        >>> runner.run([10, 20, 30])
        >>> runner.state["total"]
        60
    """

    def __init__(self, name: str, *, value: str = "output") -> None:
        check_string("name", name, "name the key for the result")
        sums = Sums("a value", "SumReducer", name)
        super().__init__(name, sums.add, _output(self, name, value), sums.begin, sums.total)


class MeanReducer(_Reducer):
    """An attachment that averages a value over the batches of an epoch.

    At the end of an epoch ``state[name]`` is the sum of the values divided by the sum of the
    sizes, or ``None`` if it had no batches. So a batch's value is a sum over its items where
    ``state[size]`` is set, and a mean of batches results where it is not.

    Sums are as exact as 64 bits are, whatever the type: booleans are counted, and half precision
    and small integers are added in 64 bits, on the device where they are. Graphs are not kept, nor
    is an array that is filled again for each batch. The result is of double precision, but of
    single precision for arrays and tensors of single and half precision. It is NaN where the sizes
    sum to zero.

    Args:
        name: Key for the result.
        value: Key of the batch's value, which a BATCH callback sets.
        size: Key of the number of items in the batch; a batch without it counts as 1.

    Raises:
        TypeError: If a key is not a string; in a run, if a value cannot be averaged.
        ValueError: If ``name`` is a key that the run writes, or ``size``.
        KeyError: In a run, when ``state[value]`` is not set.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import MeanReducer
        >>> runner = Runner()
        >>> subscription = MeanReducer("length").attach_on(runner)
        >>> @runner.on(Event.BATCH)
        ... def compute(state):
        ...     state["output"] = sum(map(len, state["batch"]))
        ...     state["size"] = len(state["batch"])
        >>> runner.run([["a", "bcd"], ["ef"]])
        >>> runner.state["length"]
        2.0
    """

    def __init__(self, name: str, *, value: str = "output", size: str = "size") -> None:
        check_string("name", name, "name the key for the result")
        check_string("size", size, "name a key of the state")
        output = _output(self, name, value)

        def sums(what: str) -> Sums:  # made where it is needed, for a short run does not need it
            return Sums(what, "MeanReducer", name, is_divided=True)

        def begin(state: State) -> _Pair:
            one, n_items = output(state), state.get(size, 1)
            if type(one) is float and type(n_items) is int:
                return one, n_items
            return sums("a value").begin(one), sums("a size").begin(n_items)

        def add(totals: _Pair, state: State) -> _Pair:
            try:
                one = state[value]
            except KeyError:
                one = output(state)  # which says what is missing
            n_items = state.get(size, 1)
            if type(one) is float and type(n_items) is int:  # most are so: it is twice as fast
                try:
                    return totals[0] + one, totals[1] + n_items
                except TypeError:  # what was added before is of another kind
                    pass
            total, n = totals
            return sums("a value").add(total, one), sums("a size").add(n, n_items)

        def mean(totals: _Pair) -> Any:
            total, n = totals
            if type(total) is float and type(n) is int and n:
                return total / n
            return sums("a value").mean(total, sums("a size").total(n))

        super().__init__(name, add, None, begin, mean, size)


def _itself(accumulator: Any) -> Any:
    return accumulator


def _output(reducer: Attachment, name: str, value: str) -> Reader:
    part = f"{type(reducer).__name__}({name!r})"
    cure = f"set state[{value!r}] in a BATCH callback, or name another key: value='...'"
    return reader(value, part, cure)
