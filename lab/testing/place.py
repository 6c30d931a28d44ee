"""HTTP as someone in a place does it: the name looked up in the lab's DNS from there, then a call for real.

`PlaceConnection` is asyncio, for drills with many requests at once; `PlaceClient` is the same for tests, blocking.
Port 80 is the lab's data-plane port. Load balancers and accelerators hear of the place by the PROXY protocol. The
resolver keeps answers for their TTL, so a place notices a change of DNS as late as a real client does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson

from lab.core import proxy_protocol
from lab.core.stub_resolver import Habits
from lab.core.topology import Topology
from lab.errors import LabUnreachable, UserError
from lab.live.http_client import CallFailed, HttpClient, TcpAddress
from lab.live.http_message import Headers
from lab.live.stub_resolver import StubResolver
from lab.testing.loop_thread import LoopThread

CONNECTIONS_MAX = 64


@dataclass(frozen=True)
class Timings:
    """Where the time went, in real milliseconds. `dns_ms` is 0 when the answer was still kept."""

    dns_ms: float
    call_ms: float
    from_cache: bool

    @property
    def total_ms(self) -> float:
        return self.dns_ms + self.call_ms


@dataclass(frozen=True)
class Answer:
    """An answered call, of any status. `region` is the region whose address answered, None if it is no region's.

    Load balancers' addresses are their region's, an accelerator's are nobody's.

    `record` is the record set that the lab's DNS answers this place with at the moment (its name, type and set
    identifier, with `reason` as the steps that led to it); None where it was not asked for.
    """

    status: int
    headers: Headers
    body: bytes
    address: str
    region: str | None
    timings: Timings
    record: dict[str, Any] | None = None

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def header(self, name: str) -> str | None:
        """The first value of a header, by name without regard to case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class CallFromPlaceFailed(LabUnreachable):
    """A call from a place got no answer. `maybe_executed` is False only if it certainly did not reach a region."""

    def __init__(self, message: str, *, maybe_executed: bool, region: str | None) -> None:
        super().__init__(message)
        self.maybe_executed, self.region = maybe_executed, region


class PlaceConnection:
    """Calls from one place, over one resolver and kept connections; use it in one event loop.

    `habits` are the resolver's: real ones ignore TTLs, or pin an address.
    """

    def __init__(self, topology: Topology, place: str, habits: Habits = Habits()) -> None:  # noqa: B008 - frozen
        self.place = place
        self.resolver = StubResolver(topology, place, habits=habits)
        self._topology = topology
        self._clients: dict[tuple[str, int], HttpClient] = {}

    async def call(
        self, method: str, url: str, headers: Headers | None = None, body: bytes = b"", *, timeout_s: float
    ) -> Answer:
        """One call; the time limit is for all of it. Raises CallFromPlaceFailed, UserError for a URL that cannot be."""
        parts = parse_url(url)
        assert parts.hostname is not None
        began = time.monotonic()
        address, from_cache = await self._address(parts.hostname)
        looked_up = time.monotonic()
        region = self._topology.region_at(address)
        client = self._client(address, parts.port or 80, timeout_s)
        sent = [("Host", parts.netloc), *(headers or [])]
        left_s = max(0.001, timeout_s - (looked_up - began))
        try:
            response = await client.call(
                method, _target(parts), sent, body, timeout_s=left_s, idempotent=method in ("GET", "HEAD")
            )
        except CallFailed as error:
            raise CallFromPlaceFailed(
                f"{self.place}: {method} {url} at {address} ({region or 'no region'}): {error}",
                maybe_executed=error.maybe_executed,
                region=region,
            ) from error
        timings = Timings((looked_up - began) * 1000, (time.monotonic() - looked_up) * 1000, from_cache)
        return Answer(response.status, response.headers, response.body, address, region, timings)

    async def _address(self, host: str) -> tuple[str, bool]:
        if host.replace(".", "").isdigit():
            return host, True
        found = await self.resolver.lookup_async(host)
        if not found.addresses:
            raise CallFromPlaceFailed(
                f"{self.place}: {host} has no address ({found.rcode})", maybe_executed=False, region=None
            )
        return found.addresses[0], found.from_cache

    def _client(self, address: str, port: int, timeout_s: float) -> HttpClient:
        key = (address, port)
        if key not in self._clients:
            topology = self._topology
            end = TcpAddress(*topology.reachable(address, topology.http_port if port == 80 else port))
            place = topology.place(self.place).client_address

            def preface(local_port: int) -> bytes:
                return proxy_protocol.format_v1((place, local_port), (address, port))

            self._clients[key] = HttpClient(
                end,
                limit=CONNECTIONS_MAX,
                connect_timeout_s=timeout_s,
                preface=preface if topology.traffic_at(address) else None,
            )
        return self._clients[key]

    async def close(self) -> None:
        """Close the kept connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


class PlaceClient:
    """Calls from one place, blocking. `explain` asks the lab why its DNS answers this place as it does."""

    def __init__(
        self,
        connection: PlaceConnection,
        thread: LoopThread,
        explain: Callable[[str, str], dict[str, Any] | None],
        *,
        timeout_s: float,
    ) -> None:
        self._connection, self._thread, self._explain, self._timeout_s = connection, thread, explain, timeout_s

    @property
    def name(self) -> str:
        return self._connection.place

    @property
    def resolver(self) -> StubResolver:
        """This place's resolver, with what it has kept."""
        return self._connection.resolver

    def get(self, url: str, **options: Any) -> Answer:
        """GET a URL; options as for `request`."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> Answer:
        """POST to a URL; options as for `request`."""
        return self.request("POST", url, **options)

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """One call. `timeout_s` is real seconds. Raises CallFromPlaceFailed if no answer came."""
        sent = list((headers or {}).items())
        if json is not None:
            body = orjson.dumps(json)
            sent.append(("Content-Type", "application/json"))
        call = self._connection.call(method, url, sent, body, timeout_s=timeout_s or self._timeout_s)
        answer = self._thread.run(call)
        host = parse_url(url).hostname or ""
        record = None if host.replace(".", "").isdigit() else self._explain(host, self.name)
        return Answer(answer.status, answer.headers, answer.body, answer.address, answer.region, answer.timings, record)


def parse_url(url: str) -> SplitResult:
    """The parts of a URL that a place can call. Raises UserError."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UserError(f"{url}: {error}") from error
    if not good:
        raise UserError(f"{url}: expected an http:// URL such as http://api.lab.test/health")
    return parts


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
