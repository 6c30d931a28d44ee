"""A lean HTTP/1.1 client with a keep-alive pool, for the calls that the lab's own parts make to each other.

One `HttpClient` talks to one address (a Unix socket or TCP). Requests are `lab.live.http_message.Request`-like values
in, `Response` values out. A request on a kept connection that dies before a byte of the answer came is tried once
more on a new one only if it is marked idempotent: a write's outcome would be unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from lab.live.http_message import Headers, Response

TOKEN_HEADER = "x-lab-token"


class CallFailed(Exception):
    """No answer came. `maybe_executed` is False only if the request certainly did not reach the other side."""

    def __init__(self, message: str, *, maybe_executed: bool) -> None:
        super().__init__(message)
        self.maybe_executed = maybe_executed


@dataclass(frozen=True)
class UnixAddress:
    """A Unix socket's path."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class TcpAddress:
    """A TCP address; `source` is the local address to connect from, `token` goes with each request as x-lab-token."""

    host: str
    port: int
    source: str | None = None
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self.idle_since_s = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._head = False
        self.started = False
        self.reusable = True

    @property
    def usable(self) -> bool:
        return self.reusable and self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, preface: Callable[[int], bytes]) -> None:
        assert self._transport is not None
        self._transport.write(preface(self._transport.get_extra_info("sockname")[1]))

    def send(self, data: bytes, *, head: bool = False) -> asyncio.Future[Response]:
        assert self._transport is not None
        self._begin()
        self._head = head
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self.started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.reusable = False
            self._fail(f"malformed answer: {error}")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(f"the connection was closed ({exc or 'end of stream'})")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if self._head:
            self._finish()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if 100 <= self._parser.get_status_code() < 200:
            self._headers, self._body = [], []
            return
        self._finish()

    def _finish(self) -> None:
        self.reusable = self._parser.should_keep_alive() and not self._head
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Response(self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def _fail(self, message: str) -> None:
        self.reusable = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(CallFailed(message, maybe_executed=True))

    def expire(self, timeout_s: float) -> None:
        """Give up waiting for an answer."""
        self._fail(f"no answer within {timeout_s:g} s")

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()


class HttpClient:
    """Calls to one address, over at most `limit` connections at once.

    `preface` makes what each connection begins with, from the local port of a TCP one (`lab.core.proxy_protocol`).
    """

    def __init__(
        self,
        address: Address,
        *,
        limit: int = 64,
        connect_timeout_s: float = 5.0,
        idle_limit_s: float = 30.0,
        preface: Callable[[int], bytes] | None = None,
    ) -> None:
        self.address = address
        self._preface = preface
        self._idle_limit_s = idle_limit_s
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(limit)
        self._connect_timeout_s = connect_timeout_s

    async def call(
        self,
        method: str,
        target: str,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        timeout_s: float = 30.0,
        idempotent: bool = False,
    ) -> Response:
        """Send one request and return its answer, of any status. Raises CallFailed."""
        lines = [f"{method} {target} HTTP/1.1\r\n"]
        names = set()
        for name, value in headers or []:
            names.add(name.lower())
            lines.append(f"{name}: {value}\r\n")
        if isinstance(self.address, TcpAddress) and self.address.token is not None:
            lines.append(f"{TOKEN_HEADER}: {self.address.token}\r\n")
        if "host" not in names:
            lines.append("Host: localhost\r\n")
        if "content-length" not in names and "transfer-encoding" not in names:
            lines.append(f"Content-Length: {len(body)}\r\n")
        lines.append("\r\n")
        data = "".join(lines).encode("latin-1", "replace") + body
        async with self._slots:
            while self._idle:
                connection = self._idle.pop()
                if not connection.usable:
                    continue
                if asyncio.get_running_loop().time() - connection.idle_since_s > self._idle_limit_s:
                    connection.close()  # the other side may be about to close it: a write's outcome would be unknown
                    continue
                try:
                    return await self._exchange(connection, data, method, timeout_s)
                except CallFailed:
                    if connection.started or not idempotent:
                        raise
            return await self._exchange(await self._connect(), data, method, timeout_s)

    async def _exchange(self, connection: _Connection, data: bytes, method: str, timeout_s: float) -> Response:
        waiter = connection.send(data, head=method == "HEAD")
        timer = asyncio.get_running_loop().call_later(timeout_s, connection.expire, timeout_s)
        try:
            response = await waiter
        finally:
            timer.cancel()
            if connection.usable and waiter.done() and not waiter.cancelled():
                connection.idle_since_s = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.close()
        return response

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if isinstance(self.address, UnixAddress):
                    _, connection = await loop.create_unix_connection(_Connection, self.address.path)
                else:
                    local = (self.address.source, 0) if self.address.source else None
                    _, connection = await loop.create_connection(
                        _Connection, self.address.host, self.address.port, local_addr=local
                    )
        except (OSError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._connect_timeout_s:g} s"
            raise CallFailed(f"cannot connect to {self.address}: {why}", maybe_executed=False) from error
        if self._preface is not None:
            connection.begin(self._preface)
        return connection

    def close(self) -> None:
        """Drop the idle connections."""
        while self._idle:
            self._idle.pop().close()
