"""API Gateway's data plane over real sockets, with real execution environments."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from front_lab import FrontLab, front_lab
from waiting import eventually

from lab.core.faults import Fault
from lab.live.http_client import CallFailed


@pytest.fixture(scope="module")
def lab() -> Iterator[FrontLab]:
    with front_lab() as running:
        running.deploy_function()
        running.deploy_api()
        yield running


@pytest.fixture(autouse=True)
def healed(lab: FrontLab) -> Iterator[None]:
    yield
    lab.faults()


def test_a_custom_domain_reaches_the_function_with_the_whole_event(lab: FrontLab) -> None:
    response = lab.http(
        "POST", "/v1/feedback?q=1&q=2", headers=[("Content-Type", "application/json"), ("X-One", "1")], body=b'{"a":1}'
    )
    assert response.status == 200
    event = json.loads(response.body)
    assert event["path"] == "/v1/feedback"
    assert event["body"] == '{"a":1}'
    assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"]}
    assert event["headers"]["X-One"] == "1"
    assert event["requestContext"]["requestId"] == response.header("x-amzn-RequestId")
    assert event["requestContext"]["extendedRequestId"] == response.header("x-amz-apigw-id")
    assert str(response.header("X-Amzn-Trace-Id")).startswith("Root=1-")


def test_the_execute_api_host_and_both_path_forms_reach_the_same_api(lab: FrontLab) -> None:
    host = "api1.execute-api.us-east-1.amazonaws.com"
    by_host = lab.http("GET", "/prod/any/x/y", host=host)
    assert json.loads(by_host.body)["pathParameters"] == {"proxy": "x/y"}
    aws = lab.topology.aws_port
    address = f"{lab.address('us-east-1')}:{aws}"
    for path in ("/restapis/api1/prod/_user_request_/any/x/y", "/_aws/execute-api/api1/prod/any/x/y"):
        by_path = lab.http("GET", path, host=address, port=aws)
        assert by_path.status == 200
        event = json.loads(by_path.body)
        assert event["path"] == "/any/x/y"
        assert event["requestContext"]["path"] == "/prod/any/x/y"
        assert event["requestContext"]["domainName"] == host


@pytest.mark.parametrize(
    ("host", "path", "status", "message", "error_type"),
    [
        ("api.lab.test", "/nothing", 403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
        ("unknown.lab.test", "/feedback", 403, "Forbidden", "ForbiddenException"),
        ("d-1.execute-api.us-east-1.amazonaws.com", "/feedback", 403, "Forbidden", "ForbiddenException"),
        ("127.0.0.1:8080", "/feedback", 403, "Forbidden", "ForbiddenException"),
        ("api.lab.test", "/gone", 500, "Internal server error", "InternalServerErrorException"),
        ("api.lab.test", "/feedback?mode=raise", 502, "Internal server error", "InternalServerErrorException"),
        ("api.lab.test", "/feedback?mode=exit", 502, "Internal server error", "InternalServerErrorException"),
        ("api.lab.test", "/feedback?mode=bad", 502, "Internal server error", "InternalServerErrorException"),
        ("api.lab.test", "/slow?mode=sleep", 504, "Endpoint request timed out", "InternalServerErrorException"),
    ],
)
def test_errors_are_api_gateway_s(
    lab: FrontLab, host: str, path: str, status: int, message: str, error_type: str
) -> None:
    response = lab.http("GET", path, host=host)
    assert (response.status, json.loads(response.body)) == (status, {"message": message})
    assert response.header("x-amzn-ErrorType") == error_type
    assert response.header("x-amzn-RequestId")


def test_answers_keep_their_headers_and_binary_bodies(lab: FrontLab) -> None:
    response = lab.http("GET", "/feedback?mode=cookies")
    assert response.status == 201
    assert [v for n, v in response.headers if n == "Set-Cookie"] == ["a=1", "b=2"]
    assert response.header("x-amzn-Remapped-Date") == "x"
    binary = lab.http("GET", "/feedback?mode=binary", headers=[("Accept", "image/png")])
    assert binary.body == b"\x00\x01\x02\xff"
    head = lab.http("HEAD", "/any/x")
    assert (head.status, head.body) == (200, b"")


def test_a_body_over_10_mb_is_a_413_and_an_event_over_6_mb_too(lab: FrontLab) -> None:
    response = lab.http("POST", "/feedback", body=b"x" * (10 * 1024 * 1024 + 1))
    assert response.status == 413
    assert json.loads(response.body) == {"message": "HTTP content length exceeded 10485760 bytes."}
    response = lab.http("POST", "/feedback", body=b"x" * (7 * 1024 * 1024))
    assert response.status == 413


@pytest.mark.parametrize("size", [10_300, 40_000, 70_000])
def test_headers_over_10_kb_are_refused(lab: FrontLab, size: int) -> None:
    response = lab.http("GET", "/feedback", headers=[("X", "y" * size)])
    assert (response.status, json.loads(response.body)) == (431, {"message": "Request Header Fields Too Large"})


@pytest.mark.parametrize("size", [10_300, 40_000, 1_000_000])
def test_a_url_over_10_kb_is_a_414_and_one_below_reaches_its_function(lab: FrontLab, size: int) -> None:
    for target in ("/any/" + "p" * size, "/any/x?q=" + "q" * size):
        response = lab.http("GET", target)
        assert (response.status, json.loads(response.body)) == (414, {"message": "Request URI too long"})
        assert response.header("x-amzn-ErrorType")
        assert lab.http("GET", target[:10_000]).status == 200


def test_reserved_paths_of_custom_domains_answer_for_themselves(lab: FrontLab) -> None:
    assert lab.http("GET", "/ping").status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: api.lab.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : api.lab.test\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET * HTTP/1.1\r\nHost: api.lab.test\r\nConnection: close\r\n\r\n", 400),
        (b"GET http://api.lab.test/feedback HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_malformed_http_is_answered_and_closed(lab: FrontLab, data: bytes, status: int) -> None:
    answer = lab.raw(data, port=lab.topology.http_port)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer


def test_pipelined_requests_are_answered_in_order(lab: FrontLab) -> None:
    first = b"GET /feedback?mode=cookies HTTP/1.1\r\nHost: api.lab.test\r\n\r\n"
    second = b"GET /nothing HTTP/1.1\r\nHost: api.lab.test\r\nConnection: close\r\n\r\n"
    answer = lab.raw(first + second, port=lab.topology.http_port)
    assert answer.index(b"HTTP/1.1 201") < answer.index(b"HTTP/1.1 403")


def test_a_region_that_is_down_refuses_and_comes_back(lab: FrontLab) -> None:
    lab.http("GET", "/feedback")
    status = json.loads(lab.edge("GET", "/status").body)["regions"]["us-east-1"]
    pids = [e["pid"] for f in status["functions"]["functions"] for e in f["environments"]]
    assert pids
    with socket.create_connection((lab.address("us-east-1"), lab.topology.http_port)) as kept:
        lab.faults(Fault("f1", "down", 0, region="us-east-1"))
        kept.settimeout(60)
        with pytest.raises(ConnectionResetError):
            kept.recv(1)
    for port in (lab.topology.http_port, lab.topology.aws_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((lab.address("us-east-1"), port), timeout=60)
    assert lab.http("GET", "/feedback", region="us-west-2").status == 200
    status = json.loads(lab.edge("GET", "/status").body)["regions"]["us-east-1"]
    assert not [e for f in status["functions"]["functions"] for e in f["environments"] if e["pid"] in pids]
    lab.faults()

    def is_back() -> bool:
        try:
            return lab.http("GET", "/feedback").status == 200
        except CallFailed:
            return False

    eventually(is_back)


def test_a_region_that_hangs_takes_connections_and_says_nothing(lab: FrontLab) -> None:
    lab.faults(Fault("f1", "hang", 0, region="us-east-1"))
    with socket.create_connection((lab.address("us-east-1"), lab.topology.http_port), timeout=60) as sock:
        sock.sendall(b"GET /feedback HTTP/1.1\r\nHost: api.lab.test\r\n\r\n")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert json.loads(lab.edge("GET", "/health").body)["part"] == "edge"
        lab.faults()
        sock.settimeout(60)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert lab.http("GET", "/feedback").status == 200


def test_faults_on_lambda_show_as_api_gateway_shows_them(lab: FrontLab) -> None:
    lab.faults(Fault("f1", "error", 0, region="us-east-1", service="lambda", error_code="ServiceException"))
    assert lab.http("GET", "/feedback").status == 502
    lab.faults(Fault("f1", "hang", 0, region="us-east-1", service="lambda"))
    assert lab.http("GET", "/slow").status == 504
    lab.faults(Fault("f1", "error", 0, region="us-east-1", service="execute-api", error_code="ServiceUnavailable"))
    assert lab.http("GET", "/feedback").status == 503
