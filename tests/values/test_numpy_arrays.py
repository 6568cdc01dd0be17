"""Arrays of NumPy, to the last bit: each type, each layout; scalars stay scalars."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import ml_dtypes
from helpers.values import through, written
from rnnr._values._numpy_arrays import NUMPY

np = pytest.importorskip("numpy")

NATIVE = [
    "?", "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q", "e", "f", "d", "g", "F", "D", "G",
    "M8[ns]", "M8[D]", "m8[s]", "m8", "U3", "S4", "U0", "S0",
]  # fmt: skip
SWAPPED = [">i2", ">u4", ">f2", ">f4", ">f8", ">c16", ">M8[us]", ">U2", "<f4", "<i8"]
OF_JAX = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4", "float4_e2m1fn"]


def filled(dtype: Any, *shape: int) -> Any:
    """Make an array of arbitrary bits, NaNs with payloads among them."""
    array = np.zeros(shape, dtype)
    bits = np.arange(array.nbytes, dtype="u1") * 37 + 130
    if array.dtype.kind in "?bGU" or array.dtype.char in "gG":  # not all bits are values
        return np.asarray(np.arange(array.size).reshape(shape) % 2, dtype)
    return np.frombuffer(bits.tobytes(), array.dtype).reshape(shape) if array.nbytes else array


def check(value: Any) -> Any:
    """Return what is read, which has the same bits."""
    read = through(value)
    assert (type(read), read.dtype, read.shape) == (type(value), value.dtype, value.shape)
    assert raw(read) == raw(value)
    return read


def raw(value: Any) -> bytes:
    data = value.tobytes()
    if value.dtype.char not in "gG":
        return bytes(data)
    size = np.finfo(value.dtype).bits // 8  # of which some bytes are padding, with any content
    return b"".join(data[i : i + 10] for i in range(0, len(data), size))


@pytest.mark.parametrize("dtype", [*NATIVE, *SWAPPED])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3, 4)], ids=str)
def test_each_type_is_kept(dtype: str, shape: tuple[int, ...]) -> None:
    read = check(filled(np.dtype(dtype), *shape))
    assert read.flags.writeable
    assert read.flags.owndata or read.base is not None
    assert read.dtype.byteorder == np.dtype(dtype).byteorder


@pytest.mark.parametrize("name", OF_JAX)
def test_each_type_of_ml_dtypes_is_kept(name: str) -> None:
    dtype = getattr(ml_dtypes, name)
    check(np.arange(6).astype(dtype).reshape(2, 3))
    check(dtype(1))


@pytest.mark.parametrize("dtype", sorted({np.dtype(name).str for name in NATIVE}))
def test_a_scalar_is_read_as_a_scalar(dtype: str) -> None:
    check(filled(dtype, 3)[1])


def test_an_empty_text_and_a_text_of_surrogates_are_scalars_too() -> None:
    for value in (np.str_(""), np.bytes_(b""), np.str_("\ud800\udc00")):
        assert through(value) == value
        assert type(through(value)) is type(value)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Draw views with axes in any order, steps in any direction, and repeated items."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    array = np.arange(np.prod(shape, dtype=int), dtype="i4").reshape(shape)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    steps = st.sampled_from([slice(None), slice(None, None, -1), slice(1, None), slice(0, 4, 2)])
    array = array[tuple(draw(steps) for _ in range(array.ndim))]
    return np.broadcast_to(array, (3, *array.shape)) if draw(st.booleans()) else array


@given(arrays())
def test_each_layout_is_kept_as_copy_keeps_it(array: Any) -> None:
    read, copy = check(array), array.copy(order="K")
    moving = [i for i in range(array.ndim) if array.shape[i] > 1 and array.strides[i] and read.size]
    assert [read.strides[i] for i in moving] == [copy.strides[i] for i in moving]


def test_the_layout_of_what_was_read_is_described_as_before() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    for value in (array, array.T, array.transpose(1, 2, 0)[:, ::2], array[:, :1].T, array[::-1]):
        first = {**NUMPY.describe(value), "bytes": 0}  # type: ignore[dict-item]
        assert {**NUMPY.describe(through(value)), "bytes": 0} == first  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.array([object()]),
        lambda: np.zeros(2, "i4,f8"),
        lambda: np.zeros(2, [("a", "O")]),
        lambda: np.zeros(2, "V3"),
        lambda: np.void(b"abc"),
        lambda: np.zeros(2, "i4,f8")[0],
        lambda: np.array(["a"], np.dtypes.StringDType()),
        lambda: np.ma.masked_array([1, 2]),
        lambda: np.rec.array([(1, 2)]),
    ],
)
def test_what_is_more_than_its_bytes_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match="x must be a plain value"):
        written(make())


def test_a_type_of_ml_dtypes_is_refused_without_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    array = np.zeros(2, ml_dtypes.bfloat16)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert NUMPY.describe(array) is None


def view(dtype: Any, shape: Any, n_bytes: int = 8) -> Any:
    return NUMPY.view({"dtype": dtype, "shape": shape}, memoryview(bytearray(n_bytes)))


@pytest.mark.parametrize(
    "dtype",
    [
        "O", "|O", "V8", "V4,O", "f4,f4", "i4, f4", "(2,)f4", "object", "float", "int", "double",
        "T", "ml_dtypes.finfo", "ml_dtypes.iinfo", "ml_dtypes.__name__", "ml_dtypes.__builtins__",
        "", "ml_dtypes.nothing", "ml_dtypes.", "ml_dtypes.int4.x", "os",
        "f", ">i1", None, 8, ["f4"],
        {"names": ["a"], "formats": ["O"]},
    ],
    ids=repr,
)  # fmt: skip
def test_another_name_of_a_type_is_refused(dtype: Any) -> None:
    before = {*sys.modules}
    with pytest.raises((AttributeError, TypeError, ValueError)):
        view(dtype, [1])
    assert {*sys.modules} - before <= {"ml_dtypes"}


@pytest.mark.parametrize(
    "shape",
    [
        [], [1], [3], [-1], [2, -1], [-2, -1], [2, 1, 0], [2**64], [2**32, 2**32], [1e300], [2.0],
        [True, 2], ["2"], [[2]], [None], 2, None, "2", [1] * 65 + [2],
    ],
    ids=lambda shape: str(shape)[:20],
)  # fmt: skip
def test_a_shape_of_other_bytes_is_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        view("<f4", shape)


def test_axes_that_are_none_are_refused() -> None:
    array = view("<f4", [2, 1])
    for axes in ([0], [0, 0], [0, 2], [2, 1], ["a", "b"], "ab", 3):
        with pytest.raises((TypeError, ValueError, AttributeError)):
            NUMPY.own(array, {"axes": axes})


def test_what_is_read_has_its_own_memory() -> None:
    buffer = memoryview(bytearray(8))
    for dtype, scalar in (("<f4", {}), ("<f8", {"scalar": True})):
        description = {"dtype": dtype, "shape": [] if scalar else [2], **scalar}
        array = NUMPY.own(NUMPY.view(description, buffer), description)
        buffer[:] = b"\xff" * 8
        assert not np.any(array)
        buffer[:] = b"\x00" * 8


def test_the_extent_of_an_array_is_where_it_lies() -> None:
    base = np.zeros((4, 6), "f8")
    begin, end = NUMPY.extent(base)
    assert end - begin == base.nbytes
    for array in (base[1:, ::-1], base.T, base[::-2, 1:3], base[:1], base[2, 3:4]):
        low, high = np.lib.array_utils.byte_bounds(array)
        assert NUMPY.extent(array) == (low, high)
    assert NUMPY.extent(base[:0])[0] == NUMPY.extent(base[:0])[1]
