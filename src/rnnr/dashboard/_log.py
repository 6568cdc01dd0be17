"""The last log records, for the page."""

import logging
from collections import deque
from contextlib import nullcontext
from typing import Any

from rnnr._errors import shown

__all__ = ["LogTail", "handlers_of"]

_N_RECORDS = 100
_LENGTH = 4000  # characters of one record


def handlers_of(name: str) -> list[logging.Handler]:
    """Return the handlers that get the records of a logger."""
    logger: logging.Logger | None = logging.getLogger(name)
    handlers: list[logging.Handler] = []
    while logger:
        handlers += logger.handlers
        logger = logger.parent if logger.propagate else None
    return handlers


class LogTail(logging.Handler):
    """A logging handler that keeps the last records as text.

    Attributes:
        n_records: Number of all records so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[dict[str, Any]] = deque(maxlen=_N_RECORDS)
        self.n_records = 0
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, unless it is an address."""
        self._pass_to_last_resort(record)
        if record.name == "rnnr.dashboard" and record.levelno <= logging.INFO:
            return  # an address, perhaps of a dashboard with more rights
        self.keep(record)

    def keep(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        cached = record.exc_text
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  (other handlers report a wrong logging call)
            text = shown(record.msg)
        record.exc_text = cached  # other handlers may format it otherwise
        kept = {
            "time": record.created,
            "level": record.levelname,
            "logger": record.name,
            "text": text[:_LENGTH],
        }
        with self.lock or nullcontext():
            self._records.append(kept)
            self.n_records += 1  # last: who has read it finds the record

    def _pass_to_last_resort(self, record: logging.LogRecord) -> None:
        """Show a record as Python does without handlers, if there are only handlers of this class.

        With several of them only the first does it.
        """
        last, handlers = logging.lastResort, handlers_of(record.name)
        is_alone = handlers[0] is self and all(isinstance(each, LogTail) for each in handlers)
        if last and is_alone and record.levelno >= last.level:
            last.handle(record)

    def last(self) -> list[dict[str, Any]]:
        """Return the last records, the newest at the end."""
        with self.lock or nullcontext():
            return list(self._records)
