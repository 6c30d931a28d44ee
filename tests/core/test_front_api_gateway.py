"""API Gateway's routes, events and judgement of answers."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from lab.core.api_gateway_error import FORBIDDEN, MISSING_AUTHENTICATION_TOKEN, GatewayError
from lab.core.api_gateway_event import ApiRequest, proxy_event, request_ids, request_time
from lab.core.api_gateway_permission import may_invoke, source_arn
from lab.core.api_gateway_response import Malformed, ProxyResponse, judge_answer
from lab.core.api_gateway_route import RegionApis, RouteMatch, StageMatch, route
from lab.core.function import Function, Permission
from lab.core.rest_api import BasePathMapping, DomainName, Method, Resource, RestApi, RestApis, Stage

REGION = "us-east-1"
HOST = f"a1.execute-api.{REGION}.amazonaws.com"
RESOURCES = (
    Resource("root", "/", (Method("GET", "f"),)),
    Resource("list", "/items", (Method("GET", "f"), Method("ANY", "any"))),
    Resource("bare", "/bare", ()),
    Resource("item", "/items/{id}", (Method("GET", "f"),)),
    Resource("parts", "/items/{id}/parts", (Method("GET", "f"),)),
    Resource("special", "/items/special", (Method("GET", "special"),)),
    Resource("greedy", "/items/{proxy+}", (Method("ANY", "greedy"),)),
    Resource("stage", "/staged", (Method("GET", "f-${stageVariables.color}"),)),
)
STAGE = Stage("prod", "dep1", RESOURCES, {"color": "blue"})
APIS = RestApis(
    (
        RestApi(REGION, "a1", "one", (STAGE,), ("image/*", "application/x-protobuf")),
        RestApi(REGION, "a2", "two", (STAGE,), disable_execute_api_endpoint=True),
        RestApi("us-west-2", "a3", "three", (STAGE,)),
    ),
    (
        DomainName(
            REGION,
            "Api.Example.com",
            f"d-1.execute-api.{REGION}.amazonaws.com",
            "Z",
            (
                BasePathMapping("v1", "a1", "prod"),
                BasePathMapping("v1/deep", "a2", "prod"),
                BasePathMapping("gone", "a9", "prod"),
            ),
        ),
        DomainName(REGION, "root.example.com", "d-2", "Z", (BasePathMapping("(none)", "a1", "prod"),)),
    ),
)
TABLE = RegionApis(APIS, REGION)


def reach(host: str, path: str, method: str = "GET") -> RouteMatch | GatewayError:
    stage = TABLE.by_host(host, path)
    return stage if isinstance(stage, GatewayError) else route(stage, method)


@pytest.mark.parametrize(
    ("host", "path", "resource_id", "event_path", "context_path", "parameters"),
    [
        (HOST, "/prod", "root", "/", "/prod", {}),
        (HOST, "/prod/", "root", "/", "/prod/", {}),
        (HOST, "/prod/items", "list", "/items", "/prod/items", {}),
        (HOST, "/prod/items/", "list", "/items/", "/prod/items/", {}),
        (HOST, "/prod/items/a%20b", "item", "/items/a%20b", "/prod/items/a%20b", {"id": "a b"}),
        (HOST, "/prod/items/special", "special", "/items/special", "/prod/items/special", {}),
        (HOST, "/prod/items/1/parts", "parts", "/items/1/parts", "/prod/items/1/parts", {"id": "1"}),
        (HOST, "/prod/items/1/x/y", "greedy", "/items/1/x/y", "/prod/items/1/x/y", {"proxy": "1/x/y"}),
        ("api.example.com", "/v1/items", "list", "/v1/items", "/v1/items", {}),
        ("api.example.com", "/v1", "root", "/v1", "/v1", {}),
        ("api.example.com", "/v1/deep/items", "list", "/v1/deep/items", "/v1/deep/items", {}),
        ("root.example.com", "/items", "list", "/items", "/items", {}),
    ],
)
def test_a_request_reaches_its_resource(
    host: str, path: str, resource_id: str, event_path: str, context_path: str, parameters: dict[str, str]
) -> None:
    match = reach(host, path)
    assert isinstance(match, RouteMatch)
    assert match.resource.resource_id == resource_id
    assert (match.stage.path, match.stage.context_path) == (event_path, context_path)
    assert match.path_parameters == parameters


@pytest.mark.parametrize(
    ("host", "path", "method", "expected"),
    [
        (HOST, "/", "GET", FORBIDDEN),
        (HOST, "/dev/items", "GET", FORBIDDEN),
        (f"a2.execute-api.{REGION}.amazonaws.com", "/prod/items", "GET", FORBIDDEN),
        (f"a3.execute-api.{REGION}.amazonaws.com", "/prod/items", "GET", FORBIDDEN),
        ("a1.execute-api.us-west-2.amazonaws.com", "/prod/items", "GET", FORBIDDEN),
        (f"d-1.execute-api.{REGION}.amazonaws.com", "/v1/items", "GET", FORBIDDEN),
        ("127.10.1.1", "/prod/items", "GET", FORBIDDEN),
        ("api.example.com", "/items", "GET", FORBIDDEN),
        ("api.example.com", "/v1x/items", "GET", FORBIDDEN),
        ("api.example.com", "/gone/items", "GET", FORBIDDEN),
        (HOST, "/prod/nothing", "GET", MISSING_AUTHENTICATION_TOKEN),
        (HOST, "/prod/bare", "GET", MISSING_AUTHENTICATION_TOKEN),
        (HOST, "/prod/", "POST", MISSING_AUTHENTICATION_TOKEN),
        (HOST, "/prod/items/special", "POST", MISSING_AUTHENTICATION_TOKEN),
        (HOST, "/prod//items", "GET", MISSING_AUTHENTICATION_TOKEN),
    ],
)
def test_what_is_not_there_is_a_403(host: str, path: str, method: str, expected: GatewayError) -> None:
    assert reach(host, path, method) == expected


def test_a_named_method_is_taken_before_any() -> None:
    get, post = reach(HOST, "/prod/items"), reach(HOST, "/prod/items", "POST")
    assert isinstance(get, RouteMatch) and isinstance(post, RouteMatch)
    assert (get.function_name, post.function_name) == ("f", "any")


def test_stage_variables_choose_the_function() -> None:
    match = reach(HOST, "/prod/staged")
    assert isinstance(match, RouteMatch)
    assert match.function_name == "f-blue"


def test_a_path_form_looks_like_the_execute_api_host() -> None:
    stage = TABLE.by_id("a1", "prod", "/items")
    assert isinstance(stage, StageMatch)
    assert (stage.domain_name, stage.path, stage.context_path) == (HOST, "/items", "/prod/items")
    assert TABLE.by_id("zz", "prod", "/") == FORBIDDEN


def event_of(request: ApiRequest, path: str = "/prod/items") -> dict[str, Any]:
    match = reach(HOST, path)
    assert isinstance(match, RouteMatch)
    event = proxy_event(request, match, request_ids(0, random.Random(1)), 1_583_349_317_135)
    return dict(json.loads(json.dumps(event)))


def test_the_event_has_every_field_of_format_1_0() -> None:
    request = ApiRequest(
        "GET",
        "a=1&a=2&b=x%20y+z&c&=e",
        [
            ("Host", HOST),
            ("user-agent", "curl/8"),
            ("X-Multi", "1"),
            ("X-Multi", "2"),
            ("Connection", "keep-alive"),
            ("Content-Length", "0"),
            ("x-lab-apply", "no"),
            ("X-Forwarded-For", "203.0.113.5"),
        ],
        b"",
        "198.18.0.10",
        8080,
    )
    event = event_of(request, "/prod/items/7")
    assert set(event) == {
        "resource",
        "path",
        "httpMethod",
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
        "stageVariables",
        "requestContext",
        "body",
        "isBase64Encoded",
    }
    assert event["resource"] == "/items/{id}"
    assert event["path"] == "/items/7"
    assert event["headers"] == {
        "Host": HOST,
        "User-Agent": "curl/8",
        "X-Multi": "2",
        "X-Amzn-Trace-Id": event["headers"]["X-Amzn-Trace-Id"],
        "X-Forwarded-For": "203.0.113.5, 198.18.0.10",
        "X-Forwarded-Port": "8080",
        "X-Forwarded-Proto": "http",
    }
    assert event["multiValueHeaders"]["X-Multi"] == ["1", "2"]
    assert event["queryStringParameters"] == {"a": "2", "b": "x y z", "c": "", "": "e"}
    assert event["multiValueQueryStringParameters"]["a"] == ["1", "2"]
    assert event["pathParameters"] == {"id": "7"}
    assert event["stageVariables"] == {"color": "blue"}
    assert event["body"] is None
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["path"] == "/prod/items/7"
    assert context["resourcePath"] == "/items/{id}"
    assert context["requestTime"] == "04/Mar/2020:19:15:17 +0000"
    assert context["requestTimeEpoch"] == 1_583_349_317_135
    assert context["identity"]["sourceIp"] == "198.18.0.10"
    assert context["identity"]["userAgent"] == "curl/8"
    assert (context["domainName"], context["domainPrefix"]) == (HOST, "a1")
    assert (context["apiId"], context["stage"], context["deploymentId"]) == ("a1", "prod", "dep1")
    assert (context["accountId"], context["protocol"]) == ("000000000000", "HTTP/1.1")
    assert len(context["identity"]) == 12


def test_empty_maps_and_bodies_are_null() -> None:
    event = event_of(ApiRequest("GET", "", [], b"", "127.0.0.1", 8080))
    for name in ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "body"):
        assert event[name] is None


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "encoded"),
    [
        ("application/json", b'{"a":1}', '{"a":1}', False),
        ("image/png", b"\x00\xff", base64.b64encode(b"\x00\xff").decode(), True),
        ("IMAGE/jpeg; q=1", b"\x00", "AA==", True),
        ("application/octet-stream", b"\xff", "\ufffd", False),
        ("application/x-protobuf", b"", None, False),
    ],
)
def test_binary_media_types_arrive_as_base64(
    content_type: str, body: bytes, expected: str | None, encoded: bool
) -> None:
    event = event_of(ApiRequest("POST", "", [("Content-Type", content_type)], body, "127.0.0.1", 8080))
    assert (event["body"], event["isBase64Encoded"]) == (expected, encoded)


def test_a_client_s_trace_goes_on() -> None:
    trace = "Root=1-67891233-abcdef012345678912345678;Sampled=1"
    event = event_of(ApiRequest("GET", "", [("x-amzn-trace-id", trace)], b"", "127.0.0.1", 8080))
    assert event["headers"]["X-Amzn-Trace-Id"] == trace


def test_ids_have_aws_s_forms() -> None:
    ids = request_ids(1_583_349_317_135, random.Random(7))
    assert [len(part) for part in ids.request_id.split("-")] == [8, 4, 4, 4, 12]
    assert len(ids.extended_request_id) == 16
    assert ids.extended_request_id.endswith("=")
    assert ids.trace_root.startswith("1-5e5ffe45-")
    assert request_time(0) == "01/Jan/1970:00:00:00 +0000"


def judge(answer: Any, **options: Any) -> ProxyResponse | Malformed:
    return judge_answer(json.dumps(answer).encode(), function_error=False, **options)


@pytest.mark.parametrize(
    ("answer", "status", "headers", "body"),
    [
        ({}, 200, [("Content-Type", "application/json")], b""),
        ({"statusCode": 404, "body": None}, 404, [("Content-Type", "application/json")], b""),
        ({"statusCode": "201", "body": "é"}, 201, [("Content-Type", "application/json")], "é".encode()),
        (
            {"headers": {"content-type": "text/html", "X-B": True}},
            200,
            [("content-type", "text/html"), ("X-B", "true")],
            b"",
        ),
        (
            {"headers": {"A": "1", "content-type": "x"}, "multiValueHeaders": {"a": ["2", "3"]}},
            200,
            [("a", "2"), ("a", "3"), ("content-type", "x")],
            b"",
        ),
        (
            {
                "headers": {
                    "Content-Type": "x",
                    "Connection": "c",
                    "Content-Length": "9",
                    "Transfer-Encoding": "chunked",
                }
            },
            200,
            [("Content-Type", "x"), ("x-amzn-Remapped-Connection", "c"), ("x-amzn-Remapped-Content-Length", "9")],
            b"",
        ),
        ({"body": "AAE=", "isBase64Encoded": True}, 200, [("Content-Type", "application/json")], b"AAE="),
    ],
)
def test_a_proxy_response_is_passed_on(answer: Any, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    assert judge(answer) == ProxyResponse(status, headers, body)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        3,
        [1],
        {"status": 200},
        {"statusCode": 200, "statusDescription": "200 OK"},
        {"statusCode": 200, "cookies": []},
        {"errorMessage": "x", "errorType": "y"},
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 100},
        {"statusCode": 600},
        {"statusCode": True},
        {"statusCode": 200.5},
        {"body": {"a": 1}},
        {"body": 3},
        {"isBase64Encoded": "true"},
        {"headers": []},
        {"headers": {"a": 1}},
        {"headers": {"a": None}},
        {"headers": {"a": "x\r\nSet-Cookie: y"}},
        {"headers": {"a b": "x"}},
        {"headers": {"": "x"}},
        {"multiValueHeaders": {"a": [1]}},
        {"multiValueHeaders": "x"},
    ],
)
def test_any_other_answer_is_malformed(answer: Any) -> None:
    assert isinstance(judge(answer), Malformed)


def test_errors_and_what_is_no_json_are_malformed() -> None:
    assert isinstance(judge_answer(b'{"statusCode":200}', function_error=True), Malformed)
    for payload in (b"", b"{", b"\xff"):
        assert isinstance(judge_answer(payload, function_error=False), Malformed)


@pytest.mark.parametrize(
    ("types", "accept", "expected"),
    [
        (("image/png",), "image/png", b"\x00\x01"),
        (("*/*",), "", b"\x00\x01"),
        (("image/png",), "text/html, image/png", b"AAE="),
        (("image/*",), "image/webp;q=1, */*", b"\x00\x01"),
        ((), "image/png", b"AAE="),
    ],
)
def test_base64_is_decoded_if_the_first_accepted_type_is_binary(
    types: tuple[str, ...], accept: str, expected: bytes
) -> None:
    judged = judge({"body": "AAE=", "isBase64Encoded": True}, binary_media_types=types, accept=accept)
    assert isinstance(judged, ProxyResponse)
    assert judged.body == expected


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        (Permission("s", "apigateway.amazonaws.com"), True),
        (
            Permission("s", "apigateway.amazonaws.com", source_arn="arn:aws:execute-api:us-east-1:000000000000:a1/*"),
            True,
        ),
        (
            Permission(
                "s", "apigateway.amazonaws.com", source_arn="arn:aws:execute-api:us-east-1:000000000000:a1/*/GET/x/{id}"
            ),
            True,
        ),
        (
            Permission("s", "apigateway.amazonaws.com", source_arn="arn:aws:execute-api:us-east-1:000000000000:a2/*"),
            False,
        ),
        (Permission("s", "events.amazonaws.com"), False),
        (Permission("s", "apigateway.amazonaws.com", action="lambda:GetFunction"), False),
    ],
)
def test_a_function_s_policy_must_let_the_api_in(permission: Permission, allowed: bool) -> None:
    function = Function(REGION, "f", "a.h", "python3.11", "r", "", "", 0, "", "", permissions=(permission,))
    assert may_invoke(function, source_arn(REGION, "a1", "prod", "GET", "/x/{id}")) is allowed
