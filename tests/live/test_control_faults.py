"""Control's token API: faults, history, status, and what is refused there."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from control_process import ControlLab, StubPart, lab_fixture
from waiting import eventually


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


@pytest.fixture(autouse=True)
def healed(lab: ControlLab) -> Iterator[None]:
    yield
    lab.api("DELETE", "/api/faults")


def test_a_part_that_has_not_taken_a_fault_is_named(lab: ControlLab) -> None:
    lab.edge.answers["PUT /documents/faults"] = (507, b"no room")
    try:
        _, fault = lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-east-1"})
        assert list(fault["not_taken"]) == ["edge"] and "507 b'no room'" in fault["not_taken"]["edge"]
        assert list(lab.api("DELETE", "/api/faults")[1]["not_taken"]) == ["edge"]
    finally:
        del lab.edge.answers["PUT /documents/faults"]
    assert eventually(
        lambda: not lab.api("GET", "/api/status")[1]["parts"]["control"]["publishing"]["edge"]["behind"], ""
    )
    assert "not_taken" not in lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-east-1"})[1]


def test_a_fault_is_published_before_the_answer_and_named(lab: ControlLab) -> None:
    status, fault = lab.api("POST", "/api/faults", {"effect": "down", "region": "us-east-1", "label": "outage"})
    assert status == 200 and fault["fault_id"].startswith("fault-") and fault["since_ms"] > 0
    for part in lab.parts.values():
        assert part.document("faults").region_condition("us-east-1") == "down"
    assert lab.api("GET", "/api/faults")[1]["faults"] == [fault]
    assert lab.api("DELETE", f"/api/faults/{fault['fault_id']}") == (200, {"lifted": [fault["fault_id"]]})
    assert lab.edge.document("faults").faults == ()


def test_the_same_fault_twice_is_one(lab: ControlLab) -> None:
    wanted = {"effect": "cut", "region": "us-east-1", "target": "us-west-2"}
    first = lab.api("POST", "/api/faults", wanted)[1]
    assert lab.api("POST", "/api/faults", {**wanted, "label": "again"})[1] == first
    assert len(lab.edge.document("faults").faults) == 1


def test_a_link_to_a_region_of_the_health_checkers_can_be_cut(lab: ControlLab) -> None:
    status, fault = lab.api("POST", "/api/faults", {"effect": "cut", "region": "eu-west-1", "target": "us-east-1"})
    assert (status, fault["region"]) == (200, "eu-west-1")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ([], "JSON object"),
        ({"effect": "cut", "region": "eu-west-1", "target": "sa-east-1"}, "no region 'eu-west-1'"),
        ({"effect": "cut", "region": "eu-west-2", "target": "us-east-1"}, "no region 'eu-west-2'"),
        ({"effect": "meteor"}, "'meteor' is none of down, hang"),
        ({"effect": "down"}, "region: a fault with the effect down needs one of us-east-1, us-west-2"),
        ({"effect": "down", "region": "eu-west-1"}, "no region 'eu-west-1', it has us-east-1, us-west-2"),
        ({"effect": "down", "region": "us-east-1", "sped": 1}, "unknown key 'sped'"),
        ({"effect": "down", "region": 7}, "expected str"),
        ({"effect": "cut", "region": "us-east-1"}, "needs its other end"),
        ({"effect": "cut", "region": "us-east-1", "target": "us-east-1"}, "another region"),
        ({"effect": "hang", "region": "us-east-1", "lose_data": True}, "lose_data"),
        ({"effect": "delay", "region": "us-east-1"}, "delay_ms"),
        ({"effect": "error", "region": "us-east-1"}, "error_code"),
        ({"effect": "error", "error_code": "X", "probability": 2.0}, "probability"),
        ({"effect": "clock_skew", "region": "us-east-1"}, "skew_ms"),
        ({"effect": "clock_skew", "region": "us-east-1", "skew_ms": 2**63 - 1}, "skew_ms"),
        ({"effect": "clock_skew", "region": "us-east-1", "skew_ms": -(2**50)}, "skew_ms"),
        ({"effect": "health_reported", "health_check_id": "absent", "healthy": True}, "no health check 'absent'"),
        ({"effect": "down", "region": "us-east-1", "fault_id": "mine"}, "given by the lab"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_what_was_expected(lab: ControlLab, body: Any, part: str) -> None:
    status, answer = lab.api("POST", "/api/faults", body)
    assert status == 400 and part in answer["error"]
    assert lab.api("GET", "/api/faults")[1] == {"faults": []}


def test_lifting_a_fault_that_is_not_there_is_said(lab: ControlLab) -> None:
    assert lab.api("DELETE", "/api/faults/fault-999")[0] == 404
    assert lab.api("DELETE", "/api/faults") == (200, {"lifted": []})


def test_history_tells_faults_and_what_parts_report(lab: ControlLab) -> None:
    before = max((event["n"] for event in lab.api("GET", "/api/history")[1]["events"]), default=0)
    fault = lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-west-2", "label": "hung"})[1]
    lab.api("DELETE", "/api/faults")
    assert lab.unix("POST", "/history", {"kind": "unhealthy", "region": "us-west-2", "detail": "check"}) == 204
    assert lab.unix("POST", "/history", {"colour": "blue"}) == 400
    events = lab.api("GET", f"/api/history?after={before}")[1]["events"]
    told = [(event["kind"], event["region"], event["detail"]) for event in events]
    assert told == [
        ("fault", "us-west-2", "hung"),
        ("healed", "us-west-2", "hung"),
        ("unhealthy", "us-west-2", "check"),
    ]
    assert events[0]["time_ms"] == fault["since_ms"]
    for after in ("soon", "-1", "%D9%A3", "9" * 5_000):
        assert lab.api("GET", f"/api/history?after={after}")[0] == 400


def test_a_region_that_loses_its_data_has_its_engine_killed_and_started(lab: ControlLab) -> None:
    supervisor = StubPart(lab.state / "stub" / "supervisor", lab.topology.socket_path("supervisor"))
    try:
        for verb in ("kill", "start"):
            supervisor.answers[f"POST /engines/us-east-1/{verb}"] = (204, b"")
        wanted = {"effect": "down", "region": "us-east-1", "lose_data": True}
        assert lab.api("POST", "/api/faults", wanted)[0] == 200
        assert supervisor.asked == [("POST", "/engines/us-east-1/kill")]
        assert lab.api("DELETE", "/api/faults")[0] == 200
        assert supervisor.asked[1:] == [("POST", "/engines/us-east-1/start")]
    finally:
        supervisor.close()


def test_status_joins_all_parts_and_says_which_are_missing(lab: ControlLab) -> None:
    lab.edge.answers["GET /status"] = (200, b'{"fronts": 2}')
    check = {"c1": {"status": "healthy", "since_ms": 5, "checkers": [1]}}
    lab.edge.answers["GET /status/health-checks"] = (200, json.dumps(check).encode())
    status, value = lab.api("GET", "/api/status")
    assert status == 200
    assert value["parts"]["edge"] == {"fronts": 2}
    assert "does not answer" in value["parts"]["supervisor"]["error"]
    assert value["health_checks"] == {"c1": {"status": "healthy", "since_ms": 5}}
    assert [region["condition"] for region in value["regions"]] == ["up", "up"]
    assert value["parts"]["control"]["publishing"]["edge"]["behind"] == []


def test_questions_are_passed_on_to_the_part_that_knows(lab: ControlLab) -> None:
    lab.edge.answers["GET /resolve?name=a.test&type=A"] = (200, b'{"rcode":"NOERROR"}')
    lab.parts["replicator"].answers["GET /lost"] = (200, b'{"lost":[]}')
    lab.parts["replicator"].answers["POST /converged"] = (200, b'{"converged":true}')
    assert lab.api("GET", "/api/resolve?name=a.test&type=A") == (200, {"rcode": "NOERROR"})
    assert lab.api("GET", "/api/lost") == (200, {"lost": []})
    assert lab.api("POST", "/api/converged", {"table": "t", "timeout_ms": 100}) == (200, {"converged": True})
    assert lab.api("POST", "/api/converged", {"timeout_ms": "soon"})[0] == 400


def test_the_token_is_this_users_alone_and_wanted_everywhere(lab: ControlLab) -> None:
    token = lab.state / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}, {"Authorization": "Basic x"}):
        status, answer = lab.api("GET", "/api/status", **headers)
        assert status == 401 and "token" in answer["error"]


@pytest.mark.parametrize("port", ["control_port", "aws_port"])
@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.example\r\n",
        "Host: {host}\r\nOrigin: http://evil.example\r\n",
        "Host: {host}\r\nOrigin: null\r\n",
        "Host: {host}\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: {host}\r\nContent-Type: text/plain\r\n",
        "Host: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        "Host: {host}\r\nHost: {host}\r\n",
    ],
)
def test_requests_that_a_web_page_could_forge_are_refused(lab: ControlLab, port: str, headers: str) -> None:
    address = (lab.topology.global_address, getattr(lab.topology, port))
    sent = headers.format(host=f"{address[0]}:{address[1]}")
    with socket.create_connection(address, timeout=60) as connection:
        request = f"POST /api/faults HTTP/1.1\r\n{sent}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        connection.sendall(request.encode())
        status = int(connection.makefile("rb").readline().split()[1])
    assert status in (403, 421)


def test_regional_services_are_refused_at_the_global_endpoint_with_where_they_are(lab: ControlLab) -> None:
    import urllib.error
    import urllib.request

    url = f"http://{lab.topology.global_address}:{lab.topology.aws_port}/"
    credential = (
        "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
    )
    target = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
    request = urllib.request.Request(url, b"{}", {"Authorization": credential, **target})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    with caught.value as answer:
        message = json.loads(answer.read())["message"]
    assert "us-east-1 at http://127.45.1.1:" in message and "us-west-2 at http://127.45.2.1:" in message


def test_a_part_that_hangs_does_not_hang_control(lab: ControlLab) -> None:
    lab.edge.hanging = True
    try:
        assert lab.api("POST", "/api/faults", {"effect": "hang", "region": "us-west-2"})[0] == 200
        publishing = lab.api("GET", "/api/status")[1]["parts"]["control"]["publishing"]
        assert publishing["edge"]["behind"] == ["faults"] and "no answer" in publishing["edge"]["problem"]
    finally:
        lab.edge.hanging = False
    eventually(lambda: lab.edge.document("faults").region_condition("us-west-2") == "hang", "the fault at the edge")
