"""Requests at a load balancer with a function behind it: events, answers, errors, limits, faults, access logs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alb_lab import (
    ADDRESS,
    DNS_NAME,
    FUNCTION_ARN,
    GROUP_ARN,
    OK,
    PORT,
    REGION,
    FakeFunctions,
    alb,
    ask,
    balancer,
    client,
    forward,
    function,
    group,
    region_fault,
)

from lab.core import proxy_protocol
from lab.core.lambda_errors import FunctionNotFound, ServiceUnavailable, TooManyRequests
from lab.core.load_balancer import Action, Condition, Rule, Target, TargetGroup, TargetGroupTuple


def test_a_function_answers_and_gets_the_documented_event(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, functions=functions):
            reply = await ask(target="/get/1?q=a%20b", headers={"User-Agent": "test"})
            assert (reply.status, reply.phrase, reply.body) == (200, "OK", b"<h1>item</h1>")
            assert reply.headers["content-type"] == "text/html"
            assert {"date", "server", "connection"} <= reply.headers.keys()
            (event,) = functions.events
            trace = event["headers"].pop("x-amzn-trace-id")
            assert trace.startswith("Root=1-")
            assert event == {
                "requestContext": {"elb": {"targetGroupArn": GROUP_ARN}},
                "httpMethod": "GET",
                "path": "/get/1",
                "queryStringParameters": {"q": "a%20b"},
                "headers": {
                    "host": DNS_NAME,
                    "user-agent": "test",
                    "x-forwarded-for": "127.0.0.1",
                    "x-forwarded-port": "80",
                    "x-forwarded-proto": "http",
                },
                "body": "",
                "isBase64Encoded": False,
            }

    asyncio.run(run())


def test_chunked_bodies_are_gathered(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, functions=functions), client() as one:
            one.writer.write(
                b"POST /put HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
            )
            assert (await one.reply()).status == 200
            assert functions.events[0]["body"] == '{"a":1}'
            assert "transfer-encoding" not in functions.events[0]["headers"]

    asyncio.run(run())


def test_multi_value_mode_is_the_target_groups(tmp_path: Path) -> None:
    async def run() -> None:
        answer = {"statusCode": 200, "isBase64Encoded": False, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
        functions = FakeFunctions(answer)
        many = group(attributes={"lambda.multi_value_headers.enabled": "true"})
        async with alb(tmp_path, None, many, functions=functions):
            reply = await ask(target="/?k=1&k=2")
            assert reply.headers["set-cookie"] == "a=1\nb=2"
            assert functions.events[0]["multiValueQueryStringParameters"] == {"k": ["1", "2"]}
            assert functions.events[0]["multiValueHeaders"]["host"] == [DNS_NAME]

    asyncio.run(run())


def test_a_head_request_gets_no_body(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path), client() as one:
            reply = await one.ask("HEAD")
            assert (reply.status, reply.headers["content-length"]) == (200, "13")
            assert (await one.ask("GET")).body == b"<h1>item</h1>"

    asyncio.run(run())


CASES: list[tuple[str, dict[str, Any], int, str]] = [
    ("an invalid response", {"answer": {"statusCode": 200}}, 502, "LambdaInvalidResponse"),
    ("no JSON", {"answer": b"hello"}, 502, "LambdaInvalidResponse"),
    ("a response over 1 MB", {"answer": OK | {"body": "x" * 1_048_577}}, 502, "LambdaResponseTooLarge"),
    ("an exception or a timeout", {"error": "Unhandled"}, 502, "LambdaUnhandled"),
    ("throttling", {"raises": TooManyRequests("ConcurrentInvocationLimitExceeded")}, 502, "LambdaThrottling"),
    ("a function that is gone", {"raises": FunctionNotFound(FUNCTION_ARN)}, 502, "LambdaResourceNotFound"),
    ("a service that fails", {"raises": ServiceUnavailable("down")}, 502, "LambdaServiceException"),
]


@pytest.mark.parametrize(("fakes", "status", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_goes_wrong_with_a_function_has_its_status_and_reason(
    tmp_path: Path, fakes: dict[str, Any], status: int, reason: str
) -> None:
    async def run() -> None:
        async with alb(tmp_path, functions=FakeFunctions(**fakes)) as world:
            reply = await ask()
            assert (reply.status, reply.headers["server"]) == (status, "awselb/2.0")
            (line,) = world.access_log()
            fields = line.split(" ")
            assert fields[8:10] == [str(status), "-"]
            assert f'"{reason}"' in line

    asyncio.run(run())


def test_a_function_that_does_not_let_the_balancer_in_is_a_502(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path, function=function(permissions=())) as world:
            assert (await ask()).status == 502
            assert '"LambdaAccessDenied"' in world.access_log()[0]

    asyncio.run(run())


def test_a_group_without_targets_is_a_503(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path, None, group(targets=())):
            assert (await ask()).status == 503

    asyncio.run(run())


def test_request_limits(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world:
            assert (await ask("TRACE")).status == 405
            assert (await ask(target="/" + "x" * 16_385)).status == 400
            assert (await ask(headers={"X-Big": "x" * 16_385})).status == 400
            assert (await ask(headers={f"X-{n}": "x" * 8_000 for n in range(9)})).status == 400
            assert (await ask(host=None)).status == 400
            assert (await ask("POST", body=b"x" * 1_048_576)).status == 200
            assert (await ask("POST", body=b"x" * 1_048_577)).status == 413
            assert '"LambdaRequestTooLarge"' in world.access_log()[-1]
            assert (await ask(headers={"X-Forwarded-For": ", ".join(["1.1.1.1"] * 31)})).status == 463
            assert (await ask(headers={"X-Name": "\xff\xfe"})).status == 400
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
            assert (await ask(headers=upgrade)).status == 400
            assert '"LambdaWebsocketNotSupported"' in world.access_log()[-1]

    asyncio.run(run())


def test_a_target_that_is_no_url_is_a_400(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world, client() as one:
            one.writer.write(b"GET http://[abc/health HTTP/1.1\r\nHost: items.lab.test\r\n\r\n")
            assert (await one.reply()).status == 400
            assert world.access_log()[0].split('"')[1] == "GET http://[abc/health HTTP/1.1"

    asyncio.run(run())


def test_rules_decide_between_actions(tmp_path: Path) -> None:
    async def run() -> None:
        fixed = Action("fixed-response", status_code=418, content_type="text/plain", message_body="tea")
        away = Action("redirect", status_code=301, redirect_protocol="HTTPS", redirect_port="443")
        rules = (
            Rule("r1", 1, (fixed,), (Condition("path-pattern", ("/tea*",)),)),
            Rule("r2", 2, (away,), (Condition("host-header", ("old.lab.test",)),)),
            Rule("r3", 3, (fixed,), (Condition("source-ip", ("198.18.5.0/24",)),)),
            forward(),
        )
        async with alb(tmp_path, balancer(*rules)) as world:
            reply = await ask(target="/tea?x=1")
            assert (reply.status, reply.body) == (418, b"tea")
            reply = await ask(target="/a?b=c", host="old.lab.test")
            assert (reply.status, reply.headers["location"]) == (301, "https://old.lab.test:443/a?b=c")
            async with client(proxy_protocol.format_v1(("198.18.5.10", 5), (ADDRESS, 80))) as one:
                assert (await one.ask()).status == 418
            assert (await ask()).status == 200
            assert '"redirect" "https://old.lab.test:443/a?b=c"' in world.access_log()[1]

    asyncio.run(run())


def test_a_forward_action_shares_by_weight_and_sticks_by_cookie(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        other_arn = GROUP_ARN.replace("items", "other")
        tuples = (TargetGroupTuple(GROUP_ARN, 1), TargetGroupTuple(other_arn, 1))
        both = Rule("d", 0, (Action("forward", target_groups=tuples, stickiness_s=60),))
        free = function(permissions=(function().permissions[0].__class__("x", "elasticloadbalancing.amazonaws.com"),))
        groups = (group(), group(arn=other_arn, name="other"))
        async with alb(tmp_path, balancer(both), *groups, functions=functions, function=free):
            async with client() as one:
                cookie = (await one.ask()).headers["set-cookie"].partition(";")[0]
                for _ in range(20):
                    await one.ask(headers={"Cookie": f"x=y; {cookie}"})
                seen = [event["requestContext"]["elb"]["targetGroupArn"] for event in functions.events]
                assert len(set(seen)) == 1
                for _ in range(40):
                    await one.ask()
            seen = [event["requestContext"]["elb"]["targetGroupArn"] for event in functions.events]
            assert set(seen) == {GROUP_ARN, other_arn}

    asyncio.run(run())


def test_an_address_target_is_asked_over_http(tmp_path: Path) -> None:
    async def run() -> None:
        seen: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    seen.append(head)
                    writer.write(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nX-A: 2\r\nTransfer-Encoding: chunked\r\n\r\n")
                    writer.write(b"2\r\nhi\r\n0\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        there = TargetGroup(GROUP_ARN, REGION, "items", "ip", port=port, targets=(Target("127.0.0.1", port),))
        async with alb(tmp_path, None, there) as world:
            reply = await ask(target="/x?y=%20")
            assert (reply.status, reply.body, reply.headers["x-a"]) == (201, b"hi", "1\n2")
            assert seen[0].startswith(b"GET /x?y=%20 HTTP/1.1\r\n")
            assert b"x-forwarded-for: 127.0.0.1\r\n" in seen[0] and f"host: {DNS_NAME}\r\n".encode() in seen[0]
            assert world.access_log()[0].split(" ")[4] == f"127.0.0.1:{port}"
            server.close()
            await world.publish(balancer(), group(target_type="ip", targets=(Target("127.0.0.1", 9),)), function=None)
            assert (await ask()).status == 502

    asyncio.run(run())


def test_hosts_that_the_lab_does_not_know_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        named = Rule("r", 1, forward().actions, (Condition("host-header", ("shop.example.com", "*")),))
        async with alb(tmp_path) as world:
            for host in (DNS_NAME, "localhost:8080", "app.lab.test", ADDRESS, f"{ADDRESS}:{PORT}"):
                assert (await ask(host=host)).status == 200, host
            assert (await ask(host="evil.example.com")).status == 421
            assert (await ask(host="shop.example.com")).status == 421
            shop = Rule("r", 1, forward().actions, (Condition("host-header", ("shop.example.com",)),))
            await world.publish(balancer(shop, forward()), function=function())
            assert (await ask(host="shop.example.com")).status == 200
            await world.publish(balancer(named, forward()), function=function())
            assert (await ask(host="evil.example.com")).status == 421

    asyncio.run(run())


def test_faults_on_the_service_and_on_lambda(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world:
            await world.fault(region_fault("error", service="elasticloadbalancing", error_code="500"))
            assert (await ask()).status == 500
            await world.fault(region_fault("down", service="lambda"))
            assert (await ask()).status == 502
            assert '"LambdaServiceException"' in world.access_log()[-1]

    asyncio.run(run())
