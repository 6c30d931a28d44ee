"""Queries out of packets: what dnslib makes is read back, and no bytes at all make the parser raise."""

from __future__ import annotations

import ipaddress
import random

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.route53.query import FORMERR, NOTIMP, Query, Unanswerable, parse_query

NAMES = st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=6).map(".".join)


def packet(name: str = "api.lab.test", rtype: int = 1, opt: dnslib.RR | None = None, **header: int) -> bytes:
    record = dnslib.DNSRecord(dnslib.DNSHeader(id=7, qr=0, rd=1))
    for field, value in header.items():
        setattr(record.header, field, value)
    record.questions.append(dnslib.DNSQuestion(name, rtype))
    if opt is not None:
        record.ar.append(opt)
    return bytes(record.pack())


def with_subnet(family: int, bits: int, scope: int, address: bytes) -> bytes:
    option = dnslib.EDNSOption(8, bytes([0, family, bits, scope]) + address)
    return packet(opt=dnslib.EDNS0(udp_len=1232, opts=[option]))


@settings(deadline=None)
@given(
    name=NAMES,
    rtype=st.integers(0, 65535),
    query_id=st.integers(0, 65535),
    desired=st.booleans(),
    payload=st.none() | st.integers(0, 65535),
    bits=st.none() | st.integers(1, 32),
)
def test_a_query_made_by_dnslib_is_read_as_it_was_meant(
    name: str, rtype: int, query_id: int, desired: bool, payload: int | None, bits: int | None
) -> None:
    opt = None
    subnet = None
    if payload is not None:
        options = [dnslib.EDNSOption(10, b"cookie12")]
        if bits is not None:
            subnet = ipaddress.ip_network(f"198.51.100.77/{bits}", strict=False)
            address = subnet.network_address.packed[: (bits + 7) // 8]
            options.append(dnslib.EDNSOption(8, bytes([0, 1, bits, 0]) + address))
        opt = dnslib.EDNS0(udp_len=payload, flags="do", opts=options)
    query = parse_query(packet(name, rtype, opt, id=query_id, rd=int(desired)))
    assert isinstance(query, Query)
    assert (query.query_id, query.rtype, query.rclass, query.recursion_desired) == (query_id, rtype, 1, desired)
    wire = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    assert (query.name, query.key) == (wire, wire.lower())
    if payload is None:
        assert query.edns is None
    else:
        assert query.edns is not None
        assert (query.edns.payload_max, query.edns.dnssec_ok, query.edns.version) == (max(512, payload), True, 0)
        assert (query.edns.subnet and query.edns.subnet.network) == subnet


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise(data: bytes) -> None:
    assert isinstance(parse_query(data), (Query, Unanswerable))


def test_ten_thousand_mutated_queries_are_read_or_refused() -> None:
    rng = random.Random(5)
    seeds = [packet(), with_subnet(1, 24, 0, b"\xc6\x12\x01"), with_subnet(2, 48, 0, bytes(6)), packet("x" * 63)]
    for _ in range(10_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            match rng.randrange(3):
                case 0 if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
                case 1:
                    del data[rng.randrange(len(data) + 1) :]
                case _:
                    data[rng.randrange(len(data) + 1) : 0] = rng.randbytes(rng.randint(1, 8))
        assert isinstance(parse_query(bytes(data)), (Query, Unanswerable))


def refused(data: bytes) -> int | None:
    found = parse_query(data)
    assert isinstance(found, Unanswerable)
    return found.rcode


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (b"", None),
        (bytes(11), None),
        (packet(qr=1), None),  # a response is never answered
        (packet(opcode=5), NOTIMP),  # UPDATE
        (packet(opcode=4), NOTIMP),  # NOTIFY
        (packet(opcode=1), NOTIMP),  # IQUERY
        (packet()[:-1], FORMERR),
        (packet() + b"\0", FORMERR),
        (packet(tc=1), FORMERR),
        (packet()[:4] + b"\0\2" + packet()[6:], FORMERR),  # two questions announced
        (packet()[:4] + b"\0\0" + packet()[6:], FORMERR),  # none
        (packet()[:12] + b"\xc0\x0c" + packet()[26:], FORMERR),  # a question that points at itself
        (packet()[:12] + b"\x41" + packet()[13:], FORMERR),  # a reserved label type
        (with_subnet(3, 24, 0, b"abc"), FORMERR),  # RFC 7871: an unknown family
        (with_subnet(1, 33, 0, b"abcde"), FORMERR),
        (with_subnet(1, 24, 24, b"abc"), FORMERR),  # a scope in a query
        (with_subnet(1, 24, 0, b"ab"), FORMERR),  # too few bytes
        (with_subnet(1, 24, 0, b"abcd"), FORMERR),  # too many
        (with_subnet(1, 20, 0, b"\xc6\x12\x0f"), FORMERR),  # bits behind the prefix
    ],
)
def test_a_packet_that_is_no_query_gets_the_code_that_it_deserves(data: bytes, rcode: int | None) -> None:
    assert refused(data) == rcode


def test_a_name_of_255_bytes_is_read_and_a_longer_one_is_not() -> None:
    longest = b"".join(bytes([63]) + b"x" * 63 for _ in range(3)) + bytes([61]) + b"x" * 61 + b"\0"
    head, tail = packet()[:12], packet()[-4:]
    assert len(longest) == 255
    assert isinstance(parse_query(head + longest + tail), Query)
    assert refused(head + b"\x01x" + longest + tail) == FORMERR


def test_two_opt_records_are_malformed() -> None:
    opt = dnslib.EDNS0(udp_len=1232)
    record = dnslib.DNSRecord.question("api.lab.test")
    record.ar += [opt, opt]
    assert refused(bytes(record.pack())) == FORMERR


def test_another_edns_version_is_read_so_that_it_can_be_answered() -> None:
    query = parse_query(packet(opt=dnslib.EDNS0(udp_len=1232, version=1)))
    assert isinstance(query, Query)
    assert query.edns is not None
    assert query.edns.version == 1


def test_a_prefix_of_zero_bits_hides_the_client() -> None:
    query = parse_query(with_subnet(1, 0, 0, b""))
    assert isinstance(query, Query)
    assert query.edns is not None and query.edns.subnet is not None
    assert query.edns.subnet.network is None
