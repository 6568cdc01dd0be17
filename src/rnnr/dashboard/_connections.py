"""Listen on a port, and limit the number of connections."""

import asyncio
import errno
import os
import socket
from collections import OrderedDict
from ipaddress import ip_address
from operator import itemgetter
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

from rnnr._errors import wrong_value

__all__ = ["LimitedServer", "bound", "reached_as"]

# EINVAL is raised for a link-local address without an interface.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EINVAL)
_LEAST_CONNECTIONS, _MOST_CONNECTIONS = 8, 100
_RETRY = 0.1  # seconds after which to accept again, if the process has too many open files


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine.

    Raises:
        ValueError: If the host is not an address of this machine.
        OSError: If the port is in use, or may not be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=itemgetter(0))  # "localhost" may have two
        is_dual = address[0] == "::" and socket.has_dualstack_ipv6()  # and IPv4, as "::" promises
        # the whole tuple: a link-local address has its interface at the end
        listening = socket.create_server(
            address, family=family, backlog=1024, dualstack_ipv6=is_dual
        )
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno in _NOT_HERE:
            raise _wrong_host(host) from error
        why = os.strerror(error.errno or 0)
        text = f"port {port} of {host} must be free, got {why!r}; port=0 picks a free one"
        raise OSError(error.errno, text) from error
    except ValueError as error:  # an impossible name
        raise _wrong_host(host) from error
    listening.setblocking(False)
    return listening


def reached_as(host: str, listening: socket.socket) -> str:
    """Return the host for an address that a browser on this machine can open.

    For all addresses of the machine it is the machine's name, if that resolves to it, or else the
    loopback address.
    """
    family, address = listening.family, listening.getsockname()[0]
    if not ip_address(address).is_unspecified:
        return f"[{host}]" if ":" in host else host
    name = socket.gethostname()
    is_dual = family == socket.AF_INET6 and not listening.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    if _resolves_to_here(name, socket.AF_UNSPEC if is_dual else family):
        return name
    return "127.0.0.1" if family == socket.AF_INET else "[::1]"


def _resolves_to_here(name: str, family: int) -> bool:
    try:
        for kind, *_, address in socket.getaddrinfo(name, 0, family, socket.SOCK_STREAM):
            with socket.socket(kind, socket.SOCK_STREAM) as trial:
                trial.bind(address)  # possible only for an address of this machine
    except (OSError, UnicodeError):
        return False
    return True


class LimitedServer(HTTPServer):
    """A server that closes its oldest connection when there are too many.

    The training needs the files that a process may have open, too.
    """

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._most = _most_connections()
        self._open: OrderedDict[IOStream, None] = OrderedDict()

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections until cancelled; tornado's own loop spins when files run out.

        A connection is handled in the same step of the event loop: ``sock_accept``, cancelled in
        the next step, would lose a connection and leave its socket open.
        """
        while True:
            await _readable(listening)
            try:
                connection, address = listening.accept()
                self.handle_stream(IOStream(connection), address)
            except BlockingIOError:  # another process that listens on the socket was faster
                pass
            except OSError:
                self._close_oldest()
                await asyncio.sleep(_RETRY)
            await asyncio.sleep(0)  # serve the open connections first, however many are waiting

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


async def _readable(listening: socket.socket) -> None:
    """Wait until there is a connection to accept."""
    loop, ready = IOLoop.current(), asyncio.Event()
    loop.add_handler(listening, lambda *_: ready.set(), IOLoop.READ)
    try:
        await ready.wait()
    finally:
        loop.remove_handler(listening)


def _wrong_host(host: str) -> ValueError:
    cure = 'write "127.0.0.1" for this machine only, or "0.0.0.0" for all machines'
    return wrong_value("host", "an address of this machine", host, cure)


def _most_connections() -> int:
    """Return the most connections to keep: a part of the files that the process may open."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # pragma: no cover  (Windows)
        return _MOST_CONNECTIONS
    most, _ = getrlimit(RLIMIT_NOFILE)
    if most == RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(_LEAST_CONNECTIONS, min(_MOST_CONNECTIONS, most // 8))
