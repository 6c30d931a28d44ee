"""The Lambda Runtime API, 2018-06-01, as one environment's runtime sees it: framing only.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. What a call means is decided by the `RuntimeCalls`
behind it, the environment. A browser could reach the port too: a connection whose first request has another `Host` or
carries a browser's headers is refused.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import httptools

from lab.live.functions.event import Event

PREFIX = b"/2018-06-01/runtime/"
NEXT = PREFIX + b"invocation/next"
NEXT_LINE = b"GET " + NEXT + b" HTTP/1.1\r\n"
END = b"\r\n\r\n"
INIT_ERROR = PREFIX + b"init/error"
INVOCATION = PREFIX + b"invocation/"
MAX_HEADER_BYTES = 2 * 1024 * 1024
"""The client sends a traceback of up to 1 MB in a header."""

_BROWSER_HEADERS = (b"origin", b"referer", b"cookie")


def _answer(status: bytes, body: bytes, *, close: bool = False) -> bytes:
    end = b"Connection: close\r\n" if close else b""
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n" % (status, len(body), end)
        + body
    )


def _error(status: bytes, error_type: bytes, message: bytes, *, close: bool = False) -> bytes:
    body = b'{"errorMessage":"%b","errorType":"%b"}' % (message, error_type)
    return _answer(status, body, close=close)


ACCEPTED = _answer(b"202 Accepted", b'{"status":"OK"}')
TOO_LARGE = _error(
    b"413 Request Entity Too Large",
    b"RequestEntityTooLarge",
    b"Exceeded maximum allowed payload size (6291556 bytes).",
)
WRONG_STATE = _error(b"403 Forbidden", b"InvalidStateTransition", b"State transition is not allowed")
WRONG_REQUEST_ID = _error(b"400 Bad Request", b"InvalidRequestID", b"Invalid request ID")
NOT_FOUND = _error(b"404 Not Found", b"NotFound", b"no such path in the Runtime API 2018-06-01")
REFUSED = _error(b"403 Forbidden", b"Forbidden", b"only this environment's runtime may call this", close=True)
MALFORMED = _error(b"400 Bad Request", b"BadRequest", b"malformed HTTP", close=True)


def invocation(event: Event, deadline_ms: int) -> bytes:
    """The answer to `next`: the event, to be handled until `deadline_ms` since the epoch."""
    context = f"Lambda-Runtime-Client-Context: {event.client_context}\r\n" if event.client_context else ""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {event.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {event.arn}\r\n"
        f"Lambda-Runtime-Trace-Id: {event.trace_id}\r\n{context}"
        f"Content-Length: {len(event.payload)}\r\n\r\n"
    )
    return head.encode("latin-1", "replace") + event.payload


class RuntimeCalls(Protocol):
    """What an environment does with its runtime's calls. All but `next` return the bytes to answer."""

    host: bytes
    max_body_bytes: int

    def opened(self, connection: RuntimeConnection) -> None: ...

    def closed(self, connection: RuntimeConnection) -> None: ...

    def next(self, connection: RuntimeConnection) -> None: ...

    def response(self, request_id: str, body: bytes, content_type: str, *, too_large: bool) -> bytes: ...

    def error(self, request_id: str, body: bytes) -> bytes: ...

    def init_error(self, body: bytes) -> bytes: ...


class RuntimeConnection(asyncio.Protocol):
    """One connection of a runtime; `write` sends an answer."""

    def __init__(self, calls: RuntimeCalls) -> None:
        self._calls = calls
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._trusted = False
        self._in_request = False
        self._host = b""
        self._from_browser = False
        self._url = b""
        self._content_type = "application/json"
        self._expects_continue = False
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._calls.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._calls.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._trusted and not self._in_request and data.startswith(NEXT_LINE) and data.find(END) == len(data) - 4:
            self._calls.next(self)  # half of all requests, and always in these bytes: no need to parse them
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(MALFORMED)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._in_request = True
        self._url = b""
        self._content_type = "application/json"
        self._expects_continue = False
        self._header_bytes = 0
        self._body = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        length = len(name)
        if length == 12 and name.lower() == b"content-type":
            self._content_type = value.decode("latin-1")
        elif length == 6 and name.lower() == b"expect":
            self._expects_continue = True
        elif not self._trusted:
            lower = name.lower()
            if lower == b"host":
                self._host = value
            elif (
                lower in _BROWSER_HEADERS
                or lower.startswith(b"sec-")
                or (lower == b"user-agent" and value.startswith(b"Mozilla"))
            ):
                self._from_browser = True

    def on_headers_complete(self) -> None:
        if not self._trusted:
            self._trusted = self._host == self._calls.host and not self._from_browser
        if not self._trusted:
            self._refuse(REFUSED)
        elif self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(MALFORMED)
        elif self._expects_continue:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= self._calls.max_body_bytes:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._in_request = False
        if self._transport is None or self._transport.is_closing():
            return
        url, method = self._url, self._parser.get_method()
        if url == NEXT and method == b"GET":
            self._calls.next(self)
        elif method != b"POST" or not url.startswith(PREFIX):
            self.write(NOT_FOUND)
        elif url == INIT_ERROR:
            self.write(self._calls.init_error(b"".join(self._body)))
        else:
            self.write(self._invocation_answer(url))

    def _invocation_answer(self, url: bytes) -> bytes:
        request_id, _, verb = url.removeprefix(INVOCATION).decode("latin-1").partition("/")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if verb == "response":
            too_large = self._body_bytes > self._calls.max_body_bytes
            return self._calls.response(request_id, body, self._content_type, too_large=too_large)
        if verb == "error":
            return self._calls.error(request_id, body)
        return NOT_FOUND
