"""REST APIs from OpenAPI 3 and Swagger 2 definitions in JSON, as PutRestApi and ImportRestApi take them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-integration.html. Read are
paths, methods, `x-amazon-apigateway-any-method`, `x-amazon-apigateway-integration` (aws_proxy) and
`x-amazon-apigateway-binary-media-types`; the rest of a definition is ignored. YAML is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from lab.control.apigateway.integration import integration_of
from lab.control.apigateway.records import Api, ApiResource
from lab.control.aws_error import AwsError

_VERBS = {verb: verb.upper() for verb in ("get", "put", "post", "delete", "options", "head", "patch")}
_VERBS["x-amazon-apigateway-any-method"] = "ANY"


@dataclass(frozen=True)
class Definition:
    """What the lab reads of a definition: methods by path, each with its integration's JSON."""

    title: str
    description: str
    paths: dict[str, dict[str, dict[str, Any]]]
    binary_media_types: tuple[str, ...]


def read(body: bytes) -> Definition:
    """A definition from its JSON. Raises AwsError."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AwsError(
            "BadRequestException", f"Invalid OpenAPI input: it is not JSON ({error}); the lab does not read YAML"
        ) from error
    if not isinstance(value, dict) or not isinstance(value.get("paths"), dict):
        raise AwsError("BadRequestException", "Invalid OpenAPI input: expected an object with `paths`")
    info = value.get("info") if isinstance(value.get("info"), dict) else {}
    assert isinstance(info, dict)
    paths: dict[str, dict[str, dict[str, Any]]] = {}
    for path, item in value["paths"].items():
        if not path.startswith("/") or not isinstance(item, dict):
            raise AwsError("BadRequestException", f"Invalid OpenAPI input: the path {path!r} must start with a slash")
        paths[path] = {}
        for verb, operation in item.items():
            if verb in _VERBS and isinstance(operation, dict):
                paths[path][_VERBS[verb]] = operation
    binary = value.get("x-amazon-apigateway-binary-media-types", [])
    return Definition(str(info.get("title", "")), str(info.get("description", "")), paths, tuple(binary))


def merged(api: Api, definition: Definition, new_id: Callable[[int], str]) -> dict[str, Any]:
    """The fields of `api` that change when a definition is merged into it. Raises AwsError."""
    by_path = {resource.path: resource for resource in api.resources}
    for path, methods in definition.paths.items():
        resource = _resource(by_path, path, new_id)
        kept = dict(resource.methods)
        for verb, operation in methods.items():
            kept[verb] = _method(verb, operation, api.region, resource.resource_id, path)
        by_path[resource.path] = replace(resource, methods=kept)
    fields: dict[str, Any] = {"resources": tuple(by_path.values())}
    if definition.binary_media_types:
        fields["binary_media_types"] = definition.binary_media_types
    return fields


def _resource(by_path: dict[str, ApiResource], path: str, new_id: Callable[[int], str]) -> ApiResource:
    path = path.rstrip("/") or "/"
    if path in by_path:
        return by_path[path]
    head, _, part = path.rpartition("/")
    parent = _resource(by_path, head or "/", new_id)
    made = ApiResource(new_id(6), path, part, parent.resource_id)
    by_path[path] = made
    return made


def _method(verb: str, operation: dict[str, Any], region: str, resource_id: str, path: str) -> dict[str, Any]:
    method: dict[str, Any] = {"httpMethod": verb, "authorizationType": "NONE", "apiKeyRequired": False}
    integration = operation.get("x-amazon-apigateway-integration")
    if isinstance(integration, dict):
        given = {
            "type": str(integration.get("type", "")).upper(),
            "integrationHttpMethod": integration.get("httpMethod", "POST"),
            "uri": integration.get("uri"),
            "timeoutInMillis": integration.get("timeoutInMillis", 29_000),
        }
        try:
            method["methodIntegration"] = integration_of(given, region, resource_id)
        except AwsError as error:
            raise AwsError(error.code, f"Errors found during import: {verb} {path}: {error.message}") from error
    return method
