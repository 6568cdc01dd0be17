"""Live runs and recordings on one page: what its server answers."""

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tornado")

from helpers.curves import Curves, unpacked
from helpers.http import data, got
from helpers.threads import GUARD
from rnnr import Event, Runner
from rnnr.dashboard import Dashboard, _answers
from rnnr.dashboard._answers import Answers
from rnnr.dashboard._page import Page
from rnnr.dashboard._reading import Reading
from rnnr.recording import Record


def trained() -> Runner:
    runner = Runner()
    runner.on(Event.BATCH, lambda state: state.update(stats={"loss": state["batch"]}))
    return runner


def recorded(path: Path, n: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    runner = trained()
    with Record(path).attach_on(runner):
        runner.run(map(float, range(1, n + 1)))
    return path


def until(answer: Callable[[], Any], is_so: Callable[[Any], object] = bool) -> Any:
    """Ask until an answer is right, and return it."""
    end = time.monotonic() + GUARD
    while not is_so(found := answer()):
        assert time.monotonic() < end, found
    return found


def with_names(dashboard: Dashboard, *names: str) -> dict[str, Any]:
    """Return an answer to a new page, once these runs are on it and read."""

    def is_so(answer: dict[str, Any]) -> bool:
        runs = {run["key"]: run for run in answer["runs"]}
        in_order = [runs[key]["name"] for key in answer["order"] if key in runs]
        return in_order == [*names] and all("n_iters" in run for run in runs.values())

    answer: dict[str, Any] = until(lambda: data(dashboard.address), is_so)
    return answer


def test_live_runs_and_recordings_are_on_one_page(dashboard: Dashboard, tmp_path: Path) -> None:
    live = trained()
    dashboard.follow(recorded(tmp_path / "yesterday.jsonl"), "yesterday")
    dashboard.attach_on(live, name="today", system=False)
    live.run([1.0, 2.0])
    answer = with_names(dashboard, "today", "yesterday")
    assert [run["live"] for run in answer["runs"]] == [True, False]
    assert (answer["live"], answer["control"]) == (True, True)
    assert [event["run"] for event in answer["events"]].count("today") == 4
    assert [event["run"] for event in answer["events"]].count("yesterday") == 4
    assert "searching" not in answer
    later = data(dashboard.address, answer["cursor"])
    assert later["runs"] == []
    assert later["order"] == answer["order"]
    assert "events" not in later
    live.run([1.0, 2.0, 3.0])
    last = data(dashboard.address, later["cursor"])
    assert [run["name"] for run in last["runs"]] == ["today"]
    assert {event["run"] for event in last["events"]} == {"today", "yesterday"}


def test_the_curves_of_both_are_answered_together(dashboard: Dashboard, tmp_path: Path) -> None:
    live = trained()
    dashboard.attach_on(live, name="today", system=False)
    dashboard.follow(recorded(tmp_path / "a.jsonl"), "a")
    dashboard.follow(recorded(tmp_path / "b.jsonl", 5), "b")
    live.run([7.0, 8.0])
    keys = with_names(dashboard, "today", "a", "b")["order"]
    page, wanted = Curves(), ",".join(f"{key}.0.0.0" for key in reversed(keys))
    head = page.take(got(dashboard.address, f"curves?want={wanted},x.0.0.0").body)
    assert head["more"] is False
    found = [[row[3] for row in page.rows[key, 0]] for key in keys]
    assert found == [[7, 8], [1, 2, 3], [1, 2, 3, 4, 5]]
    again = ",".join(page.wanted(key, 0) for key in keys)
    assert [each["n"] for each in page.take(got(dashboard.address, f"curves?want={again}").body)[
        "curves"
    ]] == [1, 1, 1]  # fmt: skip


@pytest.mark.parametrize("room", [0, 1, 30])
def test_an_answer_that_is_cut_says_so(
    room: int, dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = trained()
    dashboard.attach_on(live, name="today", system=False)
    live.run([7.0, 8.0])
    dashboard.follow(recorded(tmp_path / "a.jsonl"), "a")
    wanted = ",".join(f"{key}.0.0.0" for key in with_names(dashboard, "today", "a")["order"])
    monkeypatch.setattr(_answers, "MOST_OCTETS", room)
    head, _ = unpacked(got(dashboard.address, f"curves?want={wanted}").body)
    assert (len(head["curves"]), head["more"]) == (int(room > 0), True)
    head, _ = unpacked(got(dashboard.address, f"curves?last=1&want={wanted}").body)
    assert (len(head["curves"]), head["more"]) == (2, False)


def test_a_part_of_a_recording_has_every_value_and_that_of_a_live_run_is_left_out(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    live = trained()
    dashboard.attach_on(live, name="today", system=False)
    live.run([7.0, 8.0])
    path = recorded(tmp_path / "a.jsonl", 3000)
    dashboard.follow(path, "a")
    until(lambda: data(dashboard.address), lambda answer: any(
        run.get("n_iters") == 3000 for run in answer["runs"]
    ))  # fmt: skip
    today, a = data(dashboard.address)["order"]

    def part(query: str) -> Any:
        return unpacked(got(dashboard.address, f"curves?{query}").body)

    head, (rows,) = part(f"part=1000-1004&want={today}.0,{a}.0,{a}.7,{a}.x,nobody.0")
    assert head["curves"] == [{"key": a, "metric": 0, "n": 5, "columns": 2, "part": [1000, 1004]}]
    assert [row[:2] for row in rows] == [(n, n) for n in range(1000, 1005)]
    assert part(f"part=0-9&want={today}.0") == ({"curves": [], "more": False}, [])
    path.write_bytes(path.read_bytes()[:1000])  # cut since it was read
    assert part(f"part=1000-1004&want={a}.0")[1] == []
    for wrong in ("x", "1", "1-", "-1-2", "1-2-3", "9" * 30 + "-1"):
        assert got(dashboard.address, f"curves?part={wrong}&want={a}.0").status == 400


def test_a_folder_is_followed_and_what_comes_later_is_shown(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    dashboard.follow(f"{tmp_path}/runs.d/")  # it is not there so far
    dashboard.follow(tmp_path / "more" / "*.jsonl", "more")
    answer = until(lambda: data(dashboard.address), lambda answer: "searching" in answer)
    assert (answer["runs"], answer["live"]) == ([], False)
    folders = [str(tmp_path / "runs.d"), str(tmp_path / "more" / "*.jsonl")]
    assert answer["searching"] == folders
    recorded(tmp_path / "runs.d" / "a.jsonl")
    recorded(tmp_path / "runs.d" / "a.validation.jsonl")
    recorded(tmp_path / "more" / "b.jsonl")
    answer = with_names(dashboard, "a", "a.validation", "more/b")
    runs = {run["name"]: run for run in answer["runs"]}
    parts = {name: (run["part_of"], run["part"]) for name, run in runs.items()}
    assert parts == {
        "a": (None, "training"),
        "a.validation": (runs["a"]["key"], "validation"),
        "more/b": (None, "training"),
    }


def test_what_is_followed_no_more_stays_and_its_folder_is_not_looked_through(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    recorded(tmp_path / "a.jsonl")
    following = dashboard.follow(tmp_path)
    with_names(dashboard, "a")
    following.dispose()
    assert "searching" not in until(
        lambda: data(dashboard.address), lambda answer: "searching" not in answer
    )
    with_names(dashboard, "a")
    dashboard.follow(tmp_path)  # its name is free again
    with pytest.raises(ValueError, match="name must be of one runner on the page alone"):
        dashboard.follow(tmp_path)


def test_a_live_run_has_its_name_for_itself(dashboard: Dashboard, tmp_path: Path) -> None:
    path = recorded(tmp_path / "training.jsonl")
    dashboard.follow(tmp_path)
    with_names(dashboard, "training")
    live = trained()
    dashboard.attach_on(live, system=False)
    live.run([1.0])
    with_names(dashboard, "training", path.as_posix())


def test_a_name_goes_from_a_live_run_to_a_recording_and_back(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    live, path = trained(), recorded(tmp_path / "a.jsonl")
    attached = dashboard.attach_on(live, name="a", system=False)
    live.run([1.0])
    assert [run["live"] for run in with_names(dashboard, "a")["runs"]] == [True]
    attached.dispose()
    attached = dashboard.follow(path, "a")
    until(
        lambda: [run["live"] for run in with_names(dashboard, "a")["runs"]],
        lambda live: live == [False],
    )
    attached.dispose()
    dashboard.attach_on(live, name="a", system=False)
    live.run([1.0])
    until(
        lambda: [run["live"] for run in with_names(dashboard, "a")["runs"]],
        lambda live: live == [True],
    )


def test_when_the_process_was_killed_pages_are_told_and_get_everything_again(
    dashboard: Dashboard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dashboard.follow(recorded(tmp_path / "a.jsonl"), "a")
    first = with_names(dashboard, "a")
    helper = dashboard._reading._process
    assert helper is not None
    assert helper._process is not None
    os.kill(helper._process.pid, signal.SIGKILL)
    second = until(lambda: data(dashboard.address, first["cursor"]), lambda answer: answer["runs"])
    assert [run["name"] for run in second["runs"]] == ["a"]
    assert second["order"] != first["order"]
    until(lambda: data(dashboard.address)["log"])
    (record,) = data(dashboard.address)["log"]
    assert (record["level"], record["logger"]) == ("WARNING", "rnnr.dashboard")
    assert "has ended with status -9, and is started again" in record["text"]
    assert [each.levelno for each in caplog.records if "-9" in each.message] == [logging.WARNING]


def test_without_an_answer_of_the_process_the_page_goes_on_with_the_live_runs() -> None:
    class Slow(Reading):
        n_answers = 1

        async def ask(self, **question: Any) -> Any:
            self.n_answers -= 1
            return None if self.n_answers < 0 else await super().ask(**question)

    async def asked() -> None:
        reading = Slow(lambda *_: None)
        reading.follow(Path("/dev/null"), "a")
        try:
            answers = Answers(Page(is_steered=False), reading)
            first = await answers.updates("")
            second = await answers.updates(first.cursor)
            assert second.cursor == first.cursor
            assert second.fields["order"] == first.fields["order"]
            assert second.runs == b""
            assert unpacked(await answers.curves("a.0.0.0")) == ({"curves": [], "more": False}, [])
            assert json.loads((await answers.snapshot()).encoded())["runs"] == []
        finally:
            reading.close()

    asyncio.run(asked())
