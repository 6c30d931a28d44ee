"""The zones as tables: which zone a name belongs to, which record sets it has, where a wildcard or a delegation stands.

Built once per published configuration. Which record of a group answers is `policy`'s and `resolver`'s business.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.route53.name import NameSyntaxError, ancestors, parent, to_text, to_wire
from lab.core.route53.rdata import TYPE_NUMBERS
from lab.core.zone import CidrCollection, HostedZone, RecordSet, Zones

NS_TTL_S = 172800
SOA_TTL_S = 900
Group = tuple[RecordSet, ...]


def name_servers(zone_id: str) -> tuple[str, ...]:
    """Four server names of the form that Route 53 gives to a zone, always the same for one zone."""
    number = zlib.crc32(zone_id.encode())
    return tuple(
        f"ns-{512 * n + (number >> (5 * n)) % 512}.awsdns-{(number >> (3 * n)) % 64:02d}.{tld}."
        for n, tld in enumerate(("com", "net", "org", "co.uk"))
    )


def apex_records(zone_id: str, name: str) -> tuple[RecordSet, RecordSet]:
    """The NS and SOA record sets of a new zone.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html
    """
    servers = name_servers(zone_id)
    soa = f"{servers[0]} awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
    return RecordSet(name, "NS", NS_TTL_S, servers), RecordSet(name, "SOA", SOA_TTL_S, (soa,))


@dataclass
class ZoneTable:
    """One zone. `groups` is keyed by wire name, then type; a name with an empty dict is an empty non-terminal."""

    zone_id: str
    name: bytes
    text: str
    groups: dict[bytes, dict[str, Group]] = field(default_factory=dict)
    delegations: set[bytes] = field(default_factory=set)
    wildcards: bool = False

    def at(self, name: bytes) -> dict[str, Group] | None:
        """The groups of exactly this name; None if the name does not exist."""
        return self.groups.get(name)

    def wildcard_for(self, name: bytes) -> bytes | None:
        """The wildcard that covers a name which does not exist (RFC 4592: at the closest encloser only)."""
        if not self.wildcards:
            return None
        while name != self.name:
            name = parent(name)
            if name in self.groups:
                wildcard = b"\x01*" + name
                return wildcard if wildcard in self.groups else None
        return None

    def delegation_above(self, name: bytes) -> bytes | None:
        """The zone cut at or above a name, the one nearest to the apex."""
        if not self.delegations:
            return None
        cut = None
        for ancestor in ancestors(name):
            if ancestor == self.name:
                break
            if ancestor in self.delegations:
                cut = ancestor
        return cut


class Catalog:
    """All zones and the lab's own names."""

    def __init__(self, zones: Zones, endpoints: EndpointNames) -> None:
        self.collections: dict[str, CidrCollection] = {c.collection_id: c for c in zones.cidr_collections}
        self.endpoints: dict[bytes, EndpointName] = {to_wire(name.name): name for name in endpoints.names}
        self.zones: dict[bytes, ZoneTable] = {}
        self._by_id: dict[str, ZoneTable] = {}
        self.skipped: list[str] = []
        for zone in zones.zones:
            table = self._table(zone)
            # Of several zones with one name the first made answers here: there is one address, not four servers each.
            self.zones.setdefault(table.name, table)
            self._by_id[zone.zone_id] = table
        for wire, endpoint in self.endpoints.items():
            if self.zone_of(wire) is None:
                self.zones[wire] = _endpoint_zone(wire, endpoint)

    def zone_of(self, name: bytes) -> ZoneTable | None:
        """The zone that a name belongs to: the longest that holds it."""
        zones = self.zones
        while True:
            zone = zones.get(name)
            if zone is not None:
                return zone
            if not name[0]:
                return None
            name = name[1 + name[0] :]

    def zone_by_id(self, zone_id: str) -> ZoneTable | None:
        """The zone with this id, with or without the prefix `/hostedzone/`."""
        return self._by_id.get(zone_id.removeprefix("/hostedzone/"))

    def _table(self, zone: HostedZone) -> ZoneTable:
        apex = to_wire(zone.name)
        table = ZoneTable(zone.zone_id, apex, to_text(apex))
        groups: dict[bytes, dict[str, list[RecordSet]]] = {apex: {}}
        for record in zone.record_sets:
            try:
                name = to_wire(record.name)
            except NameSyntaxError as error:
                self.skipped.append(str(error))
                continue
            if record.type not in TYPE_NUMBERS:
                self.skipped.append(f"{record.name} has the unknown type {record.type}")
                continue
            groups.setdefault(name, {}).setdefault(record.type, []).append(record)
        for record in apex_records(zone.zone_id, table.text):
            groups[apex].setdefault(record.type, [record])
        for name in list(groups):
            above = name
            while above != apex and above[0]:
                above = parent(above)
                groups.setdefault(above, {})
            if name != apex and "NS" in groups[name]:
                table.delegations.add(name)
            table.wildcards = table.wildcards or name.startswith(b"\x01*")
        table.groups = {name: {t: tuple(g) for t, g in types.items()} for name, types in groups.items()}
        return table


def _endpoint_zone(wire: bytes, endpoint: EndpointName) -> ZoneTable:
    """A zone of its own for one of the lab's names, so that a CNAME to it leads somewhere."""
    text = to_text(wire)
    ns, soa = apex_records(endpoint.hosted_zone_id, text)
    address = RecordSet(text, "A", endpoint.ttl, endpoint.addresses)
    return ZoneTable(endpoint.hosted_zone_id, wire, text, {wire: {"A": (address,), "NS": (ns,), "SOA": (soa,)}})
