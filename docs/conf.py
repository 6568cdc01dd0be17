"""How Sphinx builds the documentation: `sphinx-build -W -b html docs docs/_build`."""

import re
import sys
from collections import defaultdict
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

import rnnr

project = "rnnr"
author = "The rnnr team"
project_copyright = "The rnnr team"
release = rnnr.__version__

sys.path.insert(0, str(Path(__file__).parent))
extensions = [
    "markdown_pages",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
autosummary_generate = False  # a page is a package, not a name
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"rnnr {release}"
html_extra_path = ["llms.txt"]  # for coding assistants, at the root of the site

# In docstrings a name in single backticks is a link.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    # The build takes nothing from the network, so names from elsewhere are text and no links.
    ("py:.*", r"(abc|collections|contextlib|os|pathlib|pickle|reactivex|typing)\..*"),
    ("py:.*", r"(Any|BaseException|Callable|Iterable|KeyError|Mapping|OSError|Path)"),
    # Private names that signatures mention, and what an Event and a Selection are both.
    ("py:class", r"rnnr\..*\.(_A|_B|_C|_T|Bar|Selectable)"),
]

autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

myst_heading_anchors = 3


# In Markdown a public name is plain code, so that a page reads well without Sphinx. Here the first
# mention in a page becomes a link to the API. A mention that begins with the package has to exist.
loggers = {
    "rnnr.attachments.epoch_log",
    "rnnr.attachments.epoch_timer",
    "rnnr.attachments.progress_bar",
    "rnnr.callbacks.checkpointing",
    "rnnr.isolation",
}
members = {"attribute", "method", "property"}


def link_names(app: Sphinx, page: nodes.document, name: str) -> None:
    """Make links of the public names in a page, as `Runner.on` or `rnnr.isolate`."""
    if name.startswith("reference/api/"):
        return  # a docstring makes its own links, and its plain code may be an argument
    objects = app.env.domains["py"].objects
    meant = defaultdict(list)
    for full, entry in objects.items():
        parts = full.split(".")
        for i in range(len(parts) - (entry.objtype in members)):  # `saved` alone may mean anything
            meant[".".join(parts[i:])].append(full)
    linked = set()
    for code in list(page.findall(nodes.literal)):
        mention = code.astext().partition("(")[0]
        found = meant[mention]
        if re.fullmatch(r"rnnr(\.\w+)+", mention) and not found and mention not in loggers:
            logging.getLogger("rnnr").warning(
                "expected a public name, got %s", mention, location=code
            )
        if len(found) == 1 and found[0] not in linked and isinstance(code.parent, nodes.paragraph):
            linked.add(found[0])
            entry = objects[found[0]]
            link = make_refnode(app.builder, name, entry.docname, entry.node_id, code.deepcopy())
            code.replace_self(link)


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.connect("doctree-resolved", link_names)
