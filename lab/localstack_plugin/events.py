"""API Gateway's events as the lab makes them: what a handler is given is the same on every engine.

LocalStack knows neither who called a front nor by which domain, and adds headers of its own. The front says it in a
header, from which the event's headers and request context are made here with the lab's own code.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from lab.core.api_gateway_event import ApiRequest, RequestIds, multi_value_headers
from lab.live.front.engine_lambda import EVENT_HEADER


def install() -> None:
    """Have LocalStack's Lambda proxy integrations hand out the lab's events."""
    from localstack.services.apigateway.next_gen.execute_api.integrations import (  # type: ignore[import-not-found]
        aws,
    )

    create = aws.RestApiAwsProxyIntegration.create_lambda_input_event

    def create_as_the_lab_does(self: Any, context: Any) -> Any:
        event = create(self, context)
        told = context.request.headers.get(EVENT_HEADER)
        if told is not None:
            event.update(_overlay(orjson.loads(base64.b64decode(told)), context.request.headers))
        return event

    aws.RestApiAwsProxyIntegration.create_lambda_input_event = create_as_the_lab_does


def _overlay(told: dict[str, Any], received: Any) -> dict[str, Any]:
    source_ip = told["requestContext"]["identity"]["sourceIp"]
    sent = [(name, told["host"] if name.lower() == "host" else value) for name, value in received.items()]
    request = ApiRequest("", "", sent, b"", source_ip, told["port"])
    headers = multi_value_headers(request, RequestIds(*told["ids"]))
    return {
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "path": told["path"],
        "requestContext": told["requestContext"],
    }
