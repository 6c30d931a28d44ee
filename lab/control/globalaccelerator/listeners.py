"""Listeners, endpoint groups and endpoints of accelerators.

https://docs.aws.amazon.com/global-accelerator/latest/dg/about-listeners.html. TCP only; endpoints are the lab's load
balancers. In the lab each port of a listener is a socket of its own, so a port range has at most 100 ports.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.globalaccelerator.state import AcceleratorState, Result, check_region, invalid, page
from lab.core.accelerator import (
    LISTENER_PORTS_MAX,
    Accelerator,
    AcceleratorListener,
    Endpoint,
    EndpointGroup,
    PortOverride,
    PortRange,
)
from lab.core.load_balancer import LoadBalancers

LISTENERS_MAX = 10
RANGES_MAX = 10
GROUPS_MAX = 42
ENDPOINTS_MAX = 10
HEALTH_CHECK_PATH = re.compile(r"/[-a-zA-Z0-9@:%_\\+.~#?&/=]*")

AskHealth = Callable[[], Awaitable[dict[str, str]]]
"""To the endpoints' health states by id, as the edge knows them."""


class ListenersPlane:
    """Operations on listeners, endpoint groups and endpoints."""

    def __init__(
        self, state: AcceleratorState, load_balancers: Callable[[], LoadBalancers], ask_health: AskHealth
    ) -> None:
        self._state, self._load_balancers, self._ask_health = state, load_balancers, ask_health

    # listeners

    def create_listener(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        accelerator = self._state.accelerator(given["AcceleratorArn"])
        made = self._state.made_by("CreateListener", given["IdempotencyToken"])
        if made is not None:
            return {"Listener": _listener_shape(self._state.listener(made)[1])}
        if len(accelerator.listeners) >= LISTENERS_MAX:
            raise AwsError("LimitExceededException", f"An accelerator has at most {LISTENERS_MAX} listeners")
        _refuse_udp(given)
        listener = AcceleratorListener(
            f"{accelerator.arn}/listener/{secrets.token_hex(4)}",
            self._port_ranges(accelerator, given["PortRanges"], None),
            given.get("ClientAffinity", "NONE"),
        )
        self._state.keep_listener(accelerator, listener)
        self._state.remember("CreateListener", given["IdempotencyToken"], listener.arn)
        return {"Listener": _listener_shape(listener)}

    def describe_listener(self, call: Call) -> Result:
        check_region(call)
        return {"Listener": _listener_shape(self._state.listener(call.parameters["ListenerArn"])[1])}

    def list_listeners(self, call: Call) -> Result:
        check_region(call)
        accelerator = self._state.accelerator(call.parameters["AcceleratorArn"])
        shown, token = page(accelerator.listeners, call, lambda listener: listener.arn)
        return {"Listeners": [_listener_shape(listener) for listener in shown], "NextToken": token}

    def update_listener(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        accelerator, listener = self._state.listener(given["ListenerArn"])
        _refuse_udp(given)
        if "PortRanges" in given:
            ranges = self._port_ranges(accelerator, given["PortRanges"], listener.arn)
            listener = replace(listener, port_ranges=ranges)
        listener = replace(listener, client_affinity=given.get("ClientAffinity", listener.client_affinity))
        for group in listener.groups:
            _check_overrides(listener, group.port_overrides)
        self._state.keep_listener(accelerator, listener)
        return {"Listener": _listener_shape(listener)}

    def delete_listener(self, call: Call) -> None:
        check_region(call)
        accelerator, listener = self._state.listener(call.parameters["ListenerArn"])
        if listener.groups:
            raise AwsError(
                "AssociatedEndpointGroupFoundException",
                "The listener that you specified has an endpoint group associated with it: delete its endpoint groups "
                "first",
            )
        kept = tuple(other for other in accelerator.listeners if other.arn != listener.arn)
        self._state.keep(replace(accelerator, listeners=kept))

    def _port_ranges(
        self, accelerator: Accelerator, given: Sequence[dict[str, Any]], own_arn: str | None
    ) -> tuple[PortRange, ...]:
        if len(given) > RANGES_MAX:
            raise AwsError("InvalidPortRangeException", f"A listener has at most {RANGES_MAX} port ranges")
        ranges = tuple(PortRange(one.get("FromPort", 0), one.get("ToPort", 0)) for one in given)
        topology = self._state.topology
        taken: dict[int, int] = {}
        for listener in accelerator.listeners:
            if listener.arn != own_arn:
                taken.update({topology.listening_port(port): port for port in listener.ports})
        for span in ranges:
            if not 1 <= span.from_port <= span.to_port <= 65535:
                raise AwsError("InvalidPortRangeException", f"{_name(span)} is no port range within 1 to 65535")
            if span.to_port - span.from_port >= LISTENER_PORTS_MAX:
                raise AwsError(
                    "InvalidPortRangeException",
                    f"{_name(span)} has more than {LISTENER_PORTS_MAX} ports; in the lab each is a socket of its own",
                )
            for port in range(span.from_port, span.to_port + 1):
                real = topology.listening_port(port)
                if real in taken:
                    same = taken[real] == port
                    why = "" if same else f" (in the lab port {taken[real]} listens on {real}, as {port} would)"
                    raise AwsError("InvalidPortRangeException", f"Port {port} is in a port range already{why}")
                taken[real] = port
        return ranges

    # endpoint groups

    async def create_endpoint_group(self, call: Call) -> Result:
        check_region(call)
        given = call.parameters
        accelerator, listener = self._state.listener(given["ListenerArn"])
        made = self._state.made_by("CreateEndpointGroup", given["IdempotencyToken"])
        if made is not None:
            return {"EndpointGroup": await self._group_shape(self._state.group(made)[2])}
        region = given["EndpointGroupRegion"]
        codes = self._state.topology.region_codes
        if region not in codes:
            raise invalid(f"EndpointGroupRegion {region!r} is no region of this lab; it has {', '.join(codes)}")
        if any(group.region == region for group in listener.groups):
            raise AwsError("EndpointGroupAlreadyExistsException", f"The listener has an endpoint group in {region}")
        if sum(len(other.groups) for other in accelerator.listeners) >= GROUPS_MAX:
            raise AwsError("LimitExceededException", f"An accelerator has at most {GROUPS_MAX} endpoint groups")
        arn = f"{listener.arn}/endpoint-group/{secrets.token_hex(6)}"
        plain = EndpointGroup(arn, region, health_check_port=listener.port_ranges[0].from_port)
        group = self._with_settings(plain, listener, given)
        self._state.keep_group(accelerator, listener, group)
        self._state.remember("CreateEndpointGroup", given["IdempotencyToken"], group.arn)
        return {"EndpointGroup": await self._group_shape(group)}

    async def update_endpoint_group(self, call: Call) -> Result:
        check_region(call)
        accelerator, listener, group = self._state.group(call.parameters["EndpointGroupArn"])
        group = self._with_settings(group, listener, call.parameters)
        self._state.keep_group(accelerator, listener, group)
        return {"EndpointGroup": await self._group_shape(group)}

    async def describe_endpoint_group(self, call: Call) -> Result:
        check_region(call)
        return {"EndpointGroup": await self._group_shape(self._state.group(call.parameters["EndpointGroupArn"])[2])}

    async def list_endpoint_groups(self, call: Call) -> Result:
        check_region(call)
        _, listener = self._state.listener(call.parameters["ListenerArn"])
        shown, token = page(listener.groups, call, lambda group: group.arn)
        health = await self._ask_health()
        return {"EndpointGroups": [_group_shape(group, health) for group in shown], "NextToken": token}

    def delete_endpoint_group(self, call: Call) -> None:
        check_region(call)
        accelerator, listener, group = self._state.group(call.parameters["EndpointGroupArn"])
        kept = tuple(other for other in listener.groups if other.arn != group.arn)
        self._state.keep_listener(accelerator, replace(listener, groups=kept))

    def _with_settings(
        self, group: EndpointGroup, listener: AcceleratorListener, given: dict[str, Any]
    ) -> EndpointGroup:
        """The group with the settings of a request. Raises AwsError."""
        if "EndpointConfigurations" in given:
            group = replace(group, endpoints=self._endpoints(group.region, given["EndpointConfigurations"]))
        interval = given.get("HealthCheckIntervalSeconds", group.health_check_interval_seconds)
        if interval not in (10, 30):
            raise invalid(f"HealthCheckIntervalSeconds is 10 or 30, not {interval}")
        path = given.get("HealthCheckPath", group.health_check_path)
        if path is not None and not HEALTH_CHECK_PATH.fullmatch(path):
            raise invalid(f"HealthCheckPath {path!r} must begin with / and hold no blanks")
        protocol = given.get("HealthCheckProtocol", group.health_check_protocol)
        group = replace(
            group,
            traffic_dial_percentage=float(given.get("TrafficDialPercentage", group.traffic_dial_percentage)),
            health_check_port=given.get("HealthCheckPort", group.health_check_port),
            health_check_protocol=protocol,
            health_check_path=path if path is not None or protocol == "TCP" else "/",
            health_check_interval_seconds=interval,
            threshold_count=given.get("ThresholdCount", group.threshold_count),
        )
        if "PortOverrides" in given:
            overrides = tuple(
                PortOverride(one.get("ListenerPort", 0), one.get("EndpointPort", 0)) for one in given["PortOverrides"]
            )
            group = replace(group, port_overrides=overrides)
        _check_overrides(listener, group.port_overrides)
        return group

    def _endpoints(self, region: str, given: Sequence[dict[str, Any]]) -> tuple[Endpoint, ...]:
        endpoints = tuple(
            Endpoint(
                self._checked_endpoint(region, one.get("EndpointId", "")),
                one.get("Weight", 128),
                one.get("ClientIPPreservationEnabled", True),
            )
            for one in given
        )
        if len(endpoints) > ENDPOINTS_MAX:
            raise AwsError("LimitExceededException", f"An endpoint group has at most {ENDPOINTS_MAX} endpoints")
        if len({endpoint.endpoint_id for endpoint in endpoints}) < len(endpoints):
            raise invalid("An endpoint is given twice")
        return endpoints

    def _checked_endpoint(self, region: str, endpoint_id: str) -> str:
        if ":loadbalancer/app/" not in endpoint_id:
            raise invalid(f"EndpointId {endpoint_id!r}: endpoints in the lab are Application Load Balancers, by ARN")
        balancer = next((b for b in self._load_balancers().load_balancers if b.arn == endpoint_id), None)
        if balancer is None:
            raise invalid(f"EndpointId {endpoint_id}: there is no such load balancer")
        if balancer.region != region:
            raise invalid(f"EndpointId {endpoint_id} is in {balancer.region}, the endpoint group is in {region}")
        return endpoint_id

    async def _group_shape(self, group: EndpointGroup) -> Result:
        return _group_shape(group, await self._ask_health())

    # endpoints

    async def add_endpoints(self, call: Call) -> Result:
        check_region(call)
        accelerator, listener, group = self._state.group(call.parameters["EndpointGroupArn"])
        added = self._endpoints(group.region, call.parameters["EndpointConfigurations"])
        present = {endpoint.endpoint_id for endpoint in group.endpoints}
        for endpoint in added:
            if endpoint.endpoint_id in present:
                raise AwsError("EndpointAlreadyExistsException", f"{endpoint.endpoint_id} is in the endpoint group")
        if len(present) + len(added) > ENDPOINTS_MAX:
            raise AwsError("LimitExceededException", f"An endpoint group has at most {ENDPOINTS_MAX} endpoints")
        group = replace(group, endpoints=(*group.endpoints, *added))
        self._state.keep_group(accelerator, listener, group)
        descriptions = (await self._group_shape(replace(group, endpoints=added)))["EndpointDescriptions"]
        return {"EndpointDescriptions": descriptions, "EndpointGroupArn": group.arn}

    def remove_endpoints(self, call: Call) -> None:
        check_region(call)
        accelerator, listener, group = self._state.group(call.parameters["EndpointGroupArn"])
        removed = {one["EndpointId"] for one in call.parameters["EndpointIdentifiers"]}
        missing = removed - {endpoint.endpoint_id for endpoint in group.endpoints}
        if missing:
            raise AwsError("EndpointNotFoundException", f"{min(missing)} is not in the endpoint group")
        kept = tuple(endpoint for endpoint in group.endpoints if endpoint.endpoint_id not in removed)
        self._state.keep_group(accelerator, listener, replace(group, endpoints=kept))


def _refuse_udp(given: dict[str, Any]) -> None:
    if given.get("Protocol", "TCP") != "TCP":
        raise invalid(f"Protocol {given['Protocol']}: the lab's accelerators relay TCP only")


def _check_overrides(listener: AcceleratorListener, overrides: Sequence[PortOverride]) -> None:
    """https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoint-groups-port-override.html"""
    ports = set(listener.ports)
    for override in overrides:
        if override.listener_port not in ports:
            raise invalid(f"PortOverrides: {override.listener_port} is no port of the listener")
        if override.endpoint_port in ports:
            raise invalid(f"PortOverrides: the endpoint port {override.endpoint_port} is a port of the listener")
    for side in ("listener_port", "endpoint_port"):
        values = [getattr(override, side) for override in overrides]
        if len(set(values)) < len(values):
            raise invalid(f"PortOverrides: a {side.replace('_', ' ')} is given twice")


def _name(span: PortRange) -> str:
    return f"{span.from_port}-{span.to_port}"


def _listener_shape(listener: AcceleratorListener) -> Result:
    return {
        "ListenerArn": listener.arn,
        "PortRanges": [{"FromPort": span.from_port, "ToPort": span.to_port} for span in listener.port_ranges],
        "Protocol": listener.protocol,
        "ClientAffinity": listener.client_affinity,
    }


def _group_shape(group: EndpointGroup, health: dict[str, str]) -> Result:
    shape = {
        "EndpointGroupArn": group.arn,
        "EndpointGroupRegion": group.region,
        "EndpointDescriptions": [
            {
                "EndpointId": endpoint.endpoint_id,
                "Weight": endpoint.weight,
                "HealthState": health.get(endpoint.endpoint_id, "INITIAL"),
                "ClientIPPreservationEnabled": endpoint.client_ip_preservation,
            }
            for endpoint in group.endpoints
        ],
        "TrafficDialPercentage": group.traffic_dial_percentage,
        "HealthCheckPort": group.health_check_port,
        "HealthCheckProtocol": group.health_check_protocol,
        "HealthCheckPath": group.health_check_path,
        "HealthCheckIntervalSeconds": group.health_check_interval_seconds,
        "ThresholdCount": group.threshold_count,
        "PortOverrides": [
            {"ListenerPort": override.listener_port, "EndpointPort": override.endpoint_port}
            for override in group.port_overrides
        ],
    }
    return {name: value for name, value in shape.items() if value is not None}
