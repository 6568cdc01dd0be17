"""The streams of states that a runner publishes: the Subject of each event, runs as Observables."""

from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer
from rnnr.streams._observed import Emission
from rnnr.streams._selected import SelectedStream
from rnnr.streams._subject import EventSubject

__all__ = ["Callback", "Emission", "EventSubject", "Layer", "SelectedStream"]
