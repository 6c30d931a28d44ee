"""The item handler as a load balancer invokes it. DynamoDB is botocore's own stub."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from handler_module import imported

from lab.core.alb_response import judge_lambda_response


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with imported("item", "things", monkeypatch) as module:
        yield module


def call(app: ModuleType, method: str, path: str, body: str = "", *, is_base64: bool = False) -> dict[str, Any]:
    event = {"httpMethod": method, "path": path, "headers": {}, "body": body, "isBase64Encoded": is_base64}
    response: dict[str, Any] = app.handler(event, None)
    answer, wrong = judge_lambda_response(json.dumps(response).encode(), multi_value=False)
    assert wrong is None and answer.made_by_target
    assert response["headers"]["Content-Type"].startswith("text/html")
    return response


def test_an_item_is_put_with_the_region_that_took_it(app: ModuleType) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        item = {"id": ANY, "value": {"S": "This item is coming from eu-west-1"}}
        dynamodb.add_response("put_item", {}, {"TableName": "things", "Item": item})
        response = call(app, "POST", "/put")
    assert response["statusCode"] == 201
    assert response["headers"]["Location"] == f"/get/{response['headers']['X-Item-Id']}"


@pytest.mark.parametrize(
    ("body", "is_base64"), [('{"value": "a & b"}', False), (base64.b64encode(b"value=a+%26+b").decode(), True)]
)
def test_a_value_may_be_json_or_a_form(app: ModuleType, body: str, is_base64: bool) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_response("put_item", {}, {"TableName": "things", "Item": {"id": ANY, "value": {"S": "a & b"}}})
        assert "a &amp; b" in call(app, "POST", "/put", body, is_base64=is_base64)["body"]


@pytest.mark.parametrize(("body", "is_base64"), [("{", False), ("?", True)])
def test_a_body_that_cannot_be_read_is_400(app: ModuleType, body: str, is_base64: bool) -> None:
    assert call(app, "POST", "/put", body, is_base64=is_base64)["statusCode"] == 400


def test_an_item_is_shown_as_a_page_with_its_value_escaped(app: ModuleType) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        wanted = {"TableName": "things", "Key": {"id": {"S": "a b"}}}
        dynamodb.add_response("get_item", {"Item": {"id": {"S": "a b"}, "value": {"S": "<script>"}}}, wanted)
        response = call(app, "GET", "/get/a%20b")
    assert response["statusCode"] == 200
    assert "&lt;script&gt;" in response["body"] and "Served by eu-west-1" in response["body"]


def test_what_is_not_there_is_404(app: ModuleType) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_response("get_item", {})
        assert call(app, "GET", "/get/x")["statusCode"] == 404
    assert call(app, "GET", "/get/")["statusCode"] == 404
    assert call(app, "DELETE", "/put")["statusCode"] == 404


@pytest.mark.parametrize(("method", "path", "operation"), [("POST", "/put", "put_item"), ("GET", "/get/x", "get_item")])
def test_a_table_that_fails_is_503(app: ModuleType, method: str, path: str, operation: str) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_client_error(operation, "InternalServerError", http_status_code=500)
        assert call(app, method, path)["statusCode"] == 503


def test_health_reads_the_table(app: ModuleType) -> None:
    with Stubber(app.probing_dynamodb) as dynamodb:
        dynamodb.add_response("get_item", {})
        assert call(app, "GET", "/health")["statusCode"] == 200
        dynamodb.add_client_error("get_item", "ResourceNotFoundException")
        assert call(app, "GET", "/health")["statusCode"] == 503


@pytest.mark.parametrize(("forced", "status"), [("503", 503), ("200", 200), ("maybe", 503)])
def test_health_can_be_forced(app: ModuleType, monkeypatch: pytest.MonkeyPatch, forced: str, status: int) -> None:
    monkeypatch.setenv("STATUS", forced)
    assert call(app, "GET", "/health")["statusCode"] == status
