"""What tests of the page in a browser share: runs to look at, and how to look.

Nothing here sleeps: a run is held by the dashboard's own control or comes to its end, and the
browser waits until the page shows what it must. Import it after `pytest.importorskip` for
playwright, tornado, PIL and numpy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from helpers.browser import PageOpener
from helpers.extras import np
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard
from rnnr.recording import Record
from rnnr.selection import Selection

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 8, 26
"""Pixels of a plot around its curves."""
GUARD = 120.0
"""Seconds after which a run that hangs fails its test."""

Submit: TypeAlias = Callable[..., Future[None]]
Value: TypeAlias = Callable[[int], float]
"""A metric as a function of the number of batches."""
Colour: TypeAlias = tuple[int, int, int]

HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Lets a page believe that nobody sees it, or that somebody does."""

FRAMES = """() => new Promise((drawn) => {
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}).then(() => true)"""
"""Waits until what has changed is drawn."""


def trainer_of(dashboard: Dashboard, *, name: str = "training", **values: Value) -> Runner:
    """Return a runner on the dashboard whose metrics are functions of the number of batches."""
    runner = Runner()
    dashboard.attach_on(runner, name=name, system=False)

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        state["stats"] = {key: value(state["n_iters"]) for key, value in values.items()}

    return runner


def times(value: Value, factor: float) -> Value:
    """Return a metric that is so many times another."""
    return lambda n: value(n) * factor


def inverse(n: int) -> float:
    """Return a loss that falls."""
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


def record(path: Path, n_batches: int = 6, config: Any = None, **values: Value) -> list[str]:
    """Record a run whose metrics are functions of the number of batches; return the lines."""
    runner = Runner()

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        state["stats"] = {key: value(state["n_iters"]) for key, value in values.items()}

    with Record(path, **({} if config is None else {"config": config})).attach_on(runner):
        runner.run(range(n_batches))
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def show_recordings(
    dashboard: Dashboard, folder: Path, configs: dict[str, Any], **values: Value
) -> None:
    """Show a recording for each name and configuration; its values are scaled by its place."""
    for i, (name, config) in enumerate(configs.items(), 1):
        scaled: dict[str, Any] = {key: times(value, i) for key, value in values.items()}
        record(folder / f"{name}.jsonl", config=config, **scaled)
        dashboard.follow(folder / f"{name}.jsonl", name)


def open_recording(
    dashboard: Dashboard, open_page: PageOpener, folder: Path, n_batches: int, **values: Value
) -> Page:
    """Open a page with a recording of a training, of which each batch is a point."""
    record(folder / "training.jsonl", n_batches, **values)
    dashboard.follow(folder / "training.jsonl", "training")
    page = open_page(dashboard.address)
    await_points(page, n_batches, next(iter(values)))
    return page


def points(page: Page, metric: str = "loss", run: str = "training") -> Any:
    """Return what the page holds of a metric of a run: the means of batches, and of epochs."""
    found = page.evaluate("([metric, run]) => window.rnnr.points(metric, run)", [metric, run])
    return found and {of: {axis: found[of][axis] for axis in "xy"} for of in ("batch", "epoch")}


def intervals(page: Page, metric: str = "loss", run: str = "training") -> Any:
    """Return the intervals that the page holds of a metric of a run."""
    found = page.evaluate("([metric, run]) => window.rnnr.points(metric, run)", [metric, run])
    return found["batch"]


def await_points(
    page: Page, n: int, metric: str = "loss", run: str = "training", series: str = "batch"
) -> None:
    """Wait until the page holds so many points of a metric of a run."""
    page.evaluate(
        """async ([n, metric, run, series]) => {
            let found = null;
            for (let i = 0; i < 200; i += 1) {
                found = await window.rnnr.points(metric, run);
                if (found?.[series].x.length === n) return;
                await new Promise((go) => setTimeout(go, 100));
            }
            throw new Error(`${n} points expected, got ${found?.[series].x.length}`);
        }""",
        [n, metric, run, series],
    )


def await_step(page: Page, step: int, metric: str = "loss", run: str = "training") -> None:
    """Wait until the last batch that the page holds of a metric of a run is this one."""
    page.evaluate(
        """async ([step, metric, run]) => {
            let found = null;
            for (let i = 0; i < 200; i += 1) {
                found = await window.rnnr.points(metric, run);
                if (found?.batch.x.at(-1) === step) return;
                await new Promise((go) => setTimeout(go, 100));
            }
            throw new Error(`batch ${step} expected, got ${found?.batch.x.at(-1)}`);
        }""",
        [step, metric, run],
    )


def says(page: Page, text: str | re.Pattern[str]) -> None:
    """Wait until the page says so at its top."""
    expect(page.locator("#status")).to_have_text(text)


def card(page: Page, run: str = "training") -> Locator:
    """Return what tells how far a run is, if there is one experiment."""
    return page.locator("#strip .run").filter(has=page.get_by_text(run, exact=True))


def row(page: Page, run: str) -> Locator:
    """Return the row of an experiment, if there are several."""
    return page.locator("#rows tr").filter(has=page.get_by_text(run, exact=True))


def chart(page: Page, metric: str = "loss") -> Locator:
    """Return a chart, in its group."""
    return page.locator(f"#charts [data-metric='{metric}']")


def plot(page: Page, metric: str = "loss") -> Locator:
    """Return the part of a chart that has the curves, once they are drawn."""
    found = chart(page, metric).locator(".plot")
    found.scroll_into_view_if_needed()
    expect(found).to_have_attribute("aria-label", re.compile("."))
    page.wait_for_function(FRAMES)
    return found


def pixels(png: bytes) -> Any:
    """Return a picture as an array (height, width, 3)."""
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def colours(png: bytes) -> set[Colour]:
    """Return the colours of a picture."""
    return {(int(r), int(g), int(b)) for r, g, b in np.unique(pixels(png).reshape(-1, 3), axis=0)}


def inked(picture: Any, ink: Colour, ground: Colour, least: float = 0.35) -> Any:
    """Return where a picture has a colour, or a blend of it with the ground, as on an edge."""
    way = np.array(ink) - np.array(ground)
    off = pixels(picture) - np.array(ground) if isinstance(picture, bytes) else picture - ground
    share = (off @ way) / (way @ way)
    beside = np.abs(off - share[..., None] * way).max(axis=-1)
    return (share > least) & (beside < 6 + 12 * share)


def curve(page: Page, ink: str, metric: str = "loss", least: float = 0.35) -> Any:
    """Return where a plot has a colour of the style sheet, its axes left out."""
    ground = css_colour(page, "--card")
    found = inked(plot(page, metric).screenshot(), css_colour(page, ink), ground, least)
    found[:, : LEFT - 3] = found[-BOTTOM + 1 :] = False
    found[: TOP + 20, : LEFT + 90] = False  # what is told of outliers
    return found


def css_colour(page: Page, name: str) -> Colour:
    """Return a colour of the style sheet."""
    script = "(name) => getComputedStyle(document.documentElement).getPropertyValue(name)"
    red, green, blue = bytes.fromhex(page.evaluate(script, name).strip().removeprefix("#"))
    return red, green, blue


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    """Call a function of one of the page's modules, and return what it returns."""
    script = """async ([module, name, some]) => {
        const found = await import(`${location.href.split("#")[0]}page/${module}.js`);
        const result = found[name](...some);
        return ArrayBuffer.isView(result) ? [...result] : result;
    }"""
    return page.evaluate(script, [module, function, list(arguments)])


def press_stop(page: Page) -> None:
    """Press Stop, and say that it is meant."""
    page.get_by_role("button", name="Stop…").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
