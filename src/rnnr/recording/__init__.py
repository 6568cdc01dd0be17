"""Recordings: the reports of a run in a file of JSON lines, read while it grows, and replayed."""

from rnnr.recording._record import Record
from rnnr.recording._replay import replay
from rnnr.recording._tail import Tail

__all__ = ["Record", "Tail", "replay"]
