"""Which name belongs to which part of a runner: keys of its state, and of an epoch's memory."""

from itertools import count
from typing import Any

from reactivex.disposable import Disposable

from rnnr.errors import wrong_type, wrong_value
from rnnr.runner import Runner
from rnnr.state import EPOCH

__all__ = ["claim", "claim_key", "claim_number", "judge_runner"]


def claim(runner: Runner, wish: str) -> tuple[str, Disposable]:
    """Reserve a key of the epoch's memory for one attachment of a runner.

    Returns:
        The key, which is the wish unless that is taken, and a Disposable that frees it.
    """
    judge_runner(runner)
    key, claimed = claim_number(runner, wish, owner=object())

    def free() -> None:
        claimed.dispose()
        runner.state.get(EPOCH, {}).pop(key, None)  # the next to claim it finds nothing

    return key, Disposable(free)


def claim_number(runner: Runner, wish: str, owner: object) -> tuple[str, Disposable]:
    """Reserve a name among the parts of one kind, with a number where it is taken.

    The same parts, attached in the same order, get the same names in another process, so that
    they find what they had kept.

    Args:
        runner: Runner to which the part is attached.
        wish: The name without a number.
        owner: The part itself; attached several times, it gets the same name.

    Returns:
        The name, and a Disposable that frees it.
    """
    names = (wish if i == 1 else f"{wish} #{i}" for i in count(1))
    owners = runner._owners
    name = next(name for name in names if all(one is owner for one in owners.get(name, ())))
    return name, _own(owners.setdefault(name, []), owner)


def claim_key(
    runner: Runner, argument: str, key: str, part: str, owner: object, *, kind: str | None = None
) -> Disposable:
    """Reserve a key of the state for a part, which writes it.

    Args:
        runner: Runner to which the part is attached.
        argument: Name of the argument that names the key, for the message.
        key: The key.
        part: Who writes it, for the message.
        owner: The part itself: it may be attached several times.
        kind: What the parts have to be to share the key; if left out, they may not.

    Returns:
        A Disposable that frees it.

    Raises:
        ValueError: If another part has it.
    """
    writers = runner._writers.setdefault(key, [])
    for other, its_part, its_kind in writers:
        if other is not owner and (kind is None or kind != its_kind):
            raise wrong_value(
                argument,
                "a key that no other part of this runner writes",
                key,
                f"{its_part} writes it; choose another name, or dispose of the other part",
            )
    return _own(writers, (owner, part, kind))


def judge_runner(runner: object) -> None:
    """Raise unless it is a runner."""
    if not isinstance(runner, Runner):
        raise wrong_type("runner", "a Runner", runner, "write attach_on(Runner())")


def _own(things: list[Any], thing: Any) -> Disposable:
    things.append(thing)

    def free() -> None:
        place = next(i for i, one in enumerate(things) if one is thing)
        del things[place]

    return Disposable(free)
