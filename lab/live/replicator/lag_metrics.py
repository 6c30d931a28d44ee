"""How long replicated writes took: kept for the status, and published to CloudWatch of the source region.

`ReplicationLatency` by `TableName` and `ReceivingRegion` each lab minute, `PendingReplicationCount` as well for tables
of version 2017.11.29: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.core.replication import Replication
from lab.core.table import Tables
from lab.live.clock import Clock, now_ms
from lab.live.probe_cloudwatch import CloudWatchCalls, CloudWatchFailed

NAMESPACE = "AWS/DynamoDB"
PERIOD_MS = 60_000
PERIOD_S_MIN = 1.0
SAMPLES = 2048
RATE_S = 10
Route = tuple[str, str]


@dataclass(slots=True)
class _Minute:
    """The lags of one (table, source, target) since they were last published."""

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, ms: int) -> None:
        self.least = ms if self.count == 0 else min(self.least, ms)
        self.most = max(self.most, ms)
        self.count += 1
        self.total += ms


@dataclass
class LagMetrics:
    """Takes every lag. `run` publishes until it is cancelled; what CloudWatch does not take is lost, as on AWS."""

    cloudwatch: CloudWatchCalls
    clock: Clock
    tables: Callable[[], Tables]
    now_ms: Callable[[], int] = now_ms
    _recent: dict[Route, deque[int]] = field(default_factory=dict)
    _seconds: dict[Route, deque[tuple[int, int]]] = field(default_factory=dict)
    """How many writes each of the last seconds had, whatever number of lags is kept."""
    _minutes: dict[tuple[str, str, str], _Minute] = field(default_factory=dict)

    def add(self, table: str, source: str, target: str, ms: int) -> None:
        """A write of `source` became readable in `target` after so many milliseconds.

        What version 2017.11.29 writes into a region's own items is no replication.
        """
        if source == target:
            return
        recent = self._recent.get((source, target))
        if recent is None:
            recent = self._recent[source, target] = deque(maxlen=SAMPLES)
            self._seconds[source, target] = deque(maxlen=RATE_S)
        recent.append(ms)
        _count(self._seconds[source, target], self.now_ms() // 1000)
        minute = self._minutes.get((table, source, target))
        if minute is None:
            minute = self._minutes[table, source, target] = _Minute()
        minute.add(ms)

    def summary(self, source: str, target: str) -> dict[str, Any]:
        """Median, 99th percentile of the last lags, and writes per second of the ten seconds up to this one."""
        lags = sorted(self._recent.get((source, target), ()))
        since = self.now_ms() // 1000 - RATE_S
        rate = sum(count for second, count in self._seconds.get((source, target), ()) if second > since) / RATE_S
        return {
            "lag_p50_ms": lags[len(lags) // 2] if lags else None,
            "lag_p99_ms": lags[min(len(lags) - 1, len(lags) * 99 // 100)] if lags else None,
            "rate_per_s": rate,
        }

    async def run(self, core: Replication) -> None:
        """Publish each lab minute."""
        while True:
            await asyncio.sleep(max(self.clock.wait_s(PERIOD_MS), PERIOD_S_MIN))
            await self.publish(core)

    async def publish(self, core: Replication) -> None:
        """Publish what came since the last time."""
        minutes, self._minutes = self._minutes, {}
        by_source: dict[str, list[dict[str, Any]]] = {}
        for (table, source, target), minute in minutes.items():
            statistics = {
                "SampleCount": minute.count,
                "Sum": minute.total,
                "Minimum": minute.least,
                "Maximum": minute.most,
            }
            latency = {"MetricName": "ReplicationLatency", "Unit": "Milliseconds", **_dimensions(table, target)}
            by_source.setdefault(source, []).append({**latency, "StatisticValues": statistics})
        for table, source, target, waiting in self._pending(core):
            pending = {"MetricName": "PendingReplicationCount", "Unit": "Count", **_dimensions(table, target)}
            by_source.setdefault(source, []).append({**pending, "Value": waiting})
        for source, data in by_source.items():
            request = {"Namespace": NAMESPACE, "MetricData": data}
            try:
                await self.cloudwatch.call(source, "PutMetricData", request)
            except CloudWatchFailed:
                continue

    def _pending(self, core: Replication) -> list[tuple[str, str, str, int]]:
        return [
            (group.name, source.region, target.region, core.backlog(group.name, source.region, target.region))
            for group in self.tables().global_tables
            if group.version == "2017.11.29"
            for source in group.replicas
            for target in group.replicas
            if source != target
        ]


def _count(seconds: deque[tuple[int, int]], now_s: int) -> None:
    """One write more in this second."""
    if seconds and seconds[-1][0] == now_s:
        seconds[-1] = (now_s, seconds[-1][1] + 1)
    else:
        seconds.append((now_s, 1))


def _dimensions(table: str, target: str) -> dict[str, Any]:
    dimensions = [{"Name": "TableName", "Value": table}, {"Name": "ReceivingRegion", "Value": target}]
    return {"Dimensions": dimensions, "Timestamp": now_ms() / 1000}
