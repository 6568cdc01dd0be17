"""The file of the arrays follows the safetensors format: its package reads it, and we read its."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import ml_dtypes, torch
from helpers.values import file_of, written
from rnnr._values._pack import Packer
from rnnr._values._safetensors import header, read_header

np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors")

DTYPES = ["?", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]
LACKING = [">f4", ">i8", "<c8", "<c16", "M8[s]", "<m8[ns]", "U3", "S5", "g", "G"]
OF_TORCH = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
    "uint16", "uint32", "uint64", "bool", "float8_e4m3fn", "float8_e5m2",
]  # fmt: skip
SHAPES = [(), (0,), (3,), (2, 3), (1, 0, 2)]


def numbers(dtype: Any, shape: Any) -> Any:
    return np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2, dtype)


def header_of(file: bytearray) -> dict[str, Any]:
    length = int.from_bytes(file[:8], "little")
    entries: dict[str, Any] = json.loads(file[8 : 8 + length])
    return entries


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return {f"{dtype}{shape}": numbers(dtype, shape) for dtype in DTYPES for shape in SHAPES}


def test_its_package_reads_the_arrays_of_numpy(arrays: dict[str, Any]) -> None:
    from safetensors.numpy import load

    read = load(bytes(written(arrays)[1]))
    assert {*read} == {f"x.{name}" for name in arrays}
    for name, value in arrays.items():
        got = read[f"x.{name}"]
        assert (got.dtype, got.shape, got.tobytes()) == (value.dtype, value.shape, value.tobytes())


def test_its_package_reads_the_tensors_of_pytorch() -> None:
    pytest.importorskip("torch")
    from safetensors.torch import load

    tensors = {
        f"{name}{shape}": torch.ones(shape, dtype=getattr(torch, name))
        for name in OF_TORCH
        if "float8" not in name
        for shape in SHAPES
    }
    tensors["T"] = torch.arange(6.0).reshape(2, 3).T
    for name in OF_TORCH[-2:]:
        tensors[name] = torch.arange(5).to(getattr(torch, name))
    read = load(bytes(written(tensors)[1]))
    for name, value in tensors.items():
        got = read[f"x.{name}"]
        assert (got.dtype, got.shape) == (value.dtype, value.shape)
        assert torch.equal(got.double(), value.double())


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_of_ml_dtypes_are_those_of_the_format(name: str) -> None:
    pytest.importorskip("torch")
    from safetensors.torch import load

    value = np.arange(4).astype(getattr(ml_dtypes, name))
    read = load(bytes(written({"a": value})[1]))["x.a"]
    assert read.dtype is getattr(torch, name)
    assert read.view(torch.uint8).numpy().tobytes() == value.tobytes()


@pytest.mark.parametrize("dtype", LACKING)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_type_that_the_format_lacks_is_there_as_bytes(dtype: str, shape: Any) -> None:
    from safetensors.numpy import load

    value = numbers(dtype, shape)
    read = load(bytes(written({"a": value})[1]))["x.a"]
    assert read.dtype == np.uint8
    assert read.shape == (value.nbytes,)
    if dtype not in "gG":  # which have bytes of no meaning
        assert read.tobytes() == value.tobytes()


def test_bytes_are_there_as_bytes() -> None:
    from safetensors.numpy import load

    value = bytes(range(256)) * 2
    assert load(bytes(written([value])[1]))["x.0"].tobytes() == value


def test_we_read_what_its_package_writes(arrays: dict[str, Any]) -> None:
    from safetensors.numpy import save

    for metadata in (None, {"format": "np"}):
        file = save(arrays, metadata)
        read = read_header(memoryview(file))
        assert {*read} == {*arrays}
        assert all(bytes(read[name]) == value.tobytes() for name, value in arrays.items())
    assert read_header(memoryview(save({}))) == {}


@given(st.lists(st.tuples(st.sampled_from([*DTYPES, *LACKING]), st.sampled_from(SHAPES))))
def test_each_byte_belongs_to_one_array_and_each_array_is_aligned(parts: Any) -> None:
    values = [numbers(*part) for part in parts]
    packer = Packer("")
    packer.pack(values, ("x",))
    file = file_of(packer)
    length = int.from_bytes(file[:8], "little")
    assert length % 8 == 0
    assert file[8:9] == b"{"
    entries = header_of(file)
    places = sorted(entry["data_offsets"] for entry in entries.values())
    assert [begin for begin, _ in places] == [0, *(end for _, end in places)][: len(places)]
    assert 8 + length + max([0, *(end for _, end in places)]) == len(file)
    for i, value in enumerate(values):
        begin, end = entries[f"x.{i}"]["data_offsets"]
        assert end - begin == value.nbytes
        assert begin % min(value.dtype.alignment, 8) == 0 or not value.nbytes
    assert {name for name, _ in safetensors.deserialize(bytes(file))} == {*entries}


def test_names_are_those_of_the_tree_whatever_they_are() -> None:
    names = ["__metadata__", "", "a.b", 'quote"', "\n\0", "\ud800", "é", "x" * 1000]
    packer = Packer("")
    for name in names:
        packer.pack(np.zeros(1), (name,))
    assert len(safetensors.deserialize(bytes(file_of(packer)))) == len(names)
    assert {*read_header(memoryview(file_of(packer)))} == {one.name for one in packer.arrays}


def test_a_file_without_arrays_is_a_file() -> None:
    file = bytes(written([1])[1])
    assert file == header({}) == struct.pack("<Q", 8) + b"{}      "
    assert safetensors.deserialize(file) == []
    assert read_header(memoryview(file)) == {}


def made(entries: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(*offsets: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [8], "data_offsets": [*offsets]}


@pytest.mark.parametrize(
    "file",
    [
        b"", b"\x00", b"\xff" * 8, b"\xff" * 20, b"\x00" * 8, made(b"{"), made(b"\xff\xff"),
        made({}, b"x"), made({}, length=1), made({}, length=3), made({}, length=2**63),
        made({}, length=2**64 - 1), made([]), made(3), made(None), made("a"), made({"a": 1}, b"1"),
        made({"a": {}}), made({"a": {"data_offsets": 3}}), made({"a": entry(0)}, bytes(8)),
        made({"a": entry(0, 8, 8)}, bytes(8)), made({"a": entry(0, 9)}, bytes(8)),
        made({"a": entry(0, 7)}, bytes(8)), made({"a": entry(1, 8)}, bytes(8)),
        made({"a": entry(-8, 8)}, bytes(8)), made({"a": entry(8, 0)}, bytes(8)),
        made({"a": entry(0, 2**70)}, bytes(8)), made({"a": entry(-(2**70), 8)}, bytes(8)),
        made({"a": entry("0", "8")}, bytes(8)), made({"a": entry(0.0, 8.0)}, bytes(8)),
        made({"a": entry(None, 8)}, bytes(8)), made({"a": entry([], [])}, bytes(8)),
        made({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
        made({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
        made({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
        made(b'{"a":{"data_offsets":[0,4]},"a":{"data_offsets":[4,8]}}', bytes(8)),
        made(b"[" * 100_000), made(b'{"a":' * 100_000),
        made({"a": entry(0, float("nan"))}, bytes(8)),
    ],
    ids=lambda file: str(file[8:40]),
)  # fmt: skip
def test_another_file_is_an_ordinary_error(file: bytes) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError, RecursionError)):
        read_header(memoryview(file))


@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
def test_a_file_with_a_changed_byte_is_read_or_an_ordinary_error(
    junk: bytes, place: int, value: int
) -> None:
    file = bytearray(written([np.arange(3.0), np.arange(5, dtype="i1")])[1])
    file[place % len(file)] = value
    for data in (file, bytearray(junk), file[:place]):
        try:
            read = read_header(memoryview(data))
        except Exception:  # noqa: BLE001  (as the reader of snapshots does)
            continue
        assert sum(part.nbytes for part in read.values()) <= len(data)
