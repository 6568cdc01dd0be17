"""What the site adds to the pages, which are plain Markdown."""

import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

LOGGERS = {
    "rnnr.attachments.epoch_log",
    "rnnr.attachments.epoch_timer",
    "rnnr.attachments.progress_bar",
    "rnnr.callbacks.checkpointing",
    "rnnr.isolation",
}
MEMBERS = {"attribute", "method", "property"}


def link_names(app: Any, page: Any, name: str) -> None:
    """Make links of the first mention of each public name in a page, as `Runner.on`.

    In Markdown it is plain code. One that begins with the package has to exist.
    """
    from docutils import nodes  # a test copies pages without Sphinx
    from sphinx.util import logging
    from sphinx.util.nodes import make_refnode

    if name.startswith("reference/api/"):
        return  # a docstring makes its own links, and its plain code may be an argument
    objects = app.env.domains["py"].objects
    meant = defaultdict(list)
    for full, entry in objects.items():
        parts = full.split(".")
        for i in range(len(parts) - (entry.objtype in MEMBERS)):  # `saved` alone may mean anything
            meant[".".join(parts[i:])].append(full)
    linked = set()
    for code in list(page.findall(nodes.literal)):
        mention = code.astext().partition("(")[0]
        found = meant[mention]
        if re.fullmatch(r"rnnr(\.\w+)+", mention) and not found and mention not in LOGGERS:
            logging.getLogger("rnnr").warning(
                "expected a public name, got %s", mention, location=code
            )
        if len(found) == 1 and found[0] not in linked and isinstance(code.parent, nodes.paragraph):
            linked.add(found[0])
            entry = objects[found[0]]
            link = make_refnode(app.builder, name, entry.docname, entry.node_id, code.deepcopy())
            code.replace_self(link)


def copy_pages(app: Any, error: Exception | None) -> None:
    """Copy the source of each page into the site, when it is built: `llms.txt` links there."""
    for name in app.env.found_docs if error is None else ():
        copy = Path(app.outdir, f"{name}.md")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(app.env.doc2path(name), copy)


def setup(app: Any) -> None:
    """Register both with Sphinx."""
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", copy_pages)
