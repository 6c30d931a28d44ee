"""Lambda's Invoke over HTTP: a request of the AWS API in, AWS's answer with its headers out.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html. Who may call, and to which region the call goes, is
decided before, by the front.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Protocol, cast
from urllib.parse import parse_qs, unquote

import orjson

from lab.core.lambda_errors import (
    InvalidParameterValue,
    InvalidRequestContent,
    InvokeError,
    ValidationFailed,
)
from lab.core.lambda_function_name import parse_function_name
from lab.core.topology import ACCOUNT_ID
from lab.live.functions.region_functions import Invocation, InvocationType
from lab.live.http_message import Headers, Request, Response

_PATH = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/invocations/?")
_TYPES = ("Event", "RequestResponse", "DryRun")


class Invokes(Protocol):
    """What this module needs of a region's functions."""

    @property
    def region(self) -> str: ...

    async def invoke(
        self,
        name: str,
        payload: bytes,
        *,
        invocation_type: InvocationType = "RequestResponse",
        client_context: str | None = None,
        trace_id: str | None = None,
        qualifier: str | None = None,
        want_tail: bool = False,
    ) -> Invocation: ...


def is_invoke(request: Request) -> bool:
    """Whether a request to the AWS endpoint is one for `answer_invoke`."""
    return request.method == "POST" and _PATH.fullmatch(request.path) is not None


async def answer_invoke(functions: Invokes, request: Request) -> Response:
    """Answer `POST /2015-03-31/functions/NAME/invocations`. Raises nothing: refusals are AWS's error answers."""
    try:
        invocation = await _invoke(functions, request)
    except InvokeError as error:
        return error_response(error)
    headers: Headers = [("x-amzn-RequestId", invocation.request_id)]
    if invocation.status_code == 204:
        return Response(204, headers)
    headers.append(("x-amzn-Remapped-Content-Length", "0"))
    if invocation.status_code == 200:
        headers.append(("Content-Type", "application/json"))
        headers.append(("X-Amz-Executed-Version", invocation.executed_version))
        if invocation.function_error is not None:
            headers.append(("X-Amz-Function-Error", invocation.function_error))
        if invocation.log_tail:
            headers.append(("X-Amz-Log-Result", base64.b64encode(invocation.log_tail).decode("ascii")))
    return Response(invocation.status_code, headers, invocation.payload)


def error_response(error: InvokeError) -> Response:
    """AWS's answer for a refused invocation."""
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", str(uuid.uuid4())),
        ("x-amzn-ErrorType", error.error_type),
    ]
    return Response(error.status, headers, orjson.dumps(error.body))


async def _invoke(functions: Invokes, request: Request) -> Invocation:
    match = _PATH.fullmatch(request.path)
    assert match is not None and request.method == "POST"
    reference = parse_function_name(unquote(match["name"]))
    if reference.region not in (None, functions.region):
        raise InvalidParameterValue(
            f"Functions from '{reference.region}' are not reachable in this region ('{functions.region}')"
        )
    if reference.account not in (None, ACCOUNT_ID):
        raise InvalidParameterValue(
            f"Functions of account {reference.account} are not reachable: the lab has {ACCOUNT_ID}"
        )
    (qualifier,) = parse_qs(request.query).get("Qualifier", [reference.qualifier])[:1]
    if reference.qualifier not in (None, qualifier):
        raise InvalidParameterValue(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    invocation_type = request.header("X-Amz-Invocation-Type") or "RequestResponse"
    if invocation_type not in _TYPES:
        raise ValidationFailed(
            f"1 validation error detected: Value '{invocation_type}' at 'invocationType' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(_TYPES)}]"
        )
    if request.body:
        _check_json(request.body)
    return await functions.invoke(
        reference.name,
        request.body,
        invocation_type=cast(InvocationType, invocation_type),
        client_context=_client_context(request.header("X-Amz-Client-Context")),
        trace_id=request.header("X-Amzn-Trace-Id"),
        qualifier=qualifier,
        want_tail=request.header("X-Amz-Log-Type") == "Tail" and invocation_type == "RequestResponse",
    )


def _check_json(body: bytes) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestContent(f"Could not parse request body into json: {error}") from None


def _client_context(header: str | None) -> str | None:
    """The JSON text of a client context. Raises InvalidRequestContent."""
    if not header:
        return None
    try:
        value = json.loads(base64.b64decode(header, validate=True))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.")
    return json.dumps(value, separators=(",", ":"))  # ASCII and without line breaks: it becomes a header
