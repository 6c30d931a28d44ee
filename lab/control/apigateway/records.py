"""What API Gateway's control plane keeps: REST APIs as they are edited, their deployments and stages, domain names.

What the data planes need of it is made from the deployments (`lab.core.rest_api`). Parts that the lab stores and does
not act on (method responses, models' names, descriptions) are kept in the API's own JSON shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.core.rest_api import BasePathMapping, Resource


@dataclass(frozen=True)
class ApiResource:
    """One resource while it is edited. `methods` maps an HTTP method to the API's `Method` structure."""

    resource_id: str
    path: str
    path_part: str
    parent_id: str | None = None
    methods: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """A snapshot of the resources with their integrations, as the data plane wants them."""

    deployment_id: str
    created_ms: int
    resources: tuple[Resource, ...]
    description: str = ""


@dataclass(frozen=True)
class ApiStage:
    """One stage. `settings` holds members of the `Stage` structure that the lab stores only."""

    name: str
    deployment_id: str
    created_ms: int
    updated_ms: int
    variables: dict[str, str] = field(default_factory=dict)
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Api:
    """One REST API of one region."""

    region: str
    api_id: str
    name: str
    created_ms: int
    resources: tuple[ApiResource, ...]
    deployments: tuple[Deployment, ...] = ()
    stages: tuple[ApiStage, ...] = ()
    description: str = ""
    version: str | None = None
    binary_media_types: tuple[str, ...] = ()
    disable_execute_api_endpoint: bool = False
    endpoint_types: tuple[str, ...] = ("REGIONAL",)
    api_key_source: str = "HEADER"
    minimum_compression_size: int | None = None
    policy: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """One regional custom domain name."""

    region: str
    domain_name: str
    regional_domain_name: str
    regional_hosted_zone_id: str
    created_ms: int
    mappings: tuple[BasePathMapping, ...] = ()
    certificate_arn: str | None = None
    certificate_name: str | None = None
    security_policy: str = "TLS_1_2"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiGatewayRecords:
    """Everything, of all regions."""

    apis: tuple[Api, ...] = ()
    domains: tuple[Domain, ...] = ()
