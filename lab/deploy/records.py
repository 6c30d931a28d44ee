"""Route 53: the hosted zone, a health check per region, and the latency records that the health checks decide.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-latency.html
"""

from __future__ import annotations

import uuid
from typing import Any

from lab.core.deployment import DeploymentPlan
from lab.core.rest_api import execute_api_host
from lab.deploy.rest_api import DeployedApi
from lab.deploy.waiting import wait_until
from lab.errors import LabFault


def deploy_records(route53: Any, plan: DeploymentPlan, apis: list[DeployedApi]) -> dict[str, str]:
    """Zone, health checks and records of all regions; the health checks' ids by region."""
    zone_id = _ensure_zone(route53, f"{plan.zone}.")
    checks = _ensure_health_checks(route53, plan, apis)
    name = f"{plan.api_domain}."
    wanted = [_record_set(name, api, checks.get(api.region)) for api in apis]
    present = [record for record in _records(route53, zone_id) if record["Name"] == name and record["Type"] == "A"]
    identifiers = {record["SetIdentifier"] for record in wanted}
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in wanted if record not in present]
    changes += [
        {"Action": "DELETE", "ResourceRecordSet": record}
        for record in present
        if record.get("SetIdentifier") not in identifiers
    ]
    if changes:
        answer = route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})
        change = answer["ChangeInfo"]
        if change["Status"] != "INSYNC":
            wait_until(
                lambda: route53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC",
                "the DNS change to be in sync",
            )
    return checks


def _ensure_zone(route53: Any, name: str) -> str:
    for zone in route53.list_hosted_zones_by_name(DNSName=name, MaxItems="1")["HostedZones"]:
        if zone["Name"] == name:
            return str(zone["Id"])
    zone = route53.create_hosted_zone(Name=name, CallerReference=str(uuid.uuid4()))["HostedZone"]
    return str(zone["Id"])


def _ensure_health_checks(route53: Any, plan: DeploymentPlan, apis: list[DeployedApi]) -> dict[str, str]:
    """A health check of each region's own API, found by what it checks."""
    check = plan.health_check
    if check is None:
        return {}
    present: dict[tuple[Any, ...], str] = {}
    for page in route53.get_paginator("list_health_checks").paginate():
        for found in page["HealthChecks"]:
            settings = found["HealthCheckConfig"]
            where = settings.get("FullyQualifiedDomainName"), settings.get("ResourcePath")
            present[*where, settings.get("RequestInterval"), settings.get("FailureThreshold")] = found["Id"]
    ids: dict[str, str] = {}
    for api in apis:
        config = {
            "Type": "HTTP",
            "FullyQualifiedDomainName": execute_api_host(api.api_id, api.region),
            "Port": 80,
            "ResourcePath": f"/{plan.stage}{check.path}",
            "RequestInterval": check.request_interval_s,
            "FailureThreshold": check.failure_threshold,
        }
        key = (
            config["FullyQualifiedDomainName"],
            config["ResourcePath"],
            check.request_interval_s,
            check.failure_threshold,
        )
        known = present.get(key)
        if known is None:
            made = route53.create_health_check(CallerReference=str(uuid.uuid4()), HealthCheckConfig=config)
            known = made["HealthCheck"]["Id"]
        ids[api.region] = str(known)
    return ids


def _record_set(name: str, api: DeployedApi, health_check_id: str | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "Name": name,
        "Type": "A",
        "SetIdentifier": api.region,
        "Region": api.region,
        "AliasTarget": {
            "HostedZoneId": api.domain_zone_id,
            "DNSName": f"{api.domain_target.rstrip('.')}.",
            "EvaluateTargetHealth": True,
        },
    }
    if health_check_id is not None:
        record["HealthCheckId"] = health_check_id
    return record


def _records(route53: Any, zone_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for page in route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id):
        found.extend(page["ResourceRecordSets"])
    if not found:
        raise LabFault(f"zone {zone_id} has no records, not even its SOA")
    return found
