"""Forged requests to every port that the edge opens, as a web page could send them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_lab import FrontLab, front_lab


@pytest.fixture(scope="module")
def lab() -> Iterator[FrontLab]:
    with front_lab() as running:
        running.deploy_function()
        running.deploy_api()
        yield running


def send(lab: FrontLab, port: int, head: str, body: bytes = b"") -> int:
    request = f"{head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".replace("\n", "\r\n")
    answer = lab.raw(request.replace("\r\r", "\r").encode() + body, port=port)
    assert b"access-control-allow-origin" not in answer.lower()
    return int(answer.split(b" ", 2)[1])


FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")
API = "/restapis/api1/prod/_user_request_/feedback"


@pytest.mark.parametrize("path", ["/", API, "/_aws/execute-api/api1/prod/feedback", "/_ministack/reset", "/health"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:4566", "127.0.0.1", "", "169.254.169.254"])
def test_the_aws_endpoint_refuses_a_wrong_host(lab: FrontLab, path: str, host: str) -> None:
    assert send(lab, lab.topology.aws_port, f"GET {path} HTTP/1.1\nHost: {host}") == 421


@pytest.mark.parametrize("path", ["/", API, "/_aws/execute-api/api1/prod/feedback", "/2015-03-31/functions/"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000"])
def test_the_aws_endpoint_refuses_a_foreign_origin(lab: FrontLab, path: str, origin: str) -> None:
    host = f"{lab.address('us-east-1')}:{lab.topology.aws_port}"
    for method in ("GET", "POST", "OPTIONS"):
        head = f"{method} {path} HTTP/1.1\nHost: {host}\nOrigin: {origin}\nContent-Type: application/json"
        assert send(lab, lab.topology.aws_port, head, b"{}") == 403
    head = f"GET {path} HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site"
    assert send(lab, lab.topology.aws_port, head) == 403


@pytest.mark.parametrize("content_type", FORM_TYPES)
@pytest.mark.parametrize("path", ["/", API, "/2015-03-31/functions/echo/invocations", "/?Action=CreateTopic&Name=x"])
def test_the_aws_endpoint_refuses_what_a_form_could_send(lab: FrontLab, path: str, content_type: str) -> None:
    host = f"{lab.address('us-east-1')}:{lab.topology.aws_port}"
    head = f"POST {path} HTTP/1.1\nHost: {host}\nContent-Type: {content_type}"
    assert send(lab, lab.topology.aws_port, head, b"Action=CreateTopic&Name=x") == 403


@pytest.mark.parametrize(
    "path",
    [
        "/_ministack/reset",
        "/_ministack/health",
        "/_localstack/health",
        "/health",
        "/_aws/sqs/messages",
        "/2015-03-31/functions",
        "/bucket/key",
        "/restapis",
        "/_alb/x",
    ],
)
def test_the_aws_endpoint_serves_nothing_unsigned_but_apis(lab: FrontLab, path: str) -> None:
    host = f"{lab.address('us-east-1')}:{lab.topology.aws_port}"
    for method in ("GET", "POST", "PUT"):
        assert send(lab, lab.topology.aws_port, f"{method} {path} HTTP/1.1\nHost: {host}") == 403


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/health", "/_localstack/health"])
def test_a_signature_opens_no_admin_path_of_the_engine(lab: FrontLab, path: str) -> None:
    host = f"{lab.address('us-east-1')}:{lab.topology.aws_port}"
    for service in ("s3", "sqs", "dynamodb", "monitoring", "ssm"):
        signature = f"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{service}/aws4_request, Signature=0"
        head = f"POST {path} HTTP/1.1\nHost: {host}\nAuthorization: {signature}\nContent-Type: application/json"
        assert 400 <= send(lab, lab.topology.aws_port, head, b"{}") < 500


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:8080", "localhost:8080", ""])
def test_the_data_plane_answers_only_for_names_that_it_has(lab: FrontLab, host: str) -> None:
    assert send(lab, lab.topology.http_port, f"GET /feedback HTTP/1.1\nHost: {host}") == 403


def test_the_unix_sockets_are_the_users_own(lab: FrontLab) -> None:
    run = Path(lab.topology.run_dir)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    sockets = list(run.glob("*.sock"))
    assert {path.name for path in sockets} >= {"edge.sock", "engine-us-east-1.sock"}
    for path in sockets:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_headers_of_the_lab_s_own_do_not_pass(lab: FrontLab) -> None:
    lab.create_table("marked")
    client = lab.boto("dynamodb")

    def pretend(request: object, **_: object) -> None:
        request.headers["x-lab-apply"] = "1"  # type: ignore[attr-defined]

    client.meta.events.register("before-send.dynamodb.PutItem", pretend)
    client.put_item(TableName="marked", Item={"pk": {"S": "a"}})
    arn = lab.engine_call("DescribeTable", {"TableName": "marked"})["Table"]["LatestStreamArn"]
    described = lab.engine_call("DescribeStream", {"StreamArn": arn}, streams=True)["StreamDescription"]
    shard = described["Shards"][0]["ShardId"]
    call = {"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = lab.engine_call("GetShardIterator", call, streams=True)["ShardIterator"]
    records = lab.engine_call("GetRecords", {"ShardIterator": iterator}, streams=True)["Records"]
    assert len(records) == 1
    assert "lab" not in records[0]
