"""What writes files from a state, and knows them again."""

import logging
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from secrets import token_hex
from string import Formatter
from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import add_note, check_string, wrong_type, wrong_value
from rnnr._pipeline import Pipeline, stateless
from rnnr._runs import runs_on_this_thread
from rnnr.files import KeptFiles, SavedFile, SavedFiles, is_stamped, new_stamp, stamp, write_atomic
from rnnr.state import State, begin_key, check_key, check_state, reader

__all__ = ["FileSaver", "other_keepers"]

logger = logging.getLogger("rnnr.callbacks.checkpointing")

_FIELD = re.compile(r"([^.[\]]+)(?:\.[^.[\]]+|\[[^\]]+\])*")  # as in {epoch}, {valid[loss]}, {a.b}


class FileSaver:
    """Writes files, and knows which of them are its own.

    So each has a name, which is the same when the run goes on in another process and in the same
    folder. A file that another one of the run keeps, too, stays, and so does a file that has
    changed since.

    Args:
        part: What it is called in messages.
        what: As for `save_file`, and so for what is not listed here.
        obj: As for `save_file`.
        when: Key of the flag that the files depend on, if there is one.
        under: As for `save_file`.
        using: As for `save_file`.
        ext: As for `save_file`.
        prefix_fmt: As for `save_file`.
        queue_fmt: As for `save_file`.
    """

    def __init__(
        self,
        part: str,
        what: str,
        obj: Any,
        *,
        when: str | None = None,
        under: str | os.PathLike[str] | None,
        using: Callable[[Any, Path], object] | None,
        ext: str,
        prefix_fmt: str,
        queue_fmt: str,
    ) -> None:
        strings = {"what": what, "ext": ext, "prefix_fmt": prefix_fmt, "queue_fmt": queue_fmt}
        if when is not None:
            strings["when"] = when
        for name, string in strings.items():
            check_string(name, string, f"write {name}='...'")
        if using is not None and not callable(using):
            raise wrong_type("using", "callable", using, "pass a function of an object and a path")
        self._part = part
        self._obj = obj
        self._name_fmt = f"{prefix_fmt}{what}.{ext.removeprefix('.')}"
        cure = f"set it in a callback that is added before {part}, or pass obj"
        self._read = reader(what, part, cure)
        cure = f"the file's name, {self._name_fmt!r}, has it as a field"
        fields = _fields_of(self._name_fmt)
        self._ending = _ending_of(self._name_fmt)
        self._read_fields = [reader(key, part, cure) for key in fields]
        self._write = _pickle if using is None else _without_time(using)
        self._queue = _queue_key(queue_fmt, what)
        check_key("queue_fmt", self._queue, what, *fields, *([when] if when else []))
        self._folder = _as_folder(under)
        self._name = "|".join([self._name_fmt, str(self._folder), when or ""])
        self._is_named = False

    def operator(self) -> Pipeline[State, KeptFiles]:
        """Return the operator that writes a file from each state."""

        def step(state: State) -> KeptFiles:
            check_state(self._part, state)
            self.begin(state)
            for read_field in self._read_fields:
                read_field(state)
            path = self._folder / self._name_fmt.format_map(state)
            thing = self._obj if self._obj is not None else self._read(state)
            logger.info("Saving to %s", path)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._save(state, path, partial(self._write, thing, path))
            except BaseException as error:
                place = f"{self._part} was writing"
                add_note(error, f"rnnr: {place} {path}", place=place)
                raise
            files = state[self._queue].files
            mine = [one for one, file in files.items() if self._name in file.savers]
            own = tuple(one for one in mine if self._could_write(one, path))
            return KeptFiles(state, self._queue, self._name, own)

        return stateless(step, self._reserve_on)

    def _could_write(self, path: str, newest: Path) -> bool:
        """Return whether a path may be one of ours: a hostile state may name any other."""
        folder = _normal(self._folder)
        is_inside = folder in _normal(path).parents or folder not in _normal(newest).parents
        return is_inside and _normal(path).name.endswith(self._ending)

    def _reserve_on(self, runner: Any) -> abc.DisposableBase:
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

    def _save(self, state: State, path: Path, write: Callable[[int], object]) -> None:
        """Write a file as the newest."""
        before = state[self._queue]
        files = {**SavedFiles.of(before).files}
        savers = {self._name}
        for other in [other for other in files if is_same(other, path)]:
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
        runner = slot.runner()  # it runs, so it is there
        name, _ = runner._keys.reserve_numbered(self._name, self)
        if are_several or name != self._name:
            self._name = mark + token_hex(4)
        self._is_named = True

    def _tell_others(self, state: State, path: Path, time_ns: int | None) -> None:
        """Have a file known again under the other keys, too, under which it is kept."""
        for key in other_keepers(state, self._queue, path):
            state[key] = SavedFiles(
                {
                    one: file._replace(stamp=time_ns) if is_same(one, path) else file
                    for one, file in SavedFiles.of(state[key]).files.items()
                }
            )


def other_keepers(state: State, key: str, path: Path) -> list[str]:
    """Return the other keys of the state under which a file is kept."""
    queues = {other: SavedFiles.of(value).files for other, value in state.items() if other != key}
    return [other for other, files in queues.items() if any(is_same(one, path) for one in files)]


def is_same(path: str, other: Path) -> bool:
    """Return whether two paths are of one file, however they are spelled."""
    return os.path.realpath(path) == os.path.realpath(other)


def _pickle(obj: Any, path: Path, time_ns: int) -> None:
    import pickle

    write_atomic(path, lambda file: pickle.dump(obj, file), time_ns=time_ns)


def _without_time(using: Callable[[Any, Path], object]) -> Callable[[Any, Path, int], object]:
    return lambda obj, path, _: using(obj, path)


def _fields_of(name_fmt: str) -> list[str]:
    """Return the keys that a format asks for."""
    try:
        return list(dict.fromkeys(_keys_in(name_fmt)))
    except ValueError as error:
        cure = f"{error}; write for example prefix_fmt='{{epoch}}_'"
        raise wrong_value("the file's name", "a format of keys", name_fmt, cure) from None


def _ending_of(name_fmt: str) -> str:
    """Return how the names of all files end."""
    *_, (last, field, *_) = Formatter().parse(name_fmt)
    return os.path.basename(last) if field is None else ""


def _normal(path: str | Path) -> Path:
    """Return a path without dots in it."""
    return Path(os.path.normpath(path))


def _keys_in(fmt: str) -> Iterator[str]:
    for _, field, spec, conversion in Formatter().parse(fmt):
        if field is not None:
            found = _FIELD.fullmatch(field)
            if not found or found[1].isdigit():
                raise ValueError(f"{{{field}}} is not a key of the state")
            if conversion not in (None, "", "a", "r", "s"):
                raise ValueError(f"there is no conversion !{conversion}")
            yield found[1]
            yield from _keys_in(spec or "")


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
