"""`TrackedMetric`: what is a metric's memory, what is left out, and what is told of."""

import collections
import enum
import pickle
from functools import partial
from typing import Any

import pytest

from helpers.extras import np, torch
from helpers.metrics import Mean, Stateful
from rnnr._metric_memory import MetricMemory, TrackedMetric, is_metric


class Plain(Mean):
    """A metric with the attributes that it is given."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.__dict__.update(attributes)


class Slotted:
    """A metric without a dict of attributes, as a dataclass with slots is."""

    __slots__ = ("n", "unset")
    n: float
    unset: int

    def reset(self) -> None:
        self.n = 0

    def update(self, value: float) -> None:
        self.n += value

    def compute(self) -> float:
        return self.n


class SlottedAndMore(Slotted):
    """A metric with both."""

    def reset(self) -> None:
        self.n, self.more = 3, [1]


class Color(enum.Enum):
    RED = 1


class Text(enum.StrEnum):
    ONE = "one"


def memory_of(metric: Any) -> MetricMemory:
    memory = MetricMemory()
    memory.hold(TrackedMetric(metric, "part"))
    return memory


def kept(metric: Any) -> Any:
    """Return the attributes of the metric that are kept."""
    values = memory_of(metric).saved()[0]
    assert values is not None
    _, attributes = values["parts"][()]
    return attributes


def moved(metric: Any, other: Any) -> Any:
    """Put what a metric remembers, pickled, into another one."""
    memory = pickle.loads(pickle.dumps(memory_of(metric)))
    TrackedMetric(other, "part").restore(memory)
    assert memory.tracked is not None
    return other


PLAIN: list[Any] = [
    *(None, True, 1, 2.5, 1j, "text", b"bytes", range(3)),
    *([], [1, "two"], (1, [2]), {"a": {"b": 1}}, {1}, collections.deque([1]), [None, [1]]),
    *(collections.Counter("aa"), collections.defaultdict(int, a=1), collections.OrderedDict(a=1)),
    np.float16(1),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_are_kept(value: Any) -> None:
    assert kept(Plain(one=value))["one"] is value
    assert moved(Plain(one=value), Plain()).one == value


def test_arrays_are_kept_and_what_is_shared_stays_shared() -> None:
    array, tensor = np.ones(2), torch.ones(2)
    other = moved(Plain(a=array, b=[array], c=tensor, d={"c": tensor}), Plain())
    assert other.a.tolist() == other.c.tolist() == [1, 1]
    assert other.a is other.b[0]
    assert other.c is other.d["c"]
    assert other.a is not array


CONSTANTS: list[Any] = [
    *(len, test_plain_values_are_kept, Mean, "a".upper, partial(max, 1), collections, Color.RED),
    *(Text.ONE, [len], {"a": len, "b": None}, (Color.RED,), [None, [len]]),
]


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_what_never_changes_is_left_out_and_stays(value: Any) -> None:
    metric = Plain(one=value)
    assert "one" not in kept(metric)
    assert moved(Plain(one=len), metric).one is value


@pytest.mark.parametrize("name", ["device", "dtype"])
def test_devices_and_types_are_left_out(name: str) -> None:
    value = torch.device("cpu") if name == "device" else torch.float32
    assert "one" not in kept(Plain(one=value))


def test_sizes_are_kept() -> None:
    assert moved(Plain(one=torch.ones(2, 3).shape), Plain()).one == (2, 3)


def test_a_model_is_left_out_and_metrics_in_a_list_of_modules_are_not() -> None:
    class Total(torch.nn.Module):
        n = 0

        def reset(self) -> None:
            self.n = 0

        def update(self, value: int) -> None:
            self.n += value

        def compute(self) -> int:
            return self.n

    def make(n: int) -> Any:
        metric: Any = Plain(
            model=torch.nn.Linear(1, 1), parts=torch.nn.ModuleList([Total(), Total()])
        )
        for part in metric.parts:
            part.update(n)
        return metric

    first, second = make(2), make(0)
    model = second.model
    assert "model" not in kept(first)
    memory = memory_of(first)
    values, *_ = memory.saved()
    TrackedMetric(second, "part").restore(MetricMemory(values))
    assert [part.n for part in second.parts] == [2, 2]
    assert second.model is model


def test_metrics_in_containers_are_kept_and_stay_the_same_objects() -> None:
    def make(total: float) -> Any:
        shared = Plain(total=total)
        return Plain(one=shared, many={"a": [Plain(total=total + 1)], "again": shared})

    second = make(0)
    one, another = second.one, second.many["a"][0]
    moved(make(3), second)
    assert (second.one, second.many["a"][0]) == (one, another)
    assert (one.total, another.total) == (3, 4)


def test_a_container_that_holds_itself_is_kept() -> None:
    cycle: list[Any] = [object]
    cycle.append(cycle)
    loop: dict[str, Any] = {}
    loop["again"] = loop
    other = moved(Plain(loop=loop), Plain())
    assert other.loop["again"] is other.loop


def test_attributes_that_a_metric_got_since_then_are_removed() -> None:
    other = moved(Plain(), Plain(late=1, function=len))
    assert not hasattr(other, "late")
    assert other.function is len


@pytest.mark.parametrize("kind", [Slotted, SlottedAndMore])
def test_a_metric_with_slots_is_kept(kind: Any) -> None:
    metric, other = kind(), kind()
    metric.reset()
    metric.update(2)
    other.reset()
    other.unset = 1
    assert moved(metric, other).n == metric.n
    assert not hasattr(other, "unset")


def test_an_author_leaves_out_attributes_by_getstate() -> None:
    class Picky(Plain):
        def __getstate__(self) -> Any:
            return {name: value for name, value in vars(self).items() if name != "cache"}

    assert "cache" not in kept(Picky(cache=object()))


def changing() -> Any:
    class Changing(Plain):
        def __getstate__(self) -> Any:
            return {"n": [self.n]}

    return Changing()


def compressed() -> Any:
    class Compressed(Plain):
        def __getstate__(self) -> Any:
            return b"compressed"

    return Compressed()


def unpicklable() -> Any:
    class Unpicklable(Plain):
        def __reduce_ex__(self, _: Any) -> Any:
            raise TypeError("it is a secret")

    return Unpicklable()


def reduced() -> Any:
    class Reduced(Plain):
        def __reduce__(self) -> Any:
            return Plain, ()

    return Reduced()


def a_dict() -> Any:
    class Dict(dict[str, int]):
        reset = compute = lambda self: None

    return Dict()


@pytest.mark.parametrize("make", [changing, compressed, unpicklable, reduced, a_dict])
def test_a_metric_that_remembers_anything_but_its_attributes_is_told_of(make: Any) -> None:
    with pytest.raises(TypeError, match=r"^metric must be a plain value to be saved .*, got "):
        memory_of(make()).saved()
    with pytest.raises(TypeError, match=r"^metric\.parts\.0 must be a plain value .*, got "):
        memory_of(Plain(parts=[make()])).saved()


@pytest.mark.parametrize(
    ("value", "where", "got"),
    [
        (object(), "metric.one", "<object"),
        (iter("a"), "metric.one", "<str"),
        ([1, object()], "metric.one.1", "<object"),
        ({"a": [object()]}, "metric.one.a.0", "<object"),
        ([1, len], "metric.one", r"\[1, <built"),
        ({"name": "a", "function": len}, "metric.one", r"\{'name'"),
        ([Mean(), 1], "metric.one", r"\[<"),
    ],
)
def test_what_can_be_neither_kept_nor_left_out_is_told_of(value: Any, where: str, got: str) -> None:
    expected = rf"^{where} must be a plain value to be saved \(.*\), or a metric, a function or a "
    expected += rf"model, got {got}.* \(the metric of part\); keep plain values there, or leave it "
    with pytest.raises(TypeError, match=expected):
        pickle.dumps(memory_of(Plain(one=value)))


def test_the_author_may_say_what_the_metric_remembers() -> None:
    metric, other = Stateful(), Stateful()
    metric.update(3)
    before = other.other
    assert moved(metric, other).total == 3
    assert other.other is before


def test_the_state_of_a_module_is_not_taken_for_its_memory() -> None:
    class Half(torch.nn.Module):
        reset = update = compute = len

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", torch.ones(1))
            self.other = object()

    with pytest.raises(TypeError, match=r"metric\.other must be a plain.* if it never changes$"):
        memory_of(Half()).saved()


def test_what_is_a_metric() -> None:
    assert is_metric(Mean())
    assert not is_metric(Mean)
    assert not is_metric({})
