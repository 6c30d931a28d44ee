"""Lambda and API Gateway's data plane where the engine has them: the front finds the way, the engine runs the function.

For regions on LocalStack. Which API, stage, method and permission a request meets is decided here as everywhere in the
lab, so unknown names get AWS's errors; the event, the call and what an answer means are the engine's.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import orjson

from lab.core.api_gateway_error import (
    BAD_INTEGRATION_ANSWER,
    EVENT_TOO_LARGE,
    INTEGRATION_TIMEOUT,
    GatewayError,
)
from lab.core.api_gateway_event import RequestIds, proxy_event, request_context
from lab.core.api_gateway_route import RouteMatch, StageMatch
from lab.core.faults import RegionCondition
from lab.core.lambda_errors import (
    FunctionNotFound,
    InvokeError,
    RequestTooLarge,
    ServiceUnavailable,
    TooManyRequests,
    check_request_size,
)
from lab.core.topology import ACCOUNT_ID
from lab.live.clock import now_ms
from lab.live.front.data_plane import DataPlane, error_response
from lab.live.front.engine_calls import EngineCalls, EngineFailed, forwarded
from lab.live.functions import Invocation, InvocationType
from lab.live.http_client import CallFailed
from lab.live.http_message import Headers, Request, Response

LATEST = "$LATEST"
EVENT_HEADER = "x-lab-event"
"""What LocalStack does not know of a request, for `lab.localstack_plugin.events`."""
SMALL_BODY_BYTES = 1_000_000
"""A body up to this makes no event too large for Lambda, whatever JSON's escapes make of it."""
GATEWAYS_OWN = (
    "connection",
    "content-length",
    "transfer-encoding",
    "server",
    "date",
    "access-control-",
    "x-amz-apigw-id",
    "x-amzn-requestid",
    "x-localstack",
)


class EngineFunctions:
    """The functions of one region, run by its engine."""

    def __init__(self, region: str, engine: EngineCalls) -> None:
        self._region, self._engine = region, engine
        self._condition: RegionCondition = "up"

    @property
    def region(self) -> str:
        """The region's code."""
        return self._region

    def set_condition(self, condition: RegionCondition) -> None:
        """Follow the region. The engine's environments live on while the region is down; nobody reaches them."""
        self._condition = condition

    async def invoke(
        self,
        name: str,
        payload: bytes,
        *,
        invocation_type: InvocationType = "RequestResponse",
        client_context: str | None = None,
        trace_id: str | None = None,
        qualifier: str | None = None,
        want_tail: bool = False,
    ) -> Invocation:
        """Invoke a function by its name. Raises InvokeError, as `RegionFunctions.invoke` does."""
        if self._condition == "down":
            raise ServiceUnavailable("The region is down.")
        check_request_size(len(payload), invocation_type)
        headers: Headers = [
            ("Authorization", signed_for(self._region, "lambda")),
            ("Content-Type", "application/json"),
            ("X-Amz-Invocation-Type", invocation_type),
        ]
        if client_context is not None:
            headers.append(("X-Amz-Client-Context", base64.b64encode(client_context.encode()).decode()))
        if trace_id is not None:
            headers.append(("X-Amzn-Trace-Id", trace_id))
        if want_tail:
            headers.append(("X-Amz-Log-Type", "Tail"))
        target = f"/2015-03-31/functions/{quote(name)}/invocations"
        target += f"?Qualifier={quote(qualifier)}" if qualifier else ""
        request = Request("POST", target, headers, payload, None, None)
        try:
            response = await self._engine.forward(request)
        except EngineFailed as failure:
            raise ServiceUnavailable(failure.error.message) from failure
        if response.status >= 300:
            raise _refusal(response, f"arn:aws:lambda:{self._region}:{ACCOUNT_ID}:function:{name}")
        return _invocation(response)


class EngineDataPlane(DataPlane):
    """The REST APIs of one region, answered by its engine."""

    def use(self, engine: EngineCalls) -> None:
        """Pass requests on to this engine."""
        self._engine = engine

    async def _answer(self, stage: StageMatch | GatewayError, request: Request, ids: RequestIds) -> Response | None:
        match = self._way(stage, request)
        if isinstance(match, GatewayError):
            return error_response(match, ids)
        if self._is_too_large(request, match, ids):
            return error_response(EVENT_TOO_LARGE, ids)
        answered: list[Response] = []

        async def call() -> Response | None:
            answered.append(await self._pass_on(match, request, ids))
            return answered[0]

        # Faults on Lambda act as on AWS: the integration fails, or its time runs out.
        done = await self._faults.around("lambda", "Invoke", call, lambda _: Response(500))
        if done is None:
            await self._clock.sleep(match.method.timeout_ms)
            return error_response(INTEGRATION_TIMEOUT, ids)
        return answered[0] if answered else error_response(BAD_INTEGRATION_ANSWER, ids)

    def _is_too_large(self, request: Request, match: RouteMatch, ids: RequestIds) -> bool:
        """Whether Lambda refuses the event for its size, which LocalStack does not look at."""
        if len(request.body) <= SMALL_BODY_BYTES:
            return False
        event = orjson.dumps(proxy_event(self._api_request(request), match, ids, now_ms()))
        try:
            check_request_size(len(event), "RequestResponse")
        except RequestTooLarge:
            return True
        return False

    async def _pass_on(self, match: RouteMatch, request: Request, ids: RequestIds) -> Response:
        stage = match.stage
        target = f"/_aws/execute-api/{stage.api.api_id}/{quote(stage.stage.name)}{stage.resource_path}"
        target += f"?{request.query}" if request.query else ""
        headers = [(n, v) for n, v in forwarded(request.headers) if n.lower() not in ("origin", "expect")]
        api_request = self._api_request(request)
        told = {
            "requestContext": request_context(api_request, match, ids, now_ms()),
            "path": stage.path,
            "port": api_request.port,
            "ids": list(ids),
            "host": request.header("host") or "",
        }
        event: Headers = [(EVENT_HEADER, base64.b64encode(orjson.dumps(told)).decode("ascii"))]
        passed = Request(request.method, target, headers, request.body, request.peer, request.local)
        # LocalStack would read API and path out of an execute-api host, and here they are in the path already.
        keep_host = not stage.domain_name.endswith(".amazonaws.com")
        try:
            response = await self._engine.forward(passed, keep_host=keep_host, told=event)
        except (EngineFailed, CallFailed):
            return error_response(BAD_INTEGRATION_ANSWER, ids)
        head = request.method == "HEAD"
        response.headers = [
            (n, v)
            for n, v in response.headers
            if not n.lower().startswith(GATEWAYS_OWN) or (head and n.lower() == "content-length")
        ]
        # The names of the request that its event has.
        response.headers += [("x-amzn-RequestId", ids.request_id), ("x-amz-apigw-id", ids.extended_request_id)]
        return response


def signed_for(region: str, service: str) -> str:
    """An Authorization header from which an engine reads service and region; it verifies no signature."""
    scope = f"{ACCOUNT_ID}/20260101/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


def _invocation(response: Response) -> Invocation:
    tail = response.header("x-amz-log-result")
    return Invocation(
        response.status,
        response.body,
        response.header("x-amz-function-error"),
        response.header("x-amz-executed-version") or LATEST,
        response.header("x-amzn-requestid") or "",
        base64.b64decode(tail) if tail else b"",
        0.0,
        None,
    )


def _refusal(response: Response, arn: str) -> InvokeError:
    """The engine's refusal as the lab's."""
    try:
        body: dict[str, Any] = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        body = {}
    message = str(body.get("message") or body.get("Message") or f"the engine answered {response.status}")
    if response.status == 404:
        return FunctionNotFound(arn)
    if response.status == 429:
        return TooManyRequests("ReservedFunctionConcurrentInvocationLimitExceeded")
    return ServiceUnavailable(message)
