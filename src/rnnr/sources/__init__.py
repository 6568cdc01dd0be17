"""Batches that another thread brings: Observables, async iterables, what is loaded ahead."""

from rnnr.sources._buffered import Buffered, buffered, prefetch

__all__ = ["Buffered", "buffered", "prefetch"]
