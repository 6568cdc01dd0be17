"""The state of a run: one plain dict, and rnnr's own keys in it.

The docstring of `rnnr.Runner` lists the keys that a run sets. These are rnnr's own:

======================  ==================================================================
key                     what it holds
======================  ==================================================================
``_epoch``              memory that lives for one epoch, a dict (see `epoch_memory`)
``_run``                memory that lives for one run, a dict (see `run_memory`): the keys that
                        this run has begun to write, under ``_begun``, where it was stopped after
                        a whole event, under ``_stopped_at``, under ``_values`` the values by
                        which `checkpoint` knows the best files, each with its batch; what a
                        `RunningAverage` remembers, under ``_average {stats} {name}``; the best
                        values that `EpochLog` has seen, under ``_epoch_log``; the position of
                        the bar of the run, in items, under ``_bar``; and under ``_pass``, for
                        batches that `rnnr.sources.epochs_of` cuts into epochs, what is known of
                        the iterator over them: ``_first_iter``, and what `Snapshots` keeps of
                        it, as in that of an epoch
``_counter``            `maybe_stop_early`: failures in a row (the name is its argument)
``_early_stopping_{key}``
                        `early_stopping`: a dict of the best so far, the failures in a row, what is
                        to stop the run, and copies of the values to restore (the name is its
                        argument ``memory``)
``_saved_{what}``       `checkpoint`: the files kept, `rnnr.files.SavedFiles` (the name is its
                        argument)
``_started_at``         `reports`: the time at which the run began, in seconds since 1970
======================  ==================================================================

and these in the memory of an epoch:

======================  ==================================================================
key                     what it holds
======================  ==================================================================
``_open``               whether batches, or the end of the epoch, are still to be delivered
``_ended``              `rnnr.Runner.end_epoch`: that the rest of the batches is not drawn
``_first_iter``         ``n_iters`` before the first batch
``_spent``              whether the batches were a generator that was exhausted before
``_failed_at``          how many batches were drawn when drawing the next one failed
``_broken_at``          how many batches were drawn when the batches raised an error
``_started_at``         the time at which the epoch began, for the timer
``_bar``                position of the progress bar of the epoch, in items
``_reducer {name}``     what a reducer has accumulated, or the metric of a `MetricReducer`
                        remembers
``_latest _reducer {name}``
                        the number of the batch that a reducer has accumulated last
``_random_states``      `Snapshots`: the states of the random generators before ``iter(batches)``
``_had_workers``        `Snapshots`: whether a loader of PyTorch had workers that it keeps
``_results``            the keys of the epoch's results, a tuple: those of reducers and evaluations
======================  ==================================================================

and in the memory of a run:

======================  ==================================================================
key                     what it holds
======================  ==================================================================
``_info``               `rnnr.reporting.RunInfo`: what it tells of the run, by name
======================  ==================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from rnnr._errors import check_string, missing_key, wrong_type, wrong_value

__all__ = ["State", "epoch_memory", "n_batches_drawn", "run_memory"]

State: TypeAlias = dict[str, Any]

MISSING: Final = object()
"""Stands for "no value yet" where ``None`` is a value."""

EPOCH: Final = "_epoch"
"""Key of the memory that lives for one epoch."""

RUN: Final = "_run"
"""Key of the memory that lives for one run."""

RANDOM_STATES: Final = "_random_states"
"""Key, in the memory of an epoch, of the random states with which its iterator was made."""

HAD_WORKERS: Final = "_had_workers"
"""Key, in the memory of an epoch, of whether its loader had started workers that it keeps."""

RESULTS: Final = "_results"
"""Key, in the memory of an epoch, of the keys of its results, a tuple."""

LATEST: Final = "_latest "
"""Before the key of a reducer: key, in the memory of an epoch, of the batch that it took last."""

REDUCER: Final = "_reducer "
"""Before the name of a reducer: its key in the memory of an epoch."""

STOPPED_BY: Final = "stopped_by"
"""Key of who has stopped the run after a whole event."""

RUN_KEYS: Final = (
    "batches",
    "max_epoch",
    "n_iters",
    "running",
    "epoch",
    "batch",
    "error",
    STOPPED_BY,
    EPOCH,
    RUN,
)
"""Keys that a run sets."""

POSITION_KEYS: Final = ("batches", "max_epoch", "n_iters", "epoch")
"""Keys without which no run goes on."""

STARTED_AT: Final = "_started_at"

INFO: Final = "_info"
"""Key of the time at which the run began, which reports need."""

# "error" is a usual name for a metric, and the run restores it
_NOT_FREE: Final = frozenset({*RUN_KEYS, STARTED_AT} - {"error"})

_BEGUN: Final = "_begun"
_STOPPED_AT: Final = "_stopped_at"
_OVER_BATCHES: Final = "_pass"


def epoch_memory(state: State) -> dict[str, Any]:
    """Return the dict in the state that lives for one epoch.

    Reducers keep their accumulators here, a bar its position, the timer its clock. It is a new
    dict in every epoch, so nothing has to be reset, and it is part of a pickled state. Keys that
    start with an underscore are rnnr's own.
    """
    memory: dict[str, Any] = state.setdefault(EPOCH, {})
    return memory


def run_memory(state: State) -> dict[str, Any]:
    """Return the dict in the state that lives for one run.

    It is a new dict in every `rnnr.Runner.run`, and stays through stops and resumes. Keys that
    start with an underscore are rnnr's own.
    """
    memory: dict[str, Any] = state.setdefault(RUN, {})
    return memory


def new_run_memory() -> dict[str, Any]:
    """Return the memory of a new run."""
    return {_BEGUN: {}}


def begin_key(state: State, key: str) -> None:
    """Remove the value that an earlier run has left under a key, at the first call in each run.

    A state without the memory of a run is not changed: an older version has saved it in the middle
    of a run, or it is not the state of a run.
    """
    begun: dict[str, bool] = state.get(RUN, {}).get(_BEGUN, {key: True})
    if key not in begun:
        begun[key] = True
        state.pop(key, None)


def check_key(argument: str, key: str, *others: str) -> None:
    """Raise unless a part may write a key of the state.

    Args:
        argument: Name of the argument that names the key, for the message.
        key: The key.
        others: Keys that the part itself reads, and may not write.

    Raises:
        ValueError: If it is a key of the run, or one of the others.
    """
    is_the_runs = key in _NOT_FREE
    if is_the_runs or key in others:
        cure = f"{'the run writes' if is_the_runs else 'the part itself reads'} it; choose another"
        raise wrong_value(argument, "a key of its own", key, cure)


def check_metric(argument: str, key: str) -> None:
    """Raise unless a key of the state may hold a metric.

    The batch may be a number, and "error" is a usual name for a metric.

    Raises:
        ValueError: If it is another key of the run.
    """
    if key in set(RUN_KEYS) - {"batch", "error"}:
        cure = "the run writes it, and it is not a metric; name the key of one"
        raise wrong_value(argument, "the key of a metric", key, cure)


def stop_after_event(state: State, by: str) -> None:
    """Stop the run; to be called in the layer ``STOP``, when every handler of the event has run.

    Args:
        state: State of the run.
        by: Who stops it, for `state["stopped_by"]`.
    """
    moment = [state["n_iters"], state["epoch"]]
    run_memory(state)[_STOPPED_AT] = moment
    state.update({STOPPED_BY: by, "running": False})


class StopRequest:
    """A request to stop a run when the present event is whole, or while it waits for a batch.

    It is beside the state: another thread must not add a key to a dict that a callback may save.

    Attributes:
        by: Who requests it, for `state["stopped_by"]`; ``None`` for nobody.
    """

    def __init__(self) -> None:
        self.by: str | None = None

    def goes_on(self, state: State) -> bool:
        """Return whether the run is running, and nobody has requested a stop."""
        return self.by is None and bool(state["running"])

    def stops(self, state: State) -> bool:
        """Stop the run between two events, if it was requested; return whether it is stopped."""
        by = self.by
        if by is not None and state["running"]:
            stop_after_event(state, by)
        return not state["running"]


def forget_stop(state: State) -> None:
    """Forget who has stopped the run: it goes on, or another one begins."""
    state.pop(STOPPED_BY, None)
    state.get(RUN, {}).pop(_STOPPED_AT, None)


def was_stopped_whole(state: State) -> bool:
    """Return whether it was `stop_after_event` that has stopped the run, just now."""
    return run_memory(state).get(_STOPPED_AT) == [state["n_iters"], state["epoch"]]


def open_epoch(state: State) -> None:
    """Begin an epoch, with an empty memory."""
    state.update({"epoch": state["epoch"] + 1, EPOCH: {"_open": True}})


def close_epoch(state: State) -> None:
    """End an epoch whose batches are exhausted; its memory stays until the next one begins."""
    epoch_memory(state)["_open"] = False


def is_open(state: State) -> bool:
    """Return whether batches of the epoch, or its end, are still to be delivered."""
    return bool(state.get(EPOCH, {}).get("_open"))


def end_epoch(state: State) -> None:
    """End the open epoch after its current batch; for any thread."""
    memory: dict[str, Any] = state.get(EPOCH, {})
    if not memory.get("_open"):
        return
    memory["_ended"] = True
    look_up(state)


def look_up(state: State) -> None:
    """Have the loop look up after the present batch: anything true but True makes it do so."""
    # Nothing is called between the question and the answer, so that a stop by another thread is
    # not lost.
    if state["running"]:
        state["running"] = 1


def is_ended(state: State) -> bool:
    """Return whether the rest of the batches of the epoch is not to be drawn."""
    return "_ended" in state.get(EPOCH, {})


def mark_epoch_start(state: State) -> None:
    """Remember ``n_iters`` as it is before the first batch of the epoch."""
    epoch_memory(state).setdefault("_first_iter", state["n_iters"])


def pass_memory(state: State) -> dict[str, Any]:
    """Return the memory that lives for one pass through the batches.

    It is that of the epoch, unless the pass is cut into several epochs.
    """
    memory: dict[str, Any] | None = state.get(RUN, {}).get(_OVER_BATCHES)
    return epoch_memory(state) if memory is None else memory


def begin_pass(state: State) -> None:
    """Have a memory for a pass that is cut into epochs, unless one is under way."""
    run_memory(state).setdefault(_OVER_BATCHES, {"_first_iter": state["n_iters"]})


def forget_pass(state: State) -> None:
    """Forget the pass that is cut into epochs, if one is under way."""
    state.get(RUN, {}).pop(_OVER_BATCHES, None)


def is_pass_open(state: State) -> bool:
    """Return whether further batches of the pass under way may be drawn."""
    return is_open(state) or _OVER_BATCHES in state.get(RUN, {})


def n_drawn_in_pass(state: State) -> int:
    """Return how many batches the pass under way has drawn, in this epoch and earlier ones."""
    n_iters: int = state["n_iters"]
    first: int = pass_memory(state).get("_first_iter", n_iters)
    return max(0, n_iters - first)


def n_batches_drawn(state: State) -> int:
    """Return how many batches the epoch has drawn: the number of a batch in its epoch, from 1.

    It is the difference of ``n_iters`` from its value before the first draw. A counter of its own
    would cost a tenth of the loop for every batch, and hold nothing new.

    Args:
        state: State of a run. Between two epochs, the count is that of the epoch that has ended.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.state import n_batches_drawn
        >>> runner = Runner()
        >>> @runner.on(Event.BATCH)
        ... def show(state):
        ...     print(state["n_iters"], n_batches_drawn(state))
        >>> runner.run("ab", max_epoch=2)
        1 1
        2 2
        3 1
        4 2
    """
    n_iters: int = state["n_iters"]
    first: int = state.get(EPOCH, {}).get("_first_iter", n_iters)
    return n_iters - first if n_iters > first else 0  # max() takes as long as all the rest


def drawing_failed(state: State) -> bool:
    """Return whether the error of the run came from drawing the next batch of the epoch."""
    return epoch_memory(state).get("_failed_at") == n_batches_drawn(state)


Reader: TypeAlias = Callable[[State], Any]


def reader(key: str, part: str, cure: str) -> Reader:
    """Return the function with which a part of the library reads a key of the state.

    Args:
        key: Key to read.
        part: Name of the part, for the message if the key is missing.
        cure: The cure in that message.

    Raises:
        TypeError: If the key is not a string.
        KeyError: From the function, if a state lacks the key.
    """
    check_string(f"a key of the state for {part}", key, "write its name")

    def read(state: State) -> Any:
        try:
            return state[key]
        except KeyError:
            raise missing_key(key, part, state, cure) from None
        except TypeError:
            check_state(part, state)
            raise

    return read


def check_state(part: str, item: object) -> None:
    """Raise unless what comes to a part is a state, or another mapping.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(item, Mapping):
        raise wrong_item(part, item)


def wrong_item(part: str, item: object) -> TypeError:
    """Return the error for what comes to a part and is not a state."""
    cure = "put it before what turns the state into something else, such as select"
    if hasattr(item, "event") and hasattr(item, "state"):  # of an observed run
        cure = "after runner.observe(...) put states(Event.BATCH) before it"
    return wrong_type(f"what comes to {part}", "a state", item, cure)
