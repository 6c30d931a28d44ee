"""All zones: which one a name belongs to, and the lab's own names. What a zone holds is in `zone_table`."""

from __future__ import annotations

from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.route53.name import to_text, to_wire
from lab.core.route53.zone_table import (
    Group,
    ZoneTable,
    apex_records,
    build_zone_table,
    changed_zone_table,
    name_servers,
)
from lab.core.zone import CidrCollection, HostedZone, RecordSet, Zones

__all__ = ["Catalog", "Group", "ZoneTable", "apex_records", "name_servers"]


class Catalog:
    """All zones and the lab's own names. `before` is an earlier catalog, whose tables serve where nothing changed."""

    def __init__(self, zones: Zones, endpoints: EndpointNames, before: Catalog | None = None) -> None:
        self.collections: dict[str, CidrCollection] = {c.collection_id: c for c in zones.cidr_collections}
        self.endpoints: dict[bytes, EndpointName] = {to_wire(name.name): name for name in endpoints.names}
        self.zones: dict[bytes, ZoneTable] = {}
        self._by_id: dict[str, ZoneTable] = {}
        self.skipped: list[str] = []
        for zone in zones.zones:
            table = _table(zone, before.zone_by_id(zone.zone_id) if before is not None else None)
            self.skipped += table.skipped
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


def _table(zone: HostedZone, known: ZoneTable | None) -> ZoneTable:
    """A zone's table, taken over from the catalog before as far as the zone is the same."""
    if known is None:
        return build_zone_table(zone)
    return known if known.source is zone else changed_zone_table(known, zone) or build_zone_table(zone)


def _endpoint_zone(wire: bytes, endpoint: EndpointName) -> ZoneTable:
    """A zone of its own for one of the lab's names, so that a CNAME to it leads somewhere."""
    text = to_text(wire)
    ns, soa = apex_records(endpoint.hosted_zone_id, text)
    address = RecordSet(text, "A", endpoint.ttl, endpoint.addresses)
    table = ZoneTable(endpoint.hosted_zone_id, wire, text, {wire: {"A": (address,), "NS": (ns,), "SOA": (soa,)}})
    if endpoint.kind == "s3-website":  # BUCKET.s3-website-REGION.amazonaws.com
        table.groups[b"\x01*" + wire] = {"A": (RecordSet(f"*.{text}", "A", endpoint.ttl, endpoint.addresses),)}
        table.children, table.wildcard_count = {wire: 1}, 1
    return table
