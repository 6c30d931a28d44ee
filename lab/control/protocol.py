"""Requests into parameters and results into responses, by a service's protocol: rest-xml, rest-json, json, query.

Parsing and serializing results is moto's code over AWS's models; errors are written here, because each service has its
own shape for them and moto's is one for all. https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import binascii
import uuid
from typing import Any
from xml.sax.saxutils import escape

import orjson

from lab.control.aws_error import AwsError
from lab.control.service_model import HeaderValues, Match, ServiceModel, parse_json_object
from lab.control.validation import ERROR_CODES, check
from lab.control.xml_body import check_xml
from lab.core.aws_error import xml_text
from lab.live.http_message import Headers, Request, Response


def new_request_id() -> str:
    """A request id as AWS makes them."""
    return str(uuid.uuid4())


def parse(model: ServiceModel, match: Match, request: Request) -> dict[str, Any]:
    """The operation's parameters by their names in AWS's model. Raises AwsError for what does not fit the model."""
    from moto.core.parse import PROTOCOL_PARSERS

    operation = model.moto.operation_model(match.operation)
    if operation.input_shape is None:
        return {}
    if model.protocol in ("json", "rest-json") and not _has_raw_payload(operation.input_shape):
        parse_json_object(request.body)
    if model.protocol == "rest-xml":
        check_xml(operation.input_shape, request.body)
    wanted: Any = {
        "body": request.body,
        "headers": HeaderValues(request.headers),
        "method": request.method,
        "url_params": match.labels,
        "url_path": request.path,
        "values": match.values,
    }
    try:
        parsed = PROTOCOL_PARSERS[model.protocol](operation).parse(wanted)
    except (ValueError, TypeError, AttributeError, KeyError, binascii.Error) as error:
        # The parsers trust the request; these are what a value of a wrong type makes of that.
        code = ERROR_CODES[model.service] if model.protocol == "rest-xml" else "SerializationException"
        raise AwsError(code, f"the request does not fit {match.operation}: {error}") from error
    parameters: dict[str, Any] = _without_none(parsed if isinstance(parsed, dict) else {})
    check(model, operation.input_shape, parameters)
    return parameters


def result(model: ServiceModel, operation_name: str, value: dict[str, Any], request_id: str) -> Response:
    """The response to an operation that succeeded; `value` by the names in AWS's model."""
    from moto.core.serialize import SERIALIZERS, SerializationContext

    operation = model.moto.operation_model(operation_name)
    made = SERIALIZERS[model.protocol](operation, SerializationContext(request_id)).serialize(value)
    body = made["body"]
    headers: Headers = [(name, str(text)) for name, text in made["headers"].items()]
    status = made["status_code"]
    raw = body.encode() if isinstance(body, str) else body
    if status == 204:
        raw, headers = b"", []
    return Response(status, [*headers, ("x-amzn-RequestId", request_id)], raw)


def failure(model: ServiceModel | None, service: str, error: AwsError, request_id: str) -> Response:
    """The response to an operation that was refused, in the service's shape (JSON where the service is unknown)."""
    status = error.status or _modelled_status(model, error.code)
    if model is not None and model.protocol in ("rest-xml", "query", "ec2"):
        return _xml_failure(model, error, status, request_id)
    if service == "lambda":
        body = {"Type": "User" if status < 500 else "Service", "Message": error.message, **error.members}
    elif service == "apigateway":
        body = {"message": error.message, **error.members}
    else:
        body = {"__type": error.code, "message": error.message, **error.members}
    content_type = "application/json"
    if model is not None and model.protocol == "json":
        content_type = f"application/x-amz-json-{model.json_version}"
    headers: Headers = [
        ("Content-Type", content_type),
        ("x-amzn-ErrorType", error.code),
        ("x-amzn-RequestId", request_id),
    ]
    return Response(status, headers, orjson.dumps(body))


def _xml_failure(model: ServiceModel, error: AwsError, status: int, request_id: str) -> Response:
    namespace = f' xmlns="{escape(model.xml_namespace)}"' if model.xml_namespace else ""
    sender = "Sender" if status < 500 else "Receiver"
    members = "".join(
        f"<{name}>{''.join(f'<Message>{xml_text(text)}</Message>' for text in value)}</{name}>"
        for name, value in error.members.items()
    )
    body = (
        f'<?xml version="1.0"?>\n<ErrorResponse{namespace}><Error><Type>{sender}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{xml_text(error.message)}</Message>{members}</Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Response(status, [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)], body.encode())


def _modelled_status(model: ServiceModel | None, code: str) -> int:
    if model is not None:
        for shape in model.moto.error_shapes:
            details = shape.metadata.get("error", {})
            if code in (shape.name, details.get("code")):
                return int(details.get("httpStatusCode", 400))
    return 400


def _has_raw_payload(shape: Any) -> bool:
    payload = shape.serialization.get("payload")
    return payload is not None and shape.members[payload].type_name in ("blob", "string")


def _without_none(value: Any) -> Any:
    """The parsers fill in None for what was not sent; absent is clearer."""
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
