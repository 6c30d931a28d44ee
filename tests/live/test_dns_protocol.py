"""What RFCs ask of an authoritative server, over real sockets: EDNS, case, meta queries, TCP's limits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import dnslib
import pytest
from dns_lab import ZONE, Lab, run, values

from lab.core.zone import HostedZone, RecordSet, Zones
from lab.live.dns_client import make_query
from lab.live.dns_tcp import CONNECTIONS_MAX

LIMIT_S = 60.0


async def code(lab: Lab, record: dnslib.DNSRecord, *, tcp: bool = False) -> int:
    packet = await lab.exchange(bytes(record.pack()), tcp=tcp)
    return packet[3] & 15


def question(name: str, rtype: str = "A", rclass: int = 1) -> dnslib.DNSRecord:
    return dnslib.DNSRecord(dnslib.DNSHeader(id=9), q=dnslib.DNSQuestion(name, getattr(dnslib.QTYPE, rtype), rclass))


def test_the_case_of_the_question_is_kept_in_question_and_answer(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for name in ("AcTiVe.LAB.test", "WWW.lAb.test", "nOpE.lab.TEST", "lab.TEST"):
            for _ in range(2):  # the second answer is a ready one
                packet = await lab.exchange(
                    make_query(1, "placeholder", "A", None).replace(
                        b"\x0bplaceholder", b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
                    )
                )
                record = dnslib.DNSRecord.parse(packet)
                assert str(record.q.qname) == f"{name}."
                owners = [str(rr.rname) for rr in record.rr + record.auth]
                assert owners
                assert all(name.endswith(owner.rstrip(".")) or owner == "api.lab.test." for owner in owners)

    # a chain's second name is the record's own, in lower case
    run(tmp_path, body)


def test_any_is_answered_with_one_small_record(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        (rr,) = (await lab.ask("active.lab.test", "ANY")).rr
        assert rr.rtype == dnslib.QTYPE.HINFO
        assert (await lab.ask("nope.lab.test", "ANY")).header.rcode == 3
        # A CNAME is an answer to ANY (RFC 8482 §4.3), and what it leads to is not asked for.
        for name, target in (("www.lab.test", "api.lab.test."), ("dangling.lab.test", "nope.lab.test.")):
            reply = await lab.ask(name, "ANY")
            (rr,) = reply.rr
            assert (reply.header.rcode, rr.rtype, str(rr.rdata), reply.auth) == (0, dnslib.QTYPE.CNAME, target, [])

    run(tmp_path, body)


@pytest.mark.parametrize("tcp", [False, True])
def test_zone_transfers_are_refused(tmp_path: Path, tcp: bool) -> None:
    async def body(lab: Lab) -> None:
        assert await code(lab, question("lab.test", "AXFR"), tcp=tcp) == 5
        assert await code(lab, question("lab.test", "IXFR"), tcp=tcp) == 5
        incremental = dnslib.DNSRecord.question("lab.test", "IXFR")
        serial = dnslib.SOA("ns.lab.test", "host.lab.test", (1, 2, 3, 4, 5))
        incremental.add_auth(dnslib.RR("lab.test", dnslib.QTYPE.SOA, rdata=serial))
        assert await code(lab, incremental, tcp=tcp) == 5

    run(tmp_path, body)


def test_other_classes_and_opcodes_are_told_apart(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        assert await code(lab, question("version.bind", "TXT", 3)) == 5  # CHAOS
        assert await code(lab, question("lab.test", "A", 255)) == 5
        for opcode in (1, 2, 4, 5, 6, 15):
            record = question("lab.test")
            record.header.opcode = opcode
            packet = await lab.exchange(bytes(record.pack()))
            assert (packet[2] >> 3 & 15, packet[3] & 15) == (opcode, 4)

    run(tmp_path, body)


def test_another_edns_version_gets_badvers_and_the_version_that_is_spoken(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        record = question("active.lab.test")
        record.add_ar(dnslib.EDNS0(udp_len=4096, version=7))
        reply = dnslib.DNSRecord.parse(await lab.exchange(bytes(record.pack())))
        (opt,) = reply.ar
        assert (reply.header.rcode, opt.ttl >> 24, opt.ttl >> 16 & 255, len(reply.rr)) == (0, 1, 0, 0)

    run(tmp_path, body)


def test_unknown_options_and_flags_are_ignored_and_do_is_echoed(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for name, rcode in (("active.lab.test", 0), ("nope.lab.test", 3), ("api.lab.test", 0)):
            record = question(name)
            options = [dnslib.EDNSOption(65001, b"what"), dnslib.EDNSOption(3, b"")]
            record.add_ar(dnslib.EDNS0(udp_len=4096, flags="do", opts=options))
            reply = dnslib.DNSRecord.parse(await lab.exchange(bytes(record.pack())))
            (opt,) = reply.ar
            assert (reply.header.rcode, opt.ttl, opt.rclass, opt.rdata) == (rcode, 0x8000, 1232, [])

    run(tmp_path, body)


def test_a_refusal_has_an_opt_record_if_the_query_has_one(tmp_path: Path) -> None:
    def with_opt(opcode: int = 0, truncated: int = 0, data: bytes = b"") -> bytes:
        record = question("active.lab.test")
        record.header.opcode, record.header.tc = opcode, truncated
        record.add_ar(dnslib.EDNS0(udp_len=4096, opts=[dnslib.EDNSOption(8, data)] if data else []))
        return bytes(record.pack())

    async def body(lab: Lab) -> None:
        for packet, rcode in (
            (with_opt(opcode=2), 4),
            (with_opt(opcode=4), 4),
            (with_opt(truncated=1), 1),
            (with_opt(data=b"\0\1\x18\0ab"), 1),  # a client subnet that lacks a byte
            (with_opt() + b"more", 1),
        ):
            reply = dnslib.DNSRecord.parse(await lab.exchange(packet))
            (opt,) = reply.ar
            assert (reply.header.rcode, opt.rtype, opt.ttl, opt.rclass, opt.rdata) == (rcode, 41, 0, 1232, [])
        bare = question("active.lab.test")
        bare.header.opcode = 2
        assert dnslib.DNSRecord.parse(await lab.exchange(bytes(bare.pack()))).ar == []

    run(tmp_path, body)


def test_without_edns_in_the_query_there_is_none_in_the_answer(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for name in ("active.lab.test", "nope.lab.test", "www.lab.test", "example.com"):
            assert dnslib.DNSRecord.parse(await lab.exchange(bytes(question(name).pack()))).ar == []

    run(tmp_path, body)


def test_an_answer_fits_the_senders_limit_or_says_that_it_was_cut(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        addresses = tuple(f"192.0.2.{n}" for n in range(60))
        zone = HostedZone("Z1", "lab.test.", (*ZONE.record_sets, RecordSet("many.lab.test.", "A", 5, addresses)))
        lab.publish(Zones((zone,)))
        for payload, cut in ((None, True), (512, True), (900, True), (1232, False), (65535, False)):
            record = question("many.lab.test")
            if payload is not None:
                record.add_ar(dnslib.EDNS0(udp_len=payload))
            packet = await lab.exchange(bytes(record.pack()))
            assert len(packet) <= (payload or 512)
            reply = dnslib.DNSRecord.parse(packet)
            assert (bool(reply.header.tc), len(reply.rr)) == (cut, 0 if cut else 60)

    run(tmp_path, body)


def test_values_come_in_random_order(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        pair = RecordSet("pair.lab.test.", "A", 5, ("192.0.2.1", "192.0.2.2"))
        lab.publish(Zones((HostedZone("Z1", "lab.test.", (pair,)),)))
        first = {values(await lab.ask("pair.lab.test"))[0] for _ in range(60)}
        assert first == {"192.0.2.1", "192.0.2.2"}

    run(tmp_path, body)


def test_a_status_that_flips_and_a_weight_that_changes_are_answered_from_then_on(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        for healthy in (True, False, True, False):
            lab.flip("p", healthy=healthy)
            for _ in range(3):
                expected = "192.0.2.1" if healthy else "192.0.2.2"
                assert values(await lab.ask("active.lab.test")) == [expected]
        for weights in ((0, 1), (1, 0)):
            records = tuple(
                RecordSet("w.lab.test.", "A", 5, (f"192.0.2.{n}",), None, str(n), weight=weight)
                for n, weight in enumerate(weights)
            )
            lab.publish(Zones((HostedZone("Z1", "lab.test.", records),)))
            drawn = {values(await lab.ask("w.lab.test"))[0] for _ in range(10)}
            assert drawn == {f"192.0.2.{weights.index(1)}"}

    run(tmp_path, body)


def test_a_delegated_name_is_referred_with_compressed_names(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        records = (
            RecordSet("eu.lab.test.", "NS", 300, ("ns1.eu.lab.test.", "ns2.eu.lab.test.")),
            RecordSet("ns1.eu.lab.test.", "A", 300, ("192.0.2.53",)),
            RecordSet("ns2.eu.lab.test.", "AAAA", 300, ("2001:db8::53",)),
        )
        lab.publish(Zones((HostedZone("Z1", "lab.test.", records),)))
        packet = await lab.exchange(bytes(question("www.eu.lab.test").pack()))
        reply = dnslib.DNSRecord.parse(packet)
        assert (reply.header.aa, reply.header.rcode, len(reply.auth), len(reply.ar)) == (0, 0, 2, 2)
        assert packet.count(b"\x03lab\x04test") == 1

    run(tmp_path, body)


def test_a_silent_tcp_connection_is_dropped_and_a_slow_one_too(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        lab.server.tcp.idle_limit_s = 0.2
        reader, writer = await asyncio.open_connection(lab.topology.global_address, lab.server.port)
        writer.write(b"\0")  # half of a length is not a query
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
        writer.close()

    run(tmp_path, body)


def test_a_connection_that_sends_a_response_is_dropped(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        reader, writer = await asyncio.open_connection(lab.topology.global_address, lab.server.port)
        packet = bytearray(make_query(1, "lab.test", "A", None))
        packet[2] |= 0x80
        writer.write(len(packet).to_bytes(2, "big") + bytes(packet))
        assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
        writer.close()

    run(tmp_path, body)


def test_beyond_the_limit_the_oldest_tcp_connections_go(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        where = (lab.topology.global_address, lab.server.port)
        open_now = [await asyncio.open_connection(*where) for _ in range(CONNECTIONS_MAX + 8)]
        assert await asyncio.wait_for(open_now[0][0].read(), LIMIT_S) == b""
        assert values(await lab.ask("active.lab.test", tcp=True)) == ["192.0.2.1"]
        for _, writer in open_now:
            writer.close()

    run(tmp_path, body)


def test_a_client_that_reads_nothing_is_not_buffered_without_end(tmp_path: Path) -> None:
    async def body(lab: Lab) -> None:
        query = make_query(1, "big.lab.test", "TXT", None)
        message = len(query).to_bytes(2, "big") + query
        with socket.create_connection((lab.topology.global_address, lab.server.port)) as sock:
            sock.setblocking(False)
            for _ in range(50):  # 5,000 queries whose answers are 40 MB
                with contextlib.suppress(BlockingIOError):
                    sock.send(message * 100)
                await asyncio.sleep(0)
            (connection,) = lab.server.tcp.connections
            assert connection.unsent_bytes < 200_000
        assert values(await lab.ask("active.lab.test")) == ["192.0.2.1"]

    run(tmp_path, body)
