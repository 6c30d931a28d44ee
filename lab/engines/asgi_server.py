"""A small ASGI server on a Unix socket: HTTP/1.1 with keep-alive, for one trusted client, the lab itself.

It takes requests whole (bodies in memory, pipelined requests one after another), streams answers, and knows no TLS,
HTTP/2, websockets or lifespan. Beside a general server it starts in a few milliseconds and costs a tenth per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_PIPELINE_LIMIT = 16


class _Exchange:
    """One request and its answer: the ASGI `receive` and `send`."""

    def __init__(self, connection: _Connection, scope: Scope, body: bytes, keep_alive: bool) -> None:
        self._connection, self._body = connection, body
        self.scope, self.keep_alive = scope, keep_alive
        self.started = self.finished = self._chunked = False
        self._received = False
        self._head: bytes = b""

    async def receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._connection.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            body = b""
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        head, self._head = self._head, b""
        self._connection.write(head + body)
        self.finished = not more
        if more:
            await self._connection.drained()

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        framed = status < 200 or status in (204, 304) or self.scope["method"] == "HEAD"
        for name, value in message.get("headers", ()):
            lowered = name.lower()
            if lowered in (b"connection", b"transfer-encoding"):
                continue
            framed = framed or lowered == b"content-length"
            parts.append(b"%b: %b\r\n" % (name, value))
        if not framed:
            self._chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        self._head = b"".join(parts)
        self.started = True


class _Connection(asyncio.Protocol):
    def __init__(self, app: App, connections: set[_Connection]) -> None:
        self._app, self._connections = app, connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        self.closed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.close()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if any(name == b"expect" for name, _ in self._headers):
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        raw_path, _, query = self._url.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": ("127.0.0.1", 0),
            "server": ("localhost", 4566),
        }
        self._queue.append(_Exchange(self, scope, b"".join(self._body), self._parser.should_keep_alive()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())
        elif len(self._queue) >= _PIPELINE_LIMIT and self._transport is not None:
            self._transport.pause_reading()

    # answering

    async def _serve(self) -> None:
        while self._queue and self._transport is not None:
            exchange = self._queue.popleft()
            await self._answer(exchange)
            if not exchange.keep_alive or not exchange.finished:
                self.close()
                break
            if len(self._queue) < _PIPELINE_LIMIT and self._transport is not None:
                self._transport.resume_reading()
        self._task = None

    async def _answer(self, exchange: _Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception:  # the edge: a bug of the engine must not take its process down, and must be seen
            traceback.print_exc(file=sys.stderr)
            if not exchange.started:
                await exchange.send({"type": "http.response.start", "status": 500, "headers": []})
                await exchange.send({"type": "http.response.body", "body": b"internal error\n"})

    def write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    async def drained(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def serve_unix(app: App, path: str, stopping: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Serve `app` at a Unix socket of mode 0600 until `stopping`; a dead server's socket file is replaced."""
    connections: set[_Connection] = set()
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    old = os.umask(0o177)
    try:
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(app, connections), path, backlog=1024
        )
    finally:
        os.umask(old)
    on_ready()
    await stopping.wait()
    server.close()
    for connection in list(connections):
        connection.close()
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
