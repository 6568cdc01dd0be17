"""The default bar. It imports tqdm, so it is imported when the first bar is made."""

from typing import Any

from tqdm.auto import tqdm

__all__ = ["LazyBar"]


class LazyBar(tqdm):  # type: ignore[type-arg]
    """A tqdm that formats its statistics when it draws, not whenever they change."""

    _stats: dict[str, Any] = {}  # noqa: RUF012  (replaced, never changed)
    _formatted = _stats

    def set_postfix(self, ordered_dict: Any = None, refresh: Any = None, **stats: Any) -> None:
        """Keep the statistics for the next drawing; ``refresh`` is not needed for that."""
        del refresh  # in the signature because tqdm's constructor passes it
        self._stats = {**(ordered_dict or {}), **stats}

    @property
    def format_dict(self) -> Any:
        """Return what is to be drawn now."""
        stats = self._stats
        if stats is not self._formatted:  # tqdm's monitor may draw, too, from its thread
            super().set_postfix(refresh=False, **stats)
            self._formatted = stats
        return super().format_dict
