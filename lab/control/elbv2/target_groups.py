"""Target groups of type `lambda` and `ip`, their targets, attributes and health.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html. Health comes from
the edge, where the checks are made. Targets of type `instance` and `alb` are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.elbv2.state import (
    LoadBalancerState,
    as_attributes,
    attributes_of,
    checked_name,
    named,
    new_arn,
    page,
    tags_of,
)
from lab.core.alb_health import NOT_REGISTERED
from lab.core.function import Function
from lab.core.lambda_errors import ValidationFailed
from lab.core.lambda_function_name import parse_function_name
from lab.core.load_balancer import Target, TargetGroup
from lab.core.whole_number import whole_number

GROUPS_MAX = 3000
TARGETS_MAX = 1000
PRINCIPAL = "elasticloadbalancing.amazonaws.com"
LAMBDA_ATTRIBUTES = {"lambda.multi_value_headers.enabled": "false"}
IP_ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "300",
    "load_balancing.algorithm.type": "round_robin",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "slow_start.duration_seconds": "0",
    "stickiness.enabled": "false",
    "stickiness.type": "lb_cookie",
}
MATCHER = re.compile(r"\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*")
HEALTH_CHECK_MEMBERS = {
    "HealthCheckEnabled": "health_check_enabled",
    "HealthCheckProtocol": "health_check_protocol",
    "HealthCheckPort": "health_check_port",
    "HealthCheckPath": "health_check_path",
    "HealthCheckIntervalSeconds": "health_check_interval_s",
    "HealthCheckTimeoutSeconds": "health_check_timeout_s",
    "HealthyThresholdCount": "healthy_threshold",
    "UnhealthyThresholdCount": "unhealthy_threshold",
}

FindFunction = Callable[[str, str], Function | None]
AskHealth = Callable[[str], Awaitable[list[dict[str, Any]]]]
"""From a target group's ARN to its targets' health as the edge knows it; raises AwsError."""


class TargetGroupsPlane:
    """Operations on target groups. `find_function(region, name)`."""

    def __init__(self, state: LoadBalancerState, find_function: FindFunction, ask_health: AskHealth) -> None:
        self._state, self._find_function, self._ask_health = state, find_function, ask_health

    def create_target_group(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        name = checked_name(given["Name"], "target group")
        kind = given.get("TargetType", "instance")
        if kind not in ("lambda", "ip"):
            raise not_implemented(
                "elasticloadbalancing", call.operation, f"targets of type `{kind}`; the lab has `lambda` and `ip`"
            )
        if any(group.name == name for group in self._state.groups(call.region)):
            raise AwsError("DuplicateTargetGroupName", f"A target group with the same name '{name}' exists")
        if len(self._state.groups(call.region)) >= GROUPS_MAX:
            raise AwsError("TooManyTargetGroups", f"The maximum number of target groups has been reached: {GROUPS_MAX}")
        group = TargetGroup(new_arn(call.region, f"targetgroup/{name}"), call.region, name, kind, tags=tags_of(call))
        if kind == "lambda":
            for member in ("Protocol", "Port", "VpcId"):
                if member in given:
                    raise AwsError(
                        "ValidationError", f"{member} cannot be specified for target groups of type 'lambda'"
                    )
        else:
            group = self._with_address_settings(call, group)
        group = _with_health_checks(group, given)
        self._state.keep_group(group)
        return {"TargetGroups": [self._shape(group)]}

    def _with_address_settings(self, call: Call, group: TargetGroup) -> TargetGroup:
        given = call.parameters
        if given.get("Protocol") != "HTTP":
            raise AwsError(
                "ValidationError",
                f"Protocol '{given.get('Protocol')}': the lab reaches targets of type 'ip' over HTTP only",
            )
        if given.get("ProtocolVersion", "HTTP1") != "HTTP1":
            raise not_implemented("elasticloadbalancing", call.operation, "protocol versions besides HTTP1")
        if "Port" not in given:
            raise AwsError("ValidationError", "A port must be specified")
        return replace(
            group,
            port=given["Port"],
            vpc_id=given.get("VpcId"),
            health_check_enabled=True,
            health_check_interval_s=30,
            health_check_timeout_s=5,
            unhealthy_threshold=2,
        )

    def modify_target_group(self, call: Call) -> dict[str, Any]:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        changed = _with_health_checks(group, call.parameters)
        self._state.keep_group(changed)
        return {"TargetGroups": [self._shape(changed)]}

    def delete_target_group(self, call: Call) -> None:
        arn = call.parameters["TargetGroupArn"]
        if self._state.balancers_of(arn):
            raise AwsError("ResourceInUse", f"Target group '{arn}' is currently in use by a listener or a rule")
        self._state.drop_group(arn)

    def describe_target_groups(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        groups = list(self._state.groups(call.region))
        if "TargetGroupArns" in given:
            groups = [self._state.group(call.region, arn) for arn in given["TargetGroupArns"]]
        elif "Names" in given:
            groups = named(
                groups,
                given["Names"],
                lambda names: AwsError("TargetGroupNotFound", f"One or more target groups not found: {names}"),
            )
        elif "LoadBalancerArn" in given:
            used = self._state.balancer(call.region, given["LoadBalancerArn"]).target_group_arns
            groups = [group for group in groups if group.arn in used]
        shown, marker = page(groups, call, lambda group: group.arn)
        return {"TargetGroups": [self._shape(group) for group in shown], "NextMarker": marker}

    def _shape(self, group: TargetGroup) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "TargetGroupArn": group.arn,
            "TargetGroupName": group.name,
            "HealthCheckEnabled": group.health_check_enabled,
            "HealthCheckIntervalSeconds": group.health_check_interval_s,
            "HealthCheckTimeoutSeconds": group.health_check_timeout_s,
            "HealthyThresholdCount": group.healthy_threshold,
            "UnhealthyThresholdCount": group.unhealthy_threshold,
            "HealthCheckPath": group.health_check_path,
            "Matcher": {"HttpCode": group.matcher},
            "LoadBalancerArns": [balancer.arn for balancer in self._state.balancers_of(group.arn)],
            "TargetType": group.target_type,
            "IpAddressType": "ipv4",
        }
        if group.target_type == "ip":
            shape |= {
                "Protocol": group.protocol,
                "ProtocolVersion": "HTTP1",
                "Port": group.port,
                "VpcId": group.vpc_id,
                "HealthCheckProtocol": group.health_check_protocol,
                "HealthCheckPort": group.health_check_port,
            }
        return {name: value for name, value in shape.items() if value is not None}

    # attributes

    def describe_target_group_attributes(self, call: Call) -> dict[str, Any]:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        return as_attributes(_known_attributes(group) | group.attributes)

    def modify_target_group_attributes(self, call: Call) -> dict[str, Any]:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        known = _known_attributes(group)
        given = attributes_of(call, known)
        if given.get("stickiness.enabled") == "true":
            raise not_implemented(
                "elasticloadbalancing", call.operation, "stickiness to targets; stickiness to target groups works"
            )
        changed = replace(group, attributes=group.attributes | given)
        self._state.keep_group(changed)
        return as_attributes(known | changed.attributes)

    # targets

    def register_targets(self, call: Call) -> None:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        added = [_target(group, given) for given in call.parameters["Targets"]]
        for target in added:
            if group.target_type == "lambda":
                self._check_function(group, target)
            else:
                _check_address(target)
        targets = tuple(dict.fromkeys((*group.targets, *added)))
        if group.target_type == "lambda" and len(targets) > 1:
            raise AwsError("TooManyTargets", "A target group of type 'lambda' has at most one target")
        if len(targets) > TARGETS_MAX:
            raise AwsError("TooManyTargets", f"A target group has at most {TARGETS_MAX} targets")
        self._state.keep_group(replace(group, targets=targets))

    def _check_function(self, group: TargetGroup, target: Target) -> None:
        try:
            reference = parse_function_name(target.id)
        except ValidationFailed:
            reference = None
        if reference is None or not target.id.startswith("arn:") or reference.region != group.region:
            raise AwsError("ValidationError", f"'{target.id}' is not the ARN of a function in {group.region}")
        function = self._find_function(group.region, reference.name)
        if function is None:
            raise AwsError(
                "InvalidTarget", f"The following targets are not in a valid state: function {target.id} not found"
            )
        allowed = any(
            permission.principal in (PRINCIPAL, "*") and permission.source_arn in (None, group.arn)
            for permission in function.permissions
        )
        if not allowed:
            raise AwsError(
                "AccessDenied",
                f"elasticloadbalancing principal does not have permission to invoke {target.id} from target group "
                f"{group.arn}",
                status=403,
            )

    def deregister_targets(self, call: Call) -> None:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        removed = {_target(group, given) for given in call.parameters["Targets"]}
        self._state.keep_group(replace(group, targets=tuple(t for t in group.targets if t not in removed)))

    async def describe_target_health(self, call: Call) -> dict[str, Any]:
        group = self._state.group(call.region, call.parameters["TargetGroupArn"])
        known = {(one["id"], one["port"]): one for one in await self._ask_health(group.arn)}
        wanted = group.targets
        if "Targets" in call.parameters:
            wanted = tuple(_target(group, given) for given in call.parameters["Targets"])
        return {"TargetHealthDescriptions": [_health_shape(group, t, known.get((t.id, t.port))) for t in wanted]}


def _known_attributes(group: TargetGroup) -> dict[str, str]:
    return LAMBDA_ATTRIBUTES if group.target_type == "lambda" else IP_ATTRIBUTES


def _with_health_checks(group: TargetGroup, given: dict[str, Any]) -> TargetGroup:
    """The group with the health check settings of a request. Raises AwsError."""
    changes = {field: given[member] for member, field in HEALTH_CHECK_MEMBERS.items() if member in given}
    matcher = given.get("Matcher", {}).get("HttpCode")
    if matcher is not None:
        if not MATCHER.fullmatch(matcher) or not all(200 <= int(code) <= 499 for code in re.findall(r"\d{3}", matcher)):
            raise AwsError("ValidationError", f"Health check matcher HTTP code '{matcher}' must be within '200-499'")
        changes["matcher"] = matcher
    if group.target_type == "lambda":
        for member in ("HealthCheckProtocol", "HealthCheckPort"):
            if member in given:
                raise AwsError("ValidationError", f"{member} cannot be specified for target groups of type 'lambda'")
    elif changes.get("health_check_protocol", "HTTP") != "HTTP":
        raise AwsError("ValidationError", "the lab checks targets of type 'ip' over HTTP only")
    elif changes.get("health_check_enabled") is False:
        raise AwsError(
            "InvalidConfigurationRequest", "Health check enabled must be true for target groups of type 'ip'"
        )
    port = changes.get("health_check_port", "traffic-port")
    if port != "traffic-port" and not 1 <= (whole_number(port) or 0) <= 65535:
        raise AwsError("ValidationError", f"Health check port '{port}' must be 'traffic-port' or between 1 and 65535")
    if not str(changes.get("health_check_path", "/")).startswith("/"):
        raise AwsError("ValidationError", "Health check path must begin with a '/' character")
    changed = replace(group, **changes)
    if changed.health_check_interval_s <= changed.health_check_timeout_s:
        raise AwsError("ValidationError", "Health check interval must be greater than the timeout.")
    return changed


def _target(group: TargetGroup, given: dict[str, Any]) -> Target:
    if group.target_type == "lambda":
        return Target(given["Id"])
    return Target(given["Id"], given.get("Port", group.port))


def _check_address(target: Target) -> None:
    try:
        address = ipaddress.IPv4Address(target.id)
    except ValueError:
        raise AwsError("ValidationError", f"The IP address '{target.id}' is not a valid IPv4 address") from None
    if not (address.is_loopback or address.is_private):
        raise AwsError("InvalidTarget", f"The IP address '{target.id}' is neither a loopback nor a private address")


def _health_shape(group: TargetGroup, target: Target, known: dict[str, Any] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"Id": target.id}
    shape: dict[str, Any] = {"Target": described}
    if group.target_type == "lambda":
        described["AvailabilityZone"] = "all"
    else:
        described["Port"] = target.port
        port = group.health_check_port
        shape["HealthCheckPort"] = str(target.port) if port == "traffic-port" else port
    if known is not None:
        health = {"State": known["state"], "Reason": known["reason"], "Description": known["description"]}
    elif target in group.targets:  # registered a moment ago
        health = {"State": "initial", "Reason": "Elb.RegistrationInProgress"}
    else:
        health = {"State": "unused", "Reason": NOT_REGISTERED.reason, "Description": NOT_REGISTERED.description}
    shape["TargetHealth"] = {name: value for name, value in health.items() if value is not None}
    return shape
