"""All recordings of a page: which there are, under which names, and what a page lacks."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from helpers.clock import Clock
from helpers.threads import GUARD, in_thread
from rnnr import Event, Runner
from rnnr.dashboard import _recordings
from rnnr.dashboard._recordings import Recordings
from rnnr.recording import Record


def recorded(path: Path, n: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    with Record(path).attach_on(runner):
        runner.run(range(n))
    return path


def read(recordings: Recordings) -> None:
    while recordings.read_all():
        pass


class Asked:
    """A page that asks, and keeps what it was told."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings
        self.head: dict[str, Any] = {"cursor": ""}

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that have changed since it asked last."""
        question = {"ask": "data", "cursor": self.head["cursor"]}
        self.head, body = self._recordings.answer(question)
        runs: list[dict[str, Any]] = json.loads(b"[" + body + b"]")
        return runs

    def names(self) -> list[str]:
        return [run["name"] for run in self.runs()]


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> Recordings:
    monkeypatch.setattr(_recordings, "_FRESH", 0)  # nobody reads beside the test
    return Recordings()


def test_a_page_gets_all_runs_first_and_later_those_that_have_changed(
    tmp_path: Path, recordings: Recordings
) -> None:
    for number, name in enumerate("ab", 1):
        recordings.follow(number, str(recorded(tmp_path / name)), name)
    read(recordings)
    page = Asked(recordings)
    first = page.runs()
    assert [(run["name"], run["status"], run["n_iters"]) for run in first] == [
        ("a", "finished", 3),
        ("b", "finished", 3),
    ]
    assert page.head["order"] == [(1, [first[0]["key"]]), (2, [first[1]["key"]])]
    assert len(page.head["events"]) == 8
    assert page.runs() == []
    assert "events" not in page.head
    recorded(tmp_path / "b", 5)
    read(recordings)
    assert [(run["name"], run["n_iters"]) for run in page.runs()] == [("b", 5)]
    assert len(page.head["events"]) == 12
    assert len(Asked(recordings).runs()) == 2


@pytest.mark.parametrize(
    "cursor", ["", "x", "x.1.2", "{view}.1", "{view}.x.2", "{view}.1.2.3", "{view}.1." + "9" * 5000]
)
def test_a_cursor_that_is_not_ours_gets_everything(
    cursor: str, tmp_path: Path, recordings: Recordings
) -> None:
    recordings.follow(1, str(recorded(tmp_path / "a")), "a")
    page = Asked(recordings)
    page.runs()
    page.head["cursor"] = cursor.format(view=page.head["cursor"].partition(".")[0])
    assert page.names() == ["a"]
    assert "events" in page.head


def test_what_is_found_later_is_shown_then_and_once(tmp_path: Path, recordings: Recordings) -> None:
    searching = recordings.search(1, str(tmp_path), "")
    other = recordings.search(2, str(tmp_path / "*.jsonl"), "")
    page = Asked(recordings)
    recordings.look(searching)
    assert page.names() == []
    assert page.head["searching"] == [str(tmp_path), str(tmp_path / "*.jsonl")]
    recorded(tmp_path / "a.jsonl")
    for each in (searching, other, searching):
        recordings.look(each)
    assert page.names() == ["a"]


def test_a_file_that_is_gone_stays_with_what_it_had(tmp_path: Path, recordings: Recordings) -> None:
    path = recorded(tmp_path / "a.jsonl")
    searching = recordings.search(1, str(tmp_path), "")
    recordings.look(searching)
    read(recordings)
    path.unlink()
    recordings.look(searching)
    read(recordings)
    (run,) = Asked(recordings).runs()
    assert (run["name"], run["status"], run["n_iters"]) == ("a", "finished", 3)


def test_names_are_unique_on_the_page(tmp_path: Path, recordings: Recordings) -> None:
    for folder in ("one", "two", "three"):
        recorded(tmp_path / folder / "run.jsonl")
    recorded(tmp_path / "two" / "live.jsonl")
    recordings.reserve(["live"])
    for number, folder in enumerate(("one", "two"), 1):
        recordings.look(recordings.search(number, str(tmp_path / folder), ""))
    recordings.look(recordings.search(3, str(tmp_path / "three"), "others"))
    two = (tmp_path / "two").as_posix()
    expected = ["run", f"{two}/live", f"{two}/run", "others/run"]
    assert Asked(recordings).names() == expected


def test_a_file_that_is_named_has_its_name_whether_it_was_found_before_or_is_found_later(
    tmp_path: Path, recordings: Recordings
) -> None:
    for name in ("a", "b"):
        recorded(tmp_path / f"{name}.jsonl")
    recordings.follow(1, str(tmp_path / "a.jsonl"), "first")
    recordings.look(recordings.search(2, str(tmp_path), ""))
    recordings.follow(3, str(tmp_path / "b.jsonl"), "second")
    page = Asked(recordings)
    keys = {run["name"]: run["key"] for run in page.runs()}
    assert keys.keys() == {"first", "second"}
    assert page.head["order"] == [(1, [keys["first"]]), (3, [keys["second"]])]


def test_one_file_may_be_followed_under_two_names(tmp_path: Path, recordings: Recordings) -> None:
    path = str(recorded(tmp_path / "a.jsonl"))
    recordings.follow(1, path, "a")
    recordings.follow(2, path, "again")
    assert Asked(recordings).names() == ["a", "again"]


def test_what_is_left_is_read_no_more_and_stays_until_its_name_is_used_again(
    tmp_path: Path, recordings: Recordings
) -> None:
    path = recorded(tmp_path / "a.jsonl")
    searching = recordings.search(1, str(tmp_path), "")
    recordings.look(searching)
    recordings.follow(2, str(path), "a")
    read(recordings)
    for number in (1, 2):
        recordings.leave(number)
    recorded(path, 5)
    recorded(tmp_path / "b.jsonl")
    recordings.look(searching)
    assert not recordings.read_all()
    page = Asked(recordings)
    (run,) = page.runs()
    assert (run["n_iters"], page.head["searching"]) == (3, [])
    recordings.follow(3, str(path), "a")
    read(recordings)
    (again,) = page.runs()
    assert again["n_iters"] == 5
    assert page.head["order"] == [(3, [again["key"]])]
    assert len(page.head["events"]) == 8


def test_an_evaluation_whose_training_has_gone_has_a_row_of_its_own(
    tmp_path: Path, recordings: Recordings
) -> None:
    for number, name in enumerate(("a", "a.validation"), 1):
        recordings.follow(number, str(recorded(tmp_path / f"{name}.jsonl")), name)
    read(recordings)
    page = Asked(recordings)
    whole, part = page.runs()
    assert part["part_of"] == whole["key"]
    recordings.leave(1)
    recordings.reserve(["a"])  # a live run has taken its name
    (part,) = page.runs()
    assert (part["name"], part["part_of"]) == ("a.validation", None)


def test_an_evaluation_is_a_part_of_its_training_whichever_is_found_first(
    tmp_path: Path, recordings: Recordings
) -> None:
    searching = recordings.search(1, str(tmp_path), "")
    page = Asked(recordings)
    recorded(tmp_path / "a.validation.jsonl")
    recordings.look(searching)
    (run,) = page.runs()
    assert (run["part_of"], run["part"]) == (None, "training")
    recorded(tmp_path / "a.jsonl")
    recordings.look(searching)
    part, whole = page.runs()
    assert (part["name"], part["part_of"], part["part"]) == (
        "a.validation", whole["key"], "validation",
    )  # fmt: skip
    assert (whole["name"], whole["part_of"], whole["part"]) == ("a", None, "training")


def test_curves_and_parts_of_them_are_answered_by_their_keys(
    tmp_path: Path, recordings: Recordings
) -> None:
    for number, name in enumerate("ab", 1):
        recordings.follow(number, str(recorded(tmp_path / name, 2 + number)), name)
    read(recordings)
    a, b = (run["key"] for run in Asked(recordings).runs())
    wanted = f"{b}.0.0.0,x.0.0.0,{a}.0.0.0"
    head, body = recordings.answer({"ask": "curves", "wanted": wanted, "room": None})
    assert [(each["key"], each["n"]) for each in head["curves"]] == [(b, 4), (a, 3)]
    assert (head["more"], len(body)) == (False, 2 * 8 * 7)
    question = {"ask": "part", "wanted": f"{b}.0,x.0,{a}.0", "first": 2, "last": 9}
    head, body = recordings.answer(question)
    assert {each["key"]: each["n"] for each in head["curves"]} == {a: 2, b: 3}
    assert len(body) == 2 * 8 * 5


def test_a_name_that_a_live_run_takes_is_given_up(tmp_path: Path, recordings: Recordings) -> None:
    recordings.follow(1, str(recorded(tmp_path / "left")), "left")
    recordings.leave(1)
    recordings.leave(1)
    path = recorded(tmp_path / "found.jsonl")
    recordings.look(recordings.search(2, str(tmp_path), ""))
    recordings.follow(3, str(path), "kept")
    recordings.follow(4, str(recorded(tmp_path / "other.jsonl")), "other")
    recorded(tmp_path / "found.2.jsonl")
    recordings.look(recordings.search(5, str(tmp_path), ""))
    assert Asked(recordings).names() == ["left", "kept", "other", "found.2"]
    recordings.reserve(["found.2", "left"])
    found = (tmp_path / "found.2.jsonl").as_posix()
    assert Asked(recordings).names() == ["kept", "other", found]


def test_a_disk_that_hangs_holds_up_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recordings, "_FRESH", 0.01)
    recordings, may_end = Recordings(), threading.Event()
    recordings.follow(1, str(recorded(tmp_path / "a")), "a")
    read(recordings)
    searching = recordings.search(2, str(tmp_path), "")

    def hang() -> list[Path]:
        may_end.wait(GUARD)
        return []

    monkeypatch.setattr(searching.search, "look", hang)
    with in_thread(lambda: recordings.look(searching)):
        for _ in range(3):
            assert Asked(recordings).names() == ["a"]
        may_end.set()


def test_there_are_at_most_so_many(
    tmp_path: Path, recordings: Recordings, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(_recordings, "_MOST", 2)
    for name in "abcd":
        recorded(tmp_path / f"{name}.jsonl")
    recordings.look(recordings.search(1, str(tmp_path), ""))
    assert Asked(recordings).names() == ["a", "b"]
    (line,) = caplog.messages
    assert line.startswith("There are more than 2 recordings; others are left out: ")


def test_a_folder_is_looked_through_when_it_is_time_and_a_page_is_open(tmp_path: Path) -> None:
    now = Clock()
    recordings = Recordings(now)
    searching = recordings.search(1, str(tmp_path), "")
    looks = []

    def look(_: object) -> None:
        looks.append(now())
        searching.search.due = now() + 4

    def sleep(_: float) -> None:
        now.take(1)
        if now() == 40:
            recordings.answer({"ask": "data", "cursor": ""})
        searching.is_over = now() == 50

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recordings, "look", look)
        patch.setattr(_recordings, "_FRESH", 0)
        patch.setattr(_recordings.time, "sleep", sleep)  # type: ignore[attr-defined]
        recordings.look_forever(searching)
    assert looks == [0, 4, 8, 12, 40, 44, 48]


class End(Exception):
    """Ends a thread that would go on for ever."""


def test_an_answer_waits_for_what_is_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_recordings, "_FRESH", GUARD)
    path = recorded(tmp_path / "a.jsonl")
    recordings = Recordings()

    def read_forever() -> None:
        with suppress(End):
            recordings.read_forever()

    def end() -> None:
        raise End

    read_all, is_more = recordings.read_all, [True, True]
    monkeypatch.setattr(
        recordings, "read_all", lambda: read_all() or bool(is_more and is_more.pop())
    )

    with in_thread(read_forever):
        recordings.follow(1, str(path), "a")
        page = Asked(recordings)
        assert [run["n_iters"] for run in page.runs()] == [3]
        recorded(path, 5)
        assert [run["n_iters"] for run in page.runs()] == [5]
        monkeypatch.setattr(recordings, "read_all", end)
        monkeypatch.setattr(recordings, "_patience", 0)
        page.runs()
