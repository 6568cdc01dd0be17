"""Runs that survive a kill: snapshots, signals, logs."""

from rnnr._logs._formats import CsvLog, JsonLines
from rnnr.durable._resumes_exactly import Exactness, Job, Moment, resumes_exactly
from rnnr.durable._saver import SavedSnapshot
from rnnr.durable._snapshots import Snapshots
from rnnr.durable._stop_on_signal import StopOnSignal

__all__ = [
    "CsvLog",
    "Exactness",
    "Job",
    "JsonLines",
    "Moment",
    "SavedSnapshot",
    "Snapshots",
    "StopOnSignal",
    "resumes_exactly",
]
