"""What Route 53 is told about the drilled API: which health check stands for which region, and how it checks."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.deployment import HealthCheckPlan
from lab.errors import UserError
from lab.testing.lab import Lab


@dataclass(frozen=True)
class Routing:
    """The records of one name. `regions` is keyed by health check id; `check` is how all of them check."""

    name: str
    regions: dict[str, str]
    check: HealthCheckPlan


def read_routing(lab: Lab) -> Routing:
    """The routing of the lab's API, through the Route 53 API. Raises UserError if nothing checks the regions."""
    plan = lab.plan
    if plan.health_check is None:
        raise UserError("the drill needs health checks, and this lab has none: name `health_check` in lab.toml")
    route53 = lab.client("route53")
    zones = route53.list_hosted_zones_by_name(DNSName=f"{plan.zone}.", MaxItems="1")["HostedZones"]
    if not zones or zones[0]["Name"] != f"{plan.zone}.":
        raise UserError(f"the lab has no hosted zone {plan.zone}: deploy with `lab deploy`")
    regions: dict[str, str] = {}
    for page in route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zones[0]["Id"]):
        for record in page["ResourceRecordSets"]:
            if record["Name"] == f"{plan.api_domain}." and record.get("HealthCheckId"):
                regions[record["HealthCheckId"]] = record.get("Region") or record["SetIdentifier"]
    if not regions:
        raise UserError(f"no record of {plan.api_domain} has a health check: deploy with `lab deploy`")
    return Routing(plan.api_domain, regions, plan.health_check)
