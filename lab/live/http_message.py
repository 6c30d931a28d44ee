"""HTTP requests and responses as the lab's servers and clients pass them around, and a response's bytes on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """One request. `target` is as on the request line; `headers` keep their case, order and repetitions."""

    method: str
    target: str
    headers: Headers
    body: bytes
    peer: tuple[str, int] | None
    local: tuple[str, int] | None
    http_version: str = "1.1"

    def header(self, name: str) -> str | None:
        """The first value of a header, by name without regard to case."""
        return first_value(self.headers, name)

    @property
    def path(self) -> str:
        """The target up to the question mark, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark, still percent-encoded; "" without one."""
        return self.target.partition("?")[2]


@dataclass(slots=True)
class Response:
    """One response. The server adds Content-Length, and Connection where it closes."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    close: bool = False

    def header(self, name: str) -> str | None:
        """The first value of a header, by name without regard to case."""
        return first_value(self.headers, name)


RESET = Response(0, close=True)
"""What a handler returns to have the connection reset, as by an unreachable network."""


def first_value(headers: Headers, name: str) -> str | None:
    """The first value of a header, by name without regard to case."""
    name = name.lower()
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


def json_response(status: int, body: bytes, headers: Headers | None = None) -> Response:
    """A JSON response from ready bytes."""
    return Response(status, [("Content-Type", "application/json"), *(headers or [])], body)


def format_response(response: Response, *, head: bool, close: bool) -> bytes:
    """The bytes of a response on the wire."""
    reason = REASONS.get(response.status, b"Unknown")
    parts = [b"HTTP/1.1 %d %b\r\n" % (response.status, reason)]
    for name, value in response.headers:
        parts.append(f"{name}: {value}\r\n".encode("latin-1", "replace"))
    if response.status >= 200 and response.status != 204 and not (head and response.header("content-length")):
        parts.append(b"Content-Length: %d\r\n" % len(response.body))
    if close:
        parts.append(b"Connection: close\r\n")
    parts.append(b"\r\n")
    if not head and response.status != 204:
        parts.append(response.body)
    return b"".join(parts)
