"""The record sets that a traffic policy instance makes: a group at its name, and one for each rule behind it.

Every rule's group has a name of its own below the instance's, with the policy's version in it, so that an update can
make the new tree first, switch the root and then delete the old one.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateTrafficPolicyInstance.html
AWS does not show the names of the records behind the root; these are the lab's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lab.core.traffic_policy import Branch, PolicyEndpoint, TrafficPolicy, TrafficPolicyError
from lab.core.zone import AliasTarget, RecordSet

AliasZone = Callable[[PolicyEndpoint], AliasTarget | None]


@dataclass(frozen=True)
class PolicyInstance:
    """One use of a policy. `name` ends with a dot and lies in the zone; `ttl` is of value records, in seconds."""

    instance_id: str
    zone_id: str
    name: str
    ttl: int
    version: int


def policy_records(policy: TrafficPolicy, instance: PolicyInstance, alias_zone: AliasZone) -> tuple[RecordSet, ...]:
    """All record sets of an instance, the root's first.

    `alias_zone` turns an endpoint that is an AWS resource into an alias's target (EvaluateTargetHealth is set here),
    None if there is no such resource. Raises TrafficPolicyError then.
    """
    if policy.start_rule is None:
        assert policy.start_endpoint is not None
        branch = Branch(policy.start_endpoint, None, False, None)
        return (_record(policy, instance, alias_zone, instance.name, branch, {}),)
    names = _group_names(policy, instance)
    found: list[RecordSet] = []
    for rule_id, name in names.items():
        rule = policy.rules[rule_id]
        for number, branch in enumerate(rule.branches, start=1):
            record = _record(policy, instance, alias_zone, name, branch, names)
            found.append(
                replace(
                    record,
                    set_identifier=f"{rule_id[:120]}-{number}",
                    weight=branch.weight,
                    region=branch.region,
                    failover=branch.failover,  # type: ignore[arg-type]
                    geo_location=branch.geo_location,
                    geoproximity=branch.geoproximity,
                    multivalue=rule.type == "multivalue",
                )
            )
    return tuple(found)


def _group_names(policy: TrafficPolicy, instance: PolicyInstance) -> dict[str, str]:
    """The name of each rule that is reached, the start rule's first, a rule that is reached twice only once."""
    assert policy.start_rule is not None
    names = {policy.start_rule: instance.name}
    waiting = [policy.start_rule]
    while waiting:
        for branch in policy.rules[waiting.pop(0)].branches:
            if branch.rule is not None and branch.rule not in names:
                label = f"_tp{len(names)}-v{instance.version}-{instance.instance_id[:8]}"
                names[branch.rule] = f"{label}.{instance.name}"
                waiting.append(branch.rule)
    return names


def _record(
    policy: TrafficPolicy,
    instance: PolicyInstance,
    alias_zone: AliasZone,
    name: str,
    branch: Branch,
    names: dict[str, str],
) -> RecordSet:
    record = RecordSet(
        name,
        policy.record_type,
        health_check_id=branch.health_check_id,
        traffic_policy_instance_id=instance.instance_id,
    )
    if branch.rule is not None:
        return replace(record, alias=AliasTarget(instance.zone_id, names[branch.rule], branch.evaluate_target_health))
    assert branch.endpoint is not None
    endpoint = policy.endpoints[branch.endpoint]
    if endpoint.type == "value":
        return replace(record, ttl=instance.ttl, values=(endpoint.value,))
    target = alias_zone(endpoint)
    if target is None:
        raise TrafficPolicyError(f"Endpoints.{branch.endpoint}: there is no {endpoint.type} {endpoint.value!r}")
    return replace(record, alias=replace(target, evaluate_target_health=branch.evaluate_target_health))
