"""Elastic Load Balancing's API by boto3 against a real control process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError
from control_process import ROLE, ControlLab, zip_of

from lab.core.load_balancer import Condition, LoadBalancers

SUBNETS = ["subnet-a", "subnet-b"]
REGION = "us-east-1"


@pytest.fixture(scope="module")
def control() -> Iterator[ControlLab]:
    with ControlLab() as lab:
        lab.client("lambda").create_function(
            FunctionName="item",
            Runtime="python3.11",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": zip_of({"app.py": "def handler(event, context): return None"})},
        )
        yield lab


@pytest.fixture
def elb(control: ControlLab) -> Iterator[Any]:
    client = control.client("elbv2")
    yield client
    for balancer in client.describe_load_balancers()["LoadBalancers"]:
        client.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    for group in client.describe_target_groups()["TargetGroups"]:
        client.delete_target_group(TargetGroupArn=group["TargetGroupArn"])


def error(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def new_balancer(elb: Any, name: str = "items", **more: Any) -> str:
    made = elb.create_load_balancer(Name=name, Subnets=SUBNETS, **more)
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def new_group(elb: Any, name: str = "items", **more: Any) -> str:
    settings = {"TargetType": "lambda", **more}
    return str(elb.create_target_group(Name=name, **settings)["TargetGroups"][0]["TargetGroupArn"])


def forward(*arns: str) -> list[dict[str, Any]]:
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn} for arn in arns]}}]


def new_listener(elb: Any, balancer: str, group: str, port: int = 80) -> str:
    made = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=forward(group))
    return str(made["Listeners"][0]["ListenerArn"])


def fixed(status: str = "404") -> list[dict[str, Any]]:
    return [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status}}]


def test_a_load_balancer_is_made_described_published_and_deleted(control: ControlLab, elb: Any) -> None:
    made = elb.create_load_balancer(Name="items", Subnets=SUBNETS, Tags=[{"Key": "a", "Value": "b"}])["LoadBalancers"][
        0
    ]
    assert made["State"]["Code"] == "provisioning"
    assert made["DNSName"].startswith("items-") and made["DNSName"].endswith(".us-east-1.elb.amazonaws.com")
    assert (made["Type"], made["Scheme"], made["IpAddressType"]) == ("application", "internet-facing", "ipv4")
    assert made["CanonicalHostedZoneId"] == "Z35SXDOTRQ7X7K"
    elb.get_waiter("load_balancer_available").wait(Names=["items"])
    (published,) = control.edge.document("load_balancers").load_balancers
    assert (published.arn, published.address) == (made["LoadBalancerArn"], "127.45.1.10")
    names = {name.name: name for name in control.edge.document("endpoints").names}
    assert names[made["DNSName"] + "."].addresses == ("127.45.1.10",)
    assert elb.create_load_balancer(Name="items", Subnets=SUBNETS, Tags=[{"Key": "a", "Value": "b"}])["LoadBalancers"]
    assert error(elb.create_load_balancer, Name="items", Subnets=["x", "y"])[0] == "DuplicateLoadBalancerName"
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    elb.delete_load_balancer(LoadBalancerArn=made["LoadBalancerArn"])
    assert error(elb.describe_load_balancers, Names=["items"])[0] == "LoadBalancerNotFound"
    assert control.edge.document("load_balancers").load_balancers == ()


def test_each_load_balancer_has_an_address_of_its_own_in_its_region(control: ControlLab, elb: Any) -> None:
    west = control.client("elbv2", "us-west-2")
    new_balancer(elb, "one")
    new_balancer(elb, "two")
    arn = new_balancer(west, "one")
    addresses = {(b.region, b.name): b.address for b in control.edge.document("load_balancers").load_balancers}
    assert addresses == {
        (REGION, "one"): "127.45.1.10",
        (REGION, "two"): "127.45.1.11",
        ("us-west-2", "one"): "127.45.2.10",
    }
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 2
    assert error(elb.describe_load_balancers, LoadBalancerArns=[arn])[0] == "LoadBalancerNotFound"
    west.delete_load_balancer(LoadBalancerArn=arn)


def test_what_the_lab_has_not_is_refused(elb: Any) -> None:
    assert error(elb.create_load_balancer, Name="n", Subnets=SUBNETS, Type="network")[0] == "NotImplemented"
    assert error(elb.create_load_balancer, Name="n", Subnets=SUBNETS[:1])[0] == "ValidationError"
    assert error(elb.create_load_balancer, Name="internal-x", Subnets=SUBNETS)[0] == "ValidationError"
    assert error(elb.create_target_group, Name="n", Protocol="HTTP", Port=80)[0] == "NotImplemented"
    assert error(elb.describe_trust_stores)[0] == "NotImplemented"


def test_load_balancer_attributes_have_awss_defaults_and_limits(elb: Any) -> None:
    arn = new_balancer(elb)
    given = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    attributes = {attribute["Key"]: attribute["Value"] for attribute in given}
    assert attributes["idle_timeout.timeout_seconds"] == "60"
    assert attributes["client_keep_alive.seconds"] == "3600"

    def change(key: str, value: str) -> Any:
        return elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value}])

    change("idle_timeout.timeout_seconds", "4000")
    with pytest.raises(ClientError, match=r"access log is in \.lab/logs/load-balancers"):
        change("access_logs.s3.enabled", "true")
    change("access_logs.s3.enabled", "false")
    for key, value in (
        ("idle_timeout.timeout_seconds", "4001"),
        ("routing.http.xff_header_processing.mode", "maybe"),
        ("deletion_protection.enabled", "yes"),
        ("no.such", "1"),
    ):
        assert error(change, key=key, value=value)[0] == "ValidationError"
    change("deletion_protection.enabled", "true")
    assert error(elb.delete_load_balancer, LoadBalancerArn=arn)[0] == "OperationNotPermitted"
    change("deletion_protection.enabled", "false")


def test_a_lambda_target_group_has_its_health_checks_off_by_default(elb: Any) -> None:
    arn = new_group(elb)
    (group,) = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
    assert group["HealthCheckEnabled"] is False
    assert (group["HealthCheckIntervalSeconds"], group["HealthCheckTimeoutSeconds"]) == (35, 30)
    assert (group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]) == (5, 5)
    assert group["Matcher"] == {"HttpCode": "200"}
    changed = elb.modify_target_group(
        TargetGroupArn=arn,
        HealthCheckEnabled=True,
        HealthCheckPath="/health",
        HealthCheckIntervalSeconds=10,
        HealthCheckTimeoutSeconds=5,
        UnhealthyThresholdCount=2,
        Matcher={"HttpCode": "200-299"},
    )["TargetGroups"][0]
    assert (changed["HealthCheckEnabled"], changed["HealthCheckPath"]) == (True, "/health")
    for parameters in (
        {"HealthCheckTimeoutSeconds": 10},
        {"HealthCheckPath": "health"},
        {"Matcher": {"HttpCode": "200-500"}},
        {"HealthCheckPort": "80"},
        {"HealthCheckPort": "\u00b2"},
    ):
        assert error(elb.modify_target_group, TargetGroupArn=arn, **parameters)[0] in (
            "ValidationError",
            "ValidationException",
        )
    assert error(elb.create_target_group, Name="items", TargetType="lambda")[0] == "DuplicateTargetGroupName"
    assert error(elb.create_target_group, Name="x", TargetType="lambda", Port=80)[0] == "ValidationError"


def test_a_function_must_let_the_balancer_in_before_it_is_registered(control: ControlLab, elb: Any) -> None:
    functions = control.client("lambda")
    arn = new_group(elb)
    function = functions.get_function_configuration(FunctionName="item")["FunctionArn"]
    code, message = error(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": function}])
    assert (code, message) == (
        "AccessDenied",
        f"elasticloadbalancing principal does not have permission to invoke {function} from target group {arn}",
    )
    functions.add_permission(
        FunctionName="item",
        StatementId="alb",
        Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com",
        SourceArn=arn,
    )
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": function}])
    functions.remove_permission(FunctionName="item", StatementId="alb")
    (group,) = control.edge.document("load_balancers").target_groups
    assert [target.id for target in group.targets] == [function]
    wrong = function.replace("item", "other")
    assert error(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": wrong}])[0] == "InvalidTarget"
    assert error(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": "item"}])[0] == "ValidationError"
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": function}])
    assert control.edge.document("load_balancers").target_groups[0].targets == ()


def test_target_health_is_what_the_edge_knows(control: ControlLab, elb: Any) -> None:
    arn = new_group(elb, TargetType="ip", Protocol="HTTP", Port=8000)
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "127.0.0.1"}, {"Id": "127.0.0.2", "Port": 9000}])
    known = {
        "targets": [
            {"id": "127.0.0.1", "port": 8000, "state": "unhealthy", "reason": "Target.Timeout", "description": "late"}
        ]
    }
    call = f"GET /status/target-health?{urlencode({'arn': arn})}"
    control.edge.answers[call] = (200, json.dumps(known).encode())
    targets = [{"Id": "127.0.0.1"}, {"Id": "127.0.0.2", "Port": 9000}, {"Id": "127.0.0.3"}]
    given = elb.describe_target_health(TargetGroupArn=arn, Targets=targets)["TargetHealthDescriptions"]
    assert [one["TargetHealth"].get("Reason") for one in given] == [
        "Target.Timeout",
        "Elb.RegistrationInProgress",
        "Target.NotRegistered",
    ]
    assert given[0]["HealthCheckPort"] == "8000"
    control.edge.answers[call] = (500, b"{}")
    assert error(elb.describe_target_health, TargetGroupArn=arn)[0] == "HealthUnavailable"
    for bad in ("8.8.8.8", "localhost"):
        assert error(elb.register_targets, TargetGroupArn=arn, Targets=[{"Id": bad}])[0] in (
            "InvalidTarget",
            "ValidationError",
        )


def test_listeners_have_one_port_each_and_the_labs_ports_do_not_clash(control: ControlLab, elb: Any) -> None:
    balancer, group = new_balancer(elb), new_group(elb)
    arn = new_listener(elb, balancer, group)
    settings = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "DefaultActions": forward(group)}
    assert error(elb.create_listener, Port=80, **settings)[0] == "DuplicateListener"
    code, message = error(elb.create_listener, Port=control.topology.http_port, **settings)
    assert code == "DuplicateListener" and "In the lab" in message
    elb.modify_listener(ListenerArn=arn, Port=81)
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"]
    assert (listener["Port"], listener["Protocol"]) == (81, "HTTP")
    assert listener["DefaultActions"][0]["TargetGroupArn"] == group
    assert error(elb.delete_target_group, TargetGroupArn=group)[0] == "ResourceInUse"
    other = new_balancer(elb, "other")
    settings["LoadBalancerArn"] = other
    assert error(elb.create_listener, Port=80, **settings)[0] == "TargetGroupAssociationLimit"
    elb.delete_listener(ListenerArn=arn)
    assert error(elb.describe_listeners, ListenerArns=[arn])[0] == "ListenerNotFound"


def test_an_https_listener_needs_a_certificate(elb: Any) -> None:
    balancer = new_balancer(elb)
    settings = {"LoadBalancerArn": balancer, "Protocol": "HTTPS", "Port": 443, "DefaultActions": fixed()}
    assert error(elb.create_listener, **settings)[0] == "ValidationError"
    assert error(elb.create_listener, Certificates=[{"CertificateArn": "x"}], **settings)[0] == "CertificateNotFound"
    certificate = f"arn:aws:acm:{REGION}:000000000000:certificate/1"
    made = elb.create_listener(Certificates=[{"CertificateArn": certificate}], **settings)["Listeners"][0]
    assert made["Certificates"] == [{"CertificateArn": certificate}]
    assert made["SslPolicy"].startswith("ELBSecurityPolicy-TLS13")
    more = [{"CertificateArn": certificate + "2"}]
    elb.add_listener_certificates(ListenerArn=made["ListenerArn"], Certificates=more)
    listed = elb.describe_listener_certificates(ListenerArn=made["ListenerArn"])["Certificates"]
    assert [one["IsDefault"] for one in listed] == [True, False]


def test_rules_are_kept_in_order_and_published(control: ControlLab, elb: Any) -> None:
    balancer, group = new_balancer(elb), new_group(elb)
    listener = new_listener(elb, balancer, group)

    def rule(priority: int, *conditions: dict[str, Any]) -> str:
        made = elb.create_rule(
            ListenerArn=listener, Priority=priority, Conditions=list(conditions), Actions=fixed()
        )["Rules"]  # fmt: skip
        return str(made[0]["RuleArn"])

    late = rule(20, {"Field": "path-pattern", "Values": ["/b*"]})
    early = rule(10, {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["1"]}})
    assert [one["Priority"] for one in elb.describe_rules(ListenerArn=listener)["Rules"]] == ["10", "20", "default"]
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": late, "Priority": 5}])
    (published,) = control.edge.document("load_balancers").load_balancers
    assert [one.arn for one in published.listeners[0].rules[:2]] == [late, early]
    assert published.listeners[0].rules[1].conditions == (Condition("http-header", ("1",), (), "X-A"),)
    assert error(rule, priority=5)[0] in ("PriorityInUse", "ValidationError")
    default = elb.describe_rules(ListenerArn=listener)["Rules"][-1]["RuleArn"]
    assert error(elb.delete_rule, RuleArn=default)[0] == "OperationNotPermitted"
    elb.modify_rule(RuleArn=late, Actions=fixed("503"))
    described = elb.describe_rules(RuleArns=[late])["Rules"][0]
    assert described["Actions"][0]["FixedResponseConfig"]["StatusCode"] == "503"
    assert described["Conditions"][0]["PathPatternConfig"] == {"Values": ["/b*"]}
    elb.delete_rule(RuleArn=late)
    assert error(elb.describe_rules, RuleArns=[late])[0] == "RuleNotFound"


def host(*values: str) -> dict[str, Any]:
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}


@pytest.mark.parametrize(
    ("conditions", "actions", "code"),
    [
        ([], fixed(), "ValidationError"),
        ([{"Field": "weather", "Values": ["x"]}], fixed(), "ValidationError"),
        ([{"Field": "path-pattern", "Values": []}], fixed(), "ValidationError"),
        ([{"Field": "source-ip", "SourceIpConfig": {"Values": ["1.2.3"]}}], fixed(), "ValidationError"),
        ([host("a"), host("b")], fixed(), "ValidationError"),
        ([host("a", "b", "c", "d", "e", "f")], fixed(), "TooManyConditions"),
        ([host("*.*.*.*.*.*")], fixed(), "ValidationError"),
        ([host("a")], fixed("302"), "ValidationError"),
        (
            [host("a")],
            [{"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301"}}],
            "InvalidLoadBalancerAction",
        ),
        ([host("a")], [{"Type": "forward", "TargetGroupArn": "arn:none"}], "TargetGroupNotFound"),
        ([host("a")], [{"Type": "authenticate-cognito"}], "NotImplemented"),
        ([host("a")], [*fixed(), *fixed()], "InvalidLoadBalancerAction"),
    ],
)
def test_rules_that_cannot_be_are_refused(elb: Any, conditions: Any, actions: Any, code: str) -> None:
    balancer, group = new_balancer(elb), new_group(elb)
    listener = new_listener(elb, balancer, group)
    assert error(
        elb.create_rule, ListenerArn=listener, Priority=1, Conditions=conditions, Actions=actions
    )[0] in (code, "ValidationException")  # fmt: skip


def test_weights_and_stickiness_are_kept_as_given(elb: Any) -> None:
    balancer, one, two = new_balancer(elb), new_group(elb, "one"), new_group(elb, "two")
    config = {
        "TargetGroups": [{"TargetGroupArn": one, "Weight": 90}, {"TargetGroupArn": two, "Weight": 10}],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60},
    }
    actions = [{"Type": "forward", "ForwardConfig": config}]
    made = elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=actions)
    assert made["Listeners"][0]["DefaultActions"][0]["ForwardConfig"] == config
    config["TargetGroups"][0]["Weight"] = 1000  # type: ignore[index]
    settings = {"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 81, "DefaultActions": actions}
    assert error(elb.create_listener, **settings)[0] in ("ValidationError", "ValidationException")


def test_everything_can_be_tagged(elb: Any) -> None:
    balancer, group = new_balancer(elb), new_group(elb)
    listener = new_listener(elb, balancer, group)
    rule = elb.describe_rules(ListenerArn=listener)["Rules"][0]["RuleArn"]
    arns = [balancer, group, listener, rule]
    elb.add_tags(ResourceArns=arns, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    elb.remove_tags(ResourceArns=arns, TagKeys=["a"])
    described = elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
    assert [one["Tags"] for one in described] == [[{"Key": "b", "Value": "2"}]] * 4


def test_pages_follow_each_other(elb: Any) -> None:
    names = [f"group-{n}" for n in range(5)]
    for name in names:
        new_group(elb, name)
    pages = elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2})
    assert [group["TargetGroupName"] for page in pages for group in page["TargetGroups"]] == names


def test_records_outlive_control() -> None:
    with ControlLab() as lab:
        elb = lab.client("elbv2")
        listener = new_listener(elb, new_balancer(elb), new_group(elb))
        lab.kill_and_restart()
        assert elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["Port"] == 80
        document: LoadBalancers = lab.edge.document("load_balancers")
        assert document.load_balancers[0].listeners[0].arn == listener
