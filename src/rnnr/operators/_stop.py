"""The end of a run as an operator."""

from rnnr._pipeline import Pipeline, stateless
from rnnr.state import State, wrong_item

__all__ = ["stop"]


def stop() -> Pipeline[State, State]:
    """Stop the run that a state belongs to, and pass the state on.

    It takes states. After `select` and other operators on values write
    ``do(lambda _: runner.stop())``.

    Raises:
        TypeError: In the stream, if what comes is not a state.

    Example:
        ::

            source:   --{running:1}--
                      [ stop() ]
            result:   --{running:0}--

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import pipeline, stop, when
        >>> runner = Runner()
        >>> found = when(lambda state: state["batch"] == 7)
        >>> subscription = runner.on(Event.BATCH, pipeline(found, stop()))
        >>> runner.run(range(1000))
        >>> runner.state["batch"]
        7
    """
    return stateless(_stop)


def _stop(state: State) -> State:
    try:
        state["running"] = False
    except TypeError:
        raise wrong_item("stop()", state) from None
    return state


_stop.__qualname__ = "stop()"
