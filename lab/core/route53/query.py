"""A DNS query out of a packet's bytes, strictly: header, one question, perhaps an OPT record with a client subnet.

It says what was asked, or which response code a packet deserves, or that it deserves none. It never raises.
RFC 1035 §4.1, RFC 6891 (EDNS), RFC 7871 (client subnet).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from lab.core.route53.origin import Network

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
CLASS_IN, CLASS_ANY = 1, 255
TYPE_OPT, TYPE_AXFR, TYPE_IXFR, TYPE_ANY, TYPE_RRSIG = 41, 252, 251, 255, 46
_IXFR = TYPE_IXFR.to_bytes(2, "big")
OPTION_CLIENT_SUBNET = 8
UDP_PAYLOAD_DEFAULT = 512
UDP_PAYLOAD_MAX = 1232
"""What is sent in one datagram at most, so that no path fragments it (the DNS flag day's figure)."""

_ADDRESS_BYTES = {1: 4, 2: 16}


@dataclass(frozen=True)
class ClientSubnet:
    """The option as it was sent; `bits` is the source prefix length. `network` is None if `bits` is 0."""

    family: int
    bits: int
    address: bytes
    network: Network | None


@dataclass(frozen=True)
class Edns:
    """The OPT record. `payload_max` is the sender's UDP limit in bytes, at least 512."""

    payload_max: int
    version: int
    dnssec_ok: bool
    subnet: ClientSubnet | None


@dataclass(frozen=True)
class Query:
    """One question. `name` is as sent, `key` in lower case; both in wire form. `question_end` is its offset."""

    query_id: int
    opcode: int
    recursion_desired: bool
    name: bytes
    key: bytes
    rtype: int
    rclass: int
    question_end: int
    edns: Edns | None
    checking_disabled: bool = False


@dataclass(frozen=True)
class Unanswerable:
    """A packet that gets a bare response code, or (`rcode` None) nothing. `question` is echoed if it was read.

    `edns` says that the packet has an OPT record, so that the answer must have one too (RFC 6891 §7).
    """

    query_id: int
    opcode: int
    rcode: int | None
    recursion_desired: bool = False
    question: bytes = b""
    edns: bool = False


class _Malformed(Exception):
    pass


def parse_query(packet: bytes) -> Query | Unanswerable:
    """What a packet asks."""
    if len(packet) < 12:
        return Unanswerable(0, 0, None)
    query_id = packet[0] << 8 | packet[1]
    flags = packet[2] << 8 | packet[3]
    opcode = flags >> 11 & 15
    desired = bool(flags & 0x0100)
    if flags & 0x8000:
        return Unanswerable(query_id, opcode, None)  # a response: answering it could make two servers talk for ever
    if opcode != 0:
        return Unanswerable(query_id, opcode, NOTIMP, desired, edns=_has_opt(packet))
    questions, answers, authorities, additionals = (packet[n] << 8 | packet[n + 1] for n in (4, 6, 8, 10))
    if questions != 1 or flags & 0x0200:
        return Unanswerable(query_id, opcode, FORMERR, desired, edns=_has_opt(packet))
    question = b""
    try:
        end = _name_end(packet, 12)
        if end + 4 > len(packet):
            raise _Malformed
        question = packet[12 : end + 4]
        offset = end + 4
        if not answers and authorities == 1 and packet[end : end + 2] == _IXFR:
            offset = _skip_record(packet, offset)  # the SOA that the other side has; IXFR is refused all the same
        elif answers or authorities:
            raise _Malformed  # an ordinary query has neither
        edns = _additional(packet, offset, additionals)
    except _Malformed:
        return Unanswerable(query_id, opcode, FORMERR, desired, question, _has_opt(packet))
    name = packet[12:end]
    rtype, rclass = packet[end] << 8 | packet[end + 1], packet[end + 2] << 8 | packet[end + 3]
    return Query(query_id, opcode, desired, name, name.lower(), rtype, rclass, end + 4, edns, bool(flags & 0x0010))


def _name_end(packet: bytes, offset: int) -> int:
    """The offset behind an uncompressed name."""
    start = offset
    while True:
        if offset >= len(packet):
            raise _Malformed
        length = packet[offset]
        if length == 0:
            return offset + 1
        if length > 63 or offset - start + length + 2 > 255:
            raise _Malformed
        offset += 1 + length


def _skip_name(packet: bytes, offset: int) -> int:
    """The offset behind a name that may end with a compression pointer."""
    while offset < len(packet):
        length = packet[offset]
        if length == 0:
            return offset + 1
        if length >= 192:
            return offset + 2
        if length > 63:
            break
        offset += 1 + length
    raise _Malformed


def _skip_record(packet: bytes, offset: int) -> int:
    """The offset behind a resource record."""
    offset = _skip_name(packet, offset)
    if offset + 10 > len(packet):
        raise _Malformed
    return offset + 10 + (packet[offset + 8] << 8 | packet[offset + 9])


def _has_opt(packet: bytes) -> bool:
    """Whether an OPT record can be made out in a packet that is of another form than queries have."""
    questions, *records = (packet[n] << 8 | packet[n + 1] for n in (4, 6, 8, 10))
    offset = 12
    try:
        for _ in range(questions):
            offset = _skip_name(packet, offset) + 4
        for _ in range(sum(records)):
            if packet[offset : offset + 3] == b"\0\0\x29":
                return True
            offset = _skip_record(packet, offset)
    except _Malformed:
        pass
    return False


def _additional(packet: bytes, offset: int, count: int) -> Edns | None:
    """The OPT record among the additional records; others (TSIG, SIG(0)) are stepped over."""
    edns: Edns | None = None
    for _ in range(count):
        start = offset
        offset = _skip_name(packet, offset)
        if offset + 10 > len(packet):
            raise _Malformed
        rtype = packet[offset] << 8 | packet[offset + 1]
        length = packet[offset + 8] << 8 | packet[offset + 9]
        end = offset + 10 + length
        if end > len(packet):
            raise _Malformed
        if rtype == TYPE_OPT:
            if edns is not None or packet[start] != 0:
                raise _Malformed
            edns = _edns(packet, offset, end)
        offset = end
    if offset != len(packet):
        raise _Malformed
    return edns


def _edns(packet: bytes, offset: int, end: int) -> Edns:
    payload_max = max(UDP_PAYLOAD_DEFAULT, packet[offset + 2] << 8 | packet[offset + 3])
    version = packet[offset + 5]
    dnssec_ok = bool(packet[offset + 6] & 0x80)
    subnet: ClientSubnet | None = None
    offset += 10
    if version != 0:
        return Edns(payload_max, version, dnssec_ok, None)  # another version's options may mean anything
    while offset < end:
        if offset + 4 > end:
            raise _Malformed
        code, length = packet[offset] << 8 | packet[offset + 1], packet[offset + 2] << 8 | packet[offset + 3]
        offset += 4
        if offset + length > end:
            raise _Malformed
        if code == OPTION_CLIENT_SUBNET and subnet is None:
            subnet = _client_subnet(packet[offset : offset + length])
        offset += length
    return Edns(payload_max, version, dnssec_ok, subnet)


def _client_subnet(data: bytes) -> ClientSubnet:
    """RFC 7871 §6: an unknown family, a scope, or bits behind the prefix in a query are malformed."""
    if len(data) < 4:
        raise _Malformed
    family, bits, scope, address = data[0] << 8 | data[1], data[2], data[3], data[4:]
    size = _ADDRESS_BYTES.get(family)
    if size is None or bits > size * 8 or scope != 0 or len(address) != (bits + 7) // 8:
        raise _Malformed
    if bits % 8 and address[-1] & (0xFF >> bits % 8):
        raise _Malformed
    if bits == 0:
        return ClientSubnet(family, 0, b"", None)
    whole = address + bytes(size - len(address))
    network = ipaddress.IPv4Network((whole, bits)) if family == 1 else ipaddress.IPv6Network((whole, bits))
    return ClientSubnet(family, bits, address, network)
