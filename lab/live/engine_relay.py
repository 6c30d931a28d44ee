"""A front's way to its region's engine for the lab's other parts, where the engine is in a container of its own.

Engines are on their region's network alone; control and the replicator are not. They call the front, with the token of
the lab's parts, and the front passes the call on as it is: so cutting off the front cuts off the region.
"""

from __future__ import annotations

import orjson

from lab.core.topology import PartAddress, Topology
from lab.live.http_client import TOKEN_HEADER, Address, CallFailed, HttpClient
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import HttpServer
from lab.live.part_address import part_token, with_token

CALL_TIMEOUT_S = 60.0
BODY_BYTES_MAX = 64 * 1024 * 1024
_FRAMING = ("connection", "keep-alive", "transfer-encoding", "content-length")


class EngineRelay:
    """Listens at `address` for calls to the engine."""

    def __init__(self, topology: Topology, address: PartAddress, engine: Address) -> None:
        self._address, self._bind = address, topology.bind_address(address.host)
        self._engine = HttpClient(engine, limit=128, connect_timeout_s=2.0)
        self._server = HttpServer(with_token(self._answer, part_token(topology)), max_body_bytes=BODY_BYTES_MAX)

    async def start(self) -> None:
        """Listen. Raises EnvironmentFailure."""
        await self._server.listen_tcp(self._bind, self._address.port)

    async def close(self) -> None:
        """Drop all connections."""
        await self._server.close()
        self._engine.close()

    async def _answer(self, request: Request) -> Response:
        headers = [(n, v) for n, v in request.headers if n.lower() not in (*_FRAMING, TOKEN_HEADER)]
        try:
            response = await self._engine.call(
                request.method, request.target, headers, request.body, timeout_s=CALL_TIMEOUT_S
            )
        except CallFailed as failure:
            status = 502 if failure.maybe_executed else 503
            return json_response(status, orjson.dumps({"__type": "lab#EngineUnreachable", "message": str(failure)}))
        response.headers = [(n, v) for n, v in response.headers if n.lower() not in _FRAMING]
        return response
