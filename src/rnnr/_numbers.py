"""Numbers of any type: as a float, in an exact sum, in JSON."""

import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from contextlib import nullcontext
from copy import copy
from math import isfinite, isnan, nan
from numbers import Number
from typing import Any, Final

from rnnr._errors import add_note, wrong_type

__all__ = [
    "Sums",
    "addend",
    "as_json",
    "is_array",
    "number_of",
    "numbers_in",
    "own",
    "precision_of",
    "quotient",
    "result_type",
    "rounded",
]

_CONTAINERS: Final = (list, set, deque, bytearray, array, Counter)
_EXACT: Final = frozenset({float, int, bool})  # types that add up as they are
_WIDE: Final = {"b": "int64", "i": "int64", "u": "int64", "f": "float64", "c": "complex128"}
_ADDED_AS_THEY_ARE: Final = ("uint64", "float", "complex")
_NARROWER: Final = {"float64": "float32", "complex128": "complex64"}  # where those are missing
_BITS: Final = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
_ROUNDED: Final = {
    "float64": None,
    "complex128": None,
    "complex64": "complex64",
}


def number_of(value: Any, part: str) -> float:
    """Return a metric as a float, whether it is a float, a NumPy scalar or a tensor of one item.

    It calls ``__float__`` and not ``float()``, which would read a number from a text.

    Raises:
        TypeError: If it is not a number.
    """
    try:
        return _float_of(value)
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        cure = "give it one number: a float, a NumPy scalar, a tensor of one item"
        if isinstance(value, Mapping):
            cure = "select one first, for example with select('loss')"
        raise wrong_type(f"a value for {part}", "a number", value, cure) from error


def precision_of(value: Any) -> int:
    """Return how many binary digits the numbers of a value's type have: 53 for a float."""
    return _BITS.get(_types_of(value)[0], _BITS["float64"])


def numbers_in(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return the values that are numbers, as floats, by their names as strings."""
    found = {}
    for name, value in values.items():
        try:
            found[str(name)] = value if type(value) is float else _float_of(value)
        except Exception:  # noqa: BLE001, S112  (whatever it is, it is not a number)
            continue
    return found


def as_json(number: float) -> float | str:
    """Return a number as strict JSON can hold it: one that is not finite as a string."""
    if isfinite(number):
        return number
    return "NaN" if isnan(number) else "Infinity" if number > 0 else "-Infinity"


def is_array(value: Any) -> bool:
    """Return whether it is an array, a tensor, or a scalar of NumPy."""
    return _types_of(value) != _NO_ARRAY


def own(value: Any, *, graph: bool = True) -> Any:
    """Return a copy of a value that its owner may change: an array, a tensor, a container.

    Anything else is returned as it is: numbers and strings never change, and only an object of the
    user's own class knows how to copy itself.

    Args:
        value: The value.
        graph: Whether a tensor keeps its graph.
    """
    if type(value) in _EXACT:
        return value
    if _is_tensor(value):
        return (value if graph else value.detach()).clone()
    if _types_of(value) != _NO_ARRAY:
        return value.copy()
    kind = type(value)
    if kind in (dict, OrderedDict, defaultdict):
        copied = copy(value)
        copied.update({key: own(one, graph=graph) for key, one in value.items()})
        return copied
    if kind in (list, tuple):
        return kind(own(one, graph=graph) for one in value)
    if isinstance(value, tuple) and hasattr(kind, "_make"):
        return kind._make(own(one, graph=graph) for one in value)
    return copy(value) if isinstance(value, _CONTAINERS) else value


def addend(value: Any) -> Any:
    """Return a copy of a value that can be added to a sum: without a graph, in a wide type.

    Booleans and integers of NumPy, PyTorch and similar libraries become 64-bit integers, floats
    become 64-bit floats, on the device where they are. Where such a type is missing (in JAX by
    default, on Apple's GPUs), they get the widest type that there is. For anything else it is
    `own`.
    """
    if type(value) in _EXACT:
        return value
    _, wide = _types_of(value)
    if wide is None:
        return own(value)
    if _is_tensor(value):
        return value.detach().to(getattr(sys.modules["torch"], wide), copy=True)
    return value.astype(wide)


def result_type(value: Any) -> str | None:
    """Return the name of the type to which a sum of such values is rounded in the end, or ``None``.

    Sums of single and half precision are rounded to single precision; all others are not rounded.
    """
    if type(value) in _EXACT:
        return None
    name, wide = _types_of(value)
    return None if wide is None or "int" in wide else _ROUNDED.get(name, "float32")


def rounded(total: Any, name: str | None) -> Any:
    """Return a sum, or a mean, in the type that `result_type` has returned."""
    if name is None or _types_of(total) == _NO_ARRAY:
        return total
    if _is_tensor(total):
        return total.to(getattr(sys.modules["torch"], name))
    return total.astype(name)


def quotient(total: Any, size: Any) -> Any:
    """Return a total divided by a size; NaN, not an error, if the size is zero.

    Integers of PyTorch are divided as 64-bit floats; PyTorch itself would use 32 bits.
    """
    if type(total) in _EXACT and type(size) in _EXACT:
        return total / size if size else nan
    if _is_tensor(total) and "int" in str(total.dtype):
        total = total.to(getattr(sys.modules["torch"], _widest("float64", total)))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(size, numpy.generic):
        size = size.item()  # a float divided by it would become NumPy's
    if _is_tensor(size) and not size.ndim:
        size = size.item()
    if isinstance(size, Number) and not size:
        try:
            return total / nan
        except Exception:  # noqa: BLE001  (Decimal, for instance, does not mix with floats)
            return nan
    with numpy.errstate(divide="ignore", invalid="ignore") if numpy else nullcontext():
        return total / size


class Sums:
    """Adds values of any type: exactly, without graphs, and without keeping the caller's arrays.

    Sums are plain values and pickle as such. A sum that has to be rounded in the end is a dict
    until then: the sum in a wider type, and the name of its final type. A dict has no ``+``, so it
    cannot be mistaken for a value.

    Args:
        what: What is added, for messages.
        part: Class or function that adds it.
        name: Its name.
        is_divided: Whether the sums will be divided.
    """

    def __init__(self, what: str, part: str, name: str, *, is_divided: bool = False) -> None:
        self._who = what, part, name
        self._is_divided = is_divided

    @property
    def _part(self) -> str:
        what, part, name = self._who  # formatted on demand: a short run makes many
        return f"{what} for {part}({name!r})"

    def begin(self, value: Any) -> Any:
        """Return the sum of a first value.

        Raises:
            TypeError: If such values cannot be added, or their sum cannot be divided.
        """
        kind = type(value)
        if kind in _EXACT:
            return value
        can = hasattr(kind, "__add__") and (not self._is_divided or hasattr(kind, "__truediv__"))
        name, wide = _types_of(value)
        if can and name and wide is None and not name.startswith(_ADDED_AS_THEY_ARE):
            # an array has both operators, but its items may not
            try:
                (value + value) / 1 if self._is_divided else value + value
            except TypeError:
                can = False
        if not can:
            expected = "a number, an array or a tensor" if self._is_divided else "one that adds up"
            cure = "compute one from the batch, in a callback that runs before"
            raise wrong_type(self._part, expected, value, cure)
        rounded_to = result_type(value)
        return addend(value) if rounded_to is None else {"sum": addend(value), "type": rounded_to}

    def add(self, total: Any, value: Any) -> Any:
        """Return a sum with one more value.

        Raises:
            TypeError: If it cannot be added to the earlier values.
            Exception: Whatever else ``+`` raises, with a note that names the part that adds.
        """
        try:
            if type(total) is not dict:
                return total + (value if type(value) in _EXACT else addend(value))
            more = total["sum"] + addend(value)
            return {**total, "sum": more} if result_type(value) == total["type"] else more
        except TypeError as error:
            expected = f"one that can be added to {type(total).__name__}"
            raise wrong_type(self._part, expected, value, "give it one kind of values") from error
        except Exception as error:
            add_note(error, f"rnnr: while adding {self._part}")
            raise

    def total(self, total: Any) -> Any:
        """Return the sum, in its type."""
        return rounded(total["sum"], total["type"]) if type(total) is dict else total

    def mean(self, total: Any, size: Any) -> Any:
        """Return the sum divided by a size, in its type."""
        if type(total) is dict:
            return rounded(quotient(total["sum"], size), total["type"])
        return quotient(total, size)


def _float_of(value: Any) -> float:
    item = getattr(value, "item", None)  # of arrays and tensors, whose __float__ may warn
    return float((item() if item else value).__float__())


def _is_tensor(value: Any) -> bool:
    """Return whether it is a tensor of PyTorch, without importing PyTorch."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def _types_of(value: Any) -> tuple[str, str | None]:
    """Return the name of an array's type, and the name of the type in which to add such arrays.

    An array is a tensor of PyTorch, or a value with a type of NumPy: NumPy's scalars and arrays,
    and those of JAX, CuPy, pandas. The second name is ``None`` for types that add up as they are.
    """
    if _is_tensor(value):
        wide = "int64"
        if value.is_complex() or value.is_floating_point():
            wide = _widest("complex128" if value.is_complex() else "float64", value)
        return str(value.dtype).removeprefix("torch."), wide
    dtype = getattr(value, "dtype", None)
    numpy_type = getattr(sys.modules.get("numpy"), "dtype", None)
    if numpy_type is None or not isinstance(dtype, numpy_type):
        return _NO_ARRAY
    if dtype.name == "uint64" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        return dtype.name, None
    known = _WIDE.get(dtype.kind)
    if known is None and dtype.kind == "V":  # the types of ml_dtypes, which JAX uses
        known = "float64" if "float" in dtype.name else "int64" if "int" in dtype.name else None
    return dtype.name, known and _widest(known, value)


def _widest(name: str, value: Any) -> str:
    """Return the name of a 64-bit type, or of the widest type that the value's device has."""
    if getattr(getattr(value, "device", None), "type", None) == "mps":
        return _NARROWER[name]
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(value, jax.Array):
        return str(jax.dtypes.canonicalize_dtype(name))
    return name


_NO_ARRAY: Final = ("", None)
