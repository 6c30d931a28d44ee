"""Publishes the metrics of load balancers and accelerators to the regions' CloudWatch, once a lab minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lab.core.topology import Topology
from lab.core.traffic_metrics import PERIOD_MS, MetricDatum, wire
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.probe_cloudwatch import CloudWatchCalls, CloudWatchFailed

PERIOD_S_MIN = 1.0
DATA_PER_CALL_MAX = 500

Minute = list[tuple[str, str, list[MetricDatum]]]
"""Region, namespace, and what the minute had."""


class TrafficMetrics:
    """Publishes every lab minute, but not more often than once a second, what `take` gives.

    Data that CloudWatch does not take is lost, as it is on AWS.
    """

    def __init__(self, topology: Topology, store: DocumentStore, clock: Clock, take: Callable[[], Minute]) -> None:
        self._cloudwatch = CloudWatchCalls(topology, store)
        self._clock, self._take = clock, take
        self._publishing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with the first minute."""
        self._publishing = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop; what the minute had so far is lost."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
        self._cloudwatch.close()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(max(self._clock.wait_s(PERIOD_MS), PERIOD_S_MIN))
            await self.publish()

    async def publish(self) -> None:
        """Publish what came since the last time."""
        timestamp_s = now_ms() / 1000
        for region, namespace, data in self._take():
            for start in range(0, len(data), DATA_PER_CALL_MAX):
                chunk = [wire(datum, timestamp_s) for datum in data[start : start + DATA_PER_CALL_MAX]]
                try:
                    await self._cloudwatch.call(region, "PutMetricData", {"Namespace": namespace, "MetricData": chunk})
                except CloudWatchFailed:
                    break
