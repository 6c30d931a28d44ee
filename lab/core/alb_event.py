"""The event that a load balancer invokes a function with, and the headers that it adds to a request.

https://docs.aws.amazon.com/lambda/latest/dg/services-alb.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Sequence
from typing import Any

from lab.core.alb_rules import split_query

TEXT_TYPES = ("application/json", "application/javascript", "application/xml")
FORWARDED_FOR_MAX = 30
VALID_NAME = re.compile(r"[-A-Za-z0-9]+")
"""What Elastic Load Balancing calls a valid header name.

https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
"""
HEALTH_CHECKER = "ELB-HealthChecker/2.0"
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

Pairs = Sequence[tuple[str, str]]


class NotText(ValueError):
    """A header or a text body is not UTF-8: the access log says LambdaBadRequest."""


def trace_id(rng: random.Random, now_ms: int) -> str:
    """A new root, "1-67891233-abcdef012345678912345678"."""
    return f"1-{now_ms // 1000:08x}-{rng.getrandbits(96):024x}"


def traced(existing: str | None, rng: random.Random, now_ms: int) -> str:
    """X-Amzn-Trace-Id as sent on: a root of our own, or the client's with our Self before it.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
    """
    if not existing:
        return f"Root={trace_id(rng, now_ms)}"
    fields = [part for part in existing.split(";") if part and not part.startswith("Self=")]
    if any(part.startswith("Root=") for part in fields):
        return ";".join([f"Self={trace_id(rng, now_ms)}", *fields])
    return ";".join([f"Root={trace_id(rng, now_ms)}", *fields])


def forwarded_headers(
    headers: Pairs,
    *,
    client: str,
    client_port: int,
    port: int,
    protocol: str,
    trace: str,
    attributes: dict[str, str],
    tls: tuple[str, str] | None = None,
) -> list[tuple[str, str]]:
    """The request's headers as a target gets them: lower-case names, hop-by-hop ones gone, ours added at the end.

    `attributes` are the load balancer's; `routing.http.xff_header_processing.mode` is append, preserve or remove.
    `tls` is the client's cipher and protocol in OpenSSL's words.
    """
    mode = attributes.get("routing.http.xff_header_processing.mode", "append")
    ours = {"x-forwarded-proto", "x-forwarded-port", "x-amzn-trace-id"}
    if mode != "preserve":
        ours.add("x-forwarded-for")
    given = [value for name, value in headers if name == "x-forwarded-for"]
    tells_tls = attributes.get("routing.http.x_amzn_tls_version_and_cipher_suite.enabled") == "true"
    if tells_tls:
        ours |= {"x-amzn-tls-version", "x-amzn-tls-cipher-suite"}
    kept = [(name, value) for name, value in headers if name not in ours and name not in HOP_BY_HOP]
    if attributes.get("routing.http.drop_invalid_header_fields.enabled") == "true":
        kept = [(name, value) for name, value in kept if VALID_NAME.fullmatch(name)]
    if tells_tls and tls is not None:
        kept += [("x-amzn-tls-version", tls[1]), ("x-amzn-tls-cipher-suite", tls[0])]
    kept.append(("x-amzn-trace-id", trace))
    if mode == "append":
        own = f"{client}:{client_port}" if attributes.get("routing.http.xff_client_port.enabled") == "true" else client
        kept.append(("x-forwarded-for", ", ".join([*given, own])))
    kept.append(("x-forwarded-port", str(port)))
    kept.append(("x-forwarded-proto", protocol.lower()))
    return kept


def forwarded_for_count(headers: Pairs) -> int:
    """How many addresses X-Forwarded-For holds; more than 30 are refused with 463."""
    return sum(len(value.split(",")) for name, value in headers if name == "x-forwarded-for")


def _is_text(headers: Pairs) -> bool:
    content_type = ""
    for name, value in headers:
        if name == "content-encoding":
            return False
        if name == "content-type":
            content_type = value
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in TEXT_TYPES


def lambda_event(
    target_group_arn: str, *, method: str, path: str, query: str, headers: Pairs, body: bytes, multi_value: bool
) -> dict[str, Any]:
    """The event. `headers` as `forwarded_headers` made them; the query is not decoded. Raises NotText."""
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": target_group_arn}},
        "httpMethod": method,
        "path": path,
    }
    pairs = split_query(query)
    decoded = [(name, _as_utf8(value)) for name, value in headers]
    if multi_value:
        event["multiValueQueryStringParameters"] = _gathered(pairs)
        event["multiValueHeaders"] = _gathered(decoded)
    else:  # the last of several values wins
        event["queryStringParameters"] = dict(pairs)
        event["headers"] = dict(decoded)
    if not body:
        event["body"], event["isBase64Encoded"] = "", False
    elif _is_text(headers):
        try:
            event["body"], event["isBase64Encoded"] = body.decode(), False
        except UnicodeDecodeError as error:
            raise NotText(f"the body is declared to be text and is not UTF-8: {error}") from None
    else:
        event["body"], event["isBase64Encoded"] = base64.b64encode(body).decode("ascii"), True
    return event


def health_check_event(target_group_arn: str, path: str, *, multi_value: bool) -> dict[str, Any]:
    """The event of a health check: one header, nothing else."""
    plain, _, query = path.partition("?")
    return lambda_event(
        target_group_arn,
        method="GET",
        path=plain,
        query=query,
        headers=[("user-agent", HEALTH_CHECKER)],
        body=b"",
        multi_value=multi_value,
    )


def _gathered(pairs: Pairs) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in pairs:
        gathered.setdefault(name, []).append(value)
    return gathered


def _as_utf8(value: str) -> str:
    """A header value came off the wire as Latin-1; functions get text."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotText(f"a header is not UTF-8: {error}") from None
