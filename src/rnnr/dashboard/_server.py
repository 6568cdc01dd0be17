"""The page's server: a thread of its own, which answers and never pushes."""

import asyncio
import errno
import json
import logging
import socket
import threading
from collections import OrderedDict
from contextlib import suppress
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.web import Application, ErrorHandler, HTTPError, RequestHandler, StaticFileHandler

from rnnr.dashboard._gate import Gate
from rnnr.dashboard._pace import Pace
from rnnr.dashboard._view import View
from rnnr.errors import wrong_value

__all__ = ["Server", "bound"]

logger = logging.getLogger("rnnr.dashboard")

_PAGE = Path(__file__).with_name("page")
_OURS = r"(\w+\.\w+)"
_SCRIPTS = r"(bokeh\.min\.js|bokeh-api\.min\.js)"
_LEAST_CONNECTIONS, _MOST_CONNECTIONS = 8, 100
_LARGEST_BODY = 1024  # bytes; there is none that anybody has to send
_IDLE_SECONDS = 60.0
_RETRY = 0.1  # seconds after which to accept again, when the process has too many files open
_REST = 5.0  # seconds between two looks at whether anybody watches
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine.

    Raises:
        ValueError: If the host is no address of this machine.
        OSError: If the port is in use, or may not be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=itemgetter(0))  # "localhost" may have two
        listening = socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise _wrong_host(host) from error
        text = f"port {port} of {host} must be free ({error.strerror}); port=0 picks a free one"
        raise OSError(error.errno, text) from error
    except ValueError as error:  # a name that cannot be one
        raise _wrong_host(host) from error
    listening.setblocking(False)
    return listening


class Server:
    """Serves a view on a thread of its own, which ends with the process.

    Args:
        view: What the page shows and does.
        listening: Where to listen.
        token: What every address has to begin with.
        names: Names of this host that requests may use.
    """

    def __init__(self, view: View, listening: socket.socket, token: str, names: set[str]) -> None:
        pace, scripts = Pace(), _bokeh_folder() / "server" / "static" / "js"
        application = Application(
            [
                (r"/[^/]+/", _Page),
                (rf"/[^/]+/page/{_OURS}", _File, {"path": _PAGE}),
                (rf"/[^/]+/bokeh/js/{_SCRIPTS}", _File, {"path": scripts}),
                (r"/[^/]+/data", _Data, {"view": view, "pace": pace}),
                (r"/[^/]+/control/(\w+)", _Control, {"view": view}),
            ],
            default_handler_class=_Refusal,
            default_handler_args={"status_code": 404},
            log_function=lambda _: None,  # else every question is a line in the user's log
        )
        self._view = view
        self._gate = Gate(application, _Refusal, token, names)
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="rnnr dashboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(timeout=5)

    def _run(self) -> None:
        with asyncio.Runner(debug=False, loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = _LimitedServer(
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
                self._view.rest()
            accepting.cancel()
            await asyncio.wait([accepting])
        await server.close_all_connections()


class _LimitedServer(HTTPServer):
    """A server that closes its oldest connection for a new one, when there are too many.

    The files that a process may have open are the training's, too.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._most = _most_connections()
        self._open: OrderedDict[IOStream, None] = OrderedDict()

    async def accept(self, listening: socket.socket) -> None:
        """Take in connections until cancelled; tornado's own way spins when files run out."""
        while True:
            try:
                connection, address = await asyncio.get_running_loop().sock_accept(listening)
                self.handle_stream(IOStream(connection), address)
            except OSError:
                self._close_oldest()
                await asyncio.sleep(_RETRY)
            await asyncio.sleep(0)  # those who are in come first, however many stand outside

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        for other in [other for other in self._open if other.closed()]:
            del self._open[other]
        if len(self._open) >= self._most:
            self._close_oldest()
        self._open[stream] = None
        super().handle_stream(stream, address)

    def _close_oldest(self) -> None:
        if self._open:
            self._open.popitem(last=False)[0].close()


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


class _Page(_Handler):
    def get(self) -> None:
        self.write((_PAGE / "index.html").read_text(encoding="utf-8"))


class _File(_Handler, StaticFileHandler):
    """The page's own files, and Bokeh's."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002  (tornado passes it)
        """Let the browser keep the file, if it asks whether it has changed."""
        self.set_header("Cache-Control", "no-cache")


class _Data(_Handler):
    def initialize(self, view: View, pace: Pace) -> None:
        self._view = view
        self._pace = pace

    def compute_etag(self) -> None:
        """Leave it out: no two answers are the same."""

    def get(self) -> None:
        page, _, cursor = self.get_query_argument("cursor", "").partition(" ")
        page = page or self._pace.newcomer()
        news, cursor = self._view.news(cursor)
        again = self._pace.seconds(page, hurried=self._view.is_behind)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({**news, "cursor": f"{page} {cursor}", "again": again}))


class _Control(_Handler):
    def initialize(self, view: View) -> None:
        self._view = view

    def post(self, order: str) -> None:
        if not self._view.is_steered:
            raise HTTPError(403)
        if not self._view.steer(order):
            raise HTTPError(404)
        self.set_status(204)


def _wrong_host(host: str) -> ValueError:
    cure = '"127.0.0.1" is reached from this machine alone, "0.0.0.0" from all'
    return wrong_value("host", "an address of this machine", host, cure)


def _most_connections() -> int:
    """Return a part of the files that the process may have open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # pragma: no cover  (Windows)
        return _MOST_CONNECTIONS
    most, _ = getrlimit(RLIMIT_NOFILE)
    if most == RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(_LEAST_CONNECTIONS, min(_MOST_CONNECTIONS, most // 8))


def _bokeh_folder() -> Path:
    """Find Bokeh without importing it, which takes half a second; its files are all we need."""
    spec = find_spec("bokeh")
    return Path(*(spec.submodule_search_locations or () if spec else ()))
