"""The second architecture, deployed as on AWS: two static addresses, a load balancer and a function per region.

Items are at two names: `fast.lab.test` is an alias to the accelerator (anycast), `items.lab.test` has a latency record
per region, each an alias to the region's load balancer (DNS routing). Clients are in places: they say so with the PROXY
protocol, and open a new connection for each request, because that is what failover acts on.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.core import proxy_protocol
from lab.core.accelerator import HOSTED_ZONE_ID
from lab.core.deployment import FunctionPlan, TablePlan
from lab.core.scenario import client_timeout_ms
from lab.core.table import KeyAttribute
from lab.deploy.function import deploy_function, deploy_role
from lab.deploy.package import make_package
from lab.deploy.table import deploy_table
from lab.testing import Lab

HANDLER = Path(__file__).parents[1] / "handlers" / "item"
ANYCAST, DNS = "fast.lab.test", "items.lab.test"
HEALTH_CHECKS = {
    "HealthCheckEnabled": True,
    "HealthCheckPath": "/health",
    "HealthCheckIntervalSeconds": 10,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 2,
    "UnhealthyThresholdCount": 2,
}
LATE = "no answer in time"
LOCALSTACK_EVERY_S = 1.0
"""LocalStack takes tens of milliseconds of a processor for a request: more would only measure that."""


@dataclass
class Items:
    """What is deployed; `groups` and `balancers` by region."""

    lab: Lab
    accelerator: str
    addresses: tuple[str, str]
    listener: str
    groups: dict[str, str] = field(default_factory=dict)
    balancers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def ga(self) -> Any:
        return accelerator_client(self.lab)

    def dial(self, region: str, percentage: float) -> None:
        """Set the traffic dial of a region's endpoint group."""
        self.ga.update_endpoint_group(EndpointGroupArn=self.groups[region], TrafficDialPercentage=percentage)

    def weigh(self, region: str, weights: dict[str, int]) -> None:
        """Set the endpoints of a region's group, load balancers' ARNs with weights."""
        endpoints = [{"EndpointId": arn, "Weight": weight} for arn, weight in weights.items()]
        self.ga.update_endpoint_group(EndpointGroupArn=self.groups[region], EndpointConfigurations=endpoints)

    def force_health(self, region: str, status: str) -> None:
        """Have the region's function answer its health checks with a status; "" leaves them to themselves."""
        environment = {"TABLE_NAME": "items", **({"STATUS": status} if status else {})}
        self.lab.region(region).client("lambda").update_function_configuration(
            FunctionName="item", Environment={"Variables": environment}
        )

    def health(self) -> dict[str, str]:
        """What the accelerator thinks of each region's load balancer."""
        found = self.ga.list_endpoint_groups(ListenerArn=self.listener)["EndpointGroups"]
        return {
            group["EndpointGroupRegion"]: endpoint["HealthState"]
            for group in found
            for endpoint in group["EndpointDescriptions"]
        }

    def restore(self) -> None:
        """As deployed: dials open, equal weights, health checks left to themselves, everything healthy."""
        for region, balancer in self.balancers.items():
            self.dial(region, 100.0)
            self.weigh(region, {balancer["LoadBalancerArn"]: 128})
            self.force_health(region, "")
        self.ga.update_listener(ListenerArn=self.listener, ClientAffinity="NONE")
        self.lab.eventually(self._all_healthy, within_s=1800.0)

    def _all_healthy(self) -> bool:
        health = self.health()
        assert set(health.values()) == {"HEALTHY"}, health
        return True


def accelerator_client(lab: Lab) -> Any:
    """Global Accelerator's API is in us-west-2, whatever regions the endpoints are in."""
    import boto3

    address = lab.topology.url(lab.topology.global_address, lab.topology.aws_port)
    return boto3.client(
        "globalaccelerator",
        region_name="us-west-2",
        endpoint_url=address,
        aws_access_key_id="lab",
        aws_secret_access_key="lab",
    )


def deploy(lab: Lab) -> Items:
    """Deploy all of it, once for each lab."""
    codes = lab.topology.region_codes
    table = TablePlan("items", (KeyAttribute("id", "S"),))
    deploy_table(lab.region(codes[0]).client("dynamodb"), table, codes)
    role = deploy_role(lab.client("iam"))
    package = make_package(HANDLER, Path(lab.running.instance.state_dir) / "cache")
    balancers = {code: _deploy_region(lab, code, package, role) for code in codes}
    ga = accelerator_client(lab)
    for known in ga.list_accelerators()["Accelerators"]:
        if known["Name"] == "items":
            return _found(lab, ga, known, balancers)
    made = ga.create_accelerator(Name="items", IdempotencyToken=str(uuid.uuid4()))["Accelerator"]
    listener = ga.create_listener(
        AcceleratorArn=made["AcceleratorArn"],
        Protocol="TCP",
        PortRanges=[{"FromPort": 80, "ToPort": 80}],
        IdempotencyToken=str(uuid.uuid4()),
    )["Listener"]["ListenerArn"]
    for code, balancer in balancers.items():
        ga.create_endpoint_group(
            ListenerArn=listener,
            EndpointGroupRegion=code,
            EndpointConfigurations=[{"EndpointId": balancer["LoadBalancerArn"], "Weight": 128}],
            IdempotencyToken=str(uuid.uuid4()),
        )
    _deploy_records(lab, made["DnsName"], balancers)
    return _found(lab, ga, made, balancers)


def _found(lab: Lab, ga: Any, accelerator: dict[str, Any], balancers: dict[str, dict[str, Any]]) -> Items:
    arn = accelerator["AcceleratorArn"]
    listener = ga.list_listeners(AcceleratorArn=arn)["Listeners"][0]["ListenerArn"]
    groups = {
        group["EndpointGroupRegion"]: group["EndpointGroupArn"]
        for group in ga.list_endpoint_groups(ListenerArn=listener)["EndpointGroups"]
    }
    return Items(lab, arn, tuple(accelerator["IpSets"][0]["IpAddresses"]), listener, groups, balancers)


def _deploy_region(lab: Lab, code: str, package: bytes, role: str) -> dict[str, Any]:
    functions = lab.region(code).client("lambda")
    plan = FunctionPlan("item", str(HANDLER), environment={"TABLE_NAME": "items"})
    deploy_function(functions, plan, package, role)
    return deploy_balancer(lab, code, "items")


def deploy_balancer(lab: Lab, code: str, name: str) -> dict[str, Any]:
    """A load balancer whose only listener forwards everything to the region's function."""
    elb, functions = lab.region(code).client("elbv2"), lab.region(code).client("lambda")
    for known in elb.describe_load_balancers()["LoadBalancers"]:
        if known["LoadBalancerName"] == name:
            return dict(known)
    function = functions.get_function_configuration(FunctionName="item")["FunctionArn"]
    group = elb.create_target_group(Name=name, TargetType="lambda", **HEALTH_CHECKS)["TargetGroups"][0]
    functions.add_permission(
        FunctionName="item",
        StatementId=f"load-balancer-{name}",
        Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com",
        SourceArn=group["TargetGroupArn"],
    )
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": function}])
    balancer = elb.create_load_balancer(Name=name, Subnets=["subnet-a", "subnet-b"])["LoadBalancers"][0]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    return dict(balancer)


def _deploy_records(lab: Lab, accelerator_name: str, balancers: dict[str, dict[str, Any]]) -> None:
    route53 = lab.client("route53")
    (zone,) = [z for z in route53.list_hosted_zones()["HostedZones"] if z["Name"] == f"{lab.topology.domain}."]
    records = [_alias(ANYCAST, accelerator_name, HOSTED_ZONE_ID)]
    records += [
        {**_alias(DNS, balancer["DNSName"], balancer["CanonicalHostedZoneId"]), "SetIdentifier": code, "Region": code}
        for code, balancer in balancers.items()
    ]
    changes = [{"Action": "UPSERT", "ResourceRecordSet": record} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch={"Changes": changes})


def _alias(name: str, target: str, zone_id: str) -> dict[str, Any]:
    alias = {"DNSName": target, "HostedZoneId": zone_id, "EvaluateTargetHealth": True}
    return {"Name": f"{name}.", "Type": "A", "AliasTarget": alias}


# Clients


@dataclass(frozen=True)
class Call:
    """One request of a client: `region` served it, None if nobody did. Times in real seconds."""

    began_s: float
    place: str
    name: str
    region: str | None
    status: int
    took_s: float
    why: str = ""

    @property
    def good(self) -> bool:
        return self.status == 200


def call(lab: Lab, place: str, name: str, path: str = "/health", address: str | None = None) -> Call:
    """GET a path from a place on a connection of its own; `address` saves asking DNS."""
    began_s = time.monotonic()

    def done(region: str | None, status: int, why: str = "") -> Call:
        return Call(began_s, place, name, region, status, time.monotonic() - began_s, why)

    try:
        if address is None:
            found = lab.place(place).resolver.lookup(name)
            if not found.addresses:
                return done(None, 0, f"no address: {found.rcode}")
            address = found.addresses[0]
        with socket.create_connection(
            lab.topology.reachable(address, lab.topology.http_port), timeout=timeout_s(lab)
        ) as sock:
            source = (lab.topology.place(place).client_address, sock.getsockname()[1])
            request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
            sock.sendall(proxy_protocol.format_v1(source, (address, 80)) + request)
            data = b"".join(iter(lambda: sock.recv(65536), b""))
    except TimeoutError:
        return done(None, 0, LATE)
    except OSError as error:
        return done(None, 0, str(error) or type(error).__name__)
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1")
    if not head.startswith("HTTP/1.1 "):
        return done(None, 0, "the connection was closed without an answer")
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
    return done(headers.get("x-region"), int(head.split(" ")[1]))


def every_s(lab: Lab, wanted_s: float) -> float:
    """How long a client waits from one request to the next, as the regions can bear it."""
    return max(wanted_s, LOCALSTACK_EVERY_S) if lab.topology.engine == "localstack" else wanted_s


def timeout_s(lab: Lab) -> float:
    """How long a client waits for an answer, in real seconds: as a drill's, longer than the lab lets a handler work.

    A cold start on a busy machine is late and no failure. What these scenarios show is not told by this limit: a region
    that is down refuses connections.
    """
    return client_timeout_ms(lab.topology) / 1000


@contextmanager
def load(lab: Lab, places: tuple[str, ...], names: tuple[str, ...], path: str, wanted_s: float) -> Iterator[list[Call]]:
    """Steady requests from each place to each name, until the block ends; what came of them, in order of their end."""
    interval_s = every_s(lab, wanted_s)
    calls: list[Call] = []
    stop = threading.Event()

    def run(place: str, name: str) -> None:
        while not stop.is_set():
            began = time.monotonic()
            calls.append(call(lab, place, name, path))
            stop.wait(max(0.0, interval_s - (time.monotonic() - began)))

    threads = [threading.Thread(target=run, args=(place, name)) for place in places for name in names]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def served_by(calls: list[Call], place: str, name: str, region: str, count: int = 5) -> Callable[[], bool]:
    """A condition: the newest requests from a place were all answered well by a region."""

    def holds() -> bool:
        newest = [one for one in list(calls) if (one.place, one.name) == (place, name)][-count:]
        return len(newest) == count and all(one.good and one.region == region for one in newest)

    return holds


def accelerator_status(lab: Lab) -> dict[str, Any]:
    """What `lab accelerator status --json` prints."""
    from lab.cli.sockets import ask_accelerators

    return dict(ask_accelerators(lab.running, ""))


def put(lab: Lab, region: str, item_id: str, value: str) -> None:
    """Put an item straight into a region's table."""
    item = {"id": {"S": item_id}, "value": {"S": value}}
    lab.region(region).client("dynamodb").put_item(TableName="items", Item=item)
