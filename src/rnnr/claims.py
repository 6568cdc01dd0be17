"""What an attachment of a runner has for itself in the memory of an epoch."""

from collections.abc import Callable

from reactivex.disposable import Disposable

from rnnr.errors import wrong_type
from rnnr.runner import Runner
from rnnr.state import EPOCH

__all__ = ["claim", "judge_runner"]


def claim(runner: Runner, wish: str, *others: Callable[[], object]) -> tuple[str, Disposable]:
    """Reserve a key of the epoch's memory for one attachment of a runner.

    Args:
        runner: Runner to which it is attached.
        wish: The key, if it is free.
        others: What to give back with it.

    Returns:
        The key, which is the wish unless that is taken, and a Disposable that frees it.
    """
    judge_runner(runner)
    key, give_back = runner._claims.claim_number(wish, owner=object())
    slot = runner._slot  # who keeps the Disposable does not keep the runner, and its model

    def free() -> None:
        give_back()
        for one in others:
            one()
        left: Runner | None = slot.runner()
        if left is not None:
            left.state.get(EPOCH, {}).pop(key, None)  # the next to claim it finds nothing

    return key, Disposable(free)


def judge_runner(runner: object) -> None:
    """Raise unless it is a runner."""
    if not isinstance(runner, Runner):
        raise wrong_type("runner", "a Runner", runner, "write attach_on(Runner())")
