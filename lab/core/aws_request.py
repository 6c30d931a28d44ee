"""What an AWS API request asks for: service and region (SigV4 scope), operation, wire protocol.

Signatures are not verified: the lab has no secrets. Routing is the front's business.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote

Headers = Sequence[tuple[str, str]]
WireProtocol = Literal["json", "rpc-v2-cbor", "query", "ec2", "rest-xml", "s3", "rest-json"]

_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/([A-Za-z0-9-]+)/aws4_request")
_OPERATION_PATH = re.compile(r"^/service/([A-Za-z0-9_]+)/operation/([A-Za-z0-9_]+)$")
_INVOKE_PATH = re.compile(r"^/2015-03-31/functions/[^/]+/invocations/?$")
_REST_XML = frozenset({"route53", "cloudfront", "s3-control"})
_QUERY = frozenset({"iam", "sts", "sns", "elasticloadbalancing", "cloudformation", "autoscaling", "rds", "email"})

TARGET_SERVICES = {
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    "AmazonSQS": "sqs",
    "Logs_20140328": "logs",
    "AWSEvents": "events",
    "AmazonSSM": "ssm",
    "secretsmanager": "secretsmanager",
    "TrentService": "kms",
    "Kinesis_20131202": "kinesis",
    "AWSStepFunctions": "states",
    "CertificateManager": "acm",
    "GraniteServiceVersion20100801": "monitoring",
    "ResourceGroupsTaggingAPI_20170126": "tagging",
    "GlobalAccelerator_V20180706": "globalaccelerator",
}
"""Which service (by its signing name) a target's prefix belongs to."""


class BadSignature(ValueError):
    """The request's signature cannot be read; the message says what was expected."""


@dataclass(frozen=True)
class Scope:
    """Whom a request is signed for. `service` is the signing name: `dynamodb`, `s3`, `monitoring`, ...

    `region` is empty for S3's presigned URLs of Signature Version 2, which boto3 still makes: they name none.
    """

    service: str
    region: str
    access_key: str
    presigned: bool = False


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header; `name` in lower case."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


def scope_of(headers: Headers, query: str) -> Scope | None:
    """The SigV4 credential scope from the Authorization header or a presigned query; None for an unsigned request.

    Raises BadSignature for another scheme, an unreadable scope, or a signature in both places.
    """
    authorizations = [value for name, value in headers if name.lower() == "authorization"]
    presigned = "X-Amz-Credential=" in query or "X-Amz-Signature=" in query
    if not authorizations and "AWSAccessKeyId=" in query and "Signature=" in query:
        return Scope("s3", "", parse_qs(query).get("AWSAccessKeyId", [""])[0], presigned=True)
    if not authorizations:
        return _presigned_scope(query) if presigned else None
    if presigned or len(authorizations) > 1:
        raise BadSignature("only one signature is allowed: an Authorization header or X-Amz-* query parameters")
    if not authorizations[0].startswith("AWS4-HMAC-SHA256 "):
        raise BadSignature("only Signature Version 4 (AWS4-HMAC-SHA256) is understood")
    match = _CREDENTIAL.search(authorizations[0])
    if match is None:
        raise BadSignature("expected Credential=KEY/YYYYMMDD/REGION/SERVICE/aws4_request in the Authorization header")
    return Scope(match[4], match[3], match[1])


def _presigned_scope(query: str) -> Scope:
    values = parse_qs(query).get("X-Amz-Credential", [])
    match = _CREDENTIAL.fullmatch(f"Credential={values[0]}") if len(values) == 1 else None
    if match is None:
        raise BadSignature("expected one X-Amz-Credential=KEY/YYYYMMDD/REGION/SERVICE/aws4_request in the query")
    return Scope(match[4], match[3], match[1], presigned=True)


def target_of(headers: Headers) -> tuple[str, str] | None:
    """Prefix and operation of `X-Amz-Target`, if there is one."""
    value = header(headers, "x-amz-target")
    if value is None:
        return None
    prefix, _, operation = value.rpartition(".")
    return prefix, operation


def wire_protocol(service: str, headers: Headers) -> WireProtocol:
    """How the request is written, which is how its error must be written."""
    if header(headers, "smithy-protocol") == "rpc-v2-cbor":
        return "rpc-v2-cbor"
    if header(headers, "x-amz-target") is not None:
        return "json"
    if service == "s3":
        return "s3"
    if service == "ec2":
        return "ec2"
    if service in _REST_XML:
        return "rest-xml"
    content_type = header(headers, "content-type") or ""
    if service in _QUERY or content_type.startswith("application/x-www-form-urlencoded"):
        return "query"
    return "rest-json"


def operation_of(service: str, method: str, path: str, query: str, headers: Headers, body: bytes) -> str | None:
    """The operation's name as in AWS's API, or None if the request does not say so plainly (most REST calls)."""
    target = target_of(headers)
    if target is not None:
        return target[1]
    named = _OPERATION_PATH.match(path)
    if named:
        return named[2]
    if service == "lambda":
        return "Invoke" if method == "POST" and _INVOKE_PATH.match(path) else None
    if service == "s3":
        return _s3_operation(method, path, query)
    if "Action=" in query:
        return parse_qs(query).get("Action", [None])[0]
    if (header(headers, "content-type") or "").startswith("application/x-www-form-urlencoded"):
        return parse_qs(body[:65536].decode("utf-8", "replace")).get("Action", [None])[0]
    return None


def _s3_operation(method: str, path: str, query: str) -> str | None:
    # Sub-resources (?acl, ?versioning, ...) have operations of their own that faults by operation do not need.
    names = {part.partition("=")[0] for part in query.split("&") if part}
    if any(not name.startswith(("X-Amz-", "x-id", "list-type", "prefix", "delimiter", "max-keys")) for name in names):
        return None
    is_object = unquote(path).strip("/").count("/") >= 1
    if is_object:
        return {"GET": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject", "HEAD": "HeadObject"}.get(method)
    if path == "/":
        return "ListBuckets" if method == "GET" else None
    if method == "GET":
        return "ListObjectsV2" if "list-type" in names else "ListObjects"
    return {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}.get(method)
