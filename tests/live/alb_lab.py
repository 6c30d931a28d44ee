"""A region's load balancers over functions and addresses written for a test: what their tests stand on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from lab.core import codec
from lab.core.faults import Fault, FaultSet
from lab.core.function import Function, Functions, Permission
from lab.core.load_balancer import (
    Action,
    LoadBalancer,
    LoadBalancerListener,
    LoadBalancers,
    Rule,
    Target,
    TargetGroup,
    TargetGroupTuple,
)
from lab.core.topology import Topology, regional_addresses
from lab.data import places
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.functions import Invocation
from lab.live.load_balancer import RegionLoadBalancers

REGION, BLOCK = "us-east-1", "127.48"
ADDRESS = f"{BLOCK}.1.10"
DNS_NAME = "items-0123456789.us-east-1.elb.amazonaws.com"
PREFIX = "arn:aws:elasticloadbalancing:us-east-1:000000000000"
GROUP_ARN = f"{PREFIX}:targetgroup/items/0123456789abcdef"
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:item"
PORT = 18080
OK = {"statusCode": 200, "isBase64Encoded": False, "headers": {"Content-Type": "text/html"}, "body": "<h1>item</h1>"}


@dataclass
class FakeFunctions:
    """Answers invocations with what a test says, and keeps the events."""

    answer: Any = field(default_factory=lambda: dict(OK))
    error: str | None = None
    raises: Exception | None = None
    wait: asyncio.Event | None = None
    events: list[Any] = field(default_factory=list)

    async def invoke(
        self, name: str, payload: bytes, *, qualifier: str | None = None, trace_id: str | None = None
    ) -> Invocation:
        self.events.append(orjson.loads(payload))
        if self.wait is not None:
            await self.wait.wait()
        if self.raises is not None:
            raise self.raises
        body = self.answer if isinstance(self.answer, bytes) else orjson.dumps(self.answer)
        return Invocation(200, body, self.error, "$LATEST", "id", b"", 1.0, None)


def function(**changes: Any) -> Function:
    made = Function(REGION, "item", "app.handler", "python3.11", "arn:role", "/code", "sha", 1, "now", "1")
    allowed = Permission("alb", "elasticloadbalancing.amazonaws.com", source_arn=GROUP_ARN)
    return replace(made, **{"permissions": (allowed,), **changes})


def group(**changes: Any) -> TargetGroup:
    return replace(TargetGroup(GROUP_ARN, REGION, "items", "lambda", targets=(Target(FUNCTION_ARN),)), **changes)


def region_fault(effect: Any, **changes: Any) -> Fault:
    """A fault of the region."""
    return Fault("f", effect, 0, region=REGION, **changes)


def forward(*arns: str, **changes: Any) -> Rule:
    tuples = tuple(TargetGroupTuple(arn) for arn in arns or (GROUP_ARN,))
    return Rule("arn:rule/default", 0, (replace(Action("forward", target_groups=tuples), **changes),))


def balancer(*rules: Rule, protocol: str = "HTTP", **changes: Any) -> LoadBalancer:
    listener = LoadBalancerListener("arn:listener", protocol, 80 if protocol == "HTTP" else 443, rules or (forward(),))  # type: ignore[arg-type]
    made = LoadBalancer(
        f"{PREFIX}:loadbalancer/app/items/0123456789abcdef",
        REGION,
        "items",
        DNS_NAME,
        ADDRESS,
        0,
        listeners=(listener,),
    )
    return replace(made, **changes)


class World:
    """One region's load balancers, the store that control would push to, and a client."""

    def __init__(self, folder: Path, functions: Any, speed: float) -> None:
        self.folder, self.functions = folder, functions
        self.topology = Topology(
            BLOCK,
            regional_addresses(BLOCK, (REGION,)),
            places(),
            str(folder / "state"),
            str(folder / "run"),
            speed=speed,
            http_port=PORT,
            https_port=PORT + 1,
        )
        self.store = DocumentStore(folder / "documents")
        self.lines: list[str] = []
        self.balancers = RegionLoadBalancers(
            self.topology, REGION, self.store, Clock(speed), functions, log=self.lines.append
        )

    async def publish(self, one: LoadBalancer | None = None, *groups: TargetGroup, function: Function | None) -> None:
        """What control does after a change."""
        self.store.put("functions", orjson.dumps(codec.encode(Functions((function,) if function else ()))))
        value = LoadBalancers((one,) if one else (), groups or (group(),))
        self.store.put("load_balancers", orjson.dumps(codec.encode(value)))
        await self.balancers.settled()

    async def fault(self, *faults: Fault) -> None:
        self.store.put("faults", orjson.dumps(codec.encode(FaultSet(faults))))
        await self.balancers.settled()

    def access_log(self) -> list[str]:
        self.balancers._access_logs.flush()
        path = self.folder / "state" / "logs" / "load-balancers" / REGION / "items.log"
        return path.read_text().splitlines() if path.exists() else []


@contextlib.asynccontextmanager
async def alb(
    folder: Path,
    one: LoadBalancer | None = None,
    *groups: TargetGroup,
    functions: Any = None,
    function: Function | None = None,
    speed: float = 1.0,
) -> AsyncIterator[World]:
    """A started region with one load balancer."""
    world = World(folder, functions or FakeFunctions(), speed)
    await world.balancers.start()
    try:
        await world.publish(one or balancer(), *groups, function=function or globals()["function"]())
        yield world
    finally:
        await world.balancers.close()


@dataclass
class Reply:
    """A response as it came. `headers` have lower-case names; several values are joined by newlines."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection to a load balancer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(
        self, method: str = "GET", target: str = "/", headers: dict[str, str] | None = None, body: bytes = b"",
        host: str | None = DNS_NAME,
    ) -> Reply:  # fmt: skip
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"Host: {host}"] if host is not None else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return await self.reply(head=method == "HEAD")

    async def reply(self, *, head: bool = False) -> Reply:
        async with asyncio.timeout(60):
            status_line = (await self.reader.readline()).decode().strip()
            if not status_line:
                raise ConnectionResetError("no answer")
            headers: dict[str, str] = {}
            while line := (await self.reader.readline()).decode("latin-1").strip():
                name, _, value = line.partition(":")
                key = name.lower()
                headers[key] = f"{headers[key]}\n{value.strip()}" if key in headers else value.strip()
            length = 0 if head else int(headers.get("content-length", 0))
            body = await self.reader.readexactly(length)
        _, status, phrase = status_line.split(" ", 2) if status_line.count(" ") > 1 else (*status_line.split(" "), "")
        return Reply(int(status), phrase, headers, body)

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(preface: bytes = b"", **options: Any) -> AsyncIterator[Client]:
    """A connection to the load balancer."""
    reader, writer = await asyncio.open_connection(ADDRESS, PORT + (1 if "ssl" in options else 0), **options)
    if preface:
        writer.write(preface)
    made = Client(reader, writer)
    try:
        yield made
    finally:
        made.close()


async def ask(method: str = "GET", target: str = "/", **options: Any) -> Reply:
    """One request on a connection of its own."""
    async with client() as one:
        return await one.ask(method, target, **options)
