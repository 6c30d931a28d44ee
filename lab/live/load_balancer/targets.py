"""Sends requests to targets: functions by invocation, addresses over HTTP/1.1; health checks and users' requests alike.

It turns what goes wrong into the statuses and reasons of AWS's load balancers.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import orjson

from lab.core.alb_event import HEALTH_CHECKER, HOP_BY_HOP, health_check_event
from lab.core.alb_health import CheckResult
from lab.core.alb_response import LAMBDA_CONNECTION_TIMEOUT_MS, Answer, judge_lambda_response, own_answer
from lab.core.faults import FaultSet
from lab.core.function import Function, Functions
from lab.core.lambda_errors import FunctionNotFound, InvokeError, RequestTooLarge, TooManyRequests, ValidationFailed
from lab.core.lambda_function_name import parse_function_name
from lab.core.load_balancer import Target, TargetGroup
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.functions import Invocation
from lab.live.http_client import CallFailed, HttpClient, TcpAddress

PRINCIPAL = "elasticloadbalancing.amazonaws.com"
CONNECT_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 512


class Invoker(Protocol):
    """What is wanted of `lab.live.functions.RegionFunctions`."""

    async def invoke(
        self, name: str, payload: bytes, *, qualifier: str | None = None, trace_id: str | None = None
    ) -> Invocation: ...


def may_invoke(function: Function, target_group_arn: str) -> bool:
    """Whether the function's policy lets load balancers invoke it for a target group."""
    return any(
        permission.principal in (PRINCIPAL, "*")
        and permission.action in ("lambda:InvokeFunction", "lambda:*", "*")
        and permission.source_arn in (None, target_group_arn)
        for permission in function.permissions
    )


class Targets:
    """The targets of one region. Whether the region is up is the caller's question; faults on Lambda act here."""

    def __init__(self, region: str, store: DocumentStore, clock: Clock, functions: Invoker) -> None:
        self._region, self._store, self._clock, self._functions = region, store, clock, functions
        self._deployed: dict[str, Function] = {}
        self._clients: dict[tuple[str, int], HttpClient] = {}
        store.watch(Functions, self._functions_changed)
        self._functions_changed()

    def _functions_changed(self) -> None:
        functions = self._store.get(Functions).functions
        self._deployed = {function.name: function for function in functions if function.region == self._region}

    def close(self) -> None:
        """Drop idle connections to addresses."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    async def invoke(
        self, group: TargetGroup, target: Target, event: bytes, trace: str | None = None
    ) -> tuple[Answer, str | None]:
        """A function's answer to an event, and why there is none if it did not give one."""
        try:
            reference = parse_function_name(target.id)
        except ValidationFailed as error:
            return own_answer(502, "LambdaResourceNotFound"), str(error)
        function = self._deployed.get(reference.name)
        if function is not None and not may_invoke(function, group.arn):
            return own_answer(502, "LambdaAccessDenied"), f"the policy of {reference.name} does not let {PRINCIPAL} in"
        fault = self._store.get(FaultSet).on_call(self._region, "lambda", "Invoke")
        if fault is not None and fault.service is not None:
            if fault.effect == "hang":
                await asyncio.sleep(self._clock.deadline_s(LAMBDA_CONNECTION_TIMEOUT_MS))
                return own_answer(504, "LambdaConnectionTimeout"), "Lambda did not answer"
            if fault.effect == "delay":
                await self._clock.sleep(fault.delay_ms)
            elif fault.effect == "down":
                return own_answer(502, "LambdaServiceException"), "Lambda is down"
        try:
            done = await self._functions.invoke(reference.name, event, qualifier=reference.qualifier, trace_id=trace)
        except InvokeError as error:
            return _refused(error), str(error)
        if done.function_error is not None:
            return own_answer(502, "LambdaUnhandled"), done.payload.decode("utf-8", "replace")[:500]
        return judge_lambda_response(done.payload, multi_value=group.multi_value_headers, parse=orjson.loads)

    async def forward(
        self, target: Target, group: TargetGroup, method: str, uri: str, headers: list[tuple[str, str]], body: bytes,
        timeout_s: float,
    ) -> tuple[Answer, str | None]:  # fmt: skip
        """An address's answer, or 502 or 504 and why."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        wire = [pair for pair in headers if pair[0] not in ("content-length", "expect")]
        try:
            response = await self._client(target, group).call(
                method, uri, wire, body, timeout_s=timeout_s, idempotent=method in ("GET", "HEAD", "OPTIONS")
            )
        except CallFailed as error:
            late = loop.time() - began >= min(timeout_s, CONNECT_TIMEOUT_S) - 0.01
            return own_answer(504 if late else 502), str(error)
        kept = tuple(
            (name, value)
            for name, value in response.headers
            if name.lower() not in HOP_BY_HOP and (name.lower() != "content-length" or method == "HEAD")
        )
        return Answer(response.status, kept, response.body, made_by_target=True), None

    async def check(self, group: TargetGroup, target: Target) -> CheckResult:
        """Make one health check; the caller limits its time."""
        if group.target_type == "lambda":
            event = health_check_event(group.arn, group.health_check_path, multi_value=group.multi_value_headers)
            answer, why = await self.invoke(group, target, orjson.dumps(event))
            return CheckResult(answer.status) if answer.made_by_target else CheckResult(failure=why or "")
        port = group.health_check_port
        at = target if port == "traffic-port" else Target(target.id, int(port))
        client = HttpClient(self._address(at, group), limit=1, connect_timeout_s=CONNECT_TIMEOUT_S)
        headers = [("Host", f"{target.id}:{at.port}"), ("User-Agent", HEALTH_CHECKER), ("Connection", "close")]
        try:
            response = await client.call("GET", group.health_check_path, headers, timeout_s=120.0)
        except CallFailed as error:
            return CheckResult(failure=str(error))
        finally:
            client.close()
        return CheckResult(response.status)

    def _client(self, target: Target, group: TargetGroup) -> HttpClient:
        address = self._address(target, group)
        client = self._clients.get((address.host, address.port))
        if client is None:
            client = HttpClient(address, limit=CONNECTIONS_MAX, connect_timeout_s=CONNECT_TIMEOUT_S)
            self._clients[address.host, address.port] = client
        return client

    def _address(self, target: Target, group: TargetGroup) -> TcpAddress:
        return TcpAddress(target.id, target.port or group.port or 80)


def _refused(error: InvokeError) -> Answer:
    if isinstance(error, TooManyRequests):
        return own_answer(502, "LambdaThrottling")
    if isinstance(error, FunctionNotFound):
        return own_answer(502, "LambdaResourceNotFound")
    if isinstance(error, RequestTooLarge):
        return own_answer(413, "LambdaRequestTooLarge")
    return own_answer(502, "LambdaServiceException")
