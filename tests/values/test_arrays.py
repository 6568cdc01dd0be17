"""Arrays know their library, which nobody imports for them; those of JAX keep what is theirs."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from helpers.extras import torch
from helpers.values import same, through, written
from rnnr._values._arrays import kind_named, kind_of

np = pytest.importorskip("numpy")


class Key:
    """The type of a random key, which is not a type of NumPy."""


class FakeArray:
    """Like an array of JAX: it cannot be changed, has no strides, and may be weakly typed."""

    def __init__(self, data: Any, *, weak_type: bool = False, prng: str = "") -> None:
        self.data, self.weak_type, self.prng = np.array(data), weak_type, prng
        self.dtype = Key() if prng else self.data.dtype
        self.shape, self.nbytes = self.data.shape, self.data.nbytes

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.prng:
            raise TypeError("a key is not an array of NumPy")
        return np.array(self.data, dtype)


@pytest.fixture
def jax(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand in for JAX, with the functions that are called."""
    module: Any = ModuleType("jax")
    module.Array, module.x64 = FakeArray, True

    def asarray(data: Any) -> FakeArray:
        return FakeArray(data if module.x64 else data.astype("f4"))

    def full(shape: Any, value: Any) -> Any:
        """Return what `_weak` sets all items of; it has the precision of a number of Python."""
        dtype = np.array(value).dtype
        at = SimpleNamespace(set=lambda one: FakeArray(one.data.astype(dtype), weak_type=True))
        return SimpleNamespace(at={...: at})

    module.dtypes = SimpleNamespace(prng_key=Key)
    module.numpy = SimpleNamespace(
        issubdtype=lambda dtype, kind: isinstance(dtype, kind),
        asarray=asarray,
        full=full,
    )
    module.random = SimpleNamespace(
        key_data=lambda key: FakeArray(key.data),
        key_impl=lambda key: key.prng,
        wrap_key_data=lambda data, impl: FakeArray(data.data, prng=impl),
    )
    monkeypatch.setitem(sys.modules, "jax", module)
    return module


@pytest.mark.parametrize("weak_type", [False, True])
@pytest.mark.parametrize("data", [1.5, 3, True, 2j, [[1, 2], [3, 4]], np.zeros((0, 2))], ids=str)
def test_an_array_of_jax_is_read_as_one(jax: Any, data: Any, weak_type: bool) -> None:
    value = FakeArray(data, weak_type=weak_type)
    read = through([value, value])
    assert read[0] is read[1]
    assert type(read[0]) is FakeArray
    assert read[0].data.tobytes() == value.data.tobytes()
    assert (read[0].dtype, read[0].shape) == (value.dtype, value.shape)
    assert read[0].weak_type is weak_type


def test_a_number_whose_weak_type_cannot_be_made_has_its_precision(jax: Any) -> None:
    read = through(FakeArray(np.float32(1.5), weak_type=True))
    assert read.dtype == np.float32
    assert not read.weak_type


def test_a_random_key_of_jax_is_read_as_one(jax: Any) -> None:
    read = through({"key": FakeArray(np.array([1, 2], "u4"), prng="threefry2x32")})["key"]
    assert read.prng == "threefry2x32"
    assert read.data.tolist() == [1, 2]


def test_an_array_of_jax_is_never_changed_in_place(jax: Any) -> None:
    target = FakeArray([0.0, 0.0])
    read = through({"a": FakeArray([1.0, 2.0])}, {"a": target})
    assert read["a"] is not target
    assert target.data.tolist() == [0, 0]


def test_another_precision_of_jax_is_an_error(jax: Any) -> None:
    jax.x64 = False
    with pytest.raises(ValueError, match=r"JAX must keep the type float64 .* set jax_enable_x64"):
        through(FakeArray([1.0]))


def test_a_type_that_jax_has_alone_is_refused(jax: Any) -> None:
    value = FakeArray(1)
    value.dtype = object()
    with pytest.raises(TypeError, match="x must be a plain value"):
        written(value)
    key = FakeArray(1, prng="x")
    jax.random.key_data = lambda key: value
    with pytest.raises(TypeError, match="x must be a plain value"):
        written(key)


def test_each_kind_has_its_name() -> None:
    for value, name in [
        (np.zeros(1), "numpy"),
        (np.float32(1), "numpy"),
        (np.ma.zeros(1), None),
        (1.0, None),
        ([1], None),
        (np.ndarray, None),
    ]:
        kind = kind_of(value)
        assert (kind and kind.name) == name
        assert kind is None or kind_named(kind.name) is kind


def test_a_tensor_is_one_of_pytorch() -> None:
    for value in (torch.zeros(1), torch.nn.Parameter(torch.zeros(1))):
        kind = kind_of(value)
        assert kind is kind_named("torch")


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        kind_named("pickle")


def test_a_library_that_cannot_be_imported_has_no_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.zeros(1)
    for name in ("numpy", "torch", "jax"):
        monkeypatch.setitem(sys.modules, name, None)
    assert kind_of(value) is None


def test_asking_imports_nothing() -> None:
    program = """
import sys
from rnnr._values._arrays import kind_of
assert kind_of(1.0) is None and kind_of([1]) is None
assert not {"numpy", "torch", "jax", "ml_dtypes"} & {*sys.modules}
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_numbers_of_python_and_numpy_are_not_mixed_up() -> None:
    value = [np.float64(0.1), 0.1, np.int64(1), 1, np.bool_(True), True, np.str_("a"), "a"]
    assert same(through(value), value)
