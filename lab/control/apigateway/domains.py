"""API Gateway's regional custom domain names with their base path mappings, and the tags of everything.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-regional-api-custom-domain-create.html. The
lab speaks HTTP, so a certificate is not wanted and one that is given is only remembered; edge-optimized and private
domain names are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from lab.control.apigateway import patch
from lab.control.apigateway.records import Api, ApiStage, Domain
from lab.control.apigateway.regional_zones import regional_hosted_zone_id
from lab.control.apigateway.state import ApiGatewayState, page, when
from lab.control.aws_error import AwsError, not_implemented
from lab.control.dispatch import Call
from lab.core.rest_api import BasePathMapping
from lab.live.clock import now_ms

ROOT = "(none)"
_DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_ARN = re.compile(
    r"arn:aws[a-z-]*:apigateway:(?P<region>[a-z0-9-]+):(?:\d*):?:?/"
    r"(?:restapis/(?P<api>[a-z0-9]+)(?:/stages/(?P<stage>[^/]+))?|domainnames/(?P<domain>[^/]+))"
)


class DomainsPlane:
    """Operations on domain names, mappings and tags."""

    def __init__(self, state: ApiGatewayState) -> None:
        self._state = state

    # domain names

    def create_domain_name(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        name = given["domainName"].lower()
        if not _DOMAIN.fullmatch(name):
            raise AwsError("BadRequestException", f"Invalid domain name: {given['domainName']}")
        types = given.get("endpointConfiguration", {}).get("types") or ["EDGE"]
        if types != ["REGIONAL"]:
            raise not_implemented("apigateway", call.operation, "only domain names with endpointConfiguration REGIONAL")
        if self._state.has_domain(call.region, name):
            raise AwsError("BadRequestException", "The domain name you provided already exists.")
        domain = Domain(
            region=call.region,
            domain_name=name,
            regional_domain_name=f"d-{self._state.new_id(10)}.execute-api.{call.region}.amazonaws.com",
            regional_hosted_zone_id=regional_hosted_zone_id(call.region),
            created_ms=now_ms(),
            certificate_arn=given.get("regionalCertificateArn"),
            certificate_name=given.get("regionalCertificateName"),
            security_policy=given.get("securityPolicy", "TLS_1_2"),
            tags=given.get("tags", {}),
        )
        self._state.keep_domain(domain)
        return _domain_name(domain)

    def get_domain_name(self, call: Call) -> dict[str, Any]:
        return _domain_name(self._state.domain(call))

    def get_domain_names(self, call: Call) -> dict[str, Any]:
        return page([_domain_name(domain) for domain in self._state.domains_of(call.region)], call)

    def update_domain_name(self, call: Call) -> dict[str, Any]:
        domain = self._state.domain(call)
        changed = patch.apply(
            call.parameters.get("patchOperations", []),
            {
                "/regionalCertificateArn": ("certificate_arn", patch.text),
                "/regionalCertificateName": ("certificate_name", patch.text),
                "/securityPolicy": ("security_policy", patch.text),
            },
        )
        updated = replace(domain, **changed)
        self._state.keep_domain(updated)
        return _domain_name(updated)

    def delete_domain_name(self, call: Call) -> dict[str, Any]:
        self._state.drop_domain(self._state.domain(call))
        return {}

    # base path mappings

    def create_base_path_mapping(self, call: Call) -> dict[str, Any]:
        domain = self._state.domain(call)
        given = call.parameters
        base_path = given.get("basePath") or ROOT
        if base_path != ROOT and not re.fullmatch(r"[a-zA-Z0-9$_.+!*'()/-]+", base_path):
            raise AwsError(
                "BadRequestException",
                "API Gateway V1 doesn't support the slash character (/) at either end "
                "of base path mappings, or this base path has characters that it must not have: " + base_path,
            )
        if any(mapping.base_path == base_path for mapping in domain.mappings):
            raise AwsError("ConflictException", "Base path already exists for this domain name")
        stage = given.get("stage", "")
        self._check_target(call.region, given["restApiId"], stage)
        mapping = BasePathMapping(base_path, given["restApiId"], stage)
        self._state.keep_domain(replace(domain, mappings=(*domain.mappings, mapping)))
        return _mapping(mapping)

    def get_base_path_mapping(self, call: Call) -> dict[str, Any]:
        return _mapping(self._mapping(call)[1])

    def get_base_path_mappings(self, call: Call) -> dict[str, Any]:
        return page([_mapping(mapping) for mapping in self._state.domain(call).mappings], call)

    def update_base_path_mapping(self, call: Call) -> dict[str, Any]:
        domain, mapping = self._mapping(call)
        changed = patch.apply(
            call.parameters.get("patchOperations", []),
            {
                "/basePath": ("base_path", lambda value: value or ROOT),
                "/basepath": ("base_path", lambda value: value or ROOT),
                "/restapiId": ("api_id", patch.text),
                "/restApiId": ("api_id", patch.text),
                "/stage": ("stage", patch.text),
            },
        )
        updated = replace(mapping, **changed)
        if updated.base_path != mapping.base_path and any(m.base_path == updated.base_path for m in domain.mappings):
            raise AwsError("ConflictException", "Base path already exists for this domain name")
        self._check_target(call.region, updated.api_id, updated.stage)
        mappings = tuple(updated if m is mapping else m for m in domain.mappings)
        self._state.keep_domain(replace(domain, mappings=mappings))
        return _mapping(updated)

    def delete_base_path_mapping(self, call: Call) -> dict[str, Any]:
        domain, mapping = self._mapping(call)
        left = tuple(m for m in domain.mappings if m is not mapping)
        self._state.keep_domain(replace(domain, mappings=left))
        return {}

    # tags

    def tag_resource(self, call: Call) -> dict[str, Any]:
        self._retag(call, lambda tags: {**tags, **call.parameters["tags"]})
        return {}

    def untag_resource(self, call: Call) -> dict[str, Any]:
        dropped = call.parameters["tagKeys"]
        self._retag(call, lambda tags: {key: value for key, value in tags.items() if key not in dropped})
        return {}

    def get_tags(self, call: Call) -> dict[str, Any]:
        found: list[dict[str, str]] = []

        def look(tags: dict[str, str]) -> dict[str, str]:
            found.append(tags)
            return tags

        self._retag(call, look)
        return {"tags": dict(found[0])}

    def _retag(self, call: Call, change: Any) -> None:
        arn = unquote(call.parameters["resourceArn"])
        match = _ARN.fullmatch(arn)
        if match is None or match["region"] != call.region:
            raise AwsError("BadRequestException", f"Invalid resource ARN: {arn}")
        if match["domain"] is not None:
            domain = self._state.find_domain(call.region, match["domain"])
            if domain is None:
                raise AwsError("NotFoundException", f"Invalid domain name identifier specified: {match['domain']}")
            self._state.keep_domain(replace(domain, tags=change(domain.tags)))
            return
        api = self._state.find_api(call.region, match["api"])
        if api is None:
            raise AwsError("NotFoundException", f"Invalid API identifier specified: {match['api']}")
        if match["stage"] is None:
            self._state.keep_api(replace(api, tags=change(api.tags)))
            return
        stage = _stage_of(api, match["stage"])
        if stage is None:
            raise AwsError("NotFoundException", "Invalid stage identifier specified")
        stages = tuple(replace(s, tags=change(s.tags)) if s is stage else s for s in api.stages)
        self._state.keep_api(replace(api, stages=stages))

    def _mapping(self, call: Call) -> tuple[Domain, BasePathMapping]:
        domain = self._state.domain(call)
        wanted = call.parameters.get("basePath") or ROOT
        for mapping in domain.mappings:
            if mapping.base_path == wanted:
                return domain, mapping
        raise AwsError("NotFoundException", "Invalid base path mapping identifier specified")

    def _check_target(self, region: str, api_id: str, stage: str) -> None:
        api = self._state.find_api(region, api_id)
        if api is None:
            raise AwsError("BadRequestException", "Invalid REST API identifier specified")
        if stage and _stage_of(api, stage) is None:
            raise AwsError("BadRequestException", "Invalid stage identifier specified")


def _stage_of(api: Api, name: str) -> ApiStage | None:
    return next((stage for stage in api.stages if stage.name == name), None)


def _mapping(mapping: BasePathMapping) -> dict[str, Any]:
    return {"basePath": mapping.base_path, "restApiId": mapping.api_id, "stage": mapping.stage or None}


def _domain_name(domain: Domain) -> dict[str, Any]:
    return {
        "domainName": domain.domain_name,
        "domainNameArn": f"arn:aws:apigateway:{domain.region}::/domainnames/{domain.domain_name}",
        "regionalDomainName": domain.regional_domain_name,
        "regionalHostedZoneId": domain.regional_hosted_zone_id,
        "regionalCertificateArn": domain.certificate_arn,
        "regionalCertificateName": domain.certificate_name,
        "certificateUploadDate": when(domain.created_ms),
        "endpointConfiguration": {"types": ["REGIONAL"], "ipAddressType": "ipv4"},
        "domainNameStatus": "AVAILABLE",
        "securityPolicy": domain.security_policy,
        "tags": dict(domain.tags) or None,
    }
