"""Forwarding AWS API calls to the region's engine, and answering whenever the engine does not.

Which calls may be forwarded is decided before. DynamoDB has a pool of connections of its own, so that long polls of
other services never stand in its way.
"""

from __future__ import annotations

import asyncio

from lab.core.aws_error import AwsError
from lab.live.http_client import Address, CallFailed, HttpClient
from lab.live.http_message import Headers, Request, Response

CALL_TIMEOUT_S = 60.0
RESTART_PATIENCE_S = 2.0
"""How long a call waits for an engine that is being started again, before it is answered 503."""
RETRY_INTERVAL_S = 0.05

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)

_ENGINES_OWN = (
    "access-control-",
    "connection",
    "content-length",
    "keep-alive",
    "server",
    "transfer-encoding",
    "x-lab-",
)
"""Headers of the engine that users do not see; it lets every web page read its answers."""


class EngineFailed(Exception):
    """The engine has not answered, or cannot be asked this; `error` is what the user is told."""

    def __init__(self, error: AwsError) -> None:
        super().__init__(error.message)
        self.error = error


class EngineCalls:
    """Calls to one region's engine. `host` is the Host that it sees unless a request keeps its own.

    At most so many calls are with the engine at once, to DynamoDB and to all other services; the rest wait here, where
    a caller who leaves takes his call along.
    """

    def __init__(self, address: Address, host: str, *, dynamodb_max: int = 64, others_max: int = 256) -> None:
        self._host = host
        self._dynamodb = HttpClient(address, limit=dynamodb_max)
        self._others = HttpClient(address, limit=others_max)

    async def forward(
        self, request: Request, *, keep_host: bool = False, idempotent: bool = False, told: Headers | None = None
    ) -> Response:
        """Pass a request on, of the lab's own headers `told` alone, and its answer back. Raises EngineFailed."""
        headers = [(n, v) for n, v in forwarded(request.headers) if keep_host or n.lower() != "host"]
        headers += told or []
        if not keep_host:
            headers.append(("Host", self._host))
        response = await self._call(self._others, request.method, request.target, headers, request.body, idempotent)
        head = request.method == "HEAD"  # only then the length is not that of the body
        response.headers = [
            (n, v)
            for n, v in response.headers
            if not n.lower().startswith(_ENGINES_OWN) or (head and n.lower() == "content-length")
        ]
        return response

    async def dynamodb(self, target: str, body: bytes, *, idempotent: bool, report: bool = False) -> Response:
        """One DynamoDB call by its whole target ("DynamoDB_20120810.PutItem"). Raises EngineFailed.

        With `report` the answer has the engine's `x-lab-` headers.
        """
        headers = [("Host", self._host), ("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.0")]
        if report:
            headers.append(("x-lab-report", "1"))
        return await self._call(self._dynamodb, "POST", "/", headers, body, idempotent)

    async def _call(
        self, client: HttpClient, method: str, target: str, headers: Headers, body: bytes, idempotent: bool
    ) -> Response:
        loop = asyncio.get_running_loop()
        patience = loop.time() + RESTART_PATIENCE_S
        while True:
            try:
                return await client.call(method, target, headers, body, timeout_s=CALL_TIMEOUT_S, idempotent=idempotent)
            except CallFailed as failure:
                may_retry = idempotent or not failure.maybe_executed
                if may_retry and loop.time() < patience:
                    await asyncio.sleep(RETRY_INTERVAL_S)
                    continue
                if failure.maybe_executed:
                    raise EngineFailed(AwsError("InternalServerError", f"The engine failed: {failure}")) from failure
                message = "The engine of this region is not running."
                raise EngineFailed(AwsError("ServiceUnavailable", message)) from failure

    def close(self) -> None:
        """Drop the idle connections."""
        self._dynamodb.close()
        self._others.close()


def forwarded(headers: Headers) -> Headers:
    """A user's headers as they may go further: without those of the connection and the lab's own."""
    return [(n, v) for n, v in headers if n.lower() not in _HOP_BY_HOP and not n.lower().startswith("x-lab-")]
