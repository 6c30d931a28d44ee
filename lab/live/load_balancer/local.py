"""The load balancers of the regions that this process holds: all on one machine, one region's in its front's container.

A change of a target's health is told to control, for the history.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import Any

import orjson

from lab.core.topology import Topology
from lab.core.traffic_metrics import BALANCER_NAMESPACE
from lab.data import geography
from lab.live.accelerator import EndpointAddress
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.load_balancer.region_load_balancers import RegionLoadBalancers
from lab.live.load_balancer.targets import Invoker
from lab.live.traffic_metrics import Minute, TrafficMetrics

RECORD_TIMEOUT_S = 5.0


class LocalLoadBalancers:
    """Load balancers by region. `functions` is each region's Lambda; `control` takes history events."""

    def __init__(
        self,
        topology: Topology,
        store: DocumentStore,
        clock: Clock,
        functions: dict[str, Invoker],
        control: HttpClient,
        log: Callable[[str], None],
    ) -> None:
        self._topology, self._control = topology, control
        earth = geography()
        self._regions = {
            code: RegionLoadBalancers(
                topology, code, store, clock, invoker, log=log, record=self._recorder(code), geography=earth
            )
            for code, invoker in functions.items()
        }
        self._metrics = TrafficMetrics(topology, store, clock, self._minute)
        self._recording: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen at all of them."""
        allow_many_connections()
        for region in self._regions.values():
            await region.start()
        self._metrics.start()

    async def close(self) -> None:
        """Stop all of them."""
        await self._metrics.close()
        for region in self._regions.values():
            await region.close()
        for task in list(self._recording):
            task.cancel()
        await asyncio.gather(*self._recording, return_exceptions=True)

    def _minute(self) -> Minute:
        return [(code, BALANCER_NAMESPACE, region.take_metrics()) for code, region in self._regions.items()]

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back whenever a load balancer's verdict may have changed."""
        for region in self._regions.values():
            region.watch(callback)

    def verdict(self, arn: str) -> bool | None:
        """Whether a load balancer is healthy; None while that is not known."""
        region = self._regions.get(region_of(arn))
        return False if region is None else region.verdict(arn)

    def verdicts(self) -> dict[str, bool | None]:
        """The verdicts on all load balancers, by ARN."""
        found = [balancer["arn"] for region in self._regions.values() for balancer in region.status()["load_balancers"]]
        return {arn: self.verdict(arn) for arn in found}

    def address(self, arn: str, port: int) -> EndpointAddress | None:
        """Where a load balancer accepts connections to a port; None if there is none of this ARN."""
        region = self._regions.get(region_of(arn))
        balancer = region.balancer(arn) if region is not None else None
        if balancer is None:
            return None
        return EndpointAddress(balancer.address, self._topology.listening_port(port))

    def status(self, code: str) -> dict[str, Any]:
        """A region's load balancers, for `GET /status`."""
        return self._regions[code].status()

    def target_health(self, arn: str) -> list[dict[str, Any]] | None:
        """The targets of a target group; None if no region has it."""
        region = self._regions.get(region_of(arn))
        try:
            return None if region is None else region.target_health(arn)
        except KeyError:
            return None

    def _recorder(self, code: str) -> Callable[[str, dict[str, Any]], None]:
        def record(kind: str, detail: dict[str, Any]) -> None:
            text = f"{detail['target_group']}: {detail['target']} is {detail['state']}"
            event = {"time_ms": now_ms(), "kind": kind, "region": code, "detail": text}
            task = asyncio.get_running_loop().create_task(self._post(event))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

        return record

    async def _post(self, event: dict[str, Any]) -> None:
        headers = [("Content-Type", "application/json")]
        try:
            await self._control.call("POST", "/history", headers, orjson.dumps(event), timeout_s=RECORD_TIMEOUT_S)
        except CallFailed:
            return  # control is away: the history lacks an event, traffic does not care


def allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may: a relayed connection is two of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def region_of(arn: str) -> str:
    """The region of an ARN, "" if it has none."""
    parts = arn.split(":")
    return parts[3] if len(parts) > 5 else ""
