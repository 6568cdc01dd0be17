"""One event delivered to its handlers: how they are called, behind the gate or not."""

from collections.abc import Callable
from typing import TypeAlias

from rnnr._errors import note_failure
from rnnr.state import State

__all__ = ["Callback", "skip", "walk", "walk_all"]

Callback: TypeAlias = Callable[[State], object]


def walk(handlers: list[Callback]) -> Callback:
    """Make the function that calls the handlers of a list in order, while the state is running.

    The caller has looked at the gate for the first handler. The list is read at each call, so
    that a handler that leaves meanwhile can be replaced in it. Up to three are written out: the
    loop around so few takes as long as calling them.
    """
    walks = [_walk_none, _walk_one, _walk_two, _walk_three]
    return (walks[len(handlers)] if len(handlers) < len(walks) else _walk_many)(handlers)


def walk_all(handlers: list[Callback]) -> Callback:
    """Make the function that calls every handler of a list, whatever the others do.

    It raises the first of their errors after the last handler: what is open has to be closed. The
    others become notes on it.
    """

    def call(state: State) -> None:
        failures: list[BaseException] = []
        for handler in handlers:
            try:
                handler(state)
            except BaseException as error:  # noqa: BLE001  (it is raised below)
                failures.append(error)
        try:
            if failures:
                while len(failures) > 1:
                    note_failure(failures[0], failures.pop(1), "another handler of the event")
                raise failures[0]
        finally:
            del failures  # a traceback that holds its own exception keeps the state alive

    return call


def skip(_: State) -> None:
    """Take the place of a handler that left while its event was delivered."""


def _walk_none(_: list[Callback]) -> Callback:
    return skip


def _walk_one(handlers: list[Callback]) -> Callback:
    return handlers[0]


def _walk_two(handlers: list[Callback]) -> Callback:
    def call(state: State) -> None:
        handlers[0](state)
        if state["running"]:
            handlers[1](state)

    return call


def _walk_three(handlers: list[Callback]) -> Callback:
    def call(state: State) -> None:
        handlers[0](state)
        if not state["running"]:
            return
        handlers[1](state)
        if not state["running"]:
            return
        handlers[2](state)

    return call


def _walk_many(handlers: list[Callback]) -> Callback:
    def call(state: State) -> None:
        for handler in handlers:
            handler(state)
            if not state["running"]:
                return

    return call
