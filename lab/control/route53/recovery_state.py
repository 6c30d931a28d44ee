"""Application Recovery Controller's clusters, control panels and routing controls, and which of these are On.

https://docs.aws.amazon.com/r53recovery/latest/dg/routing-control.html. What is On is published with the health checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.record_file import RecordFile


@dataclass(frozen=True)
class Cluster:
    """One cluster."""

    arn: str
    name: str
    network_type: str = "IPV4"


@dataclass(frozen=True)
class ControlPanel:
    """One control panel; a cluster has a default one from the beginning."""

    arn: str
    cluster_arn: str
    name: str
    default: bool = False


@dataclass(frozen=True)
class RoutingControl:
    """One switch. It is Off when it is made."""

    arn: str
    panel_arn: str
    name: str
    on: bool = False


@dataclass(frozen=True)
class RecoveryRecords:
    """Everything. `tags` is keyed by ARN, `tokens` maps a client token to the ARN of what it made."""

    clusters: tuple[Cluster, ...] = ()
    panels: tuple[ControlPanel, ...] = ()
    controls: tuple[RoutingControl, ...] = ()
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)


class RecoveryState:
    """The records; `changed` is called when a routing control was switched, made or deleted."""

    def __init__(self, records: RecordFile[RecoveryRecords], changed: Callable[[], None]) -> None:
        self._records, self._changed = records, changed

    @property
    def value(self) -> RecoveryRecords:
        return self._records.value

    def routing_controls(self) -> dict[str, bool]:
        """Every routing control's ARN, and whether it is On."""
        return {control.arn: control.on for control in self.value.controls}

    def keep(self, **fields: Any) -> None:
        """Keep changed records."""
        before = self.value.controls
        self._records.replace(replace(self.value, **fields))
        if self.value.controls != before:
            self._changed()

    def cluster(self, arn: str) -> Cluster:
        """Raises ResourceNotFoundException."""
        return next((c for c in self.value.clusters if c.arn == arn), None) or _absent("cluster", arn)

    def panel(self, arn: str) -> ControlPanel:
        """Raises ResourceNotFoundException."""
        return next((p for p in self.value.panels if p.arn == arn), None) or _absent("controlpanel", arn)

    def control(self, arn: str) -> RoutingControl:
        """Raises ResourceNotFoundException."""
        return next((c for c in self.value.controls if c.arn == arn), None) or _absent("routingcontrol", arn)


def _absent(kind: str, arn: str) -> Any:
    members = {"resourceId": arn, "resourceType": kind}
    raise AwsError("ResourceNotFoundException", f"There is no {kind} with the ARN {arn}", members=members)
