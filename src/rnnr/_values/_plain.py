"""Values without items as JSON, and back."""

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from math import isfinite
from pathlib import Path, PosixPath, WindowsPath
from typing import Any, Final, TypeAlias

from rnnr._values._torch_arrays import torch_dtype
from rnnr.files import SavedFile, SavedFiles

__all__ = ["READERS", "WRITERS", "Tree", "bytes_in", "bytes_text", "saved_files_tree", "torch_tree"]

Tree: TypeAlias = Any
"""What JSON can hold: a dict whose first key says what it stands for, or a value itself."""

_LARGE: Final = 1 << 63  # integers from here on are written as text


def bytes_text(value: bytes | bytearray) -> str:
    """Return bytes as text."""
    return b64encode(value).decode()


def bytes_in(text: str) -> bytes:
    """Return the bytes that a text stands for.

    Raises:
        ValueError: If it is not such a text.
    """
    return b64decode(text, validate=True)


def _text(value: str) -> Tree:
    try:
        value.encode()
    except UnicodeEncodeError:  # a surrogate: JSON would make one character of a pair
        return {"text": bytes_text(value.encode("utf-8", "surrogatepass"))}
    return value


def _text_in(tree: Tree) -> str:
    return tree if isinstance(tree, str) else _surrogates(tree["text"])


def _surrogates(text: str) -> str:
    return bytes_in(text).decode("utf-8", "surrogatepass")


def _integer(value: int) -> Tree:
    return value if -_LARGE <= value < _LARGE else {"int": hex(value)}


def _integer_in(tree: Tree) -> int:
    return tree if isinstance(tree, int) else int(tree["int"], 16)


def _float(value: float) -> Tree:
    return value if isfinite(value) else {"float": _bits(value)}


def _bits(*values: float) -> str:
    return struct.pack(f"<{len(values)}d", *values).hex()


def _floats(text: str, n: int) -> tuple[float, ...]:
    return struct.unpack(f"<{n}d", bytes.fromhex(text))


def _path(value: Path) -> Tree:
    return {"path": _text(str(value))}


def saved_files_tree(value: SavedFiles) -> dict[str, Any]:
    """Return the tree of the files that a run keeps."""
    return {
        "saved_files": [
            [_text(path), [*map(_text, file.savers)], file.stamp]
            for path, file in value.files.items()
        ]
    }


def _saved_files_in(trees: list[Any]) -> SavedFiles:
    return SavedFiles(
        {
            _text_in(path): SavedFile(tuple(map(_text_in, savers)), stamp)
            for path, savers, stamp in trees
        }
    )


def torch_tree(value: object) -> dict[str, Any] | None:
    """Return the tree of a type, a device or a size of PyTorch; ``None`` for other values."""
    kind = type(value)
    if kind.__module__ != "torch":
        return None
    if kind.__name__ == "Size":
        return {"torch.Size": [*value]}  # type: ignore[misc]  # a tuple
    return {f"torch.{kind.__name__}": str(value)} if kind.__name__ in ("device", "dtype") else None


WRITERS: Final[dict[type, Callable[[Any], Tree]]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    int: _integer,
    float: _float,
    str: _text,
    PosixPath: _path,
    WindowsPath: _path,
    complex: lambda value: {"complex": _bits(value.real, value.imag)},
    Decimal: lambda value: {"decimal": str(value)},
    Fraction: lambda value: {"fraction": [hex(value.numerator), hex(value.denominator)]},
    range: lambda value: {"range": [*map(_integer, (value.start, value.stop, value.step))]},
}
"""What makes the tree of a value of a type."""

READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _surrogates,
    "int": lambda text: int(text, 16),
    "float": lambda text: _floats(text, 1)[0],
    "complex": lambda text: complex(*_floats(text, 2)),
    "decimal": Decimal,
    "fraction": lambda parts: Fraction(*(int(part, 16) for part in parts)),
    "range": lambda parts: range(*map(_integer_in, parts)),
    "path": lambda tree: Path(_text_in(tree)),
    "saved_files": _saved_files_in,
    "torch.Size": lambda sizes: import_module("torch").Size(sizes),
    "torch.device": lambda text: import_module("torch").device(text),
    "torch.dtype": lambda text: torch_dtype(text.removeprefix("torch.")),
}
"""What makes a value of a tree, by the first key of the tree."""
