"""The feedback handler as Lambda runs it: environment, event, response. DynamoDB is botocore's own stub."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from botocore.stub import ANY, Stubber
from handler_module import HANDLERS, imported


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with imported("feedback", "opinions", monkeypatch) as module:
        yield module


def call(app: ModuleType, method: str, resource: str, **parameters: str) -> tuple[int, dict[str, Any]]:
    event = {"httpMethod": method, "resource": resource, "pathParameters": parameters or None}
    response = app.handler(event, None)
    assert response["headers"]["Content-Type"] == "application/json"
    return response["statusCode"], json.loads(response["body"])


def test_feedback_is_put_with_the_region_that_took_it(app: ModuleType) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_response("put_item", {}, {"TableName": "opinions", "Item": ANY})
        status, body = call(app, "POST", "/feedback")
    assert status == 201
    assert body["value"] == "This item is coming from eu-west-1"
    assert body["region"] == "eu-west-1"
    assert len(body["feedback_id"]) == 36


def test_feedback_is_read_by_its_id_and_keeps_the_value_of_the_region_that_wrote_it(app: ModuleType) -> None:
    item = {"feedback_id": {"S": "f-1"}, "value": {"S": "This item is coming from us-east-1"}}
    with Stubber(app.dynamodb) as dynamodb:
        wanted = {"TableName": "opinions", "Key": {"feedback_id": {"S": "f-1"}}}
        dynamodb.add_response("get_item", {"Item": item}, wanted)
        status, body = call(app, "GET", "/feedback/{id}", id="f-1")
    assert (status, body["value"], body["region"]) == (200, "This item is coming from us-east-1", "eu-west-1")


def test_feedback_that_is_not_there_is_404(app: ModuleType) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_response("get_item", {})
        assert call(app, "GET", "/feedback/{id}", id="f-2")[0] == 404


@pytest.mark.parametrize(
    ("method", "resource", "operation"), [("POST", "/feedback", "put_item"), ("GET", "/feedback/{id}", "get_item")]
)
def test_a_table_that_fails_is_503_with_the_region(app: ModuleType, method: str, resource: str, operation: str) -> None:
    with Stubber(app.dynamodb) as dynamodb:
        dynamodb.add_client_error(operation, "InternalServerError", "broken", 500)
        status, body = call(app, method, resource, id="f-1")
    assert (status, body["region"]) == (503, "eu-west-1")
    assert "broken" in body["message"]


def test_health_is_200_when_the_table_answers(app: ModuleType) -> None:
    with Stubber(app.probing_dynamodb) as dynamodb:
        dynamodb.add_response("get_item", {}, {"TableName": "opinions", "Key": ANY})
        status, body = call(app, "GET", "/health")
    assert (status, body) == (200, {"region": "eu-west-1", "healthy": True, "failed": {}})


def test_health_is_503_and_names_the_table_when_it_does_not_answer(app: ModuleType) -> None:
    status, body = call(app, "GET", "/health")  # nothing listens at the endpoint
    assert (status, list(body["failed"])) == (503, ["dynamodb"])


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def dependency() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_health_calls_every_url_and_names_those_that_fail(
    app: ModuleType, dependency: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        monkeypatch.setenv("HEALTH_CHECK_URLS", f"{dependency}/well, {dependency}/ill,{nobody},not a url")
        with Stubber(app.probing_dynamodb) as dynamodb:
            dynamodb.add_response("get_item", {})
            status, body = call(app, "GET", "/health")
    assert status == 503
    assert list(body["failed"]) == [f"{dependency}/ill", nobody, "not a url"]


@pytest.mark.parametrize(("forced", "status"), [("503", 503), ("200", 200), ("unhealthy", 503), ("999", 503)])
def test_the_variable_status_forces_what_health_answers(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, forced: str, status: int
) -> None:
    monkeypatch.setenv("STATUS", forced)
    assert call(app, "GET", "/health")[0] == status


def test_the_handler_imports_boto3_and_the_standard_library_only() -> None:
    text = (HANDLERS / "feedback" / "app.py").read_text()
    assert "import lab" not in text and "from lab" not in text
