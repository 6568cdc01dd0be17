"""Trees that no snapshot has written run no code of their choosing, and end in ordinary errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.values import written
from rnnr._values._place import Placer
from rnnr._values._safetensors import read_header
from rnnr._values._unpack import Unpacker

np = pytest.importorskip("numpy")
for name in ("torch", "ml_dtypes"):  # they import a lot, which is not what the tests look for
    with suppress(ModuleNotFoundError):
        import_module(name)


def read(tree: Any, **arrays: bytes) -> Any:
    """Return the value of a tree, placed, so that its arrays are made."""
    buffers = {name: memoryview(bytearray(data)) for name, data in arrays.items()}
    return Placer().place(None, Unpacker(buffers).unpack(tree), ("x",))


def array(**changes: Any) -> Any:
    described = {"array": "a", "kind": "numpy", "dtype": "<f4", "shape": [2], "bytes": 8}
    return {**described, **changes}


def test_an_array_is_read_as_its_description_says() -> None:
    assert read(array(), a=bytes(8)).tolist() == [0, 0]


@pytest.mark.parametrize(
    "tree",
    [
        [], [1], {}, {"id": 1}, {"id": 1, "x": 2}, {"unknown": 1}, {"": 1}, {"__class__": "os"},
        {"os.system": "true"}, {"again": 1}, {"again": None}, {"again": []}, {"after": 1},
        {"again": 1, "after": {}}, {"list": 3}, {"list": None}, {"list": {}, "id": []},
        {"list": [1, {}, 2]}, {"list": [[1]]}, {"tuple": 1}, {"dict": [1]}, {"dict": [[1]]},
        {"dict": [[1, 2, 3]]}, {"dict": [[{"list": []}, 1]]}, {"dict": "ab"},
        {"set": [{"list": []}]},
        {"frozenset": [{"dict": []}]}, {"deque": [], "maxlen": -1}, {"deque": []},
        {"deque": [], "maxlen": "1"}, {"defaultdict": [], "factory": "eval"}, {"defaultdict": []},
        {"defaultdict": [], "factory": ["int"]}, {"defaultdict": [], "factory": "object"},
        {"int": "x"}, {"int": 3}, {"int": None}, {"float": "nan"}, {"float": "00"}, {"float": ""},
        {"float": 1.5}, {"complex": "00" * 8}, {"complex": "00" * 24}, {"complex": [1, 2]},
        {"decimal": "x"}, {"decimal": {}}, {"fraction": ["1", "0"]}, {"fraction": [1, 2]},
        {"fraction": ["1", "1", "1"]}, {"fraction": None}, {"range": []}, {"range": [0, 1, 0]},
        {"range": [1.5]}, {"range": "ab"}, {"path": 3}, {"path": None}, {"path": {"int": "1"}},
        {"text": "?"}, {"text": "/w=="}, {"text": 3}, {"bytes": 3}, {"bytes": "a"},
        {"bytes": "YWJj\n"}, {"bytearray": None}, {"bytes": None, "array": "b"}, {"object": 3},
        {"object": {"unknown": 1}}, {"fields": [["a", 1]]}, {"fields": 3}, {"saved_files": [1]},
        {"saved_files": [["a", 1, 2]]}, {"saved_files": [[{}, [], 1]]}, {"torch.dtype": "os"},
        {"torch.dtype": "torch.load"}, {"torch.dtype": "torch._inductor"}, {"torch.device": "x"},
        {"torch.device": []}, {"torch.Size": ["a"]}, {"torch.load": "x"}, {"torch.hub": 1},
        {"list": [], "metadata": 1}, {"dict": [], "metadata": 1},
        {"kind": "numpy"}, {"kind": "numpy", "array": "a"}, array(array="b"), array(array=[]),
        array(kind="pickle"), array(kind=None), array(kind=[]), array(dtype="O"),
        array(dtype="V8,O"),
        array(dtype="<i8"), array(shape=[1]), array(shape=[-1]), array(shape=[2**70]),
        array(shape=[0]), array(axes=[1]), array(axes="a"), array(axes=[]), array(scalar=True),
        array(kind="torch"), array(kind="torch", dtype="load"), array(kind="torch", dtype="qint8"),
        array(kind="torch", dtype="float32", stride=[2**62]),
        array(kind="torch", dtype="float32", device="nowhere"),
        array(kind="torch", dtype="float32", shape=[-2]),
        array(kind="torch", dtype="int32", parameter=True, requires_grad=True),
    ],
    ids=lambda tree: json.dumps(tree)[:60],
)  # fmt: skip
def test_a_tree_of_another_form_is_an_error(tree: Any) -> None:
    before = {*sys.modules}
    if tree == array(scalar=True):  # numbers all the same
        assert read(tree, a=bytes(8)).tolist() == [0, 0]
        return
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever it is, it is not fatal)
        read(tree, a=bytes(8))
    assert {*sys.modules} == before


@pytest.mark.parametrize("name", ["list", "tuple", "object", "set"])
def test_a_tree_that_is_too_deep_is_an_ordinary_error(name: str) -> None:
    tree: Any = 1
    for _ in range(100_000):
        tree = {name: [tree] if name != "object" else tree}
    with pytest.raises(RecursionError):
        read(tree)
    while isinstance(tree, dict):  # or its end is a recursion, too
        tree = tree[name] if name == "object" else tree[name][0]


def test_what_could_be_written_can_be_read_however_deep_it_is() -> None:
    value: Any = 1
    wraps: list[Callable[[Any], Any]] = [
        lambda x: [x],
        lambda x: {"a": x},
        lambda x: (x,),
        lambda x: [(x,), x],
    ]
    depth = 0
    try:
        while True:
            value, depth = wraps[depth % 4](value), depth + 1
            tree, file = written(value)
    except RecursionError:
        pass
    assert depth > 100
    found = Unpacker(read_header(memoryview(file))).unpack(tree)
    assert Placer().place(None, found, ("x",)) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=6,
)
NAMES = [
    "list", "tuple", "set", "frozenset", "deque", "dict", "ordered", "counter", "defaultdict",
    "frozen", "again", "after", "array", "kind", "bytes", "bytearray", "object", "fields", "text",
    "int", "float", "complex", "decimal", "fraction", "range", "path", "saved_files", "id",
    "metadata", "maxlen", "factory", "dtype", "shape", "scalar", "axes",
]  # fmt: skip
TREES = st.recursive(
    st.integers(0, 3) | st.sampled_from([None, "", "a", "numpy", "<f4", "0x1", 1.5, [1, 1]]),
    lambda parts: (
        st.lists(parts, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), parts, max_size=4)
        | st.lists(st.lists(parts, min_size=2, max_size=2), max_size=2)
    ),
    max_leaves=12,
)


@given(JSON | TREES)
def test_any_json_is_a_value_or_an_ordinary_error(tree: Any) -> None:
    try:
        value = read(tree, a=bytes(8))
    except Exception:  # noqa: BLE001  (as the reader of snapshots does)
        return
    assert "Found" not in type(value).__name__


@given(st.data())
def test_a_tree_with_one_change_is_a_value_or_an_ordinary_error(data: st.DataObject) -> None:
    tree, file = written({"a": [(1, {2.5}), np.arange(4.0)], "b": {"c": b"x" * 300}, "d": [2**99]})
    node: Any = tree
    parent: Any = [tree]
    key: Any = 0
    while isinstance(node, dict | list) and node and data.draw(st.booleans()):
        key = data.draw(st.sampled_from([*node] if isinstance(node, dict) else range(len(node))))
        parent, node = node, node[key]
    parent[key] = data.draw(TREES)
    try:
        found = Unpacker(read_header(memoryview(file))).unpack(tree)
        Placer().place(None, found, ("x",))
    except Exception:  # noqa: BLE001  (as the reader of snapshots does)
        return


def test_nothing_is_imported_for_values_of_no_library() -> None:
    program = """
import json, sys
from rnnr._values._pack import Packer
from rnnr._values._place import Placer
from rnnr._values._unpack import Unpacker
value = {"a": [1, 2.5, (None, "x")], "b": {1, 2}, "c": b"x" * 300}
packer = Packer("")
tree = json.loads(json.dumps(packer.pack(value, ("x",))))
arrays = {"x.c": memoryview(value["c"])}
assert Placer().place(None, Unpacker(arrays).unpack(tree), ("x",)) == value
assert not {"numpy", "torch", "jax", "ml_dtypes", "pickle"} & {*sys.modules}
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
