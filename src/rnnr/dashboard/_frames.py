"""Messages between the dashboard and the process that reads recordings."""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, NamedTuple

__all__ = ["LOG", "Answer", "answers_in", "begin", "encoded", "questions_in", "write_answer"]

LOG: Final = 0
"""Number of an answer that nobody has asked for: a log record."""

_SIZES = struct.Struct("<III")


class Answer(NamedTuple):
    """What the process has answered.

    Attributes:
        number: Number of the question; `LOG` for a log record.
        head: What the dashboard reads.
        body: What it passes on as it is.
    """

    number: int
    head: dict[str, Any]
    body: bytes


def encoded(question: Mapping[str, Any]) -> bytes:
    """Return a question as it is sent: a line of JSON."""
    return json.dumps(question).encode("ascii") + b"\n"


def questions_in(pipe: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the questions that come, up to the end of the pipe."""
    yield from map(json.loads, iter(pipe.readline, b""))


def begin(pipe: IO[bytes], token: str) -> None:
    """Write where the answers begin: what comes before is not ours."""
    pipe.write(f"\n{token}\n".encode("ascii"))
    pipe.flush()


def write_answer(pipe: IO[bytes], answer: Answer) -> None:
    """Write an answer: the number, the sizes, the head as JSON, the body."""
    head = json.dumps(answer.head).encode("ascii")
    pipe.write(_SIZES.pack(answer.number, len(head), len(answer.body)) + head)
    pipe.write(answer.body)
    pipe.flush()


def answers_in(pipe: IO[bytes], token: str) -> Iterator[Answer]:
    """Yield the answers that come after the token, up to the end of the pipe."""
    mark = f"{token}\n".encode("ascii")
    for line in iter(pipe.readline, b""):
        if line == mark:
            break
    while len(sizes := pipe.read(_SIZES.size)) == _SIZES.size:
        number, n_head, n_body = _SIZES.unpack(sizes)
        data = pipe.read(n_head + n_body)
        if len(data) < n_head + n_body:  # it was killed while it was writing
            return
        yield Answer(number, json.loads(data[:n_head]), data[n_head:])
