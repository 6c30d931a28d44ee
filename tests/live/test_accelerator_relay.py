"""The relay beneath accelerators on its own: what becomes of connections when the machine has nothing left for them."""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from lab.live.accelerator_connection import Address, Route, Tally
from lab.live.accelerator_relay import Relay

ADDRESS = "127.0.0.1"
LIMIT_S = 60.0


def test_a_connection_that_no_descriptor_is_left_for_is_reset_and_the_next_one_goes_through() -> None:
    async def main() -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        backend = await asyncio.start_server(greet, ADDRESS, 0)
        target: Address = backend.sockets[0].getsockname()
        tally = Tally()
        full = True

        def route(source: Address, called: Address) -> Route:
            if full:
                lowest_free = os.dup(0)
                os.close(lowest_free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
            return Route(target, b"", tally)

        relay = Relay(route, idle_timeout_s=60.0)
        port = relay.listen(ADDRESS, 0)
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            writer.write(b"hello")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), LIMIT_S)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            writer.close()
            assert (tally.flows, tally.open, len(relay.connections)) == (0, 0, 0)

            full = False
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.readexactly(5), LIMIT_S) == b"HELLO"
            writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            relay.close()
            backend.close()
            await backend.wait_closed()

    asyncio.run(main())


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readexactly(5)).upper())
    await writer.drain()
    await reader.read()
    writer.close()
