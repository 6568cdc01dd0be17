"""What writes files from a state, and knows them again."""

import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._errors import add_note, check_string, wrong_type, wrong_value
from rnnr._pipeline import Pipeline, stateless
from rnnr._runs import runs_on_this_thread
from rnnr.files import (
    KeptFiles,
    SavedFile,
    SavedFiles,
    is_stamped,
    new_stamp,
    stamp,
    write_atomic,
)
from rnnr.operators._file_names import as_folder, ending_of, fields_of, queue_key
from rnnr.operators._ranking import Ranking, is_of_another_moment, is_there
from rnnr.state import State, begin_key, check_key, check_state, reader

__all__ = ["FileSaver", "other_keepers"]

logger = logging.getLogger("rnnr.callbacks.checkpointing")


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
        ranking: Decides which files are the best, if that is asked for.
        link: Name in the folder that one of the files is given, too, by another part.

    Attributes:
        link: The path of that name, if there is one.
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
        ranking: Ranking | None = None,
        link: str | None = None,
    ) -> None:
        strings = {"what": what, "ext": ext, "prefix_fmt": prefix_fmt, "queue_fmt": queue_fmt}
        if when is not None:
            strings["when"] = when
        if link is not None:
            strings["link"] = link
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
        fields = fields_of(self._name_fmt)
        self._ending = ending_of(self._name_fmt)
        self._read_fields = [reader(key, part, cure) for key in fields]
        self._has_fields = bool(fields)
        self._ranking = ranking
        self._write = _pickle if using is None else _written_by(using, unshared=link is not None)
        self._queue = queue_key(queue_fmt, what)
        read = [*fields, *([when] if when else []), *([ranking.key] if ranking else [])]
        check_key("queue_fmt", self._queue, what, *read)
        self._folder = as_folder(under)
        self.link = None if link is None else self._folder / self._checked_link(link)
        order = [str(ranking)] if ranking else []
        self._name = "|".join([self._name_fmt, str(self._folder), when or "", *order])
        self._is_named = False

    def operator(self) -> Pipeline[State, KeptFiles]:
        """Return the operator that writes a file from each state."""

        def step(state: State) -> KeptFiles:
            check_state(self._part, state)
            self.begin(state)
            path = self._path(state)
            thing = self._obj if self._obj is not None else self._read(state)
            logger.info("Saving to %s", path)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._save(state, path, partial(self._write, thing, path))
            except BaseException as error:
                place = f"{self._part} was writing"
                add_note(error, f"rnnr: {place} {path}", place=place)
                raise
            return KeptFiles(state, self._queue, self._name, self._own(state, path))

        return stateless(step, self._reserve_on)

    def is_among_best(self, ranking: Ranking, n: int, state: State) -> bool:
        """Return whether what would be written now is among the n best files then."""
        check_state(self._part, state)
        path = self._path(state)
        files = state[self._queue].files
        own = [one for one in self._own(state, path) if is_there(one, files[one])]
        return ranking.is_among_best(state, self._name, own, str(path), n)

    def _path(self, state: State) -> Path:
        """Return the path of the file of a state."""
        for read_field in self._read_fields:
            read_field(state)
        path = self._folder / self._name_fmt.format_map(state)
        if path == self.link:
            cure = "choose one that prefix_fmt does not make, for example 'best.pkl'"
            raise wrong_value("link", "another name than that of a file", path.name, cure)
        return path

    def _own(self, state: State, newest: Path) -> tuple[str, ...]:
        """Return the files that it keeps."""
        files = state[self._queue].files
        mine = [one for one, file in files.items() if self._name in file.savers]
        return tuple(one for one in mine if self._could_write(one, newest))

    def _checked_link(self, link: str) -> str:
        """Return the name of the link; raise unless it is one, and of use."""
        if link in ("", os.curdir, os.pardir) or os.path.basename(link) != link:
            cure = "write for example link='model_best.pkl'; it is in the folder of the files"
            raise wrong_value("link", "the name of a file, without a folder", link, cure)
        if not self._has_fields:
            cure = f"{self._name_fmt!r} is one already"
            raise wrong_value(
                "link", "left out where the file's name is always the same", link, cure
            )
        return link

    def _could_write(self, path: str, newest: Path) -> bool:
        """Return whether a path may be one of ours: a hostile state may name any other."""
        folder = _normal(self._folder)
        is_inside = folder in _normal(path).parents or folder not in _normal(newest).parents
        return is_inside and _normal(path).name.endswith(self._ending)

    def _reserve_on(self, runner: Any) -> abc.DisposableBase:
        """Reserve the key, which checkpoints may share, and a name that no other one has."""
        reserved = runner._keys
        free = reserved.reserve("queue_fmt", self._queue, self._part, self, kind="checkpoint")
        frees = [free]
        try:
            for argument, path, kind in self._names_for_itself():
                wish = argument, str(path), self._part, self
                frees.append(reserved.reserve(*wish, kind=kind, what="a file name"))
        except ValueError:
            CompositeDisposable(*map(Disposable, frees)).dispose()
            raise
        name, free_name = reserved.reserve_numbered(self._name, self)
        if not self._is_named:
            self._name, self._is_named = name, True
        return CompositeDisposable(*map(Disposable, [*frees, free_name]))

    def _names_for_itself(self) -> Iterator[tuple[str, Path, str | None]]:
        """Yield the names of files that another part would overwrite, and who may all the same."""
        if self.link:
            yield "link", self.link, None
        if not self._has_fields:  # the newest of two are the same, but the best is not the newest
            path = self._folder / self._name_fmt.format()
            yield "prefix_fmt", path, None if self._ranking else "the newest"

    def begin(self, state: State) -> None:
        """Forget the files of an earlier run: they are not ours any more."""
        begin_key(state, self._queue)
        if not isinstance(state.get(self._queue), SavedFiles):
            state[self._queue] = SavedFiles.of(state.get(self._queue))
        if not self._is_named:
            self._name_itself(state)

    def _save(self, state: State, path: Path, write: Callable[[int], object]) -> None:
        """Write a file as the newest."""
        self._check_not_a_best(state, path)
        before = state[self._queue]
        files = {**SavedFiles.of(before).files}
        savers = {self._name}
        for other in [other for other in files if is_same(other, path)]:
            savers.update(files.pop(other).savers)
        time_ns = new_stamp()
        newest = SavedFile(tuple(sorted(savers)), time_ns)
        # first: a saved state knows its own file
        forget: Callable[[bool], None] = _nothing
        if self._ranking:
            forget = self._ranking.remember(state, self._name, self._own(state, path), str(path))
        replaced = SavedFiles.of(before).files.get(str(path))
        state[self._queue] = SavedFiles({**files, str(path): newest})
        try:
            write(time_ns)
        except BaseException:
            if not is_stamped(path, time_ns):  # else it is in place, and an interrupt came late
                state[self._queue] = before
                forget(replaced is not None and is_stamped(path, replaced.stamp))
            raise
        newest = newest._replace(stamp=stamp(path, time_ns))
        state[self._queue] = SavedFiles({**files, str(path): newest})
        self._tell_others(state, path, newest.stamp)

    def _check_not_a_best(self, state: State, path: Path) -> None:
        """Raise if a file is among the best of another one, by a value of another moment."""
        for key in [self._queue, *other_keepers(state, self._queue, path)]:
            for one, file in SavedFiles.of(state[key]).files.items():
                others = [name for name in file.savers if name != self._name]
                if is_same(one, path) and is_of_another_moment(state, others, one):
                    expected = f"one that leaves {path} alone, one of the best of another part"
                    cure = "write for example prefix_fmt='best_{epoch}_' in that one"
                    raise wrong_value("prefix_fmt", expected, self._name_fmt, cure)

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


def _written_by(
    using: Callable[[Any, Path], object], *, unshared: bool
) -> Callable[[Any, Path, int], object]:
    """Return what writes a file by a function of the user's, which may write over what is there."""

    def write(obj: Any, path: Path, _: int) -> None:
        if unshared and path.is_file():  # its other name keeps what is in it
            path.unlink()
        using(obj, path)

    return write


def _nothing(_: bool) -> None:
    """Do nothing."""


def _normal(path: str | Path) -> Path:
    """Return a path without dots in it."""
    return Path(os.path.normpath(path))
