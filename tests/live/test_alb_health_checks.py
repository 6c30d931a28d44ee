"""Target health for real: functions and addresses that fail, recover, are not used, or are not checked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alb_lab import GROUP_ARN, OK, REGION, FakeFunctions, World, alb, ask, balancer, forward, function, group
from functions_region import region_of, write_function
from waiting import eventually_async

from lab.core.faults import Fault
from lab.core.function import Permission
from lab.core.load_balancer import Action, Rule, Target, TargetGroup

BALANCER_ARN = balancer().arn
SPEED = 100.0

HANDLER = """
    import os

    def handler(event, context):
        status = 200 if event["path"] == "/health" or event["httpMethod"] == "GET" else 500
        return {
            "statusCode": int(os.environ.get("STATUS", status)),
            "isBase64Encoded": False,
            "headers": {"Content-Type": "text/html"},
            "body": event["path"],
        }
"""


def checked(**changes: Any) -> TargetGroup:
    settings: dict[str, Any] = {
        "health_check_enabled": True,
        "health_check_path": "/health",
        "health_check_interval_s": 10,
        "health_check_timeout_s": 5,
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
    }
    return group(**{**settings, **changes})


def state(world: World) -> str:
    (target,) = world.balancers.target_health(GROUP_ARN)
    return str(target["state"])


def target(world: World) -> dict[str, Any]:
    (only,) = world.balancers.target_health(GROUP_ARN)
    return only


def test_without_health_checks_a_target_is_unavailable_and_the_balancer_healthy(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world:
            assert (target(world)["state"], target(world)["reason"]) == ("unavailable", "Target.HealthCheckDisabled")
            assert world.balancers.verdict(BALANCER_ARN) is True

    asyncio.run(run())


def test_a_group_that_no_listener_uses_is_unused(tmp_path: Path) -> None:
    async def run() -> None:
        fixed = Rule("d", 0, (Action("fixed-response", status_code=200),))
        async with alb(tmp_path, balancer(fixed), checked()) as world:
            assert (target(world)["state"], target(world)["reason"]) == ("unused", "Target.NotInUse")
            assert world.balancers.verdict(BALANCER_ARN) is False
            assert world.balancers.verdict("arn:unknown") is False

    asyncio.run(run())


def test_a_function_that_fails_its_checks_is_unhealthy_still_serves_and_recovers(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        verdicts: list[bool | None] = []
        async with alb(tmp_path, None, checked(), functions=functions, speed=SPEED) as world:
            world.balancers.watch(lambda: verdicts.append(world.balancers.verdict(BALANCER_ARN)))
            await eventually_async(lambda: state(world) == "healthy")
            assert functions.events[0] == {
                "requestContext": {"elb": {"targetGroupArn": GROUP_ARN}},
                "httpMethod": "GET",
                "path": "/health",
                "queryStringParameters": {},
                "headers": {"user-agent": "ELB-HealthChecker/2.0"},
                "body": "",
                "isBase64Encoded": False,
            }
            functions.answer = OK | {"statusCode": 503}
            await eventually_async(lambda: state(world) == "unhealthy")
            assert target(world)["description"] == "Health checks failed with these codes: [503]"
            assert (await ask()).status == 503  # fail-open: the request reaches the function all the same
            functions.answer = OK
            await eventually_async(lambda: state(world) == "healthy")
            assert verdicts[-1] is True and False in verdicts

    asyncio.run(run())


def test_a_matcher_decides_what_is_healthy(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions(OK | {"statusCode": 404})
        async with alb(tmp_path, None, checked(matcher="200,404"), functions=functions, speed=SPEED) as world:
            await eventually_async(lambda: state(world) == "healthy")

    asyncio.run(run())


def test_a_target_that_does_not_answer_in_time_fails_by_timeout(tmp_path: Path) -> None:
    """Also where the lab's speed makes the interval shorter than any timeout."""

    async def run() -> None:
        functions = FakeFunctions(wait=asyncio.Event())
        async with alb(tmp_path, None, checked(), functions=functions, speed=SPEED) as world:
            await eventually_async(lambda: state(world) == "unhealthy")
            assert target(world)["reason"] == "Target.Timeout"

    asyncio.run(run())


def test_in_a_region_that_is_down_targets_become_unhealthy_after_the_detection_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path, None, checked(), speed=SPEED) as world:
            await eventually_async(lambda: state(world) == "healthy")
            began = asyncio.get_running_loop().time()
            await world.fault(Fault("f", "down", 0, region=REGION))
            await eventually_async(lambda: state(world) == "unhealthy")
            took_ms = (asyncio.get_running_loop().time() - began) * 1000 * SPEED
            assert took_ms >= 10_000 - 100 * SPEED / 10  # at least one interval between two failures
            assert world.balancers.verdict(BALANCER_ARN) is False
            await world.fault()
            await eventually_async(lambda: state(world) == "healthy")

    asyncio.run(run())


def test_an_address_is_checked_over_http(tmp_path: Path) -> None:
    async def run() -> None:
        heads: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        there = checked(target_type="ip", port=port, targets=(Target("127.0.0.1", port),))
        async with alb(tmp_path, None, there, speed=SPEED) as world:
            await eventually_async(lambda: state(world) == "healthy")
            assert heads[0].startswith(b"GET /health HTTP/1.1\r\n") and b"ELB-HealthChecker/2.0" in heads[0]
            server.close()
            await eventually_async(lambda: state(world) == "unhealthy")
            assert target(world)["reason"] == "Target.FailedHealthChecks"

    asyncio.run(run())


def test_changed_settings_take_effect_and_keep_the_state(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, None, checked(), functions=functions, speed=SPEED) as world:
            await eventually_async(lambda: state(world) == "healthy")
            await world.publish(balancer(), checked(matcher="404"), function=function())
            assert state(world) == "healthy"
            await eventually_async(lambda: state(world) == "unhealthy")

    asyncio.run(run())


def test_real_functions_answer_and_are_checked_through_the_runtime_api(tmp_path: Path) -> None:
    async def run() -> None:
        allowed = Permission("alb", "elasticloadbalancing.amazonaws.com")
        item = write_function(tmp_path, HANDLER, "item", permissions=(allowed,))
        async with region_of(tmp_path, [item], speed=SPEED) as region:  # noqa: SIM117
            async with alb(tmp_path / "alb", None, checked(), functions=region, function=item, speed=SPEED) as world:
                await eventually_async(lambda: state(world) == "healthy")
                reply = await ask(target="/get/1")
                assert (reply.status, reply.body) == (200, b"/get/1")
                sick = write_function(
                    tmp_path, HANDLER, "item", permissions=(allowed,), environment={"STATUS": "503"}, revision_id="2"
                )
                region.publish(sick)
                await eventually_async(lambda: state(world) == "unhealthy")
                assert (await ask(target="/get/1")).status == 503

    asyncio.run(run())


def test_forward_needs_every_group_to_be_healthy(tmp_path: Path) -> None:
    async def run() -> None:
        other_arn = GROUP_ARN.replace("items", "other")
        groups = (group(), checked(arn=other_arn, name="other", targets=(Target("127.0.0.1", 9),), target_type="ip"))
        rule = forward(GROUP_ARN, other_arn)
        async with alb(tmp_path, balancer(rule), *groups, speed=SPEED) as world:
            await eventually_async(lambda: world.balancers.target_health(other_arn)[0]["state"] == "unhealthy")
            assert world.balancers.verdict(BALANCER_ARN) is False

    asyncio.run(run())
