"""What a load balancer makes of a function's answer, and the answers that it makes itself.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html#respond-to-load-balancer
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from lab.core.alb_event import HOP_BY_HOP
from lab.core.load_balancer import Action

REQUEST_BODY_BYTES_MAX = 1024 * 1024
"""The largest request body that goes to a function."""
RESPONSE_BYTES_MAX = 1024 * 1024
"""The largest JSON that a function may answer with."""
RESPONSE_HEADER_BYTES_MAX = 32 * 1024
REQUEST_LINE_BYTES_MAX = 16 * 1024
HEADER_BYTES_MAX = 16 * 1024
HEADERS_BYTES_MAX = 64 * 1024
LAMBDA_CONNECTION_TIMEOUT_MS = 10_000
SERVER = "awselb/2.0"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ENDS_HEADER = re.compile(r"[\r\n\0]")

PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Request Entity Too Large",
    460: "",
    463: "Bad Request",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response on its way to the client. `reason` is the access log's error_reason, if the target failed.

    `made_by_target` is False if the load balancer made the answer itself: access logs then say "-" for the target's
    status.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reason: str | None = None
    made_by_target: bool = False
    close: bool = False
    phrase: str | None = None


def own_answer(status: int, reason: str | None = None, *, close: bool = False) -> Answer:
    """A page of the load balancer's own."""
    title = f"{status} {PHRASES.get(status, '')}".strip()
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return Answer(status, (("Server", SERVER), ("Content-Type", "text/html")), page.encode(), reason, close=close)


def fixed_answer(action: Action) -> Answer:
    """What a fixed-response action answers."""
    headers = [("Server", SERVER)]
    body = (action.message_body or "").encode()
    if body or action.content_type:
        headers.append(("Content-Type", action.content_type or "text/plain; charset=utf-8"))
    return Answer(action.status_code, tuple(headers), body)


def redirect_answer(status: int, location: str) -> Answer:
    """What a redirect action answers."""
    page = own_answer(status)
    return Answer(status, (*page.headers, ("Location", location)), page.body)


def invalid_response(why: str) -> tuple[Answer, str]:
    """502 for an answer that a load balancer cannot use, and why."""
    return own_answer(502, "LambdaInvalidResponse"), why


def judge_lambda_response(
    payload: bytes, *, multi_value: bool, parse: Callable[[bytes], Any] = json.loads
) -> tuple[Answer, str | None]:
    """The answer that a function's payload stands for, and what is wrong with it if it is invalid.

    As AWS documents it, a function must give `statusCode` (an integer), `isBase64Encoded` and `headers`, or
    `multiValueHeaders` instead if the target group says so; it may give `statusDescription` and `body`. `headers` are
    ignored where multi-value headers are on, and the other way round. `parse` reads JSON and raises ValueError.
    """
    if len(payload) > RESPONSE_BYTES_MAX:
        return own_answer(502, "LambdaResponseTooLarge"), "the response is larger than 1 MB"
    try:
        value = parse(payload)
    except (UnicodeDecodeError, ValueError):
        return invalid_response("the response is not JSON")
    if not isinstance(value, dict):
        return invalid_response("the response is not a JSON object")
    status = _status(value.get("statusCode"))
    if status is None:
        return invalid_response("statusCode is not an integer from 200 to 599")
    headers = _headers(value, multi_value=multi_value)
    if headers is None:
        return invalid_response(
            "multiValueHeaders is missing or not an object of lists of strings"
            if multi_value
            else "headers is missing or not an object of strings"
        )
    body = _body(value)
    if body is None:
        return invalid_response("isBase64Encoded is missing or not a boolean, or body does not fit it")
    if sum(len(name) + len(text) + 4 for name, text in headers) > RESPONSE_HEADER_BYTES_MAX:
        return own_answer(502), "the response's headers are larger than 32 KB"
    description = value.get("statusDescription")
    if description is not None and not isinstance(description, str):
        return invalid_response("statusDescription is not a string")
    phrase = description.partition(" ")[2] if description and description[:3].isdigit() else description
    if phrase is not None and not (phrase.isprintable() and phrase.isascii()):
        return invalid_response("statusDescription cannot be sent in a status line")
    return Answer(status, (("Server", SERVER), *headers), body, made_by_target=True, phrase=phrase or None), None


def _status(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        return None
    return value


def _headers(value: dict[str, Any], *, multi_value: bool) -> list[tuple[str, str]] | None:
    given = value.get("multiValueHeaders" if multi_value else "headers")
    if not isinstance(given, dict):
        return None
    pairs: list[tuple[str, str]] = []
    for name, content in given.items():
        values = content if multi_value else [content]
        if not isinstance(values, list) or not _is_token(name):
            return None
        for text in values:
            if not isinstance(text, str) or _ENDS_HEADER.search(text) is not None:
                return None
            if name.lower() not in HOP_BY_HOP and name.lower() not in ("content-length", "server"):
                pairs.append((name, text if text.isascii() else text.encode().decode("latin-1")))
    return pairs


def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def _body(value: dict[str, Any]) -> bytes | None:
    body, encoded = value.get("body"), value.get("isBase64Encoded")
    if not isinstance(encoded, bool):
        return None
    if body is None:
        return b""
    if not isinstance(body, str):
        return None
    if not encoded:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
