"""All that a page shows and does: what it is told, and its buttons."""

import json
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

from rnnr.attachments._control import Control, ControlStatus
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._log import LogTail
from rnnr.dashboard._run import RunModel
from rnnr.reporting._handler_times import HandlerTimes

__all__ = ["Page", "PageRunner"]

_ORDERS = ("pause", "step", "unpause", "stop")
_N_HANDLERS, _N_EVENTS = 15, 50
_READING, _LITTLE = 0.1, 0.001  # seconds to read recordings for one answer; beside a training
_SOON = 0.2  # seconds after which a page asks again while a run comes to a halt
_PATIENCE = 10.0  # seconds without a question after which nobody watches


# what a cursor may raise that is none of ours
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class PageRunner(NamedTuple):
    """One runner on the page.

    Attributes:
        track: What is known of its runs.
        times: What measures its handlers; ``None`` for a recording.
        follower: What brings new reports; ``None`` for a live run.
        is_attached: Whether there may be more to come.
    """

    track: RunModel
    times: HandlerTimes | None = None
    follower: Follower | None = None
    is_attached: bool = True


class Page:
    """What all pages of a dashboard see.

    Questions come from the serving thread, who is shown from others.

    Args:
        is_steered: Whether the page has buttons.
        clock: Returns a time in seconds that never goes back.
    """

    def __init__(self, *, is_steered: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_steered = is_steered
        self.is_behind = False
        self.control = Control()
        self.log = LogTail()
        self._clock = clock
        self._lock = Lock()
        self._shown: dict[str, PageRunner] = {}
        self._n_gone = 0  # events of those who were shown before
        self._name = token_hex(4)  # a page that knows another one has to begin anew
        self._measuring: dict[str, abc.DisposableBase] = {}
        self._asked = 0.0

    def updates(self, cursor: str) -> tuple[dict[str, Any], str]:
        """Return what has happened since a page asked last, and what it has to ask with next.

        Args:
            cursor: What it got with the last answer; anything else begins anew.
        """
        return self._news(self._woken(), cursor)

    def snapshot(self) -> dict[str, Any]:
        """Return all that is to be seen, as it is, without waking anything."""
        with self._lock:
            return self._news(dict(self._shown), "")[0]

    def _news(self, shown: dict[str, PageRunner], cursor: str) -> tuple[dict[str, Any], str]:
        had, has = self._parsed(cursor), self._counts(shown)
        runs = []
        for each in shown.values():
            key = each.track.key
            run, has["runs"][key] = each.track.since(had["runs"].get(key))
            runs.append(run)
        is_live = any(each.times for each in shown.values())
        news: dict[str, Any] = {
            "control": self.is_steered and is_live,
            "control_status": self.control.status.value,
            "live": is_live,
            "runs": runs,
        }
        if is_live:
            news["handlers"] = _slowest(shown)
        if had["events"] != has["events"]:
            news["events"] = _events(shown)
        if had["log"] != has["log"]:
            news["log"] = [{**record, "time": _clock(record["time"])} for record in self.log.last()]
        return news, json.dumps(has)

    @property
    def patience(self) -> float:
        """Seconds after which a page should ask again at the latest; at once to have more read."""
        is_alone = not any(each.times and each.is_attached for each in self._shown.values())
        if self.is_behind and is_alone:
            return 0.0
        return (
            _SOON if self.control.status in (ControlStatus.PAUSING, ControlStatus.STOPPING) else inf
        )

    def steer(self, order: str) -> bool:
        """Do what a button says; return whether there is such a button."""
        if order not in _ORDERS:
            return False
        getattr(self.control, order)()
        return True

    def show(self, name: str, shown: PageRunner) -> None:
        """Show a runner, in the place of one that had its name before."""
        with self._lock:
            before = self._shown.get(name)
            self._n_gone += before.track.n_events + 1 if before else 0
            self._shown[name] = shown

    def leave(self, name: str) -> None:
        """Show what is known of a runner, and let go of it."""
        with self._lock:
            self._shown[name] = self._shown[name]._replace(is_attached=False)
            self._shown[name].track.leave()
            self._measure_no_more([name])

    def pause(self) -> None:
        """Measure no handlers any more, if nobody has asked for a while."""
        with self._lock:
            if self._clock() - self._asked > _PATIENCE:
                self._measure_no_more(list(self._measuring))

    def clear(self) -> None:
        """Show nothing any more."""
        with self._lock:
            self._shown.clear()

    def _woken(self) -> dict[str, PageRunner]:
        """Bring what is shown up to date."""
        with self._lock:
            self._asked = self._clock()
            shown = dict(self._shown)
            attached = {name: each for name, each in shown.items() if each.is_attached}
            for name, each in attached.items():
                if each.times and name not in self._measuring:
                    self._measuring[name] = each.times.measure()
        self.is_behind = False
        is_live = any(each.times for each in attached.values())
        reading = (_LITTLE if is_live else _READING) / max(1, len(attached))
        for each in attached.values():
            if each.follower:
                self.is_behind |= each.follower.catch_up(reading)
            each.track.ask()
        return shown

    def _measure_no_more(self, names: list[str]) -> None:
        for name in names:
            self._measuring.pop(name, Disposable()).dispose()

    def _parsed(self, cursor: str) -> dict[str, Any]:
        with suppress(*_UNREADABLE):
            parsed: dict[str, Any] = json.loads(cursor)
            if parsed["view"] == self._name:
                runs = parsed["runs"].items()
                series = {key: [[int(n), int(m)] for n, m in series] for key, series in runs}
                return {"runs": series, "events": parsed["events"], "log": parsed["log"]}
        return {"runs": {}, "events": None, "log": None}

    def _counts(self, shown: dict[str, PageRunner]) -> dict[str, Any]:
        n_events = self._n_gone + sum(each.track.n_events for each in shown.values())
        log = self.log.n_records
        return {"view": self._name, "runs": {}, "events": n_events, "log": log}


def _slowest(shown: dict[str, PageRunner]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, each in shown.items():
        times = each.times.slowest_first() if each.times else []
        whole = sum(one.seconds for one in times) or 1.0
        rows += [
            {
                "run": name,
                "event": one.event.name,
                "name": one.name,
                "where": one.where,
                "calls": one.calls,
                "seconds": one.seconds,
                "share": one.seconds / whole,
            }
            for one in times
        ]
    return sorted(rows, key=lambda row: -row["seconds"])[:_N_HANDLERS]


def _events(shown: dict[str, PageRunner]) -> list[dict[str, str]]:
    told = [
        (when, {"time": clock, "run": name, "text": text})
        for name, each in shown.items()
        for when, clock, text in tuple(each.track.events)
    ]
    return [event for _, event in sorted(told, key=itemgetter(0))][-_N_EVENTS:]


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
