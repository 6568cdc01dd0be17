"""The widget that a notebook shows."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["Widget"]


class Widget(anywidget.AnyWidget):
    """What is shown.

    Attributes:
        curves: The curves, each with rows of a step, a mean, the least and the greatest value.
        status: How far the run is, in words.
    """

    _esm = Path(__file__).with_name("chart.js").read_text(encoding="utf-8")
    curves: Any = traitlets.List().tag(sync=True)
    status = traitlets.Unicode("waiting for the run to begin").tag(sync=True)
