"""API Gateway REST APIs as deployed to stages, and custom domain names: what the fronts' data planes route by."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Method:
    """One method of a resource, with an AWS_PROXY integration. `http_method` may be "ANY"; `timeout_ms` 50 to 29000."""

    http_method: str
    function_name: str
    timeout_ms: int = 29_000


@dataclass(frozen=True)
class Resource:
    """One resource; `path` as in the API ("/feedback/{id}", "/{proxy+}")."""

    resource_id: str
    path: str
    methods: tuple[Method, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage with the resources as they were when its deployment was made."""

    name: str
    deployment_id: str
    resources: tuple[Resource, ...]
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RestApi:
    """One REST API in one region."""

    region: str
    api_id: str
    name: str
    stages: tuple[Stage, ...] = ()
    binary_media_types: tuple[str, ...] = ()
    disable_execute_api_endpoint: bool = False


@dataclass(frozen=True)
class BasePathMapping:
    """`base_path` is "(none)" for the root, as in AWS's API."""

    base_path: str
    api_id: str
    stage: str


@dataclass(frozen=True)
class DomainName:
    """One regional custom domain name in one region."""

    region: str
    domain_name: str
    regional_domain_name: str
    regional_hosted_zone_id: str
    mappings: tuple[BasePathMapping, ...] = ()


@dataclass(frozen=True)
class RestApis:
    """The document `apis`: those of all regions."""

    apis: tuple[RestApi, ...] = ()
    domain_names: tuple[DomainName, ...] = ()


def execute_api_host(api_id: str, region: str) -> str:
    """An API's default host name."""
    return f"{api_id}.execute-api.{region}.amazonaws.com"
