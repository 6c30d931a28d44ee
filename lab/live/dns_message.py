"""DNS answers on the wire, packed by dnslib: sections, compression, EDNS with the client subnet's scope, truncation.

What the answer is comes from `lab.core.route53`; nothing is decided here.
"""

from __future__ import annotations

import functools
import random

import dnslib  # type: ignore[import-untyped]
from dnslib.label import DNSLabel  # type: ignore[import-untyped]

from lab.core.route53.answer import Outcome, RRset, shuffled
from lab.core.route53.query import (
    FORMERR,
    NOERROR,
    NOTIMP,
    NXDOMAIN,
    OPTION_CLIENT_SUBNET,
    REFUSED,
    SERVFAIL,
    UDP_PAYLOAD_MAX,
    ClientSubnet,
    Query,
    Unanswerable,
)
from lab.core.route53.rdata import TYPE_NUMBERS, Rdata, parse_value

RCODES = {
    "NOERROR": NOERROR,
    "FORMERR": FORMERR,
    "SERVFAIL": SERVFAIL,
    "NXDOMAIN": NXDOMAIN,
    "NOTIMP": NOTIMP,
    "REFUSED": REFUSED,
}
TCP_MESSAGE_MAX = 65535
EMPTY = Outcome(1.0, "NOERROR", authoritative=False)


class _Rdata(dnslib.RD):  # type: ignore[misc]
    """A value as core made it, names compressed by dnslib."""

    def __init__(self, value: Rdata) -> None:
        super().__init__(value.before)
        self.holds_names = bool(value.names)
        self._labels = [DNSLabel(labels(name)) for name in value.names]
        self._after = value.after

    def pack(self, buffer: dnslib.DNSBuffer) -> None:
        buffer.append(self.data)
        for label in self._labels:
            buffer.encode_name(label)
        buffer.append(self._after)


def labels(wire: bytes) -> tuple[bytes, ...]:
    """The labels of a wire name."""
    found = []
    index = 0
    while wire[index]:
        found.append(wire[index + 1 : index + 1 + wire[index]])
        index += 1 + wire[index]
    return tuple(found)


@functools.lru_cache(maxsize=65536)
def _value(rtype: str, text: str) -> _Rdata:
    return _Rdata(parse_value(rtype, text))


def _owner(name: bytes, query: Query) -> DNSLabel:
    """The owner's name in the case in which the question has it, as far as they are the same (0x20)."""
    if query.key.endswith(name):
        return DNSLabel(labels(query.name[len(query.name) - len(name) :]))
    return DNSLabel(labels(name))


def _add(records: list[dnslib.RR], rrset: RRset, query: Query, rng: random.Random) -> None:
    owner = _owner(rrset.name, query)
    number = TYPE_NUMBERS[rrset.type]
    for text in shuffled(rrset, rng):
        records.append(dnslib.RR(owner, number, 1, rrset.ttl, _value(rrset.type, text)))


def pack_answer(
    query: Query,
    outcome: Outcome,
    rng: random.Random,
    *,
    payload_max: int,
    scope_bits: int = 0,
    rcode: int | None = None,
) -> bytes:
    """The packet that answers a query with an outcome; over `payload_max` bytes it is cut to its head, marked TC."""
    code = RCODES[outcome.rcode] if rcode is None else rcode
    if code == NOERROR and len(outcome.answer) == 1 and not outcome.authority and outcome.answer[0].name == query.key:
        plain = _pack_plain(query, outcome.answer[0], rng, outcome.authoritative, scope_bits)
        if plain is not None and len(plain) <= payload_max:
            return plain
    return _pack_sections(query, outcome, rng, payload_max=payload_max, scope_bits=scope_bits, code=code)


def _pack_plain(query: Query, rrset: RRset, rng: random.Random, authoritative: bool, scope_bits: int) -> bytes | None:
    """The commonest answer without dnslib, ten times as fast: values of the question's name, none holding a name."""
    values = [_value(rrset.type, text) for text in shuffled(rrset, rng)]
    if any(value.holds_names for value in values):
        return None
    head = b"\xc0\x0c" + TYPE_NUMBERS[rrset.type].to_bytes(2, "big") + b"\0\x01" + rrset.ttl.to_bytes(4, "big")
    parts = [
        query.query_id.to_bytes(2, "big"),
        (0x8000 | authoritative << 10 | query.recursion_desired << 8 | query.checking_disabled << 4).to_bytes(2, "big"),
        b"\0\x01",
        len(values).to_bytes(2, "big"),
        b"\0\0\0\0" if query.edns is None else b"\0\0\0\x01",
        query.name,
        query.rtype.to_bytes(2, "big"),
        b"\0\x01",
    ]
    for value in values:
        parts += (head, len(value.data).to_bytes(2, "big"), value.data)
    if query.edns is not None:
        options = b"" if query.edns.subnet is None else _subnet_option(query.edns.subnet, scope_bits)
        flags = b"\x80\0" if query.edns.dnssec_ok else b"\0\0"
        parts += (b"\0\0\x29", UDP_PAYLOAD_MAX.to_bytes(2, "big"), b"\0\0", flags)
        parts += (len(options).to_bytes(2, "big"), options)
    return b"".join(parts)


def _pack_sections(
    query: Query, outcome: Outcome, rng: random.Random, *, payload_max: int, scope_bits: int, code: int
) -> bytes:
    record = dnslib.DNSRecord(_header(query, code & 15, outcome.authoritative))
    record.questions.append(dnslib.DNSQuestion(DNSLabel(labels(query.name)), query.rtype, query.rclass))
    for rrset in outcome.answer:
        _add(record.rr, rrset, query, rng)
    for rrset in outcome.authority:
        _add(record.auth, rrset, query, rng)
    for rrset in outcome.additional:
        _add(record.ar, rrset, query, rng)
    opt = None if query.edns is None else _opt(query, code, scope_bits)
    if opt is not None:
        record.ar.append(opt)
    packet = bytes(record.pack())
    if len(packet) <= payload_max:
        return packet
    # Glue is welcome but not needed; what remains too long is asked again over TCP.
    record.ar = [] if opt is None else [opt]
    packet = bytes(record.pack())
    if len(packet) <= payload_max:
        return packet
    record.rr, record.auth = [], []
    record.header.tc = 1
    return bytes(record.pack())


def pack_code(query: Query, rcode: int) -> bytes:
    """An answer that is only a response code."""
    return pack_answer(query, EMPTY, random.Random(0), payload_max=TCP_MESSAGE_MAX, rcode=rcode)


def pack_unanswerable(packet: Unanswerable) -> bytes | None:
    """The response code that a packet deserves, with its question if it could be read; None for silence."""
    if packet.rcode is None:
        return None
    flags = 0x8000 | packet.opcode << 11 | (0x0100 if packet.recursion_desired else 0) | packet.rcode
    counts = (b"\0\x01" if packet.question else b"\0\0") + bytes(5) + bytes([packet.edns])
    opt = b"\0\0\x29" + UDP_PAYLOAD_MAX.to_bytes(2, "big") + bytes(6) if packet.edns else b""
    return packet.query_id.to_bytes(2, "big") + flags.to_bytes(2, "big") + counts + packet.question + opt


def _header(query: Query, rcode: int, authoritative: bool) -> dnslib.DNSHeader:
    header = dnslib.DNSHeader(
        id=query.query_id, qr=1, aa=int(authoritative), rcode=rcode, rd=int(query.recursion_desired)
    )
    header.ra = 0
    header.cd = int(query.checking_disabled)
    return header


def _subnet_option(subnet: ClientSubnet, scope_bits: int) -> bytes:
    """The client subnet as it was sent, with the prefix length for which the answer holds."""
    scope = 0 if subnet.bits == 0 else scope_bits
    data = bytes([0, subnet.family, subnet.bits, scope]) + subnet.address
    return OPTION_CLIENT_SUBNET.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def _opt(query: Query, code: int, scope_bits: int) -> dnslib.RR:
    assert query.edns is not None
    options = []
    subnet = query.edns.subnet
    if subnet is not None and code in (NOERROR, NXDOMAIN):
        options.append(dnslib.EDNSOption(OPTION_CLIENT_SUBNET, _subnet_option(subnet, scope_bits)[4:]))
    flags = "do" if query.edns.dnssec_ok else ""
    return dnslib.EDNS0(ext_rcode=code >> 4, version=0, flags=flags, udp_len=UDP_PAYLOAD_MAX, opts=options)
