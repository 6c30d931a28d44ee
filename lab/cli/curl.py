"""`lab curl`: a request as someone in a place on earth makes it: looked up, then called for real.

Each step is told when it is done, so that a region that hangs is seen to hang.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

import click

from lab.cli.dig import describe_record, print_reasons
from lab.cli.output import reader_gone
from lab.cli.place_connection import connect, describe_choice, tls_context
from lab.cli.project import Project, RunningLab
from lab.cli.sockets import ask_dns
from lab.core.route53.name import NameSyntaxError, to_wire
from lab.core.topology import Place
from lab.errors import LabUnreachable, UserError
from lab.live.stub_resolver import StubResolver

SECONDS_MAX = 86_400.0

Step = Literal["resolved", "explained", "connected", "answered", "failed"]


def _number(context: click.Context, option: click.Parameter, value: float) -> float:
    """FloatRange takes `nan`, which is in no range and out of none."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number of seconds", context, option)
    return value


@click.command(short_help="call a URL from a place")
@click.argument("url")
@click.option("--from", "place", metavar="PLACE", help="where the caller is; `lab status --places` lists the places")
@click.option("-X", "--request", "method", metavar="METHOD", help="GET, or POST with a body")
@click.option("-H", "--header", "headers", multiple=True, metavar='"NAME: VALUE"', help="a header; may be repeated")
@click.option("-d", "--data", help="the body")
@click.option(
    "-n", "--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="requests, with one resolver"
)
@click.option(
    "--interval",
    type=click.FloatRange(0, SECONDS_MAX),
    callback=_number,
    default=1.0,
    show_default=True,
    metavar="S",
    help="seconds between them",
)
@click.option(
    "--max-time",
    type=click.FloatRange(0, SECONDS_MAX, min_open=True),
    callback=_number,
    default=35.0,
    show_default=True,
    metavar="S",
    help="give a request up after so many seconds",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_obj
def curl(
    project: Project,
    url: str,
    place: str | None,
    method: str | None,
    headers: tuple[str, ...],
    data: str | None,
    repeat: int,
    interval: float,
    max_time: float,
    as_json: bool,
) -> int:
    """Call URL from a place: its name is resolved by the lab's DNS with the place's client subnet.

    Shows which record answered and why, which region served, and how long each step took, step by step on stderr and
    the answer's body on stdout; with --json one object a request, when it is over. Port 80 is the lab's 8080; load
    balancers and accelerators hear from which place the call comes, and have TLS (port 443 is the lab's 8443).
    """
    lab = project.running()
    parts = _parse(url)
    where = lab.place(place) if place is not None else None
    method = _method(method or ("POST" if data is not None else "GET"))
    request = Request(parts, method, _headers(headers), data.encode() if data is not None else None, max_time)
    resolver = StubResolver(lab.topology, where)
    ok = True
    for number in range(repeat):
        if number:
            time.sleep(interval)
        result: dict[str, Any] = {"url": parts.geturl(), "method": method, "from": where.name if where else None}
        for step in _call(lab, resolver, where, request, result):
            if not as_json:
                _show(step, result)
        ok = ok and "error" not in result
        if as_json:
            from lab.report import print_json

            print_json(result)
        if reader_gone():
            break
    return 0 if ok else 1


@dataclass(frozen=True)
class Request:
    """What is asked for: an http or https URL, and `limit_s` seconds for all of connecting, asking and reading."""

    url: SplitResult
    method: str
    headers: dict[str, str]
    body: bytes | None
    limit_s: float


def _parse(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        parts.port  # noqa: B018 - raises if it is none
    except ValueError as error:
        raise UserError(f"{url}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{url}: expected an http:// or https:// URL such as http://api.lab.test/health")
    if not url.isascii() or any(character.isspace() for character in url):
        raise UserError(f"{url}: a URL has neither spaces nor letters beyond ASCII: write them as %20, %C3%A9")
    try:
        to_wire(parts.hostname)
    except NameSyntaxError as error:
        raise UserError(f"{url}: {error}") from error
    return parts


def _method(method: str) -> str:
    if not (method.isascii() and method.isalpha()):
        raise UserError(f"{method!r} is not a method: expected one such as GET or POST")
    return method.upper()


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or "\n" in header or "\r" in header or not header.isascii():
            raise UserError(f'{header!r} is not a header: expected "NAME: VALUE" in ASCII')
        headers[name.strip()] = value.strip()
    return headers


def _call(
    lab: RunningLab, resolver: StubResolver, place: Place | None, request: Request, result: dict[str, Any]
) -> Iterator[Step]:
    """One look-up and one request; says each step when `result` has it, `failed` when it has `error`."""
    host = request.url.hostname
    assert host is not None
    address = host
    if not _is_address(host):
        found = resolver.lookup(host)
        lookup = {"rcode": found.rcode, "addresses": found.addresses, "ttl_s": found.ttl_s}
        result["lookup"] = {**lookup, "from_cache": found.from_cache, "ms": round(found.took_ms, 1)}
        yield "resolved"
        if not found.addresses:
            why = {"REFUSED": " (not a name of the lab's zones)", "TIMEOUT": " (the lab's DNS does not answer)"}
            result["error"] = f"{host} has no address: {found.rcode}{why.get(found.rcode, '')}"
            yield "failed"
            return
        result["record"], result["reason"] = _explanation(lab, place, host)
        yield "explained"
        address = found.addresses[0]
    secure = request.url.scheme == "https"
    port = request.url.port or (443 if secure else 80)
    topology = lab.topology
    result |= {"address": address, "port": topology.listening_port(port), "region": topology.region_at(address)}
    result["at"] = topology.traffic_at(address)
    context = tls_context(lab, request.url.geturl(), address) if secure else None
    yield from _exchange(lab, place, port, request, context, result)


def _explanation(lab: RunningLab, place: Place | None, name: str) -> tuple[Any, list[Any]]:
    """The record that answers, and why; nothing of both if nobody explains it."""
    query = {"name": name, "type": "A"}
    if place is not None:
        query["client"] = place.subnet
    try:
        explained = ask_dns(lab, query)
    except LabUnreachable:
        return None, []
    return explained.get("record"), explained.get("reason", [])


def _exchange(
    lab: RunningLab,
    place: Place | None,
    port: int,
    request: Request,
    context: ssl.SSLContext | None,
    result: dict[str, Any],
) -> Iterator[Step]:
    """Connect, ask and read the whole answer, within the request's time."""
    began = time.monotonic()
    try:
        sock, choice = connect(lab, place, result["address"], port, request.limit_s)
        connected_ms = (time.monotonic() - began) * 1000
        if choice is not None:
            result["accelerator"], result["region"] = choice, choice["region"]
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=request.url.hostname)
    except TimeoutError:
        result["error"] = f"{result['address']}:{result['port']} did not connect within {request.limit_s:g} s"
        yield "failed"
        return
    except OSError as error:
        result["error"] = f"{result['address']}:{result['port']}: {error.strerror or error}"
        yield "failed"
        return
    connected = time.monotonic()
    result["connect_ms"] = round(connected_ms, 1)
    yield "connected"
    late = threading.Event()
    alarm = threading.Timer(max(0.0, began + request.limit_s - time.monotonic()), _give_up, (sock, late))
    connection = http.client.HTTPConnection(result["address"], result["port"])
    connection.sock = sock
    sock.settimeout(None)  # the alarm ends it, however slowly the bytes come
    alarm.start()
    try:
        url = request.url
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        headers = {"Host": url.netloc, "User-Agent": "lab-curl", **request.headers}
        connection.request(request.method, target, request.body, headers)
        response = connection.getresponse()
        content = response.read()
        if not late.is_set():
            result["request_ms"] = round((time.monotonic() - connected) * 1000, 1)
            result["status"], result["headers"] = response.status, response.getheaders()
            result["body"] = content.decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        result["error"] = f"{result['address']}:{result['port']}: {reason}"
    finally:
        alarm.cancel()
        connection.close()
    if late.is_set():
        result["error"] = f"no answer from {result['address']}:{result['port']} within {request.limit_s:g} s"
    yield "failed" if "error" in result else "answered"


def _give_up(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # it has gone by itself
        sock.shutdown(socket.SHUT_RDWR)


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() and host.count(".") == 3


def _show(step: Step, result: dict[str, Any]) -> None:
    """What a step has found, on stderr, and the answer's body on stdout."""
    match step:
        case "resolved":
            lookup = result["lookup"]
            cached = "from the cache" if lookup["from_cache"] else f"{lookup['ms']:g} ms"
            addresses = ", ".join(lookup["addresses"]) or "no address"
            _say(f"resolved  {addresses}  {lookup['rcode']}, TTL {lookup['ttl_s']} s, {cached}")
        case "explained":
            if result["record"]:
                _say(f"record    {describe_record(result['record'])}")
            if result["reason"]:
                print_reasons("why       ", result["reason"], file=sys.stderr)
        case "connected":
            where = " in ".join(text for text in (result["at"], result["region"]) if text)
            if result["at"] == "accelerator":
                where = "accelerator"
            where = where or "not a region's address"
            _say(f"connected {result['address']}:{result['port']} ({where})  {result['connect_ms']:g} ms")
            if "accelerator" in result:
                _say("\n".join(describe_choice(result["accelerator"])))
        case "answered":
            _say(f"answered  {result['status']} in {result['request_ms']:g} ms, served by {result['region']}\n")
            print(result["body"], flush=True)
        case "failed":
            _say(f"lab: {result['error']}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
