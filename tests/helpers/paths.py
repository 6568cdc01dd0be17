"""Where things lie in the project."""

from pathlib import Path

__all__ = ["DOCS", "EXAMPLES", "ROOT", "TESTS", "page"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
TESTS = ROOT / "tests"


def page(name: str) -> Path:
    """Return a page of the documentation, whichever folder it is in."""
    (found,) = DOCS.rglob(f"{name}.md")
    return found
