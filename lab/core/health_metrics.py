"""What Route 53 tells CloudWatch about health checks, once a minute, in the namespace AWS/Route53 of us-east-1.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-cloudwatch.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lab.core.health import CheckState, Opinion
from lab.core.health_probe import Timings

NAMESPACE = "AWS/Route53"
REGION = "us-east-1"
PERIOD_MS = 60_000

_TIMINGS: dict[str, Callable[[Timings], float | None]] = {
    "ConnectionTime": lambda timings: timings.connect_ms,
    "SSLHandshakeTime": lambda timings: timings.handshake_ms,
    "TimeToFirstByte": lambda timings: timings.first_byte_ms,
}


@dataclass(frozen=True)
class MetricDatum:
    """One value. `unit` is CloudWatch's word; `region` is the second dimension of the latency metrics."""

    name: str
    health_check_id: str
    value: float
    unit: str
    region: str | None = None


def metric_data(states: Mapping[str, CheckState]) -> Iterator[MetricDatum]:
    """The minute's data of all checks; a disabled check has none."""
    for health_check_id, state in states.items():
        check = state.check
        if check.disabled:
            continue
        yield MetricDatum("HealthCheckStatus", health_check_id, float(state.healthy), "None")
        if state.opinions:
            share = 100 * sum(opinion.healthy for opinion in state.opinions) / len(state.opinions)
            yield MetricDatum("HealthCheckPercentageHealthy", health_check_id, share, "Percent")
        if check.type == "CALCULATED":
            children = [states.get(child) for child in check.child_health_checks]
            count = sum(child is None or child.healthy for child in children)
            yield MetricDatum("ChildHealthCheckHealthyCount", health_check_id, float(count), "None")
        if check.measure_latency:
            yield from _latencies(health_check_id, state.opinions)


def _latencies(health_check_id: str, opinions: list[Opinion]) -> list[MetricDatum]:
    """Each region's mean of what its checkers measured last."""
    found = []
    for region in dict.fromkeys(opinion.checker.region for opinion in opinions):
        timings = [o.last.timings for o in opinions if o.checker.region == region and o.last is not None]
        for name, value_of in _TIMINGS.items():
            values = [value for value in map(value_of, timings) if value is not None]
            if values:
                mean = sum(values) / len(values)
                found.append(MetricDatum(name, health_check_id, mean, "Milliseconds", region))
    return found
