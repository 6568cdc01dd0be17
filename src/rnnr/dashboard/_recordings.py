"""All recordings of a page: followed, found, read, and what a page does not have of them."""

import json
import logging
import re
import time
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from secrets import token_hex
from threading import Condition
from typing import Any, Final

from rnnr._errors import wrong_value
from rnnr.dashboard._follower import Follower
from rnnr.dashboard._names import free_name, owner_of
from rnnr.dashboard._run import RunModel
from rnnr.dashboard._search import Search
from rnnr.dashboard._wants import places_in, rows_of

__all__ = ["Recordings", "Searching"]

logger = logging.getLogger("rnnr.dashboard")

_SLICE = 0.02  # seconds to read one recording before the next one
_FRESH = 0.3  # seconds that an answer waits at most for what was just written
_LEFT_ALONE = 15.0  # seconds after a question in which a page is taken to be open
_PAUSE = 0.2  # seconds between two checks whether to look
_N_EVENTS: Final = 50
_MOST: Final = 1000  # recordings that are found
_COUNTER: Final = re.compile(r"[0-9]{1,18}")


class Searching:
    """A folder or a pattern that is looked through.

    Args:
        number: Number of what was asked to be followed.
        path: The path, as it was given.
        prefix: Text before the names; may be empty.
    """

    def __init__(self, number: int, path: str, prefix: str) -> None:
        self.number = number
        self.path = path
        self.search = Search(path)
        self.has_looked = self.is_over = False
        self._prefix = prefix

    def names_of(self, path: Path) -> list[str]:
        """Return names of a recording that was found, the best one first."""
        name = self.search.name_of(path)
        if self._prefix:
            return [f"{self._prefix}/{name}"]
        return [name, (self.search.base / name).as_posix()]


class _Row:
    """A recording on the page.

    Args:
        number: Number of what was asked to be followed.
        path: File.
        model: What is known of it.
    """

    def __init__(self, number: int, path: Path, model: RunModel, *, is_found: bool) -> None:
        self.number = number
        self.path = path
        self.model = model
        self.is_found = is_found
        self.reader = Follower(path, model)
        self.follower: Follower | None = self.reader
        self.owner: tuple[_Row, str] | None = None  # of the same row of the page, and the label
        self.text = b""
        self.changed = 0
        self.version: int | None = None

    def leave(self) -> None:
        """Read no more of it."""
        if self.follower is not None:
            self.follower = None
            self.model.leave()


class Recordings:
    """Keeps and reads the recordings of a page.

    Questions, reading and searches are on threads of their own. Recordings are read, and folders
    looked through, at first, and after that while pages ask.

    Args:
        clock: Returns a time in seconds that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = Condition()
        self._rows: list[_Row] = []
        self._searching: list[Searching] = []
        self._reserved: set[str] = set()
        self._asked_at = clock()
        self._wanted = self._done = 0  # rounds of reading
        self._n_changes = self._n_events_gone = 0
        self._is_full = False
        self._has_owners = True  # false while recordings have come or gone
        self._view = token_hex(4)
        self._patience = _FRESH

    def reserve(self, names: list[str]) -> None:
        """Keep names for the live runs; what has one of them gets another one, or goes."""
        with self._changed:
            self._reserved = set(names)
            self._remove([row for row in self._rows if row.follower is None and self._is_live(row)])
            for row in self._rows:
                if row.is_found and self._is_live(row):
                    row.model.name = free_name([row.path.as_posix()], self._taken())

    def follow(self, number: int, path: str, name: str) -> None:
        """Read a file, under a name that is free."""
        file = Path(path).absolute()
        with self._changed:
            found = next((row for row in self._rows if row.is_found and row.path == file), None)
            if found is not None:  # by a search, before
                found.number, found.is_found, found.model.name = number, False, name
            else:
                self._add(number, file, name, is_found=False)

    def search(self, number: int, path: str, prefix: str) -> Searching:
        """Look through a folder, or for a pattern."""
        searching = Searching(number, path, prefix)
        with self._changed:
            self._searching.append(searching)
        return searching

    def leave(self, number: int) -> None:
        """End what was asked for; what was read stays."""
        with self._changed:
            for row in self._rows:
                if row.number == number:
                    row.leave()
            for searching in self._searching:
                searching.is_over |= searching.number == number
            self._searching = [each for each in self._searching if not each.is_over]

    def look_forever(self, searching: Searching) -> None:
        """Look again whenever it is time, and a page is open."""
        while not searching.is_over:
            if self._clock() >= searching.search.due and self._is_watched():
                self.look(searching)
            time.sleep(_PAUSE)

    def look(self, searching: Searching) -> None:
        """Add the recordings that are new."""
        for path in searching.search.look():
            with self._changed:
                if searching.is_over or any(row.path == path for row in self._rows):
                    continue
                if len(self._rows) >= _MOST:
                    if not self._is_full:
                        message = "There are more than %s recordings; others are left out: %s"
                        logger.warning(message, _MOST, path)
                    self._is_full = True
                    continue
                name = free_name(searching.names_of(path), self._taken())
                self._add(searching.number, path, name, is_found=True)
        with self._changed:
            searching.has_looked = True
            self._changed.notify_all()

    def read_forever(self) -> None:
        """Read on as long as there is more, and again after each question."""
        while True:
            wanted = self._wanted
            is_more = self.read_all()
            with self._changed:
                self._done = wanted
                self._changed.notify_all()
                if not is_more:
                    self._changed.wait_for(lambda: self._wanted > self._done)

    def read_all(self) -> bool:
        """Read a little of each file; return whether there is more to read."""
        with self._changed:
            followers = [row.follower for row in self._rows if row.follower is not None]
        return sum(follower.catch_up(_SLICE) for follower in followers) > 0  # all, not up to one

    def answer(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return the head and the body of the answer to a question."""
        self._asked_at = self._clock()
        match question:
            case {"ask": "data", "cursor": str(cursor)}:
                return self._changes(cursor)
            case {"ask": "curves", "wanted": str(wanted), "room": int() | None as room}:
                return self._curves(wanted, room)
            case {"ask": "part", "wanted": str(wanted), "first": int(first), "last": int(last)}:
                return self._part(wanted, first, last)
        raise wrong_value("question", "one of a dashboard", question, "this is a bug in rnnr")

    def _curves(self, wanted: str, room: int | None) -> tuple[dict[str, Any], bytes]:
        with self._changed:
            models = {row.model.key: row.model for row in self._rows}
        rows, is_cut = rows_of(models, wanted, room)
        heads, bodies = [head for head, _ in rows], [body for _, body in rows]
        return {"curves": heads, "more": is_cut}, b"".join(bodies)

    def _part(self, wanted: str, first: int, last: int) -> tuple[dict[str, Any], bytes]:
        with self._changed:
            followers = {row.model.key: row.reader for row in self._rows}
        heads, bodies = [], []
        for key, places in groupby(sorted(places_in(wanted)), key=itemgetter(0)):
            if key in followers:
                numbers = [place for _, place in places]
                for head, body in followers[key].part(numbers, first, last):
                    heads.append({"key": key, **head})
                    bodies.append(body)
        return {"curves": heads, "more": False}, b"".join(bodies)

    def _add(self, number: int, path: Path, name: str, *, is_found: bool) -> None:
        row = _Row(number, path, RunModel(name), is_found=is_found)
        is_old = [one.model.name == name and one.follower is None for one in self._rows]
        self._remove([one for one, old in zip(self._rows, is_old, strict=True) if old])
        self._rows.append(row)
        self._has_owners = False
        self._wanted += 1
        self._changed.notify_all()

    def _find_owners(self) -> None:
        """Find out which recordings share a row, if some have come or gone."""
        if self._has_owners:
            return
        by_path = {row.path: row for row in reversed(self._rows)}
        for row in self._rows:
            owner = owner_of(row.path, by_path.keys())
            row.owner = (by_path[owner[0]], owner[1]) if owner else None
        self._has_owners = True

    def _remove(self, gone: list[_Row]) -> None:
        self._has_owners = False
        self._n_events_gone += sum(row.model.n_events + 1 for row in gone)
        self._rows = [row for row in self._rows if row not in gone]

    def _taken(self) -> set[str]:
        return {row.model.name for row in self._rows} | self._reserved

    def _is_live(self, row: _Row) -> bool:
        return row.model.name in self._reserved

    def _is_watched(self) -> bool:
        return self._clock() - self._asked_at < _LEFT_ALONE

    def _changes(self, cursor: str) -> tuple[dict[str, Any], bytes]:
        """Return what has changed since a cursor: as the body, the runs, each after a comma."""
        self._wait_for_reading()
        with self._changed:
            view, n_changes, n_events = self._parsed(cursor)
            self._find_owners()
            for row in self._rows:
                self._update(row)
            has_events = self._n_events_gone + sum(row.model.n_events for row in self._rows)
            head: dict[str, Any] = {
                "order": _order(self._rows),
                "searching": [each.path for each in self._searching],
                "cursor": f"{view}.{self._n_changes}.{has_events}",
            }
            if n_events != has_events:
                head["events"] = self._events()
            return head, b",".join(row.text for row in self._rows if row.changed > n_changes)

    def _wait_for_reading(self) -> None:
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            is_fresh = self._changed.wait_for(self._is_fresh, self._patience)
            self._patience = _FRESH if is_fresh else _FRESH / 10  # a disk may be slow for long

    def _is_fresh(self) -> bool:
        return self._done >= self._wanted and all(each.has_looked for each in self._searching)

    def _update(self, row: _Row) -> None:
        owner, part = row.owner or (None, "training")
        part_of = owner and owner.model.key
        run, row.version = row.model.since(row.version, part_of=part_of, part=part)
        if run is not None:
            self._n_changes += 1
            row.changed = self._n_changes
            row.text = json.dumps(run).encode("ascii")

    def _parsed(self, cursor: str) -> tuple[str, int, int]:
        view, *numbers = cursor.split(".")
        if view == self._view and len(numbers) == 2 and all(map(_COUNTER.fullmatch, numbers)):
            return view, int(numbers[0]), int(numbers[1])
        return self._view, 0, -1

    def _events(self) -> list[tuple[float, dict[str, str]]]:
        events = [
            (when, {"time": clock, "run": row.model.name, "text": text})
            for row in self._rows
            for when, clock, text in tuple(row.model.events)
        ]
        return sorted(events, key=itemgetter(0))[-_N_EVENTS:]


def _order(rows: list[_Row]) -> list[tuple[int, list[str]]]:
    """Return the keys of the runs, by the number of what was asked for."""
    ordered = sorted(rows, key=attrgetter("number"))
    groups = groupby(ordered, key=attrgetter("number"))
    return [(number, [row.model.key for row in group]) for number, group in groups]
