"""One region's front: its two ports, and the faults of the region as a whole.

Down: the listening sockets are closed and connections reset. Hang: connections open and nothing comes back. What is
answered is `aws_endpoint`'s and `data_plane`'s business.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from lab.core.api_gateway_event import MAX_BODY_BYTES
from lab.core.faults import FaultSet, RegionCondition
from lab.core.topology import Topology
from lab.errors import EnvironmentFailure
from lab.live.documents import DocumentStore
from lab.live.front.aws_endpoint import AwsEndpoint
from lab.live.front.data_plane import DataPlane, refusal
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer

AWS_MAX_BODY_BYTES = 256 * 1024 * 1024
"""The AWS endpoint takes S3 objects; larger ones go in parts."""
RELISTEN_INTERVAL_S = 0.5


class FollowsRegion(Protocol):
    """What goes down and hangs with the region."""

    def set_condition(self, condition: RegionCondition) -> None: ...


class Front:
    """Opens and closes the ports of one region as faults say."""

    def __init__(
        self,
        topology: Topology,
        region: str,
        store: DocumentStore,
        *,
        endpoint: AwsEndpoint,
        data_plane: DataPlane,
        functions: FollowsRegion,
    ) -> None:
        self._topology, self._region, self._store = topology, topology.region(region), store
        self._functions = functions
        self._requests = {"aws": 0, "http": 0}
        self._endpoint, self._data_plane = endpoint, data_plane
        self._aws = HttpServer(self._answer_aws, max_body_bytes=AWS_MAX_BODY_BYTES)
        self._http = HttpServer(self._answer_http, max_body_bytes=MAX_BODY_BYTES, refusal=refusal)
        self._condition: RegionCondition = "down"
        self._running = False
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, unless the region is down. Raises AddressInUse, EnvironmentFailure."""
        self._store.watch(FaultSet, self._follow)
        self._running = True
        condition = self._store.get(FaultSet).region_condition(self._region.code)
        if condition != "down":
            await self._listen()
        self._set(condition)

    async def close(self) -> None:
        """Close both ports."""
        self._running = False
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._aws.close()
        await self._http.close()

    def status(self) -> dict[str, Any]:
        """What the front has to tell, for `lab status`."""
        return {
            "condition": self._condition,
            "aws_requests": self._requests["aws"],
            "http_requests": self._requests["http"],
            "connections": len(self._aws.connections) + len(self._http.connections),
        }

    async def _answer_aws(self, request: Request) -> Response | None:
        self._requests["aws"] += 1
        return await self._endpoint.answer(request)

    async def _answer_http(self, request: Request) -> Response | None:
        self._requests["http"] += 1
        return await self._data_plane.answer(request)

    def _follow(self) -> None:
        condition = self._store.get(FaultSet).region_condition(self._region.code)
        if not self._running or condition == self._condition:
            return
        was = self._condition
        self._set(condition)
        if condition == "down":
            for server in (self._aws, self._http):
                server.stop_listening()
        elif was == "down" and self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._reopen())

    def _set(self, condition: RegionCondition) -> None:
        self._condition = condition
        self._functions.set_condition(condition)
        for server in (self._aws, self._http):
            server.set_silent(condition == "hang")

    async def _listen(self) -> None:
        await self._aws.listen_tcp(self._topology.bind_address(self._region.address), self._topology.aws_port)
        # Load balancers have the same port at addresses of their own: this one may not bind all of a container's.
        await self._http.listen_tcp(self._region.address, self._topology.http_port)

    def _is_up(self) -> bool:
        return self._condition != "down"

    async def _reopen(self) -> None:
        """Listen again after the region was down; another process may hold an address for a moment."""
        try:
            while self._is_up():
                try:
                    await self._listen()
                except EnvironmentFailure as error:
                    self._aws.stop_listening()
                    self._http.stop_listening()
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": f"{self._region.code} cannot be reopened yet: {error}"}
                    )
                    await asyncio.sleep(RELISTEN_INTERVAL_S)
                else:
                    if not self._is_up():  # it went down again meanwhile
                        self._aws.stop_listening()
                        self._http.stop_listening()
                    return
        finally:
            self._opening = None
