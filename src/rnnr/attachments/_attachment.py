"""What attaches to several events of a runner at once."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import count
from weakref import WeakKeyDictionary

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr.errors import wrong_type
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.state import EPOCH
from rnnr.stream import Callback, EventSubject, Layer

__all__ = ["Attachment", "attach", "claim"]


class Attachment(ABC):
    """What attaches to several events of a runner; subclass it to write your own.

    Example:
        >>> from rnnr import Event, Runner
        >>> from rnnr.attachments import Attachment
        >>> class Announcer(Attachment):
        ...     def attach_on(self, runner):
        ...         runner.on(Event.STARTED, lambda state: print("here we go"))
        ...         runner.on(Event.FINISHED, lambda state: print("that's it"))
        >>> runner = Runner()
        >>> Announcer().attach_on(runner)
        >>> runner.run(range(3))
        here we go
        that's it
    """

    @abstractmethod
    def attach_on(self, runner: Runner) -> abc.DisposableBase | None:
        """Attach to a runner.

        Args:
            runner: Runner to attach to.

        Returns:
            A Disposable that detaches again; the attachments of this package all give one.
        """


def attach(runner: Runner, layer: Layer, handlers: Mapping[Event, Callback]) -> CompositeDisposable:
    """Add a handler to each of several events, all in one layer."""
    _judge(runner)
    return CompositeDisposable(
        *(runner.stream(event).add(handler, layer=layer) for event, handler in handlers.items())
    )


_claimed: WeakKeyDictionary[EventSubject, set[str]] = WeakKeyDictionary()


def claim(runner: Runner, wish: str) -> tuple[str, Disposable]:
    """Reserve a key of the epoch's memory for one attachment of a runner.

    Attachments of one kind must not share memory. The same attachments, attached in the
    same order, get the same keys in another process, so that they find what they had kept.

    Returns:
        The key, which is the wish unless that is taken, and a Disposable that frees it.
    """
    _judge(runner)
    # by a stream, which lives as long as its runner: a runner may be a dataclass without a hash
    taken = _claimed.setdefault(runner.stream(Event.BATCH), set())
    keys = (wish if i == 1 else f"{wish} #{i}" for i in count(1))
    key = next(key for key in keys if key not in taken)
    taken.add(key)

    def release() -> None:
        taken.discard(key)
        runner.state.get(EPOCH, {}).pop(key, None)  # the next to claim it finds nothing

    return key, Disposable(release)


def _judge(runner: object) -> None:
    if not isinstance(runner, Runner):
        raise wrong_type("runner", "a Runner", runner, "write attach_on(Runner())")
