"""Copies of what was best, and how they are put back."""

from copy import deepcopy
from typing import Any, TypeAlias

from rnnr._errors import wrong_type, wrong_value
from rnnr._restored import is_loadable
from rnnr.state import RUN_KEYS, Reader, State, reader

__all__ = ["Restorer"]

_Contents: TypeAlias = dict[str, Any]

_OBJECT = ""  # stands for the key of an object that is not in the state


class Restorer:
    """Copies what is to be restored, and puts it back.

    What has ``state_dict()`` and ``load_state_dict()``, as models and optimizers of PyTorch, is
    copied and put back by these; anything else by a deep copy that replaces it in the state.

    Args:
        part: Name of the caller, for messages.
        restore: ``None`` for nothing, a key of the state, a list of keys, or an object with
            both methods.

    Raises:
        TypeError: If ``restore`` is something else.
        ValueError: If it is an empty list.
    """

    def __init__(self, part: str, restore: Any) -> None:
        self._object = restore if is_loadable(restore) else None
        cure = "set it in an earlier callback, or restore another key"
        keys = [] if self._object is not None else _as_keys(restore)
        self._readers: dict[str, Reader] = {key: reader(key, part, cure) for key in keys}
        if self._object is not None:
            self._readers[_OBJECT] = lambda _: restore

    def copy(self, state: State) -> _Contents:
        """Return a copy of everything; together, so that what is shared stays shared."""
        return deepcopy({key: _content(read(state)) for key, read in self._readers.items()})

    def current(self, state: State, kept: _Contents) -> _Contents:
        """Return what `put` would replace: a copy of what it changes, else the thing itself."""
        keys = [key for key in self._mine(kept) if key == _OBJECT or key in state]
        targets = {key: self._target(state, key) for key in keys}
        return {
            key: deepcopy(_content(target)) if is_loadable(target) else target
            for key, target in targets.items()
        }

    def restore(self, state: State, contents: _Contents, kept: _Contents) -> None:
        """Put contents in the place of what was kept, and take away what had none."""
        for key in self._mine(kept):
            target = self._target(state, key)
            if key not in contents:
                state.pop(key, None)
            elif is_loadable(target):
                target.load_state_dict(contents[key])
            else:
                state[key] = contents[key]

    def names(self) -> list[str]:
        """Return a name for each thing, the same for the same thing in this process."""
        return [f"object {id(self._object)}" if key == _OBJECT else key for key in self._readers]

    def _mine(self, kept: _Contents) -> list[str]:
        return [key for key in self._readers if key in kept]  # another script may have kept it

    def _target(self, state: State, key: str) -> Any:
        return self._object if key == _OBJECT else state.get(key)


def _content(thing: Any) -> Any:
    return thing.state_dict() if is_loadable(thing) else thing


def _as_keys(restore: Any) -> list[str]:
    if restore is None:
        return []
    expected = "None, a key, a list of keys, or an object with state_dict() and load_state_dict()"
    cure = "put the value into the state, and name its key"
    keys = [restore] if isinstance(restore, str) else restore
    if not isinstance(keys, list | tuple) or not all(isinstance(key, str) for key in keys):
        raise wrong_type("restore", expected, restore, cure)
    if not keys or {_OBJECT, *RUN_KEYS} & {*keys}:
        raise wrong_value("restore", expected, restore, "name keys of your own, or pass None")
    return [*keys]
