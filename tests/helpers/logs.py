"""What is logged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["lines_of", "logged"]


@contextmanager
def logged(name: str) -> Iterator[list[logging.LogRecord]]:
    """Collect the records of a logger from level INFO on, which go nowhere else."""
    records: list[logging.LogRecord] = []
    logger, handler = logging.getLogger(name), logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign, assignment]
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield records
    finally:
        logger.propagate = True
        logger.removeHandler(handler)
        logger.setLevel(before)


def lines_of(records: list[logging.LogRecord]) -> list[str]:
    """Return the level and the message of each record."""
    return [f"{record.levelname}: {record.getMessage()}" for record in records]
