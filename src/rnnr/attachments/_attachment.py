"""What attaches to several events of a runner at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from reactivex import abc
from reactivex.disposable import CompositeDisposable, Disposable

from rnnr._pipeline import checked_handler
from rnnr.event import Event
from rnnr.runner import Runner, check_runner
from rnnr.state import EPOCH
from rnnr.streams._delivery import Callback
from rnnr.streams._layer import Layer

__all__ = ["Attachment", "attach"]


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
            A Disposable that detaches again; all attachments of this package return one.
        """


def attach(
    runner: Runner, layer: Layer, handlers: Mapping[Event, Callback], *others: abc.DisposableBase
) -> CompositeDisposable:
    """Add a handler to each of several events, all in one layer.

    Returns:
        A Disposable of the handlers and of the others.
    """
    check_runner(runner)
    return CompositeDisposable(
        *others,
        *(
            runner.stream(event).add_checked(checked_handler(handler), layer)
            for event, handler in handlers.items()
        ),
    )


def reserve_key(
    runner: Runner, wish: str, *others: Callable[[], object], memory: str = EPOCH
) -> tuple[str, Disposable]:
    """Reserve a key of a memory in the state for one attachment of a runner.

    Args:
        runner: Runner to which it is attached.
        wish: The key, if it is free.
        others: Called when the key is freed, to free other things.
        memory: Key of the memory, that of the epoch or of the run.

    Returns:
        The key, which is the wish unless that is taken, and a Disposable that frees it.
    """
    check_runner(runner)
    key, give_back = runner._keys.reserve_numbered(wish, owner=object())
    slot = runner._slot  # who keeps the Disposable does not keep the runner, and its model

    def free() -> None:
        give_back()
        for one in others:
            one()
        left: Runner | None = slot.runner()
        if left is not None:
            left.state.get(memory, {}).pop(key, None)  # the next to reserve it finds nothing

    return key, Disposable(free)
