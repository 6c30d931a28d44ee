"""Load balancers: create, describe, attributes, delete, tags of everything.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_Operations.html. Only Application Load
Balancers; subnets, security groups and zones are recorded and mean nothing on one machine.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.control.elbv2.hosted_zones import hosted_zone_id
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
from lab.core.load_balancer import LoadBalancer, LoadBalancerListener, Rule, TargetGroup, balancer_address
from lab.live.clock import now_ms

BALANCERS_MAX = 50
ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "deletion_protection.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}
MODES = {
    "routing.http.xff_header_processing.mode": ("append", "preserve", "remove"),
    "routing.http.desync_mitigation_mode": ("monitor", "defensive", "strictest"),
}
S3_LOGS = {
    "access_logs.s3.enabled": "every access log is in .lab/logs/load-balancers/REGION/NAME.log, in AWS's format",
    "connection_logs.s3.enabled": "the lab writes no connection logs",
}
RANGES = {"idle_timeout.timeout_seconds": (1, 4000), "client_keep_alive.seconds": (60, 604_800)}

Tagged = LoadBalancer | LoadBalancerListener | Rule | TargetGroup


class BalancersPlane:
    """Operations on load balancers."""

    def __init__(self, state: LoadBalancerState) -> None:
        self._state = state

    def create_load_balancer(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        if given.get("Type", "application") != "application":
            raise not_implemented("elasticloadbalancing", call.operation, "only load balancers of type `application`")
        if given.get("IpAddressType", "ipv4") != "ipv4":
            raise not_implemented("elasticloadbalancing", call.operation, "only the IP address type `ipv4`")
        name = checked_name(given["Name"], "load balancer")
        subnets = tuple(given.get("Subnets") or [m.get("SubnetId", "") for m in given.get("SubnetMappings", [])])
        if len(set(subnets)) < 2:
            raise AwsError(
                "ValidationError",
                "At least two subnets in two different Availability Zones must be specified (the lab takes any ids)",
            )
        scheme, tags = given.get("Scheme", "internet-facing"), tags_of(call)
        existing = next((b for b in self._state.balancers(call.region) if b.name == name), None)
        if existing is not None:
            if (existing.scheme, existing.subnets, existing.tags) == (scheme, subnets, tags):
                return {"LoadBalancers": [self._shape(existing)]}
            raise AwsError(
                "DuplicateLoadBalancerName",
                f"A load balancer with the same name '{name}' exists, but with different settings",
            )
        balancer = LoadBalancer(
            new_arn(call.region, f"loadbalancer/app/{name}"),
            call.region,
            name,
            f"{'internal-' if scheme == 'internal' else ''}{name}-{secrets.randbelow(10**10):010d}"
            f".{call.region}.elb.amazonaws.com",
            self._free_address(call.region),
            now_ms(),
            scheme,
            subnets,
            tuple(given.get("SecurityGroups", ())),
            tags=tags,
        )
        self._state.keep_balancer(balancer)
        return {"LoadBalancers": [self._shape(balancer, "provisioning")]}

    def _free_address(self, region: str) -> str:
        taken = {balancer.address for balancer in self._state.balancers(region)}
        topology = self._state.topology
        for index in range(BALANCERS_MAX):
            address = balancer_address(topology.block, topology.region(region).number, index)
            if address not in taken:
                return address
        raise AwsError(
            "TooManyLoadBalancers", f"The maximum number of load balancers has been reached: {BALANCERS_MAX}"
        )

    def _shape(self, balancer: LoadBalancer, state: str = "active") -> dict[str, Any]:
        return {
            "LoadBalancerArn": balancer.arn,
            "DNSName": balancer.dns_name,
            "CanonicalHostedZoneId": hosted_zone_id(balancer.region),
            "CreatedTime": datetime.fromtimestamp(balancer.created_ms / 1000, UTC),
            "LoadBalancerName": balancer.name,
            "Scheme": balancer.scheme,
            "VpcId": "vpc-lab",
            "State": {"Code": state},
            "Type": "application",
            "AvailabilityZones": [
                {"ZoneName": f"{balancer.region}{zone}", "SubnetId": subnet, "LoadBalancerAddresses": []}
                for zone, subnet in zip("abcdefghij", balancer.subnets, strict=False)
            ],
            "SecurityGroups": list(balancer.security_groups),
            "IpAddressType": "ipv4",
        }

    def describe_load_balancers(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        balancers = list(self._state.balancers(call.region))
        if "LoadBalancerArns" in given:
            balancers = [self._state.balancer(call.region, arn) for arn in given["LoadBalancerArns"]]
        elif "Names" in given:
            balancers = named(
                balancers,
                given["Names"],
                lambda names: AwsError("LoadBalancerNotFound", f"Load balancers '[{names}]' not found"),
            )
        shown, marker = page(balancers, call, lambda balancer: balancer.arn)
        return {"LoadBalancers": [self._shape(balancer) for balancer in shown], "NextMarker": marker}

    def delete_load_balancer(self, call: Call) -> None:
        arn = call.parameters["LoadBalancerArn"]
        for balancer in self._state.balancers(call.region):  # one that is gone already is no error
            if balancer.arn == arn:
                if balancer.attributes.get("deletion_protection.enabled") == "true":
                    raise AwsError(
                        "OperationNotPermitted",
                        f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
                    )
                self._state.drop_balancer(arn)

    def describe_load_balancer_attributes(self, call: Call) -> dict[str, Any]:
        balancer = self._state.balancer(call.region, call.parameters["LoadBalancerArn"])
        return as_attributes(ATTRIBUTES | balancer.attributes)

    def modify_load_balancer_attributes(self, call: Call) -> dict[str, Any]:
        balancer = self._state.balancer(call.region, call.parameters["LoadBalancerArn"])
        given = attributes_of(call, ATTRIBUTES)
        for key, allowed in MODES.items():
            if key in given and given[key] not in allowed:
                raise AwsError("ValidationError", f"'{key}' must be one of {', '.join(allowed)}, not '{given[key]}'")
        for key, instead in S3_LOGS.items():
            if given.get(key) == "true":
                raise not_implemented("elasticloadbalancing", call.operation, f"{key}: {instead}; leave it off")
        for key, (low, high) in RANGES.items():
            if key in given and not low <= int(given[key]) <= high:
                raise AwsError("ValidationError", f"'{key}' must be between {low} and {high}, not {given[key]}")
        self._state.keep_balancer(replace(balancer, attributes=balancer.attributes | given))
        return as_attributes(ATTRIBUTES | balancer.attributes | given)

    def set_subnets(self, call: Call) -> dict[str, Any]:
        balancer = self._state.balancer(call.region, call.parameters["LoadBalancerArn"])
        mappings = call.parameters.get("SubnetMappings", [])
        subnets = tuple(call.parameters.get("Subnets") or [mapping.get("SubnetId", "") for mapping in mappings])
        if len(set(subnets)) < 2:
            raise AwsError("ValidationError", "At least two subnets must be specified")
        changed = replace(balancer, subnets=subnets)
        self._state.keep_balancer(changed)
        return {"AvailabilityZones": self._shape(changed)["AvailabilityZones"], "IpAddressType": "ipv4"}

    def set_security_groups(self, call: Call) -> dict[str, Any]:
        balancer = self._state.balancer(call.region, call.parameters["LoadBalancerArn"])
        groups = tuple(call.parameters["SecurityGroups"])
        self._state.keep_balancer(replace(balancer, security_groups=groups))
        return {"SecurityGroupIds": list(groups)}

    def set_ip_address_type(self, call: Call) -> dict[str, Any]:
        self._state.balancer(call.region, call.parameters["LoadBalancerArn"])
        if call.parameters["IpAddressType"] != "ipv4":
            raise not_implemented("elasticloadbalancing", call.operation, "only the IP address type `ipv4`")
        return {"IpAddressType": "ipv4"}

    def describe_account_limits(self, call: Call) -> dict[str, Any]:
        limits = {
            "application-load-balancers": BALANCERS_MAX,
            "target-groups": 3000,
            "listeners-per-application-load-balancer": 50,
            "rules-per-application-load-balancer": 100,
            "targets-per-application-load-balancer": 1000,
            "condition-values-per-alb-rule": 5,
            "condition-wildcards-per-alb-rule": 5,
            "target-groups-per-action-on-application-load-balancer": 5,
        }
        return {"Limits": [{"Name": name, "Max": str(value)} for name, value in limits.items()]}

    # tags

    def add_tags(self, call: Call) -> None:
        tags = tags_of(call)
        for arn in call.parameters["ResourceArns"]:
            self._retag(call.region, arn, self._tagged(call.region, arn).tags | tags)

    def remove_tags(self, call: Call) -> None:
        keys = set(call.parameters["TagKeys"])
        for arn in call.parameters["ResourceArns"]:
            tags = self._tagged(call.region, arn).tags
            self._retag(call.region, arn, {key: value for key, value in tags.items() if key not in keys})

    def describe_tags(self, call: Call) -> dict[str, Any]:
        return {
            "TagDescriptions": [
                {
                    "ResourceArn": arn,
                    "Tags": [{"Key": k, "Value": v} for k, v in self._tagged(call.region, arn).tags.items()],
                }
                for arn in call.parameters["ResourceArns"]
            ]
        }

    def _tagged(self, region: str, arn: str) -> Tagged:
        if ":targetgroup/" in arn:
            return self._state.group(region, arn)
        if ":listener-rule/" in arn:
            return self._state.rule(region, arn)[2]
        if ":listener/" in arn:
            return self._state.listener(region, arn)[1]
        return self._state.balancer(region, arn)

    def _retag(self, region: str, arn: str, tags: dict[str, str]) -> None:
        tagged = replace(self._tagged(region, arn), tags=tags)
        match tagged:
            case TargetGroup():
                self._state.keep_group(tagged)
            case LoadBalancer():
                self._state.keep_balancer(tagged)
            case LoadBalancerListener():
                self._state.keep_listener(self._state.listener(region, arn)[0], tagged)
            case Rule():
                balancer, listener, _ = self._state.rule(region, arn)
                rules = tuple(tagged if rule.arn == arn else rule for rule in listener.rules)
                self._state.keep_listener(balancer, replace(listener, rules=rules))
