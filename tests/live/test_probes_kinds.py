"""The kinds of health checks over real sockets: TCP, TLS with and without SNI, compressed bodies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.core.health_check import HealthCheck
from lab.core.health_probe import (
    NO_BODY,
    NO_RESPONSE,
    TIMED_OUT,
    ProbeResult,
    Timings,
    body_verdict,
    host_header,
    request_bytes,
    status_reason,
)
from lab.live.clock import Clock
from lab.live.probe_connection import Probe

ADDRESS = "127.43.9.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def check(type: str, **fields: Any) -> HealthCheck:
    return HealthCheck("check-1", "r", type, 0, ip_address=ADDRESS, **fields)  # type: ignore[arg-type]


class Patient(Clock):
    """Limits that no stall of this machine exceeds."""

    def deadline_s(self, lab_ms: float, *, floor_s: float = 60.0) -> float:
        return 60.0


async def probed_once(checked: HealthCheck, address: str, port: int, clock: Clock) -> ProbeResult:
    result: asyncio.Future[ProbeResult] = asyncio.get_running_loop().create_future()
    Probe(checked, address, port, clock, result.set_result).start()
    return await result


def probed(checked: HealthCheck, answer: bytes | None, context: ssl.SSLContext | None = None) -> ProbeResult:
    """The result of one probe of a server that reads a request and writes these bytes; None never answers."""

    async def main() -> ProbeResult:
        held: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            try:
                await reader.readuntil(b"\r\n\r\n")
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
                    writer.close()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(serve, ADDRESS, 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            result = await probed_once(checked, ADDRESS, port, Clock(1000.0) if answer is None else Patient())
            for writer in held:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in held), return_exceptions=True)
        return result

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "ok", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, "Success: HTTP Status Code 200, OK"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", True, "Success: HTTP Status Code 302, Found"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, "Success: HTTP Status Code 204, No Content"),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True, "Success: HTTP Status Code 399"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, "Failure: HTTP Status Code 400, Bad Request"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "Failure: HTTP Status Code 404, Not Found"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\n\r\n", False, "Failure: HTTP Status Code 503, "),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            False,
            "Failure: HTTP Status Code 101, Switching Protocols",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "Failure: The response is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17_000 + b"\r\n\r\n", False, "Failure: The response headers are larger"),
        (b"HTTP/1.1 200", False, "Failure: The endpoint closed the connection"),
        (b"", False, "Failure: The endpoint closed the connection"),
        (None, False, "Failure: The health checker did not get a response"),
    ],
)
def test_the_status_of_a_response_decides(answer: bytes | None, ok: bool, reason: str) -> None:
    result = probed(check("HTTP"), answer)
    assert result.ok is ok
    assert result.reason.startswith(reason)
    assert result.timings.connect_ms is not None


def test_a_body_that_does_not_come_whole_in_time_fails_a_string_match() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert not probed(check("HTTP_STR_MATCH", search_string="needle"), head + b"hay").ok
    assert not probed(check("HTTP_STR_MATCH", search_string="needle"), head + b"needle in a lot of hay").ok
    ended = b"HTTP/1.1 200 OK\r\n\r\nhay and needle"  # the body ends with the connection
    assert probed(check("HTTP_STR_MATCH", search_string="needle"), ended).ok


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_a_compressed_body_is_searched_after_decompression(encoding: str) -> None:
    text = b"x" * 5_000 + b"needle"
    compressor = zlib.compressobj(wbits=-15)
    raw = compressor.compress(text) + compressor.flush()
    body = {"gzip": gzip.compress(text), "deflate": zlib.compress(text), "raw": raw}[encoding]
    name = "deflate" if encoding == "raw" else encoding
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert probed(check("HTTP_STR_MATCH", search_string="needle"), head + body).ok
    assert not probed(check("HTTP_STR_MATCH", search_string="Needle"), head + body).ok


@pytest.mark.parametrize("body", [b"", b"\x1f\x8bnonsense", b"\x00" * 6000])
def test_a_body_that_lies_about_its_encoding_only_fails_to_match(body: bytes) -> None:
    checked = check("HTTP_STR_MATCH", search_string="needle")
    assert not body_verdict(checked, 200, body, "gzip", Timings()).ok


@pytest.mark.parametrize(
    ("type", "port", "name", "host"),
    [
        ("HTTP", 80, "a.test.", "a.test"),
        ("HTTP", None, "a.test", "a.test"),
        ("HTTP", 8080, "a.test", "a.test:8080"),
        ("HTTPS", 443, "a.test", "a.test"),
        ("HTTPS", 80, "a.test", "a.test:80"),
        ("HTTP", 8080, None, ADDRESS),
    ],
)
def test_the_host_header_has_the_port_unless_it_is_the_protocols_own(
    type: str, port: int | None, name: str | None, host: str
) -> None:
    checked = check(type, port=port, fully_qualified_domain_name=name)
    assert host_header(checked, ADDRESS) == host
    assert f"\r\nHost: {host}\r\n".encode() in request_bytes(checked, ADDRESS)


def test_a_path_gets_its_leading_slash() -> None:
    assert request_bytes(check("HTTP", resource_path="health?x=1"), ADDRESS).startswith(b"GET /health?x=1 HTTP/1.1\r\n")


def test_unknown_statuses_have_no_phrase() -> None:
    assert status_reason(299) == (True, "Success: HTTP Status Code 299")


def test_a_tcp_check_needs_only_a_connection() -> None:
    async def main() -> tuple[ProbeResult, ProbeResult]:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), ADDRESS, 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            open_result = await probed_once(check("TCP"), ADDRESS, port, Patient())
            await asyncio.sleep(0)
        return open_result, await probed_once(check("TCP"), ADDRESS, port, Patient())

    accepted, refused = asyncio.run(main())
    assert accepted.ok
    assert not refused.ok
    assert "refused" in refused.reason


def full_backlog() -> tuple[socket.socket, list[socket.socket]]:
    """A listener that has no room for a connection any more, and those that wait in it."""
    listener = socket.socket()
    listener.bind((ADDRESS, 0))
    listener.listen(0)
    waiting: list[socket.socket] = []
    while len(waiting) < 2 or _is_connected(waiting[-1]):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(listener.getsockname())
    return listener, waiting


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("type", ["TCP", "HTTP"])
def test_a_connection_that_nobody_takes_times_out(type: str) -> None:
    listener, waiting = full_backlog()
    try:
        result = asyncio.run(probed_once(check(type), ADDRESS, listener.getsockname()[1], Clock(1000.0)))
        assert (result.ok, result.reason) == (False, TIMED_OUT)
    finally:
        for sock in (listener, *waiting):
            sock.close()


@dataclass(frozen=True)
class Noting(Clock):
    """Notes what is limited to how many milliseconds. Only the last of so many limits is ever reached.

    `but_ms` is not noted: a connection is mostly there at once, so that nothing limits it.
    """

    count: int = 1
    but_ms: float | None = None
    limits_ms: list[float] = field(default_factory=list)

    def deadline_s(self, lab_ms: float, *, floor_s: float = 60.0) -> float:
        if lab_ms == self.but_ms:
            return 60.0
        self.limits_ms.append(lab_ms)
        return 0.05 if len(self.limits_ms) == self.count else 60.0


@pytest.mark.parametrize(("type", "limit_ms"), [("HTTP", 4_000), ("HTTPS", 4_000), ("TCP", 10_000)])
def test_a_connection_has_four_seconds_and_that_of_a_tcp_check_ten(type: str, limit_ms: int) -> None:
    clock = Noting()
    listener, waiting = full_backlog()
    try:
        asyncio.run(probed_once(check(type), ADDRESS, listener.getsockname()[1], clock))
    finally:
        for sock in (listener, *waiting):
            sock.close()
    assert clock.limits_ms == [limit_ms]


@pytest.mark.parametrize(
    ("type", "sent", "limits_ms", "reason"),
    [
        ("HTTP", b"", [2_000], NO_RESPONSE),
        ("HTTP_STR_MATCH", b"", [2_000], NO_RESPONSE),
        ("HTTPS", b"", [2_000], NO_RESPONSE),  # the handshake counts as part of the response
        ("HTTP_STR_MATCH", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhay", [2_000, 2_000], NO_BODY),
    ],
)
def test_a_response_has_two_seconds_and_a_body_two_more(
    type: str, sent: bytes, limits_ms: list[int], reason: str
) -> None:
    clock = Noting(count=len(limits_ms), but_ms=4_000)

    async def main() -> ProbeResult:
        held: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held.append(writer)
            writer.write(sent)

        async with await asyncio.start_server(serve, ADDRESS, 0) as server:
            checked = check(type, search_string="needle")
            result = await probed_once(checked, ADDRESS, server.sockets[0].getsockname()[1], clock)
            for writer in held:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in held), return_exceptions=True)
            return result

    result = asyncio.run(main())
    assert (result.ok, result.reason, clock.limits_ms) == (False, reason, limits_ms)


def test_a_connection_that_is_taken_late_is_one() -> None:
    listener, waiting = full_backlog()

    async def main() -> ProbeResult:
        probing = asyncio.create_task(probed_once(check("TCP"), ADDRESS, listener.getsockname()[1], Clock()))
        await asyncio.sleep(0)
        for sock in waiting:
            sock.close()
        listener.setblocking(False)
        while not probing.done():
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
            await asyncio.wait([probing], timeout=0.01)
        return probing.result()

    try:
        assert asyncio.run(main()).ok
    finally:
        listener.close()


def test_a_probe_that_is_dropped_has_no_result_and_leaves_no_connection() -> None:
    async def main() -> list[ProbeResult]:
        results: list[ProbeResult] = []
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            ended.set()

        server = await asyncio.start_server(serve, ADDRESS, 0)
        async with server:
            probe = Probe(check("HTTP"), ADDRESS, server.sockets[0].getsockname()[1], Clock(), results.append)
            probe.start()
            probe.cancel()
            await asyncio.wait_for(ended.wait(), 20)
        return results

    assert asyncio.run(main()) == []


def test_other_work_has_its_turn_between_the_steps_of_a_probe() -> None:
    steps: list[str] = []

    async def main() -> None:
        done: asyncio.Future[ProbeResult] = asyncio.get_running_loop().create_future()

        def take(result: ProbeResult) -> None:
            steps.append("result")
            done.set_result(result)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            steps.append("request")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, ADDRESS, 0) as server:
            port = server.sockets[0].getsockname()[1]
            Probe(check("HTTP"), ADDRESS, port, Patient(), take, lambda: steps.append("turn")).start()
            await done

    asyncio.run(main())
    assert steps == ["turn", "request", "turn", "result"]


def tls_context(folder: Path, names: list[str | None]) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts, long expired; it notes the SNI of each handshake."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody-else.test")])
    start = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.sni_callback = lambda connection, name, ctx: names.append(name)
    return context


@pytest.mark.parametrize(("sni", "seen"), [(True, "secure.test"), (False, None)])
def test_tls_is_spoken_with_sni_if_it_is_on_and_certificates_are_not_validated(
    tmp_path: Path, sni: bool, seen: str | None
) -> None:
    names: list[str | None] = []
    checked = check("HTTPS", fully_qualified_domain_name="secure.test", enable_sni=sni)
    result = probed(checked, b"HTTP/1.1 200 OK\r\n\r\n", tls_context(tmp_path, names))
    assert result.ok, result
    assert names == [seen]
    assert result.timings.handshake_ms is not None


def test_a_body_of_several_tls_records_is_searched_whole(tmp_path: Path) -> None:
    checked = check("HTTPS_STR_MATCH", search_string="needle")
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3_000 + b"\r\n\r\n" + b"x" * 5_100 + b"needle" + b"y" * 40_000
    assert probed(checked, answer, tls_context(tmp_path, [])).ok


def test_plain_http_behind_an_https_check_fails() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # as HTTP servers do, at the first byte that is none of a request
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async def main() -> ProbeResult:
        async with await asyncio.start_server(serve, ADDRESS, 0) as server:
            return await probed_once(check("HTTPS"), ADDRESS, server.sockets[0].getsockname()[1], Patient())

    result = asyncio.run(main())
    assert not result.ok
    assert result.reason.startswith("Failure: The TLS handshake failed: ")
