"""Reads the data of CloudWatch alarms from the regions' engines, for health checks of type CLOUDWATCH_METRIC.

As on AWS the alarm's configuration is copied when a check is made or updated; editing the alarm alone changes nothing.
"""

from __future__ import annotations

import datetime
from typing import Any

from lab.core.health_alarm import Alarm, alarm_status
from lab.core.health_check import HealthCheck
from lab.live.clock import now_ms
from lab.live.probe_cloudwatch import CloudWatchCalls, CloudWatchFailed


class AlarmReader:
    """The alarms that were read, and what their data says."""

    def __init__(self, cloudwatch: CloudWatchCalls) -> None:
        self._cloudwatch = cloudwatch
        self._alarms: dict[str, tuple[HealthCheck, Alarm]] = {}

    async def status(self, check: HealthCheck) -> bool | None:
        """What the data says now; None if there is not enough, or nobody who has it can be reached."""
        if check.alarm is None:
            return None
        region = check.alarm.region
        try:
            alarm = await self._alarm(check, region, check.alarm.name)
            if alarm is None or not alarm.supported:
                return None
            return alarm_status(alarm, await self._datapoints(region, alarm))
        except (CloudWatchFailed, ValueError, KeyError):
            return None  # nobody answers, or with something else: no data

    async def _alarm(self, check: HealthCheck, region: str, name: str) -> Alarm | None:
        known = self._alarms.get(check.health_check_id)
        if known is not None and known[0] == check:
            return known[1]
        answer = await self._cloudwatch.call(region, "DescribeAlarms", {"AlarmNames": [name]})
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
        answer = await self._cloudwatch.call(region, "GetMetricStatistics", request)
        return {
            _seconds(point["Timestamp"]): float(point[alarm.statistic])
            for point in answer.get("Datapoints", [])
            if alarm.statistic in point
        }


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
