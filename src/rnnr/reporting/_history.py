"""The points of a curve in bounded memory, however long the run is."""

from typing import Generic, TypeVar

from rnnr._errors import as_integer

__all__ = ["History"]

_T = TypeVar("_T")


class History(Generic[_T]):
    """A limited number of points along an axis, which thin themselves.

    When it is full, it drops every second point, and from then on keeps only points that are as far
    apart as the others are on average. The first and the newest point are always there. So ten
    million batches look as good as a hundred, in constant memory. A point replaces those at its
    position and beyond: a run that was set back continues from there.

    Args:
        limit: Number of points to keep besides the newest, 3 or more; an odd one counts as one
            less.

    Attributes:
        points: The points that are kept, as pairs of the position and the item.
        last: The newest point, which is not one of ``points``; ``None`` before the first, and after
            `go_back` has dropped it.
        due: Position from which on another point will be kept.
        n_rewritten: How often points were dropped; in between, points are only added.

    Raises:
        TypeError: If ``limit`` is not an integer.
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
        limit = as_integer("limit", limit, 3, "pass for example 1000")
        self._limit = limit - limit % 2  # so that thinning drops neither of the two ends
        self._spacing = self._from = 0.0
        self.points: list[tuple[int, _T]] = []
        self.last: tuple[int, _T] | None = None
        self.due = 0.0
        self.n_rewritten = 0

    def add(self, position: int, item: _T) -> None:
        """Add the newest point."""
        if self.last is not None and self.last[0] < position:
            self._keep(self.last)  # only a run that is set back can replace it
        else:
            self.go_back(position - 1)
        self.last = position, item
        self.due = self._from if position < self._from else position + self._gap_after(position)

    def _gap_after(self, position: int) -> float:
        """Return the least distance from a point that is kept to the next one."""
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
            self.n_rewritten += 1  # last, so that a reader on another thread reads again

    def go_back(self, position: int) -> None:
        """Drop the points beyond a position, to which a run was set back."""
        if self.last is not None and self.last[0] > position:
            self.last = None
        if self.points and self.points[-1][0] > position:
            self._drop_beyond(position)
        self.due = self._from

    def _drop_beyond(self, position: int) -> None:
        while self.points and self.points[-1][0] > position:
            self.points.pop()
        self._spacing = self._from = 0.0
        if self.points:
            first, last = self.points[0][0], self.points[-1][0]
            self._spacing = (last - first) / max(1, len(self.points) - 1)
            self._from = last + self._spacing
        self.n_rewritten += 1
