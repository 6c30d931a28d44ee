"""API Gateway's records in memory and on disk, and the documents that are made of them.

The operations (`apis`, `methods`, `stages`, `domains`) read and replace records through this; it decides nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lab.control.apigateway.records import Api, ApiGatewayRecords, ApiResource, Domain
from lab.control.aws_error import AwsError
from lab.control.dispatch import Call
from lab.control.record_file import RecordFile
from lab.core.endpoint_name import EndpointName
from lab.core.rest_api import DomainName, RestApi, RestApis, Stage, execute_api_host
from lab.core.topology import Topology

ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class ApiGatewayState:
    """The records. `changed` is called after every change, once the file is written."""

    def __init__(self, records: RecordFile[ApiGatewayRecords], changed: Callable[[], None]) -> None:
        self._records, self._changed = records, changed
        self._random = random.SystemRandom()
        self._apis = {(api.region, api.api_id): api for api in records.value.apis}
        self._domains = {(domain.region, domain.domain_name): domain for domain in records.value.domains}

    # reading

    def api(self, call: Call) -> Api:
        """The API that a call names. Raises NotFoundException."""
        api_id = call.parameters["restApiId"]
        api = self._apis.get((call.region, api_id))
        if api is None:
            raise AwsError("NotFoundException", f"Invalid API identifier specified {call.region}:{api_id}")
        return api

    def resource(self, call: Call, member: str = "resourceId") -> tuple[Api, ApiResource]:
        """The API and the resource that a call names. Raises NotFoundException."""
        api = self.api(call)
        for resource in api.resources:
            if resource.resource_id == call.parameters[member]:
                return api, resource
        raise AwsError("NotFoundException", "Invalid Resource identifier specified")

    def domain(self, call: Call) -> Domain:
        """The domain name that a call names. Raises NotFoundException."""
        domain = self._domains.get((call.region, call.parameters["domainName"].lower()))
        if domain is None:
            raise AwsError("NotFoundException", "Invalid domain name identifier specified")
        return domain

    def apis_of(self, region: str) -> list[Api]:
        return [api for (where, _), api in self._apis.items() if where == region]

    def domains_of(self, region: str) -> list[Domain]:
        return [domain for (where, _), domain in self._domains.items() if where == region]

    def has_domain(self, region: str, name: str) -> bool:
        return (region, name) in self._domains

    def find_api(self, region: str, api_id: str) -> Api | None:
        return self._apis.get((region, api_id))

    def find_domain(self, region: str, name: str) -> Domain | None:
        return self._domains.get((region, name))

    # changing

    def keep_api(self, api: Api) -> None:
        self._apis[api.region, api.api_id] = api
        self._save()

    def drop_api(self, api: Api) -> None:
        del self._apis[api.region, api.api_id]
        self._save()

    def keep_domain(self, domain: Domain) -> None:
        self._domains[domain.region, domain.domain_name] = domain
        self._save()

    def drop_domain(self, domain: Domain) -> None:
        del self._domains[domain.region, domain.domain_name]
        self._save()

    def new_id(self, length: int) -> str:
        """An id as API Gateway makes them: ten characters for an API, six for resources and deployments."""
        return "".join(self._random.choices(ID_ALPHABET, k=length))

    def _save(self) -> None:
        self._records.replace(ApiGatewayRecords(tuple(self._apis.values()), tuple(self._domains.values())))
        self._changed()

    # documents

    def document(self) -> RestApis:
        """The document `apis`."""
        return RestApis(
            tuple(_published(api) for api in self._apis.values()),
            tuple(
                DomainName(d.region, d.domain_name, d.regional_domain_name, d.regional_hosted_zone_id, d.mappings)
                for d in self._domains.values()
            ),
        )

    def endpoint_names(self, topology: Topology) -> tuple[EndpointName, ...]:
        """The names of the APIs and regional domain names, with the addresses of their regions' data planes."""
        from lab.control.apigateway.regional_zones import regional_hosted_zone_id

        names: list[EndpointName] = []
        for api in self._apis.values():
            address = topology.region(api.region).address
            host = execute_api_host(api.api_id, api.region) + "."
            zone_id = regional_hosted_zone_id(api.region)
            names.append(EndpointName(host, "execute-api", (address,), zone_id, api.region, api.api_id))
        for domain in self._domains.values():
            address = topology.region(domain.region).address
            names.append(
                EndpointName(
                    domain.regional_domain_name + ".",
                    "regional-api-domain",
                    (address,),
                    domain.regional_hosted_zone_id,
                    domain.region,
                    domain.domain_name,
                )
            )
        return tuple(names)


def _published(api: Api) -> RestApi:
    by_id = {deployment.deployment_id: deployment for deployment in api.deployments}
    stages = tuple(
        Stage(stage.name, stage.deployment_id, by_id[stage.deployment_id].resources, stage.variables)
        for stage in api.stages
    )
    return RestApi(api.region, api.api_id, api.name, stages, api.binary_media_types, api.disable_execute_api_endpoint)


def page(items: list[dict[str, Any]], call: Call) -> dict[str, Any]:
    """`item` and `position` of a listing: API Gateway's paging, 25 a page unless told, at most 500."""
    try:
        start = int(call.parameters.get("position", "0"))
    except ValueError:
        raise AwsError("BadRequestException", "Invalid position parameter") from None
    limit = call.parameters.get("limit") or 25
    end = start + max(1, min(limit, 500))
    return {"items": items[start:end], "position": str(end) if end < len(items) else None}


def when(time_ms: int) -> datetime:
    """A time in the API's answers: whole seconds, as API Gateway tells them."""
    return datetime.fromtimestamp(time_ms // 1000, UTC)
