"""Route 53's hosted zones, record sets, changes, tags, counts and limits.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_Operations_Amazon_Route_53.html. Public zones
only. A change is INSYNC once the resolver has it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.route53 import names
from lab.control.route53.change_batch import RECORDS_MAX, RecordChange, changed
from lab.control.route53.delegation_sets import SETS_MAX, delegation_set_of, with_zone, without_zone
from lab.control.route53.paging import page_size
from lab.control.route53.records import Change
from lab.control.route53.shapes import change_info, hosted_zone, record_set, record_set_of, zone_id
from lab.control.route53.state import Route53State
from lab.control.route53.traffic_policies import INSTANCES_MAX, POLICIES_MAX, listed
from lab.control.route53.zone_records import sort_key
from lab.core.route53.catalog import apex_records
from lab.core.zone import HostedZone

ZONES_MAX = 500
CHECKS_MAX = 200


class ZonesPlane:
    """Operations on zones. `in_sync` tells whether the resolver has a version of the document `zones`."""

    def __init__(self, state: Route53State, in_sync: Callable[[int], bool]) -> None:
        self._state, self._in_sync = state, in_sync

    # zones

    def create_hosted_zone(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        config = given.get("HostedZoneConfig", {})
        if given.get("VPC") or config.get("PrivateZone"):
            raise not_implemented("route53", call.operation, "private hosted zones")
        zones = self._state.value.zones
        if any(zone.caller_reference == given["CallerReference"] for zone in zones):
            raise AwsError(
                "HostedZoneAlreadyExists",
                f"A hosted zone has already been created with the caller reference {given['CallerReference']!r}",
            )
        if len(zones) >= ZONES_MAX:
            raise AwsError("TooManyHostedZones", f"Limits Exceeded: MAX_HOSTED_ZONES_BY_OWNER - {ZONES_MAX}")
        name = names.kept(given["Name"])
        if name == "." or "*" in name:
            raise AwsError("InvalidDomainName", f"{given['Name']!r} is not a valid domain name")
        new_id = f"Z{self._state.new_id(20)}"
        apex, sets = apex_records(new_id, name), self._state.value.delegation_sets
        if given.get("DelegationSetId"):
            chosen = self._state.delegation_set(given["DelegationSetId"])
            if any(zone.name == name and zone.zone_id in chosen.zones for zone in zones):
                raise AwsError("ConflictingDomainExists", f"The delegation set has a hosted zone for {name} already.")
            apex = apex_records(chosen.source_id, name)
            sets = with_zone(sets, chosen, new_id)
        records = tuple(sorted(apex, key=sort_key))
        zone = HostedZone(new_id, name, records, config.get("Comment", ""), given["CallerReference"])
        change = self._state.replace_zones((*zones, zone), delegation_sets=sets)
        return {
            "HostedZone": self._shown(zone),
            "ChangeInfo": self._change_info(change),
            "DelegationSet": delegation_set_of(zone, self._state.value.delegation_sets),
            "Location": f"https://route53.amazonaws.com/2013-04-01/hostedzone/{zone.zone_id}",
        }

    def get_hosted_zone(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["Id"])
        return {
            "HostedZone": self._shown(zone),
            "DelegationSet": delegation_set_of(zone, self._state.value.delegation_sets),
        }

    def list_hosted_zones(self, call: Call) -> dict[str, Any]:
        zones = sorted(self._state.value.zones, key=lambda zone: zone.zone_id)
        marker = call.parameters.get("Marker")
        limit = page_size(call)
        wanted_set = call.parameters.get("DelegationSetId")
        if wanted_set is not None:
            members = self._state.delegation_set(wanted_set).zones
            zones = [zone for zone in zones if zone.zone_id in members]
        if call.parameters.get("HostedZoneType") == "PrivateHostedZone":
            zones = []
        left = [zone for zone in zones if marker is None or zone.zone_id >= zone_id(marker)]
        return {
            "HostedZones": [self._shown(zone) for zone in left[:limit]],
            "Marker": marker or "",
            "IsTruncated": len(left) > limit,
            "NextMarker": left[limit].zone_id if len(left) > limit else None,
            "MaxItems": str(limit),
        }

    def list_hosted_zones_by_name(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        limit = page_size(call)
        zones = sorted(self._state.value.zones, key=lambda zone: (names.order(zone.name), zone.zone_id))
        if given.get("DNSName"):
            start = (names.order(names.kept(given["DNSName"])), zone_id(given.get("HostedZoneId", "")))
            zones = [zone for zone in zones if (names.order(zone.name), zone.zone_id) >= start]
        elif given.get("HostedZoneId"):
            raise AwsError("InvalidInput", "HostedZoneId is allowed together with DNSName only")
        following = zones[limit] if len(zones) > limit else None
        return {
            "HostedZones": [self._shown(zone) for zone in zones[:limit]],
            "DNSName": given.get("DNSName"),
            "HostedZoneId": given.get("HostedZoneId"),
            "IsTruncated": following is not None,
            "NextDNSName": names.shown(following.name) if following else None,
            "NextHostedZoneId": following.zone_id if following else None,
            "MaxItems": str(limit),
        }

    def delete_hosted_zone(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["Id"])
        if any(not (record.name == zone.name and record.type in ("NS", "SOA")) for record in zone.record_sets):
            raise AwsError(
                "HostedZoneNotEmpty",
                "The specified hosted zone contains non-required resource record sets  and so cannot be deleted.",
            )
        left = tuple(other for other in self._state.value.zones if other is not zone)
        tags = {key: value for key, value in self._state.value.tags.items() if key != f"hostedzone/{zone.zone_id}"}
        sets = without_zone(self._state.value.delegation_sets, zone.zone_id)
        recovery = {key: on for key, on in self._state.value.accelerated_recovery.items() if key != zone.zone_id}
        change = self._state.replace_zones(left, tags=tags, delegation_sets=sets, accelerated_recovery=recovery)
        return {"ChangeInfo": self._change_info(change)}

    def update_hosted_zone_comment(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["Id"])
        updated = replace(zone, comment=call.parameters.get("Comment", ""))
        self._state.replace_zones(_swap(self._state.value.zones, zone, updated))
        return {"HostedZone": self._shown(updated)}

    def get_hosted_zone_count(self, call: Call) -> dict[str, Any]:
        return {"HostedZoneCount": len(self._state.value.zones)}

    def get_hosted_zone_limit(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        kind = call.parameters["Type"]
        if kind != "MAX_RRSETS_BY_ZONE":
            raise AwsError("HostedZoneNotPrivate", "The hosted zone is not a private hosted zone")
        return {"Limit": {"Type": kind, "Value": RECORDS_MAX}, "Count": len(zone.record_sets)}

    def get_account_limit(self, call: Call) -> dict[str, Any]:
        kind = call.parameters["Type"]
        records = self._state.value
        counts = {
            "MAX_HOSTED_ZONES_BY_OWNER": (ZONES_MAX, len(records.zones)),
            "MAX_HEALTH_CHECKS_BY_OWNER": (CHECKS_MAX, len(records.health_checks)),
            "MAX_REUSABLE_DELEGATION_SETS_BY_OWNER": (SETS_MAX, len(records.delegation_sets)),
            "MAX_TRAFFIC_POLICIES_BY_OWNER": (POLICIES_MAX, len(listed(records.policies))),
            "MAX_TRAFFIC_POLICY_INSTANCES_BY_OWNER": (INSTANCES_MAX, len(records.instances)),
        }
        limit, count = counts[kind]
        return {"Limit": {"Type": kind, "Value": limit}, "Count": count}

    # record sets

    def change_resource_record_sets(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        batch = call.parameters["ChangeBatch"]
        changes = []
        for change in batch["Changes"]:
            given = change["ResourceRecordSet"]
            if given.get("TrafficPolicyInstanceId"):
                raise AwsError("InvalidInput", "records of traffic policies are changed through their instances")
            changes.append(RecordChange(change["Action"], record_set_of(given)))
        checks = {check.health_check_id for check in self._state.value.health_checks}
        splices = changed(zone, changes, checks, self._state.value.cidr_collections)
        return {"ChangeInfo": self._change_info(self._state.change_records(splices, batch.get("Comment", "")))}

    def list_resource_record_sets(self, call: Call) -> dict[str, Any]:
        zone = self._state.zone(call.parameters["HostedZoneId"])
        start = _start(call)
        limit = page_size(call)
        first = bisect_left(zone.record_sets, start, key=sort_key)
        left = zone.record_sets[first : first + limit + 1]
        following = left[limit] if len(left) > limit else None
        return {
            "ResourceRecordSets": [record_set(record) for record in left[:limit]],
            "IsTruncated": following is not None,
            "NextRecordName": names.shown(following.name) if following else None,
            "NextRecordType": following.type if following else None,
            "NextRecordIdentifier": following.set_identifier if following else None,
            "MaxItems": str(limit),
        }

    def get_change(self, call: Call) -> dict[str, Any]:
        wanted = zone_id(call.parameters["Id"])
        for change in self._state.value.changes:
            if change.change_id == wanted:
                return {"ChangeInfo": self._change_info(change)}
        raise AwsError("NoSuchChange", f"A change with id {wanted} does not exist.")

    def _shown(self, zone: HostedZone) -> dict[str, Any]:
        return hosted_zone(zone, self._state.value.accelerated_recovery.get(zone.zone_id))

    def _change_info(self, change: Change) -> dict[str, Any]:
        return change_info(change, in_sync=self._in_sync(change.zones_version))


def _start(call: Call) -> tuple[tuple[str, ...], str, str]:
    given = call.parameters
    name, record_type = given.get("StartRecordName"), given.get("StartRecordType")
    identifier = given.get("StartRecordIdentifier")
    if name is None and (record_type or identifier):
        raise AwsError("InvalidInput", "StartRecordType and StartRecordIdentifier need a StartRecordName")
    if record_type is None and identifier:
        raise AwsError("InvalidInput", "StartRecordIdentifier needs a StartRecordType")
    return (names.order(names.kept(name)) if name else (), record_type or "", identifier or "")


def _swap(zones: tuple[HostedZone, ...], old: HostedZone, new: HostedZone) -> tuple[HostedZone, ...]:
    return tuple(new if zone is old else zone for zone in zones)
