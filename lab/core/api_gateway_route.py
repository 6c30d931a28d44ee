"""Which API, stage, resource and method a request to a region's API Gateway data plane reaches.

By execute-api host, by custom domain with base path mappings, or by id and stage (the path forms). What is invoked
and what the answer is, others decide. Not imitated: wildcard custom domains, routing rules, private APIs.
https://docs.aws.amazon.com/apigateway/latest/developerguide/rest-api-mappings.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from lab.core.api_gateway_error import FORBIDDEN, MISSING_AUTHENTICATION_TOKEN, GatewayError
from lab.core.rest_api import DomainName, Method, Resource, RestApi, RestApis, Stage, execute_api_host

ROOT_MAPPING = "(none)"


class StageMatch(NamedTuple):
    """A stage and what is left of the path. All paths are as the client sent them, percent-encoded.

    `path` is the event's (with a base path, without a stage), `context_path` the request context's (with the stage
    where the URL has it), `resource_path` what resources are matched against.
    """

    api: RestApi
    stage: Stage
    path: str
    context_path: str
    resource_path: str
    domain_name: str
    resources: _Node


class RouteMatch(NamedTuple):
    """Where a request goes. `path_parameters` are decoded."""

    stage: StageMatch
    resource: Resource
    method: Method
    path_parameters: dict[str, str]

    @property
    def function_name(self) -> str:
        """The function, with `${stageVariables.x}` filled in."""
        name = self.method.function_name
        if "${" in name:
            for key, value in self.stage.stage.variables.items():
                name = name.replace("${stageVariables." + key + "}", value)
        return name


@dataclass
class _Node:
    """One segment of the resources' tree."""

    static: dict[str, _Node] = field(default_factory=dict)
    parameter: tuple[str, _Node] | None = None
    greedy: tuple[str, Resource] | None = None
    resource: Resource | None = None


class RegionApis:
    """The APIs and domain names of one region, made ready for look-ups."""

    def __init__(self, apis: RestApis, region: str) -> None:
        self._region = region
        self._apis = {api.api_id: api for api in apis.apis if api.region == region}
        self._domains = {d.domain_name.lower(): d for d in apis.domain_names if d.region == region}
        self._trees = {
            (api.api_id, stage.name): _tree(stage.resources) for api in self._apis.values() for stage in api.stages
        }
        self._suffix = execute_api_host("", region)

    def by_host(self, host: str, path: str) -> StageMatch | GatewayError:
        """The stage that a Host (lower case, no port) and a path reach; 403 Forbidden for a name that is not ours."""
        domain = self._domains.get(host)
        if domain is not None:
            return self._by_domain(domain, path)
        if host.endswith(self._suffix):
            api = self._apis.get(host.removesuffix(self._suffix))
            if api is not None and not api.disable_execute_api_endpoint:
                stage_name, _, rest = path[1:].partition("/")
                return self._stage(api, stage_name, "/" + rest, path, "/" + rest, host)
        return FORBIDDEN

    def has_domain(self, host: str) -> bool:
        """Whether a Host is a custom domain name of the region."""
        return host in self._domains

    def by_id(self, api_id: str, stage_name: str, path: str) -> StageMatch | GatewayError:
        """The stage that a path form names; the request looks as if it came by the execute-api host."""
        api = self._apis.get(api_id)
        if api is None:
            return FORBIDDEN
        path = path if path.startswith("/") else "/" + path
        host = execute_api_host(api_id, self._region)
        return self._stage(api, stage_name, path, f"/{stage_name}{path}", path, host)

    def _by_domain(self, domain: DomainName, path: str) -> StageMatch | GatewayError:
        best: tuple[int, str, str, str] | None = None
        for mapping in domain.mappings:
            base = "" if mapping.base_path in (ROOT_MAPPING, "") else "/" + mapping.base_path.strip("/")
            if base and path != base and not path.startswith(base + "/"):
                continue
            if best is None or len(base) > best[0]:
                best = (len(base), mapping.api_id, mapping.stage, path[len(base) :] or "/")
        if best is None or best[1] not in self._apis:
            return FORBIDDEN
        return self._stage(self._apis[best[1]], best[2], path, path, best[3], domain.domain_name.lower())

    def _stage(
        self, api: RestApi, name: str, path: str, context_path: str, resource_path: str, host: str
    ) -> StageMatch | GatewayError:
        for stage in api.stages:
            if stage.name == name:
                tree = self._trees[api.api_id, name]
                return StageMatch(api, stage, path, context_path, resource_path, host, tree)
        return FORBIDDEN


def route(stage: StageMatch, http_method: str) -> RouteMatch | GatewayError:
    """The resource and method: literal segments before `{name}`, that before `{name+}`; `ANY` if no method fits.

    A trailing slash is ignored. An unknown path or method is a 403, as on AWS.
    """
    path = stage.resource_path.rstrip("/")
    segments = path[1:].split("/") if path else []
    found = _find(stage.resources, segments, 0)
    if found is None:
        return MISSING_AUTHENTICATION_TOKEN
    resource, parameters = found
    any_method = None
    for method in resource.methods:
        if method.http_method == http_method:
            return RouteMatch(stage, resource, method, parameters)
        if method.http_method == "ANY":
            any_method = method
    if any_method is None:
        return MISSING_AUTHENTICATION_TOKEN
    return RouteMatch(stage, resource, any_method, parameters)


def _tree(resources: tuple[Resource, ...]) -> _Node:
    root = _Node()
    for resource in resources:
        if not resource.methods:
            continue
        node = root
        segments = [segment for segment in resource.path.split("/") if segment]
        for segment in segments:
            if segment.startswith("{") and segment.endswith("+}"):
                node.greedy = (segment[1:-2], resource)
                break
            if segment.startswith("{") and segment.endswith("}"):
                if node.parameter is None:
                    node.parameter = (segment[1:-1], _Node())
                node = node.parameter[1]
            else:
                node = node.static.setdefault(segment, _Node())
        else:
            node.resource = resource
    return root


def _find(node: _Node, segments: list[str], at: int) -> tuple[Resource, dict[str, str]] | None:
    if at == len(segments):
        return None if node.resource is None else (node.resource, {})
    segment = segments[at]
    literal = node.static.get(segment) or node.static.get(unquote(segment))
    if literal is not None:
        found = _find(literal, segments, at + 1)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        found = _find(node.parameter[1], segments, at + 1)
        if found is not None:
            found[1][node.parameter[0]] = unquote(segment)
            return found
    if node.greedy is not None:
        rest = "/".join(segments[at:])
        if rest:
            return node.greedy[1], {node.greedy[0]: unquote(rest)}
    return None
