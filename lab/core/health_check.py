"""Route 53 health checks as configured. https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HealthCheckType = Literal[
    "HTTP",
    "HTTPS",
    "HTTP_STR_MATCH",
    "HTTPS_STR_MATCH",
    "TCP",
    "CALCULATED",
    "CLOUDWATCH_METRIC",
    "RECOVERY_CONTROL",
]
CHECKER_REGIONS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)


@dataclass(frozen=True)
class AlarmIdentifier:
    """The alarm whose data a CLOUDWATCH_METRIC check reads."""

    region: str
    name: str


@dataclass(frozen=True)
class HealthCheck:
    """One health check. `request_interval` is 10 or 30 seconds; `regions` empty means all checker regions.

    `port` is the port as the user gave it or the type's default (80, 443), None where the type has none; the lab's
    probers map 80 to its data plane's port. `created_ms` feeds the initial state.
    """

    health_check_id: str
    caller_reference: str
    type: HealthCheckType
    created_ms: int
    ip_address: str | None = None
    port: int | None = None
    resource_path: str | None = None
    fully_qualified_domain_name: str | None = None
    search_string: str | None = None
    request_interval: int = 30
    failure_threshold: int = 3
    measure_latency: bool = False
    inverted: bool = False
    disabled: bool = False
    enable_sni: bool = True
    regions: tuple[str, ...] = ()
    health_threshold: int = 0
    child_health_checks: tuple[str, ...] = ()
    alarm: AlarmIdentifier | None = None
    insufficient_data_health_status: Literal["Healthy", "Unhealthy", "LastKnownStatus"] | None = None
    routing_control_arn: str | None = None
    version: int = 1


@dataclass(frozen=True)
class HealthChecks:
    """The document `health_checks`. `routing_controls` maps a routing control's ARN to whether it is On."""

    checks: tuple[HealthCheck, ...] = ()
    routing_controls: dict[str, bool] | None = None
