"""Engines and a replicator as real processes, for tests that say what fronts and control would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from lab.core import codec
from lab.core.faults import Fault, FaultSet
from lab.core.table import GlobalTable, KeyAttribute, Replica, Tables
from lab.core.topology import Topology, regional_addresses
from lab.live.http_client import CallFailed, HttpClient, UnixAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import HttpServer
from lab.live.topology_file import write_topology

DEADLINE_S = 60.0
KEY = (KeyAttribute("id", "S"),)
Item = dict[str, dict[str, Any]]


class ReplicatorLab:
    """`async with ReplicatorLab("us-east-1", "eu-west-1") as lab`: engines, a replicator, and an edge with journals."""

    def __init__(self, *regions: str, **settings: Any) -> None:
        self.regions = regions
        self.folder = Path(tempfile.mkdtemp(prefix="rl-"))
        self.topology = Topology(
            block="127.44",
            regions=regional_addresses("127.44", regions),
            places=(),
            state_dir=str(self.folder / "state"),
            run_dir=str(self.folder / "run"),
            **settings,
        )
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.tables = Tables()
        self.faults = FaultSet()
        self.journals: dict[str, list[dict[str, Any]]] = {region: [] for region in regions}
        self.unreadable_journals: set[str] = set()
        self._clients: dict[str, HttpClient] = {}
        self._edge = HttpServer(self._answer_as_edge)

    async def __aenter__(self) -> ReplicatorLab:
        for folder in (self.topology.run_dir, self.topology.state_dir):
            Path(folder).mkdir(mode=0o700, parents=True)
        write_topology(self.folder / "topology.json", self.topology)
        await self._edge.listen_unix(self.topology.socket_path("edge"))
        for region in self.regions:
            self.spawn(f"engine-{region}")
        self.spawn("replicator")
        for name in [*(f"engine-{region}" for region in self.regions), "replicator"]:
            await self.ready(name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            client.close()
        await self._edge.close()
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # processes

    def spawn(self, name: str) -> None:
        """Start an engine (`engine-REGION`) or the replicator."""
        part = name.partition("-")
        module = ["lab.engines.ministack"] if part[0] == "engine" else ["lab.live.replicator"]
        arguments = [str(self.folder / "topology.json"), *([part[2]] if part[0] == "engine" else [])]
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *module, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())},
        )

    async def ready(self, name: str) -> None:
        """Wait for the line `ready`."""
        out = self.processes[name].stdout
        assert out is not None
        line = await asyncio.to_thread(out.readline)
        assert line == "ready\n", f"{name} did not start"

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a process and wait for its end."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    async def restart(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a process and start it again; an engine comes back with its tables, empty."""
        self.kill(name, number)
        client = self._clients.pop(name, None)
        if client is not None:
            client.close()
        self.spawn(name)
        await self.ready(name)
        if name.startswith("engine-"):
            region = name.removeprefix("engine-")
            for table in self.tables.global_tables:
                await self.create(region, table.name, table.key[0].name)
        else:
            await self.publish()

    # what control would do

    async def publish(self) -> None:
        """Push the documents to the replicator."""
        for name, value in (("tables", self.tables), ("faults", self.faults)):
            response = await self.call("replicator", "PUT", f"/documents/{name}", orjson.dumps(codec.encode(value)))
            assert response.status == 200, response.body

    async def create(self, region: str, table: str, key: str = "id") -> None:
        """A table with a stream in one region."""
        await self.dynamodb(
            region,
            "CreateTable",
            {
                "TableName": table,
                "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            },
        )

    async def create_global(self, table: str, *regions: str) -> None:
        """A table in the first region with replicas in the others (in all of the lab's by default)."""
        first, *others = regions or self.regions
        await self.create(first, table)
        for other in others:
            await self.create(other, table)
        self.set_replicas(table, first, *others)
        await self.publish()

    def set_replicas(self, table: str, first: str, *others: str, table_created_ms: int = 0) -> None:
        """The group as control would record it; `publish` tells the replicator."""
        old = {(t.name, r.region): r for t in self.tables.global_tables for r in t.replicas}
        now = time.time_ns() // 1_000_000
        replicas = tuple(
            old.get((table, region))
            or Replica(region, "ACTIVE", now, None if region == first else first, table_created_ms=table_created_ms)
            for region in (first, *others)
        )
        rest = tuple(t for t in self.tables.global_tables if t.name != table)
        self.tables = Tables((*rest, GlobalTable(table, KEY, replicas)))

    async def fault(self, *faults: Fault) -> None:
        """Put these faults in force, and no others."""
        self.faults = FaultSet(faults)
        await self.publish()

    # calls

    def client(self, name: str) -> HttpClient:
        return self._clients.setdefault(name, HttpClient(UnixAddress(self.topology.socket_path(name))))

    async def call(self, part: str, method: str, target: str, body: bytes = b"") -> Response:
        return await self.client(part).call(method, target, [], body, timeout_s=60.0)

    async def get(self, target: str) -> dict[str, Any]:
        """A document of the replicator's: `/status`, `/lost`, `/conflicts`."""
        response = await self.call("replicator", "GET", target)
        assert response.status == 200, response.body
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer

    async def dynamodb(self, region: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call an engine as a front would: writes are journaled and announced."""
        response = await self.client(f"engine-{region}").call(
            "POST",
            "/",
            [("X-Amz-Target", f"DynamoDB_20120810.{operation}"), ("x-lab-report", "1")],
            orjson.dumps(request),
        )
        body: dict[str, Any] = orjson.loads(response.body)
        assert response.status == 200, body
        sequence = response.header("x-lab-sequence")
        if sequence is not None:
            self._journal(region, operation, request, sequence)
            with contextlib.suppress(CallFailed):
                await self.call("replicator", "POST", f"/wake/{region}/{request.get('TableName', '')}")
        return body

    def _journal(self, region: str, operation: str, request: dict[str, Any], sequence: str) -> None:
        key = request["Item"] if operation == "PutItem" else request["Key"]
        entries = self.journals[region]
        entries.append(
            {
                "n": len(entries) + 1,
                "time_ms": time.time_ns() // 1_000_000,
                "table": request["TableName"],
                "keys": [{"id": key["id"]}],
                "sequence": sequence,
            }
        )

    async def _answer_as_edge(self, request: Request) -> Response:
        region = request.path.rpartition("/")[2]
        if region in self.unreadable_journals:
            return Response(500)
        after = int(request.query.partition("=")[2] or 0)
        entries = [entry for entry in self.journals[region] if entry["n"] > after][:1000]
        return json_response(200, orjson.dumps({"entries": entries}))

    async def put(self, region: str, table: str, key: str, value: str) -> None:
        await self.dynamodb(region, "PutItem", {"TableName": table, "Item": {"id": {"S": key}, "v": {"S": value}}})

    async def update(self, region: str, table: str, key: str, value: str) -> None:
        request = {"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"S": value}}}
        await self.dynamodb(region, "UpdateItem", {"TableName": table, "Key": {"id": {"S": key}}, **request})

    async def delete(self, region: str, table: str, key: str) -> None:
        await self.dynamodb(region, "DeleteItem", {"TableName": table, "Key": {"id": {"S": key}}})

    async def value(self, region: str, table: str, key: str) -> str | None:
        """What a region has for a key."""
        request = {"TableName": table, "Key": {"id": {"S": key}}, "ConsistentRead": True}
        item = (await self.dynamodb(region, "GetItem", request)).get("Item")
        return None if item is None else item["v"]["S"]

    async def contents(self, region: str, table: str) -> dict[str, Item]:
        """A region's table, by key."""
        found: dict[str, Item] = {}
        start: dict[str, Any] = {}
        while True:
            page = await self.dynamodb(region, "Scan", {"TableName": table, "ConsistentRead": True, **start})
            found.update({item["id"]["S"]: item for item in page["Items"]})
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def records(self, region: str, table: str) -> list[dict[str, Any]]:
        """What a region's stream of a table holds, a page of it."""

        async def read(operation: str, request: dict[str, Any]) -> dict[str, Any]:
            headers = [("X-Amz-Target", f"DynamoDBStreams_20120810.{operation}")]
            response = await self.client(f"engine-{region}").call("POST", "/", headers, orjson.dumps(request))
            body: dict[str, Any] = orjson.loads(response.body)
            return body

        stream = (await read("ListStreams", {"TableName": table}))["Streams"][0]["StreamArn"]
        where = {"StreamArn": stream, "ShardId": "shardId-00000000000000000000-00000000"}
        iterator = await read("GetShardIterator", {**where, "ShardIteratorType": "TRIM_HORIZON"})
        return list((await read("GetRecords", iterator))["Records"])

    async def converged(self, table: str | None = None, timeout_ms: int = int(DEADLINE_S * 1000)) -> dict[str, Any]:
        """Wait until nothing is left to ship; what the replicator answers."""
        response = await self.call(
            "replicator", "POST", "/converged", orjson.dumps({"table": table, "timeout_ms": timeout_ms})
        )
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer

    async def captured(self, region: str, records: int) -> bool:
        """Whether so many records of a region's streams have been read."""
        return bool((await self.get("/status"))["regions"][region]["captured"] >= records)

    async def agree(self, table: str) -> dict[str, Item]:
        """Wait until converged, assert that every replica has the same items, and return them."""
        answer = await self.converged(table)
        assert answer["converged"], answer
        (group,) = (t for t in self.tables.global_tables if t.name == table)
        first, *others = [await self.contents(replica.region, table) for replica in group.replicas]
        for other in others:
            assert other == first
        return first


async def metric(lab: ReplicatorLab, name: str, table: str, source: str, target: str) -> list[dict[str, float]]:
    """The data points of a metric of global tables in the CloudWatch of `source`, over the last ten minutes."""
    now = int(time.time())
    request = {
        "Namespace": "AWS/DynamoDB",
        "MetricName": name,
        "Dimensions": [{"Name": "TableName", "Value": table}, {"Name": "ReceivingRegion", "Value": target}],
        "StartTime": now - 600,
        "EndTime": now + 60,
        "Period": 3600,
        "Statistics": ["SampleCount", "Average", "Minimum", "Maximum"],
    }
    headers = [
        ("X-Amz-Target", "GraniteServiceVersion20100801.GetMetricStatistics"),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("Authorization", f"AWS4-HMAC-SHA256 Credential=x/20260101/{source}/monitoring/aws4_request, Signature=0"),
    ]
    response = await lab.client(f"engine-{source}").call("POST", "/", headers, orjson.dumps(request))
    points: list[dict[str, float]] = orjson.loads(response.body).get("Datapoints") or []
    return points
