"""Files written from the state."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rnnr._errors import wrong_type
from rnnr._pipeline import Pipeline, named
from rnnr.files import KeptFiles
from rnnr.operators._file_saver import FileSaver
from rnnr.state import State

__all__ = ["check_files", "save_file"]


def save_file(
    what: str,
    obj: Any = None,
    *,
    under: str | os.PathLike[str] | None = None,
    using: Callable[[Any, Path], object] | None = None,
    ext: str = "pkl",
    prefix_fmt: str = "{epoch}_",
    queue_fmt: str = "_saved_{what}",
) -> Pipeline[State, KeptFiles]:
    """Write a file from each state, and pass on the files that it keeps, the newest last.

    `rnnr.callbacks.checkpoint` is made of it, and says more about the files: they are atomic,
    and known again after a resume. Nothing is deleted here: `all_but_newest` and `delete_files` do
    that.

    Args:
        what: Name of the object.
        obj: Object to save. If ``None``, ``state[what]`` is saved.
        under: Directory of the files, created if it is missing; the current one by default.
        using: Called as ``using(obj, path)`` to write the file instead of pickling.
        ext: Extension of the file, with or without its dot.
        prefix_fmt: Format of the file name's beginning; keys of the state are its fields.
        queue_fmt: Format of the key of the state under which the paths are kept.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a format cannot be used; when it is attached, if another part of the runner
            writes under that key.
        OSError: If ``under`` is not a directory and cannot become one, or cannot be written to.
        KeyError: When a state lacks what is to be saved, or a field of the name.

    Example:
        ::

            source:   --{epoch:1}----------{epoch:2}----------------|
                      [ save_file("model") ]
            result:   --(1_model.pkl)------(1_model.pkl,2_model.pkl)|

        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import do, pipeline, save_file
        >>> with TemporaryDirectory() as folder:
        ...     runner = Runner()
        ...     mirror = do(lambda files: print("to the bucket:", Path(files.paths[-1]).name))
        ...     saved = save_file("epoch", under=folder)
        ...     subscription = runner.on(Event.EPOCH_FINISHED, pipeline(saved, mirror))
        ...     runner.run([], max_epoch=2)
        to the bucket: 1_epoch.pkl
        to the bucket: 2_epoch.pkl
    """
    part = f"save_file({what!r})"
    saver = FileSaver(
        part,
        what,
        obj,
        under=under,
        using=using,
        ext=ext,
        prefix_fmt=prefix_fmt,
        queue_fmt=queue_fmt,
    )
    return named(saver.operator(), part)


def check_files(part: str, item: object) -> None:
    """Raise unless what comes to an operator is what `save_file` passes on.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(item, KeptFiles):
        raise wrong_type(f"what comes to {part}", "files", item, "put save_file(...) before it")
