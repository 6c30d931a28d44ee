"""API Gateway's methods, their integrations and the responses of both.

https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethod.html. Authorizers and keys are refused where they would
have to act; method and integration responses are stored, because a Lambda proxy ignores them as AWS does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.control.apigateway import patch
from lab.control.apigateway.integration import integration_of
from lab.control.apigateway.records import Api, ApiResource
from lab.control.apigateway.state import ApiGatewayState
from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call

HTTP_METHODS = ("ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


class MethodsPlane:
    """Operations on methods and integrations. Structures are kept as the API shows them."""

    def __init__(self, state: ApiGatewayState) -> None:
        self._state = state

    def put_method(self, call: Call) -> dict[str, Any]:
        api, resource = self._state.resource(call)
        given = call.parameters
        name = given["httpMethod"]
        if name not in HTTP_METHODS:
            raise AwsError(
                "BadRequestException", "Invalid HttpMethod specified. Valid options are " + ",".join(HTTP_METHODS)
            )
        if name in resource.methods:
            raise AwsError("ConflictException", "Method already exists for this resource")
        if given["authorizationType"] in ("CUSTOM", "COGNITO_USER_POOLS"):
            raise not_implemented("apigateway", call.operation, "authorizers; use NONE")
        kept = ("operationName", "requestParameters", "requestModels", "requestValidatorId", "authorizationScopes")
        method = {
            "httpMethod": name,
            "authorizationType": given["authorizationType"],
            "apiKeyRequired": given.get("apiKeyRequired", False),
            **{member: given[member] for member in kept if member in given},
        }
        self._keep(api, resource, name, method)
        return method

    def get_method(self, call: Call) -> dict[str, Any]:
        return self._method(call)[2]

    def update_method(self, call: Call) -> dict[str, Any]:
        api, resource, method = self._method(call)
        changed = patch.apply(
            call.parameters.get("patchOperations", []),
            {
                "/authorizationType": ("authorizationType", patch.text),
                "/apiKeyRequired": ("apiKeyRequired", patch.flag),
                "/operationName": ("operationName", patch.text),
                "/requestValidatorId": ("requestValidatorId", patch.text),
            },
        )
        method = {**method, **changed}
        self._keep(api, resource, method["httpMethod"], method)
        return method

    def delete_method(self, call: Call) -> dict[str, Any]:
        api, resource, method = self._method(call)
        self._keep(api, resource, method["httpMethod"], None)
        return {}

    # integrations

    def put_integration(self, call: Call) -> dict[str, Any]:
        api, resource, method = self._method(call)
        integration = integration_of(call.parameters, call.region, resource.resource_id)
        self._keep(api, resource, method["httpMethod"], {**method, "methodIntegration": integration})
        return integration

    def get_integration(self, call: Call) -> dict[str, Any]:
        return self._integration(call)[3]

    def update_integration(self, call: Call) -> dict[str, Any]:
        api, resource, method, integration = self._integration(call)
        changed = patch.apply(
            call.parameters.get("patchOperations", []),
            {
                "/uri": ("uri", patch.text),
                "/timeoutInMillis": ("timeoutInMillis", patch.number),
                "/passthroughBehavior": ("passthroughBehavior", patch.text),
                "/contentHandling": ("contentHandling", patch.text),
                "/credentials": ("credentials", patch.text),
                "/httpMethod": ("httpMethod", patch.text),
            },
        )
        wanted = {**integration, **changed}
        wanted["integrationHttpMethod"] = wanted["httpMethod"]
        updated = integration_of(wanted, call.region, resource.resource_id)
        if "integrationResponses" in integration:
            updated["integrationResponses"] = integration["integrationResponses"]
        self._keep(api, resource, method["httpMethod"], {**method, "methodIntegration": updated})
        return updated

    def delete_integration(self, call: Call) -> dict[str, Any]:
        api, resource, method, _ = self._integration(call)
        left = {name: value for name, value in method.items() if name != "methodIntegration"}
        self._keep(api, resource, method["httpMethod"], left)
        return {}

    # responses

    def put_method_response(self, call: Call) -> dict[str, Any]:
        api, resource, method = self._method(call)
        response = _members(call, "statusCode", "responseParameters", "responseModels")
        responses = {**method.get("methodResponses", {}), response["statusCode"]: response}
        if response["statusCode"] in method.get("methodResponses", {}):
            raise AwsError("ConflictException", "Response already exists for this resource")
        self._keep(api, resource, method["httpMethod"], {**method, "methodResponses": responses})
        return response

    def get_method_response(self, call: Call) -> dict[str, Any]:
        return _response(self._method(call)[2].get("methodResponses", {}), call)

    def delete_method_response(self, call: Call) -> dict[str, Any]:
        api, resource, method = self._method(call)
        _response(method.get("methodResponses", {}), call)
        left = {code: r for code, r in method["methodResponses"].items() if code != call.parameters["statusCode"]}
        self._keep(api, resource, method["httpMethod"], {**method, "methodResponses": left})
        return {}

    def put_integration_response(self, call: Call) -> dict[str, Any]:
        api, resource, method, integration = self._integration(call)
        response = _members(
            call, "statusCode", "selectionPattern", "responseParameters", "responseTemplates", "contentHandling"
        )
        responses = {**integration.get("integrationResponses", {}), response["statusCode"]: response}
        updated = {**integration, "integrationResponses": responses}
        self._keep(api, resource, method["httpMethod"], {**method, "methodIntegration": updated})
        return response

    def get_integration_response(self, call: Call) -> dict[str, Any]:
        return _response(self._integration(call)[3].get("integrationResponses", {}), call)

    def delete_integration_response(self, call: Call) -> dict[str, Any]:
        api, resource, method, integration = self._integration(call)
        responses = integration.get("integrationResponses", {})
        _response(responses, call)
        left = {code: r for code, r in responses.items() if code != call.parameters["statusCode"]}
        updated = {**integration, "integrationResponses": left}
        self._keep(api, resource, method["httpMethod"], {**method, "methodIntegration": updated})
        return {}

    def _method(self, call: Call) -> tuple[Api, ApiResource, dict[str, Any]]:
        api, resource = self._state.resource(call)
        method = resource.methods.get(call.parameters["httpMethod"])
        if method is None:
            raise AwsError("NotFoundException", "Invalid Method identifier specified")
        return api, resource, method

    def _integration(self, call: Call) -> tuple[Api, ApiResource, dict[str, Any], dict[str, Any]]:
        api, resource, method = self._method(call)
        integration = method.get("methodIntegration")
        if integration is None:
            raise AwsError("NotFoundException", "Invalid Integration identifier specified")
        return api, resource, method, integration

    def _keep(self, api: Api, resource: ApiResource, name: str, method: dict[str, Any] | None) -> None:
        methods = {key: value for key, value in resource.methods.items() if key != name}
        if method is not None:
            methods[name] = method
        updated = replace(resource, methods=methods)
        self._state.keep_api(replace(api, resources=tuple(updated if r == resource else r for r in api.resources)))


def _members(call: Call, *names: str) -> dict[str, Any]:
    return {name: call.parameters[name] for name in names if name in call.parameters}


def _response(responses: dict[str, Any], call: Call) -> dict[str, Any]:
    found: dict[str, Any] | None = responses.get(call.parameters["statusCode"])
    if found is None:
        raise AwsError("NotFoundException", "Invalid Response status code specified")
    return found
