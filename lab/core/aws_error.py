"""AWS's error answers in each wire protocol, for what the lab itself refuses.

https://docs.aws.amazon.com/smithy/ describes the protocols (https://smithy.io/2.0/aws/protocols/index.html). Which
error a call gets is decided elsewhere.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lab.core.aws_request import WireProtocol

STATUSES = {
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InternalServerException": 500,
    "MissingAuthenticationToken": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestTimeout": 400,
    "ServiceException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
    "TooManyRequestsException": 429,
}
"""Statuses of the errors that the lab makes or that a fault may name; others are 400."""


_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


@dataclass(frozen=True)
class AwsError:
    """One error. `status` None means the usual one for the code."""

    code: str
    message: str
    status: int | None = None

    @property
    def http_status(self) -> int:
        if self.status is not None:
            return self.status
        if self.code in STATUSES:
            return STATUSES[self.code]
        return 500 if self.code.startswith("Internal") else 400


@dataclass(frozen=True)
class ErrorAnswer:
    """The answer's status, headers and body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def xml_text(value: str) -> str:
    """Character data of XML; what XML has no way to write becomes a question mark."""
    return escape(_NO_XML.sub("?", value))


def error_answer(error: AwsError, protocol: WireProtocol, request_id: str, *, json_version: str = "1.0") -> ErrorAnswer:
    """The error as a client of this protocol expects it."""
    status = error.http_status
    message, code = xml_text(error.message), escape(error.code)
    kind = "Sender" if status < 500 else "Receiver"
    identity = ("x-amzn-RequestId", request_id)
    xml = '<?xml version="1.0" encoding="UTF-8"?>\n'
    match protocol:
        case "json":
            body = json.dumps({"__type": f"com.amazon.coral.service#{error.code}", "message": error.message}).encode()
            headers = [("Content-Type", f"application/x-amz-json-{json_version}"), identity]
            return ErrorAnswer(status, headers, body)
        case "rest-json":
            body = json.dumps({"message": error.message, "Message": error.message, "Type": _fault(status)}).encode()
            headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code), identity]
            return ErrorAnswer(status, headers, body)
        case "rpc-v2-cbor":
            headers = [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor"), identity]
            return ErrorAnswer(status, headers, _cbor({"__type": error.code, "message": error.message}))
        case "s3":
            detail = f"<Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId>"
            text = f"{xml}<Error>{detail}</Error>"
            headers = [("Content-Type", "application/xml"), ("x-amz-request-id", request_id)]
            return ErrorAnswer(status, headers, text.encode())
        case "ec2":
            text = (
                f"{xml}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>"
            )
        case "query" | "rest-xml":
            text = (
                f"{xml}<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>"
            )
    return ErrorAnswer(status, [("Content-Type", "text/xml"), identity], text.encode())


def _fault(status: int) -> str:
    return "User" if status < 500 else "Server"


def _cbor(value: dict[str, str]) -> bytes:
    """A map of strings in CBOR (RFC 8949): all that an error needs."""
    assert len(value) < 24
    return bytes([0xA0 + len(value)]) + b"".join(_cbor_text(k) + _cbor_text(v) for k, v in value.items())


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    if size < 24:
        return bytes([0x60 + size]) + data
    if size < 256:
        return bytes([0x78, size]) + data
    return bytes([0x79]) + size.to_bytes(2, "big") + data[:65535]
