"""Which name belongs to which part of a runner: keys of its state, and names among parts."""

from itertools import count
from typing import Any, NamedTuple

from reactivex.disposable import Disposable

from rnnr.errors import wrong_value

__all__ = ["Claims"]


class _Writer(NamedTuple):
    """A part that writes a key of the state."""

    owner: object
    part: str
    kind: str | None


class Claims:
    """The names that the parts of one runner have for themselves."""

    def __init__(self) -> None:
        self._writers: dict[str, list[_Writer]] = {}
        self._owners: dict[str, list[object]] = {}

    def claim_key(
        self, argument: str, key: str, part: str, owner: object, *, kind: str | None = None
    ) -> Disposable:
        """Reserve a key of the state for a part, which writes it.

        Args:
            argument: Name of the argument that names the key, for the message.
            key: The key.
            part: Who writes it, for the message.
            owner: Stands for the part, which may be attached several times.
            kind: What the parts have to be to share the key; if left out, they may not.

        Returns:
            A Disposable that frees it.

        Raises:
            ValueError: If another part has it.
        """
        writers = self._writers.setdefault(key, [])
        for other in writers:
            if other.owner is not owner and (kind is None or kind != other.kind):
                raise wrong_value(
                    argument,
                    "a key that no other part of this runner writes",
                    key,
                    f"{other.part} writes it; choose another name, or dispose of the other part",
                )
        return _added(writers, _Writer(owner, part, kind))

    def claim_number(self, wish: str, owner: object) -> tuple[str, Disposable]:
        """Reserve a name among the parts of one kind, with a number where it is taken.

        The same parts, attached in the same order, get the same names in another process, so that
        they find what they had kept.

        Args:
            wish: The name without a number.
            owner: Stands for the part; attached several times, it gets the same name.

        Returns:
            The name, and a Disposable that frees it.
        """
        names = (wish if i == 1 else f"{wish} #{i}" for i in count(1))
        name = next(
            name for name in names if all(one is owner for one in self._owners.get(name, ()))
        )
        return name, _added(self._owners.setdefault(name, []), owner)


def _added(things: list[Any], thing: object) -> Disposable:
    """Add to a list; return a Disposable that removes this very thing again."""
    things.append(thing)

    def remove() -> None:
        del things[next(i for i, one in enumerate(things) if one is thing)]

    return Disposable(remove)
