"""Factories of callbacks; each callback is a pipeline of operators."""

from rnnr.callbacks._checkpoint import checkpoint, save
from rnnr.callbacks._early_stopping import EarlyStopping, early_stopping
from rnnr.callbacks._evaluate import evaluate
from rnnr.callbacks._maybe_stop_early import maybe_stop_early

__all__ = [
    "EarlyStopping",
    "checkpoint",
    "early_stopping",
    "evaluate",
    "maybe_stop_early",
    "save",
]
