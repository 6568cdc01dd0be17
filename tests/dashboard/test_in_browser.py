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
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from io import BytesIO
from itertools import count
from math import inf, nan
from pathlib import Path
from threading import Event as Signal
from traceback import format_exception
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("sklearn")
pytest.importorskip("threadpoolctl")

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, Playwright, Route, expect
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from helpers.browser import PageOpener, Visit, launch
from helpers.digits import digits
from helpers.extras import np
from helpers.paths import ROOT
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard
from rnnr.recording import Record
from rnnr.selection import Selection

PICTURES = ROOT / "docs" / "images"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
GUARD = 120.0
"""Seconds after which a run that hangs fails its test."""

Submit: TypeAlias = Callable[..., Future[None]]
Colours: TypeAlias = set[tuple[int, int, int]]

ENDS = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}

HOSTILE = [
    "<img src=x onerror=window.harmed=1>",
    "</script><script>window.harmed=1</script>",
    "</bdi><button id=pause>",
    "$$x^2$$ and \\(y\\)",
    "__proto__",
    "constructor",
    "",
    " two  spaces\nand a line ",
    "very " * 400 + "long",
    "unbroken" * 200,
    "\u202eright-to-left\u202c שלום مرحبا",
    "👩‍🔬🎉",
    "@loss{0.0} $index &lt;&amp;",
    "a.b[0]#c d",
]


@pytest.fixture
def in_background(dashboard: Dashboard) -> Iterator[Submit]:
    """Runs on a thread of its own; what still goes on after the test is stopped."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit
        dashboard.control.stop()


def trainer_of(dashboard: Dashboard, **values: Any) -> Runner:
    """Return a runner on the dashboard whose metrics are functions of the number of batches."""
    runner = Runner()
    dashboard.attach_on(runner)

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        state["stats"] = {name: value(state["n_iters"]) for name, value in values.items()}

    return runner


def inverse(n: int) -> float:
    return 1 / n


def at_batch(n: int) -> Selection:
    """Return what selects the n-th batch of a run."""
    return Event.BATCH.where(lambda state: state["n_iters"] == n)


def held(dashboard: Dashboard, n_more: int = 0) -> None:
    """Wait until the run is held at the end of a batch, and of so many more, one by one."""
    assert dashboard.control.wait_until_paused(GUARD)
    for _ in range(n_more):
        dashboard.control.step()
        assert dashboard.control.wait_until_paused(GUARD)


def points(page: Page, metric: str = "loss", run: str = "training") -> Any:
    """Return what the chart of a metric holds for a run."""
    return page.evaluate("([metric, run]) => window.rnnr.points(metric, run)", [metric, run])


def await_points(
    page: Page, n: int, metric: str = "loss", run: str = "training", series: str = "batch"
) -> None:
    """Wait until the chart of a metric holds so many points of a run."""
    page.wait_for_function(
        "([n, metric, run, series]) => window.rnnr.points(metric, run)?.[series].x.length === n",
        arg=[n, metric, run, series],
    )


def says(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page says so at its top."""
    expect(page.locator("#status")).to_have_text(text)


def card(page: Page, run: str = "training") -> Locator:
    """Return what tells how far a run is."""
    return page.locator("#runs .run").filter(has=page.get_by_text(run, exact=True))


def drawn(plot: Locator) -> Colours:
    """Return the colours of a chart, below the place of its tools."""
    return colours(plot.screenshot(), top=30)


def colours(png: bytes, top: int = 0) -> Colours:
    """Return the colours of a picture."""
    with Image.open(BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGB"))[top:].reshape(-1, 3)
    return {(int(r), int(g), int(b)) for r, g, b in np.unique(pixels, axis=0)}


def css_colour(page: Page, name: str) -> tuple[int, int, int]:
    """Return a colour of the style sheet."""
    script = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name)"
    red, green, blue = bytes.fromhex(page.evaluate(script, name).strip().removeprefix("#"))
    return red, green, blue


# What leaves the machine, and what the console says


SCRIPTS = ("charts", "control", "dashboard", "points", "runs", "tables", "text")


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
        "page/dashboard.css",
        *(f"page/{name}.js" for name in SCRIPTS),
        "bokeh/js/bokeh.min.js",
        "bokeh/js/bokeh-api.min.js",
        "data",
        "end",
        "control/unpause",
    }


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
    dashboard.attach_on(trainer)
    dashboard.attach_on(evaluator, "accuracy", name="validation")
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
    legend = page.locator("[data-metric=loss] .legend bdi")
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
    await_points(page, 1)  # a stop from a callback skips what comes after it, reports too

    runner.resume(repeat_last_batch=True)
    says(page, "training finished")
    await_points(page, 4)
    assert points(page)["batch"]["x"] == [1, 2, 3, 4]


def test_a_metric_that_appears_late_gets_its_chart_then(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = Runner()
    dashboard.attach_on(runner)

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        n = state["n_iters"]
        state["stats"] = {"loss": inverse(n)} | ({"late": n * 1.5} if n > 3 else {})

    page = open_page(dashboard.address)
    with runner.on(at_batch(3), lambda state: runner.stop()):
        runner.run(range(5))
    await_points(page, 2)
    assert page.locator("#charts h3").all_text_contents() == ["loss"]

    runner.resume(repeat_last_batch=True)
    await_points(page, 2, "late")
    assert page.locator("#charts h3").all_text_contents() == ["loss", "late"]
    assert points(page, "late")["batch"] == {"x": [4, 5], "y": [6, 7.5]}
    assert points(page)["batch"]["x"] == [1, 2, 3, 4, 5]


def test_what_is_not_finite_is_a_gap_and_is_told_in_words(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    values = [1.0, nan, nan, 2.0, inf, 3.0, -inf]
    runner = trainer_of(
        dashboard, loss=lambda n: values[n - 1], lost=lambda n: nan, huge=lambda n: inf
    )
    runner.run(values)
    page = open_page(dashboard.address)
    await_points(page, len(values))

    gaps = [1, nan, nan, 2, nan, 3, nan]
    assert points(page)["batch"] == {
        "x": list(range(1, 8)),
        "y": pytest.approx(gaps, nan_ok=True),
    }
    newest = page.locator("#charts .value").all_text_contents()
    assert newest == ["−∞", "NaN", "∞"]  # noqa: RUF001  (the sign of a number)
    series = css_colour(page, "--series-0")
    for metric, is_drawn in (("loss", True), ("lost", False), ("huge", False)):
        plot = page.locator(f"[data-metric={metric}] .plot")
        note = "" if is_drawn else "No finite value to draw."
        expect(plot).to_have_attribute("data-note", note)
        assert (series in drawn(plot)) == is_drawn


def test_the_only_point_of_a_run_can_be_seen(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(["a batch"])
    page = open_page(dashboard.address)
    await_points(page, 1)
    page.locator("[data-metric=loss] canvas").first.wait_for()
    assert css_colour(page, "--series-0") in drawn(page.locator(".plot"))
    expect(card(page)).to_contain_text("epoch 1 of 1 · 1 batch")


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
    holds = points(page)
    for series, least in (("batch", 100), ("epoch", 500)):
        assert least <= len(holds[series]["x"]) <= 1001
        assert holds[series]["x"] == sorted(set(holds[series]["x"]))
        assert holds[series]["y"] == [inverse(x) for x in holds[series]["x"]]
    assert (holds["batch"]["x"][-1], holds["epoch"]["x"][-1]) == (n, n - 1)

    page.locator("#resume").click()
    run.result(GUARD)
    says(page, "training finished")
    assert points(page)["epoch"]["x"][-1] == 10_100


def test_a_log_scale_leaves_out_what_has_no_logarithm(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=lambda n: 10.0 ** (n - 3), margin=lambda n: -n)
    runner.run(range(5))
    page = open_page(dashboard.address)
    await_points(page, 5)
    page.get_by_role("checkbox", name="log scale").check()
    await_points(page, 5)
    empty = page.locator("[data-metric=margin] .plot")
    expect(empty).to_have_attribute("data-note", "No finite value above 0 to draw.")
    page.get_by_role("checkbox", name="log scale").uncheck()
    expect(empty).to_have_attribute("data-note", "")
    assert points(page, "margin")["batch"]["y"] == [-1, -2, -3, -4, -5]


# How far a run is


def test_the_page_tells_how_far_a_run_is_and_how_long_it_will_take(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard)
    page = open_page(dashboard.address)
    expect(card(page)).to_contain_text("waiting for the run to begin")

    dashboard.control.pause()
    in_background(runner.run, range(4), 2)
    held(dashboard, 4)
    expect(card(page).locator(".facts")).to_have_text(
        re.compile(r"^epoch 2 of 2 · batch 1 of 4 · [\d.]+ s elapsed$")
    )
    expect(card(page).locator(".badge")).to_have_text("paused")
    expect(card(page).locator(".percent")).to_have_text("62 %")
    bar = page.get_by_role("progressbar", name="progress of training")
    expect(bar).to_have_js_property("value", 0.625)
    expect(bar).to_have_attribute("aria-valuetext", re.compile("^62 % epoch 2 of 2 batch 1 of 4 "))

    dashboard.control.unpause()
    expect(bar).to_have_js_property("value", 1)
    speed = r"[\d.,]+ (batches/s|s a batch) on average"
    expect(card(page).locator(".facts")).to_have_text(
        re.compile(rf"^epoch 2 of 2 · 8 batches · {speed} · [\d.]+ s elapsed$")
    )
    expect(card(page).locator(".badge")).to_have_text("finished")


RUN = {
    "name": "training",
    "status": "running",
    "inside": False,
    "event": "BATCH",
    "epoch": 3,
    "max_epoch": 10,
    "n_iters": 1242,
    "batch": 42,
    "n_batches": 100,
    "fraction": 0.342,
    "seconds": 1.0,
    "seconds_left": None,
    "batches_per_second": None,
    "latest": {},
    "error": None,
}

FACTS = {
    "a short time": (
        {"batches_per_second": 100.2, "seconds": 12.3, "seconds_left": 20.1},
        "epoch 3 of 10 · batch 42 of 100 · 100 batches/s · 12 s elapsed · about 20 s left",
    ),
    "a slow model": (
        {"batches_per_second": 0.25, "seconds": 3.14, "seconds_left": 59.4},
        "epoch 3 of 10 · batch 42 of 100 · 4.0 s a batch · 3.1 s elapsed · about 59 s left",
    ),
    "hours and days": (
        {"batches_per_second": 12_345.6, "seconds": 7_265, "seconds_left": 200_000},
        "epoch 3 of 10 · batch 42 of 100 · 12,346 batches/s · 2 h 1 min elapsed "
        "· about 2 d 7 h left",
    ),
    "no length": (
        {"n_batches": None, "batches_per_second": None, "seconds_left": None, "seconds": 61},
        "epoch 3 of 10 · batch 42 · 1 min 1 s elapsed",
    ),
    "no end": (
        {"max_epoch": None, "fraction": None, "seconds": 0.5},
        "epoch 3 · batch 42 of 100 · 0.5 s elapsed · no end known",
    ),
    "a pause": (
        {"status": "paused", "seconds": 61},
        "epoch 3 of 10 · batch 42 of 100 · 1 min 1 s elapsed",
    ),
    "a long evaluation": (
        {"silent": 40},
        "epoch 3 of 10 · batch 42 of 100 · 1.0 s elapsed · no report for 40 s",
    ),
    "a process that was killed": (
        {"status": "silent", "silent": 93_700},
        "epoch 3 of 10 · batch 42 of 100 · 1.0 s elapsed "
        "· no report for 1 d 2 h; it may have been killed or paused",
    ),
    "a recording that is being read": ({"status": "reading"}, "1,242 batches so far"),
    "no clock": (
        {"seconds": None},
        "epoch 3 of 10 · batch 42 of 100",
    ),
    "a mean": (
        {"status": "finished", "batches_per_second": 100.2},
        "epoch 3 of 10 · 1,242 batches · 100 batches/s on average · 1.0 s elapsed",
    ),
    "an end": (
        {"status": "stopped", "seconds": 9.96},
        "epoch 3 of 10 · 1,242 batches · 10 s elapsed",
    ),
}


@pytest.mark.parametrize(("told", "text"), FACTS.values(), ids=FACTS)
def test_the_facts_of_a_run_are_written_for_people(
    told: dict[str, Any], text: str, dashboard: Dashboard, browser: BrowserContext
) -> None:
    trainer_of(dashboard)
    series = {"from": 0, "steps": [], "metrics": {}, "last": None}
    run = {**RUN, "series": [series, series], **told}
    answer = {
        "cursor": "here",
        "again": 60,
        "control": True,
        "control_status": "none",
        "live": True,
    }

    def reply(route: Route) -> None:
        route.fulfill(json={**answer, "runs": [run]})

    pattern = f"{dashboard.address}data*"
    browser.route(pattern, reply)
    visit = Visit(browser, dashboard.address)
    expect(visit.page.locator(".facts")).to_have_text(text)
    complaints = visit.complaints
    visit.page.close()
    browser.unroute(pattern)
    assert complaints == []


def test_a_run_without_an_end_can_be_watched_and_stopped(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    dashboard.control.pause()
    run = in_background(runner.run, iter(range(1000)), sys.maxsize)
    page = open_page(dashboard.address)
    held(dashboard, 2)
    facts = card(page).locator(".facts")
    expect(facts).to_have_text(re.compile(r"^epoch 1 · batch 3 · .* elapsed · no end known$"))
    bar = page.get_by_role("progressbar", name="progress of training")
    expect(bar).to_have_js_property("position", -1)  # what HTML says of an end that is not known
    page.locator("#stop").click()
    run.result(GUARD)
    says(page, "training stopped")
    expect(bar).to_have_js_property("position", 0)


@pytest.mark.parametrize(
    ("batches", "max_epoch", "text"),
    [([], 1, "epoch 1 of 1 · 0 batches"), (range(3), 0, "epoch 0 of 0 · 0 batches")],
    ids=["no batches", "no epochs"],
)
def test_a_run_of_nothing_finishes(
    batches: Collection[Any], max_epoch: int, text: str, dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(batches, max_epoch)
    page = open_page(dashboard.address)
    says(page, "training finished")
    expect(card(page)).to_contain_text(text)
    expect(card(page).locator(".percent")).to_have_text("100 %")
    expect(page.locator("#no-metrics")).to_be_visible()
    assert page.locator(".chart").count() == 0


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
    first = page.locator("#handlers tbody tr").first
    expect(first.locator("th")).to_have_text(re.compile(r"^think test_in_browser\.py:\d+$"))
    expect(first.locator("td").first).to_have_text("BATCH")
    expect(page.locator("#log li").first).to_have_text(
        re.compile(r"^\d\d:\d\d:\d\d WARNING my\.model the loss is high$")
    )
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
    buttons = page.get_by_role("button")
    expect(buttons).to_have_text(["Pause", "Step", "Resume", "Stop"])
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

    page.get_by_role("button", name="Stop").click()
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
    page.get_by_role("button", name="Stop").click()
    says(page, "stopping after this batch; press Stop again to stop at once")
    with page.expect_response("**/control/stop"):
        page.get_by_role("button", name="Stop").click()
    let_go.set()
    run.result(GUARD)
    says(page, "training stopped")
    assert skipped == []


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
    for _ in range(30):
        page.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement)"
        width = page.evaluate(f"{style}.outlineStyle === 'none' ? '0' : {style}.outlineWidth")
        reached.append((page.evaluate("document.activeElement.id"), float(width.rstrip("px"))))
    order = list(dict.fromkeys(name for name, _ in reached if name))
    assert order == ["step", "resume", "stop", "log-scale", "events", "log"]
    assert all(width >= 2 for name, width in reached if name)

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
    run.result(GUARD)
    says(page, "training stopped")


def test_a_dashboard_without_control_shows_no_buttons(open_page: PageOpener) -> None:
    dashboard = Dashboard(control=False)
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(3))
    page = open_page(dashboard.address)
    await_points(page, 3)
    assert page.get_by_role("button").count() == 0
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
        one.get_by_role("button", name="Stop").click()
        run.result(GUARD)
        for page in (one, two):
            says(page, "training stopped")
            page.route("**/*", lambda route: route.abort())  # the other browser ends first
            page.goto("about:blank")


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
    show = """(hidden) => {
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(show, True)
    page.clock.run_for(1_000)  # what was asked before may still be answered
    n_asked = len(asked)
    runner.run(range(3))
    page.clock.run_for(3_600_000)
    assert points(page) is None
    assert len(asked) == n_asked
    with page.expect_response("**/data*"):
        page.evaluate(show, False)
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


# Names and texts from somebody's run


def fail_with(text: str, state: State) -> NoReturn:
    raise RuntimeError(text)


def log_warning(name: str, state: State) -> None:
    logging.getLogger(name).warning("%s", name)


def test_hostile_names_and_texts_are_shown_as_they_are_and_do_nothing(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    for name in HOSTILE:
        runner = Runner()
        dashboard.attach_on(runner, *HOSTILE, name=name)
        runner.state.update({key: float(i) for i, key in enumerate(HOSTILE)})
        runner.on(Event.BATCH.once(), partial(log_warning, name))
        runner.run(["a batch", "another"])
    text = "".join(HOSTILE)
    with runner.on(Event.FINISHED, partial(fail_with, text)), pytest.raises(RuntimeError):
        runner.run(["a batch", "another"])
    page = open_page(dashboard.address)
    await_points(page, 2, HOSTILE[-1], HOSTILE[-1])

    assert page.locator("#runs h2 bdi").all_text_contents() == HOSTILE
    assert page.locator("#charts h3 bdi").all_text_contents() == HOSTILE
    for metric, chart in zip(HOSTILE, page.locator("#charts .chart").all(), strict=True):
        assert chart.locator(".legend bdi").all_text_contents() == HOSTILE
        for run in HOSTILE:
            at = float(HOSTILE.index(metric))
            assert points(page, metric, run)["batch"] == {"x": [1, 2], "y": [at, at]}
    lines = page.locator("#log li").all_text_contents()
    for line, text in zip(lines, reversed(HOSTILE), strict=True):
        assert line.endswith(f" WARNING {text and text + ' '}{text}") or not text
    assert text in (page.locator("#failure pre").text_content() or "")

    assert page.evaluate("window.harmed") is None
    page_itself = "head script, body script, img, #pause"
    assert page.locator(page_itself).count() == 4  # three scripts and a button
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# How it looks


def test_the_page_and_its_curves_follow_the_choice_of_light_and_dark(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(30))
    page = open_page(dashboard.address)
    await_points(page, 30)
    plot = page.locator(".plot")
    plot.locator("canvas").first.wait_for()
    seen = {}
    for scheme in ("light", "dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(FRAMES)
        series, card_ground = css_colour(page, "--series-0"), css_colour(page, "--card")
        assert {series, card_ground} <= drawn(plot)
        seen[scheme] = (
            series,
            card_ground,
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.body).color"),
        )
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


FRAMES = """() => new Promise((drawn) => {
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}).then(() => true)"""
"""Waits until what has changed is drawn."""


def test_on_a_phone_all_is_readable_and_within_reach_of_a_thumb(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse, accuracy=lambda n: 1 - 1 / n)
    evaluator = Runner()
    dashboard.attach_on(evaluator, name="validation of a model with a name that is rather long")
    runner.on(Event.EPOCH_FINISHED, lambda state: evaluator.run(range(2)))
    logging.getLogger("my.model").warning("unbroken" * 30)
    page = open_page(dashboard.address)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    dashboard.control.pause()
    in_background(runner.run, range(5), 3)
    held(dashboard, 8)
    says(page, re.compile("^paused after batch"))

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    sizes = page.evaluate("""() => {
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const sizes = [];
        while (texts.nextNode()) {
            const { data, parentElement } = texts.currentNode;
            if (data.trim() && parentElement.checkVisibility())
                sizes.push([parseFloat(getComputedStyle(parentElement).fontSize), data]);
        }
        return sizes;
    }""")
    assert len(sizes) > 30
    assert [text for size, text in sizes if size < 12] == []
    labels = page.evaluate("""Bokeh.documents.flatMap((document) => document.roots())
        .flatMap(({ xaxis, yaxis }) => [...xaxis, ...yaxis])
        .flatMap((axis) => [axis.major_label_text_font_size, axis.axis_label_text_font_size])
        .map(parseFloat)""")
    assert len(labels) == 8
    assert min(labels) >= 12
    buttons = page.get_by_role("button")
    assert buttons.count() == 4
    for button in buttons.all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]


def test_who_prefers_no_motion_sees_none(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(3))
    page = open_page(dashboard.address)
    await_points(page, 3)
    bar = page.get_by_role("progressbar", name="progress of training")
    for choice, is_moving in (("no-preference", True), ("reduce", False)):
        page.emulate_media(reduced_motion=choice)  # type: ignore[arg-type]
        durations = {style["transition-duration"] for style in styles_inside(page, bar)}
        assert (durations != {"0s"}) == is_moving


def styles_inside(page: Page, element: Locator) -> list[dict[str, str]]:
    """Return the computed styles of the parts of which the browser builds an element."""
    session = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        session.send(f"{domain}.enable")
    element.evaluate("(element) => element.setAttribute('data-inspected', '')")
    whole = session.send("DOM.getDocument", {"depth": -1, "pierce": True})["root"]
    parts, left = [], [(whole, False)]
    while left:
        node, is_inside = left.pop()
        is_inside |= "data-inspected" in node.get("attributes", ())
        if is_inside and node["nodeType"] == 1:
            parts.append(node["nodeId"])
        below = (*node.get("children", ()), *node.get("shadowRoots", ()))
        left += [(child, is_inside) for child in below]
    computed = [session.send("CSS.getComputedStyleForNode", {"nodeId": part}) for part in parts]
    session.detach()
    return [{one["name"]: one["value"] for one in each["computedStyle"]} for each in computed]


# Recordings


def recorded(path: Path, factor: float, n_batches: int = 6) -> list[str]:
    """Record a run; return the lines of the file."""
    runner = Runner()

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        state["stats"] = {"loss": factor / state["n_iters"]}

    with Record(path).attach_on(runner):
        runner.run(range(n_batches))
    return path.read_text().splitlines(keepends=True)


def test_recordings_are_shown_side_by_side_and_move_as_they_grow(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    whole, growing = tmp_path / "whole.jsonl", tmp_path / "growing.jsonl"
    recorded(whole, 2.0)
    lines = recorded(growing, 3.0)
    growing.write_text("".join(lines[:5])[:-3])  # three batches, of which the last is being written
    dashboard.follow(whole, "whole")
    dashboard.follow(growing, "growing")
    page = open_page(dashboard.address)
    await_points(page, 6, run="whole")
    await_points(page, 2, run="growing")
    says(page, "recorded")
    legend = page.locator("[data-metric=loss] .legend bdi")
    assert legend.all_text_contents() == ["whole", "growing"]
    expect(card(page, "whole").locator(".badge")).to_have_text("finished")
    expect(card(page, "growing").locator(".badge")).to_have_text("running")
    assert page.get_by_role("button").count() == 0
    for part in ("Which callback is slow?", "Log"):
        assert page.get_by_role("heading", name=part, exact=True).count() == 0

    growing.write_text("".join(lines))
    await_points(page, 6, run="growing")
    assert points(page, run="growing")["batch"]["y"] == [3.0 / n for n in range(1, 7)]
    assert points(page, run="whole")["batch"]["y"] == [2.0 / n for n in range(1, 7)]
    expect(card(page, "growing").locator(".badge")).to_have_text("finished")


def test_the_command_shows_recordings_until_it_is_interrupted(
    open_page: PageOpener, tmp_path: Path
) -> None:
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for i, file in enumerate(files):
        recorded(file, i + 1.0)
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
            for i, file in enumerate(files):
                await_points(page, 6, run=str(file))
                assert points(page, run=str(file))["batch"]["y"][0] == i + 1.0
            process.send_signal(signal.SIGINT)
            assert process.wait(GUARD) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    says(page, "recorded; its process has ended")
    await_points(page, 6, run=str(files[0]))


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
