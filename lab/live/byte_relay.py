"""Bytes between two connections as they come, each direction until its end, and TCP ports that lead elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lab.errors import EnvironmentFailure
from lab.live.listening import bind_tcp

READ_BYTES = 65_536
CONNECT_LIMIT_S = 5.0

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RelayedPorts:
    """Ports at `listen_host`, each leading to a port of another address, as `{port: (address, port)}`."""

    def __init__(self, ports: dict[int, tuple[str, int]], listen_host: str) -> None:
        self._ports, self._listen_host = ports, listen_host
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen. Raises EnvironmentFailure."""
        for port, target in self._ports.items():
            sock = bind_tcp(self._listen_host, port)
            try:
                self._servers.append(await asyncio.start_server(_accepting(target), sock=sock))
            except OSError as error:
                sock.close()
                raise EnvironmentFailure(f"cannot listen on {self._listen_host}:{port}: {error}") from error

    async def close(self) -> None:
        """Listen no more. Connections end with the process."""
        for server in self._servers:
            server.close()
        self._servers.clear()


def _accepting(target: tuple[str, int]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay((reader, writer), lambda: asyncio.open_connection(*target))

    return accept


async def relay(client: Ends, connect: Callable[[], Awaitable[Ends]]) -> None:
    """Connect a client to what `connect` opens, until both have ended; a client that cannot be connected is dropped."""
    reader, writer = client
    try:
        other_reader, other_writer = await asyncio.wait_for(connect(), CONNECT_LIMIT_S)
    except (OSError, TimeoutError):
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))
    finally:
        for end in (writer, other_writer):
            end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:  # one end was reset: so is the other
        writer.transport.abort()
