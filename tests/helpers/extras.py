"""NumPy and PyTorch for tests that run without them, too.

``from helpers.extras import np, torch`` imports the packages. Where one is not installed, the name
is a `Missing` instead: a module that writes its values into tables of parameters is collected all
the same, and the tests that use one of these values are skipped.

A module, a fixture or a test that needs a package as a whole begins with
``pytest.importorskip("tornado")``.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import pytest

__all__ = ["Missing", "ml_dtypes", "np", "torch"]

if TYPE_CHECKING:
    import ml_dtypes
    import numpy as np
    import torch
else:

    def __getattr__(name: str) -> Any:
        package = {"ml_dtypes": "ml_dtypes", "np": "numpy", "torch": "torch"}.get(name)
        if package is None:
            raise AttributeError(name)
        try:
            return import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:  # it is installed, but cannot be imported
                raise
            return Missing(package)


class Missing:
    """Stands for a package that is not installed, and for what a module makes of it."""

    def __init__(self, package: str) -> None:
        self._package = package

    def __getattr__(self, name: str) -> Self:
        if name.startswith("_"):  # what pytest and copy look for
            raise AttributeError(name)
        return self._used()

    def __call__(self, *args: Any, **kwargs: Any) -> Self:
        return self._used()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()

    def _used(self) -> Self:
        if "PYTEST_CURRENT_TEST" in os.environ:
            self.skip_test()
        return self

    def skip_test(self) -> None:
        """Skip the test that runs, for the reason that pytest would give."""
        pytest.importorskip(self._package)


_OPERATORS = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow rpow matmul and rand or ror xor "
    "lshift neg pos abs invert getitem lt le gt ge"
)
for _name in _OPERATORS.split():
    setattr(Missing, f"__{_name}__", Missing.__call__)
