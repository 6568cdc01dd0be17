"""What a coding assistant reads: short, complete, and its program runs and goes on exactly."""

import importlib
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.test_public_surface import MODULES
from helpers.paths import DOCS
from helpers.programs import failing_at, run_program
from helpers.threads import one_thread_of_torch

TEXT = (DOCS / "llms.txt").read_text(encoding="utf-8")
HEAD, PAGES = TEXT.split("\n## Pages\n")
PROSE, PROGRAM, LISTS = re.split(r"^```(?:python)?\n", HEAD, flags=re.M)
SPANS = re.findall(r"`([^`]+)`", PROSE + LISTS)
LINKS = re.findall(r"\]\(([^)]+)\)", PAGES)


def test_it_has_a_hundred_lines_at_most() -> None:
    assert len(TEXT.splitlines()) <= 100


def test_it_has_the_parts_of_the_convention() -> None:
    assert re.match(r"# rnnr\n\n> .+\n> .+\n\n", TEXT)
    assert all(re.match(r"- \[[^]]+\]\([^)]+\): ", line) for line in PAGES.splitlines())
    assert "\n#" not in HEAD


@pytest.mark.parametrize("name", MODULES)
def test_it_names_all_that_is_public(name: str) -> None:
    words = {word for span in SPANS for word in re.findall(r"\w+", span)}
    assert {*importlib.import_module(name).__all__} - words == set()


def test_a_list_of_names_has_no_name_that_is_not_there() -> None:
    names = LISTS.split("**Names of ")[1]
    parts = re.split(r"`(rnnr(?:\.\w+)?)`", re.sub(r"\([^)]*\)", "", names))
    found = [
        (module, name)
        for module, part in zip(parts[1::2], parts[2::2], strict=True)
        for name in re.findall(r"`(\w+)`", part)
    ]
    assert len(found) > 80
    missing = [each for each in found if not hasattr(importlib.import_module(each[0]), each[1])]
    assert missing == []


def test_it_links_to_pages_that_the_site_has_as_markdown(tmp_path: Path) -> None:
    assert len(LINKS) > 5
    docs = [link.removesuffix(".md") for link in LINKS]
    env = SimpleNamespace(found_docs=docs, doc2path=lambda name: str(DOCS / f"{name}.md"))
    app = SimpleNamespace(outdir=tmp_path, env=env)
    runpy.run_path(str(DOCS / "markdown_pages.py"))["copy_pages"](app, None)
    for link in LINKS:
        assert (tmp_path / link).read_bytes() == (DOCS / link).read_bytes()


def test_its_program_runs_and_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    program = PROGRAM.replace("max_epoch=20", "max_epoch=2")
    with one_thread_of_torch():
        undisturbed = run_program(program, tmp_path / "undisturbed", monkeypatch)
        with pytest.raises(ZeroDivisionError):
            run_program(failing_at(20, program), tmp_path / "failed", monkeypatch)
        failed = run_program(program, tmp_path / "failed", monkeypatch)
    went_on = failed["model"].state_dict()
    assert all(
        torch.equal(went_on[key], weight)
        for key, weight in undisturbed["model"].state_dict().items()
    )
    for folder in tmp_path.iterdir():
        files = sorted(path.name for path in (folder / "out").iterdir())
        assert files == ["1_model.pkl", "2_model.pkl", "snapshots"]


def test_its_wrong_lines_are_wrong_and_its_right_lines_right() -> None:
    from reactivex import operators as ops

    from rnnr import Event, Runner, State
    from rnnr.operators import pipeline, select, stop

    runner = Runner()
    seen: list[Any] = []

    def look(state: State) -> bool:
        return bool(state["bad"])

    is_bad = ops.filter(look)
    with pytest.raises(TypeError, match="operator"):
        runner.on(Event.BATCH, is_bad)  # type: ignore[arg-type]
    runner.stream(Event.BATCH).pipe(select("loss")).subscribe(seen.append)
    runner.stream(Event.BATCH).pipe(select("loss"), ops.to_list()).subscribe(seen.append)
    runner.on(Event.BATCH, pipeline(is_bad, stop()))
    runner.state.update(loss=0.5, bad=False)
    runner.run("ab")
    assert seen == [0.5, 0.5]
    runner.state["bad"] = True
    runner.run("ab")
    assert runner.state["n_iters"] == 1
    assert (Event.BATCH and Event.FINISHED) is Event.FINISHED
