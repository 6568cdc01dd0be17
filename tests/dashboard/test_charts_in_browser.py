"""The charts of the page in a real browser: what is drawn, and what a person can do with it."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from itertools import pairwise
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("numpy")

from PIL import Image
from playwright.sync_api import Page, expect

from helpers.browser import PageOpener
from helpers.extras import np
from helpers.page import (
    BOTTOM,
    DESKTOP,
    FRAMES,
    LEFT,
    PHONE,
    RIGHT,
    TOP,
    Value,
    await_points,
    call,
    chart,
    colours,
    css_colour,
    curve,
    inked,
    intervals,
    inverse,
    open_recording,
    pixels,
    plot,
    points,
    record,
    says,
    show_recordings,
    trainer_of,
)
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard
from rnnr.recording import Record


def noisy(n: int) -> float:
    """Return a loss that is noise around 1."""
    return 1 + (n * 7919 % 100 - 50) / 100


# Pure functions, against Python


def test_smoothing_is_that_of_tensorboard_for_a_thousand_even_points(blank: Page) -> None:
    assert call(blank, "smooth", "smooth", [1, 2, 3], [1, 0.5, 0], 3, 0.6, 1000) == pytest.approx(
        [1, 0.6875, 0.33673], abs=5e-6
    )
    values = [math.sin(n) + noisy(n) for n in range(1, 1001)]
    mean, expected = 0.0, []
    for debias, value in enumerate(values, 1):
        mean = 0.9 * mean + 0.1 * value
        expected.append(mean / (1 - 0.9**debias))
    shown = call(blank, "smooth", "smooth", list(range(1, 1001)), values, 1000, 0.9, 1000)
    assert shown == pytest.approx(expected, rel=1e-12)


def test_smoothing_says_the_same_once_a_curve_is_thinned(blank: Page) -> None:
    values = [2 * math.exp(-n / 300) + 0.1 for n in range(1, 1001)]
    steps = list(range(1, 1001))
    whole = call(blank, "smooth", "smooth", steps, values, 1000, 0.9, 1000)
    thin = call(blank, "smooth", "smooth", steps[7::8], values[7::8], 125, 0.9, 1000)
    assert max(abs(a - b) for a, b in zip(whole[7::8], thin, strict=True)) < 0.07


def test_smoothing_leaves_gaps_and_constants_as_they_are(blank: Page) -> None:
    shown = call(blank, "smooth", "smooth", [1, 2, 3, 4], [2, nan, 2, 2], 4, 0.99, 4)
    assert shown == pytest.approx([2, nan, 2, 2], nan_ok=True)
    assert call(blank, "smooth", "smooth", [5], [7], 1, 0.9, 5) == [7]


@pytest.mark.parametrize(
    ("values", "is_noise"),
    [
        ([noisy(n) for n in range(100)], True),
        ([n / 100 for n in range(100)], False),
        ([1 / (n + 1) for n in range(100)], False),
        ([min(n, 20) / 20 * (1 + math.cos(n / 30)) for n in range(100)], False),
        ([1 + math.cos(math.pi * n / 100) for n in range(100)], False),
        ([0.1 ** (n // 25) for n in range(100)], False),
        ([noisy(n) for n in range(48)] + [1e6] + [noisy(n) for n in range(49, 100)], True),
        ([noisy(n) for n in range(80)] + [2.0**n for n in range(20)], True),
        ([noisy(n) for n in range(60)] + [nan] * 40, True),
        ([noisy(n) if n % 3 == 0 else 1.0 for n in range(100)], True),
        ([float(n % 5 == 0) for n in range(100)], True),
        ([1.0, 2.0], False),
        ([0.5] * 100, False),
        ([noisy(n) for n in range(9)], False),
    ],
    ids=[
        "noise",
        "line",
        "loss",
        "schedule",
        "cosine",
        "stairs",
        "a spike",
        "divergence",
        "end in NaN",
        "rests",
        "hits",
        "two values",
        "constant",
        "few",
    ],
)
def test_only_noise_is_smoothed(values: list[float], is_noise: bool, blank: Page) -> None:
    assert call(blank, "smooth", "isNoise", values, len(values)) == is_noise


@pytest.mark.parametrize(
    ("lo", "hi", "count", "texts"),
    [
        (0, 10, 5, ["0", "2", "4", "6", "8", "10"]),
        (0, 2700, 5, ["0", "1,000", "2,000"]),
        (-1, 1, 4, ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        (0.121, 0.349, 5, ["0.15", "0.20", "0.25", "0.30"]),
        (0, 3e-7, 3, ["0", "1e-7", "2e-7", "3e-7"]),
        (0, 3e9, 3, ["0", "1e9", "2e9", "3e9"]),
    ],
)
def test_ticks_are_at_round_numbers(
    lo: float, hi: float, count: int, texts: list[str], blank: Page
) -> None:
    ticks = call(blank, "ticks", "linearTicks", lo, hi, count)
    assert [tick["text"] for tick in ticks] == texts
    assert [float(text.replace(",", "")) for text in texts] == pytest.approx(
        [tick["at"] for tick in ticks]
    )


@pytest.mark.parametrize("exponent", range(-12, 13, 3))
@pytest.mark.parametrize("count", [2, 5, 9])
def test_ticks_are_even_inside_the_range_and_neither_none_nor_many(
    exponent: int, count: int, blank: Page
) -> None:
    lo, hi = 1.7 * 10.0**exponent, 9.3 * 10.0**exponent
    at = [tick["at"] for tick in call(blank, "ticks", "linearTicks", lo, hi, count)]
    assert 1 <= len(at) <= 2 * count + 1
    assert all(lo * (1 - 1e-9) <= one <= hi * (1 + 1e-9) for one in at)
    steps = [b - a for a, b in pairwise(at)]
    assert steps == pytest.approx([steps[0]] * len(steps)) if steps else True


def test_ticks_of_a_logarithmic_axis_are_at_powers(blank: Page) -> None:
    wide = call(blank, "ticks", "logTicks", 1e-6, 1e6, 5)
    assert [tick["at"] for tick in wide] == [1e-6, 1e-3, 1, 1e3, 1e6]
    assert [tick["text"] for tick in wide] == ["1e-6", "0.001", "1", "1,000", "1e6"]
    near = call(blank, "ticks", "logTicks", 0.9, 60, 5)
    assert [tick["at"] for tick in near] == [1, 2, 5, 10, 20, 50]
    nearer = call(blank, "ticks", "logTicks", 1.02, 1.4, 4)
    assert len(nearer) >= 3


def test_ticks_of_time_are_at_round_times(blank: Page) -> None:
    ticks = call(blank, "ticks", "timeTicks", 0, 3700, 4)
    assert [tick["text"] for tick in ticks] == ["0", "15 min", "30 min", "45 min", "1 h"]
    assert [tick["at"] for tick in ticks] == [0, 900, 1800, 2700, 3600]
    days = call(blank, "ticks", "timeTicks", 0, 86400 * 30, 4)
    assert 2 <= len(days) <= 9


@pytest.mark.parametrize("n_days", [0.1, 0.9, 1.5, 3, 30])
def test_no_two_ticks_of_the_time_of_day_are_the_same(n_days: float, blank: Page) -> None:
    ticks = call(blank, "ticks", "clockTicks", 1.7e9, 1.7e9 + n_days * 86400, 6)
    assert 2 <= len({tick["text"] for tick in ticks}) == len(ticks)


def test_an_outlier_is_clipped_and_told_and_the_top_of_a_schedule_is_not(blank: Page) -> None:
    def ranged(values: list[float], **options: Any) -> Any:
        column = [values, 0, len(values)]
        options = {"clip": True, "isLog": False, "extremes": [column], **options}
        return call(blank, "range", "valueRange", [column], options)

    spike = ranged([*map(noisy, range(200)), 1e6])
    assert spike["above"] == 1e6
    assert spike["below"] is None
    assert spike["hi"] < 2
    unclipped = ranged([*map(noisy, range(200)), 1e6], clip=False)
    assert unclipped["hi"] > 1e6
    assert unclipped["above"] is None
    schedule = ranged([min(n, 10) / 10 * math.exp(-n / 50) for n in range(200)])
    assert (schedule["above"], schedule["below"]) == (None, None)
    assert ranged([nan, inf]) is None
    assert ranged([-1, -2], isLog=True) is None
    constant = ranged([3.0, 3.0])
    assert constant["lo"] < 3 < constant["hi"]
    huge = ranged([-1.7e308, 1.7e308])
    assert -inf < huge["lo"] <= -1.7e308 < 1.7e308 <= huge["hi"] < inf


@pytest.mark.parametrize(
    ("line", "lo", "hi", "below", "above"),
    [
        ([9.0] * 9, 0.5, 9.0, None, None),
        ([-9.0, -30.0] * 9, -9.0, 1.49, -30.0, None),
        ([nan, 1.0, 99.0], 0.5, 1.49, None, 99.0),
        ([nan, inf], 0.5, 1.49, None, None),
    ],
)
def test_no_line_is_clipped_as_a_whole(
    line: list[float], lo: float, hi: float, below: float | None, above: float | None, blank: Page
) -> None:
    columns = [[values, 0, len(values)] for values in ([*map(noisy, range(900))], line)]
    options = {"clip": True, "isLog": False, "extremes": columns, "lines": columns}
    found = call(blank, "range", "valueRange", columns, options)
    room = 0.05 * (hi - lo)
    assert found == pytest.approx(
        {"lo": lo - room, "hi": hi + room, "below": below, "above": above}
    )


# What is drawn


def middles(found: Any) -> tuple[Any, Any]:
    """Return the columns of pixels that have a curve, and the middle of its rows in each."""
    columns = np.flatnonzero(found.any(axis=0))
    return columns, np.array([np.flatnonzero(found[:, x]).mean() for x in columns])


def test_a_line_is_drawn_where_its_values_are(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 400, loss=float)
    columns, rows = middles(found := curve(page, "--series-0"))
    height, width = found.shape
    assert abs(columns[0] - LEFT) <= 3
    assert abs(columns[-1] - (width - RIGHT)) <= 3
    assert len(columns) > 0.98 * (width - LEFT - RIGHT)
    slope, at = np.polyfit(columns, rows, 1)
    assert slope < 0
    assert np.abs(rows - (slope * columns + at)).max() < 2
    room = (height - TOP - BOTTOM) / 22  # above and below are a twentieth of the extent
    assert rows.min() == pytest.approx(TOP + room, abs=4)
    assert rows.max() == pytest.approx(height - BOTTOM - room, abs=4)


def test_a_spike_of_one_batch_in_a_hundred_thousand_is_seen_and_told(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    at, n = 77_777, 100_000
    record(tmp_path / "one.jsonl", n, loss=lambda n: 1e6 if n == at else noisy(n))
    dashboard.follow(tmp_path / "one.jsonl", "training")
    page = open_page(dashboard.address)
    expect(page.locator("#strip .badge")).to_have_text("finished")
    held = intervals(page)
    assert held["width"] > 1
    assert max(held["greatest"]) == 1e6
    label = re.compile("values up to 1,000,000 are clipped")
    expect(plot(page)).to_have_attribute("aria-label", label)
    found = curve(page, "--series-0")
    top = np.flatnonzero(found[: TOP + 3].any(axis=0))
    column = LEFT + (found.shape[1] - LEFT - RIGHT) * at / n
    assert np.abs(top - column).min() < 4
    assert top.min() > column - 4  # behind it the smoothed curve comes down again


def test_a_metric_at_every_fiftieth_batch_has_its_curve(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = Runner()
    dashboard.attach_on(runner)

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        n = state["n_iters"]
        state["stats"] = {"loss": 1.0} | ({"rare": 1.0 * n} if n % 50 == 0 else {})

    runner.run(range(20_000))
    page = open_page(dashboard.address)
    says(page, "training finished")
    held = intervals(page, "rare")
    assert len(held["x"]) >= 2
    assert held["least"][0] == 50
    assert max(held["greatest"]) == 20_000


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
    newest = page.locator("#charts .value")
    expect(newest).to_have_text(
        ["−∞ (4 not finite)", "NaN (7 not finite)", "∞ (7 not finite)"]  # noqa: RUF001
    )
    for metric, is_drawn in (("loss", True), ("lost", False), ("huge", False)):
        note = "" if is_drawn else "No finite value to draw."
        expect(plot(page, metric)).to_have_attribute("data-note", note)
        assert curve(page, "--series-0", metric).any() == is_drawn
    assert curve(page, "--bad").any()


def test_the_only_point_of_a_run_can_be_seen(dashboard: Dashboard, open_page: PageOpener) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(["a batch"])
    page = open_page(dashboard.address)
    await_points(page, 1)
    assert curve(page, "--series-0").any()
    expect(page.locator("#strip .run")).to_contain_text("epoch 1 of 1 · 1 batch")


def test_the_least_and_greatest_stand_behind_a_smoothed_curve(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 900, loss=noisy)

    def extent(least: float) -> int:
        rows = np.flatnonzero(curve(page, "--series-0", least=least).any(axis=1))
        return int(np.ptp(rows))

    line, band = extent(0.9), extent(0.2)
    assert line < band / 2
    page.locator("#smooth").fill("0")
    assert extent(0.9) > band * 0.9


def spiked(dashboard: Dashboard, open_page: PageOpener, folder: Path, spike: float) -> Page:
    """Return a page with three noisy runs, of which the second has a spike in its middle."""
    for i in range(3):
        value = lambda n, i=i: spike if (i, n) == (1, 400) else noisy(n) / 10 + 3 * i  # noqa: E731
        record(folder / f"{i}.jsonl", 800, loss=value)
        dashboard.follow(folder / f"{i}.jsonl", f"run {i}")
    page = open_page(dashboard.address)
    for i in range(3):
        await_points(page, 800, run=f"run {i}")
    return page


def test_a_spike_among_several_runs_has_a_dot_at_its_place(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = spiked(dashboard, open_page, tmp_path, 9.0)
    found = curve(page, "--series-1")
    columns, rows = middles(found[: TOP + 40])
    assert abs(columns.mean() - (LEFT + (found.shape[1] - LEFT - RIGHT) / 2)) < 3
    assert 3 <= len(columns) <= 6
    assert np.ptp(rows) < 4


def test_a_spike_beyond_a_chart_of_several_runs_is_marked_at_its_edge_until_a_zoom_shows_it(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = spiked(dashboard, open_page, tmp_path, 1e6)
    clipped = re.compile("are clipped")
    expect(plot(page)).to_have_attribute("aria-label", clipped)
    found = curve(page, "--series-1")
    assert abs(np.flatnonzero(found[: TOP + 3].any(axis=0)).mean() - found.shape[1] / 2) < 40
    drag(page, 0.4, 0.6)
    page.mouse.move(2, 2)
    expect(plot(page)).not_to_have_attribute("aria-label", clipped)
    expect(page.locator("#clip")).to_be_checked()


def test_the_only_run_that_is_shown_has_its_least_and_greatest_behind_it(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = spiked(dashboard, open_page, tmp_path, 3.1)
    page.get_by_role("button", name="run 1", exact=True).click()
    page.mouse.move(2, 2)
    line, band = (curve(page, "--series-1", least=least).any(axis=1).sum() for least in (0.9, 0.2))
    assert line < band / 2


def test_where_a_run_becomes_not_finite_is_a_mark_of_its_colour(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for i in range(2):
        value = lambda n, i=i: nan if i and n > 50 else n / 100 + i  # noqa: E731
        record(tmp_path / f"{i}.jsonl", 100, loss=value)
        dashboard.follow(tmp_path / f"{i}.jsonl", f"run {i}")
    page = open_page(dashboard.address)
    await_points(page, 100, run="run 1")
    low = slice(-BOTTOM - 9, -BOTTOM + 2)
    columns = np.flatnonzero(curve(page, "--series-1", least=0.9)[low].any(axis=0))
    middle = LEFT + (plot(page).bounding_box()["width"] - LEFT - RIGHT) * 51 / 100  # type: ignore[index]
    assert columns.mean() == pytest.approx(middle, abs=3)
    assert np.flatnonzero(curve(page, "--bad")[low].any(axis=0)).max() > middle + 50


def test_a_logarithmic_axis_is_for_one_chart_and_leaves_out_what_has_no_logarithm(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    values = {"loss": lambda n: 10.0 ** (n - 200), "margin": lambda n: -n}
    page = open_recording(dashboard, open_page, tmp_path, 400, **values)
    page.get_by_role("button", name="log scale: loss").click()
    columns, rows = middles(curve(page, "--series-0"))
    slope, at = np.polyfit(columns, rows, 1)
    assert np.abs(rows - (slope * columns + at)).max() < 3
    expect(plot(page, "margin")).to_have_attribute("data-note", "")
    page.get_by_role("button", name="log scale: margin").click()
    expect(plot(page, "margin")).to_have_attribute("data-note", "No finite value above 0 to draw.")
    page.get_by_role("button", name="log scale: margin").click()
    expect(plot(page, "margin")).to_have_attribute("data-note", "")


def test_what_has_no_logarithm_is_told_beside_what_has_one(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    values = {"loss": lambda n: 50.0 - n}
    page = open_recording(dashboard, open_page, tmp_path, 100, **values)
    clipped = re.compile("values down to -50 are clipped")
    expect(plot(page)).not_to_have_attribute("aria-label", clipped)
    page.get_by_role("button", name="log scale: loss").click()
    expect(plot(page)).to_have_attribute("aria-label", clipped)
    edge = curve(page, "--series-0")[-BOTTOM - 3 : -BOTTOM]
    assert np.flatnonzero(edge.any(axis=0)).max() > edge.shape[1] - RIGHT - 4


def test_a_run_that_differs_from_all_others_is_seen(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for i in range(30):
        value: Value = noisy if i else lambda n: 9 + noisy(n)
        record(tmp_path / f"run {i}.jsonl", 20, loss=value)
        dashboard.follow(tmp_path / f"run {i}.jsonl", f"run {i}")
    page = open_page(dashboard.address)
    await_points(page, 20, run="run 29")
    assert curve(page, "--series-0", least=0.9)[TOP + 4 : 100].any()


# One cursor in all charts


def xy(page: Page, part: float, metric: str = "loss", up: float = 0.5) -> tuple[float, float]:
    """Return where in the window a part of the horizontal axis of a chart is."""
    box = plot(page, metric).bounding_box()
    assert box
    width, height = box["width"] - LEFT - RIGHT, box["height"] - TOP - BOTTOM
    return box["x"] + LEFT + part * width, box["y"] + TOP + (1 - up) * height


def shown_values(page: Page) -> list[list[str]]:
    """Return the rows of the table at the cursor."""
    page.wait_for_function(FRAMES)
    rows = page.locator("#values tbody tr").all()
    return [each.locator("th, td").all_text_contents() for each in rows]


def test_the_mouse_shows_the_values_of_all_runs_at_a_batch_sorted(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {"a": None, "b": None, "c": None}, loss=float, wide=float)
    page = open_page(dashboard.address)
    await_points(page, 6, run="c")
    plot(page, "wide")
    page.mouse.move(*xy(page, 0.5))
    expect(page.locator("#values .place")).to_have_text("batch 3")
    assert shown_values(page) == [["c", "9"], ["b", "6"], ["a", "3"]]
    edge = css_colour(page, "--edge")
    assert edge in colours(plot(page, "wide").screenshot())  # in all charts
    page.mouse.move(2, 2)
    expect(page.locator("#values")).to_be_hidden()
    page.wait_for_function(FRAMES)
    assert edge not in colours(plot(page, "wide").screenshot())


def test_the_raw_value_stands_beside_the_smoothed_one(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 1000, loss=noisy)
    page.mouse.move(*xy(page, 0.5))
    expect(page.locator("#values thead th.number")).to_have_text(["batch", "batch raw"])
    ((name, smoothed, raw),) = shown_values(page)
    assert name == "training"
    assert smoothed != raw
    assert 0.8 < float(smoothed) < 1.2


def test_the_raw_value_of_an_interval_is_its_least_and_its_greatest(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    record(tmp_path / "one.jsonl", 2000, loss=noisy, rate=float)
    dashboard.follow(tmp_path / "one.jsonl", "training")
    page = open_page(dashboard.address)
    expect(page.locator("#strip .badge")).to_have_text("finished")
    assert intervals(page)["width"] == 2
    page.mouse.move(*xy(page, 0.5))
    expect(page.locator("#values .place")).to_have_text(re.compile("^batches [0-9,]+ to [0-9,]+$"))
    first, last = map(
        int,
        re.findall(r"\d+", (page.locator("#values .place").text_content() or "").replace(",", "")),
    )
    assert (first % 2, last) == (1, first + 1)
    ((_, smoothed, raw),) = shown_values(page)
    least, greatest = sorted(map(noisy, (first, last)))
    assert raw == f"{least:#.4g} … {greatest:#.4g}"
    assert "…" not in smoothed


def test_a_value_of_another_batch_than_the_one_of_the_cursor_says_so(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer = trainer_of(dashboard, loss=float)
    evaluator = trainer_of(dashboard, name="test", loss=float)
    trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run(range(7)))
    trainer.run(range(50), max_epoch=2)
    page = open_page(dashboard.address)
    await_points(page, 2, run="test", series="epoch")
    page.locator("#smooth").fill("0")
    page.mouse.move(*xy(page, 0.45))
    expect(page.locator("#values .place")).to_have_text("batch 45")
    assert shown_values(page) == [["training", "45", ""], ["test", "", "7 (batch 50)"]]
    page.mouse.move(*xy(page, 0.5))
    assert shown_values(page) == [["training", "50", ""], ["test", "", "7"]]
    page.get_by_text("Time", exact=True).click()
    page.mouse.move(*xy(page, 0.0))
    page.mouse.move(*xy(page, 0.5))
    ((_, first, *_), *_) = shown_values(page)
    assert "batch" not in first


def test_runs_that_are_not_finite_come_first_in_the_table_at_the_cursor(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for name, value in {"a": 1.0, "b": nan, "c": 2.0}.items():
        record(tmp_path / f"{name}.jsonl", loss=[1.5, 1.5, 1.5, *[value] * 9].__getitem__)
        dashboard.follow(tmp_path / f"{name}.jsonl", name)
    page = open_page(dashboard.address)
    await_points(page, 6, run="c")
    page.mouse.move(*xy(page, 0.7))
    assert shown_values(page) == [["b", "not finite"], ["c", "2"], ["a", "1"]]


def test_arrow_keys_move_the_cursor_and_what_they_find_is_spoken(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 100, loss=float)
    expect(plot(page)).to_have_attribute("aria-label", "loss: training 100")
    plot(page).focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    spoken = page.locator("#spoken")
    expect(spoken).to_have_text("batch 3: training 3")
    page.keyboard.press("Shift+ArrowRight")
    expect(spoken).to_have_text("batch 13: training 13")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(spoken).to_have_text("batch 99: training 99")
    page.keyboard.press("+")
    expect(page.locator("#zoomed")).to_have_text("batches 50 to 100")
    page.keyboard.press("-")
    expect(page.locator("#zoom")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#values")).to_be_hidden()


@contextmanager
def fingers(page: Page) -> Iterator[Callable[..., None]]:
    """Return what puts fingers on the screen, moves them, or lifts all of them: with no place."""
    session = page.context.new_cdp_session(page)
    down: list[bool] = []

    def touch(*at: tuple[float, float]) -> None:
        kind = ("touchMove" if down else "touchStart") if at else "touchEnd"
        down[:] = [True] if at else []
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(at)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    yield touch
    session.detach()


def test_a_finger_shows_values_and_two_fingers_zoom(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 100, loss=float)
    with fingers(page) as touch:
        touch(at := xy(page, 0.4))
        expect(page.locator("#values .place")).to_have_text("batch 40")
        touch((xy(page, 0.6)[0], at[1]))
        expect(page.locator("#values .place")).to_have_text("batch 60")
        touch()
        expect(page.locator("#values")).to_be_visible()  # to be read, the finger being away
        assert not page.locator("#enlarged").is_visible()
        touch(xy(page, 0.3), xy(page, 0.5))
        touch(xy(page, 0.2), xy(page, 0.6))
        touch()
    expect(page.locator("#zoomed")).to_have_text("batches 20 to 60")
    page.get_by_role("button", name="Whole range again").click()
    expect(page.locator("#zoom")).to_be_hidden()


# Zoom


def drag(page: Page, start: float, end: float, metric: str = "loss") -> None:
    page.mouse.move(*xy(page, start, metric))
    page.mouse.down()
    page.mouse.move(*xy(page, (start + end) / 2, metric))
    page.mouse.move(*xy(page, end, metric, up=0.3))
    page.mouse.up()


def test_a_drag_zooms_all_charts_and_a_double_click_goes_back(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 200, loss=float, margin=inverse)
    before = pixels(plot(page, "margin").screenshot())
    drag(page, 0.25, 0.75)
    expect(page.locator("#zoomed")).to_have_text("batches 50 to 150")
    page.mouse.move(2, 2)
    assert (pixels(plot(page, "margin").screenshot()) != before).any()
    page.mouse.dblclick(*xy(page, 0.5))
    expect(page.locator("#zoom")).to_be_hidden()
    assert not page.locator("#enlarged").is_visible()
    page.mouse.move(2, 2)
    assert (pixels(plot(page, "margin").screenshot()) == before).all()


def test_a_zoom_says_how_fine_a_live_run_can_be_seen(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=noisy)
    runner.run(range(8000))
    page = open_page(dashboard.address)
    says(page, "training finished")
    drag(page, 0.25, 0.5)
    expect(page.locator("#zoomed")).to_have_text(
        re.compile(r"^batches 2,000 to 4,000 · no finer than [\d,]+ batches$")
    )


def test_every_value_of_a_recording_is_seen_in_a_zoom(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    record(tmp_path / "one.jsonl", 20_000, loss=lambda n: noisy(n) + n % 2)
    dashboard.follow(tmp_path / "one.jsonl", "training")
    page = open_page(dashboard.address)
    expect(page.locator("#strip .badge")).to_have_text("finished")
    assert intervals(page)["width"] > 1
    with page.expect_response("**/curves?part=*"):
        drag(page, 0.5, 0.52)
    expect(page.locator("#zoomed")).to_have_text("batches 10,000 to 10,400")
    page.locator("#smooth").fill("0")
    page.mouse.move(*xy(page, 0.5))
    expect(page.locator("#values .place")).to_have_text("batch 10,200")
    assert shown_values(page) == [["training", f"{noisy(10_200):#.4g}"]]


def test_a_zoom_between_two_values_of_a_recording_shows_the_line_that_joins_them(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    runner = Runner()

    @runner.on(Event.BATCH)
    def measure(state: State) -> None:
        n = state["n_iters"]
        state["stats"] = {"loss": 1 / n} | ({} if n % 5 else {"rare": float(n)})

    with Record(tmp_path / "one.jsonl").attach_on(runner):
        runner.run(range(6000))
    dashboard.follow(tmp_path / "one.jsonl", "training")
    page = open_page(f"{dashboard.address}#smooth=0&zoom=3002~3003")
    with page.expect_response("**/curves?part=*"):
        expect(page.locator("#strip .badge")).to_have_text("finished")
    assert curve(page, "--series-0", "rare").any()


# Large, and as files


CUT = """(list) => {
    const room = list.getBoundingClientRect();
    const seen = [...list.children].filter((item) => item.getClientRects().length);
    const isCut = (item) => {
        const box = item.getBoundingClientRect();
        return box.right > room.right + 1 || box.bottom > room.bottom + 1 || box.left < room.left;
    };
    return [seen.map((item) => item.lastChild.textContent), seen.filter(isCut).length];
}"""
"""What can be read in the heading of a chart, and how much of that is cut."""


@pytest.mark.parametrize("size", [DESKTOP, {"width": 1000, "height": 700}, PHONE])
def test_no_value_in_the_heading_of_a_chart_is_cut(
    size: dict[str, int], dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for name in ("one", "one.validation", "two", "two.validation"):
        record(tmp_path / f"{name}.jsonl", loss=lambda n: 100.1 + n)
    dashboard.follow(tmp_path)
    page = open_page(dashboard.address)
    page.set_viewport_size(size)  # type: ignore[arg-type]
    plot(page)
    values = chart(page).locator(".heading .legend")
    expect(values.locator("li").first).to_contain_text("106.1")
    texts, n_cut = values.evaluate(CUT)
    assert n_cut == 0
    *shown, last = texts
    assert set(shown) == {"106.1"}
    assert last == ("106.1" if len(texts) == 4 else f"+{4 - len(shown)} more")
    if size == DESKTOP:
        assert len(texts) == 4
        chart(page).hover()  # its tools take room
        expect(values.locator(".more")).to_have_text(re.compile(r"^\+\d more$"))
        assert values.evaluate(CUT)[1] == 0


def test_a_click_enlarges_a_chart_and_escape_leaves(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 100, loss=float)
    small = plot(page).bounding_box()
    page.mouse.click(*xy(page, 0.5))
    dialog = page.get_by_role("dialog", name="loss, enlarged")
    expect(dialog).to_be_visible()
    large = dialog.locator(".plot").bounding_box()
    assert small and large and large["width"] > 1.5 * small["width"]  # noqa: PT018
    page.wait_for_function(FRAMES)
    ink, ground = css_colour(page, "--series-0"), css_colour(page, "--card")
    assert inked(dialog.locator(".plot").screenshot(), ink, ground).any()
    page.mouse.move(large["x"] + large["width"] / 2, large["y"] + large["height"] / 2)
    expect(page.locator("#values")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#values")).to_be_hidden()
    plot(page).focus()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.get_by_role("button", name="close").click()
    expect(dialog).to_be_hidden()


def test_the_values_of_the_runs_that_are_shown_are_saved_as_csv(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {'say "a", b': None, "b": None, "c": None}, loss=float)
    page = open_page(dashboard.address)
    await_points(page, 6, run="c")
    page.get_by_role("button", name="show c").click()
    assert saved(page) == [
        (name, "training", "batch", n, factor * n, factor * n, factor * n)
        for factor, name in ((1, 'say "a", b'), (2, "b"))
        for n in range(1, 7)
    ]


def saved(page: Page) -> list[tuple[Any, ...]]:
    """Save the values of a chart, and return its lines."""
    chart(page).hover()
    with page.expect_download() as download:
        page.get_by_role("button", name="save the values: loss").click()
    assert download.value.suggested_filename == "loss.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    head, *lines = csv.reader(StringIO(text))
    assert head == ["run", "part", "of", "batch", "value", "least", "greatest"]
    return [(*line[:3], int(line[3]), *map(float, line[4:])) for line in lines]


def test_saved_values_are_of_batches_or_epochs_on_any_axis_and_of_the_part_in_a_zoom(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    path = tmp_path / "training.jsonl"
    lines = record(path, 8, loss=float)
    end = json.loads(lines[-2])
    assert end["event"] == "EPOCH_FINISHED"
    lines[-2] = json.dumps(end | {"metrics": {"loss": 0.5}, "results": ["loss"]}) + "\n"
    text = "".join(line.replace('"began"', '"unknown"') for line in lines)
    path.write_text(text, encoding="utf-8")
    dashboard.follow(path, "training")
    page = open_page(dashboard.address)
    await_points(page, 8)
    batches = [("training", "training", "batch", n, n, n, n) for n in range(1, 9)]
    epoch = ("training", "training", "epoch", 8, 0.5, 0.5, 0.5)
    assert saved(page) == [*batches, epoch]
    page.get_by_text("Clock", exact=True).click()
    note = "No time of day is known of these runs."
    expect(plot(page)).to_have_attribute("data-note", note)
    assert saved(page) == [*batches, epoch]
    page.goto(f"{dashboard.address}#zoom=3~5")
    expect(page.locator("#zoomed")).to_have_text("batches 3 to 5")
    assert saved(page) == batches[2:5]


def test_the_values_of_a_part_are_those_that_the_chart_shows(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    record(tmp_path / "one.jsonl", 5000, loss=float)
    dashboard.follow(tmp_path / "one.jsonl", "one")
    trainer = trainer_of(dashboard, name="two", loss=float)  # live: no finer than its intervals
    evaluator = trainer_of(dashboard, name="test", loss=float)
    trainer.on(Event.EPOCH_FINISHED, lambda _: evaluator.run(range(1)))
    trainer.run(range(50), max_epoch=100)
    page = open_page(dashboard.address)
    await_points(page, 100, run="test", series="epoch")
    page.goto(f"{dashboard.address}#zoom=1010~2010")
    with page.expect_response("**/curves?part=*") as details:
        page.reload()
    details.value.finished()
    expect(page.locator("#zoomed")).to_have_text(re.compile("^batches 1,010 to 2,010"))
    plot(page)
    rows = saved(page)
    batches = {(run, part): [] for run, part, *_ in rows}  # type: dict[tuple[str, str], list[int]]
    for run, part, _, batch, *_ in rows:
        batches[run, part].append(batch)
    assert batches["one", "training"] == [*range(1010, 2011)]
    assert batches["two", "test"] == [*range(1050, 2001, 50)]
    two = batches["two", "training"]
    assert two[0] >= 1010
    assert two[-2] < 2010 <= two[-1] or two[-1] == 2010


def test_a_chart_is_saved_as_a_picture_of_twice_the_size(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {"a": None, "b": None}, loss=float)
    page = open_page(dashboard.address)
    await_points(page, 6, run="b")
    chart(page).hover()
    with page.expect_download() as download:
        page.get_by_role("button", name="save the picture: loss").click()
    assert download.value.suggested_filename == "loss.png"
    png = Path(download.value.path()).read_bytes()
    with Image.open(BytesIO(png)) as image:
        assert image.width == 1800
        assert image.height > 840
        below = image.convert("RGB").crop((0, image.height - 30, 1800, image.height))
    assert len(below.getcolors() or []) > 1  # the name of the axis
    wanted = {css_colour(page, name) for name in ("--series-0", "--series-1", "--card", "--ink")}
    assert wanted <= colours(png)


# The horizontal axis


def test_the_axis_is_batches_epochs_time_or_clock(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    page = open_recording(dashboard, open_page, tmp_path, 200, loss=float)
    for name, text in [
        ("Batches", r"batch 200"),
        ("Epochs", r"epoch 1\.00"),
        ("Time", r"after [\d.]+ s"),
        ("Clock", r"\d+ \w+,? \d\d:\d\d:\d\d"),
    ]:
        page.get_by_text(name, exact=True).click()
        expect(page.get_by_role("radio", name=name)).to_be_checked()
        plot(page).focus()
        page.keyboard.press("End")
        expect(page.locator("#values .place")).to_have_text(re.compile(rf"^{text}$"))
        assert shown_values(page) == [["training", "200"]]


def test_the_axis_is_the_time_of_day_of_a_live_run(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, loss=float).run(range(3))
    page = open_page(dashboard.address)
    await_points(page, 3)
    page.get_by_text("Clock", exact=True).click()
    plot(page).focus()
    page.keyboard.press("End")
    place = re.compile(r"^\d+ \w+,? \d\d:\d\d:\d\d$")
    expect(page.locator("#values .place")).to_have_text(place)
    assert shown_values(page) == [["training", "3"]]


def test_only_charts_in_view_are_asked_for(dashboard: Dashboard, open_page: PageOpener) -> None:
    names = [f"m{i:02d}" for i in range(60)]
    values: dict[str, Any] = dict.fromkeys(names, inverse)
    runner = trainer_of(dashboard, **values)
    runner.run(range(10))
    page = open_page(dashboard.address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    plot(page, "m00")
    expect(page.locator(".chart")).to_have_count(60)
    wanted = {
        one.split(".")[1]
        for url in asked
        if "curves?" in url
        for one in url.split("=")[1].split(",")
    }
    assert 2 <= len(wanted) <= 12
    plot(page, "m59")
    page.wait_for_function("() => document.querySelector('[data-metric=m59] .base').width > 0")
    assert page.evaluate("document.querySelector('[data-metric=m00] .base').width") == 0


def test_metrics_are_searched_by_pattern_and_groups_fold(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    layers = [f"layers/w{i}" for i in range(12)]
    names = ["loss", "accuracy", "system/x", "norm/a", "norm/b", *layers]
    values: dict[str, Any] = dict.fromkeys(names, inverse)
    runner = trainer_of(dashboard, **values)
    runner.run(range(10))
    page = open_page(dashboard.address)
    groups = page.locator(".group")
    expect(groups.locator("h2")).to_have_text(["metrics", "norm", "layers", "system"])
    folded = page.locator("[data-group=layers]")
    expect(folded.locator("summary")).to_have_text("layers12")
    expect(page.locator(".chart h3")).to_have_text(
        ["loss", "accuracy", "norm/a", "norm/b", "system/x"]
    )
    folded.locator("summary").click()
    expect(folded.locator(".chart")).to_have_count(12)
    folded.locator("summary").click()
    expect(folded.locator(".chart")).to_have_count(0)

    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("w[12]$|^loss")
    expect(page.locator(".chart h3")).to_have_text(["loss", "layers/w1", "layers/w2"])
    page.locator("#search").fill("w[")  # no pattern: plain text
    expect(page.locator("#no-metrics")).to_have_text("No metric is found.")
    page.locator("#search").fill("")
    expect(groups.locator("h2")).to_have_text(["metrics", "norm", "layers", "system"])
