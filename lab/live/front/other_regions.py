"""Calls from one region's front to the fronts of the others, over links that faults can cut.

A cut link or a region that is down is an unreachable network: the caller's connection is reset, in the middle of a call
too. A region that hangs lets its callers hang.
"""

from __future__ import annotations

import asyncio

from lab.core.faults import FaultSet
from lab.core.topology import Topology
from lab.live.documents import DocumentStore
from lab.live.front.engine_calls import forwarded
from lab.live.http_client import HttpClient, TcpAddress
from lab.live.http_message import RESET, Request, Response

CALL_TIMEOUT_S = 900.0
"""A function may run for so long; clients give up earlier by themselves."""


class OtherRegions:
    """The way from `region` to the AWS endpoints of all others."""

    def __init__(self, topology: Topology, region: str, store: DocumentStore) -> None:
        self._topology, self._region, self._store = topology, region, store
        self._clients: dict[str, HttpClient] = {}
        self._in_flight: dict[str, set[asyncio.Task[Response]]] = {}
        store.watch(FaultSet, self._take_faults)

    def _take_faults(self) -> None:
        faults = self._store.get(FaultSet)
        for target, tasks in self._in_flight.items():
            if not faults.link_up(self._region, target) and faults.region_condition(target) != "hang":
                for task in tasks:
                    task.cancel()

    async def call(self, target: str, request: Request) -> Response | None:
        """Pass a request on to another region's front."""
        faults = self._store.get(FaultSet)
        if faults.region_condition(target) == "hang":
            return None
        if not faults.link_up(self._region, target):
            return RESET
        task = asyncio.get_running_loop().create_task(self._send(target, request))
        tasks = self._in_flight.setdefault(target, set())
        tasks.add(task)
        try:
            await asyncio.wait((task,))
        finally:
            tasks.discard(task)
            if not task.done():
                task.cancel()
        if task.cancelled() or task.exception() is not None:
            return RESET
        return task.result()

    async def _send(self, target: str, request: Request) -> Response:
        address, port = self._topology.region(target).address, self._topology.aws_port
        client = self._clients.get(target)
        if client is None:
            source = self._topology.region(self._region).address
            client = self._clients[target] = HttpClient(TcpAddress(address, port, source), limit=256)
        headers = [(n, v) for n, v in forwarded(request.headers) if n.lower() != "host"]
        headers.append(("Host", f"{address}:{port}"))
        response = await client.call(request.method, request.target, headers, request.body, timeout_s=CALL_TIMEOUT_S)
        head = request.method == "HEAD"
        response.headers = [
            (n, v)
            for n, v in response.headers
            if n.lower() not in ("connection", "transfer-encoding") and (head or n.lower() != "content-length")
        ]
        return response

    def close(self) -> None:
        """Drop the connections."""
        for client in self._clients.values():
            client.close()
