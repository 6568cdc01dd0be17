"""Files of what is worth keeping, the newest few."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from reactivex import abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import add_note, as_integer, check_string, wrong_type, wrong_value
from rnnr._runs import runs_on_this_thread
from rnnr.files import (
    SavedFile,
    SavedFiles,
    delete,
    is_stamped,
    new_stamp,
    stamp,
    write_atomic,
)
from rnnr.operators._pipeline import Pipeline, pipeline
from rnnr.runner import Runner
from rnnr.state import State, begin_key, check_key, reader

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

    A checkpoint deletes what it has written itself, in this run (which may have been resumed, also
    by another process) and in this folder. Files of an earlier run or of the run whose
    state this one was given stay, and so does what another checkpoint of the run keeps, or what
    has changed since it was saved. What cannot be deleted is logged, and tried again.

    Args:
        what: Name of the object.
        obj: Object to save. If ``None``, ``state[what]`` is saved.
        under: Directory of the files, created if it is missing. Defaults to the current
            working directory, as it is now; a relative path begins there, too.
        at_most: Number of files to keep.
        when: If given, save only when ``state[when]`` is true.
        using: Called as ``using(obj, path)`` to write the file instead, for example
            ``torch.save``. It gets the final path, so a kill in the middle of it leaves a
            fragment there. It may make a folder, and must be through when it returns.
        ext: Extension of the file, with or without its dot.
        prefix_fmt: Format of the file name's beginning; keys of the state are its fields.
        queue_fmt: Format of the key under which the paths of the kept files are found, as a
            deque, the oldest first (see `rnnr.files.SavedFiles`). Checkpoints may share it.

    Returns:
        The callback.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``at_most`` is below 1 or a format cannot be used; when it is attached, if
            another part of the runner than a checkpoint writes under that key.
        OSError: If ``under`` is no directory and cannot become one, or cannot be written to.
        KeyError: When the callback is called and a key of the state is missing.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.callbacks._checkpoint import checkpoint
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
        check_string(name, string, f"write {name}='...'")
    if using is not None and not callable(using):
        raise wrong_type("using", "callable", using, "pass a function of an object and a path")
    part = f"checkpoint({what!r})"
    name_fmt = f"{prefix_fmt}{what}.{ext.removeprefix('.')}"
    read = reader(what, part, f"set it in a callback that is added before {part}, or pass obj")
    cure = f"the file's name, {name_fmt!r}, has it as a field"
    wanted = _always if when is None else reader(when, part, _WHEN_CURE)
    write = _pickle if using is None else _without_time(using)
    fields = [reader(key, part, cure) for key in _fields_of(name_fmt)]
    kept = "the newest file is always kept"
    keep = as_integer("at_most", at_most, 1, (kept, kept))
    queue = _queue_key(queue_fmt, what)
    check_key("queue_fmt", queue, what, *_fields_of(name_fmt), *([when] if when else []))
    folder = _as_folder(under)
    saver = _Saver(part, queue, "|".join([name_fmt, str(folder), when or ""]), keep)

    def save_one(state: State) -> None:
        for read_field in fields:
            read_field(state)
        path = folder / name_fmt.format_map(state)
        thing = obj if obj is not None else read(state)
        logger.info("Saving to %s", path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            saver.save(state, path, partial(write, thing, path))
        except BaseException as error:
            add_note(error, f"rnnr: {part} was writing {path}", place=f"{part} was writing")
            raise

    callback = pipeline(
        ops.do_action(saver.begin),
        ops.filter(wanted),
        ops.do_action(save_one),
        ops.do_action(saver.evict),
    )
    callback.__qualname__ = part
    callback.reserved = saver.reserve_on
    return callback


save = checkpoint
"""Another name for `checkpoint`."""


class _Saver:
    """Keeps the newest of the files that one checkpoint has written.

    It deletes what it has written itself. So each checkpoint has a name, which is the
    same when the run goes on in another process and in the same folder; a file that another
    checkpoint of the run keeps, too, stays, and so does one that has changed since.

    Args:
        part: What it is called in messages.
        queue: Key of the state under which the files are.
        name: What tells this checkpoint from others.
        keep: Number of files to keep.
    """

    def __init__(self, part: str, queue: str, name: str, keep: int) -> None:
        self._part = part
        self._queue = queue
        self._name = name
        self._keep = keep
        self._is_named = False

    def reserve_on(self, runner: Runner) -> abc.DisposableBase:
        """Reserve the key, which checkpoints may share, and a name that no other one has."""
        reserved = runner._keys
        free = reserved.reserve("queue_fmt", self._queue, self._part, self, kind="checkpoint")
        name, free_name = reserved.reserve_numbered(self._name, self)
        if not self._is_named:
            self._name, self._is_named = name, True
        return CompositeDisposable(Disposable(free), Disposable(free_name))

    def begin(self, state: State) -> None:
        """Forget the files of an earlier run: they are not ours any more."""
        begin_key(state, self._queue)
        if not isinstance(state.get(self._queue), SavedFiles):
            state[self._queue] = SavedFiles.of(state.get(self._queue))
        if not self._is_named:
            self._name_itself(state)

    def save(self, state: State, path: Path, write: Callable[[int], object]) -> None:
        """Write a file as the newest."""
        before = state[self._queue]
        files = {**SavedFiles.of(before).files}
        savers = {self._name}
        for other in [other for other in files if _is_same(other, path)]:
            savers.update(files.pop(other).savers)
        time_ns = new_stamp()
        newest = SavedFile(tuple(sorted(savers)), time_ns)
        # first: a saved state knows its own file
        state[self._queue] = SavedFiles({**files, str(path): newest})
        try:
            write(time_ns)
        except BaseException:
            if not is_stamped(path, time_ns):  # else it is in place, and an interrupt came late
                state[self._queue] = before
            raise
        newest = newest._replace(stamp=stamp(path, time_ns))
        state[self._queue] = SavedFiles({**files, str(path): newest})
        self._tell_others(state, path, newest.stamp)

    def evict(self, state: State) -> None:
        """Delete the oldest; the new one is in place, so what goes wrong is logged."""
        files = {**state[self._queue].files}
        mine = [path for path, file in files.items() if self._name in file.savers]
        for path in mine[: -self._keep]:
            others = tuple(name for name in files[path].savers if name != self._name)
            if others:
                files[path] = files[path]._replace(savers=others)
            elif self._keepers(state, Path(path)) or self._is_deleted(Path(path), files[path]):
                del files[path]
        state[self._queue] = SavedFiles(files)

    def _name_itself(self, state: State) -> None:
        """Take a name in a run that calls it from a function of the user's, and not by `on`.

        Nothing tells two of one name apart in another process: where there are two, each has
        a name for this process alone, and leaves the files of the one before.
        """
        slot = next((slot for slot, _, other in runs_on_this_thread() if other is state), None)
        if slot is None:
            return
        mark = f"{self._name} @"
        files = SavedFiles.of(state[self._queue]).files.values()
        are_several = any(name.startswith(mark) for file in files for name in file.savers)
        runner: Runner = slot.runner()  # it runs, so it is there
        name, _ = runner._keys.reserve_numbered(self._name, self)
        if are_several or name != self._name:
            self._name = mark + token_hex(4)
        self._is_named = True

    def _keepers(self, state: State, path: Path) -> list[str]:
        """Return the other keys of the state under which a file is kept."""
        queues = {key: SavedFiles.of(value).files for key, value in state.items()}
        del queues[self._queue]
        return [key for key, files in queues.items() if any(_is_same(one, path) for one in files)]

    def _tell_others(self, state: State, path: Path, time_ns: int | None) -> None:
        """Have a file known again under the other keys, too, under which it is kept."""
        for key in self._keepers(state, path):
            state[key] = SavedFiles(
                {
                    one: file._replace(stamp=time_ns) if _is_same(one, path) else file
                    for one, file in SavedFiles.of(state[key]).files.items()
                }
            )

    def _is_deleted(self, path: Path, file: SavedFile) -> bool:
        """Delete a file; return whether there is nothing left to be done."""
        if not os.path.lexists(path):
            return True
        if not is_stamped(path, file.stamp):
            logger.warning("Not deleting %s: it has changed since it was saved", path)
            return True
        try:
            delete(path)
        except OSError as error:
            stamp(path, file.stamp or 0)  # half of a folder may be gone
            logger.warning("Cannot delete %s, trying again after the next save: %s", path, error)
            return False
        return True


def _is_same(path: str, other: Path) -> bool:
    """Return whether two paths are of one file, however they are spelled."""
    return os.path.realpath(path) == os.path.realpath(other)


def _always(_: State) -> bool:
    return True


def _pickle(obj: Any, path: Path, time_ns: int) -> None:
    import pickle

    write_atomic(path, lambda file: pickle.dump(obj, file), time_ns=time_ns)


def _without_time(using: Callable[[Any, Path], object]) -> Callable[[Any, Path, int], object]:
    return lambda obj, path, _: using(obj, path)


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


def _fields_of(name_fmt: str) -> list[str]:
    """Return the keys that a format asks for."""
    probe = _Probe()
    try:
        name_fmt.format_map(probe)
    except ValueError as error:
        cure = f"{error}; write for example prefix_fmt='{{epoch}}_'"
        raise wrong_value("the file's name", "a format of keys", name_fmt, cure) from None
    return list(probe)


def _queue_key(queue_fmt: str, what: str) -> str:
    try:
        return queue_fmt.format(what=what)
    except (ValueError, LookupError, AttributeError):
        expected, cure = "a format of the field what", "write for example queue_fmt='_saved_{what}'"
        raise wrong_value("queue_fmt", expected, queue_fmt, cure) from None


def _as_folder(under: str | os.PathLike[str] | None) -> Path:
    try:
        folder = Path(".") if under is None else Path(under)
        folder = folder.absolute()  # as it is now, whatever the working directory will be
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
