"""The configuration API of routing controls: clusters, control panels, routing controls, tags.

https://docs.aws.amazon.com/recovery-cluster/latest/api/what-is-recovery-control.html. Everything is deployed at once;
safety rules, resource policies and other owners are left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.route53.paging import token_page
from lab.control.route53.recovery_state import Cluster, ControlPanel, RecoveryState, RoutingControl

ACCOUNT = "000000000000"
CLUSTERS_MAX, PANELS_MAX, CONTROLS_MAX, CONTROLS_OF_PANEL_MAX = 2, 50, 300, 100
PAGE_MAX = 1_000
ENDPOINT_REGIONS = ("ap-northeast-1", "ap-southeast-2", "eu-west-1", "us-east-1", "us-west-2")
_ARN = f"arn:aws:route53-recovery-control::{ACCOUNT}:"


class RecoveryConfigPlane:
    """Operations of `route53-recovery-control-config`.

    `endpoint` is where the cluster API is; `health_checks` tells which health checks follow a routing control.
    """

    def __init__(self, state: RecoveryState, endpoint: str, health_checks: Callable[[str], Sequence[str]]) -> None:
        self._state, self._endpoint, self._health_checks = state, endpoint, health_checks

    # clusters

    def create_cluster(self, call: Call) -> dict[str, Any]:
        known = self._by_token(call)
        if known is not None:
            return {"Cluster": self._cluster(self._state.cluster(known))}
        clusters, name = self._state.value.clusters, call.parameters["ClusterName"]
        _check_name("ClusterName", name, [cluster.name for cluster in clusters])
        _check_quota("clusters", len(clusters), CLUSTERS_MAX)
        made = Cluster(f"{_ARN}cluster/{uuid.uuid4()}", name, call.parameters.get("NetworkType", "IPV4"))
        panel = ControlPanel(_panel_arn(), made.arn, "DefaultControlPanel", default=True)
        self._state.keep(
            clusters=(*clusters, made), panels=(*self._state.value.panels, panel), **self._extras(call, made.arn)
        )
        return {"Cluster": self._cluster(made)}

    def describe_cluster(self, call: Call) -> dict[str, Any]:
        return {"Cluster": self._cluster(self._state.cluster(call.parameters["ClusterArn"]))}

    def update_cluster(self, call: Call) -> dict[str, Any]:
        found = self._state.cluster(call.parameters["ClusterArn"])
        made = replace(found, network_type=call.parameters["NetworkType"])
        self._state.keep(clusters=_swap(self._state.value.clusters, found, made))
        return {"Cluster": self._cluster(made)}

    def list_clusters(self, call: Call) -> dict[str, Any]:
        return _page(call, "Clusters", [self._cluster(cluster) for cluster in self._state.value.clusters])

    def delete_cluster(self, call: Call) -> dict[str, Any]:
        found = self._state.cluster(call.parameters["ClusterArn"])
        panels = [panel for panel in self._state.value.panels if panel.cluster_arn == found.arn]
        if any(not panel.default or self._controls_of(panel) for panel in panels):
            raise AwsError("ConflictException", "The cluster has control panels or routing controls.")
        self._state.keep(
            clusters=_without(self._state.value.clusters, found),
            panels=tuple(panel for panel in self._state.value.panels if panel not in panels),
        )
        return {}

    # control panels

    def create_control_panel(self, call: Call) -> dict[str, Any]:
        known = self._by_token(call)
        if known is not None:
            return {"ControlPanel": self._panel(self._state.panel(known))}
        cluster = self._state.cluster(call.parameters["ClusterArn"])
        panels, name = self._state.value.panels, call.parameters["ControlPanelName"]
        own = [panel.name for panel in panels if panel.cluster_arn == cluster.arn]
        _check_name("ControlPanelName", name, own)
        _check_quota("control panels", len(own), PANELS_MAX)
        made = ControlPanel(_panel_arn(), cluster.arn, name)
        self._state.keep(panels=(*panels, made), **self._extras(call, made.arn))
        return {"ControlPanel": self._panel(made)}

    def describe_control_panel(self, call: Call) -> dict[str, Any]:
        return {"ControlPanel": self._panel(self._state.panel(call.parameters["ControlPanelArn"]))}

    def update_control_panel(self, call: Call) -> dict[str, Any]:
        found = self._state.panel(call.parameters["ControlPanelArn"])
        made = replace(found, name=call.parameters["ControlPanelName"])
        others = [p.name for p in self._state.value.panels if p.cluster_arn == found.cluster_arn and p is not found]
        _check_name("ControlPanelName", made.name, others)
        self._state.keep(panels=_swap(self._state.value.panels, found, made))
        return {"ControlPanel": self._panel(made)}

    def list_control_panels(self, call: Call) -> dict[str, Any]:
        wanted = call.parameters.get("ClusterArn")
        panels = [self._panel(p) for p in self._state.value.panels if wanted in (None, p.cluster_arn)]
        return _page(call, "ControlPanels", panels)

    def delete_control_panel(self, call: Call) -> dict[str, Any]:
        found = self._state.panel(call.parameters["ControlPanelArn"])
        if found.default or self._controls_of(found):
            raise AwsError("ConflictException", "The control panel is a cluster's default or has routing controls.")
        self._state.keep(panels=_without(self._state.value.panels, found))
        return {}

    # routing controls

    def create_routing_control(self, call: Call) -> dict[str, Any]:
        known = self._by_token(call)
        if known is not None:
            return {"RoutingControl": _control(self._state.control(known))}
        cluster = self._state.cluster(call.parameters["ClusterArn"])
        panel = self._panel_for(cluster, call.parameters.get("ControlPanelArn"))
        controls, name = self._state.value.controls, call.parameters["RoutingControlName"]
        own = self._controls_of(panel)
        _check_name("RoutingControlName", name, [control.name for control in own])
        _check_quota("routing controls of a control panel", len(own), CONTROLS_OF_PANEL_MAX)
        _check_quota("routing controls", len(controls), CONTROLS_MAX)
        made = RoutingControl(f"{panel.arn}/routingcontrol/{uuid.uuid4().hex[:16]}", panel.arn, name)
        self._state.keep(controls=(*controls, made), **self._extras(call, made.arn))
        return {"RoutingControl": _control(made)}

    def describe_routing_control(self, call: Call) -> dict[str, Any]:
        return {"RoutingControl": _control(self._state.control(call.parameters["RoutingControlArn"]))}

    def update_routing_control(self, call: Call) -> dict[str, Any]:
        found = self._state.control(call.parameters["RoutingControlArn"])
        made = replace(found, name=call.parameters["RoutingControlName"])
        others = [c.name for c in self._state.value.controls if c.panel_arn == found.panel_arn and c is not found]
        _check_name("RoutingControlName", made.name, others)
        self._state.keep(controls=_swap(self._state.value.controls, found, made))
        return {"RoutingControl": _control(made)}

    def list_routing_controls(self, call: Call) -> dict[str, Any]:
        panel = self._state.panel(call.parameters["ControlPanelArn"])
        return _page(call, "RoutingControls", [_control(control) for control in self._controls_of(panel)])

    def delete_routing_control(self, call: Call) -> dict[str, Any]:
        found = self._state.control(call.parameters["RoutingControlArn"])
        self._state.keep(controls=_without(self._state.value.controls, found))
        return {}

    def list_associated_route53_health_checks(self, call: Call) -> dict[str, Any]:
        control = self._state.control(call.parameters["RoutingControlArn"])
        return _page(call, "HealthCheckIds", list(self._health_checks(control.arn)))

    # tags

    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        return {"Tags": self._state.value.tags.get(self._known(call.parameters["ResourceArn"]), {})}

    def tag_resource(self, call: Call) -> dict[str, Any]:
        arn, tags = self._known(call.parameters["ResourceArn"]), self._state.value.tags
        self._state.keep(tags={**tags, arn: {**tags.get(arn, {}), **call.parameters["Tags"]}})
        return {}

    def untag_resource(self, call: Call) -> dict[str, Any]:
        arn, tags, gone = (
            self._known(call.parameters["ResourceArn"]),
            self._state.value.tags,
            call.parameters["TagKeys"],
        )
        self._state.keep(tags={**tags, arn: {k: v for k, v in tags.get(arn, {}).items() if k not in gone}})
        return {}

    def _known(self, arn: str) -> str:
        if ":cluster/" in arn:
            return self._state.cluster(arn).arn
        return self._state.control(arn).arn if "/routingcontrol/" in arn else self._state.panel(arn).arn

    # what they have in common

    def _by_token(self, call: Call) -> str | None:
        """What a request with this client token has made already."""
        return self._state.value.tokens.get(f"{call.operation} {call.parameters.get('ClientToken')}")

    def _extras(self, call: Call, arn: str) -> dict[str, Any]:
        """The tags and the client token that a request to make something carried."""
        extras: dict[str, Any] = {}
        if call.parameters.get("Tags"):
            extras["tags"] = {**self._state.value.tags, arn: call.parameters["Tags"]}
        if call.parameters.get("ClientToken"):
            extras["tokens"] = {**self._state.value.tokens, f"{call.operation} {call.parameters['ClientToken']}": arn}
        return extras

    def _panel_for(self, cluster: Cluster, wanted: str | None) -> ControlPanel:
        if wanted is None:
            return next(p for p in self._state.value.panels if p.cluster_arn == cluster.arn and p.default)
        panel = self._state.panel(wanted)
        if panel.cluster_arn != cluster.arn:
            raise AwsError("ValidationException", "The control panel is of another cluster.")
        return panel

    def _controls_of(self, panel: ControlPanel) -> list[RoutingControl]:
        return [control for control in self._state.value.controls if control.panel_arn == panel.arn]

    def _cluster(self, cluster: Cluster) -> dict[str, Any]:
        return {
            "ClusterArn": cluster.arn,
            "Name": cluster.name,
            "Status": "DEPLOYED",
            "Owner": ACCOUNT,
            "NetworkType": cluster.network_type,
            "ClusterEndpoints": [{"Endpoint": self._endpoint, "Region": region} for region in ENDPOINT_REGIONS],
        }

    def _panel(self, panel: ControlPanel) -> dict[str, Any]:
        return {
            "ControlPanelArn": panel.arn,
            "ClusterArn": panel.cluster_arn,
            "Name": panel.name,
            "DefaultControlPanel": panel.default,
            "RoutingControlCount": len(self._controls_of(panel)),
            "Status": "DEPLOYED",
            "Owner": ACCOUNT,
        }


def _control(control: RoutingControl) -> dict[str, Any]:
    return {
        "RoutingControlArn": control.arn,
        "ControlPanelArn": control.panel_arn,
        "Name": control.name,
        "Status": "DEPLOYED",
        "Owner": ACCOUNT,
    }


def _panel_arn() -> str:
    return f"{_ARN}controlpanel/{uuid.uuid4().hex}"


def _check_name(member: str, name: str, taken: Sequence[str]) -> None:
    if not name or any(character.isspace() for character in name):
        raise AwsError("ValidationException", f"{member} {name!r}: expected a name without spaces")
    if name in taken:
        raise AwsError("ConflictException", f"The name {name} is taken.")


def _check_quota(what: str, count: int, most: int) -> None:
    if count >= most:
        raise AwsError("ServiceQuotaExceededException", f"There are at most {most} {what}.")


def _page(call: Call, member: str, items: list[Any]) -> dict[str, Any]:
    page, token = token_page(call, items, PAGE_MAX, "ValidationException")
    return {member: page, "NextToken": token}


def _swap(items: tuple[Any, ...], old: object, new: object) -> tuple[Any, ...]:
    return tuple(new if item is old else item for item in items)


def _without(items: tuple[Any, ...], gone: object) -> tuple[Any, ...]:
    return tuple(item for item in items if item is not gone)
