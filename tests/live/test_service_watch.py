"""Aliases that evaluate their target's health, where the target is a regional service of AWS's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from dns_lab import BLOCK
from waiting import eventually_async

from lab.core import codec
from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import AliasTarget, HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.clock import Clock
from lab.live.dns import DnsServer
from lab.live.dns_client import make_query, parse_reply
from lab.live.documents import DocumentStore
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.live.service_watch import ServiceWatch

REGIONS = ("us-east-1", "us-west-2")
SPEED = 300.0


class World:
    """Two regions' data planes, and a name with a failover pair of aliases and no health check."""

    def __init__(self, folder: Path, port: int) -> None:
        self.topology = Topology(
            BLOCK, regional_addresses(BLOCK, REGIONS), places(), "/none", "/none", SPEED, http_port=port, dns_port=0
        )
        self.answers: dict[str, Response | None] = dict.fromkeys(REGIONS, Response(403))
        self.hosts: set[str | None] = set()
        self.looks = 0
        self.servers = {code: HttpServer(self._answer(code)) for code in REGIONS}
        store = DocumentStore(folder)
        names = tuple(
            EndpointName(f"d-1.{code}.test.", "regional-api-domain", (f"{BLOCK}.{n}.1",), f"Z{n}", code)
            for n, code in enumerate(REGIONS, 1)
        )
        records = tuple(
            RecordSet(
                "api.lab.test.",
                "A",
                alias=AliasTarget(name.hosted_zone_id, name.name, True),
                set_identifier=name.region,
                failover="PRIMARY" if name.region == REGIONS[0] else "SECONDARY",
            )
            for name in names
        )
        for key, document in (
            ("zones", Zones((HostedZone("Z", "lab.test.", records),))),
            ("endpoints", EndpointNames(names)),
        ):
            store.put(key, orjson.dumps(codec.encode(document)))
        self.services = ServiceWatch(self.topology, Clock(SPEED))
        self.dns = DnsServer(self.topology, store, lambda check: True, endpoint_health=self.services.is_available)

    def _answer(self, code: str) -> Callable[[Request], Awaitable[Response | None]]:
        async def answer(request: Request) -> Response | None:
            self.looks += 1
            self.hosts.add(request.header("host"))
            return self.answers[code]

        return answer

    async def start(self) -> None:
        for region in self.topology.regions:
            await self.servers[region.code].listen_tcp(region.address, self.topology.http_port)
        await self.dns.start()
        self.services.watch(self.dns.refresh)

    async def close(self) -> None:
        await self.services.close()
        await self.dns.close()
        for server in self.servers.values():
            await server.close()

    async def address(self) -> str:
        """What the DNS server answers, over UDP."""
        return await asyncio.to_thread(self._ask)

    def _ask(self) -> str:
        query = make_query(1, "api.lab.test", "A", None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(30)
            sock.connect((self.topology.global_address, self.dns.port))
            sock.send(query)
            reply = parse_reply(sock.recv(4096), query)
        assert reply is not None
        return reply.records[0].value

    async def until(self, address: str) -> None:
        async def answered() -> bool:
            assert (given := await self.address()) == address, f"the answer is {given}"
            return True

        await eventually_async(answered, f"{address} is answered")


def run(folder: Path, test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        spare = await asyncio.start_server(lambda r, w: None, f"{BLOCK}.1.1", 0)
        port = spare.sockets[0].getsockname()[1]
        spare.close()
        await spare.wait_closed()
        world = World(folder, port)
        await world.start()
        try:
            await test(world)
        finally:
            await world.close()

    asyncio.run(main())


EAST, WEST = f"{BLOCK}.1.1", f"{BLOCK}.2.1"


def test_an_alias_to_an_api_fails_over_when_api_gateway_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.until(EAST)
        world.servers["us-east-1"].stop_listening()
        await world.until(WEST)
        await world.servers["us-east-1"].listen_tcp(EAST, world.topology.http_port)
        await world.until(EAST)
        assert world.hosts == {f"execute-api.{code}.amazonaws.com" for code in REGIONS}

    run(tmp_path, body)


@pytest.mark.parametrize("answer", [None, Response(503)], ids=["hangs", "answers 503"])
def test_a_service_that_hangs_or_fails_is_unavailable(tmp_path: Path, answer: Response | None) -> None:
    async def body(world: World) -> None:
        await world.until(EAST)
        world.answers["us-east-1"] = answer
        await world.until(WEST)

    run(tmp_path, body)


def test_a_service_that_answers_is_available_whatever_it_says_of_the_request(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        await world.until(EAST)
        await eventually_async(lambda: world.looks >= 10, "ten looks at the services")
        await world.until(EAST)  # at once, unless a stall of the machine made a look late

    run(tmp_path, body)
