"""Log how long each epoch takes."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any

from reactivex import abc

from rnnr._isolate import Failures
from rnnr.attachments._attachment import Attachment, attach
from rnnr.attachments._display import count_text
from rnnr.attachments._epoch_clock import EpochClock
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import State, is_open
from rnnr.streams._layer import Layer

__all__ = ["EpochTimer"]


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
        clock, failures = EpochClock(), Failures(self.logger)
        handlers = {
            Event.EPOCH_STARTED: partial(self._start, clock, failures),
            Event.RESUMED: partial(self._resume, failures),
            Event.EPOCH_FINISHED: partial(self._finish, clock, failures),
        }
        return attach(runner, Layer.CLOCK, handlers)

    def _start(self, clock: EpochClock, failures: Failures, state: State) -> None:
        clock.start(state)
        self._log(failures, "Starting epoch %s/%s", state)

    def _resume(self, failures: Failures, state: State) -> None:
        if is_open(state):
            self._log(failures, "Resuming epoch %s/%s", state)

    def _finish(self, clock: EpochClock, failures: Failures, state: State) -> None:
        seconds = clock.seconds(state)
        if seconds is not None:  # attached in the middle of an epoch: the next one is timed
            self._log(failures, "Epoch %s/%s done in %s", state, timedelta(seconds=seconds))

    def _log(self, failures: Failures, message: str, state: State, *more: object) -> None:
        try:
            if not _is_at_most_1(state["max_epoch"]):
                counters = (count_text(state[key]) for key in ("epoch", "max_epoch"))
                self.logger.info(message, *counters, *more)
        except Exception as error:  # noqa: BLE001  (it is logged)
            failures.log("EpochTimer cannot log the time of an epoch", error)


def _is_at_most_1(max_epoch: Any) -> bool:
    try:
        return bool(max_epoch <= 1)
    except Exception:  # noqa: BLE001  (a callback has set it to something else)
        return False
