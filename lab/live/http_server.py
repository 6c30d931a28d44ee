"""An HTTP/1.1 server on asyncio's transports and llhttp's parser, for every port that the lab opens.

It frames: keep-alive, pipelining in order, chunked bodies, `Expect: 100-continue`, limits, malformed requests, slow and
idle clients. What a request means is the handler's business. A handler may return a Response, RESET to drop the
connection, or None to hang: the connection then stays open and silent until the client leaves or `HttpServer.close` is
called. No TLS, no HTTP/2, no upgrades.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import httptools

from lab.live.http_message import RESET, Headers, Request, Response, format_response
from lab.live.listening import bind_tcp

MAX_HEADER_BYTES = 64 * 1024
DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_S = 30.0
"""How long the head of a request may take to arrive, and how long its body may pause."""
IDLE_TIMEOUT_S = 120.0
"""How long a connection may stay open between requests."""
ACCEPT_TURNS = 4
"""So many turns of the loop after it was accepted a connection is there, and can be closed."""
SWEEP_INTERVAL_S = 10.0
LINGER_S = 3.0
MACHINE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})

Handler = Callable[[Request], Awaitable[Response | None]]
Refusal = Callable[[int, str], Response]


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(asyncio.Protocol):
    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._refusal: Response | None = None
        self._peer: tuple[str, int] | None = None
        self._local: tuple[str, int] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._active_s = self._begun_s = 0.0
        self._lingering: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._receiving = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._peer = (peer[0], peer[1]) if isinstance(peer, tuple) else None
        self._local = (local[0], local[1]) if isinstance(local, tuple) else None
        self._active_s = asyncio.get_running_loop().time()
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self.resume_writing()
        if self._lingering is not None:
            self._lingering.cancel()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        self._active_s = asyncio.get_running_loop().time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(400, "upgrades are not supported")
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause.status, str(cause))
            else:
                raise
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed HTTP: {error}")

    def eof_received(self) -> bool:
        return self._task is not None  # answer what was asked before closing

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def sweep(self, now_s: float) -> None:
        """Close the connection if its client has been too slow or idle for too long."""
        if self._task is not None and self._writable is None:
            return  # the answer is ours to give
        if self._receiving:
            begun_s = self._active_s if self._body_bytes else self._begun_s
            if now_s - begun_s > REQUEST_TIMEOUT_S:
                self._refuse(408, "the request did not arrive in time")
        elif self._writable is not None and now_s - self._active_s > REQUEST_TIMEOUT_S:
            self.abort()
        elif self._transport is not None and now_s - self._active_s > IDLE_TIMEOUT_S:
            self._transport.close()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reset()
        self._receiving = True
        self._begun_s = self._active_s

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > MAX_HEADER_BYTES:
            raise _Refused(414, "the request's URL is too long")
        self._count_header_bytes(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header_bytes(len(name) + len(value) + 4)
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        for name, value in self._headers:
            if name.lower() == "content-length" and int(value) > self._server.max_body_bytes:
                raise _Refused(413, "the request body is too large")
            if name.lower() == "expect" and value.lower() == "100-continue" and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._server.max_body_bytes:
            raise _Refused(413, "the request body is too large")
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._receiving = False
        request = Request(
            self._parser.get_method().decode("ascii"),
            self._target.decode("latin-1"),
            self._headers,
            b"".join(self._body),
            self._peer,
            self._local,
            self._parser.get_http_version(),
        )
        self._queue.append((request, self._parser.should_keep_alive()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())
        elif len(self._queue) >= 32 and self._transport is not None:
            self._transport.pause_reading()

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _Refused(431, "the request's headers are too large")

    # serving

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = self._server.refusal(status, message)
        if self._task is None:
            self._send_refusal(self._refusal)

    def _send_refusal(self, refusal: Response) -> None:
        """Answer and close for writing; what the client still sends is read for a moment, or he would see a reset."""
        if self._transport is None or self._lingering is not None:
            return
        self._transport.write(format_response(refusal, head=False, close=True))
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self.abort)

    async def _serve(self) -> None:
        while self._queue:
            request, keep_alive = self._queue.popleft()
            response = await self._server.answer(request)
            if self._transport is None:
                return
            if response is None or self._server.silent:
                return  # hang: nothing more comes on this connection
            if response is RESET:
                self.abort()
                return
            if self._writable is not None:
                await self._writable  # the client does not read; wait before taking more
            self._send(response, head=request.method == "HEAD", close=response.close or not keep_alive)
            if self._transport is None or self._transport.is_closing():
                return
            if len(self._queue) < 32:
                self._transport.resume_reading()
        self._task = None
        if self._refusal is not None:
            self._send_refusal(self._refusal)

    def _send(self, response: Response, *, head: bool, close: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(format_response(response, head=head, close=close))
        if close:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection with a reset."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None and sock.family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


def _reason(error: Exception) -> str:
    """What of a failure is the machine's and can be mended by whoever asks: a full disk, above all."""
    return f": {error.strerror}" if isinstance(error, OSError) and error.errno in MACHINE_ERRORS else ""


def _plain_refusal(status: int, message: str) -> Response:
    return Response(status, [("Content-Type", "text/plain")], f"{message}\n".encode(), close=True)


class HttpServer:
    """Serves one handler on any number of sockets.

    `max_body_bytes` limits a request's body (413 beyond it). `refusal` makes the answers to what never reaches the
    handler: malformed, too large or too slow requests (400, 408, 413, 414, 431).
    """

    def __init__(
        self,
        handler: Handler,
        *,
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        refusal: Refusal = _plain_refusal,
    ) -> None:
        self._handler = handler
        self.max_body_bytes = max_body_bytes
        self.refusal = refusal
        self.silent = False
        self.connections: set[_Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None

    async def answer(self, request: Request) -> Response | None:
        """What the handler answers; a bug in it becomes a 500 and a line on stderr, never a dropped connection."""
        if self.silent:
            return None
        try:
            return await self._handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the edge: a bug must not take the server down, and must be seen
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{request.method} {request.target} failed", "exception": error}
            )
            return Response(500, [("Content-Type", "text/plain")], f"internal error{_reason(error)}\n".encode())

    async def listen_tcp(self, address: str, port: int) -> int:
        """Accept connections at an address; the port (0 asks for any). Raises AddressInUse, EnvironmentFailure."""
        sock = bind_tcp(address, port)
        bound: int = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: _Connection(self), sock=sock, backlog=1024))
        self._schedule_sweep()
        return bound

    async def listen_unix(self, path: str) -> None:
        """Accept connections on a Unix socket, replacing a dead one's file."""
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        old = os.umask(0o177)
        try:
            self._servers.append(
                await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), path, backlog=1024)
            )
        finally:
            os.umask(old)
        self._schedule_sweep()

    def set_silent(self, silent: bool) -> None:
        """Hang: take connections and requests, answer nothing. Lifting it resets the connections that were kept."""
        if self.silent and not silent:
            self._abort_all()
        self.silent = silent

    def stop_listening(self) -> None:
        """Close the listening sockets (new connections are refused) and reset the open connections."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._abort_all()

    async def close(self) -> None:
        """Stop for good."""
        loop = asyncio.get_running_loop()
        for sock in (sock for server in self._servers for sock in server.sockets):
            loop.remove_reader(sock.fileno())
        for _ in range(ACCEPT_TURNS):  # asyncio forgets a connection that it is taking when its server closes
            await asyncio.sleep(0)
        self.stop_listening()
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
            self._abort_all()

    def _abort_all(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now_s = asyncio.get_running_loop().time()
        if not self.silent:
            for connection in list(self.connections):
                connection.sweep(now_s)
        self._schedule_sweep()
