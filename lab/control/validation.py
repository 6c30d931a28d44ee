"""Checks parameters against AWS's model, for callers that are no SDKs: required members, types, enums, lengths, ranges.

The message is the one that AWS's services give, "1 validation error detected: Value ... at ... failed to satisfy
constraint: ..." (https://docs.aws.amazon.com/lambda/latest/api/CommonErrors.html). Patterns are not checked here: the
models' are not all Python's, and where they matter the control plane checks by itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.service_model import ServiceModel

ERROR_CODES = {
    "apigateway": "BadRequestException",
    "elasticloadbalancing": "ValidationError",
    "globalaccelerator": "InvalidArgumentException",
    "lambda": "ValidationException",
    "route53": "InvalidInput",
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "character": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "blob": (bytes, str),
    "timestamp": (datetime.datetime,),
}


def check(model: ServiceModel, shape: Any, parameters: dict[str, Any]) -> None:
    """Raises AwsError with the service's validation error if `parameters` do not fit `shape`."""
    problems = list(_problems(shape, parameters, ""))
    if not problems:
        return
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected"
    raise AwsError(ERROR_CODES.get(model.service, "ValidationException"), f"{count}: {'; '.join(problems)}")


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if getattr(shape, "is_document_type", False):
        return
    expected = _TYPES.get(kind)
    if expected is not None and (not isinstance(value, expected) or (kind != "boolean" and isinstance(value, bool))):
        yield f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: Member must be a {kind}"
        return
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
        for name, item in value.items():
            member = shape.members.get(name)
            if member is not None:
                yield from _problems(member, item, _join(path, name))
    elif kind == "list":
        yield from _size(shape, len(value), value, path)
        for n, item in enumerate(value, start=1):
            yield from _problems(shape.member, item, f"{path}.{n}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _problems(shape.value, item, f"{path}.{key}")
    elif kind == "string":
        if shape.enum and value not in shape.enum:
            allowed = ", ".join(shape.enum)
            yield (
                f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{allowed}]"
            )
        yield from _size(shape, len(value), value, path)
    elif kind in ("integer", "long", "float", "double"):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if low is not None and value < low:
            yield (
                f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: "
                f"Member must have value greater than or equal to {low}"
            )
        if high is not None and value > high:
            yield (
                f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: "
                f"Member must have value less than or equal to {high}"
            )


def _size(shape: Any, length: int, value: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and length < low:
        yield (
            f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: "
            f"Member must have length greater than or equal to {low}"
        )
    if high is not None and length > high:
        yield (
            f"Value {_quoted(value)} at '{path}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {high}"
        )


def _join(path: str, name: str) -> str:
    first = name[:1].lower() + name[1:]
    return f"{path}.{first}" if path else first


def _quoted(value: Any) -> str:
    text = str(value)
    return f"'{text[:200]}{'...' if len(text) > 200 else ''}'"
