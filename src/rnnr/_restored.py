"""Warnings of what a run that is saved or goes on would get wrong in silence."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dis import get_instructions
from functools import lru_cache, partial
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, Final

from rnnr._errors import shown, warn_user
from rnnr._metric_memory import TrackedMetric
from rnnr.state import LATEST, State, epoch_memory, is_open, n_batches_drawn

__all__ = [
    "is_loadable",
    "is_loader",
    "warn_of_batch_not_reduced",
    "warn_of_restored",
    "warn_of_unsaved",
]

_FUNCTIONS: Final = (FunctionType, ModuleType, type)
_DEPTH: Final = 8  # functions in functions, as in pipelines of methods
_SCALARS: Final = {bool, bytes, complex, float, int, str, type(None)}
_WITHOUT_STATE: Final = (*_FUNCTIONS, MethodType, BuiltinFunctionType, *_SCALARS)
_LEARNING: Final = (("partial_fit",), ("learn_one",), ("update", "save_model"))
"""Methods by which models of scikit-learn, of River, and boosters learn."""
_MOST: Final = 10_000  # things to look at, since functions of other libraries lead far


def warn_of_restored(state: State, callbacks: Iterable[Callable[..., object]]) -> None:
    """Warn of what would be wrong in silence when the run of a restored state goes on.

    Args:
        state: The state that was restored.
        callbacks: What is called in the run.
    """
    stopped_by = state.get("stopped_by")
    if str(stopped_by).startswith("early_stopping("):
        warn_user(
            f"a run that is resumed must not have been stopped early, got one stopped by "
            f"{stopped_by!r}: it trains on now; look at state['stopped_by'] before resume, or use "
            "Snapshots, with which it stays stopped"
        )
    _warn_of_other_objects(state, callbacks)


def warn_of_batch_not_reduced(state: State) -> None:
    """Warn if a state was saved when its last batch had not come to the reducers.

    An ordinary callback of BATCH is called before them, and a run that was stopped or has failed
    in one does not come to them at all.
    """
    n_iters, memory = state["n_iters"], epoch_memory(state)
    latest = [memory[LATEST + key] for key in memory if LATEST + key in memory]
    is_first = not latest and n_batches_drawn(state) == 1  # and the reducers have nothing yet
    if is_open(state) and (is_first or any(n < n_iters for n in latest)):
        warn_user(
            "a state must be saved when the reducers have its last batch, got one without batch "
            f"{n_iters} in them: their results will lack it; go on with "
            "resume(repeat_last_batch=True), which delivers it again to all callbacks, or save in "
            "Layer.SAVE, with runner.stream(Event.BATCH).add(save, layer=Layer.SAVE)"
        )


def warn_of_unsaved(
    saved: Iterable[object],
    callbacks: Iterable[Callable[..., object]],
    batches: object,
    generators_in: Callable[[object], Iterable[object]],
) -> None:
    """Warn of each object with a state that callbacks hold, and that nothing saves.

    Args:
        saved: What is saved: objects, generators, and values of the state.
        callbacks: What is called in the run.
        batches: What nobody but the loop may ask for anything.
        generators_in: Returns the generators of random numbers that something is or draws from,
            but not the global ones.
    """
    loaders = [batches, *(_referred_to_by(batches) if _is_ours(batches) else ())]
    known = {*_parts_of([*saved]), *map(id, loaders)}
    held = _held_by(callbacks, known)
    tracked = [one for one in held if isinstance(one, TrackedMetric)]  # the state has their memory
    known |= {id(part) for one in tracked for part in one.parts()}
    for thing in held:
        if isinstance(thing, _WITHOUT_STATE):  # most of what functions refer to
            continue
        if id(thing) in known or id(_attribute(thing, "bit_generator")) in known:
            continue
        if _is_known(thing, known):
            continue
        if _names_of(thing):
            known |= _parts_of([thing]).keys()
            warn_user(
                "what changes in a run must be saved to go on with, got a callback that holds "
                f"{shown(thing)}, which nothing saves; name it in Snapshots(folder, name=...)"
            )
        elif _learns(thing) and not _has_learned(thing):
            known.add(id(thing))
            warn_user(
                "what learns in a run must be saved to go on with, got a callback that holds "
                f"{shown(thing)}, which nothing saves; name it in Snapshots(folder, name=...), as "
                "an attribute of an object with state_dict() and load_state_dict()"
            )
        for generator in generators_in(thing):
            if id(generator) not in known:
                known.add(id(generator))
                warn_user(
                    "random numbers must be saved to go on with, got a callback that holds "
                    f"{shown(generator)}, which nothing saves; name it in "
                    "Snapshots(generators=[...])"
                )


def _parts_of(thing: Any) -> dict[int, object]:
    """Return an object and what is in it by their ids: in containers, and modules of PyTorch.

    So is a model that learns, where an object with a state has it as an attribute.
    """
    found: dict[int, object] = {}
    left = [thing]
    while left:
        one = left.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        if _names_of(one):
            for name in ("modules", "parameters", "buffers"):
                found |= {id(part): part for part in _called(one, name)}
            attributes = _attribute(one, "__dict__")
            inner = attributes.values() if isinstance(attributes, dict) else ()
            found |= {id(part): part for part in inner if _learns(part)}
        if (bits := _attribute(one, "bit_generator")) is not None:
            found[id(bits)] = bits
        inner = one.values() if isinstance(one, dict) else one
        if isinstance(one, dict | list | tuple):
            left += [each for each in inner if type(each) not in _SCALARS]
    return found


def _is_known(module: object, known: Collection[int]) -> bool:
    """Return whether a module of PyTorch has no state but what is saved, or none that changes.

    A compiled model has the parameters of the model. The weights of a loss are constants.
    """
    if type(module).__module__ == "torch.nn.modules.loss":
        return True
    parts = [*_called(module, "parameters"), *_called(module, "buffers")]
    return bool(parts) and all(id(part) in known for part in parts)


def _called(thing: object, name: str) -> Iterable[object]:
    """Return what a method without arguments yields; nothing if there is none."""
    method = _attribute(thing, name)
    if not callable(method) or isinstance(thing, type):
        return []
    try:
        return [*method()]
    except Exception:  # noqa: BLE001  (it only looks like one)
        return []


def _attribute(thing: object, name: str) -> Any:
    """Return an attribute, or ``None``: a proxy may raise anything when it is looked at."""
    with suppress(Exception):
        return getattr(thing, name, None)
    return None


def _warn_of_other_objects(
    state: dict[str, Any], callbacks: Iterable[Callable[..., object]]
) -> None:
    """Warn if a callback holds a model, say, like the one that the state brings along.

    A state that was pickled has objects of its own. A callback that refers to the object of the
    script, and not to the state, would train or save that one instead.
    """
    own = {key: value for key, value in state.items() if _names_of(value)}
    held = _held_by(callbacks) if own else []
    for key, value in own.items():
        names = _names_of(value)
        if any(thing is value for thing in held):
            continue
        if any(type(thing) is type(value) and _names_of(thing) == names for thing in held):
            warn_user(
                f"state[{key!r}] must be the object that the callbacks use, got another "
                f"{type(value).__name__} than the one that a callback holds: one of the two is not "
                f"trained, or not saved; use state[{key!r}] in the callbacks, or restore into the "
                "object with Snapshots or load_state_dict"
            )


def _names_of(thing: Any) -> list[Any]:
    """Return the names in the state of an object, as a model of PyTorch has one."""
    if isinstance(thing, type) or not callable(_attribute(thing, "load_state_dict")):
        return []
    if is_loader(thing):
        return []
    try:
        return [*thing.state_dict()]
    except Exception:  # noqa: BLE001  (it only looks like one)
        return []


def _learns(thing: object) -> bool:
    """Return whether it is a model that learns by a method, and has no state to be asked for.

    Its class is asked, since an object may answer anything.
    """
    kind = type(thing)
    return any(all(hasattr(kind, name) for name in names) for names in _LEARNING)


def _has_learned(thing: object) -> bool:
    """Return whether it is an estimator of scikit-learn with what `fit` sets.

    When the run begins, that is likely a scaler that stays as it is.
    """
    attributes = _attribute(thing, "__dict__")
    names = attributes if isinstance(attributes, dict) else ()
    return any(name.endswith("_") and not name.startswith("_") for name in names)


def is_loadable(thing: object) -> bool:
    """Return whether an object has ``state_dict()`` and ``load_state_dict()``."""
    methods = (_attribute(thing, name) for name in ("state_dict", "load_state_dict"))
    return not isinstance(thing, type) and all(map(callable, methods))


def is_loader(thing: object) -> bool:
    """Return whether it may be a loader, which is not asked for its state before its batches."""
    return hasattr(type(thing), "__iter__") and _attribute(thing, "parameters") is None


def _held_by(callbacks: Iterable[object], closed: Collection[int] = frozenset()) -> list[object]:
    """Return the objects that functions refer to, also through the functions that they call.

    Args:
        callbacks: The functions.
        closed: The ids of objects not to look into, since they take care of what they hold.
    """
    found: dict[int, object] = {}
    layer = [*callbacks]
    homes = {_home_of(thing) for thing in layer}
    for _ in range(_DEPTH):
        new = {id(thing): thing for thing in layer if id(thing) not in found}
        found |= new
        if len(found) > _MOST:
            break
        opened = [thing for thing in new.values() if id(thing) not in closed]
        layer = [more for thing in opened for more in _referred_to_by(thing, homes)]
    return [*found.values()]


def _referred_to_by(thing: object, homes: Collection[str] = ()) -> list[object]:
    """Return what a function, a container or an object refers to.

    Args:
        thing: The one.
        homes: Packages whose objects are opened, as those of the script.
    """
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        defaults = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
        return [*_free_variables(thing), *defaults, *_globals(thing)]
    if isinstance(thing, list | tuple):
        return [*thing]
    if isinstance(thing, dict):
        return [*thing.values()]
    if isinstance(thing, type | ModuleType):
        return []
    is_opened = (
        isinstance(thing, SimpleNamespace)
        or callable(thing)
        or _is_ours(thing)
        or _home_of(thing) in homes
    )
    attributes = _attribute(thing, "__dict__") if is_opened else None
    return [*attributes.values()] if isinstance(attributes, dict) else []


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("rnnr.")


def _home_of(thing: object) -> str:
    """Return the package in which a function, or the class of an object, is defined."""
    where = thing if isinstance(thing, FunctionType | MethodType) else type(thing)
    return str(_attribute(where, "__module__")).partition(".")[0]


def _free_variables(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it is empty
            continue


def _globals(function: FunctionType) -> Iterator[object]:
    names, code = function.__globals__, function.__code__
    found = {name: names[name] for name in _names_in(code) if name in names}
    if all(isinstance(one, _FUNCTIONS) for one in found.values()):
        return iter(found.values())
    loaded = _loaded_globals(code)  # an attribute may be called as a global
    return (one for name, one in found.items() if name in loaded or isinstance(one, _FUNCTIONS))


def _names_in(code: CodeType) -> Iterator[str]:
    for each in _codes(code):
        yield from each.co_names


@lru_cache(maxsize=1000)  # to read the instructions takes a millisecond
def _loaded_globals(code: CodeType) -> frozenset[str]:
    steps = (step for each in _codes(code) for step in get_instructions(each))
    names = (str(step.argval) for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    return frozenset(names)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of those that are defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)
