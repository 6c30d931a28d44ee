"""What API Gateway makes of a function's answer: a response, or a 502 for whatever does not have the proxy format.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html (output format) and
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html (remapped headers).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from lab.core.api_gateway_event import matches_media_type

_KEYS = frozenset({"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"})
_REMAPPED = frozenset({"connection", "content-length", "date", "server", "www-authenticate"})
_DROPPED = frozenset({"transfer-encoding"})


class ProxyResponse(NamedTuple):
    """A good answer. `headers` hold a content type; framing headers are the server's to add."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class Malformed:
    """Why an answer is no proxy response; the client sees a 502."""

    reason: str


class _Malformed(Exception):
    pass


def judge_answer(
    payload: bytes, *, function_error: bool, binary_media_types: tuple[str, ...] = (), accept: str = ""
) -> ProxyResponse | Malformed:
    """The response to the client. `accept` is the request's Accept header, whose first type decides about base64."""
    if function_error:
        return Malformed("the function failed")
    try:
        answer = json.loads(payload)
    except ValueError:
        return Malformed("the answer is not JSON")
    try:
        return _response(answer, binary_media_types, accept)
    except _Malformed as error:
        return Malformed(str(error))


def _response(answer: Any, binary_media_types: tuple[str, ...], accept: str) -> ProxyResponse:
    if not isinstance(answer, dict):
        raise _Malformed("the answer is no object")
    unknown = answer.keys() - _KEYS
    if unknown:
        raise _Malformed(f"the answer has a key that API Gateway does not know: {min(unknown)!r}")
    body = answer.get("body")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise _Malformed("`body` is no string")
    encoded = answer.get("isBase64Encoded")
    if encoded not in (None, True, False):
        raise _Malformed("`isBase64Encoded` is no boolean")
    data = body.encode("utf-8", "surrogatepass")
    if encoded and matches_media_type(accept.partition(",")[0], binary_media_types):
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise _Malformed("`body` is not base64") from None
    return ProxyResponse(_status(answer.get("statusCode")), _headers(answer), data)


def _status(value: Any) -> int:
    if value is None:
        return 200
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise _Malformed(f"`statusCode` is {value!r}")
    return value


def _headers(answer: dict[str, Any]) -> list[tuple[str, str]]:
    single, multi = answer.get("headers"), answer.get("multiValueHeaders")
    for key, mapping in (("headers", single), ("multiValueHeaders", multi)):
        if mapping is not None and not isinstance(mapping, dict):
            raise _Malformed(f"`{key}` is no object")
    merged: dict[str, list[tuple[str, str]]] = {}
    for name, value in (single or {}).items():
        merged[name.lower()] = [(name, _value(name, value))]
    for name, values in (multi or {}).items():
        listed = values if isinstance(values, list) else [values]
        merged[name.lower()] = [(name, _value(name, value)) for value in listed]
    headers: list[tuple[str, str]] = []
    for lower, pairs in merged.items():
        if lower in _REMAPPED:
            headers.extend((f"x-amzn-Remapped-{name}", value) for name, value in pairs)
        elif lower not in _DROPPED:
            headers.extend(pairs)
    if "content-type" not in merged:
        headers.append(("Content-Type", "application/json"))
    return headers


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        raise _Malformed(f"header {name!r} has a value that is no string")
    # A line break would let a function's data write headers of its own.
    if not _TOKEN.issuperset(name) or not name or any(c in "\r\n\0" for c in value):
        raise _Malformed(f"header {name!r} is not fit for HTTP")
    return value


_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
