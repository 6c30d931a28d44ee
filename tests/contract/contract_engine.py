"""Engines for the contract suite, each as the lab runs it, with a table of its own for every test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lab.core.topology import Topology, regional_addresses
from lab.live.http_client import CallFailed, HttpClient, TcpAddress, UnixAddress
from lab.live.http_message import Response
from lab.live.topology_file import write_topology
from lab.testing import RegionContainers

REGION = "us-east-1"
DYNAMODB_LOCAL = "/usr/lib/localstack/dynamodb-local/2/DynamoDBLocal.jar"
START_LIMIT_S = 120.0
POLL_S = 0.1


@dataclass
class Engine:
    """An engine with a table of its own for the test."""

    client: HttpClient
    table: str
    restart: Callable[[], Awaitable[None]]
    stands_in: bool = False
    """Whether LocalStack has another program in the place of DynamoDB Local."""

    async def send(self, operation: str, request: dict[str, Any], *headers: tuple[str, str]) -> Response:
        streams = operation in ("ListStreams", "DescribeStream", "GetShardIterator", "GetRecords")
        prefix = "DynamoDBStreams_20120810" if streams else "DynamoDB_20120810"
        scope = (
            f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
        )
        sent = [("X-Amz-Target", f"{prefix}.{operation}"), ("Authorization", scope), *headers]
        sent.append(("Content-Type", "application/x-amz-json-1.0"))
        return await self.client.call("POST", "/", sent, orjson.dumps(request))

    async def ok(self, operation: str, *headers: tuple[str, str], **request: Any) -> tuple[dict[str, Any], Response]:
        response = await self.send(operation, request, ("x-lab-report", "1"), *headers)
        assert response.status == 200, response.body
        return orjson.loads(response.body), response

    async def create(self) -> None:
        await self.ok(
            "CreateTable",
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    async def put(self, key: str, value: str, *headers: tuple[str, str]) -> Response:
        return (await self.ok("PutItem", *headers, TableName=self.table, Item=item(key, value)))[1]

    async def delete(self, key: str, *headers: tuple[str, str]) -> Response:
        return (await self.ok("DeleteItem", *headers, TableName=self.table, Key={"id": {"S": key}}))[1]

    async def value(self, key: str) -> str | None:
        found, _ = await self.ok("GetItem", TableName=self.table, Key={"id": {"S": key}}, ConsistentRead=True)
        return found["Item"]["v"]["S"] if "Item" in found else None

    async def iterator(self, kind: str = "TRIM_HORIZON", sequence: str | None = None) -> Response:
        streams, _ = await self.ok("ListStreams", TableName=self.table)
        where: dict[str, Any] = {"StreamArn": streams["Streams"][0]["StreamArn"], "ShardIteratorType": kind}
        where["ShardId"] = "shardId-00000000000000000000-00000000"
        if sequence is not None:
            where["SequenceNumber"] = sequence
        return await self.send("GetShardIterator", where, ("x-lab-report", "1"))

    async def records(
        self, kind: str = "TRIM_HORIZON", sequence: str | None = None, **limit: int
    ) -> list[dict[str, Any]]:
        response = await self.iterator(kind, sequence)
        assert response.status == 200, response.body
        iterator = orjson.loads(response.body)["ShardIterator"]
        found: list[dict[str, Any]] = []
        while True:
            page, _ = await self.ok("GetRecords", ShardIterator=iterator, **limit)
            if not page["Records"]:
                return found
            found.extend(page["Records"])
            iterator = page["NextShardIterator"]


def item(key: str, value: str) -> dict[str, Any]:
    return {"id": {"S": key}, "v": {"S": value}}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


Test = Callable[[Engine], Awaitable[None]]
Check = Callable[[Test], None]
"""Runs a test on an engine."""


def on_ministack(test: Test) -> None:
    """Run a test on a MiniStack of its own."""

    async def run() -> None:
        folder = Path(tempfile.mkdtemp(prefix="ct-"))
        topology = Topology("127.44", regional_addresses("127.44", (REGION,)), (), f"{folder}/state", f"{folder}/run")
        write_topology(folder / "topology.json", topology)
        process = start(folder)

        async def restart() -> None:
            nonlocal process
            engine.client.close()
            stop(process)
            process = start(folder)

        client = HttpClient(UnixAddress(topology.socket_path(f"engine-{REGION}")))
        engine = Engine(client, f"contract-{time.time_ns()}", restart)
        try:
            await engine.create()
            await test(engine)
        finally:
            engine.client.close()
            stop(process)
            shutil.rmtree(folder)

    asyncio.run(run())


def on_container(regions: RegionContainers, test: Test) -> None:
    """Run a test on the engine in a region's container, past its front."""

    async def run() -> None:
        async def restart() -> None:
            engine.client.close()
            await asyncio.to_thread(regions.restart_engine, REGION)
            engine.client = client()
            deadline = time.monotonic() + START_LIMIT_S
            while not await _serves(engine):
                assert time.monotonic() < deadline, "the engine did not come back"
                await asyncio.sleep(POLL_S)

        def client() -> HttpClient:
            return HttpClient(TcpAddress(*regions.engine_address(REGION)))

        stands_in = regions.run_in_engine(REGION, ["sh", "-c", f"test ! -s {DYNAMODB_LOCAL}"]) == 0
        engine = Engine(client(), f"contract-{time.time_ns()}", restart, stands_in)
        try:
            await engine.create()
            await test(engine)
            await engine.ok("DeleteTable", TableName=engine.table)
        finally:
            engine.client.close()

    asyncio.run(run())


async def _serves(engine: Engine) -> bool:
    try:
        return (await engine.send("ListTables", {})).status == 200
    except CallFailed:
        return False


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab.engines.ministack", str(folder / "topology.json"), REGION]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
