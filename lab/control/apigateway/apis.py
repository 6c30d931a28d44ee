"""API Gateway's REST APIs and their resources.

https://docs.aws.amazon.com/apigateway/latest/api/API_Operations.html. A definition can be imported from OpenAPI with
`x-amazon-apigateway-integration` of type aws_proxy (`openapi`). There are no models, authorizers, keys or usage plans.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.control.apigateway import openapi, patch
from lab.control.apigateway.records import Api, ApiResource
from lab.control.apigateway.state import ApiGatewayState, page, when
from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.live.clock import now_ms


class ApisPlane:
    """Operations on APIs and resources."""

    def __init__(self, state: ApiGatewayState) -> None:
        self._state = state

    # APIs

    def create_rest_api(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        if given.get("cloneFrom"):
            raise not_implemented("apigateway", call.operation, "cloneFrom")
        endpoint_types = tuple(given.get("endpointConfiguration", {}).get("types") or ("EDGE",))
        if "PRIVATE" in endpoint_types:
            raise not_implemented("apigateway", call.operation, "private APIs")
        api = Api(
            region=call.region,
            api_id=self._state.new_id(10),
            name=given["name"],
            created_ms=now_ms(),
            resources=(ApiResource(self._state.new_id(10), "/", ""),),
            description=given.get("description", ""),
            version=given.get("version"),
            binary_media_types=tuple(given.get("binaryMediaTypes", ())),
            disable_execute_api_endpoint=given.get("disableExecuteApiEndpoint", False),
            endpoint_types=endpoint_types,
            api_key_source=given.get("apiKeySource", "HEADER"),
            minimum_compression_size=given.get("minimumCompressionSize"),
            policy=given.get("policy"),
            tags=given.get("tags", {}),
        )
        self._state.keep_api(api)
        return _rest_api(api)

    def import_rest_api(self, call: Call) -> dict[str, Any]:
        definition = openapi.read(call.parameters.get("body", b""))
        blank = Api(
            region=call.region,
            api_id=self._state.new_id(10),
            name=definition.title,
            created_ms=now_ms(),
            resources=(ApiResource(self._state.new_id(10), "/", ""),),
            description=definition.description,
        )
        api = replace(blank, **openapi.merged(blank, definition, self._state.new_id))
        self._state.keep_api(api)
        return _rest_api(api)

    def put_rest_api(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        definition = openapi.read(call.parameters.get("body", b""))
        if call.parameters.get("mode", "merge") == "overwrite":
            root = next(resource for resource in api.resources if resource.parent_id is None)
            api = replace(api, name=definition.title, resources=(replace(root, methods={}),))
        api = replace(api, **openapi.merged(api, definition, self._state.new_id))
        self._state.keep_api(api)
        return _rest_api(api)

    def get_rest_api(self, call: Call) -> dict[str, Any]:
        return _rest_api(self._state.api(call))

    def get_rest_apis(self, call: Call) -> dict[str, Any]:
        return page([_rest_api(api) for api in self._state.apis_of(call.region)], call)

    def update_rest_api(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        media_types = list(api.binary_media_types)
        changed = patch.apply(
            call.parameters.get("patchOperations", []),
            {
                "/name": ("name", patch.text),
                "/description": ("description", patch.text),
                "/disableExecuteApiEndpoint": ("disable_execute_api_endpoint", patch.flag),
                "/minimumCompressionSize": ("minimum_compression_size", patch.number),
                "/apiKeySource": ("api_key_source", patch.text),
                "/policy": ("policy", patch.text),
                "/endpointConfiguration/types/0": ("endpoint_types", lambda value: (patch.text(value),)),
                "/endpointConfiguration/types/EDGE": ("endpoint_types", lambda value: (patch.text(value),)),
                "/endpointConfiguration/types/REGIONAL": ("endpoint_types", lambda value: (patch.text(value),)),
            },
            sets={"binaryMediaTypes": media_types},
        )
        api = replace(api, binary_media_types=tuple(media_types), **changed)
        self._state.keep_api(api)
        return _rest_api(api)

    def delete_rest_api(self, call: Call) -> dict[str, Any]:
        api = self._state.api(call)
        for domain in self._state.domains_of(call.region):
            if any(mapping.api_id == api.api_id for mapping in domain.mappings):
                raise AwsError(
                    "BadRequestException",
                    "Please remove all base path mappings related to the API in your domains first "
                    f"({domain.domain_name})",
                )
        self._state.drop_api(api)
        return {}

    # resources

    def create_resource(self, call: Call) -> dict[str, Any]:
        api, parent = self._state.resource(call, "parentId")
        part = call.parameters["pathPart"]
        _check_path_part(part)
        path = f"{parent.path.rstrip('/')}/{part}"
        siblings = [resource for resource in api.resources if resource.parent_id == parent.resource_id]
        if any(resource.path_part == part for resource in siblings):
            raise AwsError("ConflictException", "Another resource with the same parent already has this name: " + part)
        if parent.path_part.endswith("+}"):
            raise AwsError(
                "BadRequestException", f"Cannot create a child of a resource with a greedy path variable: {path}"
            )
        if part.startswith("{") and any(resource.path_part.startswith("{") for resource in siblings):
            taken = next(resource for resource in siblings if resource.path_part.startswith("{"))
            raise AwsError(
                "BadRequestException",
                f"A sibling ({taken.path_part}) of this resource already has a variable path part",
            )
        resource = ApiResource(self._state.new_id(6), path, part, parent.resource_id)
        self._state.keep_api(replace(api, resources=(*api.resources, resource)))
        return _resource(resource)

    def get_resource(self, call: Call) -> dict[str, Any]:
        return _resource(self._state.resource(call)[1])

    def get_resources(self, call: Call) -> dict[str, Any]:
        resources = sorted(self._state.api(call).resources, key=lambda resource: resource.path)
        return page([_resource(resource) for resource in resources], call)

    def update_resource(self, call: Call) -> dict[str, Any]:
        api, resource = self._state.resource(call)
        changed = patch.apply(call.parameters.get("patchOperations", []), {"/pathPart": ("path_part", patch.text)})
        part = changed.get("path_part", resource.path_part)
        if resource.parent_id is None:
            raise AwsError("BadRequestException", "Root resource cannot be changed")
        _check_path_part(part)
        parent_path = resource.path.rpartition("/")[0]
        moved = f"{parent_path}/{part}"

        def renamed(other: ApiResource) -> ApiResource:
            if other.resource_id == resource.resource_id:
                return replace(other, path=moved, path_part=part)
            if other.path.startswith(resource.path + "/"):
                return replace(other, path=moved + other.path[len(resource.path) :])
            return other

        api = replace(api, resources=tuple(renamed(other) for other in api.resources))
        self._state.keep_api(api)
        return _resource(next(r for r in api.resources if r.resource_id == resource.resource_id))

    def delete_resource(self, call: Call) -> dict[str, Any]:
        api, resource = self._state.resource(call)
        if resource.parent_id is None:
            raise AwsError("BadRequestException", "Root resource cannot be deleted")
        gone = resource.path + "/"
        left = tuple(r for r in api.resources if r != resource and not r.path.startswith(gone))
        self._state.keep_api(replace(api, resources=left))
        return {}

    # the account

    def get_account(self, call: Call) -> dict[str, Any]:
        return {"throttleSettings": {"burstLimit": 5000, "rateLimit": 10_000.0}, "features": ["UsagePlans"]}


def _check_path_part(part: str) -> None:
    inner = part[1:-1].removesuffix("+") if part.startswith("{") and part.endswith("}") else part
    if not inner or not all(letter.isalnum() or letter in "-._~:,$" for letter in inner):
        raise AwsError(
            "BadRequestException",
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the "
            "beginning and the end.",
        )


def _rest_api(api: Api) -> dict[str, Any]:
    return {
        "id": api.api_id,
        "name": api.name,
        "description": api.description or None,
        "createdDate": when(api.created_ms),
        "version": api.version,
        "binaryMediaTypes": list(api.binary_media_types) or None,
        "minimumCompressionSize": api.minimum_compression_size,
        "apiKeySource": api.api_key_source,
        "endpointConfiguration": {"types": list(api.endpoint_types), "ipAddressType": "ipv4"},
        "policy": api.policy or None,
        "tags": dict(api.tags) or None,
        "disableExecuteApiEndpoint": api.disable_execute_api_endpoint,
        "rootResourceId": next(r.resource_id for r in api.resources if r.parent_id is None),
        "apiStatus": "AVAILABLE",
    }


def _resource(resource: ApiResource) -> dict[str, Any]:
    return {
        "id": resource.resource_id,
        "parentId": resource.parent_id,
        "pathPart": resource.path_part or None,
        "path": resource.path,
        "resourceMethods": dict(resource.methods) or None,
    }
