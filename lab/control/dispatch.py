"""From an AWS request to its answer: operation by protocol, parameters, our method, publication, response.

A control plane is an object whose methods have the operations' names in snake case (`create_hosted_zone`), take a
`Call` and return the result by the names in AWS's model, or raise AwsError. What an operation means is theirs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.control import protocol
from lab.control.aws_error import AwsError, not_implemented
from lab.control.service_model import service_model
from lab.live.http_message import Request, Response


@dataclass(frozen=True)
class Call:
    """One API call: `parameters` by the names in AWS's model, `region` of the endpoint or credential scope."""

    service: str
    operation: str
    region: str
    parameters: dict[str, Any]
    request: Request


@dataclass(frozen=True)
class Dispatcher:
    """`planes` are the control planes of each service, by signing name; the first that has the method takes a call.

    `raw` are services that answer requests by themselves. `settle` returns when what a call changed is published.
    """

    planes: Mapping[str, Sequence[object]]
    raw: Mapping[str, Callable[[str, Request], Awaitable[Response]]]
    settle: Callable[[], Awaitable[None]]

    @property
    def services(self) -> frozenset[str]:
        """The signing names that control answers."""
        return frozenset(self.planes) | frozenset(self.raw)

    async def answer(self, service: str, region: str, request: Request) -> Response:
        """The response to one request; every refusal is in the service's own shape."""
        planes, raw = self.planes.get(service, ()), self.raw.get(service)
        if raw is not None and not planes:
            return await self._answer_raw(raw, region, request)
        request_id = protocol.new_request_id()
        if not planes:
            known = ", ".join(sorted(self.services))
            error = AwsError("UnrecognizedClientException", f"the lab has no service {service!r}; control has {known}")
            return protocol.failure(None, service, error, request_id)
        model = service_model(service)
        try:
            match = model.match(request)
            method = _method(planes, match.operation)
            if method is None:
                if raw is not None:
                    return await self._answer_raw(raw, region, request)
                raise not_implemented(service, match.operation)
            parameters = protocol.parse(model, match, request)
            value = method(Call(service, match.operation, region, parameters, request))
            if inspect.isawaitable(value):
                value = await value
        except AwsError as error:
            return protocol.failure(model, service, error, request_id)
        await self.settle()
        return protocol.result(model, match.operation, value or {}, request_id)

    async def _answer_raw(
        self, raw: Callable[[str, Request], Awaitable[Response]], region: str, request: Request
    ) -> Response:
        response = await raw(region, request)
        await self.settle()
        return response


def _method(planes: Sequence[object], operation: str) -> Callable[[Call], Any] | None:
    name = snake_case(operation)
    for plane in planes:
        method: Callable[[Call], Any] | None = getattr(plane, name, None)
        if method is not None:
            return method
    return None


def snake_case(operation: str) -> str:
    """`GetHealthCheckStatus` as `get_health_check_status`; a run of capitals is one word (`ListHTTPRoutes`)."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", operation).lower()
