"""Application Load Balancers' records: load balancers, listeners, rules, target groups and targets.

They are what the control part keeps and what it publishes to the edge as the document `load_balancers`. One dataclass
each for conditions and actions holds the fields of all kinds, as in the API.
https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ConditionField = Literal[
    "host-header", "path-pattern", "http-header", "http-request-method", "query-string", "source-ip"
]
ActionType = Literal["forward", "redirect", "fixed-response"]
TargetType = Literal["lambda", "ip"]
HealthCheckProtocol = Literal["HTTP", "HTTPS"]

DEFAULT_PRIORITY = 0
"""The priority that stands for `default`: a listener's default rule, which comes last."""

FIRST_ADDRESS = 10
"""Load balancer k (from 0) of the region at BLOCK.n.1 has the address BLOCK.n.(10 + k)."""


@dataclass(frozen=True)
class QueryStringValue:
    """A `query-string` condition's pair; `key` None matches any key."""

    value: str
    key: str | None = None


@dataclass(frozen=True)
class Condition:
    """One condition of a rule; it holds if any of its values does."""

    field: ConditionField
    values: tuple[str, ...] = ()
    regex_values: tuple[str, ...] = ()
    http_header_name: str | None = None
    query_strings: tuple[QueryStringValue, ...] = ()


@dataclass(frozen=True)
class TargetGroupTuple:
    """One target group of a forward action, weight 0 to 999."""

    arn: str
    weight: int = 1


@dataclass(frozen=True)
class Action:
    """One action. `redirect_*` may hold #{protocol}, #{host}, #{port}, #{path}, #{query}."""

    type: ActionType
    order: int | None = None
    target_groups: tuple[TargetGroupTuple, ...] = ()
    stickiness_s: int | None = None
    redirect_protocol: str = "#{protocol}"
    redirect_host: str = "#{host}"
    redirect_port: str = "#{port}"
    redirect_path: str = "/#{path}"
    redirect_query: str = "#{query}"
    status_code: int = 0
    content_type: str | None = None
    message_body: str | None = None


@dataclass(frozen=True)
class Rule:
    """One rule. `priority` 1 to 50000, or DEFAULT_PRIORITY for the listener's default rule, without conditions."""

    arn: str
    priority: int
    actions: tuple[Action, ...]
    conditions: tuple[Condition, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadBalancerListener:
    """One listener; `rules` in order of priority, the default rule last."""

    arn: str
    protocol: Literal["HTTP", "HTTPS"]
    port: int
    rules: tuple[Rule, ...]
    certificate_arns: tuple[str, ...] = ()
    ssl_policy: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadBalancer:
    """One Application Load Balancer in one region of the lab, at an address of its own."""

    arn: str
    region: str
    name: str
    dns_name: str
    address: str
    created_ms: int
    scheme: Literal["internet-facing", "internal"] = "internet-facing"
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    listeners: tuple[LoadBalancerListener, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`app/NAME/ID`, the ARN's end, by which access logs name it."""
        return self.arn.partition(":loadbalancer/")[2]

    @property
    def target_group_arns(self) -> tuple[str, ...]:
        """The target groups that any of its rules forwards to, each once, in the order of the rules."""
        return tuple(
            dict.fromkeys(
                group.arn
                for listener in self.listeners
                for rule in listener.rules
                for action in rule.actions
                for group in action.target_groups
            )
        )


@dataclass(frozen=True)
class Target:
    """One registered target: a function's ARN, or an address with a port."""

    id: str
    port: int | None = None


@dataclass(frozen=True)
class TargetGroup:
    """One target group. Times in seconds, as the API has them. `matcher` is like "200", "200,202" or "200-299"."""

    arn: str
    region: str
    name: str
    target_type: TargetType
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    port: int | None = None
    health_check_enabled: bool = False
    health_check_protocol: HealthCheckProtocol = "HTTP"
    health_check_port: str = "traffic-port"
    health_check_path: str = "/"
    health_check_interval_s: int = 35
    health_check_timeout_s: int = 30
    healthy_threshold: int = 5
    unhealthy_threshold: int = 5
    matcher: str = "200"
    vpc_id: str | None = None
    targets: tuple[Target, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def multi_value_headers(self) -> bool:
        return self.attributes.get("lambda.multi_value_headers.enabled") == "true"


@dataclass(frozen=True)
class LoadBalancers:
    """The document `load_balancers`: those of all regions."""

    load_balancers: tuple[LoadBalancer, ...] = ()
    target_groups: tuple[TargetGroup, ...] = ()

    def of_region(self, region: str) -> tuple[LoadBalancer, ...]:
        return tuple(balancer for balancer in self.load_balancers if balancer.region == region)

    def target_group(self, arn: str) -> TargetGroup | None:
        return next((group for group in self.target_groups if group.arn == arn), None)


def balancer_address(block: str, region_number: int, index: int) -> str:
    """The address of load balancer `index` (from 0) of a region."""
    assert 0 <= index <= 200
    return f"{block}.{region_number}.{FIRST_ADDRESS + index}"


def matches_code(matcher: str, status: int) -> bool:
    """Whether a matcher ("200", "200,301", "200-299") accepts a status."""
    for part in matcher.split(","):
        low, _, high = part.strip().partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False
