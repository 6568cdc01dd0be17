"""Metrics as users write them, with `update`, `compute` and `reset`."""

from typing import Any

from helpers.extras import np

__all__ = ["Chained", "Mean", "Median", "Stateful"]


class Mean:
    """A mean, of numbers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.n = 0.0, 0

    def update(self, value: float) -> None:
        self.n += 1
        self.total += value

    def compute(self) -> float:
        return self.total / self.n


class Median:
    """A median, which keeps what it is given, and empties its list in place."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def reset(self) -> None:
        self.values.clear()

    def update(self, value: Any) -> None:
        self.values.append(value)

    def compute(self) -> Any:
        return sorted(self.values)[len(self.values) // 2]


class Chained:
    """A metric of metrics and arrays, some of them in place, with a function and a cycle."""

    def __init__(self) -> None:
        self.parts: list[Any] = [Mean(), Median()]
        self.best: Any = None
        self.counts = np.zeros(3, int)
        self.again = self.counts
        self.itself: list[Any] = []
        self.itself.append(self.itself)
        self.round = round

    def reset(self) -> None:
        self.counts[:] = 0
        for part in self.parts:
            part.reset()

    def update(self, value: Any) -> None:
        self.counts[int(value) % 3] += 1
        for part in self.parts:
            part.update(value)

    def compute(self) -> Any:
        mean, median = (part.compute() for part in self.parts)
        self.best = np.array([mean, median]) if self.best is None else np.maximum(self.best, mean)
        return {"counts": self.again, "best": self.best, "mean": self.round(mean, 9)}


class Stateful(Mean):
    """A metric whose author says himself what it remembers, since it has an object of his."""

    def __init__(self) -> None:
        super().__init__()
        self.other = object()

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "n": self.n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.n = state["total"], state["n"]
