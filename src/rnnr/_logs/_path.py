"""The path of a log, checked when it is given."""

import os
from pathlib import Path
from typing import Any

from rnnr._errors import wrong_type, wrong_value

__all__ = ["as_path", "check_file"]


def as_path(path: Any) -> Path:
    """Return an absolute path, which does not depend on the working directory."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise wrong_type("path", "a path", path, "pass for example 'run.jsonl'")
    return Path(path).absolute()


def check_file(path: Path, mode: str, cure: str) -> None:
    """Raise unless it is a file that can be opened.

    A mode that creates the file creates the folders above it, too.

    Raises:
        ValueError: If it is a directory or a device.
        OSError: If it cannot be opened.
    """
    try:
        if path.exists() and not path.is_file():
            raise wrong_value("path", "a file", str(path), cure)
        if "r" not in mode:
            path.parent.mkdir(parents=True, exist_ok=True)
        open(path, mode).close()
    except OSError as error:
        raise type(error)(
            error.errno,
            f"path must be a file that can be opened, got {str(path)!r} ({error.strerror}); {cure}",
        ) from error
