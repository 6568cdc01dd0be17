"""The pages are found, are linked, and read well as plain Markdown."""

import re
from pathlib import Path

import pytest

from helpers.paths import DOCS, ROOT, page

PAGES = sorted(DOCS.rglob("*.md"))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links(path: Path) -> set[Path]:
    """Return the pages that a page links to, leaving out the lists for the side bar of the site."""
    targets = re.findall(r"\]\(([^)#:]+\.md)", text_of(path))
    return {(path.parent / target).resolve() for target in targets}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_has_no_markup_that_only_the_site_understands(path: Path) -> None:
    raw = re.sub(r"^```\{(toctree|eval-rst)\}\n.*?^```$", "", text_of(path), flags=re.M | re.S)
    assert re.findall(r"\{(?:py:\w+|any|doc|ref)\}`|^```\{|^:::", raw, re.M) == []


def test_every_page_is_linked_from_another_one() -> None:
    linked = set().union(*(links(path) for path in [*PAGES, ROOT / "README.md"]))
    assert {*PAGES} - linked == {DOCS / "index.md"}
    assert {path for path in linked if not path.exists()} == set()


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("gradient clipping", "pytorch"),
        ("accumulation", "pytorch"),
        ("amp", "pytorch"),
        ("csv", "logging"),
        ("jupyter", "notebook"),
        ("interrupt", "notebook"),
        ("resume", "resume"),
        ("slurm", "preemptible-jobs"),
        ("validation", "evaluate"),
        ("progress bar", "progress"),
    ],
)
def test_a_page_says_the_word_that_is_searched_for(sought: str, found: str) -> None:
    words = re.findall(r"\w+", text_of(page(found)).lower())
    assert {*sought.split()} <= {*words}
