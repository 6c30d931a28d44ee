"""Accelerators on real sockets for tests: backends that say who called them, endpoints whose health a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from lab.core import codec, proxy_protocol
from lab.core.accelerator import (
    Accelerator,
    AcceleratorListener,
    Accelerators,
    Endpoint,
    EndpointGroup,
    PortRange,
)
from lab.core.topology import Topology, regional_addresses
from lab.data import geography, places
from lab.live.accelerator import AcceleratorEdge, EndpointAddress, EndpointSource
from lab.live.clock import Clock
from lab.live.documents import DocumentStore

BLOCK = "127.48"
EAST, WEST = "arn:east", "arn:west"
STATIC = ("127.48.100.2", "127.48.100.3")


class Backend:
    """Answers every line with its name, the client that the preface named, and the line; says bye at the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            preface = proxy_protocol.parse(await reader.readexactly(28))
            assert preface is not None and preface.source is not None
            while line := await reader.readline():
                writer.write(f"{self.name} {preface.source[0]} ".encode() + line)
                await writer.drain()
            writer.write(b"bye\n")
            await writer.drain()
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            if not writer.is_closing():
                writer.transport.abort()


class World:
    """Two endpoints, one accelerator, and what the endpoints' health is said to be."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        speed = settings.pop("speed", 1.0)
        self.topology = Topology(
            BLOCK,
            regional_addresses(BLOCK, ("us-east-1", "us-west-2")),
            places(),
            str(folder),
            str(folder),
            speed=speed,
            **{"accelerator_delay_ms": 0, **settings},
        )
        self.store = DocumentStore(folder / "documents")
        self.backends = {EAST: Backend("east"), WEST: Backend("west")}
        self.healthy: dict[str, bool | None] = {EAST: True, WEST: True}
        self.callbacks: list[Callable[[], None]] = []
        source = EndpointSource(self.healthy.get, self._address, self.callbacks.append)
        self.edge = AcceleratorEdge(self.topology, self.store, Clock(speed), geography(), source, log=lambda line: None)
        self.port = 0

    def _address(self, endpoint_id: str, port: int) -> EndpointAddress | None:
        backend = self.backends.get(endpoint_id)
        return EndpointAddress("127.0.0.1", backend.port) if backend and port == self.port else None

    def publish(self, *groups: EndpointGroup, **changes: Any) -> None:
        listener = AcceleratorListener("arn:l", (PortRange(self.port, self.port),), groups=groups)
        listener = replace(listener, **{k: changes.pop(k) for k in ("client_affinity", "port_ranges") if k in changes})
        accelerator = Accelerator("arn:a", "a", 1, STATIC, "a.test", 0, 0, 0, listeners=(listener,), **changes)
        self.store.put("accelerators", orjson.dumps(codec.encode(Accelerators((accelerator,)))))

    def say(self, **healthy: bool) -> None:
        self.healthy.update({f"arn:{name}": value for name, value in healthy.items()})
        for callback in self.callbacks:
            callback()

    async def connect(self, place: str | None = "dublin", address: str = STATIC[0], port: int | None = None) -> Stream:
        reader, writer = await asyncio.open_connection(address, port or self.port)
        if place:
            client = (self.topology.place(place).client_address, writer.get_extra_info("sockname")[1])
            writer.write(proxy_protocol.format_v1(client, (address, self.port)))
        return Stream(reader, writer)

    async def ask(self, place: str | None = "dublin", address: str = STATIC[0]) -> str:
        """Which endpoint serves a new connection; "" if it is dropped."""
        stream = await self.connect(place, address)
        try:
            return (await stream.say("hi")).partition(" ")[0]
        except ConnectionError:
            return ""
        finally:
            stream.close()


class Stream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\n")
        async with asyncio.timeout(60):
            return (await self.reader.readline()).decode().strip()

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    made = World(folder, **settings)
    with socket.socket() as probe:  # a free port of the static addresses; this file's tests run one after another
        probe.bind((STATIC[0], 0))
        made.port = probe.getsockname()[1]
    for backend in made.backends.values():
        await backend.start()
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()
        for backend in made.backends.values():
            assert backend.server is not None
            backend.server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def east(**changes: Any) -> EndpointGroup:
    return replace(EndpointGroup("arn:ge", "us-east-1", (Endpoint(EAST),)), **changes)


def west(**changes: Any) -> EndpointGroup:
    return replace(EndpointGroup("arn:gw", "us-west-2", (Endpoint(WEST),)), **changes)
