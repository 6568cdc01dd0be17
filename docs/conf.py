"""How Sphinx builds the documentation: `sphinx-build -W -b html docs docs/_build`."""

import sys
from pathlib import Path

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
    ("py:class", r"rnnr\..*\.(_A|_B|_C|_T|Bar|Metric|Selectable)"),
]

autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

myst_heading_anchors = 3
