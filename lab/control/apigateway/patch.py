"""API Gateway's patch operations (`[{"op": "replace", "path": "/name", "value": "x"}]`) on plain values.

https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html. Only the paths that a caller lists are
accepted; anything else is a BadRequestException that names the path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.control.aws_error import AwsError

Setter = Callable[[str | None], Any]


def text(value: str | None) -> str:
    return value or ""


def flag(value: str | None) -> bool:
    return (value or "").lower() == "true"


def number(value: str | None) -> int | None:
    if value in (None, "", "null"):
        return None
    try:
        return int(str(value))
    except ValueError:
        raise AwsError("BadRequestException", f"Invalid patch value {value!r}: expected a whole number") from None


def apply(
    operations: list[dict[str, Any]],
    fields: dict[str, tuple[str, Setter]],
    *,
    maps: dict[str, dict[str, str]] | None = None,
    sets: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    """The new values of the fields that were replaced, by our names.

    `fields` maps a path to our name and a converter; `maps` (/variables/NAME) and `sets` (/binaryMediaTypes/VALUE) map
    a path's first part to a dict or list, which is changed in place.
    """
    changed: dict[str, Any] = {}
    for operation in operations:
        op, path, value = operation.get("op"), operation.get("path", ""), operation.get("value")
        head, _, rest = path.strip("/").partition("/")
        rest = rest.replace("~1", "/").replace("~0", "~")
        if path in fields and op in ("replace", "add", "remove"):
            name, convert = fields[path]
            changed[name] = convert(None if op == "remove" else value)
        elif maps is not None and head in maps and rest:
            if op == "remove":
                maps[head].pop(rest, None)
            else:
                maps[head][rest] = text(value)
        elif sets is not None and head in sets and rest:
            if op == "remove":
                sets[head][:] = [item for item in sets[head] if item != rest]
            elif rest not in sets[head]:
                sets[head].append(rest)
        else:
            known = ", ".join([*fields, *(f"/{name}/..." for name in (*(maps or {}), *(sets or {})))])
            raise AwsError("BadRequestException", f"Invalid patch path {path!r} (op {op}); the lab knows {known}")
    return changed
