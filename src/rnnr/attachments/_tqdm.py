"""The default bar. It imports tqdm, so this module is imported when the first bar is made."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from inspect import Parameter, signature
from numbers import Number
from typing import Any
from weakref import WeakSet

from tqdm.asyncio import tqdm as text_tqdm
from tqdm.auto import tqdm
from tqdm.std import tqdm as std_tqdm

from rnnr._errors import wrong_type
from rnnr.attachments._display import one_line, plain_number
from rnnr.sources._kinds import length_of

__all__ = ["LazyBar", "check_arguments"]

_IS_WIDGET = tqdm is not text_tqdm  # tqdm.auto has found a notebook


def check_arguments(names: Iterable[str]) -> None:
    """Raise unless tqdm knows all arguments; tqdm itself would raise only in the first epoch."""
    known = {
        name
        for name, parameter in signature(std_tqdm.__init__).parameters.items()
        if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
    }
    known = (known - {"self", "iterable", "initial"}) | ({"display"} if _IS_WIDGET else set())
    unknown = sorted(set(names) - known)
    if unknown:
        meant = [close for name in unknown for close in get_close_matches(name, known, n=1)]
        cure = f"write {', '.join(meant)}" if meant else f"leave out {', '.join(unknown)}"
        cure += f"; there are {', '.join(sorted(known))}"
        raise wrong_type("kwargs", "arguments of tqdm", unknown, cure)


class LazyBar(tqdm):  # type: ignore[type-arg]
    """A tqdm that formats its statistics when it draws, not whenever they change.

    It never gets the batches, since tqdm may iterate over them. An error while drawing is raised
    after tqdm has released its lock, which would stay locked otherwise; an error on the thread of
    tqdm's monitor is raised when the run draws next.

    Args:
        batches: Batches to ask for their length, if it is needed.
        log_failure: Called with the error when a statistic cannot be shown.
        **kwargs: Arguments of tqdm.
    """

    _stats: dict[Any, Any] = {}  # noqa: RUF012  (replaced, never changed)
    _formatted = _stats
    _failure: BaseException | None = None
    _stats_failure: Exception | None = None

    def __init__(
        self, batches: Any, log_failure: Callable[[Exception], object], **kwargs: Any
    ) -> None:
        self._log_failure = log_failure
        try:
            file = kwargs.get("file")
            kwargs["file"] = _Screen(sys.stderr if file is None else file)
            if kwargs.get("total") is None and not _is_disabled(**kwargs):
                kwargs["total"] = length_of(batches)
            super().__init__(**kwargs)
            self._raise_failures()
        except BaseException:
            self.disable = True  # for __del__, which closes it
            instances: WeakSet[Any] = tqdm._instances  # type: ignore[attr-defined]
            with tqdm.get_lock():  # type: ignore[no-untyped-call]
                instances.discard(self)  # else the monitor would draw it
            raise

    def show(self, stats: Any) -> None:
        """Keep the statistics for the next drawing."""
        self._stats = dict(stats)

    def turn(self, desc: str | None, arguments: dict[str, Any]) -> None:
        """Begin the next epoch of a run: nothing is drawn."""
        if desc is not None:
            self.set_description_str(desc, refresh=False)
        self.total = arguments.get("total", self.total)

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> Any:
        """Draw now, with tqdm's lock unless the caller holds it."""
        is_drawn = super().refresh(nolock=nolock, lock_args=lock_args)
        if not nolock:
            self._raise_failures()
        return is_drawn

    def close(self) -> None:
        """Draw for the last time."""
        try:
            super().close()
        except Exception as error:  # noqa: BLE001  (it is raised with what failed before)
            self._failure = error
        self._raise_failures()

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Draw now."""
        try:
            return super().display(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  (it is raised after the lock is released)
            self._failure = error
            return False

    @property
    def format_dict(self) -> Any:
        """Return the values to draw now."""
        stats = self._stats
        if stats is not self._formatted:  # tqdm's monitor may draw, too, on its own thread
            self.set_postfix(self._texts(stats), refresh=False)
            self._formatted = stats
        return super().format_dict

    def _texts(self, stats: dict[Any, Any]) -> dict[str, str]:
        texts = {}
        for name, value in stats.items():
            try:
                texts[one_line(name)] = self._text(plain_number(value))
            except Exception as error:  # noqa: BLE001  (the others are shown)
                self._stats_failure = error
        return dict(sorted(texts.items()))  # as tqdm does

    def _text(self, number: Any) -> str:
        with suppress(Exception):  # tqdm cannot format a Fraction, or an integer beyond the floats
            if isinstance(number, Number):
                return self.format_num(number)  # type: ignore[arg-type]
        return one_line(number)

    def _raise_failures(self) -> None:
        if self._stats_failure is not None:
            self._log_failure(self._stats_failure)
            self._stats_failure = None
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame, and those of the run


class _Screen:
    """A file whose errors all reach tqdm's caller: tqdm suppresses some types of them."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        if name not in ("write", "flush"):
            return found

        def call(*args: Any) -> Any:
            try:
                return found(*args)
            except (OSError, ValueError) as error:
                raise RuntimeError(f"the screen cannot be written to: {error}") from error

        return call

    def __eq__(self, other: object) -> bool:
        return bool(self._file == (other._file if isinstance(other, _Screen) else other))


def _is_disabled(disable: Any = False, file: Any = None, **_: Any) -> bool:
    """Return whether tqdm will show no bar; ``None`` shows one on a terminal only."""
    if disable is None and not _IS_WIDGET:
        return hasattr(file, "isatty") and not file.isatty()
    return bool(disable)
