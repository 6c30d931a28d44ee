"""What accelerators tell CloudWatch: flows, bytes and health by accelerator, by listener and by endpoint group.

https://docs.aws.amazon.com/global-accelerator/latest/dg/cloudwatch-monitoring.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lab.core.accelerator import Accelerator, EndpointGroup
from lab.core.traffic_metrics import Dimensions, MetricDatum, single
from lab.live.accelerator_connection import Tally

UNITS = {"ProcessedBytesIn": "Bytes", "ProcessedBytesOut": "Bytes"}

FindTally = Callable[[str, str], Tally]
"""From an endpoint group's ARN and an endpoint's id to what went there ever."""


class AcceleratorMetrics:
    """Remembers what was told, so that each minute has its own."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], Tally] = {}
        self._told_drops = Counter[str]()

    def take(
        self,
        accelerators: Iterable[Accelerator],
        tally: FindTally,
        dropped: Mapping[str, int],
        healthy: Callable[[str], bool],
    ) -> list[MetricDatum]:
        """What came since the last time; `dropped` is the connections for which there was no endpoint, by listener."""
        values = Counter[tuple[str, Dimensions]]()
        for accelerator in accelerators:
            for listener in accelerator.listeners:
                path = (("Accelerator", _id(accelerator.arn)), ("Listener", _id(listener.arn)))
                drops, before = dropped.get(listener.arn, 0), self._told_drops[listener.arn]
                self._told_drops[listener.arn] = drops
                if drops > before:
                    _add(values, "Flows_Dropped_No_Endpoint_Found", path, drops - before)
                for group in listener.groups:
                    for name, value in self._of_group(group, tally, healthy).items():
                        _add(values, name, (*path, ("EndpointGroup", group.region)), value)
        return [single(name, path, value, UNITS.get(name, "Count")) for (name, path), value in values.items()]

    def _of_group(self, group: EndpointGroup, tally: FindTally, healthy: Callable[[str], bool]) -> dict[str, int]:
        flows = bytes_in = bytes_out = 0
        for endpoint in group.endpoints:
            key = (group.arn, endpoint.endpoint_id)
            now, before = tally(*key), self._told.get(key, Tally())
            flows += now.flows - before.flows
            bytes_in += now.bytes_in - before.bytes_in
            bytes_out += now.bytes_out - before.bytes_out
            self._told[key] = replace(now)
        count = sum(healthy(endpoint.endpoint_id) for endpoint in group.endpoints)
        return {
            "NewFlowCount": flows,
            "ProcessedBytesIn": bytes_in,
            "ProcessedBytesOut": bytes_out,
            "HealthyEndpointCount": count,
            "UnhealthyEndpointCount": len(group.endpoints) - count,
        }


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]


def _add(values: Counter[tuple[str, Dimensions]], name: str, path: Dimensions, value: int) -> None:
    """Count for a group, its listener and its accelerator alike."""
    for length in range(1, len(path) + 1):
        values[name, path[:length]] += value
