"""The last log records: all that is logged, as text, and nobody's logging is changed."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rnnr.dashboard._log import LogTail, handlers_of


@pytest.fixture
def tail() -> Iterator[LogTail]:
    tail, root = LogTail(), logging.getLogger()
    root.addHandler(tail)
    yield tail
    root.removeHandler(tail)


class Evil:
    """What raises wherever it is looked at."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


def test_it_keeps_what_is_logged_with_when_how_bad_and_where(tail: LogTail) -> None:
    logging.getLogger("a.b").warning("hello %s", "world")
    (record,) = tail.last()
    assert isinstance(record.pop("time"), float)
    assert record == {"level": "WARNING", "logger": "a.b", "text": "hello world"}


def test_it_keeps_the_last_hundred_and_counts_all(tail: LogTail) -> None:
    for i in range(250):
        logging.getLogger("a").warning(i)
    assert [record["text"] for record in tail.last()] == [str(i) for i in range(150, 250)]
    assert tail.n_records == 250


def test_it_keeps_the_traceback(tail: LogTail) -> None:
    try:
        raise ValueError("a fault")
    except ValueError:
        logging.getLogger("a").exception("caught")
    text = tail.last()[0]["text"]
    assert text.startswith("caught\nTraceback")
    assert text.endswith("ValueError: a fault")


def test_a_long_record_is_cut(tail: LogTail) -> None:
    logging.getLogger("a").warning("x" * 10**6)
    assert tail.last()[0]["text"] == "x" * 4000


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("%d", ("no number",)),
        ("%s %s", ("one",)),
        ("nothing", ("too many",)),
        ("%(key)s", ({},)),
        ("%s", (Evil(),)),
        (Evil(), ()),
        (Evil(), (1,)),
    ],
)
def test_a_record_that_is_wrong_breaks_nothing(message: Any, arguments: tuple[Any, ...]) -> None:
    logger, tail = logging.Logger("a"), LogTail()
    logger.addHandler(tail)
    logger.warning(message, *arguments)
    (record,) = tail.last()
    assert record["text"]
    if isinstance(message, str):
        assert message in record["text"]


def test_levels_are_those_of_the_loggers(tail: LogTail) -> None:
    logger = logging.getLogger("test.levels")
    logger.setLevel(logging.ERROR)
    logger.warning("not wanted")
    logger.error("wanted")
    assert [record["text"] for record in tail.last()] == ["wanted"]


def test_a_format_of_another_handler_is_left_alone() -> None:
    class Short(logging.Formatter):
        def formatException(self, exc_info: Any) -> str:  # noqa: N802
            return "short"

    text = io.StringIO()
    other = logging.StreamHandler(text)
    other.setFormatter(Short())
    logger = logging.Logger("a")
    for handler in (LogTail(), other):
        logger.addHandler(handler)
    try:
        raise ValueError("a fault")
    except ValueError:
        logger.exception("caught")
    assert text.getvalue() == "caught\nshort\n"


def test_the_handlers_of_a_logger_are_its_own_and_those_above_it() -> None:
    mine, above = logging.NullHandler(), logging.NullHandler()
    logging.getLogger("test.above").addHandler(above)
    logging.getLogger("test.above.mine").addHandler(mine)
    assert handlers_of("test.above.mine")[:2] == [mine, above]
    logging.getLogger("test.above").propagate = False
    assert handlers_of("test.above.mine") == [mine, above]


PLAIN = """
import logging
from rnnr.dashboard._log import LogTail
if {tail}:
    logging.getLogger().addHandler(LogTail())
logging.getLogger("a").info("not shown")
logging.getLogger("a").warning("shown")
logging.getLogger("a").error("also %s", "shown")
logging.lastResort = None
"""


def shown(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def test_where_nobody_has_set_up_logging_warnings_are_shown_as_ever() -> None:
    with_it, without = (shown(PLAIN.format(tail=tail)) for tail in (True, False))
    assert with_it == without == "shown\nalso shown\n"


def test_the_last_resort_is_for_records_that_nobody_else_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = io.StringIO()
    last = logging.StreamHandler(text)
    last.setLevel(logging.WARNING)
    monkeypatch.setattr(logging, "lastResort", last)
    logger = logging.getLogger("test.alone")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(LogTail())
    logger.info("too little")
    logger.warning("enough")
    logger.addHandler(logging.NullHandler())
    logger.warning("for another")
    assert text.getvalue() == "enough\n"


def test_where_python_shows_nothing_neither_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "lastResort", None)
    tail = LogTail()
    tail.handle(logging.makeLogRecord({"msg": "hello", "levelno": logging.ERROR}))
    assert tail.last()[0]["text"] == "hello"


def test_it_can_be_read_without_a_lock() -> None:
    tail = LogTail()
    tail.lock = None  # as logging allows
    assert tail.last() == []


def test_the_address_of_a_dashboard_is_left_out_and_its_warnings_are_not(tail: LogTail) -> None:
    logger = logging.getLogger("rnnr.dashboard")
    logger.setLevel(logging.INFO)
    try:
        logger.info("The dashboard is at http://127.0.0.1:1/a-secret/")
        logger.warning("Cannot read a file")
    finally:
        logger.setLevel(logging.NOTSET)
    assert [record["text"] for record in tail.last()] == ["Cannot read a file"]
