"""Recordings: write the reports of a run to a file of JSON lines, follow it, replay it."""

from rnnr.recording._record import Record
from rnnr.recording._replay import replay
from rnnr.recording._tail import Tail

__all__ = ["Record", "Tail", "replay"]
