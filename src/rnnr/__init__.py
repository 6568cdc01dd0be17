"""A loop over batches and epochs that publishes what happens as event streams."""

from rnnr.errors import RnnrWarning
from rnnr.event import Event
from rnnr.isolation import isolate
from rnnr.observation import Emission
from rnnr.runner import Runner
from rnnr.selection import Selection
from rnnr.state import State
from rnnr.stream import Layer

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
