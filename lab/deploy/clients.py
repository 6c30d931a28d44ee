"""boto3 clients of the lab's endpoints, made once and early: the first ones cost tens of milliseconds each."""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.config import Config

from lab.core.topology import Topology

REGIONAL_SERVICES = ("dynamodb", "lambda", "apigateway")
GLOBAL_SERVICES = ("iam", "route53")
GLOBAL_REGION = "us-east-1"


class Clients:
    """Clients by region and service; region None is the global endpoint."""

    def __init__(self, topology: Topology) -> None:
        session = botocore.session.Session()
        # Nothing of the host's AWS configuration may leak into the lab, nor the lab's calls out of it.
        session.set_config_variable("config_file", "/dev/null")
        session.set_config_variable("credentials_file", "/dev/null")
        session.set_credentials("test", "test")
        config = Config(
            connect_timeout=2,
            read_timeout=60,
            retries={"total_max_attempts": 4, "mode": "standard"},
            proxies={},
            s3={"addressing_style": "path"},
            parameter_validation=False,
            max_pool_connections=4,
        )

        def client(service: str, region: str, address: str) -> Any:
            return session.create_client(
                service, region_name=region, endpoint_url=topology.url(address, topology.aws_port), config=config
            )

        self._clients: dict[tuple[str | None, str], Any] = {}
        for service in GLOBAL_SERVICES:
            self._clients[None, service] = client(service, GLOBAL_REGION, topology.global_address)
        for service in REGIONAL_SERVICES:
            for region in topology.regions:
                self._clients[region.code, service] = client(service, region.code, region.address)

    def get(self, region: str | None, service: str) -> Any:
        """The client of a service in a region, or of a global service."""
        return self._clients[region, service]


def error_code(error: Exception) -> str:
    """The AWS error code of a botocore ClientError."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
