"""What changed in zones since a version that both sides have: stretches of record sets, by their place in the zone.

A change of one record in ten thousand is told, kept on disk and taken in the time of one record. Who may send it and to
whom is the publisher's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lab.core.zone import HostedZone, RecordSet, Zones


class ChangeDoesNotFit(ValueError):
    """The change was made for other zones than these."""


@dataclass(frozen=True)
class RecordSplice:
    """From `start` on, `removed` record sets of a zone give way to `record_sets`; then it has `count` of them."""

    zone_id: str
    start: int
    removed: int
    record_sets: tuple[RecordSet, ...]
    count: int


@dataclass(frozen=True)
class ZonesChange:
    """What is to be done to the zones, in this order."""

    splices: tuple[RecordSplice, ...] = ()


def changed_zones(zones: Zones, change: ZonesChange) -> Zones:
    """The zones after a change; records that it does not name stay the same objects. Raises ChangeDoesNotFit."""
    lists = _spliced({zone.zone_id: zone.record_sets for zone in zones.zones}, change)
    return replace(zones, zones=tuple(_with(zone, lists.get(zone.zone_id)) for zone in zones.zones))


def changed_zones_json(zones: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The same for both as JSON values, for who keeps a document in this form. The change must fit."""
    typed = ZonesChange(tuple(RecordSplice(**splice) for splice in change["splices"]))
    lists = _spliced({zone["zone_id"]: zone["record_sets"] for zone in zones["zones"]}, typed)
    made = [
        {**zone, "record_sets": lists[zone["zone_id"]]} if zone["zone_id"] in lists else zone for zone in zones["zones"]
    ]
    return {**zones, "zones": made}


def _with(zone: HostedZone, record_sets: list[RecordSet] | None) -> HostedZone:
    return zone if record_sets is None else replace(zone, record_sets=tuple(record_sets))


def _spliced(known: dict[str, Any], change: ZonesChange) -> dict[str, list[Any]]:
    """The record sets of the zones that are changed."""
    lists: dict[str, list[Any]] = {}
    for splice in change.splices:
        if splice.zone_id not in known:
            raise ChangeDoesNotFit(f"there is no zone {splice.zone_id}")
        records = lists.setdefault(splice.zone_id, list(known[splice.zone_id]))
        if not 0 <= splice.start <= splice.start + splice.removed <= len(records):
            raise ChangeDoesNotFit(f"zone {splice.zone_id} has no record sets {splice.start} + {splice.removed}")
        records[splice.start : splice.start + splice.removed] = splice.record_sets
        if len(records) != splice.count:
            raise ChangeDoesNotFit(
                f"zone {splice.zone_id} would have {len(records)} record sets, expected {splice.count}"
            )
    return lists
