"""Callbacks that must not break a run."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from traceback import format_exception_only
from typing import Any

from reactivex import Observable

from rnnr._callbacks import check_handler
from rnnr._errors import wrong_type

__all__ = ["Failures", "isolate", "log_failure"]

logger = logging.getLogger("rnnr.isolation")


def isolate(callback: Callable[[Any], object]) -> Callable[[Any], None]:
    """Wrap a callback so that its exceptions are logged and the run goes on.

    It is meant for views: a dashboard, a logger, a message to a phone. An exception is logged at
    ERROR with its traceback on ``rnnr.isolation``; the callback stays subscribed and
    is called again at the next event. ``KeyboardInterrupt`` and ``SystemExit`` are not caught.
    For a stream with operators there is `rnnr.operators.isolate`.

    Args:
        callback: Callable that accepts the state, or another single argument.

    Raises:
        TypeError: If the callback cannot be called.

    Example:
        >>> import logging
        >>> logging.getLogger("rnnr.isolation").disabled = True  # for this page only
        >>> from rnnr import Event, Runner, isolate
        >>> def send_to_phone(state):
        ...     raise ConnectionError("no network")
        >>> runner = Runner()
        >>> subscription = runner.on(Event.BATCH, isolate(send_to_phone))
        >>> runner.run(range(3))
        >>> runner.state["n_iters"]
        3
    """
    _check_not_a_stream(callback)
    check_handler("callback", callback)

    @wraps(callback, updated=())
    def isolated(state: Any) -> None:
        _check_not_a_stream(state)
        try:
            callback(state)
        except Exception as error:  # noqa: BLE001  (it is logged)
            log_failure(error, callback)

    if hasattr(callback, "reserve_on"):  # it still reserves its key of the state
        vars(isolated)["reserve_on"] = callback.reserve_on
    return isolated


def _check_not_a_stream(thing: object) -> None:
    if isinstance(thing, Observable):
        cure = "in a pipe write rnnr.operators.isolate()"
        raise wrong_type("what isolate wraps", "a callback", thing, cure)


def log_failure(error: Exception, *what: object) -> None:
    """Log an exception with its traceback.

    Args:
        error: The exception.
        what: What it was caught from.
    """
    with suppress(Exception):  # a logging handler may fail, too
        message = f"isolate({'%r' * len(what)}) caught an exception; the run goes on"
        logger.error(message, *what, exc_info=error)


class Failures:
    """Logs the failures of a view, each kind once, since a view may fail at every batch.

    Args:
        logger: Where to log them, at ERROR and with the traceback.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._logged: set[tuple[str, type[BaseException]]] = set()

    def log(self, what: str, error: BaseException) -> None:
        """Log that something failed, unless it has failed with an error of this type before.

        Args:
            what: What failed, as a sentence: "ProgressBar cannot draw its bar".
            error: The exception.
        """
        kind = (what, type(error))
        if kind in self._logged:
            return
        self._logged.add(kind)
        with suppress(Exception):  # a logging handler may fail, too
            reason = format_exception_only(error)[0].strip()  # also where __str__ raises
            self._logger.error("%s: %s; the run goes on", what, reason, exc_info=error)
