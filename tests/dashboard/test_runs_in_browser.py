"""The runs on the page in a real browser: how far they are, how they are picked and compared."""

import os
import re
import sys
from collections.abc import Collection, Iterator
from functools import partial
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("numpy")

from playwright.sync_api import Page, expect

from helpers.browser import PageOpener, close_at_once
from helpers.page import (
    FRAMES,
    GUARD,
    LEFT,
    Submit,
    await_points,
    call,
    card,
    css_colour,
    curve,
    held,
    inked,
    inverse,
    plot,
    points,
    press_stop,
    record,
    row,
    says,
    show_recordings,
    times,
    trainer_of,
)
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard

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
    "status": "running",
    "epoch": 3,
    "max_epoch": 10,
    "n_iters": 1242,
    "batch": 42,
    "n_batches": 100,
    "fraction": 0.342,
    "seconds": 1.0,
    "seconds_left": None,
    "batches_per_second": None,
    "silent": 0.0,
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
    "somebody who has stopped it": (
        {"status": "stopped", "stopped_by": "SIGTERM"},
        "epoch 3 of 10 · 1,242 batches · 1.0 s elapsed · stopped by SIGTERM",
    ),
    "an end": (
        {"status": "stopped", "seconds": 9.96},
        "epoch 3 of 10 · 1,242 batches · 10 s elapsed",
    ),
}


@pytest.mark.parametrize(("told", "text"), FACTS.values(), ids=FACTS)
def test_the_facts_of_a_run_are_written_for_people(
    told: dict[str, Any], text: str, blank: Page
) -> None:
    assert " · ".join(call(blank, "facts", "facts", RUN | told)) == text


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
    press_stop(page)
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


def test_a_run_and_its_configuration_stand_in_a_strip(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = Runner()
    config = {"lr": 0.003, "optimizer": {"name": "adam"}, "<b>": None, "deep": True}
    dashboard.attach_on(runner, config=config)
    runner.run(range(3))
    page = open_page(dashboard.address)
    entries = page.locator("#strip .config div")
    expect(entries).to_have_text(["lr0.003", "optimizer.nameadam", "<b>None", "deepTrue"])


# Several runs: the table


CONFIGS = {
    "a": {"lr": 0.001, "optimizer": "adam", "seed": 7, "net": {"depth": 2}},
    "b": {"lr": 0.1, "optimizer": "sgd", "seed": 7, "net": {"depth": 2}},
    "c": {"lr": 0.01, "optimizer": "adam", "seed": 7, "net": {"depth": 2}},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a page with three recordings, each with a greater loss than the one before."""
    dashboard = Dashboard()
    folder = tmp_path_factory.mktemp("three")
    show_recordings(dashboard, folder, CONFIGS, loss=float, accuracy=lambda n: n / 100)
    yield dashboard.address
    close_at_once(dashboard)


@pytest.fixture
def three(shared: str, open_page: PageOpener) -> Page:
    """A page with these three recordings."""
    page = open_page(shared)
    await_points(page, 6, run="c")
    return page


def names(page: Page) -> list[str]:
    """Return the names of the rows, in order."""
    page.wait_for_function(FRAMES)
    return page.locator("#rows tr th bdi").all_text_contents()


def inks(page: Page, metric: str = "loss") -> list[bool]:
    """Return for each of the first three hues whether a chart has it."""
    page.mouse.move(2, 2)
    return [bool(curve(page, f"--series-{i}", metric).any()) for i in range(3)]


def test_the_table_has_a_row_for_each_run_the_best_first(three: Page) -> None:
    says(three, "3 finished")
    assert names(three) == ["c", "b", "a"]  # by the best accuracy
    heads = three.locator("#heads button")
    expect(heads).to_have_text(["Run", "accuracy best↓", "loss last"])
    assert row(three, "c").locator("td").all_text_contents()[2:] == ["0.1800", "18"]
    assert row(three, "c").locator(".best").all_text_contents() == ["0.1800"]
    assert row(three, "a").locator(".best").all_text_contents() == ["6"]
    expect(three.locator("#n-runs")).to_have_text("3 of 3")
    assert inks(three) == [True, True, True]


def test_a_press_on_a_heading_sorts_and_another_turns_the_order(three: Page) -> None:
    three.get_by_role("button", name="loss last").click()
    assert names(three) == ["a", "b", "c"]
    three.get_by_role("button", name="loss last").click()
    assert names(three) == ["c", "b", "a"]
    expect(three.locator("#heads [aria-sort]")).to_have_attribute("aria-sort", "descending")
    three.locator("#heads th").nth(2).click(position={"x": 3, "y": 3})  # beside the text
    assert names(three) == ["a", "b", "c"]
    three.locator("#heads th").nth(2).click(position={"x": 3, "y": 3})
    three.get_by_role("button", name="All columns").click()
    heads = three.locator("#heads button bdi")
    expect(heads).to_have_text(["Run", "accuracy", "loss", "Batch", "Time", "lr", "optimizer"])
    three.get_by_role("button", name="lr", exact=True).click()
    assert names(three) == ["a", "c", "b"]
    three.get_by_role("button", name="Less").click()
    expect(heads).to_have_text(["Run", "accuracy", "loss", "lr"])  # by which it is sorted


def test_what_is_not_a_number_is_sorted_last(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for name, value in {"a": nan, "b": 2.0, "c": inf, "d": 1.0}.items():
        record(tmp_path / f"{name}.jsonl", loss=times(lambda _: 1.0, value))
        dashboard.follow(tmp_path / f"{name}.jsonl", name)
    page = open_page(dashboard.address)
    await_points(page, 6, run="d")
    page.get_by_role("button", name="All columns").click()
    page.get_by_role("button", name="loss best").click()
    page.get_by_role("button", name="loss best").click()
    assert set(names(page)[2:]) == {"a", "c"} or names(page)[-1] == "a"
    assert names(page)[:2] == ["d", "b"]


FILTERS = {
    "lr>0.001": ["c", "b"],
    "lr<=0.01 optimizer=adam": ["c", "a"],
    "optimizer!=adam": ["b"],
    "optimizer>b": ["b"],
    "optimizer>0.5": [],
    "lr=0.1": ["b"],
    "finish": ["c", "b", "a"],
    "B": ["b"],
    "nobody": [],
    "lr > 0.001": ["c", "b"],
    "^[ab]$": ["b", "a"],
    "!b": ["c", "a"],
    "!lr=0.1 !a": ["c"],
    "loss>6": ["c", "b"],
    "accuracy >= 0.18": ["c"],
    "nan": [],
    "no end": [],
    "weight>3": [],
}


def test_runs_are_filtered_by_words_and_by_their_configuration(three: Page) -> None:
    for text, left in FILTERS.items():
        three.locator("#filter").fill(text)
        assert (text, names(three)) == (text, left)
        expect(three.locator("#n-runs")).to_have_text(f"{len(left)} of 3")


@pytest.mark.parametrize("text", ["lr>0.001", "^[ab]$", "nobody"])
def test_charts_show_the_runs_that_a_filter_leaves(text: str, three: Page) -> None:
    three.locator("#filter").fill(text)
    assert inks(three) == [name in FILTERS[text] for name in "abc"]


def test_only_numbers_are_greater_than_a_number(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    values = [0.1, 1, 2**60, inf, nan, "x", True, None, "", [9], "-7"]
    configs = {f"{value!r}".strip("'[]") + " is lr": {"lr": value} for value in values}
    show_recordings(dashboard, tmp_path, configs, loss=inverse)
    page = open_page(dashboard.address)
    expect(page.locator("#n-runs")).to_have_text("11 of 11")
    page.locator("#filter").fill("lr>0.5")
    assert {*names(page)} == {"1 is lr", f"{2**60} is lr", "inf is lr"}


def test_a_filter_is_read_as_people_write_it(three: Page) -> None:
    found = {
        "accuracy best>=0.18": ["c"],
        "accuracy · training best>=0.18": ["c"],
        "adam": ["c", "a"],
        "!SGD": ["c", "a"],
        "0.1": ["b"],
        "ad.*": ["c", "a"],
        "depth=2 !b": ["c", "a"],
        "lr<": ["c", "b", "a"],
        "lr!": ["c", "b", "a"],
        "b lr>=": ["b"],
        "lr< optimizer = sgd": ["b"],
        "loss> !b": ["c", "a"],
    }
    for text, left in found.items():
        three.locator("#filter").fill(text)
        assert names(three) == left


def test_a_filter_that_names_nothing_says_so(three: Page) -> None:
    three.locator("#filter").fill("foo>1")
    expect(three.locator("#no-runs")).to_have_text('no entry or metric named "foo"')
    three.locator("#filter").fill("nobody")
    expect(three.locator("#no-runs")).to_have_text("No run is found.")
    three.locator("#filter").fill("lr <")
    expect(three.locator("#no-runs")).to_have_text('"lr<" is incomplete')
    three.locator("#filter").fill("")
    expect(three.locator("#no-runs")).to_be_hidden()


def test_the_last_part_of_a_name_is_enough_if_one_entry_has_it(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    configs = {
        name: {"model": {"width": width, "depth": 2}, "head": {"depth": 1}}
        for name, width in {"thin": 8, "wide": 64}.items()
    }
    show_recordings(dashboard, tmp_path, configs, loss=float)
    page = open_page(dashboard.address)
    await_points(page, 6, run="wide")
    page.locator("#filter").fill("width=64")
    assert names(page) == ["wide"]
    expect(page.locator("#heads button bdi").last).to_have_text("model.width")
    page.locator("#filter").fill("depth>0")
    assert names(page) == []
    note = page.locator("#no-runs")
    expect(note).to_have_text('"depth" may be model.depth or head.depth')


def test_a_filter_takes_the_value_and_the_part_that_the_column_shows(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    for name, best in {"a": 0.5, "b": 0.9}.items():
        record(tmp_path / f"{name}.jsonl", accuracy=lambda _: 1.0)
        falling = partial(_falling, best)
        record(tmp_path / f"{name}.test.jsonl", accuracy=falling, error=falling)
    dashboard.follow(tmp_path)
    page = open_page(dashboard.address)
    await_points(page, 6, "accuracy", run="b")
    expect(page.locator("#heads button").nth(1)).to_have_text("accuracy ·\u00a0test best↓")
    found = {
        "accuracy>0.8": ["b"],  # the best of the test, which is the first value
        "accuracy · test best>0.8": ["b"],
        "accuracy last>0.8": [],
        "accuracy · test last < 0.1": ["a"],
        "accuracy.training>0.8": ["b", "a"],
        "error<0.1": ["a"],  # the latest
    }
    for text, left in found.items():
        page.locator("#filter").fill(text)
        assert names(page) == left
    page.get_by_role("button", name="accuracy · test best").click()  # turns what is the best
    page.locator("#filter").fill("accuracy<0.1")
    assert names(page) == ["a"]


def _falling(best: float, n: int) -> float:
    return best / n


def test_runs_are_filtered_by_the_status_of_their_training_and_by_nan(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    record(whole, loss=lambda n: nan if n == 3 else 1.0)
    lines = record(cut, loss=inverse)
    cut.write_text("".join(lines[:5]), encoding="utf-8")
    record(tmp_path / "cut.validation.jsonl", loss=inverse)
    os.utime(cut, (0, 0))
    dashboard.follow(tmp_path)
    page = open_page(dashboard.address)
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(row(page, "whole").locator(".state")).to_have_attribute("aria-label", "finished")
    for text, left in {"finished": ["whole"], "!finished": ["cut"], "nan": ["whole"]}.items():
        page.locator("#filter").fill(text)
        assert names(page) == left
    head = page.get_by_role("button", name="loss · validation")
    assert head.count() == 0  # "whole" has no validation
    page.locator("#filter").fill("no end")
    note = row(page, "cut").locator("small")
    expect(note).to_have_text("no end")
    parts = row(page, "cut").locator(".solo, small, th")
    assert (
        parts.evaluate_all("(all) => all.filter((one) => one.scrollWidth > one.clientWidth)") == []
    )


def test_one_failure_among_several_runs_is_folded(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, name="good", loss=inverse).run(range(3))
    runner = trainer_of(dashboard, name="bad", loss=lambda n: 1 / (n - 3))
    with pytest.raises(ZeroDivisionError):
        runner.run(range(3))
    page = open_page(dashboard.address)
    failure = page.locator("#failure")
    expect(failure.locator("summary")).to_have_text("1 run failed: bad")
    expect(failure.locator("pre")).to_be_hidden()
    failure.locator("summary").click()
    expect(failure.locator("pre")).to_be_visible()


def test_only_a_metric_with_a_known_direction_has_a_best_value_until_it_is_sorted_by(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {"a": {"rate": 1}, "b": {"rate": 2}}, rate=float)
    page = open_page(dashboard.address)
    await_points(page, 6, "rate", run="b")
    expect(page.locator("#rows .best")).to_have_count(0)
    head = page.get_by_role("button", name="rate best")
    expect(head).to_have_attribute("title", re.compile("^the least value of rate in the whole run"))
    head.click()
    expect(page.locator("#rows .best")).to_have_count(1)
    page.get_by_role("button", name="All columns").click()
    expect(page.get_by_role("button", name="rate (config)")).to_be_visible()


def test_a_dot_hides_a_run_and_its_name_shows_it_alone(three: Page) -> None:
    dot = three.get_by_role("button", name="show b")
    expect(dot).to_have_attribute("aria-pressed", "true")
    dot.click()
    expect(dot).to_have_attribute("aria-pressed", "false")
    assert inks(three) == [True, False, True]
    expect(three.locator("#n-runs")).to_have_text("2 of 3")
    three.get_by_role("button", name="a", exact=True).click()
    assert inks(three) == [True, False, False]
    three.get_by_role("button", name="a", exact=True).click()
    assert inks(three) == [True, True, True]
    everything = three.get_by_role("checkbox", name="show all runs")
    everything.uncheck()
    assert inks(three) == [False, False, False]
    expect(plot(three)).to_have_attribute("data-note", "No run with this metric is shown.")
    three.get_by_role("button", name="show b").press("Enter")  # by keyboard
    assert inks(three) == [False, True, False]
    everything.check()
    assert inks(three) == [True, True, True]


def test_a_run_is_highlighted_from_the_table_and_from_a_chart(three: Page) -> None:
    row(three, "b").hover()
    expect(three.locator("#charts")).to_have_class(re.compile("faded"))
    three.wait_for_function(FRAMES)
    assert curve(three, "--series-1", "accuracy").any()
    assert not curve(three, "--series-0", "accuracy").any()  # it has faded
    picture = plot(three, "accuracy").screenshot()
    muted, ground = css_colour(three, "--muted"), css_colour(three, "--card")
    assert inked(picture, muted, ground, 0.8)[:, :LEFT].any()  # the numbers of the axis have not
    three.mouse.move(2, 2)
    expect(three.locator("#charts")).not_to_have_class(re.compile("faded"))

    box = plot(three).bounding_box()
    assert box
    three.mouse.move(box["x"] + box["width"] - 14, box["y"] + 20)  # near the end of the highest
    expect(row(three, "c")).to_have_class(re.compile("focus"))
    expect(three.locator("#values .focus bdi")).to_have_text("c")
    three.mouse.click(box["x"] + box["width"] - 14, box["y"] + 20)
    expect(three.locator("#n-runs")).to_have_text("1 of 3")  # a click picks the run that is near
    assert not three.locator("#enlarged").is_visible()
    assert inks(three) == [False, False, True]


def test_a_run_that_is_hidden_under_the_mouse_is_not_highlighted(three: Page) -> None:
    charts = three.locator("#charts")
    dot = three.get_by_role("button", name="show b")
    dot.hover()
    expect(charts).to_have_class(re.compile("faded"))
    dot.click()
    expect(charts).not_to_have_class(re.compile("faded"))
    dot.click()
    expect(charts).to_have_class(re.compile("faded"))


def test_runs_are_coloured_by_an_entry_of_their_configuration(three: Page) -> None:
    select = three.locator("#colour")
    assert select.locator("option").all_text_contents() == ["each run", "lr", "optimizer"]
    select.select_option("optimizer")
    assert inks(three) == [True, True, False]
    expect(three.locator("#scale li")).to_have_text(["adam", "sgd"])
    select.select_option("lr")
    expect(three.locator("#scale")).to_have_text("lr 0.001  0.1 (log)")
    dots = three.locator(".dot").evaluate_all(
        "(dots) => dots.map((dot) => dot.style.getPropertyValue('--hue'))"
    )
    assert len(set(dots)) == 3
    select.select_option("each run")
    expect(three.locator("#scale")).to_be_hidden()


def evaluate(evaluator: Runner, state: State) -> None:
    """Run an evaluation."""
    evaluator.run([1])


def test_more_kinds_than_colours_are_told(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    configs = {f"run {i}": {"optimizer": f"kind {i}"} for i in range(15)}
    show_recordings(dashboard, tmp_path, configs, loss=inverse)
    page = open_page(f"{dashboard.address}#colour=optimizer")
    await_points(page, 6, run="run 14")
    last = page.locator("#scale li").last
    expect(last).to_have_text("and 3 more, in the same colours")


def test_an_evaluation_and_its_training_are_one_row(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    for name in ("first", "second"):
        trainer = trainer_of(dashboard, name=name, loss=lambda n: 2 + 1 / n)
        evaluator = Runner()
        dashboard.attach_on(evaluator, name=f"{name} validation", system=False)

        @evaluator.on(Event.EPOCH_FINISHED)
        def measure(state: State) -> None:
            state["stats"] = {"loss": 1.5}

        trainer.on(Event.EPOCH_FINISHED, partial(evaluate, evaluator))
        trainer.run(range(4), max_epoch=3)
    page = open_page(dashboard.address)
    await_points(page, 12, run="second")
    assert sorted(names(page)) == ["first", "second"]
    assert page.locator("#legend li").count() >= 2
    await_points(page, 3, run="second validation", series="epoch")
    plot(page)
    box = plot(page).bounding_box()
    assert box
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    expect(page.locator("#values tbody tr")).to_have_count(2)
    expect(page.locator("#values thead th")).to_have_count(3)
    expect(page.locator("#heads button").nth(1)).to_have_text("loss · validation best↑")


def test_two_hundred_runs_are_shown(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    lines = record(tmp_path / "one.jsonl", config={"lr": 0.1}, loss=inverse)
    for i in range(200):
        path = tmp_path / f"{i}.jsonl"
        path.write_text(re.sub(r'("lr": ?)0\.1', rf"\g<1>{i}.5", "".join(lines)), encoding="utf-8")
        dashboard.follow(path, f"run {i}")
    page = open_page(dashboard.address)
    expect(page.locator("#n-runs")).to_have_text("200 of 200")
    await_points(page, 6, run="run 199")
    page.locator("#filter").fill("lr>=190")
    expect(page.locator("#rows tr")).to_have_count(10)


# Recordings


def test_recordings_are_shown_side_by_side_and_move_as_they_grow(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    whole, growing = tmp_path / "whole.jsonl", tmp_path / "growing.jsonl"
    record(whole, loss=lambda n: 2 / n)
    lines = record(growing, loss=lambda n: 3 / n)
    growing.write_text("".join(lines[:5])[:-3])  # three batches, of which the last is being written
    dashboard.follow(whole, "whole")
    dashboard.follow(growing, "growing")
    page = open_page(dashboard.address)
    await_points(page, 6, run="whole")
    await_points(page, 2, run="growing")
    says(page, "1 running · 1 finished")
    expect(row(page, "whole").locator(".state")).to_have_attribute("aria-label", "finished")
    expect(row(page, "growing").locator(".state")).to_have_attribute("aria-label", "running")
    expect(page.locator("#controls")).to_be_hidden()
    expect(page.locator("#handlers")).to_be_hidden()
    assert page.get_by_role("heading", name="Log", exact=True).count() == 0

    growing.write_text("".join(lines))
    await_points(page, 6, run="growing")
    assert points(page, run="growing")["batch"]["y"] == [3 / n for n in range(1, 7)]
    assert points(page, run="whole")["batch"]["y"] == [2 / n for n in range(1, 7)]
    expect(row(page, "growing").locator(".state")).to_have_attribute("aria-label", "finished")
    says(page, "2 finished")
