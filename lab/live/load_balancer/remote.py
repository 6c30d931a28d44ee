"""The load balancers of regions whose fronts are other processes, as the accelerators and the DNS server see them.

Each region's front is asked for its verdicts every quarter of a second. Where none answers, its load balancers are
unhealthy: nobody could reach them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from lab.core.load_balancer import LoadBalancers
from lab.core.topology import Topology
from lab.live.accelerator import EndpointAddress
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.load_balancer.local import allow_many_connections, region_of
from lab.live.part_address import part_address

INTERVAL_S = 0.25
ANSWER_LIMIT_S = 1.0


class RemoteLoadBalancers:
    """What `LocalLoadBalancers` tells, of fronts elsewhere."""

    def __init__(self, topology: Topology, store: DocumentStore) -> None:
        self._topology, self._store = topology, store
        self._fronts = {
            code: HttpClient(
                part_address(topology, topology.front_part(code)), limit=1, connect_timeout_s=ANSWER_LIMIT_S
            )
            for code in topology.region_codes
        }
        self._verdicts: dict[str, dict[str, bool | None]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._asking: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to ask."""
        allow_many_connections()
        self._asking = [asyncio.create_task(self._ask(code)) for code in self._fronts]

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for front in self._fronts.values():
            front.close()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back whenever a verdict may have changed."""
        self._watchers.append(callback)

    def verdict(self, arn: str) -> bool | None:
        """Whether a load balancer is healthy; None while that is not known."""
        if self.address(arn, 0) is None:
            return False
        known = self._verdicts.get(region_of(arn))
        return None if known is None else known.get(arn)

    def address(self, arn: str, port: int) -> EndpointAddress | None:
        """Where a load balancer accepts connections to a port; None if there is none of this ARN."""
        for balancer in self._store.get(LoadBalancers).of_region(region_of(arn)):
            if balancer.arn == arn:
                return EndpointAddress(balancer.address, self._topology.listening_port(port))
        return None

    def status(self, code: str) -> dict[str, Any]:
        """Nothing: the front of a region tells of its load balancers itself."""
        del code
        return {}

    def target_health(self, arn: str) -> list[dict[str, Any]] | None:
        """None: the front of a region tells of its target groups itself."""
        del arn
        return None

    async def _ask(self, code: str) -> None:
        while True:
            try:
                answer = await self._fronts[code].call(
                    "GET", "/status/load-balancers", timeout_s=ANSWER_LIMIT_S, idempotent=True
                )
                verdicts = orjson.loads(answer.body)["verdicts"]
            except (CallFailed, ValueError, KeyError):  # away, or it answers something else, as while it starts
                verdicts = dict.fromkeys((b.arn for b in self._store.get(LoadBalancers).of_region(code)), False)
            if verdicts != self._verdicts.get(code):
                self._verdicts[code] = verdicts
                for callback in self._watchers:
                    callback()
            await asyncio.sleep(INTERVAL_S)
