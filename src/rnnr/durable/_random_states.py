"""The states of random number generators, as plain values."""

import random
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, Final, TypeAlias

from rnnr._errors import wrong_type, wrong_value

__all__ = ["RandomStates", "States", "is_own_generator"]

States: TypeAlias = dict[str, Any]

_WORDS: Final = "I"  # 32 bits each
_MOST_SPAWNED: Final = 100_000  # children of a generator that are made one by one
_CURE: Final = "begin again in another folder"


class RandomStates:
    """Reads and sets the states of the global generators, and of those that the user names.

    The global ones are those of Python, NumPy and PyTorch, of the latter on all devices. A library
    that nobody has imported is left alone.

    Args:
        generators: Generators of Python, NumPy or PyTorch.

    Attributes:
        generators: Those that the user names.

    Raises:
        TypeError: If one of them is something else.
    """

    def __init__(self, generators: Iterable[Any]) -> None:
        try:
            self.generators = [*generators]
        except TypeError:
            cure = "write generators=[generator], also for one"
            raise wrong_type("generators", "several of them in a list", generators, cure) from None
        for i, generator in enumerate(self.generators):
            _accessor(generator, f"generators[{i}]")

    def capture(self) -> States:
        """Return all states."""
        states: States = {"python": _python_state(random)}
        for name, (read, _) in _LIBRARIES.items():
            if sys.modules.get(name) is not None:
                states[name] = read(sys.modules[name])
        states["generators"] = [[_name(one), _accessor(one)[0](one)] for one in self.generators]
        return states

    def check(self, states: States) -> None:
        """Raise unless the states are those of the same generators.

        Raises:
            ValueError: If the generators are others.
        """
        saved, own = [name for name, _ in states["generators"]], [*map(_name, self.generators)]
        if saved != own:
            raise ValueError(
                f"generators must be those whose states were saved, {_listed(saved)}, got "
                f"{_listed(own)}; name the same generators in the same order"
            )

    def restore(self, states: States, but: Sequence[Any] = ()) -> None:
        """Set all states, but those of some of the generators that the user names.

        Raises:
            ValueError: If the generators are others than those whose states they are.
        """
        self.check(states)
        _set_python_state(random, states["python"])
        for name, (_, write) in _LIBRARIES.items():
            if name in states:
                write(import_module(name), states[name])
        for generator, (_, state) in zip(self.generators, states["generators"], strict=True):
            if not any(generator is one for one in but):
                _accessor(generator)[1](generator, state)


def is_own_generator(thing: object) -> bool:
    """Return whether it is a generator of random numbers, and not a global one."""
    try:
        _accessor(thing)
    except TypeError:
        return False
    numpy, torch = (sys.modules.get(library) for library in ("numpy", "torch"))
    known = [getattr(random.random, "__self__", None)]
    known += [getattr(numpy.random.random, "__self__", None)] if numpy else []
    known += [torch.default_generator] if torch else []
    return not any(thing is one for one in known)


def _python_state(generator: Any) -> Any:
    version, words, gauss = generator.getstate()
    return [version, array(_WORDS, words).tobytes(), gauss]


def _set_python_state(generator: Any, state: Any) -> None:
    version, words, gauss = state
    generator.setstate((version, tuple(array(_WORDS, words)), gauss))


def _numpy_state(numpy: Any) -> Any:
    return numpy.random.get_state(legacy=False)


def _set_numpy_state(numpy: Any, state: Any) -> None:
    numpy.random.set_state(_checked(state))


def _set_legacy_state(generator: Any, state: Any) -> None:
    generator.set_state(_checked(state))


def _checked(state: Any) -> Any:
    """Return a state of NumPy, which reads without a look where the position in it says.

    Raises:
        ValueError: If that is outside.
    """
    places = {**state, **(state["state"] if isinstance(state["state"], dict) else {})}
    for name, size in (("pos", 624), ("buffer_pos", 4)):
        if not 0 <= places.get(name, 0) <= size:
            raise wrong_value(f"{name} of a random state", f"from 0 to {size}", places[name], _CURE)
    return state


def _torch_states(torch: Any) -> Any:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():  # pragma: no cover  (Apple's GPUs)
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_torch_states(torch: Any, states: Any) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states:  # pragma: no cover  (Apple's GPUs)
        torch.mps.set_rng_state(states["mps"])


_LIBRARIES: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]]] = {
    "numpy": (_numpy_state, _set_numpy_state),
    "torch": (_torch_states, _set_torch_states),
}


def _bit_generator_state(generator: Any) -> Any:
    bits = _bits(generator)
    return {"state": bits.state, "seeds": _seeds(bits)}


def _set_bit_generator_state(generator: Any, state: Any) -> None:
    bits, seeds = _bits(generator), state["seeds"]
    bits.state = _checked(state["state"])
    if seeds is not None:
        _set_seeds(bits, seeds)


def _bits(generator: Any) -> Any:
    return getattr(generator, "bit_generator", generator)


def _seeds(bits: Any) -> Any:
    """Return what the children of a generator are made of; ``None`` if it cannot have any."""
    sequence: Any = getattr(bits, "seed_seq", None)
    return sequence.state if type(sequence) is _seed_sequence() else None


def _set_seeds(bits: Any, seeds: Any) -> None:
    """Have a generator make the same children as the one whose seeds they are."""
    old: Any = getattr(bits, "seed_seq", None)
    new = _seed_sequence()(**seeds)
    is_like_it = type(old) is type(new) and old.pool.tobytes() == new.pool.tobytes()
    n_missing = new.n_children_spawned - (old.n_children_spawned if is_like_it else 0)
    if is_like_it and 0 <= n_missing <= _MOST_SPAWNED:
        old.spawn(n_missing)  # the same object, which others may have, too
    elif type(bits.__getstate__()) is tuple:  # pragma: no branch  (NumPy 1 has no way to do it)
        bits.__setstate__((bits.state, new))


def _seed_sequence() -> Any:
    return import_module("numpy.random").SeedSequence


def _accessor(
    generator: Any, name: str = "a generator"
) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    """Return what reads and what sets the state of a generator."""
    numpy, torch = (sys.modules.get(library) for library in ("numpy", "torch"))
    if isinstance(generator, random.Random) and not isinstance(generator, random.SystemRandom):
        return _python_state, _set_python_state
    if numpy and isinstance(generator, numpy.random.Generator | numpy.random.BitGenerator):
        return _bit_generator_state, _set_bit_generator_state
    if numpy and isinstance(generator, numpy.random.RandomState):
        return (lambda one: one.get_state(legacy=False)), _set_legacy_state
    if torch and isinstance(generator, torch.Generator):
        return (lambda one: one.get_state()), (lambda one, state: one.set_state(state))
    expected = "a generator of random numbers of Python, NumPy or PyTorch"
    cure = "name the generator itself, for example numpy.random.default_rng(0)"
    raise wrong_type(name, expected, generator, cure)


def _name(generator: Any) -> str:
    kind = type(generator)
    bits = getattr(generator, "bit_generator", None) or getattr(generator, "_bit_generator", None)
    library = kind.__module__.partition(".")[0]
    return f"{library}.{kind.__name__}" + (f"({type(bits).__name__})" if bits else "")


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
