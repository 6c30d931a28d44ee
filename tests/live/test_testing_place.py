"""Calls from a place, and waiting, against a real DNS server and real HTTP servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from lab.core import codec
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.data import places
from lab.errors import LabError, UserError
from lab.live.dns import DnsServer
from lab.live.documents import DocumentStore
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.testing.place import CallFromPlaceFailed, PlaceConnection, parse_url
from lab.testing.waiting import DEADLINE_FLOOR_S, NotYet, deadline_s, eventually

BLOCK = "127.47"
TOPOLOGY = Topology(
    BLOCK,
    regional_addresses(BLOCK, ("us-east-1", "us-west-2")),
    places(),
    "/nowhere",
    "/nowhere",
    http_port=18080,
    dns_port=15300,
)


def zone_store(folder: Path, *records: RecordSet) -> DocumentStore:
    """The documents of a part whose only document is one zone."""
    store = DocumentStore(folder)
    store.put("zones", orjson.dumps(codec.encode(Zones((HostedZone("Z1", "lab.test.", records),)))))
    return store


def latency_record(region: str, address: str) -> RecordSet:
    return RecordSet("api.lab.test.", "A", 60, (address,), set_identifier=region, region=region)


Calls = Callable[[PlaceConnection], Awaitable[None]]


def from_place(tmp_path: Path, place: str, calls: Calls, *, silent: bool = False) -> None:
    """Run `calls` from a place while a DNS server and one HTTP server a region answer."""

    async def run() -> None:
        async def answer(request: Request) -> Response | None:
            if silent:
                return None
            assert request.local is not None
            host = request.header("host") or ""
            return Response(200, [("X-Host", host)], f"{request.method} {request.target}".encode())

        zones = zone_store(tmp_path, *(latency_record(region.code, region.address) for region in TOPOLOGY.regions))
        dns = DnsServer(TOPOLOGY, zones, lambda _: True)
        servers = [HttpServer(answer) for _ in TOPOLOGY.regions]
        connection = PlaceConnection(TOPOLOGY, place)
        try:
            await dns.start()
            for server, region in zip(servers, TOPOLOGY.regions, strict=True):
                await server.listen_tcp(region.address, TOPOLOGY.http_port)
            await calls(connection)
        finally:
            await connection.close()
            for server in servers:
                await server.close()
            await dns.close()

    asyncio.run(run())


@pytest.mark.parametrize(("place", "region"), [("dublin", "us-east-1"), ("tokyo", "us-west-2")])
def test_a_place_is_served_by_its_nearest_region(tmp_path: Path, place: str, region: str) -> None:
    async def calls(connection: PlaceConnection) -> None:
        answer = await connection.call("GET", "http://api.lab.test/health?deep=1", timeout_s=60)
        assert (answer.status, answer.region, answer.text) == (200, region, "GET /health?deep=1")
        assert answer.header("x-host") == "api.lab.test"
        assert not answer.timings.from_cache

    from_place(tmp_path, place, calls)


def test_a_second_call_uses_the_kept_dns_answer(tmp_path: Path) -> None:
    async def calls(connection: PlaceConnection) -> None:
        await connection.call("GET", "http://api.lab.test/", timeout_s=60)
        assert (await connection.call("GET", "http://api.lab.test/", timeout_s=60)).timings.from_cache

    from_place(tmp_path, "dublin", calls)


def test_a_region_that_hangs_costs_the_timeout_and_may_have_executed(tmp_path: Path) -> None:
    async def calls(connection: PlaceConnection) -> None:
        with pytest.raises(CallFromPlaceFailed, match=r"dublin: POST .* \(us-east-1\): no answer within") as caught:
            await connection.call("POST", "http://api.lab.test/feedback", timeout_s=0.2)
        assert caught.value.maybe_executed

    from_place(tmp_path, "dublin", calls, silent=True)


def test_a_refused_connection_was_certainly_not_executed() -> None:
    async def run() -> None:
        connection = PlaceConnection(replace(TOPOLOGY, http_port=18081), "dublin")
        try:
            with pytest.raises(CallFromPlaceFailed) as caught:
                await connection.call("POST", "http://127.47.1.1/feedback", timeout_s=60)
            assert not caught.value.maybe_executed
            assert caught.value.region == "us-east-1"
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_name_without_an_address_says_so(tmp_path: Path) -> None:
    async def calls(connection: PlaceConnection) -> None:
        with pytest.raises(CallFromPlaceFailed, match=r"nobody.lab.test has no address \(NXDOMAIN\)"):
            await connection.call("GET", "http://nobody.lab.test/", timeout_s=60)

    from_place(tmp_path, "dublin", calls)


@pytest.mark.parametrize("url", ["https://api.lab.test/", "ftp://x/", "http:///path", "http://x:99999/"])
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(UserError, match=r".*"):
        parse_url(url)


def test_a_deadline_follows_the_speed_down_to_a_floor() -> None:
    assert deadline_s(60, 1) == 60
    assert deadline_s(900, 30) == 30
    assert deadline_s(60, 100) == DEADLINE_FLOOR_S
    assert deadline_s(1, 100) == 1


def test_waiting_returns_the_value_that_came_to_be() -> None:
    answers = iter([None, "", "there"])
    assert eventually(lambda: next(answers), within_s=60, speed=1) == "there"


def test_waiting_says_what_was_last_seen() -> None:
    def condition() -> bool:
        raise LabError("the region is still down")

    with pytest.raises(NotYet, match=r"not within 0\.2 s.*LabError: the region is still down"):
        eventually(condition, within_s=0.2, speed=1)
    with pytest.raises(NotYet, match=r"last seen: 0"):
        eventually(lambda: 0, within_s=0.1, speed=1)


def test_a_mistake_in_a_condition_is_raised_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, within_s=60, speed=1)
