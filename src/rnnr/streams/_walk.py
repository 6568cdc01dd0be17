"""Calling handlers in order, behind the gate."""

from collections.abc import Callable
from typing import TypeAlias

from rnnr.state import State

__all__ = ["Callback"]

Callback: TypeAlias = Callable[[State], object]


def _walk(handlers: list[Callback]) -> Callback:
    """Make the function that calls the handlers of a list in order, while the state is running.

    The caller has looked at the gate for the first. The list is read at each call, so that one
    who leaves meanwhile can be replaced in it. Up to three are written out: the loop around so
    few takes as long as calling them.
    """
    walks = [_walk_none, _walk_one, _walk_two, _walk_three]
    return (walks[len(handlers)] if len(handlers) < len(walks) else _walk_many)(handlers)


def _walk_none(_: list[Callback]) -> Callback:
    return _skip


def _walk_one(handlers: list[Callback]) -> Callback:
    return handlers[0]


def _walk_two(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        handlers[0](state)
        if state["running"]:
            handlers[1](state)

    return walk


def _walk_three(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        handlers[0](state)
        if not state["running"]:
            return
        handlers[1](state)
        if not state["running"]:
            return
        handlers[2](state)

    return walk


def _walk_many(handlers: list[Callback]) -> Callback:
    def walk(state: State) -> None:
        for handler in handlers:
            handler(state)
            if not state["running"]:
                return

    return walk


def _skip(_: State) -> None:
    """Take the place of a handler that left while its delivery was under way."""
