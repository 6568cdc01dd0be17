"""Who may come in: those who have the address, on the host that it names."""

import re
from collections.abc import Awaitable, Collection
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.routing import Router
from tornado.web import Application, RequestHandler

__all__ = ["AccessControl"]

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_SCOPED = re.compile(r"(\[[0-9A-Fa-f:.]+)%[A-Za-z0-9._-]+(\](?::[0-9]{1,5})?)")


class AccessControl(Router):
    """Lets requests through to an application whose address has the token, and refuses others.

    The token is the first part of the path, so every address carries it: the page, its files, the
    data, the buttons. A page of another site that has its name resolve to this machine (DNS
    rebinding) shows in the ``Host`` header, and one that asks from elsewhere in ``Origin``.

    Args:
        application: What answers those who may come in.
        refusal: What answers the others; it takes a ``status_code``.
        token: What the address has to begin with.
        names: Names under which this host is asked for; numbers always are.
    """

    def __init__(
        self,
        application: Application,
        refusal: type[RequestHandler],
        token: str,
        names: Collection[str],
    ) -> None:
        self._application = application
        self._refusal = refusal
        self._token = token.encode()
        self._names = {name.lower() for name in names}

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Return what takes in a request."""
        return _Unscoped(super().start_request(server_conn, request_conn))

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """Return what answers a request."""
        if self._admits(request):
            return self._application.find_handler(request, **kwargs)
        return self._application.get_handler_delegate(request, self._refusal, {"status_code": 403})

    def _admits(self, request: HTTPServerRequest) -> bool:
        token = request.path.split("/")[1:2]
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        return (
            compare_digest("".join(token).encode(), self._token)
            and self._is_ours(host)
            and (origin is None or _host_of(origin) == host.lower())
        )

    def _is_ours(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found[1].strip("[]").lower() if found else ""
        return name in self._names or _is_number(name)


class _Unscoped(HTTPMessageDelegate):
    """Takes the interface out of the host, ``[fe80::1%eth0]``, which is of use to the sender alone.

    Some programs send it, and tornado understands no such request.
    """

    def __init__(self, delegate: HTTPMessageDelegate) -> None:
        self.data_received = delegate.data_received  # type: ignore[method-assign]
        self.finish = delegate.finish  # type: ignore[method-assign]
        self.on_connection_close = delegate.on_connection_close  # type: ignore[method-assign]
        self._delegate = delegate

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        if found := _SCOPED.fullmatch(headers.get("Host", "")):
            headers["Host"] = found[1] + found[2]
        return self._delegate.headers_received(start_line, headers)


def _host_of(origin: str) -> str:
    return origin.lower().partition("://")[2]


def _is_number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
