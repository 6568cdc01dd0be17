"""A long source, cut into epochs."""

from typing import Any

from rnnr._errors import as_integer, wrong_type
from rnnr.sources._kinds import can_be_iterated, is_asynchronous, length_of

__all__ = ["Epochs", "epochs_of", "loader_of"]


class Epochs:
    """Batches of which each epoch draws some more; made by `epochs_of`.

    It is for `rnnr.Runner.run` alone: which batches come next is known to the run, not to this.

    Attributes:
        source: Source of the batches.
        n (int): Number of batches that an epoch draws at most.

    Example:
        >>> from rnnr.sources import epochs_of
        >>> batches = epochs_of(range(10), 4)
        >>> len(batches), batches
        (4, epochs_of(range(0, 10), 4))
    """

    def __init__(self, source: Any, n: int) -> None:
        self.source = source
        self.n = n

    def __len__(self) -> int:
        length = length_of(self.source)
        return self.n if length is None else min(self.n, length)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"epochs_of({self.source!r}, {self.n})"


def epochs_of(source: Any, n: int) -> Epochs:
    """Cut an endless or a very long source into epochs of n batches.

    Each epoch goes on where the one before stood, so that no batch is seen twice before the source
    has ended. With the last batch of the source its epoch ends, too, which may be a short one; the
    next one begins from the beginning. Keras calls this number ``steps_per_epoch``, pytorch-ignite
    ``epoch_length``.

    The position belongs to the run: a second `rnnr.Runner.run` begins from the beginning, and
    `rnnr.Runner.resume` goes on where the run was. In another process it iterates again and skips
    what was drawn since the beginning of the source. With `rnnr.durable.Snapshots` it is
    exact, as for other batches.

    Args:
        source: What `rnnr.Runner.run` takes as batches: an iterable, an async iterable, an
            Observable, or one of these with a buffer.
        n: Number of batches of an epoch, 1 or more.

    Raises:
        TypeError: If ``source`` cannot be iterated, or ``n`` is not an integer.
        ValueError: If ``n`` is less than 1.

    Example:
        >>> from itertools import count
        >>> from rnnr import Event, Runner
        >>> from rnnr.sources import epochs_of
        >>> runner = Runner()
        >>> @runner.on(Event.EPOCH_FINISHED)
        ... def tell(state):
        ...     print(state["epoch"], state["batch"])
        >>> runner.run(epochs_of(count(), 100), max_epoch=2)
        1 99
        2 199
    """
    if isinstance(source, Epochs):
        raise wrong_type("source", "batches that are not cut", source, "cut the source itself")
    if not can_be_iterated(source) and not is_asynchronous(source):
        raise wrong_type("source", "iterable", source, "pass a loader of batches")
    return Epochs(source, as_integer("n", n, 1, "pass how many batches make an epoch"))


def loader_of(batches: Any) -> Any:
    """Return what yields the batches: the source of those that are cut into epochs."""
    return batches.source if isinstance(batches, Epochs) else batches
