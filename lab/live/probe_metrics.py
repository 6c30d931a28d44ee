"""Publishes the health checks' metrics to CloudWatch of us-east-1, once a lab minute, if the lab has that region."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice

from lab.core.health import CheckState
from lab.core.health_metrics import NAMESPACE, PERIOD_MS, REGION, MetricDatum, metric_data
from lab.live.clock import Clock, now_ms
from lab.live.probe_cloudwatch import CloudWatchCalls, CloudWatchFailed

DATA_PER_CALL_MAX = 500
DATA_PER_TURN_MAX = 25
"""After so many the loop gets a turn: 200 checks that measure latency have 3,600, while DNS queries wait."""


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
        chunk: list[dict[str, object]] = []
        while some := [_wire(datum, timestamp_s) for datum in islice(data, DATA_PER_TURN_MAX)]:
            chunk += some
            await asyncio.sleep(0)
            if len(chunk) + DATA_PER_TURN_MAX > DATA_PER_CALL_MAX:
                if not await self._put(chunk):
                    return
                chunk = []
        if chunk:
            await self._put(chunk)

    async def _put(self, chunk: list[dict[str, object]]) -> bool:
        try:
            await self._cloudwatch.call(REGION, "PutMetricData", {"Namespace": NAMESPACE, "MetricData": chunk})
        except CloudWatchFailed:
            return False
        return True


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
