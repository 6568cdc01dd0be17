"""A loop over batches and epochs that publishes what happens as event streams."""

from rnnr._errors import RnnrWarning
from rnnr._isolate import isolate
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.selection import Selection
from rnnr.state import State
from rnnr.streams._layer import Layer
from rnnr.streams._observed import Emission

__all__ = [
    "Emission",
    "Event",
    "Layer",
    "RnnrWarning",
    "Runner",
    "Selection",
    "State",
    "__version__",
    "isolate",
]

__version__ = "1.0.0.dev0"
