"""What an attachment of a runner has for itself."""

from itertools import count
from weakref import WeakKeyDictionary

from reactivex.disposable import Disposable

from rnnr.errors import wrong_type
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import EPOCH
from rnnr.stream import EventSubject

__all__ = ["claim", "judge_runner"]

_claimed: WeakKeyDictionary[EventSubject, set[str]] = WeakKeyDictionary()


def claim(runner: Runner, wish: str) -> tuple[str, Disposable]:
    """Reserve a key of the epoch's memory for one attachment of a runner.

    Attachments of one kind must not share memory. The same attachments, attached in the
    same order, get the same keys in another process, so that they find what they had kept.

    Returns:
        The key, which is the wish unless that is taken, and a Disposable that frees it.
    """
    judge_runner(runner)
    # by a stream, which lives as long as its runner: a runner may be a dataclass without a hash
    taken = _claimed.setdefault(runner.stream(Event.BATCH), set())
    keys = (wish if i == 1 else f"{wish} #{i}" for i in count(1))
    key = next(key for key in keys if key not in taken)
    taken.add(key)

    def release() -> None:
        taken.discard(key)
        runner.state.get(EPOCH, {}).pop(key, None)  # the next to claim it finds nothing

    return key, Disposable(release)


def judge_runner(runner: object) -> None:
    """Refuse what is no runner."""
    if not isinstance(runner, Runner):
        raise wrong_type("runner", "a Runner", runner, "write attach_on(Runner())")
