"""The loop: the pseudocode of `rnnr.Event` in Python, and what an error does to a run."""

from rnnr._errors import add_note, note_failure
from rnnr.event import Event
from rnnr.sources._epoch_batches import EpochBatches, warn_if_spent
from rnnr.state import (
    MISSING,
    POSITION_KEYS,
    State,
    close_epoch,
    forget_stop,
    is_ended,
    is_open,
    n_batches_drawn,
    open_epoch,
)
from rnnr.streams._subject import Streams

__all__ = ["loop"]


def loop(
    state: State,
    streams: Streams,
    batches: EpochBatches,
    opening: Event,
    beginning: State,
    repeat_last_batch: bool,
) -> None:
    """Run the loop that the docstring of `Event` defines.

    Args:
        state: The state of the run.
        streams: The Subject of each event.
        batches: What is left of the batches of an epoch.
        opening: The event with which the run begins or goes on.
        beginning: Keys that the state gets before that.
        repeat_last_batch: Whether to deliver the last batch once more.
    """
    drawing = stopped = False  # drawing: an error comes from the batches, not from a handler
    try:
        batches.request.by = None
        state.update(beginning)
        forget_stop(state)
        if isinstance(state.get("error"), BaseException):  # saved while FAILED was delivered
            del state["error"]
        _publish(streams, opening, state)
        if repeat_last_batch and is_open(state) and n_batches_drawn(state):
            _publish(streams, Event.BATCH, state)
        stream = streams[Event.BATCH]
        while not batches.request.stops(state) and (
            is_open(state) or state["epoch"] < state["max_epoch"]
        ):
            if not is_open(state):
                open_epoch(state)
                _publish(streams, Event.EPOCH_STARTED, state)
                if batches.request.stops(state):
                    break
            # No call in this line, in which another thread could stop the run.
            state["running"] = state["running"] and True
            is_exhausted, drawing = False, True
            for batch in batches.remaining(state):
                try:
                    if not state["running"]:  # stopped while this one was drawn
                        batches.push_back(batch)
                        break
                    state["batch"] = batch
                    batch = None  # the state alone holds it, and callbacks may let go of it
                    state["n_iters"] = state["n_iters"] + 1  # += takes a little longer
                    (stream.deliver or stream.rebuild())(state)
                    if state["running"] is not True:  # stopped, or something is to be looked at
                        break
                except BaseException as error:
                    drawing = False
                    _note(error, "in a handler of Event.BATCH", state)
                    raise
            else:
                is_exhausted = True
            drawing = False
            if not batches.request.stops(state) and (is_exhausted or is_ended(state)):
                close_epoch(state)
                batches.finish_epoch(state)
                _publish(streams, Event.EPOCH_FINISHED, state)
                warn_if_spent(state, stacklevel=4)
        stopped = not state["running"]
        _publish(streams, Event.STOPPED if stopped else Event.FINISHED, state)
    except BaseException as error:
        if drawing:
            _note(error, "while batches were drawn", state)
            batches.failed(state)
        if isinstance(error, KeyError):
            _note_removed(error, state)
        if not stopped:
            _publish_failure(streams, error, state)
        state["running"] = False  # before sources are closed, which may take a second
        batches.pause(error)
        raise
    else:
        state["running"] = False
        batches.pause()
    finally:
        state["running"] = False


def _publish(streams: Streams, event: Event, state: State) -> None:
    # Most events of a short run have no listener; making their Subjects takes a tenth of it.
    stream = streams.get(event)
    if stream is None:
        return
    try:
        stream.on_next(state)
    except BaseException as error:
        _note(error, f"in a handler of {event}", state)
        raise


def _publish_failure(streams: Streams, error: BaseException, state: State) -> None:
    before = state.get("error", MISSING)  # the key may be in use, for a metric
    traceback = error.__traceback__
    state["error"] = error
    try:
        streams[Event.FAILED].on_next(state)
    except BaseException as other:  # noqa: BLE001  (the first error is the one to raise)
        note_failure(error, other, "a handler of Event.FAILED")
    finally:
        # A handler that raises it again would leave its frames in it, which hold the state.
        error.with_traceback(traceback)
        del traceback
        state.pop("error", None)
        if before is not MISSING:
            state["error"] = before


def _note_removed(error: KeyError, state: State) -> None:
    """Say of a missing key that the run needs it, which the error itself does not."""
    removed = [key for key in (*POSITION_KEYS, "running") if key not in state]
    if error.args and error.args[0] in removed:
        names = ", ".join(f"state[{key!r}]" for key in removed)
        add_note(error, f"rnnr: a callback has removed {names}, which the run needs; keep it")


def _note(error: BaseException, where: str, state: State) -> None:
    epoch, n_iters = state.get("epoch"), state.get("n_iters")
    add_note(error, f"rnnr: {where}, epoch {epoch}, iteration {n_iters}", place=where)
