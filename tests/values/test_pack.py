"""Any plain value that is written is read as an equal one of the same types; pickle judges."""

import json
import pickle
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import np, torch
from helpers.values import Model, same, through, written
from rnnr._frozen import Frozen
from rnnr._values._pack import Packer, Template, path_text
from rnnr.files import SavedFile, SavedFiles

TEXT = st.text(st.characters(exclude_categories=()), max_size=5)  # surrogates, too
HUGE = st.integers(4300, 5000).map(lambda n: 10**n)  # Python does not write them in digits
INTEGERS = st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1]) | HUGE
BITS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
FLOATS = st.floats() | BITS | st.just(-0.0)
BYTES = st.binary(max_size=9) | st.binary(min_size=250, max_size=300)
HASHABLE = (
    st.none()
    | st.booleans()
    | INTEGERS
    | FLOATS
    | TEXT
    | BYTES
    | st.builds(complex, FLOATS, FLOATS)
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.fractions()
    | st.builds(range, INTEGERS, INTEGERS, INTEGERS.filter(bool))
    | TEXT.map(Path)
)
LEAVES = (
    HASHABLE
    | BYTES.map(bytearray)
    | st.just(Decimal("sNaN12"))
    | st.dictionaries(
        TEXT,
        st.builds(SavedFile, st.lists(TEXT, max_size=2).map(tuple), st.none() | st.integers()),
        max_size=2,
    ).map(SavedFiles)
)
LONG = (st.lists(FLOATS, min_size=1) | st.lists(INTEGERS, min_size=1)).map(
    lambda numbers: (numbers * 257)[: 257 + len(numbers)]  # as many as become an array
)
KEYS: st.SearchStrategy[Hashable] = st.recursive(
    HASHABLE,
    lambda keys: st.lists(keys, max_size=3).map(tuple) | st.frozensets(keys, max_size=3),
    max_leaves=4,
)


def defaultdicts(pairs: dict[Any, Any], factory: Any) -> Any:
    return defaultdict(factory, pairs)


def frozen(pairs: Any) -> Any:
    return Frozen(pairs)


def versioned(pairs: dict[Any, Any]) -> Any:
    ordered: Any = OrderedDict(pairs)
    ordered._metadata = OrderedDict({"": {"version": 1}})
    return ordered


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(values, max_size=4) | LONG
    dicts = st.dictionaries(KEYS, values, max_size=4)
    factories = st.sampled_from([None, int, float, str, list, dict, set])
    return (
        lists
        | lists.map(tuple)
        | st.sets(KEYS, max_size=4)
        | st.frozensets(KEYS, max_size=4)
        | st.builds(deque, lists, st.none() | st.integers(0, 3))
        | dicts
        | dicts.map(OrderedDict)
        | dicts.map(versioned)
        | dicts.map(Counter)
        | dicts.map(frozen)
        | st.builds(defaultdicts, dicts, factories)
    )


VALUES = st.recursive(LEAVES, containers, max_leaves=12)

MAKERS: list[Callable[[], Any]] = [
    list, dict, deque, OrderedDict, Counter, Frozen, lambda: defaultdict(list)
]  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn, makers: list[Callable[[], Any]]) -> Any:
    """Draw containers that contain each other, and themselves."""
    nodes = [draw(st.sampled_from(makers))() for _ in range(draw(st.integers(1, 5)))]
    parts = st.sampled_from(nodes) | st.integers()
    items = parts | st.tuples(parts, parts) | st.tuples(st.tuples(parts))
    for node in nodes:
        for number, item in enumerate(draw(st.lists(items, max_size=3))):
            if isinstance(node, dict):
                put = dict.__setitem__ if type(node) is Frozen else type(node).__setitem__
                put(node, number, item)
            else:
                node.append(item)
    return draw(items)


class Pair(NamedTuple):
    one: Any
    other: Any


@given(VALUES)
def test_a_value_is_read_as_it_was(value: Any) -> None:
    assert same(through(value), value)
    assert same(pickle.loads(pickle.dumps(value)), value)


@given(graphs(MAKERS))
def test_what_contains_itself_still_does(value: Any) -> None:
    assert same(through(value), value)


@given(graphs([maker for maker in MAKERS if maker not in (Counter, Frozen)]))
def test_pickle_makes_the_same_of_what_contains_itself(value: Any) -> None:
    assert same(through(value), pickle.loads(pickle.dumps(value)))


@pytest.mark.parametrize("make", [list, deque], ids=repr)
def test_a_tuple_in_a_list_in_the_tuple_is_one_tuple(make: Any) -> None:
    items = make()
    value = (items, 1)
    items.append(value)
    read = through(value)
    assert read[0][0] is read
    read = through(items)
    assert read[0][0] is read


def test_what_is_shared_stays_shared_and_what_is_equal_stays_apart() -> None:
    shared, files, pair = [1], SavedFiles(["a"]), (1, [2])
    value = {"a": shared, "b": shared, "c": [1], "d": (files, files), "e": [pair, pair]}
    read = through(value)
    assert read["a"] is read["b"] is not read["c"] == [1]
    assert read["d"][0] is read["d"][1]
    assert read["e"][0] is read["e"][1]


def test_what_dies_while_it_is_written_is_not_taken_for_another() -> None:
    packer = Packer("")
    trees = [packer.pack([i], ("x",)) for i in range(9)]  # each list is freed at once
    assert [tree["list"] for tree in trees] == [[i] for i in range(9)]


@pytest.mark.parametrize("size", [0, 256, 257, 10_000])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_long_bytes_are_arrays_of_the_file(size: int, kind: Any) -> None:
    value = kind(i % 256 for i in range(size))
    tree, file = written(value)
    assert ("array" in tree) is (size > 256)
    assert (value in file) is (size > 256 or not size)
    assert same(through(value), value)


def test_a_pair_of_surrogates_is_not_the_character_that_json_makes_of_it() -> None:
    pair = "\ud800\udc00"
    assert json.loads(json.dumps(pair)) != pair
    value = {pair: pair, "\U00010000": 1, "path": Path(pair)}
    assert same(through(value), value)


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,), lambda x: frozenset([x])])
def test_sets_are_written_in_one_order(wrap: Any) -> None:
    orders = [*permutations([0, 8, 16])]
    assert len({str(frozenset(order)) for order in orders}) > 1
    sets = [{wrap(frozenset(order)), 1} for order in orders]
    assert len({json.dumps(Packer("").pack(value, ("x",))) for value in sets}) == 1


def test_scalars_of_numpy_are_keys_and_members() -> None:
    value = {np.int64(3): {np.float32(0.5)}, (np.str_("a"), 1): frozenset({np.bool_(True)})}
    read = through(value)
    assert read == value
    kinds = [type(part) for part in (*read, *read[np.int64(3)], *read[np.str_("a"), 1])]
    assert kinds == [np.int64, tuple, np.float32, np.bool_]


def test_tensors_are_keys_and_members_by_what_they_are() -> None:
    tensor = torch.arange(3)
    read = through([tensor, {tensor: 1}, {tensor}, frozenset({(tensor,)})])
    assert all(member is read[0] for member in (*read[1], *read[2], *next(iter(read[3]))))
    assert read[0].tolist() == [0, 1, 2]


def test_types_devices_and_sizes_of_pytorch_are_plain() -> None:
    value = [torch.float16, torch.device("cuda:1"), torch.Size([2, 3]), torch.complex64]
    read = through(value)
    assert read == value
    assert [*map(type, read)] == [*map(type, value)]


def test_names_of_arrays_are_made_of_the_keys_that_lead_to_them() -> None:
    packer = Packer("")
    array = np.zeros(1)
    shared = {"\udc00é": array.copy(), 1: array.copy(), "1": array.copy(), "again": array}
    packer.pack(shared, ("state", "w"))
    packer.pack(array, ("elsewhere",))
    packer.pack(array.copy(), ("__metadata__",))
    names = [packed.name for packed in packer.arrays]
    wanted = ["state.w.\\udc00\\xe9", "state.w.1", "state.w.1 #2", "state.w.again"]
    assert names == [*wanted, "__metadata__ #2"]


@pytest.mark.parametrize(
    "value",
    [
        object(), lambda: 1, int, iter([]), type("Text", (str,), {})("a"), type("D", (dict,), {})(),
        Pair, Model, json, ..., memoryview(b"a"), {1: [object()]}, {object()}, {object(): 1},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_another_value_is_refused_by_its_place_and_type(value: Any) -> None:
    with pytest.raises(TypeError, match=r"state\['x'\].* must be a plain value .*; leave it out"):
        Packer("leave it out").pack(value, ("state", "x"))


def test_a_defaultdict_of_another_function_is_refused() -> None:
    value: Any = defaultdict(lambda: 1)
    with pytest.raises(TypeError, match=r"x must be a defaultdict of int, float, .* a plain dict"):
        Packer("").pack(value, ("x",))
    int_by_name = type("int", (), {})
    with pytest.raises(TypeError, match="x must be a defaultdict"):
        Packer("").pack(defaultdict(int_by_name), ("x",))


@pytest.mark.parametrize("value", [Model(), Pair(1, 2)], ids=["object", "named tuple"])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: {1: x}, lambda x: [(x,)], lambda x: {(x,): 1} if type(x) is Pair
             else {x: 1}, lambda x: deque([x]), lambda x: Frozen(a=x), lambda x: {x}]
)  # fmt: skip
def test_what_needs_a_template_is_refused_where_there_is_none(value: Any, wrap: Any) -> None:
    with pytest.raises(TypeError, match=r"x.* must be there before the run begins, in a list"):
        Packer("", {}).pack(wrap(value), ("x",))


def test_a_template_has_the_same_class_and_place() -> None:
    templates: dict[tuple[object, ...], Template] = {
        ("x", "a"): Template(Model, 1),
        ("x", "b"): Template(Pair),
        ("x", "b", "one"): Template(Model, 2),
    }
    value = {"a": Model([1]), "b": Pair(Model(2), 3)}
    tree = Packer("", templates).pack(value, ("x",))
    assert "'object': {'list': [1]}" in str(tree)
    for wrong in ({"a": Pair(1, 2)}, {"c": Model()}, {"a": Model(Model())}):
        with pytest.raises(TypeError, match="must be there before the run begins"):
            Packer("", templates).pack(wrong, ("x",))


def test_an_object_in_its_own_state_is_refused() -> None:
    model = Model()
    model.state = {"me": model}
    with pytest.raises(TypeError, match=r"x\['state_dict\(\)'\]\['me'\] must be there before"):
        Packer("").pack(model, ("x",))


def test_a_path_of_keys_is_written_as_in_python() -> None:
    assert path_text(("state", "a", 0, (1,))) == "state['a'][0][(1,)]"


def test_an_integer_and_a_fraction_have_no_largest_size() -> None:
    huge = 7**9999
    assert through([huge, -huge, Fraction(huge, 2), range(huge)]) == [
        huge, -huge, Fraction(huge, 2), range(huge)
    ]  # fmt: skip
