"""Draw a run in the terminal while its recording grows; it needs the package ``rich``."""

import math
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rnnr._terminal._watched import Watched
from rnnr.dashboard._progress import ENDLESS
from rnnr.event import Event
from rnnr.recording._tail import Tail

__all__ = ["drawn", "watch"]

_BARS: Final = "▁▂▃▄▅▆▇█"
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
_SILENT: Final = 30.0  # seconds without a line after which that is told
_SECONDS: Final = 0.5  # between two looks at the file
_LONGEST: Final = 1e12  # seconds that a duration can show
_COLUMN: Final = 11  # characters of a number and of the space beside it
_STATUS: Final = {Event.FINISHED: "finished", Event.STOPPED: "stopped", Event.FAILED: "failed"}


def watch(path: Path, console: Console) -> None:
    """Draw a run again and again until it has ended; once, where no terminal is.

    Args:
        path: Its recording.
        console: Where to draw it.

    Raises:
        ValueError: If ``path`` is not a file.
        OSError: If the file is not there, or cannot be read.
    """
    tail = Tail(path)
    tail.check()
    watched = _read(tail, Watched())
    if not console.is_terminal:
        console.print(drawn(watched, path, console.width))
        return
    first = drawn(watched, path, console.width)
    with Live(first, console=console, auto_refresh=False) as live:
        while not watched.is_over:
            time.sleep(_SECONDS)
            watched = _read(tail, watched)
            live.update(drawn(watched, path, console.width), refresh=True)


def drawn(watched: Watched, path: Path, width: int = 80) -> Group:
    """Return what is shown of a run: its progress, the last epochs, the metrics.

    Args:
        watched: The run.
        path: Its recording.
        width: Width of the terminal in characters.
    """
    head, epochs = _head(watched, path), _epochs(watched, width)
    return Group(head, *_progress(watched), *epochs, *_metrics(watched))


def _plain(told: object) -> str:
    """Return a text of a recording without what a terminal would obey, as escape sequences."""
    return "".join(each if each.isprintable() else _REPLACED for each in str(told))


def _read(tail: Tail, watched: Watched) -> Watched:
    """Add what was written meanwhile, and return the run: another one, if it is another file."""
    while True:
        restarted, reports = tail.restarted, tail.read()
        if tail.restarted != restarted:
            watched = Watched()
        for report in reports:
            watched.add(report)
        if tail.is_at_end:
            return watched


def _head(watched: Watched, path: Path) -> Text:
    name = watched.config.get("run.name") or path.stem
    head = Text(f"{_plain(name)}  ", style="bold")
    if watched.latest is None:
        return head.append("waiting", style="dim")
    status = _STATUS.get(watched.latest.event, "running")
    silent = 0.0 if watched.is_over else time.time() - path.stat().st_mtime
    if silent > _SILENT:
        status = f"no news for {_duration(silent)}"
    if watched.latest.stopped_by:
        status = f"{status} by {_plain(watched.latest.stopped_by)}"
    head.append(status, style="red" if status == "failed" or silent > _SILENT else "green")
    if watched.latest.error:
        head.append(f"  {_plain(_last_line(watched.latest.error))}", style="red")
    return head


def _last_line(traceback: str) -> str:
    """Return the line of a traceback that names the exception; notes come after it."""
    lines = [line for line in traceback.splitlines() if line[:1].strip()]
    return next((line for line in reversed(lines) if not line.startswith("rnnr: ")), "")


def _progress(watched: Watched) -> Iterator[RenderableType]:
    report, progress = watched.latest, watched.progress
    if report is None:
        return
    last = f" of {report.max_epoch}" if report.max_epoch < ENDLESS else ""
    parts = [f"epoch {report.epoch}{last}"]
    if progress["batch"] is not None and progress["n_batches"]:
        parts.append(f"batch {progress['batch']:.0f} of {progress['n_batches']:.0f}")
    if progress["batches_per_second"]:
        parts.append(f"{progress['batches_per_second']:.3g} batches/s")
    parts.append(f"{_duration(report.seconds)} elapsed")
    if progress["seconds_left"] and not watched.is_over:
        parts.append(f"{_duration(progress['seconds_left'])} left")
    if progress["fraction"] is not None:
        line = Table.grid(expand=True)  # the bar does not end its line by itself
        line.add_row(ProgressBar(total=1.0, completed=progress["fraction"]))
        yield line
    yield Text(" · ".join(parts), style="dim")


def _epochs(watched: Watched, width: int) -> Iterator[RenderableType]:
    if not watched.epochs:
        return
    found = list(dict.fromkeys(name for epoch in watched.epochs for name in epoch.results))
    widths = accumulate((max(_COLUMN, len(name) + 2) for name in found), initial=2 * _COLUMN)
    names = found[: max(0, sum(each <= width for each in widths) - 1)]
    heads = ("epoch", "time", *map(_plain, names))
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        table.add_column(Text(head), justify="right")
    for epoch in watched.epochs:
        taken = "" if epoch.seconds is None else _duration(epoch.seconds)
        values = (f"{epoch.results[name]:.4g}" if name in epoch.results else "" for name in names)
        table.add_row(str(epoch.number), taken, *values)
    yield table
    if len(names) < len(found):
        yield Text(f"{len(found) - len(names)} more results have no room here", style="dim")


def _metrics(watched: Watched) -> Iterator[Table]:
    if not watched.curves:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, curve in watched.curves.items():
        values = [interval.mean for _, interval in curve.intervals()]
        line = Text(sparkline(values), style="cyan")
        table.add_row(Text(_plain(name)), line, f"{values[-1]:.4g}")
    yield table


def sparkline(values: Sequence[float]) -> str:
    """Return values as blocks of eight heights, with a space for one that is not finite."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low = min(finite) / 2  # of halves, since the difference may be larger than the largest float
    span = (max(finite) / 2 - low) or 1.0
    heights = (
        round(7 * ((value / 2 - low) / span)) if math.isfinite(value) else -1 for value in values
    )
    return "".join(_BARS[height] if height >= 0 else " " for height in heights)


def _duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds, or in tenths below a minute.

    It is not known where a clock was set back, or a recording is damaged.
    """
    if not 0 <= seconds < _LONGEST:
        return "?"
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
