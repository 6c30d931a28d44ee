"""API Gateway's data plane of one region: from an HTTP request to a function and back.

Routes, events and what an answer means are decided in `lab.core.api_gateway_*`; this file reads the documents, invokes
and times. Load balancers, which share the port, are asked through `LoadBalancing`.
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol
from urllib.parse import urlsplit

import orjson

from lab.core.api_gateway_error import (
    BAD_INTEGRATION_ANSWER,
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    EVENT_TOO_LARGE,
    FORBIDDEN,
    HEADERS_TOO_LARGE,
    INTEGRATION_TIMEOUT,
    INVOCATION_REFUSED,
    URL_TOO_LONG,
    GatewayError,
)
from lab.core.api_gateway_event import (
    MAX_HEADER_BYTES,
    MAX_URL_CHARACTERS,
    ApiRequest,
    RequestIds,
    proxy_event,
    request_ids,
    trace_header,
)
from lab.core.api_gateway_permission import may_invoke, source_arn
from lab.core.api_gateway_response import Malformed, judge_answer
from lab.core.api_gateway_route import RegionApis, RouteMatch, StageMatch, route
from lab.core.aws_error import AwsError
from lab.core.forgery import host_name
from lab.core.function import Function, Functions
from lab.core.lambda_errors import InvokeError, RequestTooLarge, TooManyRequests
from lab.core.rest_api import RestApis
from lab.core.topology import Topology
from lab.live.clock import HANDLER_FLOOR_S, Clock, now_ms
from lab.live.deadlines import Deadlines
from lab.live.documents import DocumentStore
from lab.live.front.injected_fault import InjectedFaults
from lab.live.front.s3_website import Websites
from lab.live.functions import Invocation
from lab.live.functions.invoke_api import Invokes
from lab.live.http_message import Request, Response
from lab.live.http_server import Handler

HEALTH_PATHS = ("/ping", "/sping")
"""Answered by API Gateway itself on custom domains.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html"""
_REFUSALS = {error.status: error for error in (CONTENT_TOO_LARGE, URL_TOO_LONG, HEADERS_TOO_LARGE)}


class LoadBalancing(Protocol):
    """Who else answers on the data plane's port."""

    def handler_for(self, region: str, host: str) -> Handler | None:
        """The handler of a load balancer's name, if it is one of this region."""


class DataPlane:
    """The REST APIs of one region."""

    def __init__(
        self,
        topology: Topology,
        region: str,
        store: DocumentStore,
        functions: Invokes,
        faults: InjectedFaults,
        clock: Clock,
    ) -> None:
        self._topology, self._region, self._store = topology, region, store
        self._functions, self._faults, self._clock = functions, faults, clock
        self._rng = random.Random(f"{topology.seed}:front:{region}:{now_ms()}")
        self._deadlines = Deadlines()
        self._permissions: dict[tuple[str, str, str, str, str], bool] = {}
        self.load_balancing: LoadBalancing | None = None
        self.websites: Websites | None = None
        store.watch(RestApis, self._take_apis)
        store.watch(Functions, self._take_functions)
        self._take_apis()
        self._take_functions()

    def _take_apis(self) -> None:
        self._apis = RegionApis(self._store.get(RestApis), self._region)

    def _take_functions(self) -> None:
        functions = self._store.get(Functions).functions
        self._deployed: dict[str, Function] = {f.name: f for f in functions if f.region == self._region}
        self._permissions.clear()

    async def answer(self, request: Request) -> Response | None:
        """Answer a request to the data plane's port, by its Host."""
        host = request.header("host")
        if not request.target.startswith("/"):
            target = urlsplit(request.target)  # as sent to a proxy
            if not target.netloc:
                return error_response(BAD_REQUEST, self._ids())
            host, request.target = target.netloc, request.target.partition(target.netloc)[2] or "/"
            if not request.target.startswith("/"):
                request.target = "/" + request.target
        if not host or sum(name.lower() == "host" for name, _ in request.headers) > 1:
            return error_response(BAD_REQUEST if host is None else FORBIDDEN, self._ids())
        host = host_name(host)
        if self.load_balancing is not None:
            handler = self.load_balancing.handler_for(self._region, host)
            if handler is not None:
                return await handler(request)
        stage = self._apis.by_host(host, request.path)
        if self.websites is not None and isinstance(stage, GatewayError):
            bucket = self.websites.bucket_of(host)
            if bucket is not None:
                return await self.websites.answer(bucket, request)
        if request.path in HEALTH_PATHS and self._apis.has_domain(host):
            return Response(200, [("Content-Type", "text/plain")], b"Healthy Connection")
        return await self._with_faults(stage, request)

    async def answer_path_form(self, api_id: str, stage: str, path: str, request: Request) -> Response | None:
        """Answer a request that names API and stage in its path; `path` is what follows, percent-encoded."""
        return await self._with_faults(self._apis.by_id(api_id, stage, path), request)

    async def _with_faults(self, stage: StageMatch | GatewayError, request: Request) -> Response | None:
        ids = self._ids()
        if not self._faults.active:
            return await self._answer(stage, request, ids)
        return await self._faults.around(
            "execute-api",
            "Invoke",
            lambda: self._answer(stage, request, ids),
            lambda error: _injected(error, ids),
        )

    def _ids(self) -> RequestIds:
        return request_ids(now_ms(), self._rng)

    def _way(self, stage: StageMatch | GatewayError, request: Request) -> RouteMatch | GatewayError:
        """Where a request goes, if the function behind it may be invoked from there."""
        if isinstance(stage, GatewayError):
            return stage
        if len("http://") + len(request.header("host") or "") + len(request.target) > MAX_URL_CHARACTERS:
            return URL_TOO_LONG
        if sum(len(name) + len(value) for name, value in request.headers) > MAX_HEADER_BYTES:
            return HEADERS_TOO_LARGE
        match = route(stage, request.method)
        return match if isinstance(match, GatewayError) or self._permitted(match) else INVOCATION_REFUSED

    def _api_request(self, request: Request) -> ApiRequest:
        peer = request.peer or ("127.0.0.1", 0)
        port = request.local[1] if request.local is not None else self._topology.http_port
        return ApiRequest(
            request.method, request.query, request.headers, request.body, peer[0], port, request.http_version
        )

    async def _answer(self, stage: StageMatch | GatewayError, request: Request, ids: RequestIds) -> Response | None:
        match = self._way(stage, request)
        if isinstance(match, GatewayError):
            return error_response(match, ids)
        event = orjson.dumps(proxy_event(self._api_request(request), match, ids, now_ms()))
        trace = trace_header(request.headers, ids)
        outcome = await self._invoke(match, event, trace)
        if isinstance(outcome, GatewayError):
            return error_response(outcome, ids)
        judged = judge_answer(
            outcome.payload,
            function_error=outcome.function_error is not None,
            binary_media_types=match.stage.api.binary_media_types,
            accept=request.header("accept") or "",
        )
        if isinstance(judged, Malformed):
            return error_response(BAD_INTEGRATION_ANSWER, ids)
        return Response(
            judged.status,
            [
                *judged.headers,
                ("x-amzn-RequestId", ids.request_id),
                ("x-amz-apigw-id", ids.extended_request_id),
                ("X-Amzn-Trace-Id", trace),
            ],
            judged.body,
        )

    def _permitted(self, match: RouteMatch) -> bool:
        method, stage = match.method.http_method, match.stage
        asked = (match.function_name, stage.api.api_id, stage.stage.name, method, match.resource.path)
        permitted = self._permissions.get(asked)  # the same few for all requests, until functions change
        if permitted is None:
            name, api_id, stage_name, _, path = asked
            function = self._deployed.get(name)
            arn = source_arn(self._region, api_id, stage_name, method if method != "ANY" else "*", path)
            permitted = self._permissions[asked] = function is not None and may_invoke(function, arn)
        return permitted

    async def _invoke(self, match: RouteMatch, event: bytes, trace: str) -> Invocation | GatewayError:
        """The invocation's outcome within the integration's time; faults on Lambda act on it as on AWS."""
        invocation = self._invoke_with_faults if self._faults.active else self._invoke_now
        task = asyncio.current_task()
        assert task is not None
        # As asyncio.timeout does it, which costs ten times as much and is on every request's path.
        limit_s = self._clock.deadline_s(match.method.timeout_ms, floor_s=HANDLER_FLOOR_S)
        wait = self._deadlines.begin(limit_s, task.cancel)
        try:
            return await invocation(match.function_name, event, trace)
        except asyncio.CancelledError:
            if self._deadlines.expired(wait) and task.uncancel() == 0:
                return INTEGRATION_TIMEOUT
            raise
        finally:
            self._deadlines.end(wait)

    async def _invoke_now(self, name: str, event: bytes, trace: str) -> Invocation | GatewayError:
        try:
            return await self._functions.invoke(name, event, trace_id=trace)
        except RequestTooLarge:
            return EVENT_TOO_LARGE
        except TooManyRequests:
            return BAD_INTEGRATION_ANSWER
        except InvokeError:
            return INVOCATION_REFUSED

    async def _invoke_with_faults(self, name: str, event: bytes, trace: str) -> Invocation | GatewayError:
        result: Invocation | GatewayError = BAD_INTEGRATION_ANSWER

        async def call() -> Response | None:
            nonlocal result
            result = await self._invoke_now(name, event, trace)
            return Response(200)

        done = await self._faults.around("lambda", "Invoke", call, lambda _: Response(500))
        if done is None:
            await asyncio.get_running_loop().create_future()  # hangs until the integration's time is over
        return result


def error_response(error: GatewayError, ids: RequestIds) -> Response:
    """An error of API Gateway's own."""
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", ids.request_id),
        ("x-amzn-ErrorType", error.error_type),
        ("x-amz-apigw-id", ids.extended_request_id),
    ]
    return Response(error.status, headers, error.body)


def refusal(status: int, message: str) -> Response:
    """The answer to what is not even a request, in API Gateway's form."""
    error = _REFUSALS.get(status) or GatewayError(status, message.capitalize(), "BadRequestException")
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.error_type)]
    return Response(error.status, headers, error.body, close=True)


def _injected(error: AwsError, ids: RequestIds) -> Response:
    return error_response(GatewayError(error.http_status, error.message, error.code), ids)
