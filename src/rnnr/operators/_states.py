"""The states of an observed run."""

from collections.abc import Callable

from rnnr._errors import wrong_type
from rnnr._pipeline import Pipeline, passing, stateful
from rnnr.event import Event
from rnnr.selection import Selection
from rnnr.state import MISSING, State
from rnnr.streams._observed import Emission

__all__ = ["states"]


def states(selection: Event | Selection) -> Pipeline[Emission, State]:
    """Turn what `rnnr.Runner.observe` emits into the states of some events.

    It is to an observed run what `rnnr.Runner.stream` is to a runner. The state is one dict
    that goes on changing: select from it next.

    Args:
        selection: An `rnnr.Event`, or an `rnnr.Selection`.

    Raises:
        TypeError: If ``selection`` is neither; in the stream, if what comes is no `rnnr.Emission`.

    Example:
        ::

            source:   --(STARTED,s)--(BATCH,s)--(BATCH,s)--(FINISHED,s)--|
                      [ states(Event.BATCH) ]
            result:   ---------------s----------s------------------------|

        >>> from reactivex import operators as ops
        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import select, states
        >>> batches = Runner().observe("abcd").pipe(
        ...     states(Event.BATCH.every(2)), select("batch"), ops.to_list()
        ... )
        >>> batches.run()
        ['b', 'd']
    """
    if not isinstance(selection, Event | Selection):
        cure = "write for example Event.BATCH"
        raise wrong_type("selection", "an Event or a Selection", selection, cure)

    def selecting() -> Callable[[Emission], object]:
        predicates = selection.predicates()

        def step(emission: Emission) -> object:
            if not isinstance(emission, Emission):
                cure = "put it right after runner.observe(...), or a run of runner.runs"
                raise wrong_type("what comes to states", "an Emission", emission, cure)
            predicate = predicates.get(emission.event)
            return emission.state if predicate and predicate(emission.state) else MISSING

        return step

    return passing(stateful(selecting))
