"""AWS's own description of a service (botocore's models, loaded through moto), and which operation a request means.

https://smithy.io/2.0/spec/http-bindings.html - REST requests are matched by method, path template and literal query;
JSON by X-Amz-Target; query by Action. It knows nothing of what an operation does.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from lab.control import moto_parts
from lab.control.aws_error import AwsError
from lab.live.http_message import Request

MODEL_NAMES = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}
"""The model's name where the signing name is another."""


class QueryValues:
    """The parsed query or form, as the parsers want it: first values by name, and all values of a name."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def get(self, name: str, default: Any = None) -> Any:
        values = self._values.get(name)
        return values[0] if values else default

    def getlist(self, name: str) -> list[str] | None:
        return self._values.get(name)

    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        return {name: values[0] if flat else values for name, values in self._values.items()}

    def __iter__(self) -> Any:
        return iter(self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values


class HeaderValues(Mapping[str, str]):
    """Headers by name without regard to case."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self._values = {name.lower(): value for name, value in reversed(headers)}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Match:
    """The operation of a request, with its labels from the path and its query or form."""

    operation: str
    labels: dict[str, str]
    values: QueryValues


@dataclass(frozen=True)
class _Route:
    operation: str
    method: str
    pattern: re.Pattern[str]
    labels: tuple[str, ...]
    query: dict[str, str]
    rank: tuple[int, int, int]


class ServiceModel:
    """One service. `moto` is moto's `ServiceModel` of it, for parsers and serializers."""

    def __init__(self, service: str) -> None:
        with moto_parts.loading:
            moto_parts.prepare()
            import moto.core.parse  # this one and the next for `protocol`, whole before anybody needs them
            import moto.core.serialize  # noqa: F401
            from moto.core.loaders import create_loader
            from moto.core.model import ServiceModel as MotoServiceModel

        name = MODEL_NAMES.get(service, service)
        description = create_loader().load_service_model(name, "service-2")
        self.service = service
        self.moto = MotoServiceModel(description, name)
        metadata = description["metadata"]
        self.protocol: str = metadata["protocol"]
        self.json_version: str = metadata.get("jsonVersion", "1.1")
        self.xml_namespace: str | None = metadata.get("xmlNamespace")
        self.operations: tuple[str, ...] = tuple(description["operations"])
        self._routes = (
            sorted((_route(name, o["http"]) for name, o in description["operations"].items()), key=lambda r: r.rank)
            if self.protocol.startswith("rest-")
            else []
        )
        if self.xml_namespace is None:  # rest-xml models carry it with each input
            for operation in description["operations"].values():
                namespace = operation.get("input", {}).get("xmlNamespace")
                if namespace:
                    self.xml_namespace = namespace["uri"]
                    break

    def match(self, request: Request) -> Match:
        """The operation that a request means. Raises AwsError if there is none."""
        values = QueryValues(parse_qsl(request.query, keep_blank_values=True))
        if self.protocol == "json":
            target = request.header("x-amz-target") or ""
            name = target.rpartition(".")[2]
        elif self.protocol == "query":
            form = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
            values = QueryValues([*form, *parse_qsl(request.query, keep_blank_values=True)])
            name = values.get("Action", "")
        else:
            return self._match_route(request, values)
        if name not in self.operations:
            raise AwsError(
                "InvalidAction" if self.protocol == "query" else "UnknownOperationException",
                f"{self.service} has no operation {name!r}",
            )
        return Match(name, {}, values)

    def _match_route(self, request: Request, values: QueryValues) -> Match:
        path = request.path
        for route in self._routes:
            if route.method != request.method:
                continue
            found = route.pattern.fullmatch(path)
            if found is None or any(values.get(key) != value for key, value in route.query.items()):
                continue
            labels = {name: unquote(value) for name, value in zip(route.labels, found.groups(), strict=True)}
            return Match(route.operation, labels, values)
        raise AwsError(
            "UnknownOperationException", f"{self.service} has no operation {request.method} {path}", status=404
        )


@functools.cache
def service_model(service: str) -> ServiceModel:
    """The model of a service by its signing name; loaded once, on first use (10 to 20 ms)."""
    return ServiceModel(service)


_LABEL = re.compile(r"\{([^}+]+)(\+?)\}")


def _route(operation: str, http: dict[str, Any]) -> _Route:
    path, _, query = http["requestUri"].partition("?")
    names: list[str] = []
    pattern, position = "", 0
    for label in _LABEL.finditer(path):
        pattern += re.escape(path[position : label.start()])
        pattern += "(.+)" if label.group(2) else "([^/]+)"
        names.append(label.group(1))
        position = label.end()
    pattern += re.escape(path[position:])
    pattern += "?" if pattern.endswith("/") else "/?"  # AWS does not mind a slash at the end
    literals = dict(parse_qsl(query, keep_blank_values=True))
    rank = (-len(literals), len(names), -len(path))  # literal queries first, then the fewest labels
    return _Route(operation, http["method"], re.compile(pattern), tuple(names), literals, rank)


def parse_json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, {} for an empty one. Raises AwsError."""
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AwsError("SerializationException", f"the request body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "the request body is not a JSON object")
    return value
