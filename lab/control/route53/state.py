"""Route 53's records in memory and on disk, and the documents that are made of them. It decides nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import orjson

from lab.control.aws_error import AwsError
from lab.control.route53.records import CHANGES_KEPT, Change, DelegationSet, Instance, Policy, Route53Records
from lab.control.route53.records_file import Route53File
from lab.control.route53.shapes import zone_id as bare_id
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.zone import CidrCollection, HostedZone, Zones
from lab.core.zone_change import RecordSplice, ZonesChange, changed_zones
from lab.live.clock import now_ms

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Publishes(Protocol):
    """What the records need of the publisher."""

    def mark(self, documents: tuple[str, ...]) -> None: ...
    def mark_change(self, document: str, change: bytes) -> None: ...
    def version(self, document: str) -> int: ...


class Route53State:
    """The records. `publisher` is told what changed; `routing_controls` tells the states of Recovery Controller's."""

    def __init__(
        self,
        records: Route53File,
        publisher: Callable[[], Publishes],
        routing_controls: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        self._records, self._publisher, self._routing_controls = records, publisher, routing_controls
        self._random = random.SystemRandom()

    @property
    def value(self) -> Route53Records:
        return self._records.value

    def zone(self, given_id: str) -> HostedZone:
        """The zone with an id. Raises NoSuchHostedZone."""
        wanted = bare_id(given_id)
        for zone in self.value.zones:
            if zone.zone_id == wanted:
                return zone
        raise AwsError("NoSuchHostedZone", f"No hosted zone found with ID: {wanted}")

    def health_check(self, wanted: str) -> HealthCheck:
        """The health check with an id. Raises NoSuchHealthCheck."""
        for check in self.value.health_checks:
            if check.health_check_id == wanted:
                return check
        raise AwsError("NoSuchHealthCheck", f"A health check with id {wanted} does not exist.")

    def policy(self, wanted: str) -> Policy:
        """The traffic policy with an id, a deleted one too. Raises NoSuchTrafficPolicy."""
        for policy in self.value.policies:
            if policy.policy_id == wanted:
                return policy
        raise AwsError("NoSuchTrafficPolicy", f"No traffic policy exists with Id {wanted}")

    def instance(self, wanted: str) -> Instance:
        """The traffic policy instance with an id. Raises NoSuchTrafficPolicyInstance."""
        for instance in self.value.instances:
            if instance.instance_id == wanted:
                return instance
        raise AwsError("NoSuchTrafficPolicyInstance", f"No traffic policy instance exists with Id {wanted}")

    def collection(self, wanted: str) -> CidrCollection:
        """The CIDR collection with an id. Raises NoSuchCidrCollectionException."""
        for collection in self.value.cidr_collections:
            if collection.collection_id == wanted:
                return collection
        raise AwsError("NoSuchCidrCollectionException", f"The CIDR collection {wanted} does not exist.")

    def delegation_set(self, given_id: str) -> DelegationSet:
        """The reusable delegation set with an id. Raises NoSuchDelegationSet."""
        wanted = bare_id(given_id)
        for delegation_set in self.value.delegation_sets:
            if delegation_set.set_id == wanted:
                return delegation_set
        raise AwsError("NoSuchDelegationSet", f"The specified delegation set {wanted} does not exist.")

    def replace_zones(self, zones: tuple[HostedZone, ...], comment: str = "", **fields: Any) -> Change:
        """Keep the zones and publish them; the change that the caller is told of."""
        change = self._new_change(comment)
        changes = (*self.value.changes, change)[-CHANGES_KEPT:]
        self._records.replace(replace(self.value, zones=zones, changes=changes, **fields))
        self._publisher().mark(("zones",))
        return self._with_version(change)

    def change_records(self, splices: tuple[RecordSplice, ...], comment: str = "", **fields: Any) -> Change:
        """Keep and publish a change of record sets, in a time that hardly depends on how many there are.

        `fields` are kept together with it; that writes everything anew.
        """
        change, submitted = ZonesChange(splices), self._new_change(comment)
        if fields:
            zones = changed_zones(Zones(self.value.zones), change).zones
            changes = (*self.value.changes, submitted)[-CHANGES_KEPT:]
            self._records.replace(replace(self.value, zones=zones, changes=changes, **fields))
        else:
            self._records.change(change, submitted)
        self._publisher().mark_change("zones", orjson.dumps(change))
        return self._with_version(submitted)

    def note_instances(self, instances: tuple[Instance, ...]) -> None:
        """Take what is true of traffic policy instances for this run of control only: it is not worth a write."""
        self._records.note(replace(self.value, instances=instances))

    def replace_checks(self, checks: tuple[HealthCheck, ...], **fields: Any) -> None:
        """Keep the health checks and publish them."""
        self._records.replace(replace(self.value, health_checks=checks, **fields))
        self._publisher().mark(("health_checks",))

    def replace_fields(self, **fields: Any) -> None:
        """Keep what nobody else reads: tags, policies, instances, delegation sets."""
        self._records.replace(replace(self.value, **fields))

    def zones_version(self) -> int:
        """The version of the document `zones`."""
        return self._publisher().version("zones")

    def routing_controls(self) -> Mapping[str, bool]:
        """Every routing control's ARN, and whether it is On."""
        return self._routing_controls()

    def new_id(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=length))

    def zones_document(self) -> Zones:
        """The document `zones`."""
        return Zones(self.value.zones, self.value.cidr_collections)

    def checks_document(self) -> HealthChecks:
        """The document `health_checks`."""
        return HealthChecks(self.value.health_checks, dict(self._routing_controls()) or None)

    def _new_change(self, comment: str) -> Change:
        return Change(f"C{self.new_id(20)}", now_ms(), comment)

    def _with_version(self, change: Change) -> Change:
        """The version is only known now, and only this run of control can compare it: no second write for it."""
        published = replace(change, zones_version=self.zones_version())
        self._records.note(replace(self.value, changes=(*self.value.changes[:-1], published)))
        return published
