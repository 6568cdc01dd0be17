"""A runner as text and as a table: where its run is, and its callbacks in order."""

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from rnnr._handler_names import described
from rnnr.event import Event
from rnnr.state import State
from rnnr.streams._subject import Streams

__all__ = ["as_html", "as_text"]


class _Row(NamedTuple):
    """One callback: its event, its name, and where it is defined."""

    event: str
    name: str
    where: str


def as_text(state: State, streams: Streams, *, is_running: bool) -> str:
    """Return what a runner is, a line for each callback."""
    rows = list(_rows(streams))
    width_of_event = max((len(row.event) for row in rows), default=0)
    width_of_name = max((len(row.name) for row in rows), default=0)
    lines = [
        f"  {row.event:{width_of_event}}  {row.name:{width_of_name}}  {row.where}".rstrip()
        for row in rows
    ]
    return "\n".join([f"Runner({_progress(state, is_running=is_running)})", *lines])


def as_html(state: State, streams: Streams, *, is_running: bool) -> str:
    """Return the same as a table of HTML."""
    head = "".join(f"<th>{name}</th>" for name in ("event", "callback", "defined at"))
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(streams)
    )
    caption = f"Runner: {escape(_progress(state, is_running=is_running))}"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    return f"<div><div>{caption}</div>{table}</div>"


def _progress(state: State, *, is_running: bool) -> str:
    if "n_iters" not in state:
        return "running" if is_running else "has not run"
    n_iters, epoch, max_epoch = (state.get(key, "?") for key in ("n_iters", "epoch", "max_epoch"))
    return (
        f"epoch {epoch} of {max_epoch}, {n_iters} batch{'' if n_iters == 1 else 'es'}, "
        f"{'running' if is_running else 'not running'}"
    )


def _rows(streams: Streams) -> Iterator[_Row]:
    for event in Event:
        stream = streams.get(event)  # nothing is made to be looked at
        for handler in stream.in_order if stream is not None else ():
            yield _Row(event.name, *described(handler))
