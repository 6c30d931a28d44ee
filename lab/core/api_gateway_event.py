"""The event that API Gateway's REST APIs give to a Lambda function (proxy integration, payload format 1.0).

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html. Authorizers, API
keys and client certificates are not imitated: their fields are null, as on AWS when a method uses none.
"""

from __future__ import annotations

import base64
import random
from binascii import b2a_base64
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from lab.core.api_gateway_route import RouteMatch
from lab.core.topology import ACCOUNT_ID

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_HEADER_BYTES = 10_240
"""What all header names and values may take together.
https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""
MAX_URL_CHARACTERS = 10_240
"""Of a regional API, with `http://` and the host.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html"""

DROPPED_REQUEST_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    }
)
_ADDED_HEADERS = frozenset({"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"})
_NOT_PASSED_ON = DROPPED_REQUEST_HEADERS | _ADDED_HEADERS
_TITLED_HEADERS = {"authorization": "Authorization", "user-agent": "User-Agent", "host": "Host"}
_MASK_128, _MASK_88 = (1 << 128) - 1, (1 << 88) - 1
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class ApiRequest(NamedTuple):
    """One HTTP request as it came. `port` is the one it came to, `source_ip` the client's address."""

    method: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    source_ip: str
    port: int
    http_version: str = "1.1"


class RequestIds(NamedTuple):
    """The names of one request: `x-amzn-RequestId`, `x-amz-apigw-id`, and the root of its trace."""

    request_id: str
    extended_request_id: str
    trace_root: str


def request_ids(now_ms: int, rng: random.Random) -> RequestIds:
    """Fresh ids in AWS's forms."""
    random_bits = rng.getrandbits(312)  # one draw for all three
    bits = f"{random_bits & _MASK_128:032x}"
    request_id = f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}"
    extended = b2a_base64((random_bits >> 128 & _MASK_88).to_bytes(11, "big"), newline=False).decode("ascii")
    return RequestIds(request_id, extended, f"1-{now_ms // 1000:08x}-{random_bits >> 216:024x}")


def trace_header(headers: Iterable[tuple[str, str]], ids: RequestIds) -> str:
    """`X-Amzn-Trace-Id` of the event: the client's if it has a root, else one of our own."""
    for name, value in headers:
        if name.lower() == "x-amzn-trace-id" and "Root=" in value:
            return value
    return f"Root={ids.trace_root}"


def matches_media_type(media_type: str, binary_media_types: tuple[str, ...]) -> bool:
    """Whether a content type (parameters are ignored) is among an API's binary media types."""
    if not binary_media_types:
        return False
    name = media_type.partition(";")[0].strip().lower()
    for candidate in binary_media_types:
        binary = candidate.strip().lower()
        if binary in ("*/*", name) or (binary.endswith("/*") and name.startswith(binary[:-1])):
            return True
    return False


def proxy_event(request: ApiRequest, match: RouteMatch, ids: RequestIds, now_ms: int) -> dict[str, Any]:
    """The whole event, ready for JSON."""
    multi_headers = multi_value_headers(request, ids)
    query = [] if not request.query else _query_pairs(request.query)
    multi_query = _multi(query)
    binary = matches_media_type(_last(multi_headers, "content-type"), match.stage.api.binary_media_types)
    body = base64.b64encode(request.body).decode("ascii") if binary else request.body.decode("utf-8", "replace")
    return {
        "resource": match.resource.path,
        "path": match.stage.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in multi_headers.items()},
        "multiValueHeaders": multi_headers,
        "queryStringParameters": {name: values[-1] for name, values in multi_query.items()} or None,
        "multiValueQueryStringParameters": multi_query or None,
        "pathParameters": match.path_parameters or None,
        "stageVariables": match.stage.stage.variables or None,
        "requestContext": request_context(request, match, ids, now_ms),
        "body": body or None,
        "isBase64Encoded": binary and bool(body),
    }


def multi_value_headers(request: ApiRequest, ids: RequestIds) -> dict[str, list[str]]:
    """The event's `multiValueHeaders`."""
    return _multi(_event_headers(request, ids))


def request_context(request: ApiRequest, match: RouteMatch, ids: RequestIds, now_ms: int) -> dict[str, Any]:
    """The event's `requestContext`."""
    stage = match.stage
    user_agent = next((value for name, value in reversed(request.headers) if name.lower() == "user-agent"), None)
    return {
        "resourceId": match.resource.resource_id,
        "resourcePath": match.resource.path,
        "httpMethod": request.method,
        "extendedRequestId": ids.extended_request_id,
        "requestTime": request_time(now_ms),
        "path": stage.context_path,
        "accountId": ACCOUNT_ID,
        "protocol": f"HTTP/{request.http_version}",
        "stage": stage.stage.name,
        "domainPrefix": stage.domain_name.partition(".")[0],
        "requestTimeEpoch": now_ms,
        "requestId": ids.request_id,
        "authorizer": None,
        "identity": {
            "cognitoIdentityPoolId": None,
            "accountId": None,
            "cognitoIdentityId": None,
            "caller": None,
            "sourceIp": request.source_ip,
            "principalOrgId": None,
            "accessKey": None,
            "cognitoAuthenticationType": None,
            "cognitoAuthenticationProvider": None,
            "userArn": None,
            "userAgent": user_agent or None,
            "user": None,
        },
        "domainName": stage.domain_name,
        "deploymentId": stage.stage.deployment_id,
        "apiId": stage.api.api_id,
    }


def request_time(now_ms: int) -> str:
    """CLF time as in `requestContext.requestTime`: "04/Mar/2020:19:15:17 +0000"."""
    return _clf_time(now_ms // 1000)


@lru_cache(maxsize=8)
def _clf_time(now_s: int) -> str:
    at = datetime.fromtimestamp(now_s, UTC)
    month = _MONTHS[at.month - 1]
    return f"{at.day:02d}/{month}/{at.year}:{at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"


def _event_headers(request: ApiRequest, ids: RequestIds) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    forwarded: list[str] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower in _NOT_PASSED_ON or lower.startswith("x-lab-"):
            if lower == "x-forwarded-for":
                forwarded.append(value)
            continue
        headers.append((_TITLED_HEADERS.get(lower, name), value))
    headers.append(("X-Amzn-Trace-Id", trace_header(request.headers, ids)))
    headers.append(("X-Forwarded-For", ", ".join((*forwarded, request.source_ip))))
    headers.append(("X-Forwarded-Port", str(request.port)))
    headers.append(("X-Forwarded-Proto", "http"))
    return headers


def _query_pairs(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def _multi(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last(values: dict[str, list[str]], name: str) -> str:
    for key, found in values.items():
        if key.lower() == name:
            return found[-1]
    return ""
