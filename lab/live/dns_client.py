"""DNS from the client's side: queries with a client subnet, and replies parsed by dnslib."""

from __future__ import annotations

import ipaddress

import dnslib  # type: ignore[import-untyped]

from lab.core.route53.name import to_text, to_wire
from lab.core.route53.query import OPTION_CLIENT_SUBNET, UDP_PAYLOAD_MAX
from lab.core.route53.rdata import TYPE_NUMBERS
from lab.core.stub_resolver import Reply, ReplyRecord

_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def make_query(
    query_id: int, name: str, rtype: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network | None
) -> bytes:
    """A query of class IN with EDNS, recursion desired. Raises NameSyntaxError, KeyError for an unknown type."""
    wire = to_wire(name)
    question = wire + TYPE_NUMBERS[rtype].to_bytes(2, "big") + b"\0\x01"
    options = b""
    if subnet is not None:
        address = subnet.network_address.packed[: (subnet.prefixlen + 7) // 8]
        option = bytes([0, 1 if subnet.version == 4 else 2, subnet.prefixlen, 0]) + address
        options = OPTION_CLIENT_SUBNET.to_bytes(2, "big") + len(option).to_bytes(2, "big") + option
    opt = b"\0\0\x29" + UDP_PAYLOAD_MAX.to_bytes(2, "big") + bytes(4) + len(options).to_bytes(2, "big") + options
    return query_id.to_bytes(2, "big") + b"\x01\0\0\x01\0\0\0\0\0\x01" + question + opt


def parse_reply(packet: bytes, query: bytes) -> Reply | None:
    """The reply to a query; None if the packet is none (another id or question, or not DNS at all)."""
    try:
        record = dnslib.DNSRecord.parse(packet)
    except (dnslib.DNSError, ValueError, UnicodeDecodeError):
        return None
    header = record.header
    question_end = query.index(b"\0", 12) + 5
    same_question = packet[12:question_end].lower() == query[12:question_end].lower()
    if not header.qr or header.id != int.from_bytes(query[:2], "big") or not same_question:
        return None
    records = tuple(ReplyRecord(_text(rr.rname), dnslib.QTYPE.get(rr.rtype), rr.ttl, _value(rr)) for rr in record.rr)
    soa = next((rr for rr in record.auth if rr.rtype == TYPE_NUMBERS["SOA"]), None)
    negative_ttl_s = 0 if soa is None else min(soa.ttl, soa.rdata.times[4])
    return Reply(_RCODES.get(header.rcode, str(header.rcode)), records, bool(header.tc), negative_ttl_s)


def _text(label: dnslib.DNSLabel) -> str:
    wire = b"".join(bytes([len(part)]) + bytes(part) for part in label.label) + b"\0"
    return to_text(wire.lower())


def _value(rr: dnslib.RR) -> str:
    if rr.rtype in (TYPE_NUMBERS["CNAME"], TYPE_NUMBERS["NS"], TYPE_NUMBERS["PTR"]):
        return _text(rr.rdata.label)
    return str(rr.rdata.toZone())
