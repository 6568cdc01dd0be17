"""Log how long each epoch takes."""

import logging
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from math import nan
from typing import Any

from reactivex import abc

from rnnr._isolate import Failures
from rnnr.attachments._attachment import Attachment, attach
from rnnr.attachments._display import plain_number
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State, epoch_memory, is_open
from rnnr.streams._layer import Layer

__all__ = ["EpochTimer"]

_STARTED_AT = "_started_at"


class EpochTimer(Attachment):
    """An attachment that logs when each epoch begins and how long it took.

    It logs at INFO on ``rnnr.attachments.epoch_timer``, unless ``state["max_epoch"]`` is 1 or
    less. The time includes everything that happens in the epoch, except that its end is saved, and
    the pause between a stop and ``resume``. It does not change when the wall clock is set, except
    in an epoch that another process began. If logging fails, that is logged once, at ERROR on the
    same logger, and the run goes on.

    Example:
        >>> import logging, sys
        >>> from rnnr import Runner
        >>> from rnnr.attachments import EpochTimer
        >>> handler = logging.StreamHandler(sys.stdout)
        >>> EpochTimer.logger.addHandler(handler)
        >>> EpochTimer.logger.setLevel(logging.INFO)
        >>> runner = Runner()
        >>> subscription = EpochTimer().attach_on(runner)
        >>> runner.run(range(3), max_epoch=2)  # doctest: +ELLIPSIS
        Starting epoch 1/2
        Epoch 1/2 done in 0:00:00...
        Starting epoch 2/2
        Epoch 2/2 done in 0:00:00...
        >>> EpochTimer.logger.removeHandler(handler)
    """

    logger = logging.getLogger("rnnr.attachments.epoch_timer")

    def attach_on(self, runner: Runner) -> abc.DisposableBase:
        """Attach to a runner.

        Returns:
            A Disposable that detaches again.
        """
        began = _Began(self.logger)
        handlers = {
            Event.EPOCH_STARTED: partial(self._start, began),
            Event.RESUMED: partial(self._resume, began),
            Event.EPOCH_FINISHED: partial(self._finish, began),
        }
        return attach(runner, Layer.CLOCK, handlers)

    def _start(self, began: "_Began", state: State) -> None:
        began.wall = epoch_memory(state).setdefault(_STARTED_AT, time.time())
        began.monotonic = time.monotonic()
        self._log(began, "Starting epoch %s/%s", state)

    def _resume(self, began: "_Began", state: State) -> None:
        if is_open(state):
            self._log(began, "Resuming epoch %s/%s", state)

    def _finish(self, began: "_Began", state: State) -> None:
        started_at = epoch_memory(state).get(_STARTED_AT)
        if started_at is not None:  # attached in the middle of an epoch: the next one is timed
            elapsed = timedelta(seconds=began.seconds_since(started_at))
            self._log(began, "Epoch %s/%s done in %s", state, elapsed)

    def _log(self, began: "_Began", message: str, state: State, *more: object) -> None:
        try:
            if not _is_at_most_1(state["max_epoch"]):
                counters = (_as_text(state[key]) for key in ("epoch", "max_epoch"))
                self.logger.info(message, *counters, *more)
        except Exception as error:  # noqa: BLE001  (it is logged)
            began.failures.log("EpochTimer cannot log the time of an epoch", error)


class _Began:
    """When the latest epoch of one runner began, by two clocks, and the failures since then.

    The state holds the wall time, too: an epoch that another process or another runner began is
    recognized by a different wall time.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.failures = Failures(logger)
        self.wall = self.monotonic = nan

    def seconds_since(self, wall: float) -> float:
        """Return how long ago an epoch began, given the wall time of its beginning."""
        if wall == self.wall:
            return time.monotonic() - self.monotonic
        return max(0.0, time.time() - wall)


def _is_at_most_1(max_epoch: Any) -> bool:
    try:
        return bool(max_epoch <= 1)
    except Exception:  # noqa: BLE001  (a callback has set it to something else)
        return False


def _as_text(number: Any) -> str:
    number = plain_number(number)
    with suppress(OverflowError, TypeError, ValueError):  # infinite, or not a number
        return str(int(number))
    return str(number)
