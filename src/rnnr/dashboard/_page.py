"""The contents of a dashboard's page, and its buttons."""

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from operator import itemgetter
from secrets import token_hex
from threading import Lock
from typing import Any, NamedTuple

from reactivex import abc
from reactivex.disposable import Disposable

from rnnr._runs import Slot
from rnnr.attachments._control import Control, ControlStatus
from rnnr.dashboard._log import LogTail
from rnnr.dashboard._run import RunModel
from rnnr.dashboard._wants import Rows, rows_of
from rnnr.reporting._handler_times import HandlerTime, HandlerTimes

__all__ = ["Page", "PageRunner"]

logger = logging.getLogger("rnnr.dashboard")

_ORDERS = ("pause", "step", "unpause", "stop")
_N_HANDLERS, _N_EVENTS = 15, 50  # handlers of the user, and events, that a page shows
_SOON = 0.2  # seconds after which a page asks again while a run is about to pause or stop
_PATIENCE = 10.0  # seconds without a request after which no page is taken to be open

# exceptions that reading a cursor from elsewhere may raise
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class PageRunner(NamedTuple):
    """One runner on the page.

    Attributes:
        model: Model of its runs.
        times: Measures its handlers.
        is_attached: Whether more reports may come.
        slot: Slot of the runner.
    """

    model: RunModel
    times: HandlerTimes | None = None
    is_attached: bool = True
    slot: Slot | None = None


class Page:
    """The contents of all pages of a dashboard.

    Requests come from the serving thread, runners are added and removed on other threads.

    Args:
        is_steered: Whether the page has buttons.
        clock: Returns a time in seconds that never goes back.
    """

    def __init__(self, *, is_steered: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_steered = is_steered
        self.control = Control()
        self.log = LogTail()
        self._clock = clock
        self._lock = Lock()
        self._runners: dict[str, PageRunner] = {}
        self._n_replaced = 0  # events of runners that others have replaced
        self._name = token_hex(4)  # a cursor with another name starts again
        self._measuring: dict[str, abc.DisposableBase] = {}
        self._asked_at = 0.0

    def updates(self, cursor: str) -> tuple[dict[str, Any], str]:
        """Return what has changed since the last request of a page, and its next cursor.

        Args:
            cursor: The cursor of the last answer; after any other text all is returned.
        """
        return self._changes(self._refreshed(), cursor)

    def snapshot(self) -> dict[str, Any]:
        """Return all that the page shows, and measure nothing for it."""
        with self._lock:
            runners = dict(self._runners)
        return self._changes(runners, "")[0]

    def _changes(self, runners: dict[str, PageRunner], cursor: str) -> tuple[dict[str, Any], str]:
        had, has = self._parsed(cursor), self._counts(runners)
        runs, order = [], []
        for runner in runners.values():
            part_of = _key_around(runner, runners)
            part = "training" if part_of is None else runner.model.name
            key = runner.model.key
            run, version = runner.model.since(had["runs"].get(key), part_of=part_of, part=part)
            if run is not None:
                key = run["key"]  # another run may have begun
                runs.append(run)
            order.append(key)
            has["runs"][key] = version
        is_live = any(runner.times for runner in runners.values())
        changes: dict[str, Any] = {
            "control": self.is_steered and is_live,
            "control_status": self.control.status.value,
            "live": is_live,
            "order": order,
            "runs": runs,
        }
        if is_live:
            changes["handlers"] = _slowest(runners)
        if had["events"] != has["events"]:
            changes["events"] = [event for _, event in _events(runners)]
        if had["log"] != has["log"]:
            records = self.log.last()
            changes["log"] = [{**record, "time": _clock(record["time"])} for record in records]
        return changes, json.dumps(has)

    @property
    def patience(self) -> float:
        """Most seconds until a page should ask again."""
        is_soon = self.control.status in (ControlStatus.PAUSING, ControlStatus.STOPPING)
        return _SOON if is_soon else inf

    def curves(self, wanted: str, room: int | None) -> tuple[list[Rows], bool]:
        """Return the rows of curves that a page lacks, as `rows_of` does."""
        return rows_of(self.models(), wanted, room)

    def models(self) -> dict[str, RunModel]:
        """Return the models of the runs by their keys."""
        with self._lock:
            return {runner.model.key: runner.model for runner in self._runners.values()}

    def timed_events(self) -> list[tuple[float, dict[str, str]]]:
        """Return the last events, each with its time in seconds since 1970."""
        with self._lock:
            return _events(self._runners)

    def steer(self, order: str, seen: str = "") -> bool:
        """Carry out the order of a button; return whether there is such a button.

        A stop is logged, so that the log of a training tells why it has ended.

        Args:
            order: Name of the button.
            seen: Status of the control that the page showed. A run that is stopping is stopped at
                once only from a page that shows it: two pages may stop it at the same time.
        """
        if order not in _ORDERS:
            return False
        stopping = ControlStatus.STOPPING
        if order == "stop" and self.control.status is stopping and seen != stopping.value:
            return True
        is_stop = order == "stop" and self.control.status is not stopping and self._is_any_running()
        getattr(self.control, order)()
        if is_stop:
            logger.info("Stopped from the page")
        return True

    def show(self, name: str, runner: PageRunner | None) -> None:
        """Show a runner, in place of an earlier one with its name; ``None`` for a recording."""
        with self._lock:
            replaced = self._runners.get(name)
            self._n_replaced += replaced.model.n_events + 1 if replaced else 0
            if runner is not None:
                self._runners[name] = runner
            else:
                self._runners.pop(name, None)

    def leave(self, name: str) -> None:
        """Detach from a runner, and go on showing what is known of it."""
        with self._lock:
            if name not in self._runners:  # a recording
                return
            self._runners[name] = self._runners[name]._replace(is_attached=False)
            self._runners[name].model.leave()
            self._stop_measuring([name])

    def pause(self) -> None:
        """Stop measuring handlers, if no page has asked for a while."""
        with self._lock:
            if self._clock() - self._asked_at > _PATIENCE:
                self._stop_measuring(list(self._measuring))

    def clear(self) -> None:
        """Remove all runners."""
        with self._lock:
            self._runners.clear()

    def _is_any_running(self) -> bool:
        with self._lock:
            slots = [runner.slot for runner in self._runners.values()]
        return any(slot is not None and slot.is_running for slot in slots)

    def _refreshed(self) -> dict[str, PageRunner]:
        """Bring all runners up to date, and return them."""
        with self._lock:
            self._asked_at = self._clock()
            runners = dict(self._runners)
            attached = {name: each for name, each in runners.items() if each.is_attached}
            for name, each in attached.items():
                if each.times and name not in self._measuring:
                    self._measuring[name] = each.times.measure()
        for each in attached.values():
            each.model.ask()
        return runners

    def _stop_measuring(self, names: list[str]) -> None:
        for name in names:
            self._measuring.pop(name, Disposable()).dispose()

    def _parsed(self, cursor: str) -> dict[str, Any]:
        with suppress(*_UNREADABLE):
            parsed: dict[str, Any] = json.loads(cursor)
            if parsed["view"] == self._name:
                runs = {key: int(version) for key, version in parsed["runs"].items()}
                return {"runs": runs, "events": parsed["events"], "log": parsed["log"]}
        return {"runs": {}, "events": None, "log": None}

    def _counts(self, runners: dict[str, PageRunner]) -> dict[str, Any]:
        n_events = self._n_replaced + sum(each.model.n_events for each in runners.values())
        log = self.log.n_records
        return {"view": self._name, "runs": {}, "events": n_events, "log": log}


def _slowest(runners: dict[str, PageRunner]) -> list[dict[str, Any]]:
    """Return the user's slowest handlers of all runs, and one row for all of rnnr's in each run."""
    own: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    for name, runner in runners.items():
        times = runner.times.slowest_first() if runner.times else []
        total = sum(handler.seconds for handler in times) or 1.0
        own += [_row(name, [each], total) for each in times if each.is_own]
        ours += _together(name, [each for each in times if not each.is_own], total)
    own.sort(key=lambda row: -row["seconds"])
    return own[:_N_HANDLERS] + ours


def _row(run: str, handlers: list[HandlerTime], total: float) -> dict[str, Any]:
    """Return what some handlers of a run have taken together, named as the first one."""
    first, seconds = handlers[0], sum(each.seconds for each in handlers)
    return {
        "run": run,
        "event": first.event.name,
        "name": first.name,
        "where": first.where,
        "calls": sum(each.calls for each in handlers),
        "seconds": seconds,
        "share": seconds / total,
        "own": first.is_own,
    }


def _together(run: str, ours: list[HandlerTime], total: float) -> list[dict[str, Any]]:
    if not ours:
        return []
    where = f"{len(ours)} handler{'s' if len(ours) > 1 else ''}"
    return [_row(run, ours, total) | {"event": "", "name": "rnnr's own", "where": where}]


def _key_around(runner: PageRunner, runners: dict[str, PageRunner]) -> str | None:
    """Return the key of the run in which a run is, if it is on the page."""
    around = runner.model.around
    found = (each for each in runners.values() if around is not None and each.slot is around)
    return next((each.model.key for each in found if each is not runner), None)


def _events(runners: dict[str, PageRunner]) -> list[tuple[float, dict[str, str]]]:
    events = [
        (when, {"time": clock, "run": name, "text": text})
        for name, runner in runners.items()
        for when, clock, text in tuple(runner.model.events)
    ]
    return sorted(events, key=itemgetter(0))[-_N_EVENTS:]


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
