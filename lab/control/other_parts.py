"""What control asks of the other parts: answers of DNS, health as it is seen where it is checked, and S3 objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from lab.control.aws_error import AwsError
from lab.control.status import ask
from lab.core.topology import Topology
from lab.live.http_client import CallFailed, HttpClient

OBJECT_TIMEOUT_S = 30.0


class OtherParts:
    """The parts that control has `clients` of, by name. What does not answer becomes AWS's error."""

    def __init__(self, topology: Topology, clients: Mapping[str, HttpClient]) -> None:
        self._resolver = clients[topology.resolver_part]
        self._fronts = {code: clients[topology.front_part(code)] for code in topology.region_codes}

    async def resolve(self, query: dict[str, str]) -> dict[str, Any]:
        """What the DNS server would answer, or `{"error": ...}`."""
        return await ask(self._resolver, f"/resolve?{urlencode(query)}")

    async def health_check_status(self, health_check_id: str) -> dict[str, Any]:
        """One entry of `GET /status/health-checks`. Raises AwsError."""
        status = await ask(self._resolver, f"/status/health-checks/{health_check_id}")
        if "error" in status:
            raise AwsError("ServiceUnavailable", f"the health checkers do not answer: {status['error']}", status=503)
        found: dict[str, Any] = status[health_check_id]
        return found

    async def target_health(self, arn: str) -> list[dict[str, Any]]:
        """The targets of a target group as the load balancers see them. Raises AwsError."""
        front = self._fronts.get(arn.split(":")[3] if arn.count(":") >= 5 else "")
        if front is None:
            return []
        status = await ask(front, f"/status/target-health?{urlencode({'arn': arn})}")
        if "error" in status:
            raise AwsError("HealthUnavailable", f"the health of the targets cannot be told: {status['error']}", 500)
        targets: list[dict[str, Any]] = status["targets"]
        return targets

    async def endpoint_health(self) -> dict[str, str]:
        """Each accelerator's endpoint with its health; empty while nobody answers."""
        status = await ask(self._resolver, "/status/accelerators")
        return {
            endpoint["id"]: endpoint["health"]
            for accelerator in status.get("accelerators", [])
            for listener in accelerator["listeners"]
            for group in listener["groups"]
            for endpoint in group["endpoints"]
        }

    async def read_object(self, engine: HttpClient, region: str, bucket: str, key: str) -> bytes:
        """An object of a region's S3, for a function whose code is there. Raises AwsError."""
        scope = f"lab/20260101/{region}/s3/aws4_request"
        authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        try:
            response = await engine.call(
                "GET",
                f"/{bucket}/{key}",
                [("Authorization", authorization)],
                timeout_s=OBJECT_TIMEOUT_S,
                idempotent=True,
            )
        except CallFailed as error:
            raise AwsError("ServiceException", f"S3 of {region} does not answer: {error}", status=500) from error
        if response.status != 200:
            raise AwsError(
                "InvalidParameterValueException",
                f"Error occurred while GetObject. S3 Error Code: {response.status}. s3://{bucket}/{key}",
            )
        return response.body
