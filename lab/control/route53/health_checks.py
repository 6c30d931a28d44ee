"""Route 53's health checks: their configuration, and their status as the probers see it.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html. One difference: loopback and private
addresses are allowed as targets, because everything of the lab is on one machine.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import page_size
from lab.control.route53.state import Route53State
from lab.control.route53.zones import CHECKS_MAX
from lab.core.health_check import CHECKER_REGIONS, AlarmIdentifier, HealthCheck
from lab.core.route53.name import NameSyntaxError, to_wire
from lab.live.clock import now_ms

PAGE_MAX = 1_000
DEFAULT_PORTS = {"HTTP": 80, "HTTP_STR_MATCH": 80, "HTTPS": 443, "HTTPS_STR_MATCH": 443}
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
PROBED = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")
_ONLY_FOR = {
    "AlarmIdentifier": ("CLOUDWATCH_METRIC",),
    "InsufficientDataHealthStatus": ("CLOUDWATCH_METRIC",),
    "RoutingControlArn": ("RECOVERY_CONTROL",),
    "ChildHealthChecks": ("CALCULATED",),
    "HealthThreshold": ("CALCULATED",),
    "IPAddress": PROBED,
    "FullyQualifiedDomainName": PROBED,
}
"""Members that say what a check looks at, and the types that look there."""

ReadStatus = Callable[[str], Awaitable[dict[str, Any]]]
"""A health check's id to what the probers know of it (docs/architecture.md). Raises AwsError."""


class HealthChecksPlane:
    """Operations on health checks. `regions` are those that have a CloudWatch."""

    def __init__(self, state: Route53State, regions: Sequence[str], read_status: ReadStatus) -> None:
        self._state, self._regions, self._read_status = state, regions, read_status

    def create_health_check(self, call: Call) -> dict[str, Any]:
        reference = call.parameters["CallerReference"]
        records = self._state.value
        made = _check_of(call.parameters["HealthCheckConfig"], reference, str(uuid.uuid4()))
        used = records.used_references.get(reference)
        if used is not None:
            present = next((check for check in records.health_checks if check.health_check_id == used), None)
            same = present is not None and made == replace(
                present, health_check_id=made.health_check_id, created_ms=made.created_ms, version=made.version
            )
            if present is None or not same:
                raise AwsError(
                    "HealthCheckAlreadyExists",
                    f"A health check with the caller reference {reference!r} already exists or has been deleted.",
                )
            return _created(present)
        if len(records.health_checks) >= CHECKS_MAX:
            raise AwsError("TooManyHealthChecks", f"Limits Exceeded: MAX_HEALTH_CHECKS_BY_OWNER - {CHECKS_MAX}")
        self._check_children(made)
        self._check_alarm(made)
        control = made.routing_control_arn
        if control is not None and control not in self._state.routing_controls():
            raise AwsError("InvalidInput", f"Routing control {control} does not exist.")
        references = {**records.used_references, reference: made.health_check_id}
        self._state.replace_checks((*records.health_checks, made), used_references=references)
        return _created(made)

    def get_health_check(self, call: Call) -> dict[str, Any]:
        return {"HealthCheck": _health_check(self._state.health_check(call.parameters["HealthCheckId"]))}

    def update_health_check(self, call: Call) -> dict[str, Any]:
        given = dict(call.parameters)
        check = self._state.health_check(given.pop("HealthCheckId"))
        wanted_version = given.pop("HealthCheckVersion", None)
        if wanted_version not in (None, check.version):
            raise AwsError("HealthCheckVersionMismatch", f"The health check has version {check.version}.")
        reset = given.pop("ResetElements", [])
        config = {**_config(check), **given}
        emptied = {"FullyQualifiedDomainName": "FullyQualifiedDomainName", "Regions": "Regions"}
        emptied |= {"ResourcePath": "ResourcePath", "ChildHealthChecks": "ChildHealthChecks"}
        for element in reset:
            config.pop(emptied[element], None)
        updated = replace(
            _check_of(config, check.caller_reference, check.health_check_id),
            created_ms=check.created_ms,
            version=check.version + 1,
        )
        self._check_children(updated)
        self._check_alarm(updated)
        checks = tuple(updated if other is check else other for other in self._state.value.health_checks)
        self._state.replace_checks(checks)
        return {"HealthCheck": _health_check(updated)}

    def list_health_checks(self, call: Call) -> dict[str, Any]:
        marker = call.parameters.get("Marker")
        limit = page_size(call, most=PAGE_MAX)
        checks = sorted(self._state.value.health_checks, key=lambda check: check.health_check_id)
        left = [check for check in checks if marker is None or check.health_check_id >= marker]
        return {
            "HealthChecks": [_health_check(check) for check in left[:limit]],
            "Marker": marker or "",
            "IsTruncated": len(left) > limit,
            "NextMarker": left[limit].health_check_id if len(left) > limit else None,
            "MaxItems": str(limit),
        }

    def delete_health_check(self, call: Call) -> dict[str, Any]:
        check = self._state.health_check(call.parameters["HealthCheckId"])
        parents = [c for c in self._state.value.health_checks if check.health_check_id in c.child_health_checks]
        if parents:
            raise AwsError(
                "HealthCheckInUse",
                f"The health check is a child of the calculated health check {parents[0].health_check_id}.",
            )
        left = tuple(other for other in self._state.value.health_checks if other is not check)
        tags = {k: v for k, v in self._state.value.tags.items() if k != f"healthcheck/{check.health_check_id}"}
        self._state.replace_checks(left, tags=tags)
        return {}

    def get_health_check_count(self, call: Call) -> dict[str, Any]:
        return {"HealthCheckCount": len(self._state.value.health_checks)}

    def get_checker_ip_ranges(self, call: Call) -> dict[str, Any]:
        return {"CheckerIpRanges": ["127.0.0.0/8"]}

    async def get_health_check_status(self, call: Call) -> dict[str, Any]:
        check = self._probed(call, "GetHealthCheckStatus")
        status = await self._read_status(check.health_check_id)
        checkers = [checker for checker in status.get("checkers", []) if checker.get("reason") is not None]
        return {"HealthCheckObservations": [_observation(c, c["reason"], c.get("checked_ms")) for c in checkers]}

    async def get_health_check_last_failure_reason(self, call: Call) -> dict[str, Any]:
        check = self._probed(call, "GetHealthCheckLastFailureReason")
        status = await self._read_status(check.health_check_id)
        failed = [checker for checker in status.get("checkers", []) if checker.get("failure_reason") is not None]
        return {"HealthCheckObservations": [_observation(c, c["failure_reason"], c.get("failed_ms")) for c in failed]}

    def _probed(self, call: Call, operation: str) -> HealthCheck:
        check = self._state.health_check(call.parameters["HealthCheckId"])
        if check.type not in PROBED:
            raise AwsError("InvalidInput", f"{operation} is not available for health checks of type {check.type}")
        return check

    def _check_alarm(self, check: HealthCheck) -> None:
        if check.alarm is not None and check.alarm.region not in self._regions:
            known = ", ".join(self._regions)
            raise AwsError(
                "InvalidInput", f"The lab has no alarms in the region {check.alarm.region}, only in {known}."
            )

    def _check_children(self, check: HealthCheck) -> None:
        known = {c.health_check_id: c for c in self._state.value.health_checks}
        for child_id in check.child_health_checks:
            child = known.get(child_id)
            if child is None:
                raise AwsError("InvalidInput", f"Child health check {child_id} does not exist.")
            if child.type == "CALCULATED":
                raise AwsError("InvalidInput", f"Child health check {child_id} is itself a calculated health check.")


def _check_of(given: dict[str, Any], reference: str, health_check_id: str) -> HealthCheck:
    """A health check from a HealthCheckConfig. Raises AwsError (InvalidInput)."""
    kind = given["Type"]
    _check_members(kind, given)
    path = given.get("ResourcePath")
    alarm = given.get("AlarmIdentifier")
    regions = tuple(given.get("Regions") or ())
    unknown = sorted(set(regions) - set(CHECKER_REGIONS))
    if unknown:
        raise AwsError(
            "InvalidInput", f"Invalid region {unknown[0]}; health checkers are in {', '.join(CHECKER_REGIONS)}"
        )
    if regions and len(set(regions)) < max(3, len(regions)):
        raise AwsError("InvalidInput", "If you specify regions, you must specify at least three, each once.")
    interval = given.get("RequestInterval", 30)
    if interval not in (10, 30):
        raise AwsError("InvalidInput", f"Invalid request interval {interval}: expected 10 or 30")
    return HealthCheck(
        health_check_id=health_check_id,
        caller_reference=reference,
        type=kind,
        created_ms=now_ms(),
        ip_address=given.get("IPAddress") or None,
        port=given.get("Port", DEFAULT_PORTS.get(kind)),
        resource_path=path if path is None or path.startswith("/") else f"/{path}",
        fully_qualified_domain_name=given.get("FullyQualifiedDomainName") or None,
        search_string=given.get("SearchString") or None,
        request_interval=interval,
        failure_threshold=given.get("FailureThreshold", 3),
        measure_latency=given.get("MeasureLatency", False),
        inverted=given.get("Inverted", False),
        disabled=given.get("Disabled", False),
        enable_sni=given.get("EnableSNI", kind.startswith("HTTPS")),
        regions=regions,
        health_threshold=given.get("HealthThreshold", 0),
        child_health_checks=tuple(given.get("ChildHealthChecks") or ()),
        alarm=AlarmIdentifier(alarm["Region"], alarm["Name"]) if alarm else None,
        insufficient_data_health_status=given.get("InsufficientDataHealthStatus"),
        routing_control_arn=given.get("RoutingControlArn"),
    )


def _check_members(kind: str, given: dict[str, Any]) -> None:
    address, domain = given.get("IPAddress"), given.get("FullyQualifiedDomainName")
    if address:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            raise AwsError("InvalidInput", f"Invalid IP address: {address}") from None
        refused = parsed.is_multicast or parsed.is_link_local or parsed.is_reserved or parsed.is_unspecified
        if "%" in address:
            raise AwsError("InvalidInput", f"Invalid IP address: {address}")
        if refused and not parsed.is_loopback:  # ::1 is reserved too
            raise AwsError("InvalidInput", f"Invalid IP address: {address} is multicast, link-local or reserved")
    if domain:
        try:
            to_wire(domain)
        except NameSyntaxError as error:
            raise AwsError("InvalidInput", f"Invalid FullyQualifiedDomainName {domain!r}: {error}") from None
        if re.search("[/:?#@]", domain):
            raise AwsError("InvalidInput", f"Invalid FullyQualifiedDomainName {domain!r}: expected a name, not a URL")
    for member in ("FullyQualifiedDomainName", "ResourcePath"):
        if _UNSENDABLE.search(given.get(member) or ""):
            raise AwsError("InvalidInput", f"Invalid {member} {given[member]!r}: no spaces and control characters")
    if kind in PROBED and not address and not domain:
        raise AwsError("InvalidInput", "Either IPAddress or FullyQualifiedDomainName must be specified.")
    if kind == "TCP" and given.get("Port") is None:
        raise AwsError("InvalidInput", "Port must be specified for health checks of type TCP.")
    if kind == "TCP" and given.get("ResourcePath"):
        raise AwsError("InvalidInput", "ResourcePath must not be specified for health checks of type TCP.")
    if kind.endswith("_STR_MATCH") != bool(given.get("SearchString")):
        wanted = "must" if kind.endswith("_STR_MATCH") else "must not"
        raise AwsError("InvalidInput", f"SearchString {wanted} be specified for health checks of type {kind}.")
    if kind == "CALCULATED" and "HealthThreshold" not in given:
        raise AwsError("InvalidInput", "HealthThreshold must be specified for health checks of type CALCULATED.")
    if kind == "CLOUDWATCH_METRIC" and not given.get("AlarmIdentifier"):
        raise AwsError("InvalidInput", "AlarmIdentifier must be specified for health checks of type CLOUDWATCH_METRIC.")
    if kind == "RECOVERY_CONTROL" and not given.get("RoutingControlArn"):
        raise AwsError(
            "InvalidInput", "RoutingControlArn must be specified for health checks of type RECOVERY_CONTROL."
        )
    for member, kinds in _ONLY_FOR.items():
        if given.get(member) and kind not in kinds:
            raise AwsError("InvalidInput", f"{member} must not be specified for health checks of type {kind}.")
    for member in ("RequestInterval", "FailureThreshold", "MeasureLatency") if kind == "RECOVERY_CONTROL" else ():
        if given.get(member):
            raise AwsError("InvalidInput", f"{member} must not be specified for health checks of type {kind}.")


def _config(check: HealthCheck) -> dict[str, Any]:
    """The HealthCheckConfig that makes this check, without members that it does not have."""
    probed = check.type in PROBED
    alarm = check.alarm
    config = {
        "Type": check.type,
        "IPAddress": check.ip_address,
        "Port": check.port,
        "ResourcePath": check.resource_path,
        "FullyQualifiedDomainName": check.fully_qualified_domain_name,
        "SearchString": check.search_string,
        "RequestInterval": check.request_interval if probed else None,
        "FailureThreshold": check.failure_threshold if probed else None,
        "MeasureLatency": check.measure_latency if probed else None,
        "Inverted": check.inverted,
        "Disabled": check.disabled,
        "HealthThreshold": check.health_threshold if check.type == "CALCULATED" else None,
        "ChildHealthChecks": list(check.child_health_checks) or None,
        "EnableSNI": check.enable_sni if probed else None,
        "Regions": list(check.regions) or None,
        "AlarmIdentifier": {"Region": alarm.region, "Name": alarm.name} if alarm else None,
        "InsufficientDataHealthStatus": check.insufficient_data_health_status,
        "RoutingControlArn": check.routing_control_arn,
    }
    return {name: value for name, value in config.items() if value is not None}


def _health_check(check: HealthCheck) -> dict[str, Any]:
    return {
        "Id": check.health_check_id,
        "CallerReference": check.caller_reference,
        "HealthCheckConfig": _config(check),
        "HealthCheckVersion": check.version,
    }


def _created(check: HealthCheck) -> dict[str, Any]:
    return {
        "HealthCheck": _health_check(check),
        "Location": f"https://route53.amazonaws.com/2013-04-01/healthcheck/{check.health_check_id}",
    }


def _observation(checker: dict[str, Any], reason: str, checked_ms: int | None) -> dict[str, Any]:
    checked = datetime.fromtimestamp(checked_ms / 1000, UTC) if checked_ms is not None else None
    return {
        "Region": checker["region"],
        "IPAddress": checker["address"],
        "StatusReport": {"Status": reason, "CheckedTime": checked},
    }
