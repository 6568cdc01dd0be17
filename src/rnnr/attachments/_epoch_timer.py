"""How long each epoch takes."""

import logging
import time
from datetime import timedelta

from reactivex import abc

from rnnr.attachments._attachment import Attachment, attach
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State, epoch_memory, is_open
from rnnr.stream import Layer

__all__ = ["EpochTimer"]

_STARTED_AT = "_started_at"


class EpochTimer(Attachment):
    """An attachment that logs when each epoch begins and how long it took.

    It logs at INFO on ``rnnr.attachments.epoch_timer``, and only where ``state["max_epoch"]`` is
    greater than 1. The time is that of the wall clock and contains everything that happens
    in the epoch; for a run that was stopped and resumed, also the time in between.

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
        handlers = {
            Event.EPOCH_STARTED: self._start,
            Event.RESUMED: self._resume,
            Event.EPOCH_FINISHED: self._finish,
        }
        return attach(runner, Layer.CLOCK, handlers)

    def _start(self, state: State) -> None:
        epoch_memory(state)[_STARTED_AT] = time.time()
        self._log("Starting epoch %d/%d", state)

    def _resume(self, state: State) -> None:
        if is_open(state):
            self._log("Resuming epoch %d/%d", state)

    def _finish(self, state: State) -> None:
        started_at = epoch_memory(state).get(_STARTED_AT)
        if started_at is not None:  # attached in the middle of an epoch: the next one is timed
            elapsed = timedelta(seconds=time.time() - started_at)
            self._log("Epoch %d/%d done in %s", state, elapsed)

    def _log(self, message: str, state: State, *more: object) -> None:
        if state["max_epoch"] > 1:
            self.logger.info(message, state["epoch"], state["max_epoch"], *more)
