"""What the state holds at one moment."""

from collections.abc import Mapping
from typing import Any

from rnnr._frozen import Frozen
from rnnr._pipeline import Pipeline, passing, stateless
from rnnr.state import State

__all__ = ["frozen"]


def frozen() -> Pipeline[State, Mapping[str, Any]]:
    """Turn each state into an immutable copy of it, without rnnr's own keys.

    Own keys start with an underscore. The copy is a dict that refuses changes: it pickles and
    becomes JSON if its values do, and ``dict()`` makes a copy that takes changes.

    The values themselves are not copied. Weights that training changes in place change in
    both: copy them yourself, for example with ``select(copy.deepcopy)`` after it.

    Example:
        ::

            source:   --{a:1,_b:2}--{a:3,_b:4}--|
                      [ frozen() ]
            result:   --{a:1}-------{a:3}-------|

        >>> from rnnr import Event, Runner
        >>> from rnnr.operators import frozen
        >>> kept = []
        >>> runner = Runner()
        >>> subscription = runner.stream(Event.BATCH).pipe(frozen()).subscribe(kept.append)
        >>> runner.run("ab")
        >>> [(state["n_iters"], state["batch"]) for state in kept]
        [(1, 'a'), (2, 'b')]
    """
    return passing(stateless(_freeze))


def _freeze(state: State) -> Mapping[str, Any]:
    return Frozen({key: value for key, value in state.items() if not str(key).startswith("_")})


_freeze.__qualname__ = "frozen()"
