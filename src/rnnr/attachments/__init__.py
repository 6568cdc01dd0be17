"""What attaches to several events of a runner: reducers, averages, bars, tables, a control."""

from rnnr.attachments._attachment import Attachment
from rnnr.attachments._control import Control, ControlStatus
from rnnr.attachments._epoch_log import EpochLog
from rnnr.attachments._epoch_timer import EpochTimer
from rnnr.attachments._metric_reducer import MetricReducer
from rnnr.attachments._progress_bar import ProgressBar
from rnnr.attachments._reducers import LambdaReducer, MeanReducer, SumReducer
from rnnr.attachments._running_average import RunningAverage

__all__ = [
    "Attachment",
    "Control",
    "ControlStatus",
    "EpochLog",
    "EpochTimer",
    "LambdaReducer",
    "MeanReducer",
    "MetricReducer",
    "ProgressBar",
    "RunningAverage",
    "SumReducer",
]
