"""`Chart`: what is sent to the notebook, and how a browser draws it."""

import json
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("anywidget")

from helpers.browser import browser, playwright
from helpers.events import n_handlers, stop_at
from helpers.extras import torch
from rnnr import Event, Runner, State
from rnnr.attachments import Control, MeanReducer
from rnnr.callbacks import evaluate
from rnnr.notebook import Chart, _chart
from rnnr.notebook._widget import Widget

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["browser", "playwright"]


def charted(*keys: str, seconds: float = 1e-9, **stats: Any) -> tuple[Runner, Chart]:
    """Return a runner whose batches are its losses, and its chart."""
    runner, chart = Runner(), Chart(*keys, seconds=seconds)

    @runner.on(Event.BATCH)
    def train(state: State) -> None:
        state["stats"] = {"loss": state["batch"], **stats}

    chart.attach_on(runner)
    return runner, chart


def curves(chart: Chart) -> dict[tuple[str, str], list[list[float | None]]]:
    json.dumps(chart.widget.curves, allow_nan=False)  # as it is sent
    return {(one["of"], one["name"]): one["rows"] for one in chart.widget.curves}


def test_it_has_a_curve_for_each_metric_of_batches_and_of_epochs() -> None:
    runner, chart = charted("lr", accuracy=0.5)
    runner.on(Event.BATCH, lambda state: state.update(lr=0.1))
    MeanReducer("mean", value="batch").attach_on(runner)
    runner.run([1.0, 3.0], max_epoch=2)
    found = curves(chart)
    assert list(found) == [
        ("batch", "loss"),
        ("batch", "accuracy"),
        ("batch", "lr"),
        ("epoch", "lr"),
        ("epoch", "mean"),
    ]
    assert found["batch", "loss"] == [[n, v, v, v] for n, v in enumerate([1.0, 3.0] * 2, 1)]
    assert found["epoch", "mean"] == [[2, 2.0, 2.0, 2.0], [4, 2.0, 2.0, 2.0]]
    assert chart.widget.status == "finished · epoch 2 of 2 · 4 batches"


def test_every_batch_is_in_the_curve_however_seldom_it_is_sent() -> None:
    runner, chart = charted(seconds=1e6)
    sent = []
    chart.widget.observe(lambda change: sent.append(change), "curves")
    runner.run([0.0] * 1000 + [99.0] + [0.0] * 1000)
    assert len(sent) <= 4  # the first batch, the epoch, the end
    rows = curves(chart)["batch", "loss"]
    assert len(rows) <= 301
    assert max(greatest for _, _, _, greatest in rows if greatest is not None) == 99.0
    assert rows[-1][0] == 2001


def test_values_that_are_not_finite_are_gaps_and_counted() -> None:
    runner, chart = charted()
    runner.run([1.0, math.nan, math.inf, 2.0])
    assert curves(chart)["batch", "loss"][1] == [2, None, None, None]
    [curve] = chart.widget.curves
    assert curve["notFinite"] == 2


def test_tensors_are_in_it_too() -> None:
    runner, chart = charted()
    runner.run([torch.tensor(0.5), torch.tensor(0.25)])
    assert [row[1] for row in curves(chart)["batch", "loss"]] == [0.5, 0.25]


def test_a_second_run_begins_with_no_curves_and_a_resumed_one_goes_on() -> None:
    runner, chart = charted()
    stop_at(runner, 2)
    runner.run([5.0, 4.0, 3.0])
    assert chart.widget.status == "stopped · epoch 1 of 1 · 2 batches"
    runner.resume()
    assert [row[:2] for row in curves(chart)["batch", "loss"]] == [[1, 5.0], [2, 4.0], [3, 3.0]]
    runner.run([1.0])
    assert curves(chart) == {("batch", "loss"): [[1, 1.0, 1.0, 1.0]]}


def test_a_run_that_was_set_back_loses_what_is_beyond() -> None:
    runner, chart = charted()
    runner.run([1.0, 2.0, 3.0])
    runner.state.update(n_iters=1, epoch=1, running=True)
    runner.state["_epoch"] = {"_open": True, "_first_iter": 0}
    runner.resume()
    assert [row[0] for row in curves(chart)["batch", "loss"]] == [1, 2, 3]


def test_the_results_of_an_evaluation_are_of_the_epoch() -> None:
    runner, chart = charted()
    evaluator = Runner()
    MeanReducer("loss", value="batch").attach_on(evaluator)
    runner.on(Event.EPOCH_FINISHED, evaluate(evaluator, [7.0], prefix="valid_"))
    runner.run([1.0])
    assert curves(chart)["epoch", "valid_loss"] == [[1, 7.0, 7.0, 7.0]]


def test_it_says_who_has_stopped_the_run() -> None:
    runner, chart = charted()
    control = Control()
    control.attach_on(runner)
    runner.on(Event.BATCH.once(), lambda _: control.stop())
    runner.run([1.0, 2.0, 3.0])
    assert chart.widget.status.startswith("stopped by Control · ")


def test_a_batch_that_stopped_the_run_is_in_the_curve_between_two_updates() -> None:
    runner, chart = charted(seconds=60)
    stop_at(runner, 5)
    runner.run([float(n) for n in range(1, 9)])
    runner.resume()
    assert [row[0] for row in curves(chart)["batch", "loss"]] == [*range(1, 9)]


def test_a_run_inside_is_left_out() -> None:
    runner, chart = charted()
    inner = Runner()
    inner.on(Event.BATCH, lambda state: state.update(stats={"inner": 1.0}))
    chart.attach_on(inner)
    runner.on(Event.EPOCH_FINISHED, lambda _: inner.run([1, 2]))
    runner.run([1.0, 2.0], max_epoch=2)
    assert [row[0] for row in curves(chart)["batch", "loss"]] == [1, 2, 3, 4]
    assert ("batch", "inner") not in curves(chart)


def test_no_more_curves_than_a_page_can_show() -> None:
    runner, chart = charted(**{f"metric {n}": n for n in range(100)})
    MeanReducer("mean", value="batch").attach_on(runner)
    runner.run([1.0])
    assert len(chart.widget.curves) == 40


def test_it_leaves_nothing_behind_when_it_is_detached() -> None:
    runner = Runner()
    before = n_handlers(runner)
    attached = Chart().attach_on(runner)
    assert n_handlers(runner) > before
    attached.dispose()
    assert n_handlers(runner) == before


def test_a_chart_that_cannot_be_sent_breaks_no_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the kernel has lost its connection")

    runner, chart = charted()
    monkeypatch.setattr(chart.widget, "send_state", fail)
    with caplog.at_level(logging.ERROR, "rnnr.isolation"):
        runner.run([1.0, 2.0])
    assert runner.state["n_iters"] == 2


def test_a_notebook_shows_the_widget() -> None:
    data, *_ = Chart()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data


@pytest.mark.parametrize(
    ("misuse", "error", "match"),
    [
        (lambda: Chart(seconds="1"), TypeError, "seconds must be a finite number above 0, got '1'"),  # type: ignore[arg-type]
        (lambda: Chart(seconds=0), ValueError, "seconds must be a finite number above 0, got 0"),
        (lambda: Chart(seconds=math.nan), ValueError, "; write for example seconds=0.5"),
        (lambda: Chart(3), TypeError, "a key of reports must be a string"),  # type: ignore[arg-type]
        (lambda: Chart("epoch"), ValueError, "the key of a metric"),
        (lambda: Chart().attach_on(3), TypeError, "runner must be a Runner"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_at_once(misuse: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        misuse()


def test_without_anywidget_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_chart, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="install it with: pip install anywidget"):
        Chart()


# What a browser makes of it: the module as it is, with a model as a notebook has it.

MODEL = """([source, state]) => {
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    return import(url).then(({ default: { render } }) => {
        const listeners = new Map();
        window.model = {
            get: (name) => state[name],
            on: (name, call) => listeners.set(name, call),
            off: (name) => listeners.delete(name),
            set: (changes) => {
                Object.assign(state, changes);
                for (const name of Object.keys(changes)) listeners.get(`change:${name}`)?.();
            },
            listeners,
        };
        window.end = render({ model: window.model, el: document.body });
    });
}"""


def state_of(chart: Chart) -> dict[str, Any]:
    return {"curves": chart.widget.curves, "status": chart.widget.status}


@pytest.fixture
def page(browser: "BrowserContext") -> Iterator["Page"]:
    page, errors = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def shown(page: "Page", chart: Chart) -> None:
    page.evaluate(MODEL, [Widget._esm, state_of(chart)])


def test_the_curves_move_in_place(page: "Page") -> None:
    runner, chart = charted()
    shown(page, chart)
    assert page.locator("svg").count() == 0
    assert page.locator("body").inner_text().strip() == "waiting for the run to begin"
    paths = []
    for losses in ([3.0], [3.0, 2.0], [3.0, 2.0, 1.0]):
        runner.run(losses)
        page.evaluate("(state) => window.model.set(state)", state_of(chart))
        page.evaluate("() => { window.first ??= document.querySelector('svg'); }")
        assert page.evaluate("() => window.first === document.querySelector('svg')")
        paths.append(page.locator("svg path[stroke-width]").first.get_attribute("d"))
    assert [path and path.count("L") for path in paths] == [0, 1, 2]
    assert page.locator("svg").first.get_attribute("aria-label") == "loss: loss 1"
    assert page.locator("body div").first.inner_text() == "finished · epoch 1 of 1 · 3 batches"


def test_what_belongs_together_is_in_one_panel(page: "Page") -> None:
    runner, chart = charted(**{"accuracy": 0.5, "train/accuracy": 0.6})
    MeanReducer("valid_loss", value="batch").attach_on(runner)
    runner.run([1.0, 2.0])
    shown(page, chart)
    labels = [one.get_attribute("aria-label") for one in page.locator("svg").all()]
    assert labels == [
        "loss: loss 2   valid_loss (epochs) 1.5",
        "accuracy: accuracy 0.5   train/accuracy 0.6",
    ]


def test_odd_values_are_drawn_inside_the_box(page: "Page") -> None:
    values = [1e308, -1e308, math.nan, 0.0, math.inf, 5e-324]
    runner, chart = charted()
    runner.run(values)
    shown(page, chart)
    path = page.locator("svg path[stroke-width]").first.get_attribute("d") or ""
    assert "NaN" not in path
    assert "Infinity" not in path
    numbers = [
        float(each)
        for each in path.replace("M", " ").replace("L", " ").replace("h0.01", "").split()
    ]
    assert all(0 <= number <= 400 for number in numbers)
    assert "2 not finite" in (page.locator("svg").first.get_attribute("aria-label") or "")


def test_names_are_text_and_no_markup(page: "Page") -> None:
    runner, chart = charted(**{"<img src=x onerror=alert(1)>": 1.0})
    runner.run([1.0])
    shown(page, chart)
    assert page.locator("img").count() == 0


def test_a_new_run_removes_the_panels_of_the_old_one_and_the_end_lets_go(page: "Page") -> None:
    runner, chart = charted(accuracy=0.5)
    runner.run([1.0])
    shown(page, chart)
    assert page.locator("svg").count() == 2
    other, second = charted()
    other.run([1.0])
    page.evaluate("(state) => window.model.set(state)", state_of(second))
    assert page.locator("svg").count() == 1
    page.evaluate("() => window.end()")
    assert page.evaluate("() => window.model.listeners.size") == 0
