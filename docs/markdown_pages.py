"""An extension of Sphinx that puts the Markdown of each page beside it: `llms.txt` links there."""

import shutil
from pathlib import Path
from typing import Any


def copy_pages(app: Any, error: Exception | None) -> None:
    """Copy the source of each page into the site, when it is built."""
    for name in app.env.found_docs if error is None else ():
        copy = Path(app.outdir, f"{name}.md")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(app.env.doc2path(name), copy)


def setup(app: Any) -> None:
    """Register it with Sphinx."""
    app.connect("build-finished", copy_pages)
