"""Load balancers' TLS listeners: certificates by name, prefaces before the handshake, clients that speak none."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from alb_lab import (
    ADDRESS,
    DNS_NAME,
    PORT,
    FakeFunctions,
    World,
    alb,
    balancer,
    client,
)

from lab.core import proxy_protocol


def trusting(world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=Path(world.topology.state_dir) / "certificates" / "ca.pem")


def test_a_tls_listener_has_a_certificate_for_each_name_of_the_lab(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, balancer(protocol="HTTPS"), functions=functions) as world:
            context = trusting(world)
            for name in (DNS_NAME, "app.lab.test"):
                async with client(ssl=context, server_hostname=name) as one:
                    assert (await one.ask(host=name)).status == 200
            assert functions.events[-1]["headers"]["x-forwarded-proto"] == "https"
            assert functions.events[-1]["headers"]["x-forwarded-port"] == "443"
            line = world.access_log()[-1]
            assert line.startswith("https ") and "TLSv1.3" in line and '"app.lab.test"' in line
            with pytest.raises(ssl.SSLCertVerificationError):
                async with client(ssl=context, server_hostname="www.example.com"):
                    pass
            key = Path(world.topology.state_dir) / "certificates" / "ca.key"
            assert key.stat().st_mode & 0o777 == 0o600

    asyncio.run(run())


def test_a_preface_may_come_before_tls(tmp_path: Path) -> None:
    async def run() -> None:
        functions = FakeFunctions()
        async with alb(tmp_path, balancer(protocol="HTTPS"), functions=functions) as world:
            for form in (proxy_protocol.format_v1, proxy_protocol.format_v2):
                reader, writer = await asyncio.open_connection(ADDRESS, PORT + 1)
                writer.write(form(("198.18.1.10", 5), (ADDRESS, 443)))
                await writer.start_tls(trusting(world), server_hostname=DNS_NAME)
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                async with asyncio.timeout(60):
                    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
                writer.close()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    await writer.wait_closed()
            assert [event["headers"]["x-forwarded-for"] for event in functions.events] == ["198.18.1.10"] * 2

    asyncio.run(run())


def test_what_is_not_tls_does_not_stop_a_tls_listener(tmp_path: Path) -> None:
    async def run() -> None:
        async with alb(tmp_path, balancer(protocol="HTTPS")) as world:
            for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY nonsense\r\n"):
                reader, writer = await asyncio.open_connection(ADDRESS, PORT + 1)
                writer.write(data)
                async with asyncio.timeout(60):
                    with contextlib.suppress(ConnectionResetError):
                        await reader.read()
                writer.transport.abort()
            async with client(ssl=trusting(world), server_hostname=DNS_NAME) as one:
                assert (await one.ask()).status == 200

    asyncio.run(run())
