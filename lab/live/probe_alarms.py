"""Reads the data of CloudWatch alarms from the regions' engines, for health checks of type CLOUDWATCH_METRIC.

As on AWS the alarm's configuration is copied when a check is made or updated; editing the alarm alone changes nothing.
"""

from __future__ import annotations

import datetime
from typing import Any

import orjson

from lab.core.faults import FaultSet
from lab.core.health_alarm import Alarm, alarm_status
from lab.core.health_check import HealthCheck
from lab.core.topology import Topology
from lab.live.clock import now_ms
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.part_address import part_address

READ_LIMIT_S = 5.0
TARGET_PREFIX = "GraniteServiceVersion20100801"


class AlarmReader:
    """One client an engine, and the alarms that were read."""

    def __init__(self, topology: Topology, store: DocumentStore) -> None:
        self._topology = topology
        self._store = store
        self._engines: dict[str, HttpClient] = {}
        self._alarms: dict[str, tuple[HealthCheck, Alarm]] = {}

    def close(self) -> None:
        """Drop the connections."""
        for engine in self._engines.values():
            engine.close()

    async def status(self, check: HealthCheck) -> bool | None:
        """What the data says now; None if there is not enough, or nobody who has it can be reached."""
        if check.alarm is None or check.alarm.region not in self._topology.region_codes:
            return None
        region = check.alarm.region
        if self._store.get(FaultSet).region_condition(region) != "up":
            return None
        try:
            alarm = await self._alarm(check, region, check.alarm.name)
            if alarm is None or not alarm.supported:
                return None
            return alarm_status(alarm, await self._datapoints(region, alarm))
        except (CallFailed, ValueError, KeyError):
            return None  # the engine is away or answers with an error: no data

    async def _alarm(self, check: HealthCheck, region: str, name: str) -> Alarm | None:
        known = self._alarms.get(check.health_check_id)
        if known is not None and known[0] == check:
            return known[1]
        answer = await self._call(region, "DescribeAlarms", {"AlarmNames": [name]})
        for found in answer.get("MetricAlarms", []):
            alarm = _alarm_of(found)
            self._alarms[check.health_check_id] = (check, alarm)
            return alarm
        return None

    async def _datapoints(self, region: str, alarm: Alarm) -> dict[int, float]:
        end_s = now_ms() // 1000 + 1
        start_s = end_s - alarm.window_s
        start_s -= start_s % alarm.period_s
        request = {
            "Namespace": alarm.namespace,
            "MetricName": alarm.metric_name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in alarm.dimensions],
            "StartTime": start_s,
            "EndTime": end_s,
            "Period": alarm.period_s,
            "Statistics": [alarm.statistic],
        }
        answer = await self._call(region, "GetMetricStatistics", request)
        return {
            _seconds(point["Timestamp"]): float(point[alarm.statistic])
            for point in answer.get("Datapoints", [])
            if alarm.statistic in point
        }

    async def _call(self, region: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        engine = self._engines.get(region)
        if engine is None:
            address = part_address(self._topology, f"engine-{region}")
            engine = self._engines[region] = HttpClient(address, limit=4)
        scope = f"lab/20260101/{region}/monitoring/aws4_request"
        response = await engine.call(
            "POST",
            "/",
            [
                ("Content-Type", "application/x-amz-json-1.0"),
                ("X-Amz-Target", f"{TARGET_PREFIX}.{operation}"),
                # The engine tells services and regions apart by the scope and verifies no signature.
                ("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            ],
            orjson.dumps(request),
            timeout_s=READ_LIMIT_S,
            idempotent=True,
        )
        if response.status != 200:
            raise ValueError(f"{operation}: HTTP {response.status}")
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer


def _alarm_of(found: dict[str, Any]) -> Alarm:
    wanted = found.get("DatapointsToAlarm")
    return Alarm(
        namespace=found.get("Namespace") or "",
        metric_name=found.get("MetricName") or "",
        dimensions=tuple((entry["Name"], entry["Value"]) for entry in found.get("Dimensions") or []),
        statistic=found.get("Statistic") or "",
        period_s=int(found.get("Period") or 60),
        evaluation_periods=int(found.get("EvaluationPeriods") or 1),
        threshold=float(found.get("Threshold") or 0.0),
        comparison=found.get("ComparisonOperator") or "",
        datapoints_to_alarm=None if wanted is None else int(wanted),
    )


def _seconds(timestamp: str | float) -> int:
    if isinstance(timestamp, str):
        return int(datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())
    return int(timestamp)
