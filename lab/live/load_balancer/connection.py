"""One client connection of a load balancer: PROXY preface, HTTP/1.1 framing and limits, answers in order.

What a request means is `answering`'s business. Bodies are gathered whole before they go on (AWS streams them to
addresses); HTTP/2 and WebSockets are not offered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from email.utils import formatdate
from typing import TYPE_CHECKING

import httptools

from lab.core import proxy_protocol
from lab.core.alb_response import (
    HEADER_BYTES_MAX,
    HEADERS_BYTES_MAX,
    PHRASES,
    REQUEST_LINE_BYTES_MAX,
    Answer,
    own_answer,
)
from lab.core.proxy_protocol import MalformedPreface, Preface
from lab.live.clock import now_ms
from lab.live.load_balancer.exchange import AlbRequest

if TYPE_CHECKING:
    from lab.live.load_balancer.listening_port import ListeningPort

BODY_BYTES_MAX = 64 * 1024 * 1024
"""The largest request body that the lab forwards to an address; AWS has no such limit."""
PIPELINED_MAX = 32

_date: tuple[int, str] = (0, "")


def http_date() -> str:
    """The Date header's value now."""
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def format_answer(answer: Answer, *, head: bool, close: bool, cookies: list[str]) -> bytes:
    """The bytes of an answer on the wire."""
    phrase = answer.phrase or PHRASES.get(answer.status, "Unknown")
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    names = set()
    for name, value in answer.headers:
        names.add(name.lower())
        lines.append(f"{name}: {value}")
    lines += [f"Set-Cookie: {cookie}" for cookie in cookies]
    if "date" not in names:
        lines.append(f"Date: {http_date()}")
    bodiless = answer.status in (204, 304)
    if not bodiless and "content-length" not in names:
        lines.append(f"Content-Length: {len(answer.body)}")
    lines.append("Connection: close" if close else "Connection: keep-alive")
    wire = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return wire if head or bodiless else wire + answer.body


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class AlbConnection(asyncio.Protocol):
    """A client's connection. `last_active_s` is by the loop's clock; `busy` while a request is being answered."""

    def __init__(
        self, port: ListeningPort, preface: Preface | None = None, peer: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[AlbRequest, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._refusal: int | None = None
        self._prefaced = preface is not None
        self._client = peer
        self._id = f"TID_{secrets.token_hex(16)}"
        self._one_way_s = 0.0
        self._travelled = False
        self._held = b""
        self._tls: tuple[str, str, str] | None = None
        self.last_active_s = self._opened_s = port.loop.time()
        if preface is not None:
            self._on_preface(preface)
        self.reset()

    @property
    def busy(self) -> bool:
        return self._task is not None

    def reset(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._prefaced:
            self._client = transport.get_extra_info("peername")[:2]
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            cipher = tls.cipher()
            self._tls = (cipher[0] if cipher else "-", tls.version() or "-", self._port.server_name(tls) or "-")
        self._port.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.connections.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self.last_active_s = self._port.loop.time()
        if self._refusal is not None or self._port.hanging:
            return
        if not self._prefaced:
            data = self._held + data
            try:
                preface = proxy_protocol.parse(data)
            except MalformedPreface:
                self.abort()
                return
            if preface is None:
                self._held = data
                return
            self._prefaced, self._held = True, b""
            self._on_preface(preface)
            data = data[preface.length :]
            if not data:
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refusal = 0  # the request is answered as it stands; what follows it is not HTTP/1.1
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _Refused):
                raise
            self._refuse(cause.status)
        except httptools.HttpParserError:
            self._refuse(400)

    def _on_preface(self, preface: Preface) -> None:
        self._client = preface.source or self._client
        self._one_way_s = self._port.one_way_s(preface)

    def eof_received(self) -> bool:
        return False  # a client that ends its side has left, for AWS's load balancers too (460 in the access log)

    # httptools callbacks

    def on_message_begin(self) -> None:
        self.reset()

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > REQUEST_LINE_BYTES_MAX:
            raise _Refused(400)

    def on_header(self, name: bytes, value: bytes) -> None:
        size = len(name) + len(value) + 4
        self._header_bytes += size
        if size > HEADER_BYTES_MAX or self._header_bytes > HEADERS_BYTES_MAX:
            raise _Refused(400)
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name == "content-length" and int(value) > BODY_BYTES_MAX:
                raise _Refused(413)
            if name == "expect" and value.lower() == "100-continue" and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            raise _Refused(413)
        self._body.append(body)

    def on_message_complete(self) -> None:
        upgrade = self._parser.should_upgrade()
        websocket = upgrade and any(name == "upgrade" and value.lower() == "websocket" for name, value in self._headers)
        request = AlbRequest(
            self._parser.get_method().decode("ascii"),
            self._target.decode("latin-1"),
            self._headers,
            b"".join(self._body) if self._body else b"",
            self._parser.get_http_version(),
            self._client,
            now_ms(),
            self._port.loop.time(),
            self._header_bytes + self._body_bytes + len(self._target) + 16,
            websocket,
            self._tls,
            self._id,
        )
        self._queue.append((request, self._parser.should_keep_alive() and not upgrade))
        if self._task is None:
            self._task = self._port.loop.create_task(self._serve())
        elif len(self._queue) >= PIPELINED_MAX and self._transport is not None:
            self._transport.pause_reading()

    # serving

    def _refuse(self, status: int) -> None:
        self._refusal = status
        if self._task is None:
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal and self._transport is not None:
            answer = own_answer(self._refusal)
            self._transport.write(format_answer(answer, head=False, close=True, cookies=[]))
            self._transport.close()
            now_s = self._port.loop.time()
            self._port.refused(AlbRequest.unreadable(self._client, now_ms(), now_s, self._tls, self._id), answer)

    async def _serve(self) -> None:
        while self._queue:
            request, keep_alive = self._queue.popleft()
            if self._one_way_s:
                await asyncio.sleep(self._arrival_s())
            made = await self._port.answer(request, self)
            if self._one_way_s and made is not None:
                await asyncio.sleep(self._one_way_s)
            if made is None or self._transport is None:
                return  # the client has left, or nothing more comes on this connection
            answer, cookies = made
            old = self._port.loop.time() - self._opened_s >= self._port.keep_alive_s
            close = answer.close or not keep_alive or old
            wire = format_answer(answer, head=request.method == "HEAD", close=close, cookies=cookies)
            self._transport.write(wire)
            self.last_active_s = self._port.loop.time()
            if close:
                self._transport.close()
                return
            if len(self._queue) < PIPELINED_MAX:
                self._transport.resume_reading()
        self._task = None
        if self._refusal is not None:
            self._send_refusal()

    def _arrival_s(self) -> float:
        """How long a request is on its way: the connection's first after a round trip for TCP, and one for TLS."""
        first, self._travelled = not self._travelled, True
        round_trips = (2 if self._tls is not None else 1) if first else 0
        return self._one_way_s * (1 + 2 * round_trips)

    def abort(self) -> None:
        """Drop the connection with a reset."""
        if self._transport is not None:
            self._transport.abort()
