"""The format of a recording: a file with a line of strict JSON for each report."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from json import JSONEncoder, dumps, loads
from operator import index
from typing import Any

from rnnr._errors import wrong_type
from rnnr._frozen import Frozen
from rnnr._logs._repeats import Row
from rnnr._numbers import as_json, numbers_in
from rnnr.event import BEGINNINGS, Event
from rnnr.reporting._config import flattened
from rnnr.reporting._report import Report
from rnnr.reporting._system import SYSTEM

__all__ = ["DAMAGES", "FORMAT", "FormatError", "decode", "encode", "rows_in"]

FORMAT = 1
"""Number of the format, on the line of each beginning; the documentation says when it grows."""

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_NOT_REPEATED = ("seconds", "batches_per_second", "max_epoch")  # by a run that is restored
_MOST_DIGITS = 400  # of an integer; those of the largest float are 309
_N_ENTRIES = 1000  # of a configuration, to which a RunInfo has added
_NO_DEFAULT = object()
_RECORDED = Report._fields[: Report._fields.index("intervals")]
_DEFAULTS = [Report._field_defaults.get(name, _NO_DEFAULT) for name in _RECORDED]

# index: a callback may have made a counter a NumPy integer
_encode = JSONEncoder(allow_nan=False, separators=(",", ":"), default=index).encode

DAMAGES = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions that `decode` raises for a line without a report."""


class FormatError(ValueError):
    """A line begins a run in a format that this version does not know."""


def _do_nothing(_: str) -> None:
    """Ignore the name of a metric that is left out."""


def encode(report: Report) -> bytes:
    r"""Return a report as a line; fields with their default value are left out, and intervals.

    Metrics that are not numbers are left out.

    Raises:
        TypeError: If another field has a value that JSON cannot hold.

    Example:
        >>> from rnnr import Event
        >>> from rnnr.recording._format import encode
        >>> from rnnr.reporting import Report
        >>> encode(Report(Event.BATCH, 1, 3, 7, 0.5, {"loss": float("nan")}))
        b'{"event":"BATCH","epoch":1,"max_epoch":3,"n_iters":7,"seconds":0.5,"metrics":{"loss":"NaN"}}\n'
    """
    fields: dict[str, Any] = {
        name: value
        for name, value, default in zip(_RECORDED, report, _DEFAULTS, strict=False)
        if value is not default
    }
    fields["event"] = report.event.name
    if report.event in BEGINNINGS:
        fields["format"] = FORMAT
    try:
        line = _encode(fields)
    except Exception:  # noqa: BLE001  (it is rare, so it is not checked for each time)
        fields = {name: _spelled(value) for name, value in fields.items()}
        if report.config:
            fields["config"] = flattened(report.config, _N_ENTRIES)
        metrics = numbers_in(report.metrics)
        line = _encode(fields | {"metrics": {name: as_json(one) for name, one in metrics.items()}})
    return line.encode("ascii") + b"\n"


def decode(line: bytes, leave_out: Callable[[str], object] = _do_nothing) -> Report:
    """Return the report on a line.

    Unknown fields are ignored and missing ones get their default, so that files of earlier and
    later versions can be read. Metrics that are not numbers are left out.

    Args:
        line: The line.
        leave_out: Called with the name of each metric that is left out; does nothing unless given.

    Raises:
        Exception: One of `DAMAGES`, if the line does not hold a report; `FormatError` if it is
            one in another format.
    """
    text = str(line, "utf-8")
    try:
        fields = loads(text)
    except ValueError:  # a metric may be an integer with more digits than Python accepts
        fields = loads(text, parse_int=_integer_or_text)
    if "format" in fields and repr(got := fields["format"]) != repr(FORMAT):  # True equals 1
        raise FormatError(f"expected a recording in format {FORMAT}, got format {got!r}")
    found = {name: read(fields[name]) for name, read in _READERS.items() if name in fields}
    if len(found["metrics"]) < len(fields["metrics"]):
        for name in fields["metrics"].keys() - found["metrics"].keys():
            leave_out(name)
    return Report(**found)


def rows_in(data: bytes) -> Iterator[Row]:
    """Yield the reports on some lines that a run which is restored makes again.

    Those are the reports of batches and of epochs: a run begins, ends and goes on as it comes.
    Times and metrics of the machine are left out, since they are others each time.
    """
    for line in data.split(b"\n"):
        with suppress(*DAMAGES):
            report, fields = decode(line), loads(line)
            if report.event.counter is not None:
                kept = {name: one for name, one in fields.items() if name not in _NOT_REPEATED}
                metrics = fields["metrics"].items()
                kept["metrics"] = {n: one for n, one in metrics if not n.startswith(SYSTEM)}
                yield Row((report.event, report.epoch, report.n_iters), dumps(kept))


def _spelled(value: Any) -> Any:
    """Return a number that is not finite as a string, and other values as they are."""
    return as_json(value) if isinstance(value, float) else value


def _integer_or_text(digits: str) -> int | str:
    return int(digits) if len(digits) < _MOST_DIGITS else digits


def _number(value: object) -> float:
    if type(value) in (float, int) or value in _NOT_FINITE:
        return float(value)  # type: ignore[arg-type]
    raise wrong_type("a number", "one", value, "write it as JSON does")


def _integer(value: Any) -> int:
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    if is_whole and abs(value) <= sys.maxsize:  # a larger one would break later computations
        return int(value)
    raise wrong_type("a counter", "an integer", value, "write it as JSON does")


def _instance(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise wrong_type("a field", kind.__name__, value, "write it as JSON does")

    return read


_mapping = _instance(dict)


def _metrics(value: Any) -> Frozen:
    metrics = _mapping(value)
    try:
        return Frozen({name: _number(one) for name, one in metrics.items()})
    except DAMAGES:
        return Frozen(_numbers_of(metrics))


def _numbers_of(metrics: dict[str, Any]) -> dict[str, float]:
    found = {}
    for name, one in metrics.items():
        with suppress(*DAMAGES):
            found[name] = _number(one)
    return found


def _config(value: Any) -> Frozen:
    return flattened(_mapping(value), _N_ENTRIES)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(_instance(str), _instance(list)(value)))


def _event(value: Any) -> Event:
    return Event[value]


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "event": _event,
    "epoch": _integer,
    "max_epoch": _integer,
    "n_iters": _integer,
    "seconds": _number,
    "metrics": _metrics,
    "batches_per_second": _optional(_number),
    "n_batches": _optional(_integer),
    "step": _integer,
    "is_inside": _instance(bool),
    "results": _names,
    "error": _optional(_instance(str)),
    "began": _optional(_number),
    "config": _config,
    "stopped_by": _optional(_instance(str)),
}
