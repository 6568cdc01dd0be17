"""Arrays of NumPy and JAX as bytes, and back."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from rnnr._values._array_kind import Description, check_size, extent, repeats

__all__ = ["JAX", "NUMPY"]


class _NumPy:
    name = "numpy"

    def describe(self, array: Any) -> Description | None:
        dtype = _dtype_name(array.dtype)
        if dtype is None:
            return None
        described = {"dtype": dtype, "shape": list(array.shape), "bytes": array.nbytes}
        return {**described, **_layout(array)}

    def copy_into(self, array: Any, description: Description, buffer: memoryview) -> None:
        numpy = sys.modules["numpy"]
        numpy.copyto(self.view(description, buffer), numpy.asarray(array))

    def view(self, description: Description, buffer: memoryview) -> Any:
        dtype, shape = _dtype_named(description["dtype"]), description["shape"]
        check_size(shape, dtype.itemsize, buffer)
        # Not frombuffer, which refuses items without bytes.
        return import_module("numpy").ndarray(shape, dtype, buffer)

    def fits(self, target: Any, description: Description) -> bool:
        described = self.describe(target) or {}
        is_like_it = all(described.get(key) == description[key] for key in ("dtype", "shape"))
        can_be_changed = target.flags.writeable and not repeats(target.shape, target.strides)
        return is_like_it and can_be_changed

    def assign(self, target: Any, array: Any, description: Description) -> None:
        del description
        sys.modules["numpy"].copyto(target, array)

    def own(self, array: Any, description: Description) -> Any:
        if description.get("scalar"):
            return array[()]
        axes = description.get("axes", [*range(array.ndim)])
        return array.transpose(axes).copy().transpose([axes.index(i) for i in range(len(axes))])

    def extent(self, array: Any) -> tuple[int, int]:
        return extent(array.ctypes.data, array.shape, array.strides, array.itemsize)


class _Jax(_NumPy):
    name = "jax"

    def describe(self, array: Any) -> Description | None:
        jax = sys.modules["jax"]
        if not jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key):
            weak = {"weak_type": True} if array.weak_type else {}
            described = super().describe(array)
            return described and {**described, **weak}
        described = super().describe(jax.random.key_data(array))
        return described and {**described, "prng": str(jax.random.key_impl(array))}

    def copy_into(self, array: Any, description: Description, buffer: memoryview) -> None:
        if "prng" in description:
            array = sys.modules["jax"].random.key_data(array)
        super().copy_into(array, description, buffer)

    def fits(self, target: Any, description: Description) -> bool:
        del target, description
        return False  # they never change

    def own(self, array: Any, description: Description) -> Any:
        jax = import_module("jax")
        owned = jax.numpy.asarray(array.copy())
        if owned.dtype != array.dtype:
            raise ValueError(
                f"JAX must keep the type {array.dtype} that was saved, got {owned.dtype}; set "
                "jax_enable_x64 as in the run that saved it"
            )
        if "prng" in description:
            return jax.random.wrap_key_data(owned, impl=description["prng"])
        weak = _weak(jax, owned, array.dtype) if "weak_type" in description else owned
        return weak if weak.dtype == owned.dtype else owned


NUMPY: Final = _NumPy()
JAX: Final = _Jax()


def _weak(jax: Any, array: Any, dtype: Any) -> Any:
    """Return an array of JAX that gives way to the type of any other, as a number of Python does.

    It is made of such a number, since JAX has no public function that changes it.
    """
    return jax.numpy.full(array.shape, dtype.type(0).item()).at[...].set(array)


def _layout(array: Any) -> Description:
    """Return what else describes an array: whether it is a scalar, and the order of its axes."""
    if isinstance(array, sys.modules["numpy"].generic):
        return {"scalar": True}
    if not hasattr(array, "strides"):  # of JAX
        return {}
    sizes, steps = array.shape, array.strides
    # Axes of one item have any step, so they come first.
    axes = sorted(range(array.ndim), key=lambda i: (sizes[i] > 1, -abs(steps[i]) * (sizes[i] > 1)))
    moving = [i for i in axes if sizes[i] > 1]
    return {"axes": axes} if moving != sorted(moving) else {}


def _dtype_name(dtype: Any) -> str | None:
    """Return a text from which `_dtype_named` makes a type of NumPy; ``None`` if there is none."""
    if not isinstance(dtype, sys.modules["numpy"].dtype) or dtype.hasobject:
        return None
    is_added = dtype.isbuiltin == 2  # by a package, of which we know one
    if dtype.kind == "V" and not is_added:
        return None
    name = f"ml_dtypes.{dtype.name}" if is_added else str(dtype.str)
    try:
        return name if _make_dtype(name) == dtype else None
    except (AttributeError, ImportError, TypeError):
        return None


def _dtype_named(name: str) -> Any:
    """Return the type of NumPy with a name.

    Raises:
        ValueError: If `_dtype_name` does not give it this name.
    """
    dtype = _make_dtype(name)
    if _dtype_name(dtype) != name:
        raise ValueError(f"{name} is not a type of NumPy whose items are bytes")
    return dtype


def _make_dtype(name: str) -> Any:
    make: Callable[[Any], Any] = import_module("numpy").dtype
    if name.startswith("ml_dtypes."):  # of JAX
        return make(getattr(import_module("ml_dtypes"), name.removeprefix("ml_dtypes.")))
    return make(name)
