"""`lab curl`: a request as someone in a place on earth makes it: looked up, then called for real."""

from __future__ import annotations

import http.client
import sys
import time
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

from lab.cli.dig import describe_record, print_reasons
from lab.cli.project import Project, RunningLab
from lab.core.topology import Place
from lab.errors import EnvironmentFailure, UserError
from lab.live.stub_resolver import StubResolver


@click.command(short_help="call a URL from a place")
@click.argument("url")
@click.option("--from", "place", metavar="PLACE", help="where the caller is; `lab status --places` lists the places")
@click.option("-X", "--request", "method", metavar="METHOD", help="GET, or POST with a body")
@click.option("-H", "--header", "headers", multiple=True, metavar='"NAME: VALUE"', help="a header; may be repeated")
@click.option("-d", "--data", help="the body")
@click.option("-n", "--repeat", default=1, show_default=True, help="how many requests, with one resolver's cache")
@click.option("--interval", default=1.0, show_default=True, metavar="S", help="seconds between repeated requests")
@click.option("--max-time", default=35.0, show_default=True, metavar="S", help="give up after so many seconds")
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

    Shows which record answered and why, which region served, and how long each step took. Port 80 is the lab's 8080.
    """
    lab = project.running()
    parts = _parse(url)
    where = lab.place(place) if place is not None else None
    resolver = StubResolver(lab.topology, where)
    sent = _headers(headers)
    ok = True
    for number in range(max(1, repeat)):
        if number:
            time.sleep(interval)
        result = _call(
            lab, resolver, where, parts, method or ("POST" if data is not None else "GET"), sent, data, max_time
        )
        ok = ok and "error" not in result
        if as_json:
            from lab.report import print_json

            print_json(result)
        else:
            _show(result)
    return 0 if ok else 1


def _parse(url: str) -> SplitResult:
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url}: {error}") from error
    if parts.scheme != "http" or not parts.hostname:
        raise UserError(f"{url}: expected an http:// URL such as http://api.lab.test/health")
    del port
    return parts


def _headers(given: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or "\n" in header or "\r" in header:
            raise UserError(f'{header!r} is not a header: expected "NAME: VALUE"')
        headers[name.strip()] = value.strip()
    return headers


def _call(
    lab: RunningLab,
    resolver: StubResolver,
    place: Place | None,
    url: SplitResult,
    method: str,
    headers: dict[str, str],
    data: str | None,
    limit_s: float,
) -> dict[str, Any]:
    """One look-up and one request; a JSON object with every step, and `error` if it failed."""
    assert url.hostname is not None
    result: dict[str, Any] = {"url": url.geturl(), "method": method, "from": place.name if place else None}
    address = url.hostname
    if not _is_address(url.hostname):
        found = _resolve(lab, resolver, place, url.hostname, result)
        if found is None:
            return result
        address = found
    port = url.port or 80
    if port == 80:
        port = lab.topology.http_port
    result["address"], result["port"] = address, port
    served = [region.code for region in lab.topology.regions if region.address == address]
    result["region"] = served[0] if served else None
    connection = http.client.HTTPConnection(*lab.topology.reachable(address, port), timeout=limit_s)
    try:
        began = time.monotonic()
        connection.connect()
        connected = time.monotonic()
        result["connect_ms"] = round((connected - began) * 1000, 1)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body = data.encode() if data is not None else None
        connection.request(method.upper(), target, body, {"Host": url.netloc, "User-Agent": "lab-curl", **headers})
        response = connection.getresponse()
        content = response.read()
        result["request_ms"] = round((time.monotonic() - connected) * 1000, 1)
        result["status"], result["headers"] = response.status, response.getheaders()
        result["body"] = content.decode(errors="replace")
    except TimeoutError:
        result["error"] = f"no answer from {address}:{port} within {limit_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        result["error"] = f"{address}:{port}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
    finally:
        connection.close()
    return result


def _resolve(
    lab: RunningLab, resolver: StubResolver, place: Place | None, name: str, result: dict[str, Any]
) -> str | None:
    """The address that the place's resolver gives; the look-up and its reasons go into the result."""
    found = resolver.lookup(name)
    lookup: dict[str, Any] = {"rcode": found.rcode, "addresses": found.addresses, "ttl_s": found.ttl_s}
    result["lookup"] = {**lookup, "from_cache": found.from_cache, "ms": round(found.took_ms, 1)}
    if not found.addresses:
        why = {"REFUSED": " (not a name of the lab's zones)", "TIMEOUT": " (the lab's DNS does not answer)"}
        result["error"] = f"{name} has no address: {found.rcode}{why.get(found.rcode, '')}"
        return None
    query = {"name": name, "type": "A"}
    if place is not None:
        query["client"] = place.subnet
    try:
        explained = lab.call("GET", "/api/resolve", query=query)
        result["record"], result["reason"] = explained.get("record"), explained.get("reason", [])
    except EnvironmentFailure:  # DNS works on without control, which only explains it
        result["record"], result["reason"] = None, []
    return found.addresses[0]


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() and host.count(".") == 3


def _show(result: dict[str, Any]) -> None:
    say = sys.stderr
    lookup = result.get("lookup")
    if lookup is not None:
        cached = "from the cache" if lookup["from_cache"] else f"{lookup['ms']:g} ms"
        addresses = ", ".join(lookup["addresses"]) or "no address"
        print(f"resolved  {addresses}  {lookup['rcode']}, TTL {lookup['ttl_s']} s, {cached}", file=say)
        if result.get("record"):
            print(f"record    {describe_record(result['record'])}", file=say)
        if result.get("reason"):
            print_reasons("why       ", result["reason"], file=say)
    if "connect_ms" in result:
        region = result["region"] or "not a region's address"
        print(f"connected {result['address']}:{result['port']} ({region})  {result['connect_ms']:g} ms", file=say)
    if "status" in result:
        print(f"answered  {result['status']} in {result['request_ms']:g} ms, served by {result['region']}\n", file=say)
        print(result["body"])
    else:
        print(f"lab: {result['error']}", file=say)
