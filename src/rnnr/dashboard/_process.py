"""A process beside the training that answers questions, and is started again when it has died."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from threading import Lock, Thread
from typing import IO, Any, Final

import rnnr
from rnnr.dashboard._frames import LOG, Answer, answers_in, encoded

__all__ = ["HelperProcess"]

# Where modules are found is as in this process: the standard library before what is installed.
_RUN: Final = """
import json, runpy, sys
sys.path[:] = json.loads(sys.argv.pop())
runpy.run_module(sys.argv.pop(), run_name="__main__", alter_sys=True)
"""
_N_RESTARTS: Final = 3
_MOST_WAITING = 1 << 15  # bytes of questions without an answer that fit into any pipe
_FAREWELL = 2.0  # seconds to end by itself


class HelperProcess:
    """Runs a module in a process of its own, and passes questions and answers through pipes.

    It is not `multiprocessing`, which may import the user's script a second time. The process ends
    when this one does, however that happens, since its input ends then. If it is killed, it is
    started again, three times at most. It is not stopped by Ctrl-C in the terminal, and inherits
    neither sockets nor locks.

    Args:
        module: Module to run; it gets the token and the number of this process as arguments.
        prepare: Returns the messages with which a new process begins.
        tell: Called with the level and the text of what is to be logged.
    """

    def __init__(
        self,
        module: str,
        prepare: Callable[[], Iterable[Mapping[str, Any]]],
        tell: Callable[[int, str], None],
    ) -> None:
        self._module = module
        self._prepare = prepare
        self._tell = tell
        self._lock = Lock()
        self._waiting: dict[int, tuple[bytes, Future[Answer]]] = {}
        self._n_asked = LOG
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._outgoing: SimpleQueue[bytes] | None = None
        self._is_over = False
        self._thread = Thread(target=self._run, name="rnnr recordings", daemon=True)
        self._thread.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message that has no answer, unless the process will begin with it."""
        with self._lock:
            self._write(encoded(message))

    def ask(self, question: Mapping[str, Any]) -> "Future[Answer]":
        """Send a question, and return its answer, once there is one.

        The future is cancelled if the process dies, or answers too slowly to ask it now.
        """
        future: Future[Answer] = Future()
        with self._lock:
            self._n_asked += 1
            data = encoded({**question, "number": self._n_asked})
            n_waiting = sum(len(other) for other, _ in self._waiting.values())
            if self._is_over or (n_waiting and n_waiting + len(data) > _MOST_WAITING):
                future.cancel()
            else:
                self._waiting[self._n_asked] = data, future
                self._write(data)  # or once it is started
        return future

    @property
    def is_late(self) -> bool:
        """Whether somebody has given up waiting for an answer that has not come yet."""
        with self._lock:
            return any(future.cancelled() for _, future in self._waiting.values())

    def close(self) -> None:
        """End the process, and wait for its end."""
        if os.getpid() != self._owner:  # in a fork, which must leave the process alone
            return
        with self._lock:
            self._is_over = True
            process = self._process
            self._write(encoded({"do": "end"}))  # a fork may hold the pipe open
        self._thread.join(_FAREWELL)
        if process is not None and self._thread.is_alive():
            process.kill()
            self._thread.join(_FAREWELL)

    def _run(self) -> None:
        try:
            for n_left in range(_N_RESTARTS, -1, -1):
                status = self._run_once()
                if self._is_over:
                    break
                self._tell_end(status, n_left)
        except (OSError, TypeError) as error:  # sys.executable may be None
            self._tell(logging.ERROR, f"Cannot start the process that reads recordings: {error}")
        with self._lock:
            self._is_over = True
            self._cancel()

    def _tell_end(self, status: int, n_left: int) -> None:
        what = f"The process that reads recordings has ended with status {status}"
        if n_left:
            self._tell(logging.WARNING, f"{what}, and is started again")
        else:
            self._tell(logging.ERROR, f"{what} again; the page shows no more of recordings")

    def _run_once(self) -> int:
        """Start the process, and read its answers until it has ended; return its status."""
        token = token_hex(16)
        with self._lock:
            if self._is_over:
                return 0
            process = self._process = _started(self._module, token)
            outgoing = self._outgoing = SimpleQueue()
            for message in self._prepare():
                self._write(encoded(message))
            for data, _ in self._waiting.values():
                self._write(data)
        assert process.stdout is not None  # noqa: S101  (for mypy: it is a pipe)
        assert process.stdin is not None  # noqa: S101
        writer = Thread(target=_write_all, args=(process.stdin, outgoing), daemon=True)
        writer.start()
        for answer in answers_in(process.stdout, token):
            self._pass_on(answer)
        with self._lock:
            self._process = self._outgoing = None
            self._cancel()
        process.stdout.close()
        process.kill()
        outgoing.put(b"")
        writer.join()
        return process.wait()

    def _cancel(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            future.cancel()

    def _pass_on(self, answer: Answer) -> None:
        if answer.number == LOG:
            self._tell(answer.head["level"], answer.head["text"])
            return
        with self._lock:
            _, future = self._waiting.pop(answer.number)
        if future.set_running_or_notify_cancel():
            future.set_result(answer)

    def _write(self, data: bytes) -> None:
        if self._outgoing is not None:
            self._outgoing.put(data)


def _write_all(pipe: IO[bytes], outgoing: "SimpleQueue[bytes]") -> None:
    """Write what comes, up to nothing; nobody else waits for a process that does not read."""
    with suppress(OSError):  # it has died, which its other pipe tells, too
        while data := outgoing.get():
            pipe.write(data)
            pipe.flush()
    with suppress(OSError):
        pipe.close()


def _started(module: str, token: str) -> "subprocess.Popen[bytes]":
    root = str(Path(rnnr.__file__).parents[1])
    path = [each for each in sys.path if isinstance(each, str) and each]
    is_windows = sys.platform == "win32"
    arguments = [token, str(os.getpid()), module, json.dumps([*path, root])]
    return subprocess.Popen(  # noqa: S603  (Python itself, and a module of ours)
        [sys.executable, "-P", "-c", _RUN, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=not is_windows,  # so that Ctrl-C does not reach it
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if is_windows else 0,
    )
