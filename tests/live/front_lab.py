"""A small lab for the front's tests: real engines and a real edge; control and replicator are stubs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import orjson
from botocore.config import Config
from loopback_block import free_block

from lab.core import codec
from lab.core.faults import Fault, FaultSet
from lab.core.function import Function, Functions, Permission
from lab.core.rest_api import BasePathMapping, DomainName, Method, Resource, RestApi, RestApis, Stage
from lab.core.table import GlobalTable, KeyAttribute, Replica, Tables
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import Zones
from lab.live.http_client import HttpClient, TcpAddress, UnixAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import HttpServer
from lab.live.topology_file import write_topology
from lab.testing.loop_thread import LoopThread

REGIONS = ("us-east-1", "us-west-2")

HANDLER = """
import json, os, sys, time

def handler(event, context):
    mode = (event.get("queryStringParameters") or {}).get("mode") if isinstance(event, dict) else None
    if mode == "raise":
        raise ValueError("no")
    if mode == "exit":
        sys.exit(3)
    if mode == "sleep":
        time.sleep(1.5)
    if mode == "bad":
        return {"status": 200}
    if mode == "big":
        return {"body": "x" * (5 * 1024 * 1024)}
    if mode == "binary":
        return {"body": "AAEC/w==", "isBase64Encoded": True, "headers": {"Content-Type": "image/png"}}
    if mode == "cookies":
        cookies = {"Set-Cookie": ["a=1", "b=2"]}
        return {"statusCode": 201, "multiValueHeaders": cookies, "headers": {"Date": "x"}, "body": "ok"}
    if mode == "other":
        import boto3
        from botocore.config import Config
        client = boto3.client("dynamodb", region_name=event["queryStringParameters"]["region"],
                              config=Config(retries={"total_max_attempts": 1}, connect_timeout=15, read_timeout=15))
        return {"body": json.dumps(client.list_tables()["TableNames"])}
    return {"statusCode": 200, "body": json.dumps(event)}
"""


class FrontLab:
    """Two regions. `passed` are the calls that the stub control got, `woken` the replicator's."""

    def __init__(self, folder: Path, *, engines: bool = True) -> None:
        self.folder = folder
        block = free_block()
        self.topology = Topology(
            block, regional_addresses(block, REGIONS), (), str(folder / "state"), str(folder / "run")
        )
        Path(self.topology.run_dir).mkdir(mode=0o700)
        self.topology_path = folder / "topology.json"
        write_topology(self.topology_path, self.topology)
        self.passed: list[Request] = []
        self.woken: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._thread = LoopThread()
        self._servers: dict[str, HttpServer] = {}
        self.control_answer: Callable[[Request], Response] = lambda request: json_response(200, b"{}")
        self.run(self._stub("control", self._control))
        self.run(self._stub("replicator", self._wake))
        if engines:
            for region in REGIONS:
                self.start_process(f"engine-{region}", "lab.engines.ministack", region)
        self.start_process("edge", "lab.live.edge")
        for name in self.processes:
            self.wait_ready(name)

    # processes

    def start_process(self, name: str, module: str, *arguments: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module, str(self.topology_path), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def wait_ready(self, name: str) -> None:
        process = self.processes[name]
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == b"ready\n", self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop_process(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        status = process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
        return status

    def close(self) -> None:
        statuses = {name: self.stop_process(name) for name in list(self.processes)}
        for server in self._servers.values():
            self.run(server.close())
        self._thread.close()
        assert statuses.get("edge", 0) == 0, self.log("edge")

    # stubs

    def run(self, coroutine: Any) -> Any:
        return self._thread.run(asyncio.wait_for(coroutine, 90))

    async def _stub(self, name: str, handler: Any) -> None:
        server = HttpServer(handler)
        await server.listen_unix(self.topology.socket_path(name))
        self._servers[name] = server

    async def _control(self, request: Request) -> Response:
        if request.path.endswith("/hello"):
            return Response(204)
        self.passed.append(request)
        return self.control_answer(request)

    async def _wake(self, request: Request) -> Response:
        self.woken.append(request.path)
        return Response(204)

    def stop_control(self) -> None:
        self.run(self._servers.pop("control").close())

    # documents

    def publish(self, document: Any) -> None:
        names = {FaultSet: "faults", Functions: "functions", RestApis: "apis", Tables: "tables", Zones: "zones"}
        name = names[type(document)]
        response = self.edge("PUT", f"/documents/{name}", orjson.dumps(codec.encode(document)))
        assert response.status == 200, response.body

    def faults(self, *faults: Fault) -> None:
        self.publish(FaultSet(faults))

    def edge(self, method: str, target: str, body: bytes = b"") -> Response:
        async def call() -> Response:
            client = HttpClient(UnixAddress(self.topology.socket_path("edge")))
            try:
                return await client.call(method, target, None, body)
            finally:
                client.close()

        response: Response = self.run(call())
        return response

    def deploy_function(self, name: str = "echo", code: str = HANDLER, timeout_s: int = 20) -> None:
        folder = self.folder / "code" / hashlib.sha256(code.encode()).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "app.py").write_text(code)
        permission = Permission("api", "apigateway.amazonaws.com")
        functions = tuple(
            Function(
                region,
                name,
                "app.handler",
                f"python3.{sys.version_info.minor}",
                "arn:aws:iam::000000000000:role/r",
                str(folder),
                "",
                1,
                "",
                "1",
                timeout_s=timeout_s,
                permissions=(permission,),
            )
            for region in REGIONS
        )
        self.publish(Functions(functions))

    def deploy_api(self) -> None:
        resources = (
            Resource("r0", "/", (Method("GET", "echo"),)),
            Resource("r1", "/feedback", (Method("POST", "echo"), Method("GET", "echo"))),
            Resource("r2", "/feedback/{id}", (Method("GET", "echo"),)),
            Resource("r3", "/any/{proxy+}", (Method("ANY", "echo"),)),
            Resource("r4", "/slow", (Method("GET", "echo", timeout_ms=1000),)),
            Resource("r5", "/gone", (Method("GET", "no-such-function"),)),
        )
        stage = Stage("prod", "d1", resources, {"color": "blue"})
        self.publish(
            RestApis(
                tuple(RestApi(region, "api1", "api", (stage,), ("image/png",)) for region in REGIONS),
                tuple(
                    DomainName(
                        region,
                        "api.lab.test",
                        f"d-1.execute-api.{region}.amazonaws.com",
                        "Z1",
                        (BasePathMapping("(none)", "api1", "prod"), BasePathMapping("v1", "api1", "prod")),
                    )
                    for region in REGIONS
                ),
            )
        )

    def replicate(self, table: str) -> None:
        replicas = tuple(Replica(region, "ACTIVE", 0) for region in REGIONS)
        self.publish(Tables((GlobalTable(table, (KeyAttribute("pk", "S"),), replicas),)))

    # clients

    def address(self, region: str) -> str:
        return self.topology.region(region).address

    def boto(self, service: str, region: str = "us-east-1", at: str | None = None, **config: Any) -> Any:
        options = {"retries": {"total_max_attempts": 1}, "connect_timeout": 60, "read_timeout": 60} | config
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://{self.address(at or region)}:{self.topology.aws_port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**options),
        )

    def engine_call(
        self, operation: str, body: dict[str, Any], region: str = "us-east-1", *, streams: bool = False
    ) -> dict[str, Any]:
        """A DynamoDB call straight to the engine, as control makes them."""

        async def call() -> Response:
            client = HttpClient(UnixAddress(self.topology.socket_path(f"engine-{region}")))
            prefix = "DynamoDBStreams_20120810" if streams else "DynamoDB_20120810"
            headers = [("X-Amz-Target", f"{prefix}.{operation}"), ("Content-Type", "application/x-amz-json-1.0")]
            try:
                return await client.call("POST", "/", headers, orjson.dumps(body))
            finally:
                client.close()

        response: Response = self.run(call())
        assert response.status == 200, response.body
        answer: dict[str, Any] = orjson.loads(response.body)
        return answer

    def create_table(self, name: str, region: str = "us-east-1", *, sort: bool = False) -> None:
        keys = [("pk", "HASH"), ("sk", "RANGE")] if sort else [("pk", "HASH")]
        self.engine_call(
            "CreateTable",
            {
                "TableName": name,
                "KeySchema": [{"AttributeName": n, "KeyType": kind} for n, kind in keys],
                "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n, _ in keys],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            },
            region,
        )

    def http(
        self,
        method: str,
        target: str,
        *,
        host: str = "api.lab.test",
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        region: str = "us-east-1",
        port: int | None = None,
    ) -> Response:
        address = TcpAddress(self.address(region), port or self.topology.http_port)

        async def call() -> Response:
            client = HttpClient(address)
            try:
                return await client.call(method, target, [("Host", host), *(headers or [])], body, timeout_s=60)
            finally:
                client.close()

        response: Response = self.run(call())
        return response

    def raw(self, data: bytes, *, port: int, region: str = "us-east-1", timeout_s: float = 60.0) -> bytes:
        """Send bytes and read until the other side closes."""
        with socket.create_connection((self.address(region), port), timeout=timeout_s) as sock:
            sock.sendall(data)
            received = b""
            while chunk := sock.recv(65536):
                received += chunk
            return received


@contextlib.contextmanager
def front_lab(*, engines: bool = True) -> Iterator[FrontLab]:
    with tempfile.TemporaryDirectory(prefix="lab-front-") as folder:
        lab = FrontLab(Path(folder), engines=engines)
        try:
            yield lab
        finally:
            lab.close()
