"""States of random generators: after them come the numbers that came before."""

import json
import random
import subprocess
import sys
from typing import Any

import pytest

from helpers.extras import np, torch
from helpers.values import through
from rnnr.durable._random_states import RandomStates

BIT_GENERATORS = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]


def numbers(make: Any) -> list[Any]:
    """Return some draws of a generator of any kind."""
    if isinstance(make, random.Random):
        return [make.random(), make.gauss(0, 1), make.getrandbits(70), make.sample(range(99), 3)]
    if isinstance(make, np.random.BitGenerator):
        return [*make.random_raw(3)]
    if isinstance(make, np.random.Generator):
        draws = [make.random(), make.normal(), make.integers(9, dtype="u1"), make.permutation(5)]
        return [str(draw) for draw in draws]
    if isinstance(make, np.random.RandomState):
        return [make.rand(), make.randn(), make.randint(9), *make.permutation(5)]
    rand = torch.rand(3, generator=make).tolist()
    return [*rand, *torch.randn(3, generator=make).tolist()]


def generators() -> dict[str, Any]:
    """Return makers of generators of each kind, with another seed for each number."""
    made: dict[str, Any] = {"random.Random": random.Random}
    for name in BIT_GENERATORS:
        bits = getattr(np.random, name)
        made[name] = bits
        made[f"Generator({name})"] = lambda seed, bits=bits: np.random.Generator(bits(seed))
        made[f"RandomState({name})"] = lambda seed, bits=bits: np.random.RandomState(bits(seed))
    made["RandomState"] = lambda seed: np.random.RandomState(seed)
    made["torch.Generator"] = lambda seed: torch.Generator().manual_seed(seed)
    return made


KINDS = ["random.Random", *BIT_GENERATORS, *(f"Generator({name})" for name in BIT_GENERATORS),
         *(f"RandomState({name})" for name in BIT_GENERATORS), "RandomState",
         "torch.Generator"]  # fmt: skip


@pytest.fixture(autouse=True)
def _global_generators() -> Any:
    """Put the global generators back."""
    states = RandomStates([]).capture()
    yield
    RandomStates([]).restore(states)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_draws_the_same_again(kind: str) -> None:
    generator, other = (generators()[kind](seed) for seed in (1, 2))
    numbers(generator)
    states = through(RandomStates([generator]).capture())
    expected = [numbers(generator) for _ in range(3)]
    RandomStates([other]).restore(states)
    assert [numbers(other) for _ in range(3)] == expected
    RandomStates([generator]).restore(states)
    assert [numbers(generator) for _ in range(3)] == expected


def test_the_second_number_of_a_pair_is_kept() -> None:
    python, numpy = random.Random(1), np.random.RandomState(1)
    python.gauss(0, 1)
    numpy.normal()
    assert python.getstate()[2] is not None
    assert numpy.get_state(legacy=False)["has_gauss"] == 1
    states = through(RandomStates([python, numpy]).capture())
    expected = python.gauss(0, 1), numpy.normal()
    python.seed(2)
    numpy.seed(2)
    RandomStates([python, numpy]).restore(states)
    assert (python.gauss(0, 1), numpy.normal()) == expected


def test_half_a_word_is_kept() -> None:
    rng = np.random.default_rng(1)
    rng.integers(9, dtype="u4")
    assert rng.bit_generator.state["has_uint32"] == 1
    states = through(RandomStates([rng]).capture())
    expected = rng.integers(2**32, size=3, dtype="u4").tolist()
    other = np.random.default_rng(2)
    RandomStates([other]).restore(states)
    assert other.integers(2**32, size=3, dtype="u4").tolist() == expected


def draws() -> list[Any]:
    return [
        random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(),
        torch.rand(2).tolist(), torch.randn(1).item(), torch.nn.Linear(1, 1).weight.item(),
    ]  # fmt: skip


def test_the_global_generators_draw_the_same_again() -> None:
    draws()
    states = through(RandomStates([]).capture())
    expected = draws()
    for library in (random, np.random):
        library.seed(3)
    torch.manual_seed(3)
    RandomStates([]).restore(states)
    assert draws() == expected


@pytest.mark.parametrize("seed", [1, None, [1, 2], 2**200])
@pytest.mark.parametrize("n_before", [0, 1, 5])
def test_children_are_those_that_would_have_followed(seed: Any, n_before: int) -> None:
    rng = np.random.default_rng(seed)
    rng.spawn(2)
    states = through(RandomStates([rng]).capture())
    expected = [child.random() for child in rng.spawn(3)]
    others = [np.random.default_rng(seed), np.random.default_rng(7)]
    for other in others:
        other.spawn(n_before)
    for other in (*others, rng):  # of which some have had more children
        RandomStates([other]).restore(states)
        assert [child.random() for child in other.spawn(3)] == expected


def test_children_of_children_have_children() -> None:
    rng = np.random.default_rng(1).spawn(3)[2].spawn(1)[0]
    states = through(RandomStates([rng]).capture())
    expected = rng.spawn(1)[0].random()
    other = np.random.default_rng()
    RandomStates([other]).restore(states)
    assert other.spawn(1)[0].random() == expected


def test_a_sequence_of_seeds_that_others_hold_stays_the_same_object() -> None:
    sequence = np.random.SeedSequence(1)
    rng = np.random.default_rng(sequence)
    rng.spawn(2)
    states = through(RandomStates([rng]).capture())
    fresh = np.random.SeedSequence(1)
    other = np.random.default_rng(fresh)
    RandomStates([other]).restore(states)
    assert other.bit_generator.seed_seq is fresh
    assert fresh.n_children_spawned == 2


def test_a_generator_without_seeds_has_no_children() -> None:
    bits = np.random.MT19937()
    bits._legacy_seeding(1)
    states = through(RandomStates([bits]).capture())
    assert states["generators"][0][1]["seeds"] is None
    expected = numbers(bits)
    RandomStates([bits]).restore(states)
    assert numbers(bits) == expected


@pytest.mark.parametrize(
    "value", [random.SystemRandom(), random, 1, "rng", None, random.Random, lambda: 1, [1]], ids=str
)
def test_what_is_not_a_generator_is_refused(value: Any) -> None:
    with pytest.raises(
        TypeError, match=r"generators\[1\] must be a generator .*name the generator"
    ):
        RandomStates([random.Random(), value])


def test_modules_of_generators_are_refused() -> None:
    for module in (np.random, torch, torch.cuda):
        with pytest.raises(TypeError, match="must be a generator of random numbers"):
            RandomStates([module])


@pytest.mark.parametrize(
    ("saved", "given"),
    [
        ([], ["random.Random"]),
        (["random.Random"], []),
        (["random.Random"], ["random.Random", "random.Random"]),
        (["PCG64"], ["Philox"]),
        (["Generator(PCG64)"], ["PCG64"]),
        (["Generator(PCG64)"], ["Generator(MT19937)"]),
        (["RandomState"], ["RandomState(PCG64)"]),
        (["torch.Generator"], ["RandomState"]),
        (["random.Random", "PCG64"], ["PCG64", "random.Random"]),
    ],
)
def test_other_generators_are_refused_before_anything_is_set(
    saved: list[str], given: list[str]
) -> None:
    states = RandomStates([generators()[kind](1) for kind in saved]).capture()
    own = RandomStates([generators()[kind](2) for kind in given])
    before = repr(own.capture())
    random.random()
    moved = repr(own.capture())
    with pytest.raises(
        ValueError, match=r"generators must be those whose states were saved, .* in"
    ):
        own.restore(states)
    assert repr(own.capture()) == moved != before


def test_the_message_names_the_generators() -> None:
    states = RandomStates([np.random.default_rng(), random.Random()]).capture()
    expected = (
        r"saved, numpy\.Generator\(PCG64\), random\.Random, got none; name the same generators in"
    )
    with pytest.raises(ValueError, match=expected):
        RandomStates([]).restore(states)


def test_states_are_plain() -> None:
    made = [make(1) for make in generators().values()]
    states = RandomStates(made).capture()
    assert json.dumps([name for name, _ in states["generators"]])
    assert {*states} == {"python", "numpy", "torch", "generators"}
    through(states)


def test_the_states_of_all_gpus_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [torch.arange(3), torch.arange(4)]
    fakes = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "get_rng_state_all": lambda: [*gpus],
        "set_rng_state_all": lambda states: gpus.__setitem__(slice(None), states),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    states = through(RandomStates([]).capture())
    gpus.clear()
    RandomStates([]).restore(states)
    assert [gpu.tolist() for gpu in gpus] == [[0, 1, 2], [0, 1, 2, 3]]


def test_a_library_that_is_not_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    states = RandomStates([]).capture()
    assert {*states} == {"python", "generators"}
    RandomStates([]).restore(states)


def test_a_library_that_nobody_imports_stays_out() -> None:
    program = """
import random, sys
from rnnr.durable._random_states import RandomStates
rng = random.Random(1)
states = RandomStates([rng])
captured = states.capture()
assert {*captured} == {"python", "generators"}
expected = rng.random(), random.random()
states.restore(captured)
assert (rng.random(), random.random()) == expected
assert not {"numpy", "torch"} & {*sys.modules}
sys.modules["numpy"] = None  # as if it could not be imported
states.restore(states.capture())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_library_whose_state_was_saved_is_imported_for_it() -> None:
    np.random.seed(1)
    state = np.random.get_state(legacy=False)
    key = state["state"]["key"].tolist()
    program = f"""
import random, sys
from rnnr.durable._random_states import RandomStates
states = RandomStates([]).capture()
import numpy
state = {{"bit_generator": "MT19937", "state": {{"key": numpy.array({key}, "u4"), "pos": 624}},
         "has_gauss": 0, "gauss": 0.0}}
RandomStates([]).restore({{**states, "numpy": state}})
print(numpy.random.rand())
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert float(done.stdout) == np.random.rand()


class TestHostileStates:
    """NumPy reads without a look where the position of a state says."""

    @pytest.mark.parametrize("position", [-1, 625, 2_000_000_000])
    @pytest.mark.parametrize("kind", ["RandomState(MT19937)", "Generator(MT19937)", "MT19937"])
    def test_a_position_outside_is_refused(self, kind: str, position: int) -> None:
        pytest.importorskip("numpy")
        states = RandomStates([generators()[kind](0)])
        found = states.capture()
        ((_, state),) = found["generators"]
        (state if "seeds" not in state else state["state"])["state"]["pos"] = position
        with pytest.raises(ValueError, match="pos of a random state must be from 0 to 624"):
            states.restore(found)

    def test_so_is_one_of_the_global_generator(self) -> None:
        pytest.importorskip("numpy")
        states = RandomStates([])
        found = states.capture()
        found["numpy"]["state"]["pos"] = 999
        with pytest.raises(ValueError, match="pos of a random state"):
            states.restore(found)

    def test_very_many_children_are_not_made_one_by_one(self) -> None:
        pytest.importorskip("numpy")
        rng: Any = np.random.default_rng(0)
        states = RandomStates([rng])
        found = states.capture()
        found["generators"][0][1]["seeds"]["n_children_spawned"] = 2**30
        states.restore(found)
        assert rng.bit_generator.seed_seq.n_children_spawned == 2**30
