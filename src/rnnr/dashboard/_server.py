"""The page's server: it answers requests on its own thread, and never pushes."""

import asyncio
import logging
import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, ErrorHandler, HTTPError, RequestHandler, StaticFileHandler

from rnnr.dashboard._access import AccessControl
from rnnr.dashboard._answers import Answers
from rnnr.dashboard._connections import LimitedServer
from rnnr.dashboard._farewell import Farewell, Parked
from rnnr.dashboard._page import Page
from rnnr.dashboard._polling import PollingRate
from rnnr.dashboard._reading import Reading

__all__ = ["Server"]

logger = logging.getLogger("rnnr.dashboard")

_PAGE = Path(__file__).with_name("page")
_OURS = r"(\w+\.\w+)"
_LARGEST_BODY = 1024  # bytes; no request needs a body
_IDLE_SECONDS = 60.0
_PARKED = 25.0  # seconds until a request that waits for the end is answered with nothing
_INTERVAL = 5.0  # seconds between two checks whether a page is open
_TORNADO = ("tornado.access", "tornado.application", "tornado.general")
_REFUSED = (
    "403: this address is of a dashboard that has ended, or is incomplete: its log has the address."
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves a page on its own thread, which ends with the process.

    Args:
        page: Live runs and buttons of the page.
        reading: Recordings.
        listening: Socket to listen on.
        token: First part of every path.
        names: Host names to accept.
    """

    def __init__(
        self,
        page: Page,
        reading: Reading,
        listening: socket.socket,
        token: str,
        names: set[str],
    ) -> None:
        rate, farewell, answers = PollingRate(), Farewell(), Answers(page, reading)
        application = Application(
            [
                (r"/[^/]+", _NoSlash),
                (r"/[^/]+/", _Index),
                (rf"/[^/]+/page/{_OURS}", _File, {"path": _PAGE}),
                (r"/[^/]+/data", _Data, {"page": page, "answers": answers, "rate": rate}),
                (r"/[^/]+/curves", _Curves, {"answers": answers, "farewell": farewell}),
                (r"/[^/]+/end", _End, {"answers": answers, "farewell": farewell}),
                (r"/[^/]+/control/(\w+)", _Control, {"page": page}),
            ],
            default_handler_class=_Refusal,
            default_handler_args={"status_code": 404},
            log_function=lambda _: None,  # else every request is a line in the user's log
        )
        self._page = page
        self._access = AccessControl(application, _Refusal, token, names)
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._farewell = farewell
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="rnnr dashboard", daemon=True)
        self._thread.start()
        for name in _TORNADO:
            logging.getLogger(name).addFilter(self._is_not_ours)

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(timeout=5)
        for name in _TORNADO:
            logging.getLogger(name).removeFilter(self._is_not_ours)

    def _is_not_ours(self, record: logging.LogRecord) -> bool:
        """Return whether a record is not from this server, whose log a stranger could fill."""
        return record.thread != self._thread.ident

    def _run(self) -> None:
        with asyncio.Runner(debug=False, loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = LimitedServer(
            self._access,
            idle_connection_timeout=_IDLE_SECONDS,
            body_timeout=_IDLE_SECONDS,
            max_body_size=_LARGEST_BODY,
        )
        with self._listening:
            accepting = asyncio.create_task(server.accept(self._listening))
            while not self._ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _INTERVAL)
                self._page.pause()
            await self._farewell.say()
            accepting.cancel()
            with suppress(OSError):  # a forked process may keep the socket, and so the port, open
                self._listening.shutdown(socket.SHUT_RDWR)
            await asyncio.wait([accepting])
        await server.close_all_connections()


class _Handler(RequestHandler):
    """The common part of all answers."""

    def set_default_headers(self) -> None:
        """Set the headers that isolate the page from other sites."""
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def log_exception(self, *what: Any) -> None:
        """Log an error, but not the address, which would admit everyone who reads the log."""
        if not isinstance(what[1], HTTPError):
            logger.error("The dashboard could not answer a page", exc_info=what[1])


class _Refusal(_Handler, ErrorHandler):
    """The answer to requests that are not admitted, or ask for an unknown path.

    It says what to do to the owner of an old bookmark, and nothing of this dashboard to a stranger.
    """

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write why there is no page, and where its address is."""
        if status_code != 403:
            return super().write_error(status_code, **kwargs)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(_REFUSED)
        return None


class _NoSlash(_Handler):
    """Redirects the address without its last slash, which a chat or a terminal may drop."""

    def get(self) -> None:
        token, query = self.request.path.strip("/"), self.request.query
        self.set_status(301)
        self.set_header("Location", f"{token}/?{query}" if query else f"{token}/")  # behind a proxy

    head = get


class _Index(_Handler):
    def get(self) -> None:
        self.write((_PAGE / "index.html").read_text(encoding="utf-8"))

    head = get  # as link previews request it


class _File(_Handler, StaticFileHandler):
    """The page's own files."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002  (tornado passes it)
        """Let the browser cache the file, and check each time whether it has changed."""
        self.set_header("Cache-Control", "no-cache")


class _Data(_Handler):
    def initialize(self, page: Page, answers: Answers, rate: PollingRate) -> None:
        self._page = page
        self._answers = answers
        self._rate = rate

    def compute_etag(self) -> None:
        """Leave the etag out: no two answers are the same."""

    async def get(self) -> None:
        client, _, cursor = self.get_query_argument("cursor", "").partition(" ")
        client = client or self._rate.newcomer()
        update = await self._answers.updates(cursor)
        again = self._rate.seconds(client, at_most=self._page.patience)
        self.set_header("Content-Type", "application/json")
        with suppress(StreamClosedError):  # the page was closed
            await self.finish(update.encoded(cursor=f"{client} {update.cursor}", again=again))


class _Curves(_Handler):
    """Answers with the points of the curves that a page shows, as octets."""

    def initialize(self, answers: Answers, farewell: Farewell) -> None:
        self._answers = answers
        self._farewell = farewell

    def compute_etag(self) -> None:
        """Leave the etag out, which would read the whole answer."""

    async def get(self) -> None:
        is_last = self.get_query_argument("last", "") == "1"
        wanted, part = self.get_query_argument("want", ""), self.get_query_argument("part", "")
        if part:
            octets = await self._answers.part(wanted, *_steps_in(part))
        else:
            octets = await self._answers.curves(wanted, is_last=is_last)
        self.set_header("Content-Type", "application/octet-stream")
        with suppress(StreamClosedError):  # the page was closed
            await self.finish(octets)
        if is_last:
            self._farewell.fetched(self.get_query_argument("page", ""))


class _End(_Handler):
    """Answers with the final state at the end: a script exits before the page polls again."""

    def initialize(self, answers: Answers, farewell: Farewell) -> None:
        self._answers = answers
        self._farewell = farewell
        self._parked = Parked()

    async def get(self) -> None:
        self._farewell.park(self._parked, self.get_query_argument("page", ""))
        is_answered = False
        try:
            async with asyncio.timeout(_PARKED):
                await self._parked.may_answer.wait()
        except TimeoutError:
            self.set_status(204)
        else:
            with suppress(StreamClosedError):  # the page was closed
                self.set_header("Content-Type", "application/json")
                await self.finish((await self._answers.snapshot()).encoded())
                is_answered = True
        self._farewell.leave(self._parked, is_answered=is_answered)

    def on_connection_close(self) -> None:
        """Stop waiting: the page was closed."""
        self._parked.may_answer.set()


class _Control(_Handler):
    def initialize(self, page: Page) -> None:
        self._page = page

    def post(self, order: str) -> None:
        if not self._page.is_steered:
            raise HTTPError(403)
        if not self._page.steer(order, self.get_query_argument("seen", "")):
            raise HTTPError(404)
        self.set_status(204)


def _steps_in(part: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,18})-(\d{1,18})", part)
    if not found:
        raise HTTPError(400)
    return int(found[1]), int(found[2])
