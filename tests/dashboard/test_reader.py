"""What the reading process does, inside the test: messages in, answers out."""

import gc
import io
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.threads import until
from rnnr.dashboard import _reader
from rnnr.dashboard._frames import Answer, answers_in, begin, encoded, questions_in, write_answer
from rnnr.dashboard._recordings import Recordings


class Ended(BaseException):
    """Stands for the end of the process."""


class Bad(Recordings):
    """Recordings of which a thread fails, and the others end."""

    def read_forever(self) -> None:
        raise RuntimeError("bad sector")

    def look_forever(self, searching: Any) -> None:
        self.looked = searching.path


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what `main` does to this process."""

    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    handler, threshold = signal.getsignal(signal.SIGINT), gc.get_threshold()
    logger = logging.getLogger("rnnr.dashboard")
    handlers, propagates = [*logger.handlers], logger.propagate
    yield
    signal.signal(signal.SIGINT, handler)
    gc.set_threshold(*threshold)
    logger.handlers, logger.propagate = handlers, propagates


def answered(monkeypatch: pytest.MonkeyPatch, *messages: dict[str, Any]) -> list[Answer]:
    """Run the process up to the end of its input, and return its answers."""
    answers = io.BytesIO()
    questions = io.BytesIO(b"".join(map(encoded, messages)))
    monkeypatch.setattr(_reader, "_own_pipes", lambda: (questions, answers))
    monkeypatch.setattr(_reader, "_end_with", lambda _: None)
    with pytest.raises(Ended):
        _reader.main("token", os.getppid())
    return [*answers_in(io.BytesIO(answers.getvalue()), "token")]


def bad_recording(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Return the path of a recording that the reader finds bad."""
    monkeypatch.setattr(_reader, "Recordings", Bad)
    path = folder / "a"
    path.touch()
    return path


def test_what_is_sent_a_second_time_while_the_process_is_started_is_followed_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = bad_recording(monkeypatch, tmp_path)
    answers = answered(
        monkeypatch,
        *[{"do": "follow", "id": 1, "path": str(path), "name": "a"}] * 2,
        *[{"do": "search", "id": 2, "path": str(tmp_path), "name": ""}] * 2,
        {"ask": "data", "cursor": "", "number": 5},
    )
    (data,) = [each for each in answers if each.number]
    ((number, keys),) = data.head["order"]
    assert (number, len(keys)) == (1, 1)
    assert data.head["searching"] == [str(tmp_path)]


def test_it_carries_out_messages_and_answers_questions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = bad_recording(monkeypatch, tmp_path)
    answers = answered(
        monkeypatch,
        {"do": "reserve", "names": ["training"]},
        {"do": "what a later version does"},
        {"do": "follow", "id": 1, "path": str(path), "name": "a"},
        {"do": "search", "id": 2, "path": str(tmp_path), "name": ""},
        {"do": "leave", "id": 1},
        {"ask": "data", "cursor": "", "number": 5},
        {"ask": "curves", "wanted": "", "room": None, "number": 6},
        {"ask": "nonsense", "number": 7},
    )
    logged = [each for each in answers if each.number == 0]
    data, curves, error = [each for each in answers if each.number]
    assert (data.number, [number for number, _ in data.head["order"]]) == (5, [1])
    assert data.head["searching"] == [str(tmp_path)]
    assert curves == Answer(6, {"curves": [], "more": False}, b"")
    assert error == Answer(7, {}, b"")
    assert {each.head["level"] for each in logged} == {logging.ERROR}
    for text in ("RuntimeError: bad sector", "question must be one of a dashboard"):
        assert any(text in each.head["text"] for each in logged)


def test_a_part_is_answered_on_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reader, "Recordings", Bad)
    answers = io.BytesIO()
    session = _reader._Session(answers)
    session.start()
    session.take({"ask": "part", "wanted": "a.0", "first": 0, "last": 1, "number": 8})
    until(answers.getvalue)
    begun = io.BytesIO()
    begin(begun, "token")
    (answer,) = answers_in(io.BytesIO(begun.getvalue() + answers.getvalue()), "token")
    assert answer == Answer(8, {"curves": [], "more": False}, b"")


def test_it_is_told_to_end() -> None:
    with pytest.raises(Ended):
        _reader._Session(io.BytesIO()).take({"do": "end"})


def test_it_ends_when_its_parent_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(_reader, "_CHECK", 0)
    with pytest.raises(Ended):
        _reader._end_with(7)
    assert next(parents, None) is None


def test_where_there_are_no_parents_and_priorities_it_ends_with_its_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "nice")
    assert answered(monkeypatch) == []


def test_its_pipes_are_its_own() -> None:
    kept = os.dup(0), os.dup(1)
    pipes = os.pipe(), os.pipe()
    try:
        os.dup2(pipes[0][0], 0)
        os.dup2(pipes[1][1], 1)
        questions, answers = _reader._own_pipes()
        os.write(1, b"printed")
        assert os.read(0, 10) == b""
    finally:
        for number, each in enumerate(kept):
            os.dup2(each, number)
            os.close(each)
    with questions, answers:
        os.write(pipes[0][1], encoded({"number": 1}))
        os.close(pipes[0][1])
        assert [*questions_in(questions)] == [{"number": 1}]
        begin(answers, "token")
        assert os.read(pipes[1][0], 100) == b"\ntoken\n"
    for each in (pipes[0][0], pipes[1][0], pipes[1][1]):
        os.close(each)


def test_a_process_that_has_not_begun_has_answered_nothing() -> None:
    assert [*answers_in(io.BytesIO(b"hello\n"), "token")] == []


def test_an_answer_that_was_being_written_when_the_process_was_killed_is_none() -> None:
    answers = io.BytesIO()
    write_answer(answers, Answer(1, {}, b"body"))
    for n in range(len(answers.getvalue())):
        assert [*answers_in(io.BytesIO(b"token\n" + answers.getvalue()[:n]), "token")] == []
