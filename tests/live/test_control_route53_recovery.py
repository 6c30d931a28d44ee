"""Routing controls of Application Recovery Controller, and the health checks that follow them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from control_process import ControlLab, lab_fixture, refused


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


@pytest.fixture
def cluster(lab: ControlLab) -> Iterator[dict[str, Any]]:
    """A fresh cluster, removed afterwards with all that it has."""
    config = lab.client("route53-recovery-control-config")
    made: dict[str, Any] = config.create_cluster(ClusterName="cells")["Cluster"]
    yield made
    for panel in config.list_control_panels(ClusterArn=made["ClusterArn"])["ControlPanels"]:
        for control in config.list_routing_controls(ControlPanelArn=panel["ControlPanelArn"])["RoutingControls"]:
            config.delete_routing_control(RoutingControlArn=control["RoutingControlArn"])
        if not panel["DefaultControlPanel"]:
            config.delete_control_panel(ControlPanelArn=panel["ControlPanelArn"])
    config.delete_cluster(ClusterArn=made["ClusterArn"])


def make_control(lab: ControlLab, cluster: dict[str, Any], name: str, **more: Any) -> str:
    config = lab.client("route53-recovery-control-config")
    made = config.create_routing_control(ClusterArn=cluster["ClusterArn"], RoutingControlName=name, **more)
    arn: str = made["RoutingControl"]["RoutingControlArn"]
    return arn


def published(lab: ControlLab) -> dict[str, bool]:
    return dict(lab.edge.document("health_checks").routing_controls or {})


def test_a_cluster_has_a_default_panel_and_five_endpoints(lab: ControlLab, cluster: dict[str, Any]) -> None:
    config = lab.client("route53-recovery-control-config")
    described = config.describe_cluster(ClusterArn=cluster["ClusterArn"])["Cluster"]
    assert (described["Status"], len(described["ClusterEndpoints"])) == ("DEPLOYED", 5)
    (panel,) = config.list_control_panels(ClusterArn=cluster["ClusterArn"])["ControlPanels"]
    assert (panel["Name"], panel["DefaultControlPanel"]) == ("DefaultControlPanel", True)
    assert refused(config.create_cluster, ClusterName="cells") == ("ConflictException", 409)
    assert refused(config.describe_cluster, ClusterArn="arn:absent") == ("ResourceNotFoundException", 404)


def test_a_routing_control_is_switched_and_its_health_check_follows(lab: ControlLab, cluster: dict[str, Any]) -> None:
    arn = make_control(lab, cluster, "cell-1")
    switch = lab.client("route53-recovery-cluster")
    assert switch.get_routing_control_state(RoutingControlArn=arn)["RoutingControlState"] == "Off"
    config = {"Type": "RECOVERY_CONTROL", "RoutingControlArn": arn}
    check = lab.client("route53").create_health_check(CallerReference=arn[-64:], HealthCheckConfig=config)[
        "HealthCheck"
    ]
    assert check["HealthCheckConfig"]["RoutingControlArn"] == arn
    associated = lab.client("route53-recovery-control-config").list_associated_route53_health_checks
    assert associated(RoutingControlArn=arn)["HealthCheckIds"] == [check["Id"]]
    assert published(lab) == {arn: False}
    switch.update_routing_control_state(RoutingControlArn=arn, RoutingControlState="On")
    assert published(lab) == {arn: True}
    lab.kill_and_restart()
    state = switch.get_routing_control_state(RoutingControlArn=arn)
    assert (state["RoutingControlState"], state["RoutingControlName"]) == ("On", "cell-1")


def test_several_are_switched_together_or_not_at_all(lab: ControlLab, cluster: dict[str, Any]) -> None:
    config, switch = lab.client("route53-recovery-control-config"), lab.client("route53-recovery-cluster")
    made = config.create_control_panel(ClusterArn=cluster["ClusterArn"], ControlPanelName="cells")["ControlPanel"]
    panel = made["ControlPanelArn"]
    first, second = (make_control(lab, cluster, name, ControlPanelArn=panel) for name in ("a", "b"))
    entries = [
        {"RoutingControlArn": arn, "RoutingControlState": state} for arn, state in ((first, "On"), ("arn:absent", "On"))
    ]
    update = switch.update_routing_control_states
    assert refused(update, UpdateRoutingControlStateEntries=entries)[0] == "ResourceNotFoundException"
    assert published(lab)[first] is False
    entries[1]["RoutingControlArn"] = second
    update(UpdateRoutingControlStateEntries=entries)
    assert published(lab)[first] is published(lab)[second] is True
    page = switch.list_routing_controls(ControlPanelArn=panel, MaxResults=1)
    rest = switch.list_routing_controls(ControlPanelArn=panel, NextToken=page["NextToken"])
    listed = [*page["RoutingControls"], *rest["RoutingControls"]]
    assert [(c["RoutingControlName"], c["RoutingControlState"]) for c in listed] == [("a", "On"), ("b", "On")]
    assert config.describe_control_panel(ControlPanelArn=panel)["ControlPanel"]["RoutingControlCount"] == 2
    assert refused(config.delete_control_panel, ControlPanelArn=panel) == ("ConflictException", 409)


def test_a_health_check_needs_a_routing_control_that_exists(lab: ControlLab) -> None:
    config = {"Type": "RECOVERY_CONTROL", "RoutingControlArn": "arn:absent"}
    create = lab.client("route53").create_health_check
    assert refused(create, CallerReference="absent", HealthCheckConfig=config) == ("InvalidInput", 400)


def test_tags_of_a_cluster_come_and_go(lab: ControlLab, cluster: dict[str, Any]) -> None:
    config, arn = lab.client("route53-recovery-control-config"), cluster["ClusterArn"]
    config.tag_resource(ResourceArn=arn, Tags={"a": "1", "b": "2"})
    config.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert config.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"b": "2"}


def test_safety_rules_are_refused_by_name(lab: ControlLab) -> None:
    code, status = refused(lab.client("route53-recovery-control-config").create_safety_rule)
    assert (code, status) == ("NotImplemented", 501)
