"""Files of what is worth keeping, the newest few."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from reactivex import operators as ops

from rnnr.errors import add_note, judge_string, judged_integer, wrong_type, wrong_value
from rnnr.files import write_whole
from rnnr.operators import Pipeline, pipeline
from rnnr.state import State
from rnnr.values import reader

__all__ = ["checkpoint", "save"]

_WHEN_CURE = "set it to True or False in a callback that is added before the checkpoint"

logger = logging.getLogger("rnnr.callbacks.checkpointing")


def checkpoint(
    what: str,
    obj: Any = None,
    *,
    under: str | os.PathLike[str] | None = None,
    at_most: int = 1,
    when: str | None = None,
    using: Callable[[Any, Path], object] | None = None,
    ext: str = "pkl",
    prefix_fmt: str = "{epoch}_",
    queue_fmt: str = "_saved_{what}",
) -> Pipeline:
    """Make a callback that saves an object and keeps the newest few files.

    The file is ``{prefix_fmt}{what}.{ext}`` in the directory ``under``, and each save is logged
    on ``rnnr.callbacks.checkpointing``. The default writer pickles into a file aside, flushes it to
    disk and renames it: a run that is killed leaves the older file or the newer, whole, and
    a fragment aside at most, which the next save removes. Older files are deleted
    after the new one is in place.

    Args:
        what: Name of the object.
        obj: Object to save. If ``None``, ``state[what]`` is saved.
        under: Directory of the files, created if it is missing. Defaults to the current
            working directory.
        at_most: Number of files to keep.
        when: If given, save only when ``state[when]`` is true.
        using: Called as ``using(obj, path)`` to write the file instead, for example
            ``torch.save``. It gets the final path, so a kill in the middle of it leaves a
            fragment there.
        ext: Extension of the file.
        prefix_fmt: Format of the file name's beginning; keys of the state are its fields.
        queue_fmt: Format of the key under which the paths of the kept files are found, as a
            deque, the oldest first.

    Returns:
        The callback.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``at_most`` is below 1 or a format cannot be used.
        OSError: If ``under`` is no directory and cannot become one, or cannot be written to.
        KeyError: When the callback is called and a key of the state is missing.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.callbacks import checkpoint
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     runner.state["model"] = "MODEL"
        ...     last_three = checkpoint("model", under=folder, at_most=3)
        ...     subscription = runner.on(Event.EPOCH_FINISHED, last_three)
        ...     runner.run(range(3), max_epoch=7)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['5_model.pkl', '6_model.pkl', '7_model.pkl']
    """
    strings = {"what": what, "ext": ext, "prefix_fmt": prefix_fmt, "queue_fmt": queue_fmt}
    if when is not None:
        strings["when"] = when
    for name, string in strings.items():
        judge_string(name, string, f"write {name}='...'")
    if using is not None and not callable(using):
        raise wrong_type("using", "callable", using, "pass a function of an object and a path")
    part = f"checkpoint({what!r})"
    name_fmt = f"{prefix_fmt}{what}.{ext}"
    read = reader(what, part, f"set it in a callback that is added before {part}, or pass obj")
    cure = f"the file's name, {name_fmt!r}, has it as a field"
    wanted = _always if when is None else reader(when, part, _WHEN_CURE)
    write = _pickle if using is None else using
    fields = [reader(key, part, cure) for key in _judged_fields(name_fmt)]
    kept = "the newest file is always kept"
    keep = judged_integer("at_most", at_most, 1, (kept, kept))
    folder = _judged_folder(under)
    queue = _judged_queue(queue_fmt, what)

    def save_one(state: State) -> None:
        for read_field in fields:
            read_field(state)
        path = folder / name_fmt.format_map(state)
        thing = obj if obj is not None else read(state)
        logger.info("Saving to %s", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = state[queue]
        state[queue] = newest_last(before, path)  # first: a saved state knows its own file
        try:
            write(thing, path)
        except BaseException as error:
            state[queue] = before
            add_note(error, f"rnnr: {part} was writing {path}")
            raise

    def evict(state: State) -> None:
        while len(state[queue]) > keep:
            state[queue][0].unlink(missing_ok=True)
            state[queue].popleft()

    callback = pipeline(
        ops.do_action(lambda state: state.setdefault(queue, deque())),
        ops.filter(wanted),
        ops.do_action(save_one),
        ops.do_action(evict),
    )
    callback.__qualname__ = f"checkpoint({what!r})"
    return callback


save = checkpoint
"""Another name for `checkpoint`."""


def newest_last(paths: Iterable[Path], path: Path) -> deque[Path]:
    """Return the paths with one more at the end, each file once, however it is spelled."""
    file = path.resolve()
    return deque([*(other for other in paths if other.resolve() != file), path])


def _always(_: State) -> bool:
    return True


def _pickle(obj: Any, path: Path) -> None:
    import pickle

    write_whole(path, lambda file: pickle.dump(obj, file))


class _Probe(dict[str, "_Anything"]):
    """A state that has every key, and remembers which ones a format asked for."""

    def __missing__(self, key: str) -> "_Anything":
        return self.setdefault(key, _Anything())


class _Anything:
    """A value that has every attribute and every item, and any format."""

    def __getattr__(self, name: str) -> "_Anything":
        return self

    def __getitem__(self, key: object) -> "_Anything":
        return self

    def __format__(self, spec: str) -> str:
        return ""


def _judged_fields(name_fmt: str) -> list[str]:
    """Return the keys that a format asks for."""
    probe = _Probe()
    try:
        name_fmt.format_map(probe)
    except ValueError as error:
        cure = f"{error}; write for example prefix_fmt='{{epoch}}_'"
        raise wrong_value("the file's name", "a format of keys", name_fmt, cure) from None
    return list(probe)


def _judged_queue(queue_fmt: str, what: str) -> str:
    try:
        return queue_fmt.format(what=what)
    except (ValueError, LookupError, AttributeError):
        expected, cure = "a format of the field what", "write for example queue_fmt='_saved_{what}'"
        raise wrong_value("queue_fmt", expected, queue_fmt, cure) from None


def _judged_folder(under: str | os.PathLike[str] | None) -> Path:
    if under is None:
        return Path.cwd()
    try:
        folder = under if isinstance(under, Path) else Path(under)
    except TypeError:
        raise wrong_type("under", "a path", under, "pass a directory, for example 'out'") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"under must be a directory or become one, got {str(folder)!r}, which cannot be "
            f"created ({error.strerror}); pass a directory that you may write to",
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"under must be a directory that can be written to, got {str(folder)!r}; change its "
            "permissions or pass another"
        )
    return folder
