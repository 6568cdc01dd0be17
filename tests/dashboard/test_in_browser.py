"""The page in a real browser, beside runs that go on in another thread.

Nothing here sleeps: a run is held by the dashboard's own control or comes to its end, and the
browser waits until the page shows what it must.
"""

import logging
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import Event as Signal
from traceback import format_exception
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

from PIL import Image
from playwright.sync_api import BrowserContext, Page, Playwright, expect
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from helpers.browser import PARKED, PageOpener, Visit, launch
from helpers.digits import digits
from helpers.page import (
    DESKTOP,
    FRAMES,
    GUARD,
    HIDE,
    PHONE,
    Submit,
    at_batch,
    await_points,
    await_step,
    card,
    colours,
    held,
    intervals,
    inverse,
    plot,
    points,
    press_stop,
    record,
    says,
    times,
    trainer_of,
)
from helpers.paths import ROOT
from helpers.threads import until
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard, _farewell

PICTURES = ROOT / "docs" / "images"
PAGE = ROOT / "src" / "rnnr" / "dashboard" / "page"
ENDS = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}

# What leaves the machine, and what the console says


def test_the_page_asks_its_own_server_alone_and_complains_of_nothing_through_a_whole_run(
    dashboard: Dashboard, browser: BrowserContext, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, range(5), 2)
    visit = Visit(browser, dashboard.address)
    held(dashboard, 3)
    await_points(visit.page, 4)
    visit.page.locator("#resume").click()
    run.result(GUARD)
    says(visit.page, "training finished")
    await_points(visit.page, 10)
    visit.page.reload()
    await_points(visit.page, 10)

    heard = (visit.strangers(), visit.complaints)
    paths = {url.removeprefix(dashboard.address).partition("?")[0] for url in visit.requests}
    visit.page.close()
    assert heard == ([], [])
    assert paths == {
        "",
        *(f"page/{path.name}" for path in PAGE.iterdir() if path.suffix in (".css", ".js")),
        "data",
        "curves",
        "end",
        "control/unpause",
    }


def test_the_page_loads_all_its_modules_at_once_and_each_has_one_idea() -> None:
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    modules = sorted(path.name for path in PAGE.glob("*.js"))
    named = re.findall(r'(?:modulepreload" href|type="module" src)="page/(\w+\.js)"', index)
    assert sorted(named) == modules
    assert [name for name in modules if len((PAGE / name).read_text().splitlines()) > 200] == []
    assert "innerHTML" not in "".join((PAGE / name).read_text() for name in modules)


def test_the_browser_runs_no_script_that_stands_in_the_page_and_asks_no_other_host(
    dashboard: Dashboard, browser: BrowserContext
) -> None:
    trainer_of(dashboard)
    visit = Visit(browser, dashboard.address)
    visit.page.evaluate("""() => {
        window.violations = [];
        const note = ({ effectiveDirective }) => window.violations.push(effectiveDirective);
        document.addEventListener("securitypolicyviolation", note);
        const script = document.createElement("script");
        script.textContent = "window.harmed = 1";
        document.head.append(script);
        new Image().src = "http://127.0.0.1:9/secret.png";
        fetch("http://127.0.0.1:9/secret").catch(() => null);
    }""")
    visit.page.wait_for_function("window.violations.length === 3")

    violations = sorted(visit.page.evaluate("window.violations"))
    harmed = visit.page.evaluate("window.harmed")
    visit.page.close()
    assert violations == ["connect-src", "img-src", "script-src-elem"]
    assert harmed is None


# Curves


def test_curves_move_while_a_run_goes_on(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, count())
    page = open_page(dashboard.address)
    held(dashboard)
    for n in (1, 2, 5, 9):
        held(dashboard, n - runner.state["n_iters"])
        await_points(page, n)
        assert not run.done()
    assert points(page)["batch"] == {
        "x": list(range(1, 10)),
        "y": [inverse(n) for n in range(1, 10)],
    }


def test_a_chart_holds_what_was_reported_of_a_training_and_of_its_evaluation(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer, evaluator = Runner(), Runner()
    dashboard.attach_on(trainer, system=False)
    dashboard.attach_on(evaluator, "accuracy", name="validation", system=False)
    losses, validated, accuracies = [], [], []

    @trainer.on(Event.BATCH)
    def train(state: State) -> None:
        losses.append(1 / (state["n_iters"] + math.pi))
        state["stats"] = {"loss": losses[-1]}

    @trainer.on(Event.EPOCH_FINISHED)
    def evaluate(state: State) -> None:
        evaluator.run(range(7))

    @evaluator.on(Event.EPOCH_FINISHED)
    def measure(state: State) -> None:
        validated.append(1 / (len(losses) + math.e))
        accuracies.append(1 - validated[-1])
        state.update(stats={"loss": validated[-1]}, accuracy=accuracies[-1])

    trainer.run(range(3), max_epoch=4)
    page = open_page(dashboard.address)
    await_points(page, 12)

    ends = [3, 6, 9, 12]
    nothing: dict[str, list[float]] = {"x": [], "y": []}
    assert points(page) == {
        "batch": {"x": list(range(1, 13)), "y": losses},
        "epoch": nothing,  # which the stats of its last batch say nothing of
    }
    validation = {"batch": nothing, "epoch": {"x": ends, "y": validated}}
    assert points(page, run="validation") == validation
    assert points(page, "accuracy", "validation")["epoch"] == {"x": ends, "y": accuracies}
    assert points(page, "accuracy") is None
    headings = page.locator("#charts h3")
    assert headings.all_text_contents() == ["loss", "accuracy"]
    legend = page.locator("#legend bdi")
    assert legend.all_text_contents() == ["training", "validation"]


def test_a_later_run_and_a_resumed_one_show_on_the_same_page(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    page = open_page(dashboard.address)
    says(page, "waiting for the run to begin")
    runner.run(range(5))
    says(page, "training finished")
    await_points(page, 5)

    with runner.on(at_batch(2), lambda state: runner.stop()):
        runner.run(range(4))
    says(page, "training stopped")
    await_points(page, 2)  # the report of the batch is skipped, and that of the stop has its values

    runner.resume(repeat_last_batch=True)
    says(page, "training finished")
    await_points(page, 4)
    assert points(page)["batch"]["x"] == [1, 2, 3, 4]


def test_a_metric_that_appears_late_gets_its_chart_then(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = Runner()
    dashboard.attach_on(runner, system=False)

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        n = state["n_iters"]
        state["stats"] = {"loss": inverse(n)} | ({"late": n * 1.5} if n > 3 else {})

    page = open_page(dashboard.address)
    with runner.on(at_batch(3), lambda state: runner.stop()):
        runner.run(range(5))
    await_points(page, 3)
    expect(page.locator("#charts h3")).to_have_text(["loss"])

    runner.resume(repeat_last_batch=True)
    await_points(page, 2, "late")
    expect(page.locator("#charts h3")).to_have_text(["loss", "late"])
    assert points(page, "late")["batch"] == {"x": [4, 5], "y": [6, 7.5]}
    assert points(page)["batch"]["x"] == [1, 2, 3, 4, 5]


def test_ten_thousand_epochs_make_no_more_points_than_can_be_drawn_and_the_page_answers(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = Runner()
    dashboard.attach_on(runner, "loss")
    runner.on(Event.BATCH, lambda state: state.update(loss=inverse(state["n_iters"])))

    @runner.on(at_batch(10_000))
    def hold(state: State) -> None:
        dashboard.control.pause()

    page = open_page(dashboard.address)
    run = in_background(runner.run, ["a batch"], 10_100)
    held(dashboard)
    n = runner.state["n_iters"]
    says(page, f"paused after batch {n:,}")
    expect(card(page)).to_contain_text(f"epoch {n:,} of 10,100")
    plot(page)  # it is in view, so it is asked for
    holds = points(page)
    for series in ("batch", "epoch"):
        assert 100 <= len(holds[series]["x"]) <= 1001
        assert holds[series]["x"] == sorted(set(holds[series]["x"]))
        assert all(y >= inverse(x) for x, y in zip(*holds[series].values(), strict=True))
    assert (holds["batch"]["x"][-1], holds["epoch"]["x"][-1]) == (n, n - 1)

    page.locator("#resume").click()
    run.result(GUARD)
    says(page, "training finished")
    assert points(page)["epoch"]["x"][-1] == 10_100


# Handlers, events, log, failures


def test_slow_handlers_come_first_and_events_and_log_records_newest_first(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)

    @runner.on(Event.BATCH)
    def think(state: State) -> None:
        sum(range(200_000))

    page = open_page(dashboard.address)
    says(page, "waiting for the run to begin")  # so it has asked, and handlers are measured
    dashboard.control.pause()
    run = in_background(runner.run, range(10))
    held(dashboard, 5)
    logging.getLogger("my.model").warning("the loss is %s", "high")
    expect(page.locator("#slowest")).to_have_text(re.compile(r"^think takes \d+ %$"))
    expect(page.locator("#latest-line")).to_have_text("WARNING the loss is high")
    for part in ("#handlers", "#records"):
        page.locator(f"{part} summary").click()
    first = page.locator("#handlers tbody tr").first
    expect(first.locator("th")).to_have_text(re.compile(r"^think test_in_browser\.py:\d+$"))
    expect(first.locator("td").first).to_have_text("BATCH")
    expect(page.locator("#log li").first).to_have_text(
        re.compile(r"^\d\d:\d\d:\d\d WARNING my\.model the loss is high$")
    )
    ours = page.locator("#handlers tbody tr").filter(has_text="rnnr's own")
    expect(ours).to_have_count(1)
    dashboard.control.unpause()
    run.result(GUARD)
    expect(page.locator("#events li")).to_have_text(
        [
            re.compile(rf"training {event} · epoch {epoch} of 1, {n} batches$")
            for event, epoch, n in [
                ("FINISHED", 1, 10),
                ("EPOCH_FINISHED", 1, 10),
                ("EPOCH_STARTED", 1, 0),
                ("STARTED", 0, 0),
            ]
        ]
    )


def test_a_failure_shows_its_traceback(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard)
    traces = []

    @runner.on(at_batch(2))
    def divide(state: State) -> NoReturn:
        raise ZeroDivisionError("<b>bold</b> and\nsecond line")

    @runner.on(Event.FAILED)
    def keep(state: State) -> None:
        traces.append("".join(format_exception(state["error"])))

    with pytest.raises(ZeroDivisionError):
        runner.run(range(3))
    page = open_page(dashboard.address)
    failure = page.locator("#failure")
    expect(failure.get_by_role("heading")).to_have_text("training failed in epoch 1")
    expect(failure.locator("> p")).to_have_text("ZeroDivisionError: <b>bold</b> and")
    trace = page.get_by_role("region", name="traceback of training")
    assert trace.text_content() == traces[0].rstrip("\n")
    assert "in divide" in traces[0]
    says(page, "training failed")
    expect(card(page).locator(".badge")).to_have_text("failed")

    runner.run([])  # the failure is of the run before: it may go now
    expect(failure).to_be_hidden()


# Buttons


def test_the_buttons_do_what_they_say(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    story: list[str] = []
    beyond = Signal()

    def note(name: str, state: State) -> None:
        story.append(name)

    for event, name in ENDS.items():
        runner.on(event, partial(note, name))
    page = open_page(dashboard.address)
    buttons = page.locator("#controls button")
    expect(buttons).to_have_text(["Pause", "Step", "Resume", "Stop…"])
    assert [buttons.nth(i).is_disabled() for i in range(4)] == [True] * 4

    run = in_background(runner.run, count())
    page.get_by_role("button", name="Pause").click()
    held(dashboard)
    n = runner.state["n_iters"]
    says(page, f"paused after batch {n:,}")
    assert [buttons.nth(i).is_disabled() for i in range(4)] == [True, False, False, False]

    for i in (1, 2, 3):
        page.get_by_role("button", name="Step").click()
        says(page, f"paused after batch {n + i:,}")
        assert runner.state["n_iters"] == n + i
        held(dashboard)  # it stands again, still there
        assert runner.state["n_iters"] == n + i

    @runner.on(Event.BATCH)
    def notice(state: State) -> None:
        beyond.set()

    assert not beyond.is_set()
    page.get_by_role("button", name="Resume").click()
    assert beyond.wait(GUARD)
    says(page, "running")
    assert [buttons.nth(i).is_disabled() for i in range(4)] == [False, True, True, False]

    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Stop the run after this batch?")
    page.get_by_role("button", name="Cancel").click()
    says(page, "running")
    press_stop(page)
    run.result(GUARD)
    says(page, "training stopped")
    assert story == ["stopped"]
    assert [buttons.nth(i).is_disabled() for i in range(4)] == [True] * 4


def test_the_second_stop_wakes_a_run_that_waits_for_its_source(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard)
    at_it, let_go = Signal(), Signal()

    @runner.on(Event.BATCH)
    def work(state: State) -> None:
        at_it.set()
        assert let_go.wait(GUARD)

    skipped: list[State] = []
    runner.on(Event.BATCH, skipped.append)
    page = open_page(dashboard.address)
    run = in_background(runner.run, count())
    assert at_it.wait(GUARD)
    press_stop(page)
    says(page, "stopping after this batch; press Stop again to stop at once")
    page.get_by_role("button", name="Stop…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Stop at once, inside the batch?")
    with page.expect_response("**/control/stop?seen=stopping"):
        page.get_by_role("button", name="Stop", exact=True).click()
    let_go.set()
    run.result(GUARD)
    says(page, "training stopped")
    assert skipped == []


def test_two_windows_that_press_stop_once_each_do_not_stop_at_once(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard)
    at_it, let_go = Signal(), Signal()

    @runner.on(Event.BATCH)
    def work(state: State) -> None:
        at_it.set()
        assert let_go.wait(GUARD)

    done: list[State] = []
    runner.on(Event.BATCH, done.append)
    pages = [open_page(dashboard.address) for _ in range(2)]
    run = in_background(runner.run, count())
    assert at_it.wait(GUARD)
    for page in pages:
        page.get_by_role("button", name="Stop…").click()
    for page in pages:
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        says(page, "stopping after this batch; press Stop again to stop at once")
    let_go.set()
    run.result(GUARD)
    says(pages[0], "training stopped")
    assert len(done) >= 1  # the batch came to its end


def test_a_pause_that_waits_for_the_end_of_its_batch_is_told_so(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard)
    at_it, let_go = Signal(), Signal()

    @runner.on(Event.BATCH)
    def work(state: State) -> None:
        at_it.set()
        assert let_go.wait(GUARD)

    page = open_page(dashboard.address)
    in_background(runner.run, count())
    assert at_it.wait(GUARD)
    page.get_by_role("button", name="Pause").click()
    says(page, "pausing after this batch")
    let_go.set()
    says(page, re.compile(r"^paused after batch \d$"))


def tab_to(page: Page, name: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(30):
        if page.evaluate("document.activeElement.id") == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not come to {name}")


def test_every_button_is_reached_and_worked_by_keyboard(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, count())
    page = open_page(dashboard.address)
    held(dashboard)
    says(page, "paused after batch 1")

    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement)"
        width = page.evaluate(f"{style}.outlineStyle === 'none' ? '0' : {style}.outlineWidth")
        reached.append((page.evaluate("document.activeElement.id"), float(width.rstrip("px"))))
    order = list(dict.fromkeys(name for name, _ in reached if name))
    shown = ["step", "resume", "stop", "theme", "search", "smooth", "clip", "size"]
    assert order == shown
    plain = [(name, width) for name, width in reached if name and name != "smooth"]
    assert all(width >= 2 for name, width in plain)

    tab_to(page, "step")
    page.keyboard.press("Enter")
    says(page, "paused after batch 2")
    expect(page.locator("#step")).to_be_focused()
    page.keyboard.press("Space")
    says(page, "paused after batch 3")
    tab_to(page, "resume")
    page.keyboard.press("Space")
    says(page, "running")
    expect(page.locator("#pause")).to_be_focused()  # or the next Tab would begin at the top
    page.keyboard.press("Enter")
    says(page, re.compile("^paused after batch "))
    expect(page.locator("#resume")).to_be_focused()
    tab_to(page, "stop")
    page.keyboard.press("Space")
    expect(page.locator("#keep")).to_be_focused()
    tab_to(page, "really-stop")
    page.keyboard.press("Enter")
    run.result(GUARD)
    says(page, "training stopped")


def test_a_dashboard_without_control_shows_no_buttons(open_page: PageOpener) -> None:
    dashboard = Dashboard(control=False)
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(3))
    page = open_page(dashboard.address)
    await_points(page, 3)
    assert page.locator("#controls").get_by_role("button").count() == 0
    expect(page.locator("#controls")).to_be_hidden()
    dashboard.close()


# More than one browser, and one that looks away


def test_a_second_browser_sees_the_same_and_what_is_pressed_in_one_shows_in_the_other(
    dashboard: Dashboard,
    open_page: PageOpener,
    playwright: Playwright,
    tmp_path: Path,
    in_background: Submit,
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, count())
    with launch(playwright, tmp_path) as other:
        one = open_page(dashboard.address)
        held(dashboard, 6)
        await_points(one, 7)
        two = open_page(dashboard.address, context=other)
        await_points(two, 7)
        assert points(one) == points(two)

        two.get_by_role("button", name="Step").click()
        for page in (one, two):
            says(page, "paused after batch 8")
            await_points(page, 8)
        press_stop(one)
        run.result(GUARD)
        for page in (one, two):
            says(page, "training stopped")
            page.route("**/*", lambda route: route.abort())  # the other browser ends first
            page.goto("about:blank")


def test_ten_windows_of_one_browser_are_live(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, count())
    held(dashboard)
    pages = [open_page(dashboard.address) for _ in range(10)]
    for page in pages:
        await_points(page, 1)
    for n in (2, 3):
        held(dashboard, 1)
        for page in pages:
            page.bring_to_front()
            says(page, f"paused after batch {n}")
            await_points(page, n)
    press_stop(pages[-1])
    run.result(GUARD)
    for page in pages:
        page.bring_to_front()
        says(page, "training stopped")


ENDING = """
import sys
from rnnr import Event, Runner
from rnnr.dashboard import Dashboard
runner = Runner()
@runner.on(Event.BATCH)
def train(state):
    state["stats"] = {f"m{i}": state["n_iters"] / (i + 1) for i in range(60)}
    if state["n_iters"] == 500:
        sys.stdin.readline()
Dashboard().attach_on(runner)
runner.run(range(777))
"""


@contextmanager
def ending() -> Iterator[tuple[str, Callable[[], None]]]:
    """Run a training in a process; give its address, and what lets it come to its end."""
    command = [sys.executable, "-u", "-c", ENDING]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]

        def finish() -> None:
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert process.wait(GUARD) == 0

        try:
            yield process.stderr.readline().split()[-1], finish
        finally:
            process.kill()


def assert_all_curves_are_there(page: Page) -> None:
    says(page, re.compile("^training finished"))
    for i in (0, 1, 30, 59):
        await_step(page, 777, f"m{i}")
        assert max(intervals(page, f"m{i}")["greatest"]) == 777 / (i + 1)


@pytest.mark.parametrize("n_windows", [1, 2])
def test_when_the_process_has_ended_all_curves_are_there(
    n_windows: int, open_page: PageOpener
) -> None:
    """Also those of charts that were never in view, and of windows that did not wait themselves."""
    with ending() as (address, finish):
        pages = [open_page(address, may_complain=True) for _ in range(n_windows)]
        for page in pages:
            page.bring_to_front()
            expect(page.locator(".chart").first).to_be_visible()
        assert pages[0].evaluate(PARKED, n_windows)
        finish()
    for page in pages:
        page.bring_to_front()
        assert_all_curves_are_there(page)


WITHOUT_LOCKS = """
    Object.defineProperty(Navigator.prototype, "locks", { get: () => undefined });
"""


@pytest.mark.parametrize("n_windows", [1, 2])
def test_all_curves_are_there_at_the_end_without_locks_also_in_a_window_that_is_hidden(
    n_windows: int, open_page: PageOpener
) -> None:
    with ending() as (address, finish):
        pages = [open_page(address, may_complain=True) for _ in range(n_windows)]
        assert pages[0].evaluate(PARKED, n_windows)  # so that the next request is one without locks
        for page in pages:
            page.add_init_script(WITHOUT_LOCKS)
        with pages[0].expect_request("**/end?*"):
            pages[0].reload()
        for page in pages[1:]:
            page.reload()
        for page in pages:
            expect(page.locator(".chart").first).to_be_visible()
        assert pages[0].evaluate("() => navigator.locks === undefined")
        assert pages[0].evaluate("() => fetch('data?cursor=').then(({ ok }) => ok)")  # after it
        if n_windows == 1:
            pages[0].evaluate(HIDE, True)
        finish()
    for page in pages:
        assert_all_curves_are_there(page)


def test_a_page_that_waits_twice_is_waited_for_once(
    dashboard: Dashboard, open_page: PageOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page asks again before its first request is answered, so that there is no gap."""
    monkeypatch.setattr(_farewell, "_SECONDS", GUARD)
    trainer_of(dashboard, loss=inverse).run(range(3))
    page = open_page(dashboard.address, may_complain=True)
    page.clock.install()
    page.reload()
    await_points(page, 3)
    server = dashboard._server
    assert server is not None
    page.clock.fast_forward(20_000)
    until(lambda: len(server._farewell._waiting) == 2)
    dashboard.close()
    assert not server._thread.is_alive()


def test_a_reload_keeps_the_history(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    page = open_page(dashboard.address)
    runner.on(Event.STARTED, lambda _: logging.getLogger("my.model").warning("remember this"))
    runner.run(range(30), max_epoch=3)
    says(page, "training finished")
    await_points(page, 90)
    before = points(page), page.locator("#records li").all_text_contents()
    page.reload()
    await_points(page, 90)
    assert (points(page), page.locator("#records li").all_text_contents()) == before
    assert len(before[1]) == 9


def test_a_page_that_nobody_sees_does_not_ask(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    page = open_page(dashboard.address)
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    says(page, "waiting for the run to begin")
    page.evaluate(HIDE, True)
    page.clock.run_for(1_000)  # what was asked before may still be answered
    n_asked = sum("/end?" not in url for url in asked)  # the end is waited for all the same
    runner.run(range(3))
    page.clock.run_for(3_600_000)
    assert points(page) is None
    assert sum("/end?" not in url for url in asked) == n_asked
    with page.expect_response("**/data*"):
        page.evaluate(HIDE, False)
    await_points(page, 3)


def test_a_page_whose_server_has_gone_says_so_and_keeps_what_it_shows(
    open_page: PageOpener,
) -> None:
    dashboard = Dashboard()
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(3))
    page = open_page(dashboard.address, may_complain=True)
    await_points(page, 3)
    lost = "training finished; its process has ended"
    address = dashboard.address
    dashboard.close()
    says(page, lost)
    assert points(page)["batch"]["x"] == [1, 2, 3]

    port = urlsplit(address).port or 0
    stranger = Dashboard(port)  # of another process, say: it has another token
    other = Runner()
    stranger.attach_on(other, name="a secret")
    other.run(range(5))
    for _ in range(2):
        with page.expect_response("**/data*") as answer:
            pass
        assert answer.value.status == 403
    says(page, lost)
    assert "secret" not in page.content()
    assert points(page)["batch"]["x"] == [1, 2, 3]
    stranger.close()


def test_the_command_shows_recordings_until_it_is_interrupted(
    open_page: PageOpener, tmp_path: Path
) -> None:
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for i, file in enumerate(files):
        record(file, loss=times(inverse, i + 1.0))
    command = [
        sys.executable,
        "-W",
        "error",
        "-X",
        "dev",
        "-m",
        "rnnr",
        "dashboard",
        *map(str, files),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = process.stderr.readline() + process.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]+/", told)
            assert found, told
            page = open_page(found[0], may_complain=True)  # when the process has ended
            expect(page.locator("#rows tr")).to_have_count(2)
            names = sorted(page.locator("#rows th bdi").all_text_contents())
            for i, name in enumerate(names):
                await_points(page, 6, run=name)
                assert points(page, run=name)["batch"]["y"][0] == i + 1.0
            process.send_signal(signal.SIGINT)
            assert process.wait(GUARD) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    says(page, "2 finished; the dashboard's process has ended")
    await_points(page, 6, run=names[0])


# Pictures


def test_the_pictures_of_the_documentation_are_of_a_real_run(
    dashboard: Dashboard,
    open_page: PageOpener,
    in_background: Submit,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Takes pictures of the digits in training.

    To renew those of the documentation: ``RNNR_SCREENSHOTS=1 pytest tests/dashboard -k pictures``.
    """
    caplog.set_level(logging.INFO, "digits")
    trainer, evaluator, batches = digits()
    dashboard.attach_on(trainer)
    dashboard.attach_on(evaluator, name="validation")
    page = open_page(dashboard.address)
    says(page, "waiting for the run to begin")  # so the handlers are measured from the start
    held = Held(batches, epoch=13, n_batches=20)
    run = in_background(on_one_core, trainer, held)
    assert held.is_there.wait(GUARD)
    await_points(page, 12, "accuracy", "validation", "epoch")
    taken = {}
    for name, scheme, size in [
        ("dashboard-light.png", "light", DESKTOP),
        ("dashboard-dark.png", "dark", DESKTOP),
        ("dashboard-phone.png", "light", PHONE),
    ]:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for _ in range(2):  # what has come by then is drawn
            with page.expect_response("**/data*"):
                pass
        page.wait_for_function(FRAMES)
        taken[name] = tmp_path / name, size
        with Image.open(BytesIO(page.screenshot())) as image:
            image.convert("RGB").quantize(256).save(tmp_path / name, optimize=True)
    dashboard.control.stop()
    held.let_go.set()
    run.result(GUARD)

    for path, size in taken.values():
        with Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (size["width"], size["height"]))
        assert path.stat().st_size < 150_000
        assert len(colours(path.read_bytes())) > 100
        if os.environ.get("RNNR_SCREENSHOTS"):
            PICTURES.mkdir(exist_ok=True)
            shutil.copy(path, PICTURES)


def on_one_core(trainer: Runner, batches: "Held") -> None:
    """Leave a core to the browser: beside it, the threads of BLAS wait for each other."""
    with threadpool_limits(1):
        trainer.run(batches, 20)


class Held:
    """Batches that come to a stand in the middle of an epoch: the run goes on, with nothing new."""

    def __init__(self, batches: Collection[Any], *, epoch: int, n_batches: int) -> None:
        self.is_there, self.let_go = Signal(), Signal()
        self._batches, self._at = batches, (epoch, n_batches)
        self._epoch = 0

    def __iter__(self) -> Iterator[Any]:
        self._epoch += 1
        for n, batch in enumerate(self._batches):
            if (self._epoch, n) == self._at:
                self.is_there.set()
                assert self.let_go.wait(GUARD)
            yield batch

    def __len__(self) -> int:
        return len(self._batches)


def test_each_picture_that_the_documentation_shows_is_there() -> None:
    texts = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    shown = [
        text.parent / name
        for text in texts
        for name in re.findall(r"[\w./-]*images/[\w-]+\.png", text.read_text(encoding="utf-8"))
        if "://" not in name
    ]
    assert [path for path in shown if not path.is_file()] == []
    there = sorted(path.name for path in PICTURES.iterdir())
    assert there == ["dashboard-dark.png", "dashboard-light.png", "dashboard-phone.png"]
