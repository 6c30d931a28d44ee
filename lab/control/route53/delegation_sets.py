"""Reusable delegation sets: four name servers that several zones share.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_CreateReusableDelegationSet.html. All names are one server
here, so what differs is what zones and their NS records show.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import page_size
from lab.control.route53.records import DelegationSet
from lab.control.route53.shapes import zone_id
from lab.control.route53.state import Route53State
from lab.core.route53.catalog import name_servers
from lab.core.zone import HostedZone

SETS_MAX = 100
ZONES_MAX = 100
PAGE_MAX = 100


class DelegationSetsPlane:
    """Operations on reusable delegation sets."""

    def __init__(self, state: Route53State) -> None:
        self._state = state

    def create_reusable_delegation_set(self, call: Call) -> dict[str, Any]:
        sets, reference = self._state.value.delegation_sets, call.parameters["CallerReference"]
        if any(known.caller_reference == reference for known in sets):
            raise AwsError(
                "DelegationSetAlreadyCreated", f"A delegation set with the caller reference {reference!r} exists."
            )
        if len(sets) >= SETS_MAX:
            raise AwsError("LimitsExceeded", f"Limits Exceeded: MAX_REUSABLE_DELEGATION_SETS_BY_OWNER - {SETS_MAX}")
        set_id = f"N{self._state.new_id(20)}"
        made = DelegationSet(set_id, reference, set_id)
        if call.parameters.get("HostedZoneId"):
            shared = self._zone_to_share(call.parameters["HostedZoneId"])
            made = DelegationSet(set_id, reference, shared, (shared,))
        self._state.replace_fields(delegation_sets=(*sets, made))
        return {
            "DelegationSet": _shape(made),
            "Location": f"https://route53.amazonaws.com/2013-04-01/delegationset/{set_id}",
        }

    def _zone_to_share(self, given_id: str) -> str:
        wanted = zone_id(given_id)
        if all(zone.zone_id != wanted for zone in self._state.value.zones):
            raise AwsError("HostedZoneNotFound", f"The specified hosted zone {wanted} cannot be found.")
        if any(wanted in known.zones for known in self._state.value.delegation_sets):
            raise AwsError("DelegationSetAlreadyReusable", f"The delegation set of {wanted} is reusable already.")
        return wanted

    def get_reusable_delegation_set(self, call: Call) -> dict[str, Any]:
        return {"DelegationSet": _shape(self._state.delegation_set(call.parameters["Id"]))}

    def list_reusable_delegation_sets(self, call: Call) -> dict[str, Any]:
        marker, limit = call.parameters.get("Marker"), page_size(call, most=PAGE_MAX)
        sets = sorted(self._state.value.delegation_sets, key=lambda known: known.set_id)
        left = [known for known in sets if marker is None or known.set_id >= zone_id(marker)]
        return {
            "DelegationSets": [_shape(known) for known in left[:limit]],
            "Marker": marker or "",
            "IsTruncated": len(left) > limit,
            "NextMarker": left[limit].set_id if len(left) > limit else None,
            "MaxItems": str(limit),
        }

    def delete_reusable_delegation_set(self, call: Call) -> dict[str, Any]:
        found = self._state.delegation_set(call.parameters["Id"])
        if found.zones:
            raise AwsError("DelegationSetInUse", f"The delegation set is in use by {len(found.zones)} hosted zones.")
        left = tuple(known for known in self._state.value.delegation_sets if known is not found)
        self._state.replace_fields(delegation_sets=left)
        return {}

    def get_reusable_delegation_set_limit(self, call: Call) -> dict[str, Any]:
        found = self._state.delegation_set(call.parameters["DelegationSetId"])
        return {"Limit": {"Type": call.parameters["Type"], "Value": ZONES_MAX}, "Count": len(found.zones)}


def delegation_set_of(zone: HostedZone, sets: tuple[DelegationSet, ...]) -> dict[str, Any]:
    """The delegation set of a zone in the API's shape: a reusable one, or the zone's own."""
    for known in sets:
        if zone.zone_id in known.zones:
            return _shape(known)
    return {"NameServers": _servers(zone.zone_id)}


def with_zone(sets: tuple[DelegationSet, ...], chosen: DelegationSet, zone: str) -> tuple[DelegationSet, ...]:
    """The sets after a zone was made with one of them. Raises LimitsExceeded."""
    if len(chosen.zones) >= ZONES_MAX:
        raise AwsError("LimitsExceeded", f"Limits Exceeded: MAX_ZONES_BY_REUSABLE_DELEGATION_SET - {ZONES_MAX}")
    return tuple(replace(known, zones=(*known.zones, zone)) if known is chosen else known for known in sets)


def without_zone(sets: tuple[DelegationSet, ...], zone: str) -> tuple[DelegationSet, ...]:
    """The sets after a zone was deleted."""
    return tuple(replace(known, zones=tuple(other for other in known.zones if other != zone)) for known in sets)


def _shape(known: DelegationSet) -> dict[str, Any]:
    return {
        "Id": f"/delegationset/{known.set_id}",
        "CallerReference": known.caller_reference,
        "NameServers": _servers(known.source_id),
    }


def _servers(source_id: str) -> list[str]:
    return [server.rstrip(".") for server in name_servers(source_id)]
