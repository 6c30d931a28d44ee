"""Which function an AWS_PROXY integration's URI names, and what a method and an integration look like in the API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html. Other integration
types are refused: the fronts run Lambda proxies only.
"""

from __future__ import annotations

import re
from typing import Any

from lab.control.aws_error import AwsError
from lab.core.rest_api import Method, Resource

TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 50, 29_000
_URI = re.compile(
    r"arn:aws[a-z-]*:apigateway:(?P<region>[a-z0-9-]+):lambda:path/2015-03-31/functions/"
    r"arn:aws[a-z-]*:lambda:(?P<function_region>[a-z0-9-]+):\d{12}:function:(?P<name>[^:/]+)(?::[^/]+)?/invocations"
)


def function_of(uri: str, region: str) -> str:
    """The name of the function in an integration's URI. Raises AwsError for another form or region."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise AwsError("BadRequestException", f"Invalid ARN specified in the request: {uri!r} is no Lambda proxy's URI")
    if found["function_region"] != region or found["region"] != region:
        raise AwsError("BadRequestException", f"Invalid function ARN: an API in {region} calls functions of {region}")
    return found["name"]


def integration_of(given: dict[str, Any], region: str, resource_id: str) -> dict[str, Any]:
    """An `Integration` structure from PutIntegration's parameters. Raises AwsError."""
    kind = given["type"]
    if kind != "AWS_PROXY":
        raise AwsError(
            "BadRequestException", f"the lab runs integrations of type AWS_PROXY (a Lambda function) only, not {kind}"
        )
    uri = given.get("uri")
    if uri is None:
        raise AwsError("BadRequestException", "URI must be specified for AWS_PROXY integrations")
    if given.get("integrationHttpMethod") is None:
        raise AwsError("BadRequestException", "Enumeration value for HttpMethod must be non-empty")
    function_of(uri, region)
    timeout_ms = given.get("timeoutInMillis", TIMEOUT_MS_MAX)
    if not TIMEOUT_MS_MIN <= timeout_ms <= TIMEOUT_MS_MAX:
        raise AwsError("BadRequestException", f"Timeout should be between {TIMEOUT_MS_MIN} ms and {TIMEOUT_MS_MAX} ms")
    kept = ("requestParameters", "requestTemplates", "credentials", "cacheKeyParameters", "contentHandling")
    return {
        "type": kind,
        "httpMethod": given["integrationHttpMethod"],
        "uri": uri,
        "passthroughBehavior": given.get("passthroughBehavior", "WHEN_NO_MATCH"),
        "timeoutInMillis": timeout_ms,
        "cacheNamespace": given.get("cacheNamespace", resource_id),
        **{name: given[name] for name in kept if name in given},
    }


def deployed(resource_id: str, path: str, methods: dict[str, Any], region: str) -> Resource:
    """A resource as the data plane wants it; its methods all have integrations."""
    return Resource(
        resource_id,
        path,
        tuple(
            Method(name, function_of(method["methodIntegration"]["uri"], region), _timeout_ms(method))
            for name, method in sorted(methods.items())
        ),
    )


def _timeout_ms(method: dict[str, Any]) -> int:
    return int(method["methodIntegration"].get("timeoutInMillis", TIMEOUT_MS_MAX))
