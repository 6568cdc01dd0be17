"""Source and pages are written in plain English: turns of phrase that were replaced stay away."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TURNS = {
    r"is no (?!longer|more)\w+": "is not a",
    r"are no (?!longer|more)\w+": "are not",
    r"[Tt]ells? whether": "return whether",
    r"[Rr]efuse what": "raise unless",
    r"[Pp]ass(es|ed)? over": "skip",
    r"[Aa]new": "again",
    r"[Oo]ne who": "name the caller",
    r"[Tt]hose who": "name the callers",
    r"[Ww]ho (asks|draws|pauses|waits)": "name the caller",
    r"had (its|their) turn|whose turn": "have run",
    r"is of use": "helps",
    r"[Jj]udg(e|es|ed|ing|ement|ment)": "check",
    r"[Cc]laim(s|ed)?": "reserve",
}
"""Turns of phrase, and what to write instead."""

RIGHT = re.compile(r"[Tt]here (is|are) no \w+|(so|as) \w+ (a \w+ )?is no \w+")

FILES = sorted(
    path
    for folder, patterns in {
        "src": ["*.py", "*.js", "*.html", "*.css"],
        "docs": ["*.md", "*.txt"],
        "examples": ["*.py"],
        ".": ["README.md"],
    }.items()
    for pattern in patterns
    for path in ((ROOT / folder).rglob if folder != "." else (ROOT / folder).glob)(pattern)
    if "_build" not in path.parts
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_free_of_them(path: Path) -> None:
    text = RIGHT.sub("", path.read_text(encoding="utf-8"))
    found = [
        f"{match[0]!r}: write {instead!r}"
        for turn, instead in TURNS.items()
        for match in re.finditer(rf"\b(?:{turn})\b", text)
    ]
    assert found == []


def test_all_kinds_of_files_are_read() -> None:
    assert {path.suffix for path in FILES} == {".css", ".html", ".js", ".md", ".py", ".txt"}
    assert len(FILES) > 100
