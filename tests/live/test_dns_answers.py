"""Packets in, packets out, without sockets: hostile bytes, and that the short ways agree with the long one."""

from __future__ import annotations

import ipaddress
import random
import resource

import dnslib
import pytest
from dns_lab import ENDPOINTS, ZONE
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.route53.answer import Outcome, RRset
from lab.core.route53.catalog import Catalog
from lab.core.route53.origin import Origins
from lab.core.route53.query import Query, parse_query
from lab.core.route53.rdata import TYPE_NUMBERS
from lab.core.route53.resolver import Resolver
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.data import geography, places
from lab.live.dns_answerer import SOURCES_MAX, Answerer
from lab.live.dns_client import make_query
from lab.live.dns_message import _pack_sections, pack_answer

TOPOLOGY = Topology("127.43", regional_addresses("127.43", ("us-east-1", "us-west-2")), places(), "/none", "/none")
VALUES = {
    "A": "192.0.2.1",
    "AAAA": "2001:db8::1",
    "CAA": '0 issue "ca.example.net"',
    "DS": "2371 13 2 " + "AB" * 32,
    "HTTPS": "1 . alpn=h2",
    "MX": "10 mail.typed.test.",
    "NAPTR": '1 2 "u" "s" "r" x.',
    "PTR": "host.typed.test.",
    "SPF": '"v=spf1 -all"',
    "SRV": "1 2 3 host.typed.test.",
    "SSHFP": "4 2 " + "AB" * 32,
    "SVCB": "1 host.typed.test. port=53",
    "TLSA": "3 1 1 " + "AB" * 32,
    "TXT": '"hello"',
}


def answerer(*zones: HostedZone) -> Answerer:
    origins = Origins(TOPOLOGY, geography())
    catalog = Catalog(Zones(zones or (ZONE,)), ENDPOINTS)
    return Answerer(
        Resolver(catalog, origins, lambda _: True, random.Random(1)), origins, random.Random(1), watched=True
    )


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 5)):
        match rng.randrange(4):
            case 0 if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1 if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 2:
                del data[rng.randrange(len(data) + 1) :]
            case _:
                at = rng.randrange(len(data) + 1)
                data[at:at] = rng.randbytes(rng.randint(1, 16))
    return bytes(data)


def seeds() -> list[bytes]:
    names = ["api.lab.test", "active.lab.test", "nope.lab.test", "big.lab.test", "lab.test", "example.com"]
    subnet = ipaddress.ip_network("198.18.1.0/24")
    plain = [make_query(1, name, rtype, net) for name in names for rtype in ("A", "TXT") for net in (None, subnet)]
    return plain + [packet[:10] + b"\0\0" + packet[12:-11] for packet in plain[::2]]


def attack(count: int, seed: int, target: Answerer) -> None:
    """Every mutated packet gets an answer that answers it, or silence."""
    rng = random.Random(seed)
    corpus = seeds()
    answered = 0
    for _ in range(count):
        packet = mutated(rng, corpus)
        for answer in (target.answer_udp(packet, "127.0.0.1"), target.answer_tcp(packet, "127.0.0.1")):
            if answer is not None:
                answered += 1
                assert answer[:2] == packet[:2] and answer[2] & 0x80 and len(answer) >= 12
    assert answered > count / 2


def test_ten_thousand_mutated_packets_are_answered_or_ignored() -> None:
    attack(10_000, 1, answerer())


@pytest.mark.soak
def test_a_million_mutated_packets_leak_no_memory() -> None:
    target = answerer()
    attack(20_000, 1, target)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(100):
        attack(10_000, seed, target)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert sum(len(table) for table in target.ready_udp.values()) <= target.ready_max
    assert grown_kb < 40_000, f"{grown_kb} KB"  # the ready answers to a thousand odd questions, up to their limit


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    target = answerer()
    target.answer_udp(data, "127.0.0.1")
    target.answer_tcp(data, "127.0.0.1")


LABEL = st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True)


@settings(deadline=None, max_examples=100)
@given(
    labels=st.lists(LABEL, min_size=1, max_size=5),
    edns=st.sampled_from(["none", "plain", "do"]),
    rtype=st.sampled_from(["A", "AAAA", "TXT", "SRV"]),
    cd=st.booleans(),
)
def test_nxdomain_the_short_way_is_nxdomain_the_long_way(labels: list[str], edns: str, rtype: str, cd: bool) -> None:
    record = dnslib.DNSRecord.question(".".join([*labels, "Lab.tesT"]), rtype)
    record.header.cd = int(cd)
    if edns != "none":
        record.add_ar(dnslib.EDNS0(udp_len=1232, flags="do" if edns == "do" else ""))
    packet = bytes(record.pack())
    target = answerer()
    short, long = target.negative.answer(packet), target.answer_tcp(packet, "127.0.0.1")
    assert long is not None
    if long[3] & 15 == 3:
        assert short == long
    else:
        assert short is None


@settings(deadline=None, max_examples=100)
@given(
    rtype=st.sampled_from(["A", "AAAA", "TXT", "CAA", "SRV"]),
    count=st.integers(1, 4),
    ttl=st.integers(0, 2**31 - 1),
    edns=st.sampled_from(["none", "plain", "do", "subnet"]),
    scope=st.integers(0, 32),
)
def test_a_plain_answer_packed_directly_is_what_dnslib_packs(
    rtype: str, count: int, ttl: int, edns: str, scope: int
) -> None:
    record = dnslib.DNSRecord.question("Www.lab.test", rtype)
    if edns == "subnet":
        record.add_ar(dnslib.EDNS0(udp_len=1232, opts=[dnslib.EDNSOption(8, b"\0\1\x18\0\xc6\x12\1")]))
    elif edns != "none":
        record.add_ar(dnslib.EDNS0(udp_len=1232, flags="do" if edns == "do" else ""))
    query = parse_query(bytes(record.pack()))
    assert isinstance(query, Query)
    rrset = RRset(query.key, rtype, ttl, (VALUES[rtype],) * count)
    outcome = Outcome(1.0, "NOERROR", answer=(rrset,))
    direct = pack_answer(query, outcome, random.Random(1), payload_max=4096, scope_bits=scope)
    packed = _pack_sections(query, outcome, random.Random(1), payload_max=4096, scope_bits=scope, code=0)
    assert direct == packed


def test_every_record_type_is_answered_with_its_value() -> None:
    records = tuple(RecordSet(f"{t.lower()}.typed.test.", t, 60, (value,)) for t, value in VALUES.items())
    target = answerer(HostedZone("Z1", "typed.test.", records))
    for rtype, value in VALUES.items():
        answer = target.answer_udp(make_query(1, f"{rtype.lower()}.typed.test", rtype, None), "127.0.0.1")
        assert answer is not None
        (rr,) = dnslib.DNSRecord.parse(answer).rr
        assert rr.rtype == TYPE_NUMBERS[rtype]
        if rtype not in ("SPF", "SVCB"):  # dnslib has no class for these two
            assert rr.rdata.toZone() == value


def test_a_value_that_slipped_through_spoils_its_own_name_only(capsys: pytest.CaptureFixture[str]) -> None:
    records = (RecordSet("bad.lab.test.", "A", 60, ("nonsense",)), RecordSet("good.lab.test.", "A", 60, ("192.0.2.1",)))
    target = answerer(HostedZone("Z1", "lab.test.", records))
    bad = target.answer_udp(make_query(1, "bad.lab.test", "A", None), "127.0.0.1")
    good = target.answer_udp(make_query(1, "good.lab.test", "A", None), "127.0.0.1")
    assert bad is not None and bad[3] & 15 == 2
    assert good is not None and good[3] & 15 == 0
    assert "nonsense" in capsys.readouterr().err


def test_the_ready_answers_are_bounded() -> None:
    target = answerer()
    target.ready_max = 500
    most = 0
    for number in range(2_000):
        query = make_query(0, "api.lab.test", "A", ipaddress.ip_network(f"10.{number >> 8}.{number & 255}.0/24"))
        target.answer_udp(query, f"127.0.{number % 3}.1")
        most = max(most, sum(len(table) for table in target.ready_udp.values()))
    assert most == 500
    query = make_query(0, "api.lab.test", "A", None)
    for number in range(SOURCES_MAX + 10):
        target.answer_udp(query, f"127.1.{number // 250}.{number % 250}")
    assert len(target.ready_udp) <= SOURCES_MAX
