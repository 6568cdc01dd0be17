"""Requests as any program may send them, well-formed or not, and what came back."""

import json
import socket
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

__all__ = ["Answer", "connected", "data", "got", "sent", "token_of"]

_PATIENCE = 30.0  # seconds, so that a test that goes wrong ends


class Answer(NamedTuple):
    """What a server sent; status 0 if it closed the connection without a word."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw: bytes

    @property
    def is_refused(self) -> bool:
        """Whether it was turned away: 403, or not even understood (400) and closed."""
        return self.status in (0, 400, 403)


def token_of(address: str) -> str:
    return urlsplit(address).path.strip("/")


def connected(address: str) -> socket.socket:
    parts = urlsplit(address)
    assert parts.port is not None
    return socket.create_connection(("127.0.0.1", parts.port), timeout=_PATIENCE)


def sent(address: str, request: bytes) -> Answer:
    """Send bytes to where an address is, and return all that comes back."""
    received = b""
    with connected(address) as connection, suppress(ConnectionError):
        connection.sendall(request)
        while (chunk := connection.recv(1 << 16)) and not _is_whole(received + chunk):
            received += chunk
        received += chunk
    return _parsed(received)


def got(
    address: str,
    path: str | None = None,
    method: str = "GET",
    *headers: str,
    host: str | None = None,
    version: str = "HTTP/1.1",
) -> Answer:
    """Ask for what is below an address, or for another target that begins with a slash."""
    parts = urlsplit(address)
    target = path if path is not None and path[:1] == "/" else parts.path + (path or "")
    lines = [
        f"{method} {target} {version}",
        f"Host: {parts.netloc if host is None else host}",
        *headers,
    ]
    if not any(header.startswith("Connection:") for header in headers):
        lines.append("Connection: close")
    return sent(address, "\r\n".join([*lines, "", ""]).encode("latin-1"))


def data(address: str, cursor: str | None = None) -> dict[str, Any]:
    """Ask as a page does; what is not strict JSON is an error."""
    query = "" if cursor is None else f"?cursor={quote(cursor, safe='')}"
    answer = got(address, f"data{query}")
    assert answer.status == 200, answer.raw
    parsed: dict[str, Any] = json.loads(answer.body, parse_constant=_refuse)
    return parsed


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _is_whole(raw: bytes) -> bool:
    """Tell whether an answer is all there, though its connection stays open."""
    answer = _parsed(raw)
    length = int(answer.headers.get("content-length", -1))
    return answer.headers.get("connection") != "close" and len(answer.body) == length


def _parsed(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return Answer(int(first.split()[1]) if first else 0, headers, body, raw)
