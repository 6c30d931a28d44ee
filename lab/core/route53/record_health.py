"""Whether a record is healthy while one question is answered: its health check, and its alias's target.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-complex-configs.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lab.core.endpoint_name import EndpointName
from lab.core.route53.catalog import Catalog, Group, ZoneTable
from lab.core.route53.name import NameSyntaxError, to_wire
from lab.core.zone import AliasTarget, RecordSet


@dataclass
class RecordHealth:
    """The health of records, each group looked at once; `consulted` are the health checks that were asked.

    `status` tells a health check's status by its id, `endpoint` that of one of the lab's own resources.
    `exists` tells whether there is a health check with an id: records outlive those that they name.
    """

    catalog: Catalog
    status: Callable[[str], bool]
    endpoint: Callable[[EndpointName], bool]
    exists: Callable[[str], bool] = lambda _: True
    consulted: dict[str, None] = field(default_factory=dict)
    _groups: dict[int, bool] = field(default_factory=dict)

    def is_healthy(self, zone: ZoneTable, record: RecordSet) -> bool:
        """Whether a record is healthy; one with both a health check and EvaluateTargetHealth needs both."""
        if record.health_check_id is not None:
            self.consulted[record.health_check_id] = None
            if not self.status(record.health_check_id):
                return False
        alias = record.alias
        return alias is None or not alias.evaluate_target_health or self._is_target_healthy(zone, alias, record.type)

    def _is_target_healthy(self, zone: ZoneTable, alias: AliasTarget, rtype: str) -> bool:
        target_zone, group, endpoint = self.target(zone, alias, rtype)
        if endpoint is not None:
            return self.endpoint(endpoint)
        known = self._groups.get(id(group))
        if known is None:
            self._groups[id(group)] = False  # an alias that leads back to itself makes nothing healthy
            known = any(self.is_healthy(target_zone, member) for member in group)
            self._groups[id(group)] = known
        return known

    def target(self, zone: ZoneTable, alias: AliasTarget, rtype: str) -> tuple[ZoneTable, Group, EndpointName | None]:
        """What an alias points to: a group of records of the zone that it names, or one of the lab's own names."""
        try:
            name = to_wire(alias.dns_name)
        except NameSyntaxError:
            return zone, (), None
        target_zone = self.catalog.zone_by_id(alias.hosted_zone_id)
        if target_zone is None:
            endpoint = self.catalog.endpoints.get(name)
            if endpoint is None and name.startswith(b"\x09dualstack"):
                endpoint = self.catalog.endpoints.get(name[10:])
            return zone, (), endpoint
        groups = target_zone.at(name)
        if groups is None:
            wildcard = target_zone.wildcard_for(name)
            groups = target_zone.at(wildcard) if wildcard is not None else None
        return target_zone, (groups or {}).get(rtype, ()), None

    def words(self, zone: ZoneTable, record: RecordSet) -> str:
        """Why a record is healthy or not, for a reader."""
        parts = []
        if record.health_check_id is not None:
            status = "healthy" if self.status(record.health_check_id) else "unhealthy"
            if not self.exists(record.health_check_id):
                status = "does not exist (any more), so healthy"
            parts.append(f"health check {record.health_check_id} {status}")
        alias = record.alias
        if alias is not None and alias.evaluate_target_health:
            healthy = self._is_target_healthy(zone, alias, record.type)
            parts.append(f"target {'healthy' if healthy else 'unhealthy'}")
        return " and ".join(parts) or "no health check, so healthy"
