"""Admit requests that have the token of the address, to the host that it names."""

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
    """Routes requests that have the token to an application, and rejects others.

    The token is the first part of the path, so every address has it: the page, its files, the data,
    the buttons. The ``Host`` header reveals a page of another site whose name resolves to this
    machine (DNS rebinding), the ``Origin`` header a request from a page of another site.

    Args:
        application: Handles the requests that are admitted.
        refusal: Handles the others; it takes a ``status_code``.
        token: First part of every path.
        names: Host names to accept; IP addresses are always accepted.
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
        """Return the delegate that receives a request."""
        return _Unscoped(super().start_request(server_conn, request_conn))

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """Return the handler of a request."""
        if self._admits(request):
            return self._application.find_handler(request, **kwargs)
        return self._application.get_handler_delegate(request, self._refusal, {"status_code": 403})

    def _admits(self, request: HTTPServerRequest) -> bool:
        token = request.path.split("/")[1:2]
        host = request.headers.get("Host", "")
        origin = request.headers.get("Origin")
        return (
            compare_digest("".join(token).encode(), self._token)
            and self._is_accepted(host)
            and (origin is None or _host_of(origin) == host.lower())
        )

    def _is_accepted(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found[1].strip("[]").lower() if found else ""
        return name in self._names or _is_ip_address(name)


class _Unscoped(HTTPMessageDelegate):
    """Removes the interface from the host, as in ``[fe80::1%eth0]``: only the sender needs it.

    Some programs send it, and tornado rejects such a request.
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


def _is_ip_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
