"""Connections to a load balancer: kept, prefaced, malformed, left, idle, old, and in a region that is down or hangs."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from alb_lab import (
    ADDRESS,
    DNS_NAME,
    FakeFunctions,
    alb,
    ask,
    balancer,
    client,
    region_fault,
)
from waiting import eventually_async

from lab.core import proxy_protocol


def test_connections_are_kept_and_pipelined_requests_answered_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, functions=functions), client() as one:
            assert (await one.ask(target="/1")).status == 200
            request = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
            one.writer.write(b"".join(request % n for n in range(2, 50)))
            for _ in range(2, 50):
                assert (await one.reply()).status == 200
            assert [event["path"] for event in functions.events] == [f"/{n}" for n in range(1, 50)]

    asyncio.run(run())


def test_a_preface_names_the_client(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, functions=functions):
            for form in (proxy_protocol.format_v1, proxy_protocol.format_v2):
                async with client(form(("198.18.1.10", 5), (ADDRESS, 80))) as one:
                    assert (await one.ask(headers={"X-Forwarded-For": "203.0.113.9"})).status == 200
            seen = [event["headers"]["x-forwarded-for"] for event in functions.events]
            assert seen == ["203.0.113.9, 198.18.1.10"] * 2

    asyncio.run(run())


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\r\n\x00\r\n\r\n"]
)
def test_malformed_http_is_a_400_and_the_connection_closes(tmp_path: Path, data: bytes) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world, client() as one:
            one.writer.write(data)
            assert (await one.reply()).status == 400
            assert await one.reader.read() == b""
            (line,) = world.access_log()
            assert f' 400 - 0 159 "- http://{DNS_NAME}:80- -" "-" - - - "-" "-" "-" - ' in line

    asyncio.run(run())


def test_the_access_log_names_the_connection_of_each_request(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world:
            async with client() as one:
                assert [(await one.ask()).status for _ in range(2)] == [200, 200]
            assert (await ask()).status == 200
            ids = [line.split(" ")[-1] for line in world.access_log()]
            assert all(name.startswith("TID_") and len(name) == 36 for name in ids)
            assert ids[0] == ids[1] != ids[2]

    asyncio.run(run())


def test_a_client_that_leaves_is_logged_as_460(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions(wait=asyncio.Event())
        async with alb(tmp_path, functions=functions) as world:
            async with client() as one:
                one.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await eventually_async(lambda: bool(functions.events))
            await eventually_async(lambda: any(" 460 - " in line for line in world.access_log()))

    asyncio.run(run())


def test_a_region_that_is_down_refuses_and_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world, client() as one:
            assert (await one.ask()).status == 200
            await world.fault(region_fault("down"))
            with pytest.raises(ConnectionError):
                await one.ask()
            with pytest.raises(ConnectionRefusedError):
                await ask()
            await world.fault()
            assert (await ask()).status == 200

    asyncio.run(run())


def test_in_a_region_that_hangs_connections_open_and_nothing_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path) as world:
            await world.fault(region_fault("hang"))
            async with client() as one:
                one.writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await one.reader.read()
                await world.fault()
                with contextlib.suppress(ConnectionResetError):
                    assert await one.reader.read() == b""
            assert (await ask()).status == 200

    asyncio.run(run())


def test_an_idle_connection_is_closed_after_its_timeout(tmp_path: Path) -> None:
    async def run() -> None:
        one_second = balancer(attributes={"idle_timeout.timeout_seconds": "1"})
        async with alb(tmp_path, one_second, speed=1.0), client() as one:
            with contextlib.suppress(ConnectionResetError):  # a stall of a second before the request, and it is idle
                assert (await one.ask()).status == 200
            async with asyncio.timeout(60):
                with contextlib.suppress(ConnectionResetError):
                    assert await one.reader.read() == b""

    asyncio.run(run())


def test_a_connection_that_is_older_than_its_keep_alive_is_closed_with_an_answer(tmp_path: Path) -> None:
    async def run() -> None:
        one_second = balancer(attributes={"client_keep_alive.seconds": "1"})
        async with alb(tmp_path, one_second, speed=1.0), client() as one:
            async with asyncio.timeout(60):
                while (reply := await one.ask()).headers["connection"] == "keep-alive":
                    assert reply.status == 200
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert await one.reader.read() == b""

    asyncio.run(run())
