"""The DNS server over real sockets, asked with dnslib and plain bytes."""

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
from lab.live.dns_client import make_query
from lab.live.documents import DocumentStore
from lab.live.stub_resolver import StubResolver

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
        self.server = DnsServer(self.topology, self.store, lambda check: check not in self.down)

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
            with socket.create_connection(where, timeout=5) as sock:
                sock.sendall(len(packet).to_bytes(2, "big") + packet)
                stream = sock.makefile("rb")
                with stream:
                    return stream.read(int.from_bytes(stream.read(2), "big"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
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


def test_each_place_is_answered_with_the_region_of_the_least_latency(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert values(await lab.ask("api.lab.test", place="dublin")) == ["127.43.1.1"]
        assert values(await lab.ask("api.lab.test", place="seattle")) == ["127.43.2.1"]
        assert values(await lab.ask("api.lab.test", place="tokyo", tcp=True)) == ["127.43.2.1"]

    run(tmp_path, body)


def test_the_scope_says_for_which_prefix_an_answer_holds(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for name, scope in (("api.lab.test", 24), ("active.lab.test", 0)):
            (opt,) = (await lab.ask(name, place="dublin")).ar
            assert opt.rdata[0].code == 8
            assert list(opt.rdata[0].data[:4]) == [0, 1, 24, scope]

    run(tmp_path, body)


def test_an_unhealthy_region_is_answered_no_more_and_a_healed_one_again(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        lab.down.add("check-us-east-1")
        assert values(await lab.ask("api.lab.test", place="dublin")) == ["127.43.2.1"]
        lab.down.clear()
        assert values(await lab.ask("api.lab.test", place="dublin")) == ["127.43.1.1"]

    run(tmp_path, body)


def test_failover_answers_the_secondary_while_the_primary_is_unhealthy(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.1"]
        lab.down.add("p")
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.2"]

    run(tmp_path, body)


def test_a_name_that_does_not_exist_and_a_type_that_does_not_are_told_apart(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for name, rtype, rcode in (
            ("nope.lab.test", "A", 3),
            ("api.lab.test", "MX", 0),
            ("b.lab.test", "A", 0),  # an empty non-terminal exists
        ):
            record = await lab.ask(name, rtype)
            assert (record.header.rcode, record.header.aa, len(record.rr)) == (rcode, 1, 0)
            (soa,) = record.auth
            assert (str(soa.rname), soa.rtype, soa.ttl) == ("lab.test.", dnslib.QTYPE.SOA, 900)

    run(tmp_path, body)


def test_every_zone_has_the_soa_and_the_four_name_servers_that_route_53_makes(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        (soa,) = (await lab.ask("lab.test", "SOA")).rr
        assert soa.rdata.times == (1, 7200, 900, 1209600, 86400)
        servers = (await lab.ask("lab.test", "NS")).rr
        assert len(servers) == 4
        assert {rr.ttl for rr in servers} == {172800}
        assert str(soa.rdata.mname) in {str(rr.rdata.label) for rr in servers}

    run(tmp_path, body)


def test_names_outside_the_zones_are_refused(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        record = await lab.ask("example.com")
        assert (record.header.rcode, record.header.aa) == (5, 0)

    run(tmp_path, body)


def test_a_cname_is_followed_within_the_zone(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert values(await lab.ask("www.lab.test", place="dublin")) == ["api.lab.test.", "127.43.1.1"]

    run(tmp_path, body)


def test_a_long_answer_is_truncated_on_udp_and_whole_on_tcp(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        cut = await lab.ask("big.lab.test", "TXT")
        assert (cut.header.tc, len(cut.rr)) == (1, 0)
        assert len((await lab.ask("big.lab.test", "TXT", tcp=True)).rr) == 40

    run(tmp_path, body)


def test_several_queries_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        reader, writer = await asyncio.open_connection(lab.topology.global_address, lab.server.port)
        names = ["active.lab.test", "nope.lab.test", "lab.test"]
        packets = [make_query(n, name, "A", None) for n, name in enumerate(names)]
        writer.write(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))
        for number in range(len(names)):
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
            record = dnslib.DNSRecord.parse(await reader.readexactly(length))
            assert record.header.id == number
        writer.close()
        await writer.wait_closed()

    run(tmp_path, body)


def test_malformed_packets_get_the_protocols_error_or_silence_and_never_stop_it(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        query = make_query(7, "active.lab.test", "A", None)
        assert (await lab.exchange(query[:-3]))[3] & 15 == 1  # FORMERR
        assert (await lab.exchange(query[:2] + b"\x28" + query[3:]))[3] & 15 == 4  # an UPDATE: NOTIMP
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for silent in (b"", b"\0", b"\xff" * 11, query[:2] + b"\x81" + query[3:]):
                sock.sendto(silent, (lab.topology.global_address, lab.server.port))
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.1"]

    run(tmp_path, body)


def test_a_published_change_is_answered_at_once(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert (await lab.ask("new.lab.test")).header.rcode == 3
        added = RecordSet("new.lab.test.", "A", 5, ("192.0.2.9",))
        lab.publish(Zones((HostedZone("Z1", "lab.test.", (*ZONE.record_sets, added)),)))
        assert values(await lab.ask("new.lab.test")) == ["192.0.2.9"]

    run(tmp_path, body)


def test_the_explanation_is_the_answer_with_its_reasons(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        dublin = lab.topology.place("dublin")
        told = lab.server.explain({"name": "api.lab.test", "type": "A", "client": dublin.client_address})
        assert told["rcode"] == "NOERROR"
        assert [answer["value"] for answer in told["answers"]] == ["127.43.1.1"]
        assert told["record"] == {"name": "api.lab.test.", "type": "A", "set_identifier": "us-east-1"}
        assert told["subnet_bits"] == 24
        assert any("dublin" in line["text"] for line in told["reason"])

    run(tmp_path, body)


def test_a_stub_resolver_asks_once_a_ttl_and_follows_a_cname_out_of_the_zone(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        topology = Topology(BLOCK, lab.topology.regions, places(), "/none", "/none", dns_port=lab.server.port)
        stub = StubResolver(topology, "dublin")
        first = await stub.lookup_async("api.lab.test")
        assert (first.addresses, first.ttl_s, first.from_cache, first.rcode) == (("127.43.1.1",), 60, False, "NOERROR")
        lab.down.add("check-us-east-1")
        assert (await stub.lookup_async("api.lab.test")).from_cache
        stub.flush()
        assert (await stub.lookup_async("api.lab.test")).addresses == ("127.43.2.1",)
        away = await stub.lookup_async("away.lab.test")
        assert (away.addresses, away.chain) == (("127.43.1.1",), (EAST,))
        assert (await stub.lookup_async("big.lab.test", "TXT")).tcp
        assert (await stub.lookup_async("nope.lab.test")).rcode == "NXDOMAIN"

    run(tmp_path, body)
