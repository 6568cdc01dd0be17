"""An immutable dict, for values that are taken out of the state and kept."""

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["Frozen"]


def _raise(self: "Frozen", *_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        f"{type(self).__name__} does not support item assignment or any other change: it is "
        "what the state held at one moment; change a copy, made by dict(), instead"
    )


class Frozen(dict[str, Any]):
    """A dict that cannot be changed.

    A ``MappingProxyType`` would be shorter, but neither pickles nor becomes JSON, so a list
    of them in the state would make the state unpicklable. The values are not copied.
    """

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _raise
    clear = pop = popitem = setdefault = update = _raise

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[dict[str, Any]]]:
        """Pickle and copy by constructing it again, since items cannot be set."""
        return type(self), (dict(self),)
