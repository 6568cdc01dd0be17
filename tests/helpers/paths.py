"""Where things lie in the project."""

from pathlib import Path

__all__ = ["DOCS", "EXAMPLES", "ROOT", "TESTS", "page"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
TESTS = ROOT / "tests"


def page(name: str) -> Path:
    """Return a page of the documentation that was written by hand, whichever folder it is in."""
    (found,) = (path for path in DOCS.rglob(f"{name}.md") if path.parent.name != "api")
    return found
