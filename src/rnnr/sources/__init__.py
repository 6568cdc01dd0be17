"""Batches from another thread: of Observables and async iterables, or loaded ahead."""

from rnnr.sources._buffered import Buffered, buffered, prefetch
from rnnr.sources._epochs import Epochs, epochs_of

__all__ = ["Buffered", "Epochs", "buffered", "epochs_of", "prefetch"]
