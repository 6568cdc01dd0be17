"""The safetensors format: a header of JSON, then the bytes of each array.

See https://github.com/huggingface/safetensors#format. Types that it does not have are written as
bytes.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rnnr._values._array_kind import Description

__all__ = ["Place", "header", "read_header"]

_TYPES: Final = {
    "<f8": "F64",
    "<f4": "F32",
    "<f2": "F16",
    "<i8": "I64",
    "<i4": "I32",
    "<i2": "I16",
    "|i1": "I8",
    "|u1": "U8",
    "<u2": "U16",
    "<u4": "U32",
    "<u8": "U64",
    "|b1": "BOOL",
    "ml_dtypes.bfloat16": "BF16",
    "ml_dtypes.float8_e4m3fn": "F8_E4M3",
    "ml_dtypes.float8_e5m2": "F8_E5M2",
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "bool": "BOOL",
}

_LENGTH: Final = 8  # bytes of the length of the header


class Place(NamedTuple):
    """Where the bytes of an array are in its file.

    Attributes:
        begin: The first byte, counted from the end of the header.
        end: The byte after the last one.
    """

    begin: int
    end: int


def header(arrays: Mapping[str, tuple[Description, Place]]) -> bytes:
    """Return what a file of arrays begins with."""
    entries = {name: _entry(*found) for name, found in arrays.items()}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    return len(text).to_bytes(_LENGTH, "little") + text


def _entry(description: Description, place: Place) -> dict[str, Any]:
    kind = _TYPES.get(description["dtype"])
    shape = description["shape"] if kind else [place.end - place.begin]
    return {"dtype": kind or "U8", "shape": shape, "data_offsets": list(place)}


def read_header(file: memoryview) -> dict[str, memoryview]:
    """Return the bytes of each array in a file.

    Raises:
        Exception: If it is not such a file: each byte belongs to one array.
    """
    begin = _LENGTH + int.from_bytes(file[:_LENGTH], "little")
    entries = json.loads(bytes(file[_LENGTH:begin]))
    entries.pop("__metadata__", None)  # other programs may write it
    places = {name: Place(*entry["data_offsets"]) for name, entry in entries.items()}
    data, end = file[begin:], 0
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        if place.begin != end or place.end < end:
            raise ValueError(f"{name} does not begin where the array before it ends")
        end = place.end
    if begin + end != len(file):
        raise ValueError(f"the file must have {begin + end} bytes, and it has {len(file)}")
    return {name: data[place.begin : place.end] for name, place in places.items()}
