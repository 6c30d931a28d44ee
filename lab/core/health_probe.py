"""One probe of an endpoint: what is sent, how long each step may take, and what the answer says about its health.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from http import HTTPStatus

from lab.core.health_check import HealthCheck

CONNECT_LIMIT_MS = 4_000
RESPONSE_LIMIT_MS = 2_000
BODY_LIMIT_MS = 2_000
TCP_CONNECT_LIMIT_MS = 10_000
SEARCHED_BYTES = 5_120
HEADER_BYTES_MAX = 16_384

TIMED_OUT = "Failure: The health checker could not establish a connection within the timeout limit."
REFUSED = "Failure: The endpoint refused the connection."
NO_RESPONSE = "Failure: The health checker did not get a response within the timeout limit."
NO_BODY = "Failure: The health checker did not get the response body within the timeout limit."
TOO_LARGE = f"Failure: The response headers are larger than {HEADER_BYTES_MAX} bytes."
CLOSED_EARLY = "Failure: The endpoint closed the connection before it sent a whole response."
CONNECTED = "Success: TCP connection was established."


@dataclass(frozen=True)
class Timings:
    """How long the steps of a probe took, in milliseconds; None for a step that was not reached."""

    connect_ms: float | None = None
    handshake_ms: float | None = None
    first_byte_ms: float | None = None


@dataclass(frozen=True)
class ProbeResult:
    """What one checker found. `reason` is the text that GetHealthCheckStatus shows."""

    ok: bool
    reason: str
    timings: Timings = Timings()


def is_http(check: HealthCheck) -> bool:
    return check.type in ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH")


def is_tls(check: HealthCheck) -> bool:
    return check.type in ("HTTPS", "HTTPS_STR_MATCH")


def wants_body(check: HealthCheck) -> bool:
    return check.type in ("HTTP_STR_MATCH", "HTTPS_STR_MATCH")


def port_of(check: HealthCheck) -> int:
    """The port as configured, or the type's default."""
    return check.port or (443 if is_tls(check) else 80)


def host_header(check: HealthCheck, address: str) -> str:
    """The domain name, with the port unless it is the protocol's own; the address if there is no name.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-creating-values.html
    """
    if check.fully_qualified_domain_name is None:
        return f"[{address}]" if ":" in address else address
    name = check.fully_qualified_domain_name.rstrip(".")
    port = port_of(check)
    return name if port == (443 if is_tls(check) else 80) else f"{name}:{port}"


def request_bytes(check: HealthCheck, address: str) -> bytes:
    """The HTTP request of a probe."""
    path = check.resource_path or "/"
    if not path.startswith("/"):
        path = f"/{path}"
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host_header(check, address)}",
        "Connection: close",
        f"User-Agent: Amazon-Route53-Health-Check-Service (ref {check.health_check_id}; report http://amzn.to/1vsZADi)",
        "Accept: */*",
        "Accept-Encoding: *",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def status_reason(status: int) -> tuple[bool, str]:
    """Whether a status passes (2xx and 3xx do), and the words for it."""
    try:
        phrase = f", {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    ok = 200 <= status < 400
    return ok, f"{'Success' if ok else 'Failure'}: HTTP Status Code {status}{phrase}"


def decoded_body(body: bytes, encoding: str) -> bytes:
    """A body, or the beginning of one, decompressed as far as it goes; unknown encodings stay as they are."""
    encoding = encoding.strip().lower()
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return body
    # `deflate` is a zlib stream by the RFC and a raw one by the habit of some servers.
    for window in (47,) if encoding != "deflate" else (15, -15):
        try:
            return zlib.decompressobj(window).decompress(body, SEARCHED_BYTES)
        except zlib.error:
            continue
    return b""


def body_verdict(check: HealthCheck, status: int, body: bytes, encoding: str, timings: Timings) -> ProbeResult:
    """The verdict of a check that looks for a string in the first 5,120 bytes of the body."""
    ok, reason = status_reason(status)
    if not ok:
        return ProbeResult(False, reason, timings)
    searched = decoded_body(body, encoding)[:SEARCHED_BYTES]
    if (check.search_string or "").encode() in searched:
        return ProbeResult(True, f"{reason}. The search string was found.", timings)
    return ProbeResult(False, f"Failure: {reason[9:]}. The search string was not found.", timings)
