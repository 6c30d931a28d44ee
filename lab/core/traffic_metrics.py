"""What load balancers and accelerators tell CloudWatch once a minute.

A load balancer's counts are made of its access log: what the log says of a request is what the metrics count.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
https://docs.aws.amazon.com/global-accelerator/latest/dg/cloudwatch-monitoring.html
Left out: connections, capacity units, zones as a dimension, and edge locations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lab.core.alb_access_log import AccessLogEntry

BALANCER_NAMESPACE = "AWS/ApplicationELB"
ACCELERATOR_NAMESPACE = "AWS/GlobalAccelerator"
ACCELERATOR_REGION = "us-west-2"
"""Global Accelerator's metrics are in this region, wherever its endpoints are."""
PERIOD_MS = 60_000
LAMBDA_INTERNAL = frozenset({"LambdaServiceException", "LambdaConnectionTimeout", "LambdaThrottling"})

Dimensions = tuple[tuple[str, str], ...]


@dataclass
class Total:
    """The values of one metric in one minute."""

    count: int = 0
    sum: float = 0.0
    least: float = 0.0
    most: float = 0.0

    def add(self, value: float) -> None:
        self.least = value if self.count == 0 else min(self.least, value)
        self.most = max(self.most, value)
        self.count += 1
        self.sum += value


@dataclass(frozen=True)
class MetricDatum:
    """One metric's minute. `unit` is CloudWatch's word."""

    name: str
    dimensions: Dimensions
    total: Total
    unit: str = "Count"


def single(name: str, dimensions: Dimensions, value: float, unit: str = "Count") -> MetricDatum:
    """A metric of which the minute has one value."""
    return MetricDatum(name, dimensions, Total(1, value, value, value), unit)


def group_dimension(target_group_arn: str) -> tuple[str, str]:
    """`targetgroup/NAME/ID`, by which CloudWatch names a target group."""
    return "TargetGroup", target_group_arn.rpartition(":")[2]


class BalancerMetrics:
    """The minute of one region's load balancers."""

    def __init__(self) -> None:
        self._totals: defaultdict[tuple[str, str, str | None], Total] = defaultdict(Total)

    def add(self, entry: AccessLogEntry) -> None:
        """Count one request."""
        balancer, group = entry.balancer_id, entry.target_group_arn
        self._count(balancer, None, "ProcessedBytes", entry.received_bytes + entry.sent_bytes)
        if entry.target is not None:  # requests for which no target could be chosen are not counted
            self._count(balancer, group, "RequestCount")
        if entry.target_processing_s >= 0:
            self._count(balancer, group, "TargetResponseTime", entry.target_processing_s)
        status = entry.elb_status
        if entry.target_status is not None:
            self._count(balancer, group, f"HTTPCode_Target_{entry.target_status // 100}XX_Count")
        elif status is not None and status >= 400 and entry.actions != "fixed-response":
            self._count(balancer, None, f"HTTPCode_ELB_{status // 100}XX_Count")
            if status in (500, 502, 503, 504):
                self._count(balancer, None, f"HTTPCode_ELB_{status}_Count")
        if entry.actions == "redirect":
            self._count(balancer, None, "HTTP_Redirect_Count")
            self._count(balancer, None, "HTTPCode_ELB_3XX_Count")
        elif entry.actions == "fixed-response":
            self._count(balancer, None, "HTTP_Fixed_Response_Count")
        if entry.error_reason.startswith("Lambda"):
            kind = "LambdaInternalError" if entry.error_reason in LAMBDA_INTERNAL else "LambdaUserError"
            self._count(balancer, group, kind)

    def _count(self, balancer: str, group: str | None, name: str, value: float = 1.0) -> None:
        self._totals[name, balancer, None].add(value)
        if group is not None:
            self._totals[name, balancer, group].add(value)

    def take(self) -> list[MetricDatum]:
        """What came since the last time."""
        totals, self._totals = self._totals, defaultdict(Total)
        units = {"TargetResponseTime": "Seconds", "ProcessedBytes": "Bytes"}
        return [
            MetricDatum(
                name,
                (*((group_dimension(group),) if group else ()), ("LoadBalancer", balancer)),
                total,
                units.get(name, "Count"),
            )
            for (name, balancer, group), total in totals.items()
        ]


def wire(datum: MetricDatum, timestamp_s: float) -> dict[str, object]:
    """A datum as `PutMetricData` takes it."""
    total = datum.total
    return {
        "MetricName": datum.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in datum.dimensions],
        "Timestamp": timestamp_s,
        "Unit": datum.unit,
        "StatisticValues": {
            "SampleCount": total.count,
            "Sum": total.sum,
            "Minimum": total.least,
            "Maximum": total.most,
        },
    }
