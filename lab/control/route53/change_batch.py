"""What a batch of changes makes of a zone's record sets: all of it or, with every reason, none.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html. Pure: a zone in, what
changes of its record sets or an InvalidChangeBatch out. Alias targets outside of the zone are not looked up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lab.control.aws_error import AwsError
from lab.control.route53 import names
from lab.control.route53.policy_endpoints import CLOUDFRONT_ZONE
from lab.control.route53.record_locations import location_problem
from lab.control.route53.record_values import normal_value, problem_with
from lab.control.route53.zone_records import Key, ZoneRecords, key_of
from lab.core.zone import CidrCollection, HostedZone, RecordSet
from lab.core.zone_change import RecordSplice

VALUES_MAX = 1_000
CHARACTERS_MAX = 32_000
RECORDS_MAX = 10_000
SAME_NAME_MAX = 100
GEOPROXIMITY_MAX = 30
TTL_MAX = 2**31 - 1
AWS_NAMES = tuple(
    f".{name}."
    for name in (
        "amazonaws.com",
        "amazonaws.com.cn",
        "awsapprunner.com",
        "awsglobalaccelerator.com",
        "cloudfront.net",
        "elasticbeanstalk.com",
        "on.aws",
    )
)
"""What names end with that lie in zones of AWS's own, where aliases may lead."""


@dataclass(frozen=True)
class RecordChange:
    """One change of a batch."""

    action: Literal["CREATE", "DELETE", "UPSERT"]
    record_set: RecordSet


def changed(
    zone: HostedZone,
    changes: Sequence[RecordChange],
    health_checks: Collection[str],
    collections: Sequence[CidrCollection] = (),
) -> tuple[RecordSplice, ...]:
    """What the batch does to the zone. Raises AwsError: InvalidChangeBatch with all messages, NoSuchHealthCheck.

    `health_checks` are the ids that exist, `collections` the CIDR collections. The time that it takes hardly depends on
    the size of the zone.
    """
    _check_size(changes)
    records = ZoneRecords(zone)
    deleted: set[Key] = set()
    messages: list[str] = []
    for change in changes:
        problem = None
        if change.action != "DELETE":
            problem = _form_problem(zone, change.record_set) or location_problem(change.record_set, collections)
        problem = problem or _perform(records, deleted, change)
        if problem is not None:
            messages.append(problem)
    if not messages:
        touched = {(c.record_set.name, c.record_set.type) for c in changes if c.action != "DELETE"}
        messages = _group_problems(zone, records, touched)
    if messages:
        raise invalid_batch(messages)
    for change in changes:
        wanted = change.record_set.health_check_id
        if change.action != "DELETE" and wanted is not None and wanted not in health_checks:
            raise AwsError("NoSuchHealthCheck", f"A health check with id {wanted} does not exist.")
    if len(records) > RECORDS_MAX:
        raise AwsError("LimitsExceeded", f"a hosted zone has at most {RECORDS_MAX} resource record sets", status=400)
    return records.splices()


def invalid_batch(messages: list[str]) -> AwsError:
    """Route 53's InvalidChangeBatch with its messages."""
    return AwsError("InvalidChangeBatch", f"[{', '.join(messages)}]", status=400)


def _shown_key(record: RecordSet) -> str:
    identifier = f", set-identifier='{record.set_identifier}'" if record.set_identifier is not None else ""
    return f"[name='{names.shown(record.name)}', type='{record.type}'{identifier}]"


def _check_size(changes: Sequence[RecordChange]) -> None:
    values = sum(len(c.record_set.values) * (2 if c.action == "UPSERT" else 1) for c in changes)
    characters = sum(sum(map(len, c.record_set.values)) * (2 if c.action == "UPSERT" else 1) for c in changes)
    if len(changes) > VALUES_MAX or values > VALUES_MAX:
        raise invalid_batch([f"Number of records limit of {VALUES_MAX} exceeded."])
    if characters > CHARACTERS_MAX:
        raise invalid_batch([f"Length of values limit of {CHARACTERS_MAX} characters exceeded."])


def _perform(records: ZoneRecords, deleted: set[Key], change: RecordChange) -> str | None:
    record = change.record_set
    key, shown = key_of(record), _shown_key(record)
    current = records.get(key)
    if change.action == "CREATE":
        if current is not None:
            return f"Tried to create resource record set {shown} but it already exists"
        records.put(record)
    elif change.action == "UPSERT":
        records.put(record)
    else:
        if key in deleted:
            return f"Tried to delete resource record set {shown} twice in one change batch"
        if current is None:
            return f"Tried to delete resource record set {shown} but it was not found"
        if _comparable(current) != _comparable(record):
            return (
                f"Tried to delete resource record set {shown} but the values provided do not match the current values"
            )
        records.remove(key)
        deleted.add(key)
    return None


def _comparable(record: RecordSet) -> RecordSet:
    values = tuple(sorted(normal_value(record.type, value) for value in record.values))
    return replace(record, values=values, traffic_policy_instance_id=None)


def _form_problem(zone: HostedZone, record: RecordSet) -> str | None:
    """What is wrong with one record set by itself."""
    name = names.shown(record.name)
    if not names.lies_in(record.name, zone.name):
        return f"RRSet with DNS name {name} is not permitted in zone {names.shown(zone.name)}"
    if record.type == "CNAME" and record.name == zone.name:
        return f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {names.shown(zone.name)}"
    if record.type == "SOA" and record.name != zone.name:
        return f"RRSet of type SOA with DNS name {name} is only permitted at the apex of a zone"
    policies = routing_policies(record)
    if len(policies) > 1:
        return (
            "Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, MultiValueAnswer, "
            f"GeoProximityLocation, CidrRoutingConfig], but found more than one in Change with [Name={name}, "
            f"Type={record.type}, SetIdentifier={record.set_identifier or 'null'}]"
        )
    if bool(policies) != (record.set_identifier is not None):
        missing = "SetIdentifier" if policies else "a routing policy"
        return f"Invalid request: Missing field '{missing}' in Change with [Name={name}, Type={record.type}]"
    if record.alias is not None:
        return _alias_problem(record, name)
    if record.multivalue and record.type in ("CNAME", "NS"):
        return f"Invalid request: a multivalue answer record of type {record.type} is not permitted (Name={name})"
    if policies and record.type in ("NS", "SOA") and record.name == zone.name:
        return f"Invalid request: the {record.type} record of a zone has no routing policy (Name={name})"
    return _values_problem(record, name)


def _alias_problem(record: RecordSet, name: str) -> str | None:
    if record.values or record.ttl is not None:
        return (
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found more than one in Change with [Name={name}, Type={record.type}]"
        )
    if record.type in ("NS", "SOA"):
        return f"Invalid request: an alias of type {record.type} is not permitted (Name={name})"
    if record.alias is not None and record.alias.evaluate_target_health and _is_cloudfront(record):
        return f"Invalid request: an alias to CloudFront cannot evaluate its target's health (Name={name})"
    if record.multivalue:
        return f"Invalid request: an alias cannot be a multivalue answer record (Name={name})"
    return None


def _values_problem(record: RecordSet, name: str) -> str | None:
    if not record.values or record.ttl is None:
        return (
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found none in Change with [Name={name}, Type={record.type}, "
            f"SetIdentifier={record.set_identifier or 'null'}]"
        )
    if not 0 <= record.ttl <= TTL_MAX:
        return f"Invalid TTL {record.ttl} (Name={name}): expected 0 to {TTL_MAX}"
    single = record.type in ("CNAME", "SOA") or record.weight is not None or record.region is not None
    if single and len(record.values) > 1:
        return f"Invalid Resource Record Set: {name} of type {record.type} must have exactly one value"
    if len(record.values) > 400:
        return f"Invalid Resource Record Set: {name} of type {record.type} has more than 400 values"
    for value in record.values:
        problem = problem_with(record.type, value)
        if problem is not None:
            return problem
    normal = [normal_value(record.type, value) for value in record.values]
    if len(set(normal)) != len(normal):
        twice = next(value for value in normal if normal.count(value) > 1)
        return f"Duplicate Resource Record: '{twice}'"
    return None


def routing_policies(record: RecordSet) -> list[str]:
    """The names of the routing policies that a record set asks for; one at most is valid."""
    present = (
        ("weighted", record.weight is not None),
        ("latency", record.region is not None),
        ("failover", record.failover is not None),
        ("geolocation", record.geo_location is not None),
        ("multivalue", record.multivalue),
        ("geoproximity", record.geoproximity is not None),
        ("cidr", record.cidr is not None),
    )
    return [name for name, there in present if there]


def _group_problems(zone: HostedZone, records: ZoneRecords, touched: set[tuple[str, str]]) -> list[str]:
    """What is wrong with record sets of one name together."""
    messages = []
    for name, record_type in sorted(touched):
        group = [record for record in records.at(name) if record.type == record_type]
        problem = _same_type_problem(name, record_type, group) or _cname_problem(zone, name, record_type, records)
        for record in group:
            problem = problem or _alias_target_problem(zone, record, records)
        if problem is not None:
            messages.append(problem)
    apex = {record.type for record in records.at(zone.name)}
    for wanted, message in (
        ("SOA", "A HostedZone must contain exactly one SOA record."),
        ("NS", "A HostedZone must contain at least one NS record for the zone itself."),
    ):
        if wanted not in apex:
            messages.append(message)
    return messages


def _same_type_problem(name: str, record_type: str, group: list[RecordSet]) -> str | None:
    shown = names.shown(name)
    policies = sorted({(routing_policies(record) or ["simple"])[0] for record in group})
    if len(policies) > 1:
        return (
            f"RRSet with DNS name {shown}, type {record_type} cannot be created as other RRSets exist with the same "
            f"name and type: routing policies cannot be mixed ({', '.join(policies)})"
        )
    policy = policies[0]
    limit = GEOPROXIMITY_MAX if policy == "geoproximity" else SAME_NAME_MAX
    if len(group) > limit:
        return f"RRSets with DNS name {shown}, type {record_type}: at most {limit} of them are permitted"
    if policy == "cidr" and len({record.cidr.collection_id for record in group if record.cidr is not None}) > 1:
        return f"RRSets with DNS name {shown}, type {record_type} must all use the same CIDR collection"
    unique = {
        "latency": lambda record: record.region,
        "failover": lambda record: record.failover,
        "geolocation": lambda record: record.geo_location,
        "cidr": lambda record: record.cidr,
    }.get(policy)
    if unique is not None:
        seen: set[object] = set()
        for record in group:
            if unique(record) in seen:
                return (
                    f"RRSet with DNS name {shown}, type {record_type}, SetIdentifier {record.set_identifier} cannot "
                    f"be created as another {policy} RRSet exists with the same name, type and {policy} value"
                )
            seen.add(unique(record))
    return _failover_problem(shown, group) if policy == "failover" else None


def _failover_problem(shown: str, group: list[RecordSet]) -> str | None:
    aliases = [record.alias for record in group if record.alias is not None and not _is_cloudfront(record)]
    if not all(alias.evaluate_target_health for alias in aliases):
        return f"Invalid request: a failover alias must evaluate its target's health (Name={shown})"
    if len(group) > 1 and all(map(_is_cloudfront, group)):
        return f"Invalid request: not both failover aliases can lead to CloudFront (Name={shown})"
    return None


def _is_cloudfront(record: RecordSet) -> bool:
    return record.alias is not None and record.alias.hosted_zone_id == CLOUDFRONT_ZONE


def _cname_problem(zone: HostedZone, name: str, record_type: str, records: ZoneRecords) -> str | None:
    types = {record.type for record in records.at(name)}
    if "CNAME" in types and len(types) > 1:
        return (
            f"RRSet of type {record_type} with DNS name {names.shown(name)} is not permitted because a conflicting "
            f"RRSet with the same DNS name already exists in zone {names.shown(zone.name)}"
        )
    return None


def _alias_target_problem(zone: HostedZone, record: RecordSet, records: ZoneRecords) -> str | None:
    alias = record.alias
    if alias is None:
        return None
    shown = (
        f"Tried to create an alias that targets {names.shown(alias.dns_name)}, type {record.type} "
        f"in zone {alias.hosted_zone_id}"
    )
    lies_in = names.lies_in(alias.dns_name, zone.name)
    if alias.hosted_zone_id != zone.zone_id:
        # Which names of AWS there are is not checked: a record for one that the lab has not yet may come first.
        if not lies_in and alias.dns_name.endswith(AWS_NAMES):
            return None
        return f"{shown}, but the alias target name does not lie within the target zone"
    if not lies_in:
        return f"{shown}, but the alias target name does not lie within the target zone"
    if alias.dns_name == record.name:
        return f"{shown}, but an alias cannot target itself"
    if not any(other.type == record.type for other in records.at(alias.dns_name)):
        return f"{shown}, but that target was not found"
    return None
