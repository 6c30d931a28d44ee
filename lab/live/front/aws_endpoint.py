"""The AWS API endpoint of one region: every request that arrives is answered here or passed to whom it is for.

The decisions are `lab.core.aws_route`'s and `lab.core.forgery`'s; the table is in docs/architecture.md.
"""

from __future__ import annotations

import random
from urllib.parse import parse_qsl

from lab.core.aws_error import AwsError, error_answer
from lab.core.aws_request import (
    BadSignature,
    Scope,
    header,
    operation_of,
    scope_of,
    target_of,
    wire_protocol,
)
from lab.core.aws_route import ToControl, ToRegion, not_served, path_form, route, s3_problem
from lab.core.dynamodb_write import TABLE_CONTROL
from lab.core.forgery import Forged, aws_host_rule, forged, host_name
from lab.core.s3_website_configuration import WebsiteRefused, parse_website
from lab.core.topology import Topology
from lab.engines import capabilities
from lab.live.clock import now_ms
from lab.live.front.data_plane import DataPlane
from lab.live.front.dynamodb import PREFIX, DynamoDb
from lab.live.front.engine_calls import EngineCalls, EngineFailed, forwarded
from lab.live.front.injected_fault import InjectedFaults
from lab.live.front.other_regions import OtherRegions
from lab.live.functions import answer_invoke, is_invoke
from lab.live.functions.invoke_api import Invokes
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_message import Request, Response, json_response

CONTROL_TIMEOUT_S = 60.0


class AwsEndpoint:
    """One region's endpoint. `control` is a client of control's Unix socket."""

    def __init__(
        self,
        topology: Topology,
        region: str,
        *,
        data_plane: DataPlane,
        functions: Invokes,
        dynamodb: DynamoDb,
        engine: EngineCalls,
        others: OtherRegions,
        control: HttpClient,
        faults: InjectedFaults,
    ) -> None:
        self._topology, self._region = topology, region
        self._data_plane, self._functions, self._dynamodb = data_plane, functions, dynamodb
        self._engine, self._others, self._control, self._faults = engine, others, control, faults
        self._hosts = aws_host_rule(topology.names_of(topology.region(region).address), region)
        self._s3_hosts = (f".s3.{region}.amazonaws.com", f".s3-{region}.amazonaws.com")
        self._rng = random.Random(f"{topology.seed}:aws:{region}:{now_ms()}")

    async def answer(self, request: Request) -> Response | None:
        """Answer any request to the port."""
        reason = forged(request.method, request.headers, self._hosts)
        if reason is not None:
            return _refused(reason)
        if not request.target.startswith("/"):
            return json_response(400, b'{"message":"the request target is no path"}')
        form = path_form(request.path)
        if form is not None:
            return await self._data_plane.answer_path_form(form.api_id, form.stage, form.path, request)
        try:
            scope = scope_of(request.headers, request.query)
        except BadSignature as error:
            return self._error(AwsError("IncompleteSignature", str(error)), self._guess(request), request)
        if scope is None:
            return self._unsigned(request)
        return await self._signed(scope, request)

    async def _signed(self, scope: Scope, request: Request) -> Response | None:
        service = scope.service
        to = route(scope, self._region, self._topology.region_codes, request.headers)
        if isinstance(to, AwsError):
            return self._error(to, service, request)
        if isinstance(to, ToRegion):
            return await self._others.call(to.region, request)
        if isinstance(to, ToControl) and to.spared:
            return await self._pass_to_control(service, scope.region, request)
        operation = operation_of(service, request.method, request.path, request.query, request.headers, request.body)
        return await self._faults.around(
            service,
            operation,
            lambda: self._serve(scope, operation, request, to_control=isinstance(to, ToControl)),
            lambda error: self._error(error, service, request),
        )

    async def _serve(
        self, scope: Scope, operation: str | None, request: Request, *, to_control: bool
    ) -> Response | None:
        service = scope.service
        if service == "lambda" and is_invoke(request):
            return await answer_invoke(self._functions, request)
        if to_control:
            return await self._pass_to_control(service, self._region, request)
        try:
            if service == "dynamodb":
                return await self._serve_dynamodb(request)
            return await self._serve_by_engine(scope, operation, request)
        except EngineFailed as failure:
            return self._error(failure.error, service, request)

    async def _serve_dynamodb(self, request: Request) -> Response:
        target = target_of(request.headers)
        if target is None:
            return self._error(not_served("dynamodb", None), "dynamodb", request)
        prefix, operation = target
        if prefix == PREFIX and operation in TABLE_CONTROL:
            response = await self._pass_to_control("dynamodb", self._region, request)
            self._dynamodb.forget_tables()
            return response
        if not self._dynamodb.serves(prefix, operation):
            return self._error(not_served("dynamodb", operation), "dynamodb", request)
        response = await self._dynamodb.answer(prefix, operation, request)
        if response.header("x-amzn-requestid") is None:
            response.headers.append(("x-amzn-RequestId", self._request_id()))
        return response

    async def _serve_by_engine(self, scope: Scope, operation: str | None, request: Request) -> Response:
        service = scope.service
        if not capabilities.has_operation(service, operation):
            return self._error(not_served(service, operation), service, request)
        if service == "s3":
            virtual_host = host_name(request.header("host") or "").endswith(self._s3_hosts)
            problem = s3_problem(request.path, request.headers, virtual_host=virtual_host)
            problem = problem or _website_problem(request)
            if problem is not None:
                return self._error(problem, service, request)
            safe = request.method in ("GET", "HEAD", "PUT", "DELETE")
            return await self._engine.forward(request, keep_host=virtual_host or scope.presigned, idempotent=safe)
        if scope.presigned:
            return self._error(_MISSING_TOKEN, service, request)
        if not request.path.startswith(("/service/", "/schedule", "/tags/")) and service != "sqs":
            request.target = "/" + (f"?{request.query}" if request.query else "")  # the engine reads paths its own way
        # SQS answers with queue URLs on the Host that it was called by, which is this front's.
        return await self._engine.forward(request, keep_host=service == "sqs")

    async def _pass_to_control(self, service: str, region: str, request: Request) -> Response:
        headers = [
            *forwarded(request.headers),
            ("x-lab-region", region),
            ("x-lab-method", request.method),
            ("x-lab-target", request.target),
        ]
        try:
            response = await self._control.call(
                "POST", f"/aws/{service}", headers, request.body, timeout_s=CONTROL_TIMEOUT_S
            )
        except CallFailed:
            message = "The control plane is not reachable; what is configured goes on working. Try again."
            return self._error(AwsError("ServiceUnavailable", message), service, request)
        drop = ("connection", "content-length", "transfer-encoding")
        response.headers = [(n, v) for n, v in response.headers if n.lower() not in drop]
        return response

    def _unsigned(self, request: Request) -> Response:
        return self._error(_MISSING_TOKEN, self._guess(request), request)

    def _guess(self, request: Request) -> str:
        """A service to shape an error for, when no signature says which."""
        return "lambda" if target_of(request.headers) or request.path.startswith("/_") else "s3"

    def _error(self, error: AwsError, service: str, request: Request) -> Response:
        version = "1.1" if "json-1.1" in (header(request.headers, "content-type") or "") else "1.0"
        answer = error_answer(error, wire_protocol(service, request.headers), self._request_id(), json_version=version)
        return Response(answer.status, answer.headers, answer.body)

    def _request_id(self) -> str:
        bits = f"{self._rng.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"


_MISSING_TOKEN = AwsError("MissingAuthenticationToken", "Missing Authentication Token: the request is not signed.")


def _website_problem(request: Request) -> AwsError | None:
    """What S3 has against a website configuration; the engine keeps any."""
    if request.method != "PUT" or "website" not in dict(parse_qsl(request.query, keep_blank_values=True)):
        return None
    try:
        parse_website(request.body)
    except WebsiteRefused as refused:
        return refused.error
    return None


def _refused(reason: Forged) -> Response:
    body = error_answer(AwsError("AccessDenied", reason.message, reason.status), "rest-json", "-")
    return Response(reason.status, [("Content-Type", "application/json")], body.body, close=True)
