"""Bars that tell what happens to them."""

from typing import Any

Story = list[tuple[Any, ...]]


def telling(story: Story, name: str = "bar") -> type[Any]:
    """Make a class of bars that tell what happens to them."""

    class Bar:
        def __init__(self, batches: object, **kwargs: object) -> None:
            story.append((name, batches, kwargs))

        def set_postfix(self, **stats: object) -> None:
            story.append(("stats", stats))

        def update(self, n: int) -> None:
            story.append(("update", n))

        def close(self) -> None:
            story.append(("close",))

    return Bar
