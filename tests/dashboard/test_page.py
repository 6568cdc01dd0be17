"""What all pages see together: runs, handlers, events, the log, the buttons."""

import logging
import math
import threading
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from helpers.clock import Clock, ticking
from helpers.curves import Curves, unpacked
from rnnr import Event, Runner, State
from rnnr.attachments import ControlStatus, MeanReducer
from rnnr.dashboard._metrics import packed
from rnnr.dashboard._page import Page, PageRunner
from rnnr.dashboard._run import RunModel
from rnnr.dashboard._wants import MOST_OCTETS
from rnnr.reporting import HandlerTimes, Report, reports


def shown(runner: Runner | None = None, **others: Any) -> PageRunner:
    return PageRunner(RunModel("a"), times=HandlerTimes(runner or Runner()), **others)


def steering() -> Page:
    return Page(is_steered=True)


def handlers(runner: Runner) -> list[list[Callable[..., object]]]:
    for event in Event:
        runner.stream(event).rebuild()
    return [list(runner.stream(event).handlers) for event in Event]


def trained() -> Runner:
    runner = Runner()
    for event in Event:
        runner.on(event, lambda _: None)
    return runner


def test_an_empty_page_has_no_runs() -> None:
    news, _ = steering().updates("")
    assert news == {
        "control": False,
        "control_status": "none",
        "live": False,
        "order": [],
        "runs": [],
        "events": [],
        "log": [],
    }


def test_runs_stay_in_the_order_in_which_they_came_also_one_that_comes_again() -> None:
    view = steering()
    for name in ("b", "a", "c", "b"):
        view.show(name, PageRunner(RunModel(name)))
    assert [run["name"] for run in view.updates("")[0]["runs"]] == ["b", "a", "c"]


def test_a_runner_under_the_name_of_an_earlier_one_does_not_go_on_with_its_points() -> None:
    view, cursor, keys = steering(), "", []
    for n in (5, 3):
        track = RunModel("a")
        view.show("a", PageRunner(track))
        for i in range(n):
            track.add(Report(Event.BATCH, 1, 1, i, 0.0, {"loss": n}, step=i))
        track.note("something")
        news, cursor = view.updates(cursor)
        keys += news["order"]
        assert [run["key"] for run in news["runs"]] == news["order"]
        assert len(news["events"]) == 1  # told again, though there are as many as before
    assert len(set(keys)) == 2


def test_runs_are_told_whole_when_they_have_changed_and_the_order_always() -> None:
    view, tracks = steering(), [RunModel("a"), RunModel("b")]
    for track in tracks:
        view.show(track.name, PageRunner(track))
        track.add(Report(Event.FINISHED, 1, 1, 1, 0.0, {"loss": 1.0}))
    news, cursor = view.updates("")
    keys = [run["key"] for run in news["runs"]]
    assert (len(keys), news["order"]) == (2, keys)
    news, cursor = view.updates(cursor)
    assert (news["runs"], news["order"]) == ([], keys)
    tracks[1].add(Report(Event.RESUMED, 1, 1, 1, 0.0, {}))
    news, cursor = view.updates(cursor)
    assert [run["name"] for run in news["runs"]] == ["b"]
    tracks[0].add(Report(Event.STARTED, 0, 1, 0, 0.0, {}))  # another run of the runner
    news, cursor = view.updates(cursor)
    assert [run["name"] for run in news["runs"]] == ["a"]
    assert news["order"][1:] == keys[1:]
    assert news["order"][0] not in keys


def test_an_evaluation_is_a_part_of_the_run_around_it_if_that_is_on_the_page() -> None:
    view, training, evaluation = steering(), Runner(), Runner()
    around, inside = RunModel("digits"), RunModel("validation")
    inside.around = training._slot
    view.show("validation", PageRunner(inside, slot=evaluation._slot))
    alone = view.updates("")[0]["runs"]
    view.show("digits", PageRunner(around, slot=training._slot))
    both = {run["name"]: run for run in view.updates("")[0]["runs"]}
    assert [(run["part_of"], run["part"]) for run in alone] == [(None, "training")]
    assert (both["digits"]["part_of"], both["digits"]["part"]) == (None, "training")
    assert both["validation"]["part_of"] == both["digits"]["key"]
    assert both["validation"]["part"] == "validation"


def octets(view: Page, wanted: str, room: int | None = MOST_OCTETS) -> bytes:
    curves, is_cut = view.curves(wanted, room)
    return packed(curves, is_cut=is_cut)


class TestCurves:
    def page(self, n_metrics: int = 3) -> tuple[Page, str]:
        view, track = steering(), RunModel("a")
        view.show("a", PageRunner(track))
        for step in range(1, 801):
            metrics = {f"m{i}": math.sin(step * i) for i in range(n_metrics)}
            track.add(Report(Event.BATCH, 1, 1, step, 0.0, metrics, step=step))
        return view, track.key

    def test_a_page_gets_the_curves_that_it_wants(self) -> None:
        view, key = self.page()
        head, curves = unpacked(octets(view, f"{key}.2.0.0,{key}.1.0.0"))
        assert [(each["key"], each["metric"]) for each in head["curves"]] == [(key, 2), (key, 1)]
        assert [len(rows) for rows in curves] == [800, 800]
        assert curves[0][5] == (6.0, *[math.sin(12)] * 3)
        assert head["more"] is False

    @pytest.mark.parametrize(
        "wanted",
        "|,|x|KEY|KEY.0|KEY.0.0|KEY.0.0.0.0|KEY.3.0.0|KEY.-1.0.0|KEY.a.0.0|other.0.0.0|KEY.1e9.0.0"
        f"|KEY.{'9' * 5000}.0.0|...".split("|"),
    )
    def test_unknown_curves_are_left_out(self, wanted: str) -> None:
        view, key = self.page()
        assert unpacked(octets(view, wanted.replace("KEY", key))) == (
            {"curves": [], "more": False},
            [],
        )

    def test_a_long_answer_is_cut_unless_it_is_the_last(self) -> None:
        view, key = self.page(5)
        page, n_answers = Curves(), 0
        missing = [*range(5)]
        while missing:
            head = page.take(octets(view, ",".join(page.wanted(key, i) for i in missing), 20_000))
            assert head["more"] is (len(head["curves"]) < len(missing))
            missing = missing[len(head["curves"]) :]
            n_answers += 1
        assert n_answers == 3
        assert {len(rows) for rows in page.rows.values()} == {800}
        wanted = ",".join(f"{key}.{i}.0.0" for i in range(5))
        assert len(unpacked(octets(view, wanted, None))[1]) == 5
        twice = ",".join([f"{key}.0.0.0"] * 9)
        assert len(unpacked(octets(view, twice, None))[1]) == 1


def test_a_metric_beyond_a_thousand_is_left_out_at_every_event() -> None:
    view, track = steering(), RunModel("a")
    view.show("a", PageRunner(track))
    metrics = {f"m{i}": 1.0 for i in range(1000)}
    track.add(Report(Event.EPOCH_FINISHED, 1, 1, 1, 0.0, metrics, step=1, is_inside=True))
    more = metrics | {"more": 1.0}
    track.add(Report(Event.FINISHED, 1, 1, 1, 0.0, more, step=2, is_inside=True))
    track.add(Report(Event.EPOCH_FINISHED, 1, 1, 1, 0.0, more, step=3))  # has no place
    assert len(view.updates("")[0]["runs"][0]["metrics"]["names"]) == 1000


def test_two_pages_that_stop_a_run_once_each_do_not_stop_it_at_once() -> None:
    view, runner, seen = steering(), Runner(), []
    view.control.attach_on(runner)

    @runner.on(Event.BATCH)
    def press(state: State) -> None:
        for page_shows in ("none", "none", "", "pausing"):
            assert view.steer("stop", page_shows)
            seen.append((view.control.status, state["running"]))
        view.steer("stop", "stopping")
        seen.append((view.control.status, state["running"]))

    runner.run("ab")
    stopping, none = ControlStatus.STOPPING, ControlStatus.NONE
    assert seen == [(stopping, True)] * 4 + [(none, False)]


def test_a_stop_from_the_page_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    view, runner = steering(), Runner()
    view.control.attach_on(runner)
    view.show("a", shown(runner, slot=runner._slot))
    view.steer("stop")  # nothing runs that it could stop
    assert caplog.messages == []

    @runner.on(Event.BATCH)
    def press(_: State) -> None:
        for order in ("pause", "unpause", "stop", "stop"):
            view.steer(order, "stopping")

    runner.run("ab")
    assert [(each.name, each.levelname, each.message) for each in caplog.records] == [
        ("rnnr.dashboard", "INFO", "Stopped from the page")
    ]


def test_events_of_all_runs_are_told_in_the_order_of_time_at_most_fifty() -> None:
    view, tracks = steering(), [RunModel("a"), RunModel("b")]
    for track in tracks:
        view.show(track.name, PageRunner(track))
    for i in range(60):
        tracks[i % 2].events.append((float(i), "12:00:00", str(i)))
        tracks[i % 2].n_events += 1
    events = view.updates("")[0]["events"]
    assert [event["text"] for event in events] == [str(i) for i in range(10, 60)]
    assert {event["run"] for event in events} == {"a", "b"}
    assert all(len(event["time"].split(":")) == 3 for event in events)


def test_events_and_log_are_told_when_there_are_new_ones() -> None:
    view, track = steering(), RunModel("a")
    view.show("a", PageRunner(track))
    _, cursor = view.updates("")
    assert not {"events", "log"} & view.updates(cursor)[0].keys()
    track.note("something")
    news, cursor = view.updates(cursor)
    assert ([event["text"] for event in news["events"]], "log" in news) == (["something"], False)
    view.log.handle(logging.makeLogRecord({"msg": "hello", "levelno": 20}))
    news, cursor = view.updates(cursor)
    assert ([record["text"] for record in news["log"]], "events" in news) == (["hello"], False)
    assert not {"events", "log"} & view.updates(cursor)[0].keys()


def test_a_cursor_of_another_view_begins_again() -> None:
    _, cursor = steering().updates("")
    assert {"events", "log"} <= steering().updates(cursor)[0].keys()


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ("pause", ControlStatus.PAUSING),
        ("step", ControlStatus.PAUSING),
        ("stop", ControlStatus.NONE),  # nothing runs that it could stop
        ("unpause", ControlStatus.NONE),
    ],
)
def test_the_buttons_are_those_of_its_control(order: str, status: ControlStatus) -> None:
    view = steering()
    assert view.steer(order)
    assert view.control.status is status
    assert view.updates("")[0]["control_status"] == status.value


@pytest.mark.parametrize("order", ["", "hold", "_ask", "wait_until_paused", "attach_on"])
def test_other_orders_are_none(order: str) -> None:
    assert not steering().steer(order)


@pytest.mark.parametrize("is_steered", [True, False])
@pytest.mark.parametrize("is_live", [True, False])
def test_there_are_buttons_for_a_live_run_if_they_may_be_used(
    is_steered: bool, is_live: bool
) -> None:
    view = Page(is_steered=is_steered)
    view.show("a", shown() if is_live else PageRunner(RunModel("a")))
    news, _ = view.updates("")
    assert (news["control"], news["live"]) == (is_steered and is_live, is_live)
    assert ("handlers" in news) is is_live


class TestMeasuring:
    """Handlers are measured while a page asks, and are the user's own before and after."""

    def test_nothing_is_measured_before_the_first_question(self) -> None:
        runner = trained()
        before = handlers(runner)
        steering().show("a", shown(runner))
        assert handlers(runner) == before

    def test_ten_seconds_after_the_last_question_the_handlers_are_the_originals(self) -> None:
        runner, clock = trained(), Clock()
        view = Page(is_steered=True, clock=clock)
        view.show("a", shown(runner))
        before = handlers(runner)
        for _ in range(3):
            view.updates("")
            clock.now += 10
            view.pause()
            assert all(a != b for a, b in zip(handlers(runner), before, strict=True))
        clock.now += 0.1
        view.pause()
        assert handlers(runner) == before
        view.pause()
        view.updates("")
        assert handlers(runner) != before

    def test_who_has_left_is_not_measured_however_often_a_page_asks(self) -> None:
        runner, view = trained(), steering()
        before = handlers(runner)
        view.show("a", shown(runner))
        view.updates("")
        view.leave("a")
        assert handlers(runner) == before
        assert view.updates("")[0]["runs"][0]["name"] == "a"
        assert handlers(runner) == before

    def test_who_asks_while_others_leave_leaves_nothing_measured(self) -> None:
        runner, view = trained(), steering()
        before = handlers(runner)
        together, ended = threading.Barrier(2, timeout=60), threading.Event()

        def ask() -> None:
            together.wait()
            while not ended.is_set():
                view.updates("")

        asking = threading.Thread(target=ask)
        asking.start()
        together.wait()
        for _ in range(200):
            view.show("a", shown(runner))
            view.leave("a")
        ended.set()
        asking.join(60)
        assert handlers(runner) == before

    def test_the_slowest_handlers_of_all_runs_come_first(self) -> None:
        clock, view = Clock(), steering()
        runners = {"training": Runner(), "evaluation": Runner()}

        def taking(seconds: float) -> Callable[[object], None]:
            def handler(_: object) -> None:
                clock.now += seconds

            handler.__qualname__ = f"taking_{seconds}"
            return handler

        for name, runner in runners.items():
            view.show(name, PageRunner(RunModel(name), times=HandlerTimes(runner, clock=clock)))
        for i in range(20):
            runners["training"].on(Event.BATCH, taking(i))
        runners["evaluation"].on(Event.EPOCH_FINISHED, taking(30))
        assert view.updates("")[0]["handlers"] == []
        for runner in runners.values():
            runner.run([1])
        rows = view.updates("")[0]["handlers"]
        assert [row["seconds"] for row in rows] == [30, *range(19, 5, -1)]
        assert rows[0] == {
            "run": "evaluation",
            "event": "EPOCH_FINISHED",
            "name": "taking_30",
            "where": rows[0]["where"],
            "calls": 1,
            "seconds": 30,
            "share": 1,
            "own": True,
        }
        assert rows[1]["share"] == pytest.approx(19 / sum(range(20)))

    def test_all_handlers_of_rnnr_are_one_row_of_their_run(self) -> None:
        view, ours = steering(), []
        for name in ("a", "b", "c"):
            runner = Runner()
            runner.on(Event.BATCH, lambda state: state.update(output=1.0))
            if name != "c":  # the table has no row of nothing
                MeanReducer("mean").attach_on(runner)
                reports(runner).subscribe(lambda _: None)
            times = HandlerTimes(runner, clock=ticking(1.0))
            view.show(name, PageRunner(RunModel(name), times=times))
            view.updates("")
            runner.run([1, 2])
            ours.append([each for each in times.slowest_first() if not each.is_own])
        rows = view.updates("")[0]["handlers"]
        together = [row for row in rows if not row["own"]]
        assert [row["run"] for row in together] == ["a", "b"]
        for row, handlers in zip(together, ours, strict=False):
            assert row["name"] == "rnnr's own"
            assert row["where"] == f"{len(handlers)} handler{'s' if len(handlers) > 1 else ''}"
            assert row["calls"] == sum(each.calls for each in handlers)
            assert row["seconds"] == sum(each.seconds for each in handlers)


def test_while_a_run_comes_to_a_halt_pages_ask_soon() -> None:
    view = steering()
    view.show("a", shown())
    waits = [view.patience]
    for order in ("pause", "unpause"):
        view.steer(order)
        waits.append(view.patience)
    assert waits == [inf, 0.2, inf]


def test_what_is_cleared_is_gone() -> None:
    view = steering()
    view.show("a", shown())
    view.clear()
    assert view.updates("")[0]["runs"] == []


def test_a_question_asks_the_training_for_its_next_batch() -> None:
    view, track = steering(), RunModel("a")
    track.add(Report(Event.BATCH, 1, 1, 1, 0.0, {}, is_inside=True))
    view.show("a", PageRunner(track))
    assert not track.wants({"n_iters": 2})
    view.updates("")
    assert track.wants({"n_iters": 2})
