"""What the page costs the browser: how soon it draws, how busy it keeps its main thread.

    python tests/benchmarks/page.py

It needs Playwright, a Chromium and Linux: the processor time of the main thread is read from /proc,
since the browser's own tools do not count the painting of a canvas.
"""

import json
import math
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from playwright.sync_api import BrowserContext, Page, sync_playwright

from helpers.browser import launch
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard
from rnnr.dashboard._polling import PollingRate

INTERVAL = 0.5  # seconds between two updates of a page, however long the answers take
SECONDS = 10.0  # of measuring
N_RUNS, N_METRICS = 3, 200

OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => tasks.push(duration)))
    .observe({ type: "longtask", buffered: true });
(function look() {
    const bases = [...document.querySelectorAll("canvas.base")];
    const seen = bases.filter((base) => base.getBoundingClientRect().top < innerHeight);
    const isDrawn = (chart) => chart.querySelector(".plot").ariaLabel;
    if (seen.length && seen.every((base) => isDrawn(base.closest(".chart"))))
        window.drawnAt = performance.now();
    else setTimeout(look, 20);
})();
"""


def train(dashboard: Dashboard, name: str, over: threading.Event) -> Callable[[], None]:
    """Return what trains until it is over, with many metrics, in batches of ten milliseconds."""
    runner, rng = Runner(), random.Random(name)
    dashboard.attach_on(runner, name=name, config={"seed": name})

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        falling = math.exp(-state["n_iters"] / 500)
        state["stats"] = {f"m{i:03d}": falling + rng.random() for i in range(N_METRICS)}
        if over.wait(0.01):
            runner.stop()

    return lambda: runner.run(range(1_000_000))


@contextmanager
def trainings() -> Iterator[Dashboard]:
    """Yield a dashboard with live runs, which have gone on for a while."""
    dashboard, over = Dashboard(), threading.Event()
    runs = [train(dashboard, f"run {i}", over) for i in range(N_RUNS)]
    threads = [threading.Thread(target=run) for run in runs]
    for thread in threads:
        thread.start()
    sleep(SECONDS)
    yield dashboard
    over.set()
    for thread in threads:
        thread.join()
    dashboard.close()


def write(path: Path, n_batches: int) -> None:
    """Write a recording with three metrics."""
    rng = random.Random(path.name)
    line = {"epoch": 1, "max_epoch": 1, "n_batches": n_batches}
    with path.open("w", encoding="utf-8") as file:
        for n in range(n_batches + 1):
            metrics = {name: rng.random() for name in ("loss", "accuracy", "norm")} if n else {}
            event = "BATCH" if n else "STARTED"
            some = {"event": event, "n_iters": n, "step": n, "seconds": n / 100, "metrics": metrics}
            file.write(json.dumps({**line, **some}) + "\n")


def cpu_seconds(browser: BrowserContext) -> float:
    """Return the processor time of the main threads of the browser's pages."""
    browser.pages[0].title()
    seconds = 0.0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            if b"--type=renderer" in path.read_bytes() and is_ours(path.parent):
                fields = fields_of(path.parent / "task" / path.parent.name)
                seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def is_ours(process: Path) -> bool:
    """Return whether this process has started another one, or what has."""
    while process.name not in ("0", str(os.getpid())):
        process = process.parent / fields_of(process)[1]
    return process.name != "0"


def fields_of(process: Path) -> list[str]:
    """Return what follows the name in the status of a process or a thread."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def first_drawing(page: Page, address: str) -> float:
    """Return the seconds from the navigation until all charts in the window are drawn."""
    page.goto(address)
    page.evaluate(
        "async () => { while (!window.drawnAt) await new Promise((go) => setTimeout(go, 20)); }"
    )
    return float(page.evaluate("window.drawnAt")) / 1000


def live(browser: BrowserContext) -> Iterator[tuple[str, str]]:
    """Measure live runs with many metrics."""
    PollingRate.seconds = lambda *_, **__: INTERVAL  # type: ignore[method-assign]
    with trainings() as dashboard:
        page, updates = browser.new_page(), list[str]()
        page.on("request", lambda request: updates.append(request.url))
        page.add_init_script(OBSERVE)
        yield "first drawing", f"{first_drawing(page, dashboard.address):.2f} s"
        sleep(3)
        page.evaluate("window.tasks.length = 0")
        before = cpu_seconds(browser)
        updates.clear()
        page.wait_for_timeout(SECONDS * 1000)
        yield "busy", f"{(cpu_seconds(browser) - before) / SECONDS:.1%}"
        yield "updates a second", f"{sum('/data?' in url for url in updates) / SECONDS:.1f}"
        longest = page.evaluate("Math.max(0, ...window.tasks)")
        yield "longest task", f"{longest:.0f} ms" if longest else "below 50 ms"
        yield "nodes", str(page.evaluate("document.querySelectorAll('*').length"))
        page.close()


def recordings(browser: BrowserContext, n: int, n_batches: int) -> Iterator[tuple[str, str]]:
    """Measure how long recordings take until they stand."""
    with TemporaryDirectory() as folder:
        dashboard = Dashboard()
        for i in range(n):
            write(path := Path(folder, f"{i}.jsonl"), n_batches)
            dashboard.follow(path, path.stem)
        page = browser.new_page()
        page.goto(dashboard.address)
        page.evaluate(
            """async (step) => {
                const isThere = ({ clock }) => clock.at(-1)?.[0] === step;
                const { store } = await import("./page/store.js");
                while (!store.order.length || ![...store.runs.values()].every(isThere))
                    await new Promise((go) => setTimeout(go, 20));
            }""",
            n_batches,
        )
        yield "all is read", f"{page.evaluate('performance.now()') / 1000:.1f} s"
        page.close()
        dashboard.close()


def main() -> None:
    """Print a table."""
    with (
        TemporaryDirectory() as profile,
        sync_playwright() as playwright,
        launch(playwright, Path(profile)) as browser,
    ):
        for title, rows in [
            (f"{N_METRICS} metrics of {N_RUNS} live runs", live(browser)),
            ("30 recordings of 1,500 batches", recordings(browser, 30, 1_500)),
            ("a recording of a million batches", recordings(browser, 1, 1_000_000)),
        ]:
            print(f"\n| {title} | |\n|---|---|")
            for row in rows:
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
