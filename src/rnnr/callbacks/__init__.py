"""Factories of callbacks; each callback is a pipeline of operators."""

from rnnr.callbacks._checkpoint import checkpoint, save
from rnnr.callbacks._early_stopping import maybe_stop_early

__all__ = ["checkpoint", "maybe_stop_early", "save"]
