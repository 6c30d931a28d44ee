"""What Route 53's control plane keeps: zones with their history of changes, health checks, policies, tags."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.core.health_check import HealthCheck
from lab.core.zone import CidrCollection, HostedZone

CHANGES_KEPT = 1_000


@dataclass(frozen=True)
class Change:
    """One submitted change. `zones_version` is the version of the document `zones` that holds it."""

    change_id: str
    submitted_ms: int
    comment: str = ""
    zones_version: int = 0


@dataclass(frozen=True)
class PolicyVersion:
    """One version of a traffic policy; a `deleted` one can still be read by its number."""

    version: int
    type: str
    document: str
    comment: str | None = None
    deleted: bool = False


@dataclass(frozen=True)
class Policy:
    """One traffic policy with all versions that it ever had, in order."""

    policy_id: str
    name: str
    versions: tuple[PolicyVersion, ...]


@dataclass(frozen=True)
class Instance:
    """One use of a traffic policy. `generation` counts its updates.

    `updating` stands while the records of two generations are in the zone.
    """

    instance_id: str
    zone_id: str
    name: str
    ttl: int
    policy_id: str
    policy_version: int
    type: str
    generation: int = 1
    updating: bool = False
    zones_version: int = 0


@dataclass(frozen=True)
class DelegationSet:
    """A reusable delegation set: the name servers of `source_id`, which is its own id or that of a zone.

    `zones` are the ids of the zones that were made with it.
    """

    set_id: str
    caller_reference: str
    source_id: str
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route53Records:
    """Everything. `used_references` maps the caller reference of every health check ever made to its id.

    `tags` is keyed by "hostedzone/ID" and "healthcheck/ID". `changes` are the newest thousand. `cidr_references` maps
    the caller reference of a CIDR collection to its id. `accelerated_recovery` says of zones that
    were told whether it is on. `journaled` is the number of the last change of record sets.
    """

    zones: tuple[HostedZone, ...] = ()
    changes: tuple[Change, ...] = ()
    health_checks: tuple[HealthCheck, ...] = ()
    used_references: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    cidr_collections: tuple[CidrCollection, ...] = ()
    cidr_references: dict[str, str] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()
    instances: tuple[Instance, ...] = ()
    delegation_sets: tuple[DelegationSet, ...] = ()
    accelerated_recovery: dict[str, bool] = field(default_factory=dict)
    journaled: int = 0
