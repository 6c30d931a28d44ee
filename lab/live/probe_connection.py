"""One probe on the wire: connects, perhaps speaks TLS, sends the request, reads as much as the check needs.

Limits and verdicts are `lab.core.health_probe`'s; who probes when is `probes`' business. A probe is a socket and two or
three callbacks of the loop, neither a task nor a transport: these take five times as long, while DNS queries wait.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable

from lab.core.health_check import HealthCheck
from lab.core.health_probe import (
    BODY_LIMIT_MS,
    CONNECT_LIMIT_MS,
    CONNECTED,
    NO_BODY,
    NO_RESPONSE,
    REFUSED,
    RESPONSE_LIMIT_MS,
    TCP_CONNECT_LIMIT_MS,
    TIMED_OUT,
    ProbeResult,
    Timings,
    body_verdict,
    is_tls,
    request_bytes,
    status_reason,
    wants_body,
)
from lab.live.clock import Clock
from lab.live.probe_response import ProbeResponse

READ_BYTES = 16 * 1024
_CONNECTING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY)
_READABLE = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Health checkers do not validate certificates, and take what endpoints offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Probe:
    """Probes an address once, from `start` on. Every failure of the endpoint is a result; nothing is raised for it.

    `done` is called with the result, once, perhaps before `start` returns; never after `cancel`. `give_way` is called
    between the steps that take longest, some 30 µs each: a query that has come meanwhile need not wait for all of them.
    """

    def __init__(
        self,
        check: HealthCheck,
        address: str,
        port: int,
        clock: Clock,
        done: Callable[[ProbeResult], None],
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self._check, self._address, self._port = check, address, port
        self._clock, self._done, self._give_way = clock, done, give_way
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._reading = self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._started_s = self._connected_s = time.monotonic()
        self._timings = Timings()
        self._unsent = b""
        self._response: ProbeResponse | None = None

    def start(self) -> None:
        """Connect, and go on as far as possible without waiting."""
        self._step(self._connect)

    def cancel(self) -> None:
        """Drop the connection. There will be no result."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._await()
            self._socket.close()
            self._socket = None

    # waiting

    def _step(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # a bug must neither end a checker's rounds nor be taken for an endpoint's failure
            print(f"probes: {self._check.health_check_id}: {error!r}", file=sys.stderr, flush=True)
            self._finish(ProbeResult(False, f"Failure: The health checker failed: {error!r}."))

    def _await(self, *, reader: Callable[[], None] | None = None, writer: Callable[[], None] | None = None) -> None:
        """Wait until the socket can be read or written; for neither, without arguments."""
        assert self._socket is not None
        fd = self._socket.fileno()
        if writer is not None:
            self._loop.add_writer(fd, self._step, writer)
        elif self._writing:
            self._loop.remove_writer(fd)
        if reader is not None:
            self._loop.add_reader(fd, self._step, reader)
        elif self._reading:
            self._loop.remove_reader(fd)
        self._reading, self._writing = reader is not None, writer is not None

    def _limit(self, lab_ms: int, reason: str) -> None:
        """What is not over in so many milliseconds from now on fails for this reason."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._clock.deadline_s(lab_ms), self._fail, reason)

    def _finish(self, result: ProbeResult) -> None:
        self.cancel()
        self._give_way()
        self._done(result)

    def _fail(self, reason: str) -> None:
        self._finish(ProbeResult(False, reason, self._timings))

    # the steps of a probe

    def _connect(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_INET6 if ":" in self._address else socket.AF_INET)
            self._socket.setblocking(False)
            failure = self._socket.connect_ex((self._address, self._port))
        except OSError as error:
            failure = error.errno or errno.EIO
        self._give_way()
        if failure in _CONNECTING:
            self._find_connected()
        else:
            self._fail(_connect_reason(failure))

    def _find_connected(self) -> None:
        """On loopback a connection is there at once, or refused."""
        assert self._socket is not None
        failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self._fail(_connect_reason(failure))
        elif self._is_connected():
            self._connected_s = time.monotonic()
            self._timings = Timings((self._connected_s - self._started_s) * 1000)
            self._speak()
        elif not self._writing:
            self._limit(TCP_CONNECT_LIMIT_MS if self._check.type == "TCP" else CONNECT_LIMIT_MS, TIMED_OUT)
            self._await(writer=self._find_connected)

    def _is_connected(self) -> bool:
        assert self._socket is not None
        try:
            self._socket.getpeername()
        except OSError:
            return False
        return True

    def _speak(self) -> None:
        if self._check.type == "TCP":
            self._finish(ProbeResult(True, CONNECTED, self._timings))
            return
        self._limit(RESPONSE_LIMIT_MS, NO_RESPONSE)
        if is_tls(self._check):
            self._start_tls()
        else:
            self._request()

    def _start_tls(self) -> None:
        """With SNI if the check has it on."""
        assert self._socket is not None
        name = (self._check.fully_qualified_domain_name or "").rstrip(".") if self._check.enable_sni else ""
        self._await()
        try:
            self._socket = _tls().wrap_socket(self._socket, server_hostname=name or None, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            self._fail(f"Failure: The TLS handshake failed: {error}.")
        else:
            self._shake_hands()

    def _shake_hands(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except _READABLE:
            self._await(reader=self._shake_hands)
        except ssl.SSLWantWriteError:
            self._await(writer=self._shake_hands)
        except OSError as error:
            self._fail(f"Failure: The TLS handshake failed: {error}.")
        else:
            self._timings = Timings(self._timings.connect_ms, (time.monotonic() - self._connected_s) * 1000)
            self._request()

    def _request(self) -> None:
        self._unsent = request_bytes(self._check, self._address)
        self._response = ProbeResponse(body_wanted=wants_body(self._check))
        self._send()

    def _send(self) -> None:
        assert self._socket is not None
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (*_READABLE, ssl.SSLWantWriteError):
            pass
        except OSError:
            self._unsent = b""  # what the endpoint said before it closed is still to be read
        if self._unsent:
            self._await(writer=self._send)
        else:
            self._await(reader=self._receive)

    def _receive(self) -> None:
        assert self._socket is not None
        while self._socket is not None:
            try:
                data = self._socket.recv(READ_BYTES)
            except _READABLE:
                return
            except OSError:
                data = b""
            self._judge(data)
            # A TLS record that has come is decrypted whole: the socket does not become readable again for the rest.
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                return

    def _judge(self, data: bytes) -> None:
        response, timings = self._response, self._timings
        assert response is not None
        if data and timings.first_byte_ms is None:
            first_byte_ms = (time.monotonic() - self._connected_s) * 1000
            timings = self._timings = Timings(timings.connect_ms, timings.handshake_ms, first_byte_ms)
        in_body = response.status is not None
        if data:
            response.feed(data)
        else:
            response.end()
        if response.status is not None and not wants_body(self._check):
            self._finish(ProbeResult(*status_reason(response.status), timings))
        elif response.status is not None and response.body is not None:
            self._finish(body_verdict(self._check, response.status, response.body, response.encoding, timings))
        elif response.failure is not None:
            self._fail(response.failure)
        elif response.status is not None and not in_body:
            self._limit(BODY_LIMIT_MS, NO_BODY)


def _connect_reason(failure: int) -> str:
    if failure == errno.ECONNREFUSED:
        return REFUSED
    return f"Failure: The health checker could not establish a connection: {os.strerror(failure)}."
