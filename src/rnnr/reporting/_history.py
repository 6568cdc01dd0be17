"""What a view remembers of a run: a bounded number of points, however long it takes."""

from typing import Generic, TypeVar

from rnnr._errors import as_integer

__all__ = ["History"]

_T = TypeVar("_T")


class History(Generic[_T]):
    """Points along an axis, at most so many, that thin themselves.

    When it is full, every second point is dropped, and from then on only those are kept that are
    as far apart as the rest are on average. The first stays, and the newest is there always. So ten
    million batches show as well as a hundred, in constant memory. A point replaces those at its
    position and beyond: a run that was set back goes on from there.

    Args:
        limit: Number of points to keep beside the newest, 3 or more; an odd one counts as one less.

    Attributes:
        points: Those that are kept, as pairs of the position and the item.
        last: The newest, which is not among them; ``None`` before the first, or when forgotten.
        due: From which position on a further point will be kept.
        n_rewritten: How often points were dropped; between two of these they are only added.

    Raises:
        TypeError: If ``limit`` is no integer.
        ValueError: If ``limit`` is below 3.

    Example:
        >>> from rnnr.reporting import History
        >>> history = History(limit=4)
        >>> for step in range(1, 12):
        ...     history.add(step, None)
        >>> [step for step, _ in history.points], history.last
        ([1, 5, 9], (11, None))
    """

    def __init__(self, limit: int = 1000) -> None:
        limit = as_integer("limit", limit, 3, ("pass for example 1000",) * 2)
        self._limit = limit - limit % 2  # so that thinning drops neither of the two ends
        self._spacing = self._from = 0.0
        self.points: list[tuple[int, _T]] = []
        self.last: tuple[int, _T] | None = None
        self.due = 0.0
        self.n_rewritten = 0

    def add(self, position: int, item: _T) -> None:
        """Add the newest point."""
        if self.last is not None and self.last[0] < position:
            self._keep(self.last)  # nothing can replace it but a run that is set back
        else:
            self.go_back(position - 1)
        self.last = position, item
        self.due = self._from if position < self._from else position + self._gap_after(position)

    def _gap_after(self, position: int) -> float:
        """Return the least distance between what is kept at a position and what is kept next."""
        if len(self.points) < self._limit:
            return self._spacing
        return (position - self.points[0][0]) / (self._limit // 2)

    def _keep(self, point: tuple[int, _T]) -> None:
        if point[0] < self._from:
            return
        self._spacing = self._gap_after(point[0])
        self._from = point[0] + self._spacing
        self.points.append(point)
        if len(self.points) > self._limit:
            del self.points[1::2]
            self.n_rewritten += 1  # last: who reads on another thread meanwhile reads again

    def go_back(self, position: int) -> None:
        """Forget what is beyond a position, to which a run was set back."""
        if self.last is not None and self.last[0] > position:
            self.last = None
        if self.points and self.points[-1][0] > position:
            self._forget(position)
        self.due = self._from

    def _forget(self, position: int) -> None:
        while self.points and self.points[-1][0] > position:
            self.points.pop()
        self._spacing = self._from = 0.0
        if self.points:
            first, last = self.points[0][0], self.points[-1][0]
            self._spacing = (last - first) / max(1, len(self.points) - 1)
            self._from = last + self._spacing
        self.n_rewritten += 1
