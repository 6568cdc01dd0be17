"""Pipelines that were built over the streams of a runner, and never subscribed."""

import builtins
import gc
import sys
import warnings
from collections.abc import Callable
from dis import opmap
from itertools import islice
from pathlib import Path
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Final, NamedTuple
from weakref import ref

from rnnr._errors import RnnrWarning, note_failure, user_frame

__all__ = ["Unsubscribed"]

_POP: Final = opmap["POP_TOP"]
_FRAMES: Final = (FrameType, GeneratorType, CoroutineType, AsyncGeneratorType)


class _Line(NamedTuple):
    """The line of the user that has built a pipeline."""

    file: str
    number: int
    module: str


class Unsubscribed:
    """The pipelines of one runner that nobody has subscribed to yet; the context of its runs.

    A pipeline that was never subscribed to does nothing, in silence. At the end of a run there is
    a warning for each line that has built one, if it is sure that nothing else has it: the
    statement that built it has dropped it, or a name is all that holds it. What an object or an
    operator holds may be subscribed to at another time, as the second one of ``concat`` is.

    Lines are remembered, not pipelines, so an endless run that builds one in each epoch keeps one.
    """

    __slots__ = ("_alive", "_dropped", "_settled")

    def __init__(self) -> None:
        self._alive: dict[int, tuple[ref[object], _Line]] = {}
        self._dropped: dict[_Line, None] = {}
        self._settled: set[_Line] = set()

    def add(self, pipeline: object) -> None:
        """Note that a pipeline was built."""
        frame, _ = user_frame()
        if frame is None or (line := _line_of(frame)) in self._settled or line in self._dropped:
            return  # without a frame, a thread has called it
        key, alive, dropped = id(pipeline), self._alive, self._dropped
        is_dropping = _is_dropping(frame)

        def died(_: object) -> None:
            alive.pop(key, None)
            if is_dropping(sys._getframe().f_back):
                dropped[line] = None

        alive[key] = ref(pipeline, died), line

    def remove(self, pipeline: object) -> None:
        """Note that a pipeline was subscribed to, or that another one was built from it."""
        self._alive.pop(id(pipeline), None)

    def __enter__(self) -> None:
        """Begin a run."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Warn, at the end of a run, of the lines that have built what nobody subscribed to."""
        if not (self._alive or self._dropped):  # as nearly always
            return
        try:
            for line in self._take():
                _warn(line)
        except RnnrWarning as warning:  # where the user has made it an error
            if error is None:
                raise
            note_failure(error, warning, "the end of the run")

    def _take(self) -> list[_Line]:
        """Return the lines to warn of; these and all others are settled then."""
        lines = dict(self._dropped)
        alive = {line: pipeline for pipeline, line in [*self._alive.values()]}  # one a line
        lines.update((line, None) for line, pipeline in alive.items() if _is_only_named(pipeline))
        self._settled.update(lines, alive)
        self._alive.clear()
        self._dropped.clear()
        return sorted(lines)


def _line_of(frame: FrameType) -> _Line:
    module = str(frame.f_globals.get("__name__"))
    return _Line(frame.f_code.co_filename, frame.f_lineno, module)


def _is_dropping(builder: FrameType) -> Callable[[FrameType | None], bool]:
    """Return a function that returns whether a frame is in the statement that builds, and drops it.

    The last instruction of a statement whose value nobody takes is to pop it. (To hold the frame
    would keep its variables alive.)
    """
    place, code, number = id(builder), builder.f_code, builder.f_lineno

    def test(frame: FrameType | None) -> bool:
        if frame is None or id(frame) != place or frame.f_code is not code:
            return False
        return code.co_code[frame.f_lasti] == _POP and number in _lines(code, frame.f_lasti)

    return test


def _lines(code: CodeType, offset: int) -> range:
    """Return the numbers of the lines of the statement to which an instruction belongs."""
    first, last, _, _ = next(islice(code.co_positions(), offset // 2, None))
    return range(first or 0, (last or first or 0) + 1)


def _is_only_named(pipeline: ref[object]) -> bool:
    """Return whether names alone hold it: variables of modules, of functions, of a notebook."""
    holders = gc.get_referrers(pipeline())
    names = [one for one in holders if type(one) is dict and _is_namespace(one)]
    outputs = [id(one.get("Out")) for one in names]  # the results of a notebook's cells
    ids = {*map(id, names), *outputs}
    return all(isinstance(one, _FRAMES) or id(one) in ids for one in holders)


def _is_namespace(names: dict[str, object]) -> bool:
    return "__builtins__" in names or names is vars(builtins)


def _warn(line: _Line) -> None:
    """Warn of a line, as if that line itself had warned."""
    where = f"{Path(line.file).name}:{line.number}"
    warnings.warn_explicit(
        f"a pipeline over a stream must be subscribed to ({where}): expected "
        "runner.stream(event).pipe(...).subscribe(), got runner.stream(event).pipe(...) alone, "
        "which does nothing; add .subscribe() or .subscribe(function), or write runner.on(event, "
        "pipeline(...)). If you keep it for a later run, leave it as it is; "
        "warnings.filterwarnings('ignore', 'a pipeline over a stream', RnnrWarning) hides this",
        RnnrWarning,
        line.file,
        line.number,
        line.module,
    )
