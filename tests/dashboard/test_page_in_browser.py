"""The page as a whole in a real browser: its address, its looks, its reach, and what it costs."""

import logging
import re
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

pytest.importorskip("playwright")
pytest.importorskip("tornado")
pytest.importorskip("PIL")
pytest.importorskip("numpy")

from playwright.sync_api import Locator, Page, expect

from helpers.browser import PageOpener
from helpers.page import (
    FRAMES,
    PHONE,
    Submit,
    await_points,
    colours,
    css_colour,
    curve,
    held,
    inverse,
    plot,
    points,
    record,
    says,
    show_recordings,
    trainer_of,
)
from rnnr import Event, Runner, State
from rnnr.dashboard import Dashboard

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
        dashboard.attach_on(runner, *HOSTILE, name=name, system=False, config={name: name})
        runner.state.update({key: float(i) for i, key in enumerate(HOSTILE)})
        runner.on(Event.BATCH.once(), partial(log_warning, name))
        runner.run(["a batch", "another"])
    text = "".join(HOSTILE)
    with runner.on(Event.FINISHED, partial(fail_with, text)), pytest.raises(RuntimeError):
        runner.run(["a batch", "another"])
    page = open_page(dashboard.address)
    await_points(page, 2, HOSTILE[-1], HOSTILE[-1])

    assert sorted(page.locator("#rows th bdi").all_text_contents()) == sorted(HOSTILE)
    assert sorted(page.locator("#charts h3 bdi").all_text_contents()) == sorted(HOSTILE)
    for metric in HOSTILE:
        for run in HOSTILE:
            at = float(HOSTILE.index(metric))
            assert points(page, metric, run)["batch"] == {"x": [1, 2], "y": [at, at]}
    lines = page.locator("#log li").all_text_contents()
    for line, text in zip(lines, reversed(HOSTILE), strict=True):
        assert line.endswith(f" WARNING {text and text + ' '}{text}") or not text
    assert text in (page.locator("#failure pre").text_content() or "")

    assert page.evaluate("window.harmed") is None
    page_itself = "head script, body script, img, #pause"
    assert page.locator(page_itself).count() == 2  # a script and a button
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# The address, the title


def fragment(page: Page) -> str:
    """Return the settings in the address."""
    return str(page.evaluate("decodeURIComponent(location.hash)"))


def test_all_settings_are_in_the_address_and_come_back_from_it(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    configs = {"a, b": {"lr": 0.1}, "c": {"lr": 0.2}}
    show_recordings(dashboard, tmp_path, configs, **{"loss": float, "x, y": float})
    page = open_page(dashboard.address)
    await_points(page, 6, run="c")
    page.get_by_text("Epochs", exact=True).click()
    page.locator("#smooth").fill("60")
    page.locator("#clip").uncheck()
    page.locator("#size").select_option("large")
    page.locator("#colour").select_option("lr")
    page.get_by_role("button", name="show a, b").click()
    page.get_by_role("button", name="log scale: x, y").click()
    page.get_by_role("button", name="loss last").click()
    page.locator("#search").fill("loss|x")
    page.locator("#filter").fill("lr>0")
    plot(page).focus()
    page.keyboard.press("+")
    page.locator("#theme").click()
    wanted = (
        r"#x=epochs&smooth=0\.6&clip=false&size=large&theme=dark&q=loss\|x&filter=lr>0&colour=lr"
        r"&sort=last:loss ~up&zoom=0\.5~1&log=x%2C y&hide=a%2C b"
    )
    page.wait_for_function(
        "() => location.hash.includes('theme') && location.hash.includes('zoom')"
    )
    assert re.fullmatch(wanted.replace("%2C", ","), fragment(page)), fragment(page)

    address = page.url
    other = open_page(address)
    await_points(other, 6, run="c")
    expect(other.get_by_role("radio", name="Epochs")).to_be_checked()
    expect(other.locator("#smoothed")).to_have_text("0.6")
    expect(other.locator("#clip")).not_to_be_checked()
    expect(other.locator("#size")).to_have_value("large")
    expect(other.locator("#colour")).to_have_value("lr")
    expect(other.locator("#search")).to_have_value("loss|x")
    expect(other.locator("#filter")).to_have_value("lr>0")
    expect(other.get_by_role("button", name="show a, b")).to_have_attribute("aria-pressed", "false")
    log = other.get_by_role("button", name="log scale: x, y")
    expect(log).to_have_attribute("aria-pressed", "true")
    expect(other.locator("#zoom")).to_be_visible()
    expect(other.locator("html")).to_have_attribute("data-theme", "dark")
    assert other.url == address


def test_a_broken_address_is_no_harm(dashboard: Dashboard, open_page: PageOpener) -> None:
    trainer_of(dashboard, loss=inverse).run(range(3))
    broken = "x=toString&smooth=NaN&zoom=9~1&log=%E0%A4%A&__proto__=1&q=("
    page = open_page(f"{dashboard.address}#{broken}&hide=-&open=-&fold=-&only=-")
    await_points(page, 3)
    expect(page.get_by_role("radio", name="Batches")).to_be_checked()
    expect(page.locator("#smoothed")).to_have_text("0.9")


def test_the_title_tells_how_far(
    dashboard: Dashboard, open_page: PageOpener, in_background: Submit, tmp_path: Path
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    page = open_page(dashboard.address)
    says(page, "waiting for the run to begin")
    dashboard.control.pause()
    run = in_background(runner.run, range(4), 2)
    held(dashboard, 4)
    expect(page).to_have_title("62 % · training · rnnr")
    record(tmp_path / "another.jsonl", loss=inverse)
    dashboard.follow(tmp_path / "another.jsonl", "another")
    expect(page).to_have_title("1 of 2 running · rnnr")
    dashboard.control.unpause()
    run.result(60)
    expect(page).to_have_title("2 runs · rnnr")


# How it looks


def test_the_page_and_its_curves_follow_the_choice_of_light_and_dark(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    runner = trainer_of(dashboard, loss=inverse)
    runner.run(range(30))
    page = open_page(dashboard.address)
    await_points(page, 30)
    seen = {}
    for scheme in ("light", "dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(FRAMES)
        series, card_ground = css_colour(page, "--series-0"), css_colour(page, "--card")
        assert curve(page, "--series-0").any()
        seen[scheme] = (
            series,
            card_ground,
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.body).color"),
        )
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


def test_a_button_turns_from_light_to_dark_and_back(
    dashboard: Dashboard, open_page: PageOpener
) -> None:
    trainer_of(dashboard, loss=inverse).run(range(30))
    page = open_page(dashboard.address)
    await_points(page, 30)
    light = css_colour(page, "--card")
    button = page.get_by_role("button", name="light or dark")
    button.click()
    dark = css_colour(page, "--card")
    assert max(dark) < min(light)
    assert curve(page, "--series-0").any()
    assert dark in colours(plot(page).screenshot())
    button.click()
    assert css_colour(page, "--card") == light
    assert light in colours(plot(page).screenshot())


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
    buttons = page.locator("button:visible, input[type=search]:visible, select:visible")
    assert buttons.count() > 8
    for button in buttons.all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert 0 <= box["x"] <= box["x"] + box["width"] <= PHONE["width"]


def test_thirty_runs_fit_on_a_phone(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    configs = {f"run with a long name {i}": {"lr": i / 7, "width": 2**i} for i in range(30)}
    show_recordings(dashboard, tmp_path, configs, loss=inverse, accuracy=inverse)
    page = open_page(dashboard.address)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await_points(page, 6, run="run with a long name 29")
    for columns in ("All columns", "Less"):
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.get_by_role("button", name=columns).click()
        page.locator("#table .scroll").evaluate("(table) => table.scrollTo(9_999, 0)")
        name = page.get_by_role("button", name="run with a long name 29", exact=True)
        assert name.evaluate(IS_ON_TOP)
    box = plot(page).bounding_box()
    assert box
    assert box["width"] > 330
    expect(page.locator("#smooth")).to_be_hidden()
    page.get_by_role("button", name="Options").click()
    expect(page.locator("#smooth")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


IS_ON_TOP = """(node) => {
    const { left, top } = node.getBoundingClientRect();
    return node.contains(document.elementFromPoint(left + 4, top + 4));
}"""
"""Returns whether the beginning of a node can be seen."""


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


def test_every_control_has_a_name(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(dashboard, tmp_path, {"a": {"lr": 1}, "b": {"lr": 2}}, loss=inverse)
    trainer_of(dashboard, loss=inverse).run(range(3))
    page = open_page(dashboard.address)
    await_points(page, 3)
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    roles = {"button", "checkbox", "radio", "slider", "combobox", "searchbox", "image", "region"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node["role"]["value"] in roles
    ]
    assert {role for role, _ in found} >= roles - {"region"}
    assert [role for role, name in found if not name.strip()] == []


# What it costs


def test_sixty_rounds_of_use_leave_nothing_behind(
    dashboard: Dashboard, open_page: PageOpener, tmp_path: Path
) -> None:
    show_recordings(
        dashboard, tmp_path, {"a": {"lr": 1}, "b": {"lr": 2}}, loss=inverse, margin=float
    )
    page = open_page(dashboard.address)
    await_points(page, 6, run="b")
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("Performance.enable")

    def use(rounds: int) -> None:
        page.evaluate(ROUNDS, rounds)

    def measure() -> tuple[float, ...]:
        page.wait_for_function(FRAMES)
        for _ in range(3):
            session.send("HeapProfiler.collectGarbage")
        found = {
            each["name"]: each["value"]
            for each in session.send("Performance.getMetrics")["metrics"]
        }
        return tuple(found[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize"))

    use(5)
    nodes, listeners, heap = measure()
    use(60)
    after = measure()
    assert after[0] <= nodes + 20
    assert after[1] <= listeners + 10
    assert after[2] <= heap * 1.15 + 200_000


ROUNDS = """async (rounds) => {
    const frame = () => new Promise(requestAnimationFrame);
    const find = (selector) => document.querySelector(selector);
    const write = (selector, value) => {
        find(selector).value = value;
        find(selector).dispatchEvent(new Event("input", { bubbles: true }));
    };
    for (let i = 0; i < rounds; i += 1) {
        find("[data-metric=loss] .tools button").click();
        find(".dot").click();
        await frame();
        find(".dot").click();
        write("#search", i % 2 ? "loss" : "");
        write("#filter", i % 2 ? "lr>0" : "");
        await new Promise((go) => setTimeout(go, 150));
        find("[data-metric=loss] .tools button:last-child").click();
        await frame();
        await frame();
        find("#enlarged").close();
        await frame();
    }
    write("#search", "");
    await new Promise((go) => setTimeout(go, 300));
}"""
"""Uses the page: log, hide, search, filter, enlarge."""
