"""What attaches to several events of a runner: reducers, a bar, a timer, a remote control."""

from rnnr.attachments._attachment import Attachment
from rnnr.attachments._control import Control, ControlStatus
from rnnr.attachments._epoch_timer import EpochTimer
from rnnr.attachments._progress_bar import ProgressBar
from rnnr.attachments._reducers import LambdaReducer, MeanReducer, SumReducer

__all__ = [
    "Attachment",
    "Control",
    "ControlStatus",
    "EpochTimer",
    "LambdaReducer",
    "MeanReducer",
    "ProgressBar",
    "SumReducer",
]
