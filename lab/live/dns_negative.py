"""NXDOMAIN without a walk: what follows the question is the same for all names of one length before the same zone.

Random names fill no cache this way. Anything unusual (wildcards, delegations, EDNS options) is left to the long way.
"""

from __future__ import annotations

import random

from lab.core.route53.answer import Outcome, negative_soa
from lab.core.route53.catalog import Catalog, ZoneTable
from lab.core.route53.query import Query, parse_query
from lab.live.dns_message import pack_answer

_ORDINARY_TYPES = frozenset(range(1, 128)) - {41}
_OPT_BYTES = 11
_PLAIN_OPTS = (b"\0\0\0\0\0", b"\0\x80\0\0\0")
_TAILS_MAX = 20_000


class NegativeAnswers:
    """The tails of a catalog's NXDOMAIN answers: bytes 2 to 12, and what follows the question."""

    def __init__(self, catalog: Catalog) -> None:
        self._zones = {name: zone for name, zone in catalog.zones.items() if not (zone.wildcards or zone.delegations)}
        self._others = catalog.zones.keys() - self._zones.keys()
        self._tails: dict[tuple[bytes, int, bytes, bytes], tuple[bytes, bytes]] = {}

    def answer(self, packet: bytes) -> bytes | None:
        """NXDOMAIN for an ordinary query about a name that does not exist; None leaves it to the long way."""
        if packet[4:10] != b"\0\x01\0\0\0\0" or packet[2] & 0xFE or packet[3] & 0x0F:
            return None
        end = packet.find(0, 12) + 1
        rest = packet[end + 4 :]
        type_class = packet[end : end + 4]
        if type_class[2:] != b"\0\x01" or type_class[0] or type_class[1] not in _ORDINARY_TYPES:
            return None
        if rest:
            # Version 0, no options, no flag but DO.
            if len(rest) != _OPT_BYTES or rest[:3] != b"\0\0\x29" or rest[6:] not in _PLAIN_OPTS:
                return None
            if packet[10:12] != b"\0\x01":
                return None
        elif packet[10:12] != b"\0\0":
            return None
        name = packet[12:end].lower()
        index, last = 0, len(name) - 1
        while index < last:
            suffix = name[index:]
            zone = self._zones.get(suffix)
            if zone is not None:
                if last > 254 or name in zone.groups or not _labels_end(name, index, last):
                    return None
                return self._finish(packet, zone, index, end + 4, rest)
            if suffix in self._others or name[index] > 63:
                return None
            index += 1 + name[index]
        return None

    def _finish(self, packet: bytes, zone: ZoneTable, prefix: int, question_end: int, rest: bytes) -> bytes:
        key = (zone.name, prefix, packet[2:4], rest[7:9])
        parts = self._tails.get(key)
        if parts is None:
            if len(self._tails) >= _TAILS_MAX:
                self._tails.clear()
            parts = self._tails[key] = _make_tail(zone, prefix, packet, question_end)
        return packet[:2] + parts[0] + packet[12:question_end] + parts[1]


def _labels_end(name: bytes, index: int, last: int) -> bool:
    """Whether the zone's part of a name ends exactly at its final zero, no label holding a zero byte."""
    while index < last:
        index += 1 + name[index]
    return index == last


def _make_tail(zone: ZoneTable, prefix: int, packet: bytes, question_end: int) -> tuple[bytes, bytes]:
    query = parse_query(packet)
    assert isinstance(query, Query)
    outcome = Outcome(1.0, "NXDOMAIN", authority=(negative_soa(zone),))
    whole = pack_answer(query, outcome, random.Random(0), payload_max=512)
    return whole[2:12], whole[question_end:]
