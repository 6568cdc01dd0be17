"""Factories of callbacks; each callback is a pipeline of operators."""

from rnnr.callbacks._checkpoint import checkpoint, save
from rnnr.callbacks._early_stopping import maybe_stop_early
from rnnr.callbacks._early_stopping_on import EarlyStopping, early_stopping

__all__ = ["EarlyStopping", "checkpoint", "early_stopping", "maybe_stop_early", "save"]
