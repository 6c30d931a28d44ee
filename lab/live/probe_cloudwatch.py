"""CloudWatch of the regions' engines, as the health checkers use it: JSON calls over the engine's socket."""

from __future__ import annotations

from typing import Any

import orjson

from lab.core.faults import FaultSet
from lab.core.topology import Topology
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.part_address import part_address

CALL_LIMIT_S = 5.0
TARGET_PREFIX = "GraniteServiceVersion20100801"


class CloudWatchFailed(Exception):
    """The region's CloudWatch is away or refuses the call."""


class CloudWatchCalls:
    """One client an engine. A region that the lab has not, or that is down, has no CloudWatch."""

    def __init__(self, topology: Topology, store: DocumentStore) -> None:
        self._topology = topology
        self._store = store
        self._engines: dict[str, HttpClient] = {}

    def close(self) -> None:
        """Drop the connections."""
        for engine in self._engines.values():
            engine.close()

    def reachable(self, region: str) -> bool:
        """Whether there is any use in calling."""
        return region in self._topology.region_codes and self._store.get(FaultSet).region_condition(region) == "up"

    async def call(self, region: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one operation. Raises CloudWatchFailed."""
        if not self.reachable(region):
            raise CloudWatchFailed(f"{region} is down or not in the lab")
        engine = self._engines.get(region)
        if engine is None:
            address = part_address(self._topology, f"engine-{region}")
            engine = self._engines[region] = HttpClient(address, limit=4)
        scope = f"lab/20260101/{region}/monitoring/aws4_request"
        try:
            response = await engine.call(
                "POST",
                "/",
                [
                    ("Content-Type", "application/x-amz-json-1.0"),
                    ("X-Amz-Target", f"{TARGET_PREFIX}.{operation}"),
                    # The engine tells services and regions apart by the scope and verifies no signature.
                    ("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
                ],
                orjson.dumps(request),
                timeout_s=CALL_LIMIT_S,
                idempotent=True,
            )
        except CallFailed as error:
            raise CloudWatchFailed(f"{operation}: {error}") from error
        if response.status != 200:
            raise CloudWatchFailed(f"{operation}: HTTP {response.status}")
        try:
            answer = orjson.loads(response.body or b"{}")
        except ValueError as error:
            raise CloudWatchFailed(f"{operation}: {error}") from error
        return answer if isinstance(answer, dict) else {}
