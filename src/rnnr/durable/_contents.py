"""What a snapshot holds: the objects, the state, and the states of random generators."""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from rnnr._errors import add_note, shown, wrong_value
from rnnr._logs._log import KeepsRows
from rnnr._values._pack import Keys, Packer, Template, path_text
from rnnr._values._place import Placer
from rnnr._values._safetensors import read_header
from rnnr._values._unpack import FoundObject, Unpacker
from rnnr._values._written import names_of_shared
from rnnr.durable._folder import Folder, Snapshot
from rnnr.durable._random_states import States
from rnnr.state import State

__all__ = ["Values", "pack_values"]

logger = logging.getLogger("rnnr.durable")

_CURE = (
    "give its object the two methods, or name the key in leave_out=(...) if a callback sets it "
    "before it is read"
)

_LONGEST_NAME: Final = 100  # of a file, which file systems limit

_CURE_OF_OBJECT = "make it as in the run that saved it, or begin again in another folder"


class Given(NamedTuple):
    """What `rnnr.Runner.run` was given, and what a callback has made of it.

    Attributes:
        max_epoch: The number of epochs that it was given.
        max_epoch_then: The number that the state had when it was saved.
        had_other_batches: Whether the state had other batches.
        had_workers: Whether the loader kept workers, which it had started in an earlier epoch.
        n_batches: The number of batches, if they had a length.
    """

    max_epoch: Any
    max_epoch_then: Any
    had_other_batches: bool
    had_workers: bool
    n_batches: int | None

    def max_epoch_now(self, max_epoch: Any) -> Any:
        """Return the number of epochs for a run that is given one.

        What a callback has set counts, unless `run` is given another number than then.
        """
        return self.max_epoch_then if max_epoch == self.max_epoch else max_epoch


def pack_values(
    state: State,
    removed: Iterable[Any],
    objects: Mapping[str, Any],
    random_states: States,
    templates: Mapping[Keys, Template],
    given: Given,
) -> tuple[Packer, dict[str, Any], list[str]]:
    """Pack the values of a run.

    The objects come first, so that what the state shares with them becomes the same object again.

    Args:
        state: The state, without what is left out.
        removed: Keys that the state had when the run began, and has no longer.
        objects: The named objects; ``None`` for one that is not saved now.
        random_states: States of the random generators.
        templates: Where objects and named tuples were when the run began.
        given: What `run` was given, and what a callback has made of it.

    Returns:
        The packer, which has the arrays; the trees; and the names of arrays of the state that share
        their memory with an object, and are others after a restart.

    Raises:
        TypeError: If there is something that cannot be kept.
        ValueError: If there is something that is nested too deeply.
    """
    packer = Packer(_CURE, templates)
    owned = [[packer.pack(k, (k,)), _pack(packer, v, (k,))] for k, v in objects.items()]
    n_owned = len(packer.arrays)
    pairs = [
        [packer.pack(k, ("state", k, "key")), _pack(packer, v, ("state", k))]
        for k, v in state.items()
    ]
    shared = names_of_shared(packer.arrays, n_owned)
    trees = {
        "objects": owned,
        "state": pairs,
        "removed": [packer.pack(k, ("state", k, "key")) for k in removed],
        "given": [packer.pack(one, ("given",)) for one in given],
        "random_states": packer.pack(random_states, ("random_states",)),
    }
    return packer, trees, shared


def _pack(packer: Packer, value: Any, keys: Keys) -> Any:
    try:
        return packer.pack(value, keys)
    except RecursionError:
        cure = "keep it as a flat list, or name the key in leave_out=(...)"
        raise wrong_value(path_text(keys), "nested less deeply", value, cure) from None


class Values:
    """The values of a snapshot that was read, before they are put in their places.

    Attributes:
        saved_at: When they were saved, in seconds since 1970.
        objects: Those of the named objects.
        state: Those of the state.
        removed: Keys that the state no longer had.
        given: What `run` was given.
        random_states: States of the random generators.
    """

    def __init__(self, manifest: Mapping[str, Any], arrays: Mapping[str, memoryview]) -> None:
        unpacker, values = Unpacker(arrays), manifest["values"]
        self.saved_at = float(manifest["saved_at"])
        self._versions: dict[str, str] = manifest["versions"]
        self.objects = unpacker.pairs(values["objects"])
        self.state = unpacker.pairs(values["state"])
        self.removed = unpacker.items(values["removed"])
        self.given = Given(*unpacker.items(values["given"]))
        # They have no place, so nothing is put into one.
        states = unpacker.unpack(values["random_states"])
        self.random_states: States = Placer().place(None, states, ("random_states",))

    @classmethod
    def read(cls, snapshot: Snapshot) -> "Values":
        """Return the values of a snapshot.

        Raises:
            Exception: If it is not what was written.
        """
        return cls(snapshot.manifest, read_header(memoryview(snapshot.read())))

    def cut_logs(self, objects: Mapping[str, Any], folder: Folder) -> None:
        """Cut the logs back, once everything else is in its place.

        The rows are kept before they are cut, so that a hostile snapshot destroys none.

        Args:
            objects: The named objects.
            folder: Where to keep the rows, in a file for each log.

        Raises:
            ValueError: If a log is not the one that was saved; none is cut then.
            OSError: If one cannot be read or written, or the rows cannot be kept.
        """
        logs = [
            (name, objects[name], value)
            for name, value in self.objects.items()
            if isinstance(objects[name], KeepsRows) and value is not None
        ]
        for name, log, value in logs:
            with _named(name):
                log.check_rows(_state_in(value, name))
        for name, log, value in logs:
            with _named(name):
                log.copy_rows_to_cut(_state_in(value, name), partial(folder.append, _cut(name)))
                Placer().place(log, value, (name,))

    def restore(self, state: State, objects: Mapping[str, Any]) -> None:
        """Put all values in their places, except for the logs.

        Args:
            state: The state of the runner.
            objects: The named objects.

        Raises:
            ValueError: If the objects are others than those that were saved.
        """
        _check_names(self.objects.keys(), objects.keys())
        self._warn_of_versions()
        placer = Placer()
        for name, value in self.objects.items():
            thing = objects[name]
            if value is None or isinstance(thing, KeepsRows):
                continue
            with _named(name):
                placed = placer.place(thing, value, (name,))
            if placed is not thing:
                raise _does_not_fit(name, thing)
        for key, value in self.state.items():
            state[key] = placer.place(state.get(key), value, ("state", key))
        for key in self.removed:
            state.pop(key, None)

    def _warn_of_versions(self) -> None:
        for library, version in self._versions.items():
            present = getattr(sys.modules.get(library), "__version__", version)
            if present != version:
                message = "The run was saved with %s %s and goes on with %s: results may differ"
                logger.warning(message, library, version, present)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Name an object in a note on the error, if it cannot be restored."""
    try:
        yield
    except Exception as error:
        add_note(error, f"rnnr: while {name!r} was restored; {_CURE_OF_OBJECT}")
        raise


def _state_in(value: Any, name: str) -> Any:
    """Return the state of an object that was saved; of a hostile snapshot, any value."""
    return Placer().place(None, value.state, (name,)) if isinstance(value, FoundObject) else value


def _cut(name: str) -> str:
    """Return the name of the file for the rows that are cut from a log."""
    short = quote(name, safe="")
    if len(short) > _LONGEST_NAME:
        short = f"{short[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:12]}"
    return f"{short}.cut"


def _check_names(saved: Iterable[str], given: Iterable[str]) -> None:
    if {*saved} != {*given}:
        raise ValueError(
            f"the objects of Snapshots must be those that were saved, {_names(saved)}, got "
            f"{_names(given)}; name the same ones, or begin the run again in another folder"
        )


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _does_not_fit(name: str, thing: object) -> ValueError:
    return ValueError(
        f"{name} must have the type and the shape that were saved, got {shown(thing)}; "
        f"{_CURE_OF_OBJECT}"
    )
