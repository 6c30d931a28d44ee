"""What Route 53's control plane keeps: zones with their history of changes, health checks, tags."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.core.health_check import HealthCheck
from lab.core.zone import CidrCollection, HostedZone


@dataclass(frozen=True)
class Change:
    """One submitted change. `zones_version` is the version of the document `zones` that holds it."""

    change_id: str
    submitted_ms: int
    comment: str = ""
    zones_version: int = 0


@dataclass(frozen=True)
class Route53Records:
    """Everything. `used_references` maps the caller reference of every health check ever made to its id.

    `tags` is keyed by "hostedzone/ID" and "healthcheck/ID". `changes` are the newest thousand.
    """

    zones: tuple[HostedZone, ...] = ()
    changes: tuple[Change, ...] = ()
    health_checks: tuple[HealthCheck, ...] = ()
    used_references: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    routing_controls: dict[str, bool] = field(default_factory=dict)
    cidr_collections: tuple[CidrCollection, ...] = ()
