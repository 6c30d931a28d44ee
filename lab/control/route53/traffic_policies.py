"""Traffic policies and their versions; documents are checked when they come.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_CreateTrafficPolicy.html. What a policy makes of a zone is
`policy_instances`'s business.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import page_size
from lab.control.route53.records import Policy, PolicyVersion
from lab.control.route53.state import Route53State
from lab.core.traffic_policy import TrafficPolicyError, parse_policy
from lab.core.whole_number import whole_number

POLICIES_MAX = 50
VERSIONS_MAX = 1_000
INSTANCES_MAX = 5
PAGE_MAX = 100


class TrafficPoliciesPlane:
    """Operations on traffic policies."""

    def __init__(self, state: Route53State) -> None:
        self._state = state

    def create_traffic_policy(self, call: Call) -> dict[str, Any]:
        policies, name = self._state.value.policies, call.parameters["Name"]
        if any(policy.name == name for policy in listed(policies)):
            raise AwsError("TrafficPolicyAlreadyExists", f"A traffic policy with the name {name!r} already exists.")
        if len(listed(policies)) >= POLICIES_MAX:
            raise AwsError("TooManyTrafficPolicies", f"Limits Exceeded: MAX_TRAFFIC_POLICIES_BY_OWNER - {POLICIES_MAX}")
        made = Policy(str(uuid.uuid4()), name, (_version_of(1, call.parameters),))
        self._state.replace_fields(policies=(*policies, made))
        return _created(made, made.versions[0])

    def create_traffic_policy_version(self, call: Call) -> dict[str, Any]:
        policy = self._state.policy(call.parameters["Id"])
        if not listed((policy,)):
            raise AwsError("NoSuchTrafficPolicy", f"No traffic policy exists with Id {policy.policy_id}")
        if len(policy.versions) >= VERSIONS_MAX:
            raise AwsError(
                "TooManyTrafficPolicyVersionsForCurrentPolicy",
                f"A traffic policy has at most {VERSIONS_MAX} versions; make a new traffic policy.",
            )
        made = _version_of(policy.versions[-1].version + 1, call.parameters)
        updated = replace(policy, versions=(*policy.versions, made))
        self._replace(policy, updated)
        return _created(updated, made)

    def get_traffic_policy(self, call: Call) -> dict[str, Any]:
        policy = self._state.policy(call.parameters["Id"])
        return {"TrafficPolicy": _shape(policy, version_of(policy, call.parameters["Version"], deleted=True))}

    def update_traffic_policy_comment(self, call: Call) -> dict[str, Any]:
        policy = self._state.policy(call.parameters["Id"])
        version = version_of(policy, call.parameters["Version"])
        made = replace(version, comment=call.parameters["Comment"])
        self._replace(policy, _with_version(policy, version, made))
        return {"TrafficPolicy": _shape(policy, made)}

    def delete_traffic_policy(self, call: Call) -> dict[str, Any]:
        policy = self._state.policy(call.parameters["Id"])
        version = version_of(policy, call.parameters["Version"])
        wanted = (policy.policy_id, version.version)
        if any((i.policy_id, i.policy_version) == wanted for i in self._state.value.instances):
            raise AwsError("TrafficPolicyInUse", "One or more traffic policy instances were created with this version.")
        self._replace(policy, _with_version(policy, version, replace(version, deleted=True)))
        return {}

    def list_traffic_policies(self, call: Call) -> dict[str, Any]:
        marker, limit = call.parameters.get("TrafficPolicyIdMarker"), page_size(call, most=PAGE_MAX)
        policies = listed(self._state.value.policies)
        first = 0
        if marker:
            first = next((n for n, policy in enumerate(policies) if policy.policy_id == marker), -1)
            if first < 0:
                raise AwsError("InvalidInput", f"TrafficPolicyIdMarker: there is no traffic policy {marker!r}.")
        left = policies[first:]
        return {
            "TrafficPolicySummaries": [_summary(policy) for policy in left[:limit]],
            "IsTruncated": len(left) > limit,
            "TrafficPolicyIdMarker": left[limit].policy_id if len(left) > limit else "",
            "MaxItems": str(limit),
        }

    def list_traffic_policy_versions(self, call: Call) -> dict[str, Any]:
        policy, limit = self._state.policy(call.parameters["Id"]), page_size(call, most=PAGE_MAX)
        marker = call.parameters.get("TrafficPolicyVersionMarker") or "1"
        start = whole_number(marker)
        if start is None:
            raise AwsError("InvalidInput", f"Invalid TrafficPolicyVersionMarker {marker!r}")
        left = [version for version in policy.versions if not version.deleted and version.version >= start]
        return {
            "TrafficPolicies": [_shape(policy, version) for version in left[:limit]],
            "IsTruncated": len(left) > limit,
            "TrafficPolicyVersionMarker": str(left[limit].version) if len(left) > limit else "",
            "MaxItems": str(limit),
        }

    def _replace(self, policy: Policy, updated: Policy) -> None:
        policies = self._state.value.policies
        self._state.replace_fields(policies=tuple(updated if other is policy else other for other in policies))


def listed(policies: Sequence[Policy]) -> list[Policy]:
    """The policies that have a version which is not deleted."""
    return [policy for policy in policies if any(not version.deleted for version in policy.versions)]


def version_of(policy: Policy, number: int, *, deleted: bool = False) -> PolicyVersion:
    """A version of a policy by its number; deleted ones only if they are wanted. Raises NoSuchTrafficPolicy."""
    for version in policy.versions:
        if version.version == number and (deleted or not version.deleted):
            return version
    raise AwsError("NoSuchTrafficPolicy", f"No traffic policy exists with Id {policy.policy_id} and Version {number}")


def _version_of(number: int, given: dict[str, Any]) -> PolicyVersion:
    try:
        policy = parse_policy(given["Document"])
    except TrafficPolicyError as error:
        raise AwsError("InvalidTrafficPolicyDocument", str(error)) from error
    return PolicyVersion(number, policy.record_type, given["Document"], given.get("Comment"))


def _with_version(policy: Policy, old: PolicyVersion, new: PolicyVersion) -> Policy:
    return replace(policy, versions=tuple(new if version is old else version for version in policy.versions))


def _shape(policy: Policy, version: PolicyVersion) -> dict[str, Any]:
    return {
        "Id": policy.policy_id,
        "Version": version.version,
        "Name": policy.name,
        "Type": version.type,
        "Document": version.document,
        "Comment": version.comment,
    }


def _summary(policy: Policy) -> dict[str, Any]:
    standing = [version for version in policy.versions if not version.deleted]
    return {
        "Id": policy.policy_id,
        "Name": policy.name,
        "Type": standing[-1].type,
        "LatestVersion": standing[-1].version,
        "TrafficPolicyCount": len(standing),
    }


def _created(policy: Policy, version: PolicyVersion) -> dict[str, Any]:
    place = f"https://route53.amazonaws.com/2013-04-01/trafficpolicy/{policy.policy_id}/{version.version}"
    return {"TrafficPolicy": _shape(policy, version), "Location": place}
