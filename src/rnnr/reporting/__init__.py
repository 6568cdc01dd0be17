"""Reports of runs, for dashboards, recordings and other views."""

from rnnr.reporting._curve import Curve
from rnnr.reporting._handler_times import DRAWING_BATCHES, HandlerTime, HandlerTimes
from rnnr.reporting._interval import Interval
from rnnr.reporting._report import Report
from rnnr.reporting._reports import ALL_EVENTS, reports
from rnnr.reporting._run_info import RunInfo

__all__ = [
    "ALL_EVENTS",
    "DRAWING_BATCHES",
    "Curve",
    "HandlerTime",
    "HandlerTimes",
    "Interval",
    "Report",
    "RunInfo",
    "reports",
]
