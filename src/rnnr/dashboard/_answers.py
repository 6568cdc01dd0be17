"""The answers to a page: what the live runs and the recordings have together."""

import json
from operator import itemgetter
from typing import Any, NamedTuple

from rnnr.dashboard._frames import Answer
from rnnr.dashboard._metrics import packed
from rnnr.dashboard._page import Page
from rnnr.dashboard._reading import Reading
from rnnr.dashboard._wants import MOST_OCTETS, Rows

__all__ = ["Answers", "Update"]

_N_EVENTS = 50


class Update(NamedTuple):
    """What has changed on a page.

    Attributes:
        fields: All but the runs.
        runs: JSON of the runs, joined by commas: those of recordings are passed on as they are.
        cursor: What the page sends with its next request.
    """

    fields: dict[str, Any]
    runs: bytes
    cursor: str

    def encoded(self, **others: Any) -> bytes:
        """Return all of it, and other fields, as JSON."""
        text = json.dumps({**self.fields, **others}).encode("ascii")
        return b'%b, "runs": [%b]}' % (text[:-1], self.runs)


class Answers:
    """Answers the requests of all pages, on the serving thread.

    Args:
        page: Live runs and buttons.
        reading: Recordings.
    """

    def __init__(self, page: Page, reading: Reading) -> None:
        self._page = page
        self._reading = reading
        self._events: list[tuple[float, dict[str, str]]] = []  # of recordings
        self._order: list[str] = []
        self._searching: list[str] = []

    async def updates(self, cursor: str) -> Update:
        """Return what has changed since a cursor; everything, for a text that is not one."""
        had, _, own = cursor.partition(" ")
        answer = await self._asked(had)
        changes, own = self._page.updates(own)
        return self._merged(changes, answer, had, own)

    async def snapshot(self) -> Update:
        """Return all that a page shows, when nothing will change any more."""
        answer = await self._asked("")
        return self._merged(self._page.snapshot(), answer, "", "")

    async def curves(self, wanted: str, *, is_last: bool = False) -> bytes:
        """Return what a page lacks of some curves, as octets.

        Args:
            wanted: ``KEY.METRIC.REWRITTEN.CLOSED`` for each curve, joined by commas. What is not
                there is left out.
            is_last: Whether nothing can be asked later, so that the answer is not cut.
        """
        room = None if is_last else MOST_OCTETS
        found, is_cut = self._page.curves(wanted, room)
        others = "" if is_cut else self._of_recordings(wanted)
        if others:
            left = None if room is None else room - sum(len(octets) for _, octets in found)
            answer = await self._reading.ask(ask="curves", wanted=others, room=left)
            found += _rows_in(answer)
            is_cut = answer is not None and answer.head.get("more", False)
        return packed(found, is_cut=is_cut)

    async def part(self, wanted: str, first: int, last: int) -> bytes:
        """Return every value of some curves of recordings between two steps, as octets.

        Args:
            wanted: ``KEY.METRIC`` for each curve, joined by commas. Curves of live runs and those
                with too many values are left out.
            first: First step.
            last: Last step.
        """
        others = self._of_recordings(wanted)
        if not others:
            return packed([], is_cut=False)
        answer = await self._reading.ask(ask="part", wanted=others, first=first, last=last)
        return packed(_rows_in(answer), is_cut=False)

    async def _asked(self, cursor: str) -> Answer | None:
        answer = await self._reading.ask(ask="data", cursor=cursor)
        if answer is None or not answer.head:
            return None
        head = answer.head
        self._order = [key for _, keys in head["order"] for key in keys]
        self._searching = head["searching"]
        self._events = head.get("events", self._events)
        return answer

    def _merged(self, changes: dict[str, Any], answer: Answer | None, had: str, own: str) -> Update:
        runs = json.dumps(changes.pop("runs"))[1:-1].encode("ascii")
        changes["order"] = changes["order"] + self._order
        if self._searching:
            changes["searching"] = self._searching
        if "events" in changes or (answer is not None and "events" in answer.head):
            events = sorted([*self._page.timed_events(), *self._events], key=itemgetter(0))
            changes["events"] = [event for _, event in events[-_N_EVENTS:]]
        recorded = b"" if answer is None else answer.body
        has = had if answer is None else answer.head["cursor"]
        both = b", ".join(filter(None, [runs, recorded]))
        return Update(changes, both, f"{has} {own}")

    def _of_recordings(self, wanted: str) -> str:
        keys, wants = self._page.models().keys(), wanted.split(",")
        return ",".join(want for want in wants if want and want.partition(".")[0] not in keys)


def _rows_in(answer: Answer | None) -> list[Rows]:
    """Return the curves in an answer; the last one has the octets of all."""
    heads = [] if answer is None else answer.head.get("curves", [])
    bodies = [b""] * len(heads)
    if answer is not None and heads:
        bodies[-1] = answer.body
    return [*zip(heads, bodies, strict=True)]
