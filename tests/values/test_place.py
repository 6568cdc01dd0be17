"""Values go into the arrays, dicts and objects that are there; each takes one value."""

import random
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers.values import Model, through
from rnnr import RnnrWarning
from rnnr._frozen import Frozen
from rnnr._values._numpy_arrays import NUMPY
from rnnr._values._written import Written

np = pytest.importorskip("numpy")


class Pair(NamedTuple):
    one: Any
    other: Any


def ordered(*items: Any) -> Any:
    return OrderedDict(items)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ([1, 2, 3], [4]),
        ([], [1, [2]]),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}),
        (ordered(("a", 1), ("b", 2)), ordered(("b", 3), ("a", 4))),
        (Counter("aab"), Counter("bb")),
        (defaultdict(list, a=[1]), defaultdict(int, b=2)),
        (defaultdict(lambda: 1), defaultdict(None, b=2)),
        ({1, 2}, {2, (3,)}),
        (deque([1, 2]), deque([3])),
        (deque([1, 2], 2), deque([3], 2)),
        (bytearray(b"abc"), bytearray(b"x" * 300)),
        (np.zeros((2, 3)), np.arange(6.0).reshape(2, 3)),
        (np.zeros((3, 2), "i4").T, np.arange(6, dtype="i4").reshape(2, 3)),
        (np.zeros(10, ">f4")[::-3], np.arange(4, dtype=">f4")),
        (np.zeros(()), np.array(2.0)),
    ],
    ids=lambda value: str(value).replace("\n", ""),
)
def test_what_is_there_takes_a_value_of_its_kind(target: Any, value: Any) -> None:
    read = through(value, target)
    assert read is target
    assert np.array_equal(read, value) if isinstance(value, np.ndarray) else read == value
    if isinstance(value, dict):
        assert [*read] == [*value]
    if isinstance(value, defaultdict):
        assert read.default_factory is value.default_factory


class Forgetful(Model):
    """It takes a part of its state alone."""

    def load_state_dict(self, state: Any) -> None:
        self.state = {**self.state, "kept": state["kept"]}


@pytest.mark.parametrize(
    ("saved", "present"),
    [
        (3, 4),
        (float("nan"), 1.0),
        ([1, 2], [1]),
        ([1, 2], [1, 3]),
        ({"a": 1}, {}),
        (np.ones(2), np.ones(2, "f4")),
        (np.ones(2), np.zeros(2)),
        (np.ones(1), np.ones(2)),
        (1.0, np.ones(2)),
        (np.ones(2), None),
    ],
    ids=repr,
)
def test_a_state_that_is_not_taken_whole_is_told(saved: Any, present: Any) -> None:
    target = Forgetful({"kept": 0, "lost": present})
    with pytest.warns(RnnrWarning, match=r"x\.state_dict\(\)\['lost'\].* must be what was saved"):
        through(Forgetful({"kept": 1, "lost": saved}), target)
    assert target.state["kept"] == 1


@pytest.mark.parametrize(
    ("saved", "present"),
    [
        (float("nan"), float("nan")),
        (1, 1.0),
        ([1.0] * 300, [1.0] * 300),
        ((1, [2]), [1, (2,)]),
        (np.full(2, np.nan), np.full((2, 2), np.nan)[:, 0]),
        ({"a": 1}, {"a": 1, "b": 2}),
    ],
    ids=repr,
)
def test_a_state_that_is_the_same_is_not(saved: Any, present: Any) -> None:
    through(Forgetful({"kept": 1, "lost": saved}), Forgetful({"kept": 0, "lost": present}))


def test_a_state_that_contains_itself_is_compared_once() -> None:
    def tree() -> Any:
        root: Any = {"n": 1, "children": deque([np.ones(2)])}
        root["children"].append({"parent": root})
        return root

    through(Forgetful({"kept": 1, "lost": tree()}), Forgetful({"kept": 0, "lost": tree()}))


class Loader(Model):
    """It has no position before its batches, and must not be asked for one."""

    def __iter__(self) -> Any:
        raise NotImplementedError

    def load_state_dict(self, state: Any) -> None:
        self.loaded = state


def test_a_loader_is_not_asked_what_it_has_loaded() -> None:
    loader = Loader()
    through(Loader(3), loader)
    assert loader.loaded == 3


READ_ONLY = np.zeros(3)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ((1, 2), [1]),
        ([1], (1, 2)),
        ({"a": 1}, ordered(("a", 1))),
        (Counter("a"), {"a": 1}),
        (deque([1], 3), deque([1], 2)),
        (type("Mine", (list,), {})(), [1]),
        ({1}, frozenset({1})),
        (b"abc", bytearray(b"abc")),
        (Frozen(a=1), Frozen(a=2)),
        (np.zeros(3), np.ones(4)),
        (np.zeros(3), np.ones((3, 1))),
        (np.zeros(3, "f4"), np.ones(3)),
        (np.zeros(3, ">f8"), np.ones(3)),
        (np.zeros(3, "M8[s]"), np.zeros(3, "M8[ms]")),
        (np.zeros(3, [("a", "f8")]), np.ones(3)),
        (np.float64(1), np.array(2.0)),
        (np.array(2.0), np.float64(3)),
        (READ_ONLY, np.ones(3)),
        (np.broadcast_to(0.0, (3,)), np.ones(3)),
        (np.lib.stride_tricks.as_strided(np.zeros(1), (3,), (0,)), np.ones(3)),
        (np.ma.zeros(3), np.ones(3)),
        (Model(), np.ones(3)),
        (None, [1]),
        (None, deque([1])),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_what_is_of_another_kind_stays_as_it_is(target: Any, value: Any) -> None:
    before = repr(target)
    read = through(value, target)
    assert read is not target
    assert type(read) is type(value)
    assert np.array_equal(read, value) if isinstance(value, np.ndarray) else read == value
    assert repr(target) == before


def test_arrays_are_restored_in_place_in_lists_tuples_and_dicts() -> None:
    def make(number: float) -> Any:
        return {"a": [np.full(2, number), ({"b": np.full(3, number)}, number)], "c": ("x",)}

    target = make(0.0)
    first, inner = target["a"][0], target["a"][1][0]["b"]
    read = through(make(5.0), target)
    assert read is target
    assert target["a"][0] is first
    assert target["a"][1][0]["b"] is inner
    assert first.tolist() == [5.0, 5.0]
    assert inner.tolist() == [5.0, 5.0, 5.0]
    assert target["a"][1][1] == 5.0


def test_a_view_of_a_file_takes_its_value_in_the_file(tmp_path: Path) -> None:
    file = np.memmap(tmp_path / "x", "f4", "w+", shape=(3,))
    target = np.asarray(file)
    assert through(np.arange(3, dtype="f4"), target) is target
    file.flush()
    assert np.fromfile(tmp_path / "x", "f4").tolist() == [0, 1, 2]


@pytest.mark.parametrize("make", [lambda x: [x], lambda x: {1: x}, lambda x: np.full(1, x)])
def test_two_values_do_not_go_into_what_was_one_object(make: Any) -> None:
    one = make(0)
    target = {"a": one, "b": one}
    read = through({"a": make(1), "b": make(2)}, target)
    assert read["a"] is one
    assert read["a"] == make(1)
    assert read["b"] == make(2)


@pytest.mark.parametrize("make", [lambda x: [x], lambda x: {1: x}, lambda x: np.full(1, x)])
def test_one_value_goes_into_one_of_two_objects(make: Any) -> None:
    target, value = {"a": make(0), "b": make(0)}, make(1)
    first = target["a"]
    read = through({"a": value, "b": value}, target)
    assert read["a"] is read["b"] is first
    assert first == make(1)


def test_a_target_that_contains_itself_takes_each_value_once() -> None:
    items: list[Any] = [0]
    items.append(items)
    assert through([1, [2]], items) == [1, [2]]
    mapping: dict[str, Any] = {}
    mapping["me"] = mapping
    read = through({"me": {"me": 1}}, mapping)
    assert read is mapping
    assert read == {"me": {"me": 1}}
    value: list[Any] = []
    value.append(value)
    read = through(value, items)
    assert read is items
    assert read[0] is items


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_of_targets_take_any_value(seed: int) -> None:
    rng = random.Random(seed)

    def graph() -> Any:
        nodes: list[Any] = [rng.choice([list, dict])() for _ in range(5)]
        for node in nodes:
            for i in range(3):
                item = rng.choice([*nodes, np.full(2, rng.random()), (rng.choice(nodes),)])
                node.insert(0, item) if type(node) is list else node.update({i: item})
        return nodes

    value = graph()
    expected, read = repr(value), through(value, graph())
    assert repr(read) == expected


class Overlap(NamedTuple):
    """Targets that share their memory, and values that do or do not."""

    targets: Any
    values: Any
    n_in_place: int


def overlaps() -> list[Any]:
    base, other = np.zeros(6), np.arange(6.0)
    return [
        Overlap([base, base[:]], [np.ones(6), np.full(6, 2.0)], 1),
        Overlap([base[:4], base[2:]], [np.ones(4), np.full(4, 2.0)], 1),
        Overlap([base[::2], base[1::2]], [np.ones(3), np.full(3, 2.0)], 2),
        Overlap([base[:4], base[2:], base], [other[:4], other[2:], other], 3),
        Overlap([base, base.reshape(2, 3).T], [other, other.reshape(2, 3).T], 2),
        Overlap([base[:0], base], [other[:0], other], 2),
        Overlap([base[:3], base, base[3:]], [np.ones(3), other, np.full(3, 9.0)], 2),
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_shares_memory_does_not_overwrite_what_was_restored(number: int) -> None:
    targets, values, n_in_place = overlaps()[number]
    read = through(values, [*targets])
    assert all(np.array_equal(*pair) for pair in zip(read, values, strict=True))
    assert sum(one is target for one, target in zip(read, targets, strict=True)) == n_in_place


def test_what_is_not_written_keeps_its_bits() -> None:
    base, written = np.arange(4.0), Written()
    described = {"dtype": "<f8", "shape": [2]}
    assert written.write(NUMPY, base[:2], np.array([8.0, 9.0]), described)
    assert not written.write(NUMPY, base[1:3], np.array([5.0, 6.0]), described)
    assert base.tolist() == [8.0, 9.0, 2.0, 3.0]


def test_objects_load_their_state_where_they_are() -> None:
    model, inner = Model([0]), Model()
    target = {"a": model, "b": [inner]}
    read = through({"a": Model({"w": np.ones(2)}), "b": [Model(3)]}, target)
    assert read["a"] is model
    assert read["b"][0] is inner
    assert model.state["w"].tolist() == [1, 1]
    assert inner.state == 3


def test_an_object_is_one_object_wherever_it_is() -> None:
    model, target = Model(1), Model()
    read = through([model, {"again": model}], [target, {}])
    assert read[0] is read[1]["again"] is target


def test_what_an_object_shares_with_the_rest_it_shares_again() -> None:
    rows = [1]
    model, target = Model({"rows": rows}), Model()
    read = through([model, rows], [target, []])
    assert target.state["rows"] is read[1]


@pytest.mark.parametrize("target", [None, 3, Model, {}, [Model()]], ids=repr)
def test_an_object_that_is_not_there_is_missed(target: Any) -> None:
    expected = r"x must be an object with load_state_dict\(\) before the run begins, .*set it up"
    with pytest.raises(ValueError, match=expected):
        through(Model(1), target)


def test_a_named_tuple_is_made_by_the_class_of_the_one_that_is_there() -> None:
    array = np.zeros(2)
    target = (Pair(array, Pair(1, 2)), 0)
    read = through((Pair(np.ones(2), Pair([3], 4)), 5), target)
    assert type(read[0]) is Pair
    assert read[0].one is array
    assert array.tolist() == [1, 1]
    assert type(read[0].other) is Pair
    assert read[0].other == ([3], 4)


def test_a_named_tuple_that_contains_itself_is_one() -> None:
    items: list[Any] = []
    pair = Pair(items, 1)
    items.append(pair)
    read = through(items, [Pair(0, 0)])
    assert type(read[0]) is Pair
    assert read[0].one is read


class Triple(NamedTuple):
    one: Any
    other: Any
    third: Any


@pytest.mark.parametrize("target", [None, (1, 2), [1, 2], Triple(1, 2, 3)], ids=repr)
def test_a_named_tuple_that_is_not_there_is_missed(target: Any) -> None:
    with pytest.raises(ValueError, match="x must be a named tuple of one, other before the run"):
        through(Pair(1, 2), target)


def test_what_is_frozen_is_made_again() -> None:
    value = Frozen(a=[1], b=np.ones(2))
    read = through(value, Frozen(a=[2]))
    assert type(read) is Frozen
    assert read["a"] == [1]
    assert read["b"].tolist() == [1, 1]


def test_versions_of_modules_go_with_their_dict() -> None:
    value, target = ordered(("a", 1)), ordered(("a", 2))
    value._metadata = ordered(("", {"version": 2}))
    target._metadata = {}
    assert through(value, target) is target
    assert target._metadata == value._metadata
