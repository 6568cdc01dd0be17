"""The page in a real browser, with names, values, clocks and ends that are odd."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("numpy")

from playwright.sync_api import Page, Route, expect

from helpers.browser import PageOpener
from helpers.page import (
    HIDE,
    Submit,
    await_points,
    await_step,
    call,
    card,
    chart,
    curve,
    held,
    inverse,
    plot,
    record,
    show_recordings,
    trainer_of,
)
from rnnr import Event, Runner, State
from rnnr.attachments import MeanReducer
from rnnr.dashboard import Dashboard
from rnnr.recording._format import encode
from rnnr.reporting import Report

# Names


def test_a_run_called_minus_can_be_hidden_in_the_address(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {"-": None, "b": None}, loss=float)
    page = open_page(dashboard.address)
    await_points(page, 6, run="b")
    page.get_by_role("button", name="show -", exact=True).click()
    page.wait_for_function("() => location.hash === '#hide=%2D'")
    other = open_page(page.evaluate("location.href"))
    await_points(other, 6, run="b")
    expect(other.locator("#n-runs")).to_have_text("1 of 2")


def test_names_that_are_no_text_stay_in_the_address(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, loss=inverse).run(range(3))
    page = open_page(dashboard.address)
    settings = f"import('{dashboard.address}page/settings.js')"
    page.evaluate(f"{settings}.then(({{ change }}) => change({{ log: ['\\ud800x'], hide: [''] }}))")
    page.wait_for_function("() => location.hash === '#log=%uD800x&hide=,'")
    other = open_page(page.evaluate("location.href"))
    await_points(other, 3)
    read = "({ settings: { log, hide } }) => log[0] === '\\ud800x' && hide.join() === ''"
    assert other.evaluate(f"{settings}.then({read})")


def test_each_digit_of_an_integer_of_the_configuration_is_shown(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    config = {"seed": 20231127, "n_params": 124439808, "lr": 0.1 + 0.2}
    dashboard.attach_on(Runner(), config=config, system=False)
    runner = Runner()
    dashboard.attach_on(runner, name="another", config=config, system=False)
    runner.run("ab")
    page = open_page(dashboard.address)
    shown = page.locator("#strip .run", has_text="another").locator("dd")
    expect(shown).to_have_text(["20231127", "124439808", "0.3"])


@pytest.mark.parametrize(
    ("metric", "is_upward"),
    [
        ("acc", True),
        ("val_acc", True),
        ("top5acc", True),
        ("eval/mean_reward", True),
        ("mAP@50", True),
        ("f1-score", True),
        ("approx_kl", False),
        ("mapped.loss", False),
        ("accumulated", False),
        ("loss", False),
    ],
)
def test_whole_words_tell_whether_the_greatest_is_the_best(
    metric: str, is_upward: bool, blank: Page
) -> None:
    assert call(blank, "metrics", "isUpward", metric) == is_upward


# Places on the axis


PLACES: list[tuple[list[list[int]], int | None, int, float]] = [
    ([[500, 5], [600, 6]], None, 401, 4.01),
    ([[500, 5], [600, 6]], None, 450, 4.5),
    ([[500, 5]], 100, 450, 4.5),
    ([[500, 5]], None, 450, 4.5),
    ([[30, 1], [60, 2]], 30, 15, 0.5),
    ([[130, 1], [160, 2]], 30, 65, 0.5),
]
"""Ends of epochs, batches of an epoch, a batch, and its place among the epochs."""


def test_a_batch_of_a_run_that_was_resumed_has_its_place_among_the_epochs(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    dashboard.attach_on(Runner())
    page = open_page(f"{dashboard.address}#x=epochs")
    for epochs, n_batches, step, at in PLACES:
        lead = {"epochs": epochs, "n_batches": n_batches, "n_iters": epochs[-1][0], "clock": []}
        assert call(page, "axis", "xAt", lead, step) == pytest.approx(at)


def test_a_curve_does_not_go_back_when_the_clock_does(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    dashboard.attach_on(Runner())
    page = open_page(f"{dashboard.address}#x=time")
    clock = [[0, 0], [1000, 1000], [1001, 301], [1200, 500], [2000, 1300]]
    steps = [500, 1000, 1001, 1100, 1200, 2000]
    lead = {"clock": clock, "began": 0}
    assert call(page, "axis", "positions", lead, steps, 6) == [500, 1000, 1000, 1000, 1000, 1300]


@pytest.mark.parametrize(("at", "index"), [(0.4, 0), (90, 89), (90.5, 89), (824, -1), (45, 44)])
def test_no_value_is_told_beyond_the_ends_of_a_curve(at: float, index: int, blank: Page) -> None:
    steps = list(range(1, 91))
    series = {"x": steps, "step": steps, "n": 90, "width": 1}
    assert call(blank, "series", "nearest", series, at) == index


def test_values_of_batches_and_of_epochs_have_a_column_each(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    for name in "ab":
        runner = trainer_of(dashboard, name=name, loss=float)
        MeanReducer("loss").attach_on(runner)
        with runner.on(Event.BATCH, lambda state: state.update(output=100.0)):
            runner.run(range(5), 2)
    page = open_page(dashboard.address)
    await_points(page, 10, run="b")
    plot(page).focus()
    page.keyboard.press("End")
    expect(page.locator("#values thead th.number")).to_have_text(["training", "training epoch"])
    for line in page.locator("#values tbody tr").all():
        expect(line.locator("td")).to_have_text(["10", "100"])


# Values


def great(n: int) -> float:
    """Return a constant near the greatest number."""
    return 1e308


def far(n: int) -> float:
    """Return two values in turn that are further apart than the greatest number."""
    return -1e308 if n % 2 else 1e308


def small(n: int) -> float:
    """Return zero and the least number above it in turn."""
    return 5e-324 * (n % 2)


def test_values_at_the_limits_of_numbers_are_drawn(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, great=great, far=far, small=small).run(range(3000))
    page = open_page(dashboard.address)
    for metric in ("great", "far", "small"):
        assert curve(page, "--series-0", metric).any(), metric
        expect(chart(page, metric).locator(".plot")).to_have_attribute("data-note", "")


def with_bad(route: Route) -> None:
    """Answer as the server, but tell of values that are not finite at a batch."""
    response = route.fetch()
    body = response.body()
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + length])
    for one in head["curves"]:
        one["bad"] = [30]
    text = json.dumps(head).encode()
    text += b" " * (-(4 + len(text)) % 8)
    route.fulfill(response=response, body=struct.pack("<I", len(text)) + text + body[4 + length :])


def test_what_is_not_finite_beside_finite_values_has_a_mark(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, loss=inverse).run(range(60))
    page = open_page(dashboard.address)
    await_points(page, 60)
    assert not curve(page, "--bad").any()
    page.route("**/curves?want=*", with_bad)
    page.reload()
    await_points(page, 60)
    assert curve(page, "--bad").any()


# Runs


def test_a_run_inside_a_run_inside_a_run_shares_its_row(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runners = {name: Runner() for name in ("outer", "training", "validation")}
    for name, runner in runners.items():
        dashboard.attach_on(runner, name=name, system=False)
    outer, training, validation = runners.values()
    with training.on(Event.EPOCH_FINISHED, lambda state: validation.run([1])):
        training.run([1, 2])
    outer.on(Event.BATCH, lambda state: training.run([1, 2]))
    outer.run([1, 2])
    page = open_page(dashboard.address)
    expect(page.locator("#strip .run h2 bdi")).to_have_text(list(runners))


def detail_until(page: Page, address: str, step: int) -> Any:
    """Wait until the page has every value of the part that is shown, up to a batch."""
    return page.evaluate(
        """async ([address, step]) => {
            const { detailOf } = await import(`${address}page/curves.js`);
            const { store } = await import(`${address}page/store.js`);
            for (let i = 0; i < 200; i += 1) {
                const detail = detailOf(store.metrics.get("loss")?.[0] ?? {});
                if (detail?.step[detail.n - 1] >= step) return true;
                await new Promise((go) => setTimeout(go, 100));
            }
            return false;
        }""",
        [address, step],
    )


def test_a_recording_that_grows_is_seen_to_its_end_in_a_zoom_also_after_a_failure(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    lines = record(tmp_path / "whole.jsonl", 6000, loss=inverse)
    growing = tmp_path / "growing.jsonl"
    growing.write_text("".join(lines[:4000]), encoding="utf-8")
    dashboard.follow(growing, "training")
    page = open_page(f"{dashboard.address}#zoom=3000~6000", may_complain=True)
    page.route("**/curves?part=*", lambda route: route.abort(), times=1)
    assert detail_until(page, dashboard.address, 3900)
    with growing.open("a", encoding="utf-8") as file:
        file.writelines(lines[4000:])
    assert detail_until(page, dashboard.address, 6000)


def test_a_zoom_by_the_clock_is_as_fine_as_by_batches_beside_runs_of_other_days(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    n_lines, first = 30_000, 1_700_000_000.0
    for name, began in (("training", first), ("the day before", first - 86_400)):
        with (tmp_path / name).open("wb") as file:
            file.write(encode(Report(Event.STARTED, 0, 1, 0, 0.0, {}, began=began)))
            for n in range(1, n_lines + 1):
                file.write(encode(Report(Event.BATCH, 1, 1, n, n / 10, {"loss": 1 / n}, step=n)))
        dashboard.follow(tmp_path / name, name)
    page = open_page(f"{dashboard.address}#x=clock&zoom={first + 1000}~{first + 1100}")
    assert detail_until(page, dashboard.address, 11_000)
    expect(page.locator("#zoomed")).not_to_contain_text("no finer")


def test_a_zoom_shows_what_a_run_that_was_set_back_has_done_again(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    record(path, 6000, loss=inverse)
    dashboard.follow(path, "training")
    page = open_page(f"{dashboard.address}#zoom=3000~4000&smooth=0")
    assert detail_until(page, dashboard.address, 4000)
    page.evaluate(HIDE, True)
    with path.open("ab") as file:
        file.write(encode(Report(Event.RESUMED, 1, 1, 3000, 9.0, {}, step=3000)))
        for n in range(3001, 6501):
            file.write(encode(Report(Event.BATCH, 1, 1, n, 9.0, {"loss": 7.0}, step=n)))
    await_step(open_page(dashboard.address), 6500)
    page.evaluate(HIDE, False)
    await_step(page, 6500)
    plot(page).focus()
    page.keyboard.press("End")
    expect(page.locator("#values tbody td")).to_have_text("7")


def test_a_metric_of_the_last_batch_has_its_chart(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    runner = trainer_of(dashboard, loss=inverse)

    @runner.on(Event.FINISHED)
    def close(state: State) -> None:
        dashboard.close()

    @runner.on(Event.BATCH)
    def add(state: State) -> None:
        if state["n_iters"] == 4:
            state["stats"]["test_acc"] = 0.5

    page = open_page(dashboard.address, may_complain=True)
    dashboard.control.pause()
    run = in_background(runner.run, range(4))
    held(dashboard, 2)
    await_points(page, 3)
    dashboard.control.unpause()
    run.result(60)
    expect(chart(page, "test_acc")).to_be_visible()


def test_the_title_and_the_card_say_when_nobody_answers(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit
) -> None:
    def add_what_a_running_run_has(route: Route) -> None:
        answer = route.fetch().json()
        for each in answer["runs"]:
            each |= {"status": "running", "seconds_left": 60.0, "batches_per_second": 2.0}
        route.fulfill(json=answer)

    runner = trainer_of(dashboard, loss=inverse)
    page = open_page(dashboard.address, may_complain=True)
    dashboard.control.pause()
    run = in_background(runner.run, range(4))
    held(dashboard, 1)
    page.route("**/data*", add_what_a_running_run_has)
    page.reload()
    expect(page).to_have_title("50 % · training · rnnr")
    facts = card(page).locator(".facts")
    expect(facts).to_contain_text("2.0 batches/s")
    expect(facts).to_contain_text("about 1 min 0 s left")
    page.route("**/data*", lambda route: route.abort())
    expect(page).to_have_title("no answer · training · rnnr")
    badge = card(page).locator(".badge")
    expect(badge).to_have_text("no answer")
    expect(facts).to_have_text(re.compile(r"^epoch 1 of 1 · batch 2 of 4 · [\d.]+ s elapsed$"))
    page.unroute("**/data*")
    expect(page).to_have_title("50 % · training · rnnr")
    expect(badge).to_have_text("running")
    dashboard.control.unpause()
    run.result(60)
