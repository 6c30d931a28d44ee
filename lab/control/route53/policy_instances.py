"""Traffic policy instances: the record sets that a policy makes at a name, and what becomes of them.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateTrafficPolicyInstance.html: an update makes the new
tree, then the name leads to it, then the old tree goes. What AWS reports as State Failed is refused at once here.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53 import names
from lab.control.route53.change_batch import TTL_MAX, RecordChange, changed
from lab.control.route53.paging import page_size
from lab.control.route53.policy_endpoints import alias_target
from lab.control.route53.records import Instance
from lab.control.route53.shapes import zone_id
from lab.control.route53.state import Route53State
from lab.control.route53.traffic_policies import INSTANCES_MAX, version_of
from lab.core.endpoint_name import EndpointNames
from lab.core.traffic_policy import TrafficPolicyError, parse_policy
from lab.core.traffic_policy_records import PolicyInstance, policy_records
from lab.core.zone import HostedZone, RecordSet
from lab.core.zone_change import RecordSplice

PAGE_MAX = 100


class PolicyInstancesPlane:
    """Operations on traffic policy instances.

    `settle` returns when what changed is published, `in_sync` tells whether the resolver has a version of `zones`.
    """

    def __init__(
        self,
        state: Route53State,
        endpoints: Callable[[], EndpointNames],
        settle: Callable[[], Awaitable[None]],
        in_sync: Callable[[int], bool],
    ) -> None:
        self._state, self._endpoints, self._settle, self._in_sync = state, endpoints, settle, in_sync
        self._finish_updates()

    def create_traffic_policy_instance(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        zone = self._state.zone(given["HostedZoneId"])
        policy = self._state.policy(given["TrafficPolicyId"])
        version = version_of(policy, given["TrafficPolicyVersion"])
        name, instances = names.kept(given["Name"]), self._state.value.instances
        _check_ttl(given["TTL"])
        if any((i.zone_id, i.name, i.type) == (zone.zone_id, name, version.type) for i in instances):
            raise AwsError(
                "TrafficPolicyInstanceAlreadyExists",
                f"There is already a traffic policy instance for {name} {version.type} in the hosted zone.",
            )
        if len(instances) >= INSTANCES_MAX:
            raise AwsError(
                "TooManyTrafficPolicyInstances",
                f"Limits Exceeded: MAX_TRAFFIC_POLICY_INSTANCES_BY_OWNER - {INSTANCES_MAX}",
            )
        made = Instance(
            str(uuid.uuid4()), zone.zone_id, name, given["TTL"], policy.policy_id, version.version, version.type
        )
        splices = self._tried(zone, (), self._records(made))
        self._state.change_records(splices, instances=(*instances, made))
        return {
            "TrafficPolicyInstance": self._shape(self._note_version(made), "Creating"),
            "Location": f"https://route53.amazonaws.com/2013-04-01/trafficpolicyinstance/{made.instance_id}",
        }

    async def update_traffic_policy_instance(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        instance = self._settled_instance(given["Id"])
        policy = self._state.policy(given["TrafficPolicyId"])
        version = version_of(policy, given["TrafficPolicyVersion"])
        _check_ttl(given["TTL"])
        if version.type != instance.type:
            raise AwsError(
                "ConflictingTypes", f"The instance is of type {instance.type}, the policy's version of {version.type}."
            )
        made = replace(
            instance,
            ttl=given["TTL"],
            policy_id=policy.policy_id,
            policy_version=version.version,
            generation=instance.generation + 1,
            updating=True,
        )
        new = self._records(made)
        # What is wrong is refused here, before anything has happened.
        self._tried(self._state.zone(instance.zone_id), self._standing(instance), new)
        root = [record for record in new if record.name == instance.name]
        try:
            made = self._step(made, (), [record for record in new if record not in root])
            await self._settle()
            made = self._step(made, [r for r in self._standing(instance) if r.name == instance.name], root)
            await self._settle()
            old = [record for record in self._standing(instance) if record not in new]
            made = self._step(replace(made, updating=False), old, ())
        except AwsError:
            # Somebody changed the zone meanwhile: the instance stands as it was told to be, and can be updated again.
            self._state.replace_fields(instances=self._swapped(replace(made, updating=False)))
            raise
        return {"TrafficPolicyInstance": self._shape(made, "Updating")}

    def delete_traffic_policy_instance(self, call: Call) -> dict[str, Any]:
        instance = self._settled_instance(call.parameters["Id"])
        zone = self._state.zone(instance.zone_id)
        splices = self._tried(zone, self._standing(instance), ())
        left = tuple(i for i in self._state.value.instances if i.instance_id != instance.instance_id)
        self._state.change_records(splices, instances=left)
        return {}

    def get_traffic_policy_instance(self, call: Call) -> dict[str, Any]:
        return {"TrafficPolicyInstance": self._shape(self._state.instance(call.parameters["Id"]), "Creating")}

    def get_traffic_policy_instance_count(self, call: Call) -> dict[str, Any]:
        return {"TrafficPolicyInstanceCount": len(self._state.value.instances)}

    def list_traffic_policy_instances(self, call: Call) -> dict[str, Any]:
        return self._page(call, self._state.value.instances, zone_marker=True)

    def list_traffic_policy_instances_by_hosted_zone(self, call: Call) -> dict[str, Any]:
        wanted = self._state.zone(call.parameters["HostedZoneId"]).zone_id
        found = [i for i in self._state.value.instances if i.zone_id == wanted]
        return self._page(call, found, zone_marker=False)

    def list_traffic_policy_instances_by_policy(self, call: Call) -> dict[str, Any]:
        policy = self._state.policy(call.parameters["TrafficPolicyId"])
        wanted = (policy.policy_id, version_of(policy, call.parameters["TrafficPolicyVersion"]).version)
        found = [i for i in self._state.value.instances if (i.policy_id, i.policy_version) == wanted]
        return self._page(call, found, zone_marker=True)

    def _page(self, call: Call, instances: Iterable[Instance], *, zone_marker: bool) -> dict[str, Any]:
        given, limit = call.parameters, page_size(call, most=PAGE_MAX)
        name = given.get("TrafficPolicyInstanceNameMarker")
        zone = zone_id(given.get("HostedZoneIdMarker", "")) if zone_marker else ""
        if (name is None) != (given.get("TrafficPolicyInstanceTypeMarker") is None) or (
            zone_marker and (name is None) != (not zone)
        ):
            raise AwsError("InvalidInput", "The markers of a listing must be given all or not at all.")
        start = (zone, names.order(names.kept(name)) if name else (), given.get("TrafficPolicyInstanceTypeMarker", ""))

        def key(instance: Instance) -> tuple[str, tuple[str, ...], str]:
            return instance.zone_id if zone_marker else "", names.order(instance.name), instance.type

        left = sorted((instance for instance in instances if key(instance) >= start), key=key)
        following = left[limit] if len(left) > limit else None
        return {
            "TrafficPolicyInstances": [self._shape(instance, "Creating") for instance in left[:limit]],
            "HostedZoneIdMarker": following.zone_id if following and zone_marker else None,
            "TrafficPolicyInstanceNameMarker": names.shown(following.name) if following else None,
            "TrafficPolicyInstanceTypeMarker": following.type if following else None,
            "IsTruncated": following is not None,
            "MaxItems": str(limit),
        }

    # records

    def _records(self, instance: Instance) -> tuple[RecordSet, ...]:
        """What the instance's policy makes. Raises AwsError for an endpoint that does not exist."""
        version = version_of(self._state.policy(instance.policy_id), instance.policy_version, deleted=True)
        place = PolicyInstance(instance.instance_id, instance.zone_id, instance.name, instance.ttl, instance.generation)
        known = self._endpoints()
        try:
            return policy_records(parse_policy(version.document), place, lambda end: alias_target(end, known))
        except TrafficPolicyError as error:
            raise AwsError("InvalidInput", f"The traffic policy cannot be applied: {error}") from error

    def _standing(self, instance: Instance) -> list[RecordSet]:
        """What is in the zone of an instance."""
        records = self._state.zone(instance.zone_id).record_sets
        return [record for record in records if record.traffic_policy_instance_id == instance.instance_id]

    def _tried(self, zone: HostedZone, old: Iterable[RecordSet], new: Iterable[RecordSet]) -> tuple[RecordSplice, ...]:
        """What takes the old records away and puts the new ones in. Raises InvalidInput."""
        batch = [RecordChange("DELETE", record) for record in old] + [RecordChange("CREATE", record) for record in new]
        checks = {check.health_check_id for check in self._state.value.health_checks}
        try:
            return changed(zone, batch, checks)
        except AwsError as error:
            raise AwsError("InvalidInput", f"The traffic policy cannot be applied: {error.message}") from error

    def _step(self, instance: Instance, old: Iterable[RecordSet], new: Iterable[RecordSet]) -> Instance:
        """One part of an update, kept together with how far it is."""
        splices = self._tried(self._state.zone(instance.zone_id), old, new)
        self._state.change_records(splices, instances=self._swapped(instance))
        return self._note_version(instance)

    def _note_version(self, instance: Instance) -> Instance:
        noted = replace(instance, zones_version=self._state.zones_version())
        self._state.note_instances(self._swapped(noted))
        return noted

    def _swapped(self, instance: Instance) -> tuple[Instance, ...]:
        return tuple(
            instance if other.instance_id == instance.instance_id else other for other in self._state.value.instances
        )

    def _settled_instance(self, wanted: str) -> Instance:
        instance = self._state.instance(wanted)
        if instance.updating:
            raise AwsError("PriorRequestNotComplete", "An earlier update of the traffic policy instance is under way.")
        return instance

    def _finish_updates(self) -> None:
        """Complete the updates that control was in when it ended."""
        for instance in self._state.value.instances:
            if not instance.updating:
                continue
            finished = replace(instance, updating=False)
            try:
                self._step(finished, self._standing(instance), self._records(instance))
            except AwsError:  # something that it needs is gone; another update can change it
                self._state.replace_fields(instances=self._swapped(finished))

    def _shape(self, instance: Instance, unpublished: str) -> dict[str, Any]:
        applied = self._in_sync(instance.zones_version) and not instance.updating
        return {
            "Id": instance.instance_id,
            "HostedZoneId": instance.zone_id,
            "Name": names.shown(instance.name),
            "TTL": instance.ttl,
            "State": "Applied" if applied else unpublished,
            "Message": "",
            "TrafficPolicyId": instance.policy_id,
            "TrafficPolicyVersion": instance.policy_version,
            "TrafficPolicyType": instance.type,
        }


def _check_ttl(ttl: int) -> None:
    if not 0 <= ttl <= TTL_MAX:
        raise AwsError("InvalidInput", f"Invalid TTL {ttl}: expected 0 to {TTL_MAX}")
