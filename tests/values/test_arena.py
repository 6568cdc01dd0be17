"""Copies of the arrays, in memory that is kept: each time those that were given, and no others."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from helpers.extras import torch
from rnnr._values._arena import Arena
from rnnr._values._pack import Packer
from rnnr._values._place import Placer
from rnnr._values._safetensors import read_header
from rnnr._values._unpack import Unpacker

np = pytest.importorskip("numpy")


def copies(arena: Arena, value: Any) -> Any:
    """Return what is read of a value that is copied with the arena."""
    packer = Packer("")
    tree = packer.pack(value, ("x",))
    file = memoryview(bytearray(b"".join(arena.copy(packer.arrays))))
    return Placer().place(None, Unpacker(read_header(file)).unpack(tree), ("x",))


def test_five_copies_are_each_what_was_given() -> None:
    arena = Arena()
    one, other = np.arange(4.0), np.arange(6, dtype="i4")
    for value in (
        [one, other],
        [one + 1, other + 1],  # replaced
        [one.reshape(2, 2).T, other[::-2]],  # of other shapes
        [other, one],  # swapped
        [np.tile(one, 100), other, b"x" * 400],  # larger, and more of them
        [one[:1]],  # smaller, and fewer
        [],
        [one, other],
    ):
        read = copies(arena, value)
        assert [*map(repr, read)] == [*map(repr, value)]


def test_tensors_that_are_replaced_or_change_in_place_are_copied_as_they_are() -> None:
    arena, tensors = Arena(), {"a": torch.zeros(3), "b": torch.ones(2, 2)}
    changes: list[Callable[[], object]] = [
        lambda: tensors["a"].add_(1),
        lambda: tensors.update(a=torch.full((7,), 2.0)),
        lambda: tensors.update(a=tensors["b"], b=tensors["a"]),
        lambda: tensors.update(b=torch.arange(6.0).reshape(2, 3).T),
        lambda: tensors.update(a=torch.full((1,), 3.0)),
    ]
    for change in changes:
        change()
        read = copies(arena, tensors)
        assert all(torch.equal(read[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("seed", range(10))
def test_any_row_of_copies_is_what_was_given(seed: int) -> None:
    rng, arena = random.Random(seed), Arena()
    dtypes = ["?", "i1", "u2", "f4", "f8", ">i4", "c16", "U3", "S5", "M8[s]"]
    for _ in range(20):
        value = [
            np.asarray(rng.randrange(2**31) + np.arange(rng.randrange(300)), "i8")
            .astype(dtype)
            .reshape(rng.choice([-1, (1, -1), (-1, 1)]))
            for dtype in rng.choices(dtypes, k=rng.randrange(6))
        ]
        read = copies(arena, value)
        assert [one.tobytes() for one in read] == [one.tobytes() for one in value]
        assert [(one.dtype, one.shape) for one in read] == [(x.dtype, x.shape) for x in value]


def test_the_memory_is_kept_and_not_the_arrays() -> None:
    arena, packer = Arena(), Packer("")
    packer.pack(np.arange(1000.0), ("x",))
    first, second = arena.copy(packer.arrays)[1], arena.copy(packer.arrays)[1]
    assert isinstance(first, memoryview)
    assert isinstance(second, memoryview)
    assert first.obj is second.obj


def test_what_the_writer_still_has_survives_a_larger_copy() -> None:
    arena, small, large = Arena(), Packer(""), Packer("")
    small.pack(np.arange(4.0), ("x",))
    large.pack(np.zeros(10**6), ("x",))
    chunk = arena.copy(small.arrays)[1]
    arena.copy(large.arrays)
    assert np.frombuffer(chunk).tolist() == [0, 1, 2, 3]
