"""API Gateway's control plane, through boto3 and a real control process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from control_process import ControlLab, lab_fixture, refusal

from lab.core.rest_api import BasePathMapping, Method, RestApi


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


def uri_of(name: str, region: str = "us-east-1") -> str:
    function = f"arn:aws:lambda:{region}:000000000000:function:{name}"
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function}/invocations"


def make_api(client: Any, name: str, path_parts: tuple[str, ...] = ("feedback", "{id}")) -> tuple[str, str]:
    """An API with a GET on a path: its id and the resource's."""
    api = client.create_rest_api(name=name, endpointConfiguration={"types": ["REGIONAL"]})
    resource_id = api["rootResourceId"]
    for part in path_parts:
        resource_id = client.create_resource(restApiId=api["id"], parentId=resource_id, pathPart=part)["id"]
    where = {"restApiId": api["id"], "resourceId": resource_id, "httpMethod": "GET"}
    client.put_method(**where, authorizationType="NONE")
    client.put_integration(
        **where, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri_of(name), timeoutInMillis=5000
    )
    return api["id"], resource_id


def published_api(lab: ControlLab, api_id: str) -> RestApi:
    (found,) = [api for api in lab.edge.document("apis").apis if api.api_id == api_id]
    assert isinstance(found, RestApi)
    return found


def test_a_deployed_stage_is_published_as_it_was_deployed(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, resource_id = make_api(client, "hello")
    assert published_api(lab, api_id).stages == ()
    client.create_deployment(restApiId=api_id, stageName="prod", variables={"table": "t"})
    client.put_method(restApiId=api_id, resourceId=resource_id, httpMethod="POST", authorizationType="NONE")
    (stage,) = published_api(lab, api_id).stages
    assert (stage.name, stage.variables) == ("prod", {"table": "t"})
    (resource,) = stage.resources
    assert (resource.resource_id, resource.path) == (resource_id, "/feedback/{id}")
    assert resource.methods == (Method("GET", "hello", 5000),)


def test_an_apis_host_has_its_regions_address(lab: ControlLab) -> None:
    client = lab.client("apigateway", "us-west-2")
    api_id = client.create_rest_api(name="elsewhere")["id"]
    names = {endpoint.name: endpoint for endpoint in lab.edge.document("endpoints").names}
    endpoint = names[f"{api_id}.execute-api.us-west-2.amazonaws.com."]
    assert (endpoint.kind, endpoint.addresses, endpoint.region) == ("execute-api", ("127.45.2.1",), "us-west-2")


def test_a_new_deployment_moves_its_stage(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, _ = make_api(client, "moved")
    first = client.create_deployment(restApiId=api_id, stageName="prod")["id"]
    second = client.create_deployment(restApiId=api_id, stageName="prod")["id"]
    assert client.get_stage(restApiId=api_id, stageName="prod")["deploymentId"] == second
    patch = [{"op": "replace", "path": "/deploymentId", "value": first}]
    patch.append({"op": "replace", "path": "/variables/a", "value": "1"})
    stage = client.update_stage(restApiId=api_id, stageName="prod", patchOperations=patch)
    assert (stage["deploymentId"], stage["variables"]) == (first, {"a": "1"})
    assert refusal(client.delete_deployment, restApiId=api_id, deploymentId=first)[:2] == ("BadRequestException", 400)
    client.delete_stage(restApiId=api_id, stageName="prod")
    assert client.get_stages(restApiId=api_id)["item"] == []


def test_a_regional_domain_name_maps_to_stages_and_has_an_address(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, _ = make_api(client, "mapped")
    client.create_deployment(restApiId=api_id, stageName="prod")
    domain = client.create_domain_name(domainName="api.lab.test", endpointConfiguration={"types": ["REGIONAL"]})
    assert domain["regionalHostedZoneId"] == "Z1UJRXOUMOOFQ8" and domain["domainNameStatus"] == "AVAILABLE"
    client.create_base_path_mapping(domainName="api.lab.test", restApiId=api_id, stage="prod")
    (published,) = lab.edge.document("apis").domain_names
    assert published.mappings == (BasePathMapping("(none)", api_id, "prod"),)
    names = {endpoint.name: endpoint for endpoint in lab.edge.document("endpoints").names}
    assert names[domain["regionalDomainName"] + "."].addresses == ("127.45.1.1",)
    assert client.get_base_path_mappings(domainName="api.lab.test")["items"][0]["basePath"] == "(none)"
    assert refusal(client.delete_rest_api, restApiId=api_id)[:2] == ("BadRequestException", 400)
    client.delete_base_path_mapping(domainName="api.lab.test", basePath="(none)")
    client.delete_domain_name(domainName="api.lab.test")
    client.delete_rest_api(restApiId=api_id)
    assert refusal(client.get_rest_api, restApiId=api_id)[:2] == ("NotFoundException", 404)


def test_resources_are_listed_with_their_methods_in_pages(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, resource_id = make_api(client, "listed", ("a", "b", "c"))
    pages = client.get_paginator("get_resources").paginate(
        restApiId=api_id, embed=["methods"], PaginationConfig={"PageSize": 3}
    )
    items = [item for page in pages for item in page["items"]]
    assert [item["path"] for item in items] == ["/", "/a", "/a/b", "/a/b/c"]
    assert items[-1]["id"] == resource_id and list(items[-1]["resourceMethods"]) == ["GET"]
    integration = client.get_integration(restApiId=api_id, resourceId=resource_id, httpMethod="GET")
    assert integration["uri"] == uri_of("listed") and integration["httpMethod"] == "POST"


def test_responses_of_methods_and_integrations_are_stored(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, resource_id = make_api(client, "stored")
    where = {"restApiId": api_id, "resourceId": resource_id, "httpMethod": "GET", "statusCode": "200"}
    client.put_method_response(**where, responseModels={"application/json": "Empty"})
    client.put_integration_response(**where, responseTemplates={"application/json": ""})
    method = client.get_method(restApiId=api_id, resourceId=resource_id, httpMethod="GET")
    assert method["methodResponses"]["200"]["responseModels"] == {"application/json": "Empty"}
    assert "200" in method["methodIntegration"]["integrationResponses"]


def test_an_api_can_be_put_as_openapi(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": uri_of("open")}
    definition = {
        "openapi": "3.0.1",
        "info": {"title": "imported"},
        "paths": {"/x/{proxy+}": {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": integration}}},
    }
    api = client.import_rest_api(body=json.dumps(definition))
    assert api["name"] == "imported"
    client.create_deployment(restApiId=api["id"], stageName="prod")
    (stage,) = published_api(lab, api["id"]).stages
    assert [(r.path, r.methods[0].http_method) for r in stage.resources] == [("/x/{proxy+}", "ANY")]
    again = client.put_rest_api(restApiId=api["id"], mode="overwrite", body=json.dumps(definition))
    assert again["rootResourceId"] == api["rootResourceId"]
    assert "does not read YAML" in refusal(client.import_rest_api, body=b"openapi: 3.0.1")[2]


def test_tags_and_patches_of_an_api_are_kept(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api = client.create_rest_api(name="tagged", tags={"a": "1"})
    arn = f"arn:aws:apigateway:us-east-1::/restapis/{api['id']}"
    client.tag_resource(resourceArn=arn, tags={"b": "2"})
    client.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert client.get_tags(resourceArn=arn)["tags"] == {"b": "2"}
    patch = [{"op": "add", "path": "/binaryMediaTypes/image~1png"}, {"op": "replace", "path": "/name", "value": "new"}]
    updated = client.update_rest_api(restApiId=api["id"], patchOperations=patch)
    assert (updated["name"], updated["binaryMediaTypes"]) == ("new", ["image/png"])
    unknown = [{"op": "replace", "path": "/shoeSize", "value": "44"}]
    assert "/shoeSize" in refusal(client.update_rest_api, restApiId=api["id"], patchOperations=unknown)[2]


def test_what_api_gateway_refuses_is_refused(lab: ControlLab) -> None:
    client = lab.client("apigateway")
    api_id, resource_id = make_api(client, "refused", ("a",))
    where = {"restApiId": api_id, "resourceId": resource_id}
    put = {**where, "httpMethod": "GET", "integrationHttpMethod": "POST"}
    bad = {
        "no AWS_PROXY": (client.put_integration, {**put, "type": "MOCK"}, "AWS_PROXY"),
        "other region": (
            client.put_integration,
            {**put, "type": "AWS_PROXY", "uri": uri_of("f", "us-west-2")},
            "us-east-1",
        ),
        "timeout": (
            client.put_integration,
            {**put, "type": "AWS_PROXY", "uri": uri_of("f"), "timeoutInMillis": 30_000},
            "between 50 ms and 29000 ms",
        ),
        "method": (
            client.put_method,
            {**where, "httpMethod": "BREW", "authorizationType": "NONE"},
            "Invalid HttpMethod",
        ),
        "path part": (
            client.create_resource,
            {"restApiId": api_id, "parentId": resource_id, "pathPart": "a/b"},
            "path part",
        ),
        "edge domain": (client.create_domain_name, {"domainName": "edge.lab.test"}, "REGIONAL"),
        "stage": (
            client.create_stage,
            {"restApiId": api_id, "stageName": "s", "deploymentId": "absent"},
            "Invalid Deployment",
        ),
    }
    for name, (call, parameters, part) in bad.items():
        assert part in refusal(call, **parameters)[2], name
    again = {"restApiId": api_id, "parentId": resource_id, "pathPart": "b"}
    client.create_resource(**again)
    assert refusal(client.create_resource, **again)[:2] == ("ConflictException", 409)
    child = client.create_resource(restApiId=api_id, parentId=resource_id, pathPart="c")["id"]
    client.put_method(restApiId=api_id, resourceId=child, httpMethod="GET", authorizationType="NONE")
    assert refusal(client.create_deployment, restApiId=api_id)[2] == "No integration defined for method"
