"""Which name belongs to which part of a runner: keys of its state, and names among parts."""

from collections.abc import Callable
from typing import Any, TypeAlias

from rnnr._errors import wrong_value

__all__ = ["Free", "Keys"]


Free: TypeAlias = Callable[[], None]
"""Gives a name back. It is not a Disposable, which takes longer to make than a short run has."""


class Keys:
    """The names that the parts of one runner have for themselves."""

    def __init__(self) -> None:
        self._writers: dict[str, list[tuple[object, str, str | None]]] = {}
        self._owners: dict[str, list[object]] = {}

    def reserve(
        self,
        argument: str,
        key: str,
        part: str,
        owner: object,
        *,
        kind: str | None = None,
        what: str = "a key",
    ) -> Free:
        """Reserve a key of the state for a part, which writes it.

        Args:
            argument: Name of the argument that names the key, for the message.
            key: The key.
            part: Who writes it, for the message.
            owner: Stands for the part, which may be attached several times.
            kind: What the parts have to be to share the key; if left out, they may not.
            what: What the key is, for the message.

        Returns:
            What frees it.

        Raises:
            ValueError: If another part has it.
        """
        writers = self._writers.setdefault(key, [])
        for its_owner, its_part, its_kind in writers:
            if its_owner is not owner and (kind is None or kind != its_kind):
                raise wrong_value(
                    argument,
                    f"{what} that no other part of this runner writes",
                    key,
                    f"{its_part} writes it; choose another name, or dispose of the other part",
                )
        return _added(writers, (owner, part, kind))

    def reserve_numbered(self, wish: str, owner: object) -> tuple[str, Free]:
        """Reserve a name among the parts of one kind, with a number where it is taken.

        The same parts, attached in the same order, get the same names in another process, so that
        they find what they had kept.

        Args:
            wish: The name without a number.
            owner: Stands for the part; attached several times, it gets the same name.

        Returns:
            The name, and what frees it.
        """
        name, number = wish, 1
        owners = self._owners.setdefault(name, [])
        while any(one is not owner for one in owners):
            number += 1
            name = f"{wish} #{number}"
            owners = self._owners.setdefault(name, [])
        return name, _added(owners, owner)

    def numbered(self, beginning: str) -> list[str]:
        """Return the names of that kind which parts have, those that begin like this."""
        return [one for one, owners in self._owners.items() if owners and one.startswith(beginning)]


def _added(things: list[Any], thing: object) -> Free:
    """Add to a list; return what removes this very thing again."""
    things.append(thing)

    def remove() -> None:
        del things[next(i for i, one in enumerate(things) if one is thing)]

    return remove
