"""The page's server: a thread of its own, which answers and never pushes."""

import asyncio
import json
import logging
import socket
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Application, ErrorHandler, HTTPError, RequestHandler, StaticFileHandler

from rnnr.dashboard._access import AccessControl
from rnnr.dashboard._connections import LimitedServer
from rnnr.dashboard._page import Page
from rnnr.dashboard._polling import PollingRate

__all__ = ["Server"]

logger = logging.getLogger("rnnr.dashboard")

_PAGE = Path(__file__).with_name("page")
_OURS = r"(\w+\.\w+)"
_SCRIPTS = r"(bokeh\.min\.js|bokeh-api\.min\.js)"
_LARGEST_BODY = 1024  # bytes; there is none that anybody has to send
_IDLE_SECONDS = 60.0
_FAREWELL = 1.0  # seconds at most in which pages are told how it ended
_REST = 5.0  # seconds between two looks at whether anybody watches
_TORNADO = ("tornado.access", "tornado.application", "tornado.general")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves a view on a thread of its own, which ends with the process.

    Args:
        view: What the page shows and does.
        listening: Where to listen.
        token: What every address has to begin with.
        names: Names of this host that requests may use.
    """

    def __init__(self, view: Page, listening: socket.socket, token: str, names: set[str]) -> None:
        parked = set[_End]()
        pace, scripts = PollingRate(), _bokeh_folder() / "server" / "static" / "js"
        application = Application(
            [
                (r"/[^/]+", _Cut),
                (r"/[^/]+/", _Page),
                (rf"/[^/]+/page/{_OURS}", _File, {"path": _PAGE}),
                (rf"/[^/]+/bokeh/js/{_SCRIPTS}", _File, {"path": scripts}),
                (r"/[^/]+/data", _Data, {"view": view, "pace": pace}),
                (r"/[^/]+/end", _End, {"view": view, "parked": parked}),
                (r"/[^/]+/control/(\w+)", _Control, {"view": view}),
            ],
            default_handler_class=_Refusal,
            default_handler_args={"status_code": 404},
            log_function=lambda _: None,  # else every question is a line in the user's log
        )
        self._view = view
        self._gate = AccessControl(application, _Refusal, token, names)
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._parked = parked
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
        """Tell whether a record is not of this server: a stranger could fill the log with them."""
        return record.thread != self._thread.ident

    def _run(self) -> None:
        with asyncio.Runner(debug=False, loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = LimitedServer(
            self._gate,
            idle_connection_timeout=_IDLE_SECONDS,
            body_timeout=_IDLE_SECONDS,
            max_body_size=_LARGEST_BODY,
        )
        with self._listening:
            accepting = asyncio.create_task(server.accept(self._listening))
            while not self._ended.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _REST)
                self._view.pause()
            accepting.cancel()
            with suppress(OSError):  # a forked process may hold it, too, and the port with it
                self._listening.shutdown(socket.SHUT_RDWR)
            await asyncio.wait([accepting])
        await self._say_how_it_ended()
        await server.close_all_connections()

    async def _say_how_it_ended(self) -> None:
        parked = list(self._parked)
        for each in parked:
            each.is_wanted.set()
        if parked:
            over = [asyncio.create_task(each.is_over.wait()) for each in parked]
            await asyncio.wait(over, timeout=_FAREWELL)


class _Handler(RequestHandler):
    """What all answers have in common."""

    def set_default_headers(self) -> None:
        """Tell the browser to keep the page to itself."""
        self.clear_header("Server")
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    def log_exception(self, *what: Any) -> None:
        """Log what went wrong, but not the address, which lets in whoever reads the log."""
        if not isinstance(what[1], HTTPError):
            logger.error("The dashboard could not answer a page", exc_info=what[1])


class _Refusal(_Handler, ErrorHandler):
    """What those get who may not come in, or ask for what is not there."""


class _Cut(_Handler):
    """The address without its last slash, as a chat or a terminal may cut it."""

    def get(self) -> None:
        token, query = self.request.path.strip("/"), self.request.query
        self.set_status(301)
        self.set_header("Location", f"{token}/?{query}" if query else f"{token}/")  # behind a proxy

    head = get


class _Page(_Handler):
    def get(self) -> None:
        self.write((_PAGE / "index.html").read_text(encoding="utf-8"))

    head = get  # as what makes a preview of a link may ask


class _File(_Handler, StaticFileHandler):
    """The page's own files, and Bokeh's."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002  (tornado passes it)
        """Let the browser keep the file, if it asks whether it has changed."""
        self.set_header("Cache-Control", "no-cache")


class _Data(_Handler):
    def initialize(self, view: Page, pace: PollingRate) -> None:
        self._view = view
        self._pace = pace

    def compute_etag(self) -> None:
        """Leave it out: no two answers are the same."""

    def get(self) -> None:
        page, _, cursor = self.get_query_argument("cursor", "").partition(" ")
        page = page or self._pace.newcomer()
        news, cursor = self._view.updates(cursor)
        again = self._pace.seconds(page, at_most=self._view.patience)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({**news, "cursor": f"{page} {cursor}", "again": again}))


class _End(_Handler):
    """Waits for the end, and tells the page how it was: a script is gone before a page asks."""

    def initialize(self, view: Page, parked: set["_End"]) -> None:
        self._view = view
        self._parked = parked
        self.is_wanted = asyncio.Event()
        self.is_over = asyncio.Event()

    async def get(self) -> None:
        self._parked.add(self)
        await self.is_wanted.wait()
        self._parked.discard(self)
        with suppress(StreamClosedError):  # the page has left
            self.set_header("Content-Type", "application/json")
            await self.finish(json.dumps(self._view.snapshot()))
        self.is_over.set()

    def on_connection_close(self) -> None:
        """Wait no longer: the page has left."""
        self.is_wanted.set()


class _Control(_Handler):
    def initialize(self, view: Page) -> None:
        self._view = view

    def post(self, order: str) -> None:
        if not self._view.is_steered:
            raise HTTPError(403)
        if not self._view.steer(order):
            raise HTTPError(404)
        self.set_status(204)


def _bokeh_folder() -> Path:
    """Find Bokeh without importing it, which takes half a second; its files are all we need."""
    spec = find_spec("bokeh")
    return Path(*(spec.submodule_search_locations or () if spec else ()))
