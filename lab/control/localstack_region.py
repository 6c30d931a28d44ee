"""Keeps the functions and APIs of one LocalStack region as control's records say: Lambda and API Gateway run there.

Control's own planes answer the APIs of both services and keep the records; here each change is carried into the region
before the caller hears of it, and all of them again into a region that comes back empty. An API keeps its id
(LocalStack's tag `_custom_id_`), a stage is a deployment of its own OpenAPI document.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-swagger-extensions-integration.html
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import orjson

from lab.core.function import Function
from lab.core.rest_api import Method, RestApi, Stage
from lab.core.topology import ACCOUNT_ID
from lab.live.http_client import HttpClient
from lab.live.http_message import Response

CALL_LIMIT_S = 30.0
ACTIVE_LIMIT_S = 30.0
POLL_S = 0.05

ReadPackage = Callable[[Function], bytes | None]


class RegionRefused(Exception):
    """The region did not take a change."""


class LocalStackRegion:
    """One region. `package` reads a function's zip."""

    def __init__(self, region: str, client: HttpClient, package: ReadPackage) -> None:
        self._region, self._client, self._package = region, client, package
        self._functions: dict[str, Function] = {}
        self._apis: dict[str, RestApi] = {}
        self._changing = asyncio.Lock()

    def forget(self) -> None:
        """The region may be empty."""
        self._functions.clear()
        self._apis.clear()

    async def keep(self, functions: tuple[Function, ...], apis: tuple[RestApi, ...]) -> None:
        """Make the region as these say; they may be those of all regions. Raises RegionRefused, CallFailed."""
        wanted = {f.name: f for f in functions if f.region == self._region}
        wanted_apis = {a.api_id: a for a in apis if a.region == self._region and a.stages}
        async with self._changing:
            for name in self._functions.keys() - wanted.keys():
                await self._call("lambda", "DELETE", f"/2015-03-31/functions/{quote(name)}", None, 404)
                del self._functions[name]
            changed = [f for name, f in wanted.items() if _runs_alike(self._functions.get(name)) != _runs_alike(f)]
            await asyncio.gather(*(self._keep_function(function) for function in changed))
            for api_id in self._apis.keys() - wanted_apis.keys():
                await self._call("apigateway", "DELETE", f"/restapis/{api_id}", None, 404)
                del self._apis[api_id]
            for api_id, api in wanted_apis.items():
                if self._apis.get(api_id) != api:
                    await self._keep_api(api)
                    self._apis[api_id] = api

    # functions

    async def _keep_function(self, function: Function) -> None:
        name = quote(function.name)
        settings = {
            "Role": function.role,
            "Handler": function.handler,
            "Runtime": function.runtime,
            "Timeout": function.timeout_s,
            "MemorySize": function.memory_mb,
            "Environment": {"Variables": function.environment},
        }
        data = self._package(function)
        if data is None:
            raise RegionRefused(f"{function.name}: its package is gone")
        package = base64.b64encode(data).decode()
        held = self._functions.get(function.name)
        if held is None:
            body = {"FunctionName": function.name, "Code": {"ZipFile": package}, "PackageType": "Zip", **settings}
            created = await self._call("lambda", "POST", "/2015-03-31/functions", body, 409)
            await self._active(name)
            exists = created.status == 409  # an earlier control made it
        else:
            exists = True
        if exists:
            code_changed = held is None or held.code_sha256 != function.code_sha256
            if code_changed:
                await self._call("lambda", "PUT", f"/2015-03-31/functions/{name}/code", {"ZipFile": package})
                await self._active(name)
            await self._call("lambda", "PUT", f"/2015-03-31/functions/{name}/configuration", settings)
            await self._active(name)
        await self._reserve(function, name)
        self._functions[function.name] = function

    async def _reserve(self, function: Function, name: str) -> None:
        path = f"/2017-10-31/functions/{name}/concurrency"
        if function.reserved_concurrency is not None:
            await self._call("lambda", "PUT", path, {"ReservedConcurrentExecutions": function.reserved_concurrency})
        elif function.name in self._functions:
            await self._call("lambda", "DELETE", path, None)

    async def _active(self, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + ACTIVE_LIMIT_S
        while True:
            answer = await self._call("lambda", "GET", f"/2015-03-31/functions/{name}/configuration", None)
            found = orjson.loads(answer.body)
            if found.get("State") == "Active" and found.get("LastUpdateStatus") in (None, "Successful"):
                return
            if found.get("State") == "Failed" or found.get("LastUpdateStatus") == "Failed":
                raise RegionRefused(f"{name}: {found.get('StateReason') or found.get('LastUpdateStatusReason')}")
            if asyncio.get_running_loop().time() > deadline:
                raise RegionRefused(f"{name} is not active after {ACTIVE_LIMIT_S:g} s: {found.get('State')}")
            await asyncio.sleep(POLL_S)

    # APIs

    async def _keep_api(self, api: RestApi) -> None:
        if api.api_id not in self._apis:
            found = await self._call("apigateway", "GET", f"/restapis/{api.api_id}", None, 404)
            if found.status == 404:
                body = {
                    "name": api.name,
                    "tags": {"_custom_id_": api.api_id},
                    "binaryMediaTypes": list(api.binary_media_types),
                }
                await self._call("apigateway", "POST", "/restapis", body)
        for stage in api.stages:
            document = openapi(api, stage)
            await self._call("apigateway", "PUT", f"/restapis/{api.api_id}?mode=overwrite", document)
            body = {"stageName": stage.name, "variables": stage.variables}
            await self._call("apigateway", "POST", f"/restapis/{api.api_id}/deployments", body)

    async def _call(
        self, service: str, method: str, target: str, body: dict[str, Any] | None, *accepted: int
    ) -> Response:
        scope = f"{ACCOUNT_ID}/20260101/{self._region}/{service}/aws4_request"
        headers = [
            ("Authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            ("Content-Type", "application/json"),
        ]
        data = b"" if body is None else orjson.dumps(body)
        response = await self._client.call(method, target, headers, data, timeout_s=CALL_LIMIT_S)
        if response.status >= 300 and response.status not in accepted:
            text = response.body[:500].decode(errors="replace")
            raise RegionRefused(f"{self._region}: {service} {method} {target} answered {response.status}: {text}")
        return response


def openapi(api: RestApi, stage: Stage) -> dict[str, Any]:
    """The OpenAPI document of a stage's resources with their Lambda proxy integrations."""
    paths: dict[str, dict[str, Any]] = {}
    for resource in stage.resources:
        for method in resource.methods:
            verb = "x-amazon-apigateway-any-method" if method.http_method == "ANY" else method.http_method.lower()
            paths.setdefault(resource.path, {})[verb] = {
                "responses": {},
                "x-amazon-apigateway-integration": _integration(api.region, method),
            }
    document: dict[str, Any] = {"openapi": "3.0.1", "info": {"title": api.name, "version": "1"}, "paths": paths}
    if api.binary_media_types:
        document["x-amazon-apigateway-binary-media-types"] = list(api.binary_media_types)
    return document


def _integration(region: str, method: Method) -> dict[str, Any]:
    function = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{method.function_name}"
    return {
        "type": "aws_proxy",
        "httpMethod": "POST",
        "uri": f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations",
        "passthroughBehavior": "when_no_match",
        "timeoutInMillis": method.timeout_ms,
    }


def _runs_alike(function: Function | None) -> tuple[object, ...] | None:
    """What of a function the region must know: permissions, tags and times are control's alone."""
    if function is None:
        return None
    return (
        function.handler,
        function.runtime,
        function.role,
        function.code_sha256,
        function.timeout_s,
        function.memory_mb,
        tuple(sorted(function.environment.items())),
        function.reserved_concurrency,
    )
