"""What the process that reads recordings does: ``python -m rnnr.dashboard._reader TOKEN PARENT``.

It answers the dashboard's questions, reads recordings and looks for more of them, each on threads
of its own, so that a slow disk holds up no answer. It ends with its input, or with its parent.
"""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import IO, Any, Final

from rnnr.dashboard._frames import LOG, Answer, begin, questions_in, write_answer
from rnnr.dashboard._recordings import Recordings

__all__ = ["main"]

logger = logging.getLogger("rnnr.dashboard")

_NICER = 3  # a training goes first
_N_OBJECTS = 100_000  # made between two searches for garbage: lines are not cycles
_CHECK = 1.0  # seconds between two looks whether the parent is still there


class _ToParent(logging.Handler):
    """Passes log records on to the dashboard."""

    def __init__(self, write: Callable[[Answer], None]) -> None:
        super().__init__()
        self._write_answer = write

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, with the traceback if there is one."""
        self._write_answer(Answer(LOG, {"level": record.levelno, "text": self.format(record)}, b""))


class _Session:
    """Carries out messages and answers questions, as they come.

    Args:
        answers: Pipe to the dashboard.
    """

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self._lock = Lock()
        self._recordings = Recordings()
        self._numbers: set[int] = set()  # of what is followed or searched
        self._parts = SimpleQueue[dict[str, Any]]()  # questions for which a file is read again

    def start(self) -> None:
        """Start to read."""
        self._on_thread(self._recordings.read_forever)
        self._on_thread(self._read_parts)

    def write(self, answer: Answer) -> None:
        """Write an answer; the threads take turns."""
        with self._lock, suppress(OSError):  # the parent has died
            write_answer(self._answers, answer)

    def take(self, message: dict[str, Any], *, is_part: bool = False) -> None:
        """Carry out a message, or answer a question; an error is logged."""
        try:
            self._take(message, is_part)
        except Exception:
            logger.exception("The process that reads recordings could not do what it was asked")

    def _read_parts(self) -> None:
        while True:
            self.take(self._parts.get(), is_part=True)

    def _take(self, message: dict[str, Any], is_part: bool) -> None:
        match message:
            case {"do": "follow" | "search", "id": int(number)} if number in self._numbers:
                pass  # sent while the process was started, whose first messages have it, too
            case {"do": "follow", "id": int(number), "path": str(path), "name": str(name)}:
                self._numbers.add(number)
                self._recordings.follow(number, path, name)
            case {"do": "search", "id": int(number), "path": str(path), "name": str(name)}:
                self._numbers.add(number)
                search = self._recordings.search(number, path, name)
                self._on_thread(lambda: self._recordings.look_forever(search))
            case {"do": "leave", "id": int(number)}:
                self._recordings.leave(number)
            case {"do": "reserve", "names": list(names)}:
                self._recordings.reserve(names)
            case {"do": "end"}:
                os._exit(0)
            case {"number": int(), "ask": "part"} if not is_part:
                self._parts.put(message)
            case {"number": int(number), **question}:
                answer: tuple[dict[str, Any], bytes] = {}, b""  # after an error
                try:
                    answer = self._recordings.answer(question)
                finally:
                    self.write(Answer(number, *answer))

    def _on_thread(self, target: Callable[[], object]) -> None:
        Thread(target=_logged, args=(target,), daemon=True).start()


def main(token: str, parent: int) -> None:
    """Answer questions until there are no more.

    Args:
        token: Text before the first answer.
        parent: Number of the process that asks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICER)
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    gc.set_threshold(_N_OBJECTS)
    questions, answers = _own_pipes()
    begin(answers, token)
    session = _Session(answers)
    logger.addHandler(_ToParent(session.write))
    logger.propagate = False
    session.start()
    for question in questions_in(questions):
        session.take(question)
    os._exit(0)  # a thread may be waiting for a disk


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take the pipes away from whatever else prints or reads in this process."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return questions, answers


def _end_with(parent: int) -> None:
    """End when the parent has ended: a process that it has forked may hold the pipe open."""
    while os.getppid() == parent:
        time.sleep(_CHECK)
    os._exit(0)


def _logged(target: Callable[[], object]) -> None:
    try:
        target()
    except Exception:
        logger.exception("Recordings are not read any more")


if __name__ == "__main__":  # pragma: no cover  (in a process of its own)
    _TOKEN: Final = sys.argv[1]
    main(_TOKEN, int(sys.argv[2]))
