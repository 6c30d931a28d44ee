"""What health checks have to do with CloudWatch: alarms that they follow, metrics that they publish."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from lab.core import codec
from lab.core.health import HealthMachine
from lab.core.health_alarm import Alarm
from lab.core.health_check import AlarmIdentifier, HealthCheck, HealthChecks
from lab.core.topology import Topology, regional_addresses
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.probe_alarms import AlarmReader
from lab.live.probe_cloudwatch import CloudWatchCalls
from lab.live.probe_metrics import MetricPublisher
from lab.live.topology_file import write_topology


def check(type: str, **fields: Any) -> HealthCheck:
    return HealthCheck("check-1", "r", type, 0, ip_address="127.43.9.1", **fields)  # type: ignore[arg-type]


ALARM = {
    "AlarmName": "errors",
    "Namespace": "App",
    "MetricName": "Errors",
    "Dimensions": [{"Name": "Api", "Value": "feedback"}],
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
}


async def call(engine: HttpClient, operation: str, body: dict[str, Any]) -> None:
    response = await engine.call(
        "POST",
        "/",
        [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", f"GraniteServiceVersion20100801.{operation}"),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/monitoring/aws4_request, "
                "SignedHeaders=host, Signature=0",
            ),
        ],
        orjson.dumps(body),
    )
    assert response.status == 200, response


def test_the_data_of_an_alarm_is_read_from_the_regions_cloudwatch(tmp_path: Path) -> None:
    topology = Topology(
        "127.43", regional_addresses("127.43", ("us-east-1",)), (), str(tmp_path / "state"), str(tmp_path / "run")
    )
    path = tmp_path / "topology.json"
    write_topology(path, topology)
    assert codec.encode(topology)
    command = [sys.executable, "-m", "lab.engines.ministack", str(path), "us-east-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            asyncio.run(_read_alarms(topology, tmp_path))
        finally:
            process.terminate()
            process.wait(60)


async def _read_alarms(topology: Topology, folder: Path) -> None:
    engine = HttpClient(UnixAddress(topology.socket_path("engine-us-east-1")))
    cloudwatch = CloudWatchCalls(topology, DocumentStore(folder / "documents"))
    reader = AlarmReader(cloudwatch)
    checked = check("CLOUDWATCH_METRIC", alarm=AlarmIdentifier("us-east-1", "errors"))
    try:
        assert await reader.status(checked) is None  # no such alarm
        await call(engine, "PutMetricAlarm", ALARM)
        assert await reader.status(checked) is None  # no data
        datum = {"MetricName": "Errors", "Dimensions": ALARM["Dimensions"], "Timestamp": now_ms() / 1000}
        await call(engine, "PutMetricData", {"Namespace": "App", "MetricData": [{**datum, "Value": 3}]})
        assert await reader.status(checked) is True
        await call(engine, "PutMetricData", {"Namespace": "App", "MetricData": [{**datum, "Value": 9}]})
        assert await reader.status(checked) is False
        # The alarm's state has no say, and an edited alarm is taken over when the check is updated.
        await call(engine, "SetAlarmState", {"AlarmName": "errors", "StateValue": "OK", "StateReason": "because"})
        await call(engine, "PutMetricAlarm", {**ALARM, "Threshold": 100})
        assert await reader.status(checked) is False
        assert await reader.status(check("CLOUDWATCH_METRIC", alarm=checked.alarm, version=2)) is True
        elsewhere = check("CLOUDWATCH_METRIC", alarm=AlarmIdentifier("eu-west-1", "errors"))
        assert await reader.status(elsewhere) is None
        await _publish_metrics(cloudwatch)
    finally:
        cloudwatch.close()
        engine.close()


async def _publish_metrics(cloudwatch: CloudWatchCalls) -> None:
    machine = HealthMachine(random.Random(1))
    machine.on_configured(HealthChecks((check("HTTP"),)), 0)
    await MetricPublisher(cloudwatch, Clock(), lambda: machine.states).publish()
    end_s = now_ms() // 1000 + 60
    query = {
        "Namespace": "AWS/Route53",
        "MetricName": "HealthCheckPercentageHealthy",
        "Dimensions": [{"Name": "HealthCheckId", "Value": "check-1"}],
        "StartTime": end_s - 600,
        "EndTime": end_s,
        "Period": 60,
        "Statistics": ["Average"],
    }
    (point,) = (await cloudwatch.call("us-east-1", "GetMetricStatistics", query))["Datapoints"]
    assert point["Average"] == 100.0


def test_the_window_of_an_alarm_covers_its_periods_and_some_more() -> None:
    assert Alarm("N", "m", (), "Sum", 60, 3, 1.0, "GreaterThanThreshold").window_s == 300
