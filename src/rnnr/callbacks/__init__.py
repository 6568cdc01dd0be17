"""Factories of callbacks; each callback is a pipeline of operators."""

from rnnr.callbacks._checkpoint import checkpoint, save
from rnnr.callbacks._early_stopping import maybe_stop_early
from rnnr.callbacks._early_stopping_on import (
    EarlyStopping,
    EarlyStoppingCallback,
    early_stopping,
)

__all__ = [
    "EarlyStopping",
    "EarlyStoppingCallback",
    "checkpoint",
    "early_stopping",
    "maybe_stop_early",
    "save",
]
