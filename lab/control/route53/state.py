"""Route 53's records in memory and on disk, and the documents that are made of them. It decides nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.record_file import RecordFile
from lab.control.route53.records import Change, Route53Records
from lab.control.route53.shapes import zone_id as bare_id
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.zone import HostedZone, Zones
from lab.live.clock import now_ms

CHANGES_KEPT = 1_000
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Route53State:
    """The records. `changed` is told which documents changed and answers with the version of `zones`."""

    def __init__(self, records: RecordFile[Route53Records], changed: Callable[[tuple[str, ...]], int]) -> None:
        self._records, self._changed = records, changed
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

    def replace_zones(self, zones: tuple[HostedZone, ...], comment: str = "", **fields: Any) -> Change:
        """Keep the zones and publish them; the change that the caller is told of."""
        change = Change(f"C{self.new_id(20)}", now_ms(), comment)
        changes = (*self.value.changes, change)[-CHANGES_KEPT:]
        self._records.replace(replace(self.value, zones=zones, changes=changes, **fields))
        version = self._changed(("zones",))
        # The version is only known now, and only this run of control can compare it: it is not worth a second write.
        self._records.value = replace(self.value, changes=(*changes[:-1], replace(change, zones_version=version)))
        return self.value.changes[-1]

    def replace_checks(self, checks: tuple[HealthCheck, ...], **fields: Any) -> None:
        """Keep the health checks and publish them."""
        self._records.replace(replace(self.value, health_checks=checks, **fields))
        self._changed(("health_checks",))

    def replace_tags(self, tags: dict[str, dict[str, str]]) -> None:
        """Keep tags; nobody else reads them."""
        self._records.replace(replace(self.value, tags=tags))

    def new_id(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHABET, k=length))

    def zones_document(self) -> Zones:
        """The document `zones`."""
        return Zones(self.value.zones, self.value.cidr_collections)

    def checks_document(self) -> HealthChecks:
        """The document `health_checks`."""
        return HealthChecks(self.value.health_checks, self.value.routing_controls or None)
