"""Ports that lead elsewhere: bytes go through both ways until each end, and nobody waits for what is not there."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from lab.live.byte_relay import RelayedPorts

LIMIT_S = 60.0
ADDRESS = "127.46.9.1"


def free_port() -> int:
    """A port of an address from which nobody calls: no connection's own end takes it before it is listened on."""
    with socket.create_server((ADDRESS, 0)) as sock:
        return int(sock.getsockname()[1])


async def through(port: int, sent: bytes) -> bytes:
    """What comes back after the client has sent all it had and ended its side."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), LIMIT_S)
    finally:
        writer.close()


async def reversing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers when the client has ended its side, not before."""
    writer.write((await reader.read())[::-1])
    writer.close()


def test_what_a_client_sends_arrives_and_the_answer_after_its_end_comes_back() -> None:
    async def main() -> None:
        async with await asyncio.start_server(reversing, "127.0.0.1", 0) as server:
            port = free_port()
            ports = RelayedPorts({port: ("127.0.0.1", server.sockets[0].getsockname()[1])}, ADDRESS)
            await ports.start()
            try:
                assert await through(port, b"abc") == b"cba"
                large = bytes(range(256)) * 20_000
                assert await through(port, large) == large[::-1]
            finally:
                await ports.close()

    asyncio.run(main())


def test_a_client_of_what_does_not_listen_is_not_kept_waiting() -> None:
    async def main() -> None:
        port, nobody = free_port(), free_port()
        ports = RelayedPorts({port: (ADDRESS, nobody)}, ADDRESS)
        await ports.start()
        try:
            with contextlib.suppress(ConnectionError):  # reset or closed, as the kernel sees fit
                assert await through(port, b"hello") == b""
        finally:
            await ports.close()

    asyncio.run(main())
