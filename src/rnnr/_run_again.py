"""Callbacks that a cell of a notebook, which is run again, attaches a second time."""

import re
from collections.abc import Iterable
from types import FunctionType, MethodType
from typing import Any, Final

from rnnr._errors import user_file, warn_user
from rnnr._handler_names import described, unwrapped
from rnnr.state import MISSING

__all__ = ["warn_of_cell_run_again"]

_CELL: Final = re.compile(r"[\\/]ipykernel_\d+[\\/]|^<ipython-input-")
"""Names of the files that IPython gives to cells."""

_NO_NAMES: Final = ("_", "<lambda>")


def warn_of_cell_run_again(new: object, attached: Iterable[object]) -> None:
    """Warn if a callback is attached already, to the same event of the same runner.

    One function that is attached twice in a script is a wish, and so are the functions that a loop
    or another function makes: they share their code. What was compiled again is not.

    Args:
        new: The callback.
        attached: Callbacks that are attached, as they were given or wrapped.
    """
    name = getattr(new, "__qualname__", MISSING)
    for old in attached:
        if getattr(old, "__qualname__", None) == name and _is_again(new, old):
            function, where = described(new)
            warn_user(
                f"{function} ({where}) must be attached to an event once, got a cell or a module "
                "that was run again: it is called twice now; make the Runner() in the same cell, "
                "or dispose of what on() has returned"
            )
            break


def _is_again(new: Any, old: Any) -> bool:
    if isinstance(new, FunctionType | MethodType) and new == old:
        return bool(_CELL.search(user_file()))
    new, old = unwrapped(new), unwrapped(old)
    if not isinstance(new, FunctionType) or not isinstance(old, FunctionType):
        return False
    if new.__module__ != old.__module__ or new.__code__ is old.__code__:
        return False
    if new.__code__ == old.__code__:  # the same lines, whatever the name of the file
        return True
    files = {new.__code__.co_filename, old.__code__.co_filename}
    is_edited = len(files) > 1 and all(map(_CELL.search, files))
    return is_edited and new.__name__ not in _NO_NAMES
