"""Batches from another thread: of Observables and async iterables, or loaded ahead."""

from rnnr.sources._buffered import Buffered, buffered, prefetch

__all__ = ["Buffered", "buffered", "prefetch"]
