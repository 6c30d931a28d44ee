"""The DNS server over real sockets, asked with dnslib and plain bytes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import dnslib
from dns_lab import BLOCK, EAST, ZONE, Lab, run, values

from lab.core.topology import Topology
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.dns_client import make_query
from lab.live.stub_resolver import StubResolver


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
        lab.flip("check-us-east-1", healthy=False)
        assert values(await lab.ask("api.lab.test", place="dublin")) == ["127.43.2.1"]
        lab.flip("check-us-east-1", healthy=True)
        assert values(await lab.ask("api.lab.test", place="dublin")) == ["127.43.1.1"]

    run(tmp_path, body)


def test_failover_answers_the_secondary_while_the_primary_is_unhealthy(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.1"]
        lab.flip("p", healthy=False)
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.2"]

    run(tmp_path, body)


def test_work_that_holds_the_loop_can_have_waiting_queries_answered(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            address = lab.topology.dns_address
            client.sendto(make_query(7, "active.lab.test", "A", None), (address, lab.server.port))
            lab.server.answer_waiting()  # nothing was awaited: the loop itself had no turn
            answer = dnslib.DNSRecord.parse(client.recv(4096))
        assert values(answer) == ["192.0.2.1"]

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
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 60), "big")
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
        lab.flip("check-us-east-1", healthy=False)
        assert (await stub.lookup_async("api.lab.test")).from_cache
        stub.flush()
        assert (await stub.lookup_async("api.lab.test")).addresses == ("127.43.2.1",)
        away = await stub.lookup_async("away.lab.test")
        assert (away.addresses, away.chain) == (("127.43.1.1",), (EAST,))
        assert (await stub.lookup_async("big.lab.test", "TXT")).tcp
        assert (await stub.lookup_async("nope.lab.test")).rcode == "NXDOMAIN"

    run(tmp_path, body)
