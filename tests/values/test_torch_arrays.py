"""Tensors of PyTorch, to the last bit: each type, each layout; Parameters stay Parameters."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.values import through, written
from rnnr._values._torch_arrays import TORCH, torch_dtype

torch = pytest.importorskip("torch")

DTYPES = sorted(
    name
    for name in {str(kind).removeprefix("torch.") for kind in vars(torch).values()
                 if type(kind) is torch.dtype}
    if not name.startswith(("bit", "q")) and name.lstrip("uint") not in "1234567"
)  # fmt: skip


def bits(tensor: Any) -> bytes:
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).flatten()
    return bytes(flat.view(torch.uint8).numpy().tobytes())


def filled(dtype: Any, *shape: int) -> Any:
    """Make a tensor of arbitrary bits, NaNs with payloads among them."""
    size = torch.empty(shape).numel() * torch.empty(0, dtype=dtype).element_size()
    raw = (torch.arange(size) * 37 + 130).to(torch.uint8)
    return (raw % 2 if dtype is torch.bool else raw).view(dtype).reshape(shape)


def check(value: Any) -> Any:
    """Return what is read, which has the same bits."""
    read = through(value)
    assert (type(read), read.dtype, read.shape) == (type(value), value.dtype, value.shape)
    assert bits(read) == bits(value)
    return read


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3, 4)], ids=str)
def test_each_type_is_kept(name: str, shape: tuple[int, ...]) -> None:
    check(filled(getattr(torch, name), *shape))


def test_all_types_of_numbers_are_among_them() -> None:
    assert {"bfloat16", "float8_e4m3fn", "float8_e5m2", "complex32", "bool", "uint64"} <= {*DTYPES}
    assert len(DTYPES) >= 20


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    """Draw views with axes in any order, steps, and repeated items."""
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    tensor = torch.arange(torch.empty(shape).numel()).reshape(shape)
    tensor = tensor.permute(draw(st.permutations(range(tensor.ndim))))
    steps = st.sampled_from([slice(None), slice(1, None), slice(0, 4, 2)])
    tensor = tensor[tuple(draw(steps) for _ in range(tensor.ndim))]
    return tensor.expand(3, *tensor.shape) if draw(st.booleans()) else tensor


@given(tensors())
def test_each_layout_without_gaps_is_kept_as_clone_keeps_it(tensor: Any) -> None:
    read, clone = check(tensor), tensor.clone(memory_format=torch.preserve_format)
    if tensor.numel() and clone.stride() == tensor.stride():
        assert read.stride() == tensor.stride()
    else:
        assert read.is_contiguous()
    assert read.untyped_storage().nbytes() == read.numel() * 8


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("size", [1, 4])
def test_channels_last_is_kept_even_where_it_is_ambiguous(n_channels: int, size: int) -> None:
    tensor = torch.randn(2, n_channels, size, size).to(memory_format=torch.channels_last)
    assert check(tensor).stride() == tensor.stride()


def test_whether_it_takes_a_gradient_is_kept() -> None:
    leaf = torch.arange(3.0, requires_grad=True)
    for value, takes in [
        (torch.nn.Parameter(torch.ones(2)), True),
        (torch.nn.Parameter(torch.ones(2), requires_grad=False), False),
        (torch.nn.Parameter(torch.ones(0)), True),
        (leaf, True),
        (leaf.detach(), False),
        (leaf * 2, False),  # what it was made of is not kept
        (leaf[1:], False),
    ]:
        read = check(value)
        assert read.is_leaf
        assert read.requires_grad is takes


def test_views_that_compute_are_kept_as_numbers() -> None:
    value = torch.tensor([1 + 2j, -3j])
    for view in (value.conj(), value.conj().imag, value.imag, value.real):
        assert torch.equal(through(view), view.resolve_conj().resolve_neg())


def test_inference_tensors_are_read_as_tensors() -> None:
    with torch.inference_mode():
        value = torch.ones(2)
    read = check(value)
    assert not read.is_inference()


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_another_default_device_changes_nothing(shape: Any) -> None:
    value = torch.ones(shape)
    with torch.device("meta"):
        read = through([value])[0]
    assert read.device == torch.device("cpu")
    assert torch.equal(read, value)


class Sub(torch.Tensor):  # type: ignore[misc, name-defined]
    pass


@pytest.mark.filterwarnings("ignore:.*(prototype|deprecated|sparse|beta).*")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.eye(2).to_sparse_csr(),
        lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        lambda: torch.ones(2, device="meta"),
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda: torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
        lambda: torch.ones(2).as_subclass(Sub),
        lambda: torch.nn.UninitializedParameter(),
        lambda: torch.zeros(1, dtype=torch.uint8).view(torch.uint4),
        lambda: torch.zeros(1, dtype=torch.uint8).view(torch.bits8),
        lambda: torch.ones(2).max(0),
        lambda: torch.float32.to_complex,
    ],
)
def test_what_is_more_than_its_bytes_is_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"x\['a'\]\[0\] must be a plain value"):
        written({"a": [make()]})


@pytest.mark.parametrize(
    "name",
    [
        "load", "torch", "nn", "_inductor", "onnx", "float", "Tensor", "dtype", "hub", "float33",
        "", "__name__", "nn.Module", "os", "_dynamo",
    ],
)  # fmt: skip
def test_another_name_of_a_type_is_refused(name: str) -> None:
    before = {*sys.modules}
    if name == "float":  # a name that PyTorch has, too
        assert torch_dtype(name) is torch.float32
        return
    with pytest.raises(ValueError, match="is not a type of PyTorch"):
        torch_dtype(name)
    assert {*sys.modules} == before


def view(shape: Any, n_bytes: int = 8, dtype: Any = "float32") -> Any:
    return TORCH.view({"dtype": dtype, "shape": shape}, memoryview(bytearray(n_bytes)))


@pytest.mark.parametrize(
    "shape", [[], [1], [3], [-1], [2, -1], [2**64], [2.0], [True, 2], ["2"], [[2]], 2, None]
)
def test_a_shape_of_other_bytes_is_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        view(shape)


def test_a_large_shape_without_bytes_is_not_made() -> None:
    with pytest.raises(ValueError, match="does not have 0 bytes"):
        view([2**40], 0)


@pytest.mark.parametrize("dtype", [None, 4, [], "qint8", "quint4x2", "uint4", "bits8", "float9"])
def test_a_tensor_of_another_type_is_not_made(dtype: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        view([8], 8, dtype)


@pytest.mark.parametrize(
    "stride",
    [[2**60, 1], [0, 0], [0, 1], [1, 1], [-1, 1], [3, 2], [1], [3, 1, 1], ["3", 1],
     None, "ab", [3, 1.0]],
    ids=str,
)  # fmt: skip
def test_a_stride_with_gaps_or_overlaps_is_refused(stride: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        TORCH.own(view([2, 3], 24), {"stride": stride})


@pytest.mark.parametrize("device", ["nothing", "cuda:9999", "os", 3.5, ["cpu"], {}])
def test_a_device_that_is_not_there_is_refused(device: Any) -> None:
    with pytest.raises((AssertionError, RuntimeError, TypeError)):
        TORCH.own(view([2]), {"device": device})


def test_the_device_is_told_unless_it_is_the_cpu() -> None:
    class Elsewhere:
        def __getattr__(self, name: str) -> Any:
            return torch.device("cuda", 1) if name == "device" else getattr(torch.ones(2), name)

    assert (TORCH.describe(Elsewhere()) or {})["device"] == "cuda:1"
    assert "device" not in (TORCH.describe(torch.ones(2)) or {})


def test_the_extent_of_a_tensor_is_where_it_lies() -> None:
    base = torch.zeros(4, 6)
    begin, end = TORCH.extent(base)
    assert end - begin == 96
    assert TORCH.extent(base.T) == (begin, end)
    assert TORCH.extent(base[1:, 2:4]) == (begin + 32, end - 8)
    assert TORCH.extent(base[:0])[0] == TORCH.extent(base[:0])[1]


def test_models_optimizers_and_schedulers_are_kept() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.LSTM(4, 3), torch.nn.PReLU()
    )
    state = model.state_dict()
    read = through(state)
    assert [*read] == [*state]
    assert read._metadata == state._metadata
    assert all(bits(read[key]) == bits(state[key]) for key in state)
