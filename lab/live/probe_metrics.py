"""Publishes the health checks' metrics to CloudWatch of us-east-1, once a lab minute, if the lab has that region."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.core.health import CheckState
from lab.core.health_metrics import NAMESPACE, PERIOD_MS, REGION, MetricDatum, metric_data
from lab.live.clock import Clock, now_ms
from lab.live.probe_cloudwatch import CloudWatchCalls, CloudWatchFailed

DATA_PER_CALL_MAX = 500


class MetricPublisher:
    """`run` publishes until it is cancelled. Data that CloudWatch does not take is lost, as it is on AWS."""

    def __init__(
        self, cloudwatch: CloudWatchCalls, clock: Clock, states: Callable[[], Mapping[str, CheckState]]
    ) -> None:
        self._cloudwatch = cloudwatch
        self._clock = clock
        self._states = states

    async def run(self) -> None:
        """Publish every minute."""
        while True:
            await self._clock.sleep(PERIOD_MS)
            await self.publish()

    async def publish(self) -> None:
        """Publish the data as they are now."""
        if not self._cloudwatch.reachable(REGION):
            return
        data = metric_data(self._states())
        timestamp_s = now_ms() / 1000
        for start in range(0, len(data), DATA_PER_CALL_MAX):
            chunk = [_wire(datum, timestamp_s) for datum in data[start : start + DATA_PER_CALL_MAX]]
            try:
                await self._cloudwatch.call(REGION, "PutMetricData", {"Namespace": NAMESPACE, "MetricData": chunk})
            except CloudWatchFailed:
                return


def _wire(datum: MetricDatum, timestamp_s: float) -> dict[str, object]:
    dimensions = [{"Name": "HealthCheckId", "Value": datum.health_check_id}]
    if datum.region is not None:
        dimensions.append({"Name": "Region", "Value": datum.region})
    return {
        "MetricName": datum.name,
        "Dimensions": dimensions,
        "Timestamp": timestamp_s,
        "Value": datum.value,
        "Unit": datum.unit,
    }
