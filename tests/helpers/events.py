"""What a run does: the story of its events, its batches, and its handlers."""

from typing import Any

from rnnr import Event, Runner, State

__all__ = ["delivered", "n_handlers", "stop_at", "told"]


def told(runner: Runner) -> list[str]:
    """Listen to every event and return the list in which its names will stand."""
    story: list[str] = []
    for event in Event:
        runner.on(event, lambda _, name=event.name: story.append(name))  # type: ignore[misc]
    return story


def delivered(runner: Runner) -> list[Any]:
    """Return the list to which the runner adds its batches."""
    seen: list[Any] = []
    runner.on(Event.BATCH, lambda state: seen.append(state["batch"]))
    return seen


def stop_at(runner: Runner, *n_iters: int) -> None:
    """Stop a run at some batches, at each of them once."""
    left = set(n_iters)

    @runner.on(Event.BATCH)
    def stop(state: State) -> None:
        if state["n_iters"] in left:
            left.remove(state["n_iters"])
            runner.stop()


def n_handlers(runner: Runner) -> int:
    """Return how many handlers all events of a runner have together."""
    for event in Event:
        runner.stream(event).rebuild()
    return sum(len(runner.stream(event).handlers) for event in Event)
