"""The end of a run as an operator."""

from collections.abc import Callable

from reactivex import Observable
from reactivex import operators as ops

from rnnr.state import State

__all__ = ["stop"]


def stop() -> Callable[[Observable[State]], Observable[State]]:
    """Stop the run that a state belongs to, and pass the state on.

    Example:
        ::

            source:   --{running:1}--
                      [ stop() ]
            result:   --{running:0}--

        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators._pipeline import pipeline
        >>> from rnnr.operators._stop import stop
        >>> runner = Runner()
        >>> found = ops.filter(lambda state: state["batch"] == 7)
        >>> subscription = runner.on(Event.BATCH, pipeline(found, stop()))
        >>> runner.run(range(1000))
        >>> runner.state["batch"]
        7
    """

    def step(state: State) -> None:
        state["running"] = False

    return ops.do_action(step)
