"""Global Accelerator's API by boto3 against a real control process."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from control_process import ControlLab
from waiting import eventually

from lab.core.accelerator import HOSTED_ZONE_ID, Accelerators, PortOverride

SUBNETS = ["subnet-a", "subnet-b"]


@pytest.fixture(scope="module")
def control() -> Iterator[ControlLab]:
    with ControlLab() as lab:
        yield lab


@pytest.fixture(scope="module")
def balancers(control: ControlLab) -> dict[str, str]:
    """A load balancer's ARN by region."""
    return {
        region: control.client("elbv2", region).create_load_balancer(Name="items", Subnets=SUBNETS)["LoadBalancers"][0][
            "LoadBalancerArn"
        ]
        for region in control.topology.region_codes
    }


@pytest.fixture
def ga(control: ControlLab) -> Iterator[Any]:
    client = control.client("globalaccelerator", "us-west-2")
    yield client
    for accelerator in client.list_accelerators()["Accelerators"]:
        arn = accelerator["AcceleratorArn"]
        for listener in client.list_listeners(AcceleratorArn=arn)["Listeners"]:
            for group in client.list_endpoint_groups(ListenerArn=listener["ListenerArn"])["EndpointGroups"]:
                client.delete_endpoint_group(EndpointGroupArn=group["EndpointGroupArn"])
            client.delete_listener(ListenerArn=listener["ListenerArn"])
        client.update_accelerator(AcceleratorArn=arn, Enabled=False)
        client.delete_accelerator(AcceleratorArn=arn)


def token() -> str:
    return str(uuid.uuid4())


def error(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


def new_accelerator(ga: Any, **more: Any) -> str:
    made = ga.create_accelerator(**{"Name": "items", "IdempotencyToken": token(), **more})
    return str(made["Accelerator"]["AcceleratorArn"])


def new_listener(ga: Any, accelerator: str, *ports: tuple[int, int], **more: Any) -> str:
    ranges = [{"FromPort": low, "ToPort": high} for low, high in ports or ((80, 80),)]
    settings = {"AcceleratorArn": accelerator, "Protocol": "TCP", "IdempotencyToken": token(), **more}
    return str(ga.create_listener(PortRanges=ranges, **settings)["Listener"]["ListenerArn"])


def new_group(ga: Any, listener: str, region: str = "us-east-1", *endpoints: str, **more: Any) -> str:
    configurations = [{"EndpointId": endpoint} for endpoint in endpoints]
    made = ga.create_endpoint_group(
        ListenerArn=listener,
        EndpointGroupRegion=region,
        EndpointConfigurations=configurations,
        IdempotencyToken=token(),
        **more,
    )
    return str(made["EndpointGroup"]["EndpointGroupArn"])


def test_an_accelerator_has_two_static_addresses_and_is_deployed_after_a_while(control: ControlLab, ga: Any) -> None:
    made = ga.create_accelerator(Name="items", IdempotencyToken=token())["Accelerator"]
    assert made["Status"] == "IN_PROGRESS"
    assert made["IpSets"][0]["IpAddresses"] == ["127.45.100.2", "127.45.100.3"]
    assert made["DnsName"].endswith(".awsglobalaccelerator.com")
    names = {name.name: name for name in control.edge.document("endpoints").names}
    assert names[made["DnsName"] + "."].hosted_zone_id == HOSTED_ZONE_ID
    assert names[made["DnsName"] + "."].addresses == ("127.45.100.2", "127.45.100.3")

    def status() -> str:
        found = ga.describe_accelerator(AcceleratorArn=made["AcceleratorArn"])["Accelerator"]
        return str(found["Status"])

    eventually(lambda: status() == "DEPLOYED", status)


def test_the_same_idempotency_token_makes_one_accelerator(ga: Any) -> None:
    one = token()
    assert new_accelerator(ga, IdempotencyToken=one) == new_accelerator(ga, IdempotencyToken=one)
    assert len(ga.list_accelerators()["Accelerators"]) == 1


def test_the_api_is_in_one_region_only(control: ControlLab) -> None:
    wrong = control.client("globalaccelerator", "us-east-1")
    assert error(wrong.list_accelerators) == "InvalidSignatureException"


def test_deletion_has_its_order(ga: Any) -> None:
    arn = new_accelerator(ga)
    listener = new_listener(ga, arn)
    group = new_group(ga, listener)
    assert error(ga.delete_accelerator, AcceleratorArn=arn) == "AcceleratorNotDisabledException"
    ga.update_accelerator(AcceleratorArn=arn, Enabled=False)
    assert error(ga.delete_accelerator, AcceleratorArn=arn) == "AssociatedListenerFoundException"
    assert error(ga.delete_listener, ListenerArn=listener) == "AssociatedEndpointGroupFoundException"
    ga.delete_endpoint_group(EndpointGroupArn=group)
    ga.delete_listener(ListenerArn=listener)
    ga.delete_accelerator(AcceleratorArn=arn)
    assert error(ga.describe_accelerator, AcceleratorArn=arn) == "AcceleratorNotFoundException"


def test_what_is_not_there_is_not_found(ga: Any) -> None:
    assert error(ga.describe_listener, ListenerArn="arn:x") == "ListenerNotFoundException"
    assert error(ga.describe_endpoint_group, EndpointGroupArn="arn:x") == "EndpointGroupNotFoundException"
    assert error(ga.list_listeners, AcceleratorArn="arn:x") == "AcceleratorNotFoundException"


def test_what_the_lab_has_not_is_refused(ga: Any) -> None:
    assert error(ga.create_accelerator, Name="d", IpAddressType="DUAL_STACK", IdempotencyToken=token()) == (
        "InvalidArgumentException"
    )
    assert error(ga.create_accelerator, Name="d", IpAddresses=["1.2.3.4"], IdempotencyToken=token()) == (
        "InvalidArgumentException"
    )
    assert error(ga.create_custom_routing_accelerator, Name="d", IdempotencyToken=token()) == "NotImplemented"
    arn = new_accelerator(ga)
    ranges = [{"FromPort": 80, "ToPort": 80}]
    settings = {"AcceleratorArn": arn, "PortRanges": ranges, "IdempotencyToken": token()}
    assert error(ga.create_listener, Protocol="UDP", **settings) == "InvalidArgumentException"


def test_port_ranges_are_checked(control: ControlLab, ga: Any) -> None:
    arn = new_accelerator(ga)
    new_listener(ga, arn, (80, 80), (1000, 1099))
    for low, high in (
        (1050, 1050),
        (90, 80),
        (2000, 2100),
        (control.topology.http_port, control.topology.http_port),
    ):
        with pytest.raises(ClientError) as caught:
            new_listener(ga, arn, (low, high))
        assert caught.value.response["Error"]["Code"] == "InvalidPortRangeException"
    other = new_listener(ga, arn, (81, 82))
    changed = ga.update_listener(ListenerArn=other, PortRanges=[{"FromPort": 81, "ToPort": 85}])["Listener"]
    assert changed["PortRanges"] == [{"FromPort": 81, "ToPort": 85}]
    assert len(ga.list_listeners(AcceleratorArn=arn)["Listeners"]) == 2


def test_endpoint_groups_have_awss_defaults_and_are_published(
    control: ControlLab, ga: Any, balancers: dict[str, str]
) -> None:
    listener = new_listener(ga, new_accelerator(ga), ClientAffinity="SOURCE_IP")
    arn = new_group(ga, listener, "us-east-1", balancers["us-east-1"])
    group = ga.describe_endpoint_group(EndpointGroupArn=arn)["EndpointGroup"]
    assert group["TrafficDialPercentage"] == 100.0
    assert (group["HealthCheckPort"], group["HealthCheckProtocol"]) == (80, "TCP")
    assert (group["HealthCheckIntervalSeconds"], group["ThresholdCount"]) == (30, 3)
    assert group["EndpointDescriptions"] == [
        {
            "EndpointId": balancers["us-east-1"],
            "Weight": 128,
            "HealthState": "INITIAL",
            "ClientIPPreservationEnabled": True,
        }
    ]
    ga.update_endpoint_group(
        EndpointGroupArn=arn, TrafficDialPercentage=12.5, PortOverrides=[{"ListenerPort": 80, "EndpointPort": 1080}]
    )
    document: Accelerators = control.edge.document("accelerators")
    (published,) = document.accelerators[0].listeners[0].groups
    assert (published.traffic_dial_percentage, published.port_overrides) == (12.5, (PortOverride(80, 1080),))
    assert document.accelerators[0].listeners[0].client_affinity == "SOURCE_IP"


def test_the_health_of_endpoints_is_what_the_edge_knows(
    control: ControlLab, ga: Any, balancers: dict[str, str]
) -> None:
    arn = new_group(ga, new_listener(ga, new_accelerator(ga)), "us-east-1", balancers["us-east-1"])
    endpoint = {"id": balancers["us-east-1"], "health": "UNHEALTHY"}
    known = {"accelerators": [{"listeners": [{"groups": [{"endpoints": [endpoint]}]}]}]}
    control.edge.answers["GET /status/accelerators"] = (200, json.dumps(known).encode())
    group = ga.describe_endpoint_group(EndpointGroupArn=arn)["EndpointGroup"]
    assert group["EndpointDescriptions"][0]["HealthState"] == "UNHEALTHY"
    del control.edge.answers["GET /status/accelerators"]


def test_endpoint_groups_and_endpoints_that_cannot_be_are_refused(ga: Any, balancers: dict[str, str]) -> None:
    listener = new_listener(ga, new_accelerator(ga), (80, 81))
    arn = new_group(ga, listener, "us-east-1", balancers["us-east-1"])

    def make(**more: Any) -> Any:
        return ga.create_endpoint_group(ListenerArn=listener, IdempotencyToken=token(), **more)

    assert error(make, EndpointGroupRegion="us-east-1") == "EndpointGroupAlreadyExistsException"
    assert error(make, EndpointGroupRegion="eu-west-1") == "InvalidArgumentException"
    elsewhere = [{"EndpointId": balancers["us-east-1"]}]
    assert error(make, EndpointGroupRegion="us-west-2", EndpointConfigurations=elsewhere) == "InvalidArgumentException"
    unknown = [{"EndpointId": "eipalloc-1"}]
    assert error(make, EndpointGroupRegion="us-west-2", EndpointConfigurations=unknown) == "InvalidArgumentException"

    def change(**more: Any) -> Any:
        return ga.update_endpoint_group(EndpointGroupArn=arn, **more)

    assert error(change, HealthCheckIntervalSeconds=20) == "InvalidArgumentException"
    for override in ((90, 1000), (80, 81)):
        overrides = [{"ListenerPort": override[0], "EndpointPort": override[1]}]
        assert error(change, PortOverrides=overrides) == "InvalidArgumentException"


def test_endpoints_are_added_and_removed(ga: Any, control: ControlLab, balancers: dict[str, str]) -> None:
    arn = new_group(ga, new_listener(ga, new_accelerator(ga)), "us-west-2")
    configurations = [{"EndpointId": balancers["us-west-2"], "Weight": 7, "ClientIPPreservationEnabled": False}]
    added = ga.add_endpoints(EndpointGroupArn=arn, EndpointConfigurations=configurations)
    assert added["EndpointDescriptions"][0]["Weight"] == 7
    again = error(ga.add_endpoints, EndpointGroupArn=arn, EndpointConfigurations=configurations)
    assert again == "EndpointAlreadyExistsException"
    identifiers = [{"EndpointId": balancers["us-west-2"]}]
    ga.remove_endpoints(EndpointGroupArn=arn, EndpointIdentifiers=identifiers)
    gone = error(ga.remove_endpoints, EndpointGroupArn=arn, EndpointIdentifiers=identifiers)
    assert gone == "EndpointNotFoundException"


def test_attributes_and_tags(ga: Any) -> None:
    arn = new_accelerator(ga, Tags=[{"Key": "a", "Value": "1"}])
    ga.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    ga.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert ga.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert ga.describe_accelerator_attributes(AcceleratorArn=arn)["AcceleratorAttributes"]["FlowLogsEnabled"] is False
    assert error(ga.update_accelerator_attributes, AcceleratorArn=arn, FlowLogsEnabled=True) == (
        "InvalidArgumentException"
    )
    changed = ga.update_accelerator_attributes(AcceleratorArn=arn, FlowLogsEnabled=False, FlowLogsS3Bucket="logs")
    assert changed["AcceleratorAttributes"] == {
        "FlowLogsEnabled": False,
        "FlowLogsS3Bucket": "logs",
        "FlowLogsS3Prefix": "",
    }


def test_pages_follow_each_other_and_a_wrong_token_is_refused(ga: Any) -> None:
    arns = [new_accelerator(ga, Name=f"a{n}") for n in range(3)]
    pages = ga.get_paginator("list_accelerators").paginate(PaginationConfig={"PageSize": 2})
    assert [one["AcceleratorArn"] for page in pages for one in page["Accelerators"]] == arns
    assert error(ga.list_accelerators, NextToken="no") == "InvalidNextTokenException"


def test_records_outlive_control() -> None:
    with ControlLab() as lab:
        ga = lab.client("globalaccelerator", "us-west-2")
        arn = new_accelerator(ga)
        listener = new_listener(ga, arn)
        lab.kill_and_restart()
        assert ga.describe_listener(ListenerArn=listener)["Listener"]["ListenerArn"] == listener
        assert lab.edge.document("accelerators").accelerators[0].arn == arn
