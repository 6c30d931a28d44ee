"""One region's REST API: resources, proxy integrations, stage, custom domain name with its base path mapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from lab.core.deployment import DeploymentPlan
from lab.core.topology import ACCOUNT_ID
from lab.deploy.clients import error_code


@dataclass(frozen=True)
class DeployedApi:
    """What the records need to know of a region's API. `domain_zone_id` is the zone id for aliases to the domain."""

    region: str
    api_id: str
    domain_target: str
    domain_zone_id: str


def find_or_create_api(client: Any, plan: DeploymentPlan) -> str:
    """The id of the API with the plan's name."""
    for page in client.get_paginator("get_rest_apis").paginate():
        for api in page.get("items", []):
            if api["name"] == plan.api_name:
                return str(api["id"])
    api = client.create_rest_api(name=plan.api_name, endpointConfiguration={"types": ["REGIONAL"]})
    return str(api["id"])


def deploy_routes(client: Any, plan: DeploymentPlan, region: str, api_id: str) -> bool:
    """Make the API's methods those of the plan and deploy them to the stage if anything changed; whether it did.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    resources = _resources(client, api_id)
    wanted = {(route.path, route.method): integration_uri(region, f.name) for route, f in plan.routes}
    changed = False
    for (path, method), uri in wanted.items():
        resource = _ensure_resource(client, api_id, resources, path)
        present = resource.get("resourceMethods", {}).get(method)
        if present is None:
            client.put_method(restApiId=api_id, resourceId=resource["id"], httpMethod=method, authorizationType="NONE")
        if present is None or present.get("methodIntegration", {}).get("uri") != uri:
            client.put_integration(
                restApiId=api_id,
                resourceId=resource["id"],
                httpMethod=method,
                type="AWS_PROXY",
                integrationHttpMethod="POST",
                uri=uri,
            )
            changed = True
    for path, resource in resources.items():
        for method in resource.get("resourceMethods", {}):
            if (path, method) not in wanted:
                client.delete_method(restApiId=api_id, resourceId=resource["id"], httpMethod=method)
                changed = True
    if changed or not _has_stage(client, api_id, plan.stage):
        client.create_deployment(restApiId=api_id, stageName=plan.stage)
        return True
    return False


def deploy_domain(client: Any, plan: DeploymentPlan, region: str, api_id: str) -> DeployedApi:
    """The regional custom domain name, mapped to the API's stage at its root.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-regional-api-custom-domain-create.html
    """
    name = plan.api_domain
    try:
        domain = client.get_domain_name(domainName=name)
    except ClientError as error:
        if error_code(error) != "NotFoundException":
            raise
        domain = client.create_domain_name(
            domainName=name,
            endpointConfiguration={"types": ["REGIONAL"]},
            regionalCertificateArn=f"arn:aws:acm:{region}:{ACCOUNT_ID}:certificate/{name}",
        )
    mappings = client.get_base_path_mappings(domainName=name).get("items", [])
    if not any(mapping["restApiId"] == api_id and mapping.get("stage") == plan.stage for mapping in mappings):
        for mapping in mappings:
            client.delete_base_path_mapping(domainName=name, basePath=mapping["basePath"])
        client.create_base_path_mapping(domainName=name, restApiId=api_id, stage=plan.stage)
    return DeployedApi(region, api_id, domain["regionalDomainName"], domain["regionalHostedZoneId"])


def integration_uri(region: str, function: str) -> str:
    """The URI by which API Gateway invokes a function."""
    arn = f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{function}"
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def _resources(client: Any, api_id: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for page in client.get_paginator("get_resources").paginate(restApiId=api_id, embed=["methods"]):
        found.update({resource["path"]: resource for resource in page.get("items", [])})
    return found


def _ensure_resource(client: Any, api_id: str, resources: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    """The resource at a path, made with its parents where missing; `resources` is brought up to date."""
    if path in resources:
        return resources[path]
    head, _, part = path.rpartition("/")
    parent = _ensure_resource(client, api_id, resources, head or "/")
    made: dict[str, Any] = client.create_resource(restApiId=api_id, parentId=parent["id"], pathPart=part)
    resources[path] = {"id": made["id"], "path": path}
    return resources[path]


def _has_stage(client: Any, api_id: str, stage: str) -> bool:
    return any(item["stageName"] == stage for item in client.get_stages(restApiId=api_id).get("item", []))
