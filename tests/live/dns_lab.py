"""A DNS server on a port of its own with its documents, for tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import dnslib
import orjson

from lab.core import codec
from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import AliasTarget, HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.dns import DnsServer
from lab.live.documents import DocumentStore

BLOCK = "127.43"
EAST, WEST = "east.execute-api.us-east-1.amazonaws.com.", "west.execute-api.us-west-2.amazonaws.com."
ENDPOINTS = EndpointNames(
    (
        EndpointName(EAST, "execute-api", ("127.43.1.1",), "ZEAST", "us-east-1"),
        EndpointName(WEST, "regional-api-domain", ("127.43.2.1",), "ZWEST", "us-west-2"),
    )
)


def latency(region: str, zone_id: str, target: str) -> RecordSet:
    alias = AliasTarget(zone_id, target, True)
    return RecordSet(
        "api.lab.test.", "A", alias=alias, set_identifier=region, region=region, health_check_id=f"check-{region}"
    )


ZONE = HostedZone(
    "Z1",
    "lab.test.",
    (
        latency("us-east-1", "ZEAST", EAST),
        latency("us-west-2", "ZWEST", WEST),
        RecordSet("www.lab.test.", "CNAME", 30, ("api.lab.test.",)),
        RecordSet("dangling.lab.test.", "CNAME", 30, ("nope.lab.test.",)),
        RecordSet("active.lab.test.", "A", 60, ("192.0.2.1",), None, "p", failover="PRIMARY", health_check_id="p"),
        RecordSet("active.lab.test.", "A", 60, ("192.0.2.2",), None, "s", failover="SECONDARY"),
        RecordSet("big.lab.test.", "TXT", 60, tuple(f'"{n:03d} {"x" * 200}"' for n in range(40))),
        RecordSet("a.b.lab.test.", "A", 60, ("192.0.2.3",)),
        RecordSet("away.lab.test.", "CNAME", 60, ("east.execute-api.us-east-1.amazonaws.com.",)),
    ),
)


class Lab:
    """One DNS server on a port of its own, its documents and the health checks that are down."""

    def __init__(self, folder: Path) -> None:
        self.store = DocumentStore(folder)
        self.down: set[str] = set()
        self.topology = Topology(
            BLOCK, regional_addresses(BLOCK, ("us-east-1", "us-west-2")), places(), "/none", "/none", dns_port=0
        )
        self.publish(Zones((ZONE,)), ENDPOINTS)
        self._watchers: list[Callable[[str, bool], None]] = []
        self.server = DnsServer(
            self.topology, self.store, lambda check: check not in self.down, watch_health=self._watchers.append
        )

    def flip(self, health_check_id: str, *, healthy: bool) -> None:
        """Set a health check's status and say so."""
        (self.down.discard if healthy else self.down.add)(health_check_id)
        for watcher in self._watchers:
            watcher(health_check_id, healthy)

    def publish(self, *documents: Any) -> None:
        for document in documents:
            name = {"Zones": "zones", "EndpointNames": "endpoints"}[type(document).__name__]
            self.store.put(name, orjson.dumps(codec.encode(document)))

    async def ask(
        self, name: str, rtype: str = "A", place: str | None = None, *, tcp: bool = False
    ) -> dnslib.DNSRecord:
        query = dnslib.DNSRecord.question(name, rtype)
        if place is not None:
            subnet = self.topology.place(place).subnet.split("/")[0]
            option = dnslib.EDNSOption(8, bytes([0, 1, 24, 0]) + socket.inet_aton(subnet)[:3])
            query.add_ar(dnslib.EDNS0(udp_len=1232, opts=[option]))
        return dnslib.DNSRecord.parse(await self.exchange(bytes(query.pack()), tcp=tcp))

    async def exchange(self, packet: bytes, *, tcp: bool = False) -> bytes:
        return await asyncio.to_thread(self._exchange, packet, tcp)

    def _exchange(self, packet: bytes, tcp: bool) -> bytes:
        where = (self.topology.global_address, self.server.port)
        if tcp:
            with socket.create_connection(where, timeout=60) as sock:
                sock.sendall(len(packet).to_bytes(2, "big") + packet)
                stream = sock.makefile("rb")
                with stream:
                    return stream.read(int.from_bytes(stream.read(2), "big"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(60)
            sock.connect(where)
            sock.send(packet)
            return sock.recv(65535)


def run(folder: Path, test: Callable[[Lab], Awaitable[None]]) -> None:
    async def main() -> None:
        lab = Lab(folder)
        await lab.server.start()
        try:
            await test(lab)
        finally:
            await lab.server.close()

    asyncio.run(main())


def values(record: dnslib.DNSRecord) -> list[str]:
    return [rr.rdata.toZone() for rr in record.rr]
