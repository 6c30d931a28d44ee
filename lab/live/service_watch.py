"""Looks whether API Gateway and S3 answer in each region, for aliases that evaluate their target's health.

A service is looked at from the first time that somebody asks; what a look means is `lab.core.service_availability`'s
decision.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from lab.core.endpoint_name import EndpointName
from lab.core.health_probe import CONNECT_LIMIT_MS, RESPONSE_LIMIT_MS
from lab.core.service_availability import INTERVAL_MS, REGIONAL_SERVICES, ServiceAvailability
from lab.core.topology import Topology
from lab.live.clock import Clock
from lab.live.http_client import CallFailed, HttpClient, TcpAddress

ServiceKey = tuple[str, str]


class ServiceWatch:
    """The regional services behind alias targets; `watch` hears of every verdict that changes."""

    def __init__(self, topology: Topology, clock: Clock) -> None:
        self._topology, self._clock = topology, clock
        self._rng = random.Random(f"{topology.seed}/services")
        self._known: dict[ServiceKey, ServiceAvailability] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._watchers: list[Callable[[], None]] = []

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after each change of a verdict."""
        self._watchers.append(callback)

    def is_available(self, endpoint: EndpointName) -> bool:
        """Whether the service behind a name is available in its region; what has no region or other judges is."""
        service = REGIONAL_SERVICES.get(endpoint.kind)
        if service is None or endpoint.region not in self._topology.region_codes:
            return True
        key = (endpoint.region or "", service)
        if key not in self._known:
            self._known[key] = ServiceAvailability()
            self._tasks.append(asyncio.get_running_loop().create_task(self._follow(key)))
        return self._known[key].available

    async def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _follow(self, key: ServiceKey) -> None:
        await self._clock.sleep(self._rng.random() * INTERVAL_MS)
        while True:
            if self._known[key].take(await self._answers(*key)):
                for callback in self._watchers:
                    callback()
            await self._clock.sleep(INTERVAL_MS)

    async def _answers(self, region: str, service: str) -> bool:
        """Whether the data plane answers in the service's name, whatever it says but that it fails."""
        address = TcpAddress(self._topology.region(region).address, self._topology.http_port)
        client = HttpClient(address, connect_timeout_s=self._clock.deadline_s(CONNECT_LIMIT_MS))
        host = f"{service}.{region}.amazonaws.com"
        try:
            response = await client.call(
                "GET", "/ping", [("Host", host)], timeout_s=self._clock.deadline_s(RESPONSE_LIMIT_MS)
            )
        except CallFailed:
            return False
        finally:
            client.close()
        return response.status < 500
