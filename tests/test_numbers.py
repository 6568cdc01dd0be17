"""What is one number, and sums that are exact whatever the type, judged by fractions."""

import io
import math
import sys
from array import array
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.extras import ml_dtypes, np, torch
from rnnr._frozen import Frozen
from rnnr._numbers import (
    Sums,
    addend,
    number_of,
    numbers_in,
    own,
    precision_of,
    quotient,
    rounded,
)


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        Fraction(1, 2),
        Decimal("0.5"),
        np.float32(0.5),
        np.array(0.5),
        torch.tensor(0.5),
        torch.tensor([[0.5]]),
    ],
)
def test_whatever_is_one_number_is_a_plain_float(value: Any) -> None:
    number = number_of(value, "a part")
    assert (number, type(number)) == (0.5, float)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (0.5, 53),
        (1, 53),
        (np.float64(0.5), 53),
        (np.uint8(1), 53),
        (np.float32(0.5), 24),
        (np.array([0.5], np.float16), 11),
        (torch.tensor(0.5), 24),
        (torch.tensor(0.5, dtype=torch.bfloat16), 8),
    ],
)
def test_the_precision_is_that_of_the_type(value: Any, bits: int) -> None:
    assert precision_of(value) == bits


@pytest.mark.parametrize("value", [None, "0.5", b"1", [0.5], {}, 1j, np.ones(2), torch.ones(2)])
def test_what_is_not_one_number_is_refused_with_who_wanted_it(value: Any) -> None:
    expected = r"a value for a part must be a number, got .*; (give it one number|select one)"
    with pytest.raises(TypeError, match=expected):
        number_of(value, "a part")


class Odd:
    """A value that fails in its own way when it is asked for a number."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __float__(self) -> float:
        raise self.error


class Nameless:
    """A name that has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (True, 1.0),
        (Fraction(1, 2), 0.5),
        (Decimal("0.5"), 0.5),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (np.array([[0.5]]), 0.5),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor([3]), 3.0),
        (torch.tensor(True), 1.0),
        (math.inf, math.inf),
        (torch.tensor(-math.inf), -math.inf),
    ],
)
def test_numbers_among_values_are_plain_floats(value: Any, number: float) -> None:
    found = numbers_in({"value": value})
    assert found == {"value": number}
    assert type(found["value"]) is float


@pytest.mark.parametrize("value", [math.nan, np.float32(math.nan), torch.tensor(math.nan)])
def test_not_a_number_is_a_number_among_values(value: Any) -> None:
    assert math.isnan(numbers_in({"value": value})["value"])


@pytest.mark.parametrize(
    "value",
    [
        None,
        "0.5",
        b"1",
        [0.5],
        {"a": 1},
        1j,
        np.complex64(1j),
        torch.tensor(1j),
        10**400,
        np.ones(2),
        np.array([]),
        np.array("0.5"),
        np.array([None]),
        torch.ones(2),
        torch.empty(0),
        torch.empty(1, device="meta"),
        float,
        Odd(ValueError()),
        Odd(RuntimeError()),
        Odd(StopIteration()),
    ],
    ids=repr,
)
def test_what_is_no_number_is_left_out(value: Any) -> None:
    assert numbers_in({"before": 1, "value": value, "after": 2}) == {"before": 1.0, "after": 2.0}


def test_names_become_text_and_what_has_none_is_left_out() -> None:
    found = numbers_in({3: 1, None: 2, ("a", 1): 3, Nameless(): 4})
    assert found == {"3": 1.0, "None": 2.0, "('a', 1)": 3.0}


def test_an_interrupt_while_a_value_is_read_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        numbers_in({"value": Odd(KeyboardInterrupt())})


INTEGERS = {
    **{f"np.{name}": getattr(np, name) for name in ("bool_", "int8", "uint8", "int16", "uint32")},
    "bool": bool,
    "torch.bool": lambda one: torch.tensor(bool(one)),
    "torch.uint8": lambda one: torch.tensor(one, dtype=torch.uint8),
    "torch.int8": lambda one: torch.tensor(one, dtype=torch.int8),
    "arrays": lambda one: np.array([one, 1], dtype=np.uint8),
    "tensors": lambda one: torch.tensor([one, 1], dtype=torch.int16),
}
FLOATS = {
    "np.float16": np.float16,
    "np.float32": np.float32,
    "torch.float16": lambda one: torch.tensor(one, dtype=torch.float16),
    "torch.bfloat16": lambda one: torch.tensor(one, dtype=torch.bfloat16),
    "torch.float32": lambda one: torch.tensor(one, requires_grad=True),
    "arrays": lambda one: np.array([one, 1], dtype=np.float16),
}


def first_of(total: Any) -> Any:
    """Return the one number of a result, or the first of its items."""
    return total.reshape(-1)[0].item() if hasattr(total, "reshape") else total


@pytest.mark.parametrize("kind", INTEGERS.values(), ids=INTEGERS)
@given(data=st.data())
def test_a_sum_of_integers_is_that_of_pythons(kind: Any, data: st.DataObject) -> None:
    most = 1 if "bool" in str(kind) or kind(1) is True else 127
    values = data.draw(st.lists(st.integers(0, most), min_size=1, max_size=600))
    if kind in (INTEGERS["torch.bool"], np.bool_):
        values = [min(one, 1) for one in values]
    sums = Sums("a value", "a part", "x", is_divided=True)
    total = sums.begin(kind(values[0]))
    for one in values[1:]:
        total = sums.add(total, kind(one))
    assert first_of(sums.total(total)) == sum(values)
    assert first_of(sums.mean(total, len(values))) == pytest.approx(
        Fraction(sum(values), len(values)), rel=1e-15
    )


@pytest.mark.parametrize("kind", FLOATS.values(), ids=FLOATS)
@given(value=st.sampled_from([1.0, 0.5, 100.0, -2.0]), n=st.sampled_from([1, 300, 3000]))
def test_a_sum_of_floats_neither_stalls_nor_overflows(kind: Any, value: float, n: int) -> None:
    sums = Sums("a value", "a part", "x", is_divided=True)
    total = sums.begin(kind(value))
    for _ in range(n - 1):
        total = sums.add(total, kind(value))
    assert first_of(sums.total(total)) == n * value
    assert first_of(sums.mean(total, n)) == value


@pytest.mark.parametrize(
    ("value", "total", "mean"),
    [
        (np.float32(1), np.float32, np.float32),
        (np.float16(1), np.float32, np.float32),
        (np.float64(1), np.float64, np.float64),
        (np.longdouble(1), np.longdouble, np.longdouble),
        (np.complex64(1), np.complex64, np.complex64),
        (np.complex128(1), np.complex128, np.complex128),
        (np.uint64(1), np.uint64, np.float64),
        (np.int8(1), np.int64, np.float64),
        (np.bool_(1), np.int64, np.float64),
        (torch.ones((), dtype=torch.bfloat16), torch.float32, torch.float32),
        (torch.ones((), dtype=torch.float32), torch.float32, torch.float32),
        (torch.ones((), dtype=torch.float64), torch.float64, torch.float64),
        (torch.ones((), dtype=torch.complex64), torch.complex64, torch.complex64),
        (ml_dtypes.bfloat16(1), np.float32, np.float32),
        (ml_dtypes.float8_e4m3fn(1), np.float32, np.float32),
        (ml_dtypes.int4(1), np.int64, np.float64),
        (torch.ones((), dtype=torch.complex128), torch.complex128, torch.complex128),
        (torch.ones((), dtype=torch.bool), torch.int64, torch.float64),
    ],
)
def test_the_type_of_a_result_is_the_documented_one(value: Any, total: Any, mean: Any) -> None:
    sums = Sums("a value", "a part", "x", is_divided=True)
    two = sums.add(sums.begin(value), value)
    assert sums.total(two).dtype == total
    assert sums.mean(two, 2).dtype == mean


def test_values_of_several_types_are_not_rounded() -> None:
    sums = Sums("a value", "a part", "x")
    total = sums.begin(np.float32(0.1))
    for value in (np.float64(0.1), 0.1):
        total = sums.add(total, value)
    assert sums.total(total) == np.float64(np.float32(0.1)) + 0.1 + 0.1


def test_a_total_of_plain_numbers_is_plain() -> None:
    sums = Sums("a value", "a part", "x", is_divided=True)
    assert type(sums.mean(sums.begin(1.0), np.int64(1))) is float
    assert type(rounded(sums.mean(sums.begin(1), 1), "float32")) is float


@pytest.mark.parametrize("value", [0, 0.0, 5, Fraction(0), np.float16(0), torch.zeros(())])
@pytest.mark.parametrize("size", [0, 0.0, False, np.int8(0), np.bool_(0)])
def test_what_is_divided_by_no_items_is_not_a_number(value: Any, size: Any) -> None:
    assert math.isnan(quotient(addend(value), size))


def test_a_quotient_of_arrays_is_not_a_number_where_the_size_is_zero() -> None:
    result = quotient(np.array([0.0, 4.0]), np.array([0, 2]))
    assert math.isnan(result[0])
    assert result[1] == 2.0


def test_what_does_not_mix_with_floats_has_no_mean_over_no_items() -> None:
    assert math.isnan(quotient(Decimal(0), 0))


@pytest.mark.parametrize("is_divided", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        object(),
        np.datetime64(1, "s"),
        np.array([None]),
        np.zeros(1, "f4,f4"),
    ],
)
def test_what_cannot_be_added_says_so_at_the_first_value(value: Any, is_divided: bool) -> None:
    with pytest.raises(TypeError, match=r"a value for a part.* must be .*, got .*; compute"):
        Sums("a value", "a part", "x", is_divided=is_divided).begin(value)


def test_what_can_be_added_and_not_divided_has_a_sum_and_no_mean() -> None:
    sums, means = (Sums("a value", "a part", "x", is_divided=divided) for divided in (False, True))
    assert sums.total(sums.add(sums.begin("a"), "b")) == "ab"
    for text in ("a", np.array("a")):
        with pytest.raises(TypeError, match=r"a part.* must be a number, an array or a ten"):
            means.begin(text)


def test_a_later_value_of_another_kind_is_named() -> None:
    sums = Sums("a value", "a part", "x")
    with pytest.raises(TypeError, match="must be one that can be added to float"):
        sums.add(sums.begin(1.0), None)


def test_another_error_of_an_addition_tells_who_was_adding() -> None:
    sums = Sums("a value", "a part", "x")
    with pytest.raises(ValueError, match="broadcast") as caught:
        sums.add(sums.begin(np.ones(2)), np.ones(3))
    assert caught.value.__notes__ == ["rnnr: while adding a value for a part('x')"]


class Boxed:
    """A class of the user's own."""


def test_a_copy_of_our_own_does_not_follow_what_is_filled_again() -> None:
    arrays: list[Any] = [np.zeros(1), torch.zeros(1), np.zeros(1)]
    box = Boxed()
    value: dict[str, Any] = {"a": [arrays[0], (arrays[1],)], "b": box}
    copied = own(value)
    value["a"].append(3)
    for one in arrays:
        one[:] = 7
    assert copied == {"a": [np.zeros(1), (torch.zeros(1),)], "b": box}
    assert copied["b"] is box


@pytest.mark.parametrize(
    "value",
    [
        [1],
        {1},
        {1: 2},
        (1, [2]),
        deque([1], maxlen=3),
        bytearray(b"1"),
        array("i", [1]),
        Counter("aab"),
        OrderedDict(a=1),
    ],
)
def test_a_copy_of_a_container_is_one_of_its_kind(value: Any) -> None:
    copied = own(value)
    assert copied == value
    assert type(copied) is type(value)
    assert copied is not value


def test_a_copy_of_a_tensor_keeps_its_graph_and_an_addend_does_not() -> None:
    loss = torch.tensor(2.0, requires_grad=True) * 3
    assert own(loss).requires_grad
    assert not addend(loss).requires_grad


def test_a_library_without_64_bits_adds_in_the_widest_type_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Array(np.ndarray[Any, Any]):
        """What JAX has for an array."""

    narrower = {"float64": "float32", "int64": "int32", "complex128": "complex64"}
    jax = SimpleNamespace(
        Array=Array, dtypes=SimpleNamespace(canonicalize_dtype=lambda name: narrower[name])
    )
    monkeypatch.setitem(sys.modules, "jax", jax)
    value = np.ones(1, dtype=np.float16).view(Array)
    assert addend(value).dtype == np.float32
    assert addend(np.ones(1, dtype=np.float16)).dtype == np.float64


def test_a_gpu_without_64_bit_floats_adds_in_32_bits() -> None:
    class OnMps(torch.Tensor):
        """A tensor that says that it is on a GPU of Apple's."""

        @property
        def device(self) -> Any:  # type: ignore[override]
            return torch.device("mps")

    half = torch.ones(2, dtype=torch.float16).as_subclass(OnMps)
    assert addend(half).dtype == torch.float32


class Named(NamedTuple):
    """A tuple of the user's."""

    values: Any


def test_a_copy_of_a_named_tuple_is_one() -> None:
    array = np.zeros(1)
    copied = own(Named(array))
    array[:] = 7
    assert type(copied) is Named
    assert copied.values == [0]


def test_what_refuses_to_change_is_taken_as_it_is() -> None:
    frozen = Frozen({"a": 1})
    assert own(frozen) is frozen


@pytest.mark.parametrize(
    "size", [Decimal(0), Fraction(0), torch.tensor(0), torch.tensor([0.0]).sum()]
)
def test_sizes_of_any_kind_may_sum_to_zero(size: Any) -> None:
    assert math.isnan(quotient(5.0, size))
    assert math.isnan(quotient(torch.tensor(5.0), size))


def test_a_total_that_is_rounded_in_the_end_is_read_by_torch_load() -> None:
    total = Sums("a value", "a part", "x").begin(torch.tensor(1.0))
    torch.save({"total": total}, file := io.BytesIO())
    file.seek(0)
    assert torch.load(file)["total"] == {"sum": 1.0, "type": "float32"}
