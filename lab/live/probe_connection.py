"""One probe on the wire: connects, perhaps speaks TLS, sends the request, reads as much as the check needs.

Limits and verdicts are `lab.core.health_probe`'s; who probes when is `probes`' business.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time

import httptools

from lab.core.health_check import HealthCheck
from lab.core.health_probe import (
    BODY_LIMIT_MS,
    CLOSED_EARLY,
    CONNECT_LIMIT_MS,
    CONNECTED,
    HEADER_BYTES_MAX,
    NO_BODY,
    NO_RESPONSE,
    REFUSED,
    RESPONSE_LIMIT_MS,
    SEARCHED_BYTES,
    TCP_CONNECT_LIMIT_MS,
    TIMED_OUT,
    TOO_LARGE,
    ProbeResult,
    Timings,
    body_verdict,
    is_tls,
    request_bytes,
    status_reason,
    wants_body,
)
from lab.live.clock import Clock

COMPRESSED_BYTES_MAX = 64 * 1024
"""How much of a compressed body is read in the hope that 5,120 bytes come out."""


class _BadResponse(Exception):
    """What came is no HTTP response; the message is the reason to show."""


class _Exchange(asyncio.Protocol):
    """Futures for the head of the response and for its body."""

    def __init__(self, *, body_wanted: bool) -> None:
        loop = asyncio.get_running_loop()
        self.connected_s = 0.0
        self.first_byte_s: float | None = None
        self.head: asyncio.Future[int] = loop.create_future()
        self.body: asyncio.Future[bytes] = loop.create_future()
        self.encoding = ""
        self._body_wanted = body_wanted
        self._parser = httptools.HttpResponseParser(self)
        self._unparsed = 0
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connected_s = time.monotonic()

    def send(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.first_byte_s is None:
            self.first_byte_s = time.monotonic()
        if not self.head.done():
            self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"Failure: The response is not valid HTTP: {error}.")
        if not self.head.done() and self._unparsed > HEADER_BYTES_MAX:
            self._fail(TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if name.lower() == b"content-encoding":
            self.encoding = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._header_bytes > HEADER_BYTES_MAX:
            self._fail(TOO_LARGE)
        if status >= 200 and not self.head.done():
            self.head.set_result(status)

    def on_body(self, body: bytes) -> None:
        if not self._body_wanted or self.body.done():
            return
        self._chunks.append(body)
        self._size += len(body)
        if self._size >= (COMPRESSED_BYTES_MAX if self.encoding else SEARCHED_BYTES):
            self._finish_body()

    def on_message_complete(self) -> None:
        if self.head.done():
            self._finish_body()

    def _finish_body(self) -> None:
        if not self.body.done():
            self.body.set_result(b"".join(self._chunks))

    def _fail(self, reason: str) -> None:
        if not self.head.done():
            self.head.set_exception(_BadResponse(reason))
        if not self.body.done():
            self.body.set_exception(_BadResponse(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        answered = self.head.done() and not self.head.cancelled() and self.head.exception() is None
        if answered and not self._parser.should_keep_alive():
            self._finish_body()  # a body that ends with the connection
        self._fail(CLOSED_EARLY)

    def close(self) -> None:
        for future in (self.head, self.body):
            if future.done() and not future.cancelled():
                future.exception()  # retrieved: a failure that nobody waits for any more is no news
            future.cancel()
        if self.transport is not None:
            self.transport.abort()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Health checkers do not validate certificates, and take what endpoints offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def probe(check: HealthCheck, address: str, port: int, clock: Clock) -> ProbeResult:
    """Probe an address once. Every failure of the endpoint is a result; nothing is raised for it."""
    if check.type == "TCP":
        return await _probe_tcp(address, port, clock)
    loop = asyncio.get_running_loop()
    exchange = _Exchange(body_wanted=wants_body(check))
    started = time.monotonic()
    try:
        try:
            async with asyncio.timeout(clock.deadline_s(CONNECT_LIMIT_MS)):
                await loop.create_connection(lambda: exchange, address, port)
        except TimeoutError:
            return ProbeResult(False, TIMED_OUT)
        except OSError as error:
            return ProbeResult(False, _connect_reason(error))
        connect_ms = (time.monotonic() - started) * 1000
        return await _converse(check, exchange, address, clock, connect_ms)
    finally:
        exchange.close()


async def _converse(
    check: HealthCheck, exchange: _Exchange, address: str, clock: Clock, connect_ms: float
) -> ProbeResult:
    handshake_ms: float | None = None
    deadline = asyncio.get_running_loop().time() + clock.deadline_s(RESPONSE_LIMIT_MS)
    try:
        async with asyncio.timeout_at(deadline):
            if is_tls(check):
                handshake_ms = await _start_tls(check, exchange, clock)
            exchange.send(request_bytes(check, address))
            status = await exchange.head
    except TimeoutError:
        return ProbeResult(False, NO_RESPONSE, Timings(connect_ms, handshake_ms))
    except _BadResponse as error:
        return ProbeResult(False, str(error), Timings(connect_ms, handshake_ms))
    except OSError as error:
        return ProbeResult(False, f"Failure: The TLS handshake failed: {error}.", Timings(connect_ms))
    assert exchange.first_byte_s is not None
    timings = Timings(connect_ms, handshake_ms, (exchange.first_byte_s - exchange.connected_s) * 1000)
    if not wants_body(check):
        return ProbeResult(*status_reason(status), timings)
    try:
        async with asyncio.timeout(clock.deadline_s(BODY_LIMIT_MS)):
            body = await exchange.body
    except TimeoutError:
        return ProbeResult(False, NO_BODY, timings)
    except _BadResponse as error:
        return ProbeResult(False, str(error), timings)
    return body_verdict(check, status, body, exchange.encoding, timings)


async def _start_tls(check: HealthCheck, exchange: _Exchange, clock: Clock) -> float:
    """Speak TLS on the connection from now on, with SNI if the check has it on; how long that took, in milliseconds."""
    assert exchange.transport is not None
    started = time.monotonic()
    name = (check.fully_qualified_domain_name or "").rstrip(".") if check.enable_sni else ""
    transport = await asyncio.get_running_loop().start_tls(
        exchange.transport,
        exchange,
        _tls(),
        server_hostname=name or None,
        ssl_handshake_timeout=clock.deadline_s(RESPONSE_LIMIT_MS) + 1.0,
    )
    assert transport is not None
    exchange.transport = transport
    return (time.monotonic() - started) * 1000


async def _probe_tcp(address: str, port: int, clock: Clock) -> ProbeResult:
    started = time.monotonic()
    try:
        async with asyncio.timeout(clock.deadline_s(TCP_CONNECT_LIMIT_MS)):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, address, port)
    except TimeoutError:
        return ProbeResult(False, TIMED_OUT)
    except OSError as error:
        return ProbeResult(False, _connect_reason(error))
    transport.abort()
    return ProbeResult(True, CONNECTED, Timings((time.monotonic() - started) * 1000))


def _connect_reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    return f"Failure: The health checker could not establish a connection: {error.strerror or error}."
