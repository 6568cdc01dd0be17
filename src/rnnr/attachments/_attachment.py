"""What attaches to several events of a runner at once."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from reactivex import abc
from reactivex.disposable import CompositeDisposable

from rnnr.claims import judge_runner
from rnnr.event import Event
from rnnr.runner import Runner
from rnnr.stream import Callback, Layer

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
            A Disposable that detaches again; the attachments of this package all give one.
        """


def attach(
    runner: Runner, layer: Layer, handlers: Mapping[Event, Callback], *others: abc.DisposableBase
) -> CompositeDisposable:
    """Add a handler to each of several events, all in one layer.

    Returns:
        A Disposable of the handlers and of the others.
    """
    judge_runner(runner)
    return CompositeDisposable(
        *others,
        *(runner.stream(event).add(handler, layer=layer) for event, handler in handlers.items()),
    )
