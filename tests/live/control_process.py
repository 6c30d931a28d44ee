"""A real control process for tests, with a front that only passes on and parts that record what they are pushed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.core import codec
from lab.core.aws_request import scope_of
from lab.core.topology import Topology, regional_addresses
from lab.data import places
from lab.live.documents import DOCUMENTS, DocumentStore
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.live.topology_file import write_topology
from lab.testing.loop_thread import LoopThread

ROOT = Path(__file__).parents[2]
WAIT_S = 60.0
ROLE = "arn:aws:iam::000000000000:role/lab"


def refusal(call: Any, *arguments: Any, **parameters: Any) -> tuple[str, int, str]:
    """What a boto3 call is refused with: code, status, message."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **parameters)
    response: Any = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def refused(call: Any, **parameters: Any) -> tuple[str, int]:
    """The same without the message."""
    return refusal(call, **parameters)[:2]


def zip_of(files: dict[str, str]) -> bytes:
    """A deployment package."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


class StubPart:
    """A part that keeps what it is pushed and answers what it is told to; in a thread with a loop of its own."""

    def __init__(self, folder: Path, socket_path: str) -> None:
        self.store = DocumentStore(folder)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.hanging = False
        self._socket_path = socket_path
        self._thread = LoopThread()
        self._server = HttpServer(self._answer)
        self._call(self._server.listen_unix(socket_path))

    async def _answer(self, request: Request) -> Response | None:
        if self.hanging:
            return None
        self.asked.append((request.method, request.target))
        known = self.answers.get(f"{request.method} {request.target}")
        if known is not None:
            return Response(known[0], [("Content-Type", "application/json")], known[1])
        return self.store.answer(request) or Response(404, [], b"{}")

    def document(self, name: str) -> Any:
        return self.store.get(DOCUMENTS[name])

    def _call(self, work: Any) -> Any:
        return self._thread.run(asyncio.wait_for(work, WAIT_S))

    async def _end(self) -> None:
        await self._server.close()
        await asyncio.sleep(0.01)  # transports close in the loop's next turns

    def close(self) -> None:
        self._call(self._end())
        self._thread.close()
        with contextlib.suppress(FileNotFoundError):
            Path(self._socket_path).unlink()


class PassingFront:
    """The AWS endpoint of every region, doing nothing but passing calls to control; on one port of 127.0.0.1 each."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._thread = LoopThread()
        self._servers: list[HttpServer] = []
        self._clients: list[HttpClient] = []
        self.ports = {region.code: self._call(self._listen(region.code)) for region in topology.regions}

    async def _listen(self, region: str) -> int:
        control = HttpClient(UnixAddress(self._topology.socket_path("control")))
        self._clients.append(control)

        async def answer(request: Request) -> Response:
            scope = scope_of(request.headers, request.query)
            assert scope is not None
            added = [("x-lab-region", region), ("x-lab-method", request.method), ("x-lab-target", request.target)]
            kept = [(n, v) for n, v in request.headers if n.lower() not in ("content-length", "connection")]
            response = await control.call("POST", f"/aws/{scope.service}", [*kept, *added], request.body)
            kept = [(n, v) for n, v in response.headers if n.lower() not in ("content-length", "connection")]
            return Response(response.status, kept, response.body)

        server = HttpServer(answer, max_body_bytes=100 * 1024 * 1024)
        self._servers.append(server)
        return await server.listen_tcp("127.0.0.1", 0)

    def _call(self, work: Any) -> Any:
        return self._thread.run(asyncio.wait_for(work, WAIT_S))

    async def _end(self) -> None:
        for server in self._servers:
            await server.close()
        for client in self._clients:
            client.close()
        await asyncio.sleep(0.01)  # transports close in the loop's next turns

    def close(self) -> None:
        self._call(self._end())
        self._thread.close()


class ControlLab:
    """One control process with its surroundings. A context manager."""

    def __init__(self, *, regions: tuple[str, ...] = ("us-east-1", "us-west-2"), parts: bool = True) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lab-")
        folder = Path(self._folder.name)
        ports = _free_ports("127.45.0.1", 3)
        self.topology = Topology(
            "127.45",
            regional_addresses("127.45", regions),
            places(),
            str(folder / "state"),
            str(folder),
            aws_port=ports[0],
            control_port=ports[1],
            dns_port=ports[2],
        )
        (folder / "state").mkdir()
        self._topology_path = folder / "topology.json"
        write_topology(self._topology_path, self.topology)
        self.parts: dict[str, StubPart] = {}
        self.engines: dict[str, subprocess.Popen[bytes]] = {}
        if parts:
            for name in ("edge", "replicator"):
                self.start_part(name)
        self._session = boto3.Session("lab", "lab", region_name="us-east-1")
        self._boto: dict[tuple[str, str], Any] = {}
        self.process = self._spawn()
        self._front = PassingFront(self.topology)

    def __enter__(self) -> ControlLab:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self._boto.values():
            client.close()
        self._front.close()
        self.stop()
        for region in list(self.engines):
            self.kill_engine(region)
        for part in self.parts.values():
            part.close()
        self._folder.cleanup()

    @property
    def state(self) -> Path:
        return Path(self.topology.state_dir)

    @property
    def edge(self) -> StubPart:
        return self.parts["edge"]

    def start_part(self, name: str) -> StubPart:
        self.parts[name] = StubPart(self.state / "stub" / name, self.topology.socket_path(name))
        return self.parts[name]

    def stop_part(self, name: str) -> None:
        self.parts.pop(name).close()

    def start_edge(self) -> None:
        """A real edge in place of the part that only records."""
        if "edge" in self.parts:
            self.stop_part("edge")
        self.engines["edge"] = self._spawn("lab.live.edge")

    def start_engine(self, region: str) -> None:
        """A real engine of a region, empty."""
        self.engines[region] = self._spawn("lab.engines.ministack", region)

    def kill_engine(self, region: str) -> None:
        process = self.engines.pop(region)
        process.kill()
        process.wait(WAIT_S)
        assert process.stdout is not None
        process.stdout.close()

    def _spawn(self, module: str = "lab.control", *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(self._topology_path), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def stop(self) -> int:
        self.process.terminate()
        return self._reap()

    def kill_and_restart(self) -> None:
        """`kill -9`, then a new process on the same state."""
        self.process.kill()
        self._reap()
        self.process = self._spawn()

    def _reap(self) -> int:
        status = self.process.wait(WAIT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    # calls

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A boto3 client of a region's endpoint, or of the global one for services that have it."""
        url = f"http://127.0.0.1:{self._front.ports[region]}"
        if service in ("route53", "iam", "sts", "globalaccelerator") or service.startswith("route53-recovery"):
            url = f"http://{self.topology.global_address}:{self.topology.aws_port}"
        if (service, region) not in self._boto:
            config = Config(retries={"total_max_attempts": 1})
            self._boto[service, region] = self._session.client(
                service, region_name=region, endpoint_url=url, config=config
            )
        return self._boto[service, region]

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """A call of the token API: status and JSON."""
        token = (self.state / "token").read_text().strip()
        url = f"http://{self.topology.global_address}:{self.topology.control_port}{path}"
        data = None if body is None else json.dumps(body).encode()
        wanted = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
        try:
            with urlopen(UrlRequest(url, data, wanted, method=method), timeout=WAIT_S) as response:
                return response.status, json.loads(response.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def unix(self, method: str, target: str, body: Any = None) -> int:
        """A call on control's Unix socket: the status."""
        return self._on_socket("control", method, target, body).status

    def told_by(self, part: str, target: str) -> Any:
        """What a part answers on its own socket, without control."""
        return json.loads(self._on_socket(part, "GET", target).body)

    def _on_socket(self, part: str, method: str, target: str, body: Any = None) -> Response:
        async def call() -> Response:
            client = HttpClient(UnixAddress(self.topology.socket_path(part)))
            try:
                data = b"" if body is None else json.dumps(body).encode()
                return await client.call(method, target, body=data, timeout_s=WAIT_S)
            finally:
                client.close()
                await asyncio.sleep(0.01)  # the transport closes in the loop's next turns

        return asyncio.run(call())

    def make_function(self, name: str = "hello", region: str = "us-east-1", **settings: Any) -> dict[str, Any]:
        """A small function."""
        wanted = {"Handler": "app.handler", "Runtime": "python3.12", "Role": ROLE, **settings}
        code = {"ZipFile": zip_of({"app.py": "def handler(event, context):\n    return {'statusCode': 200}\n"})}
        answer: dict[str, Any] = self.client("lambda", region).create_function(FunctionName=name, Code=code, **wanted)
        return answer


def encoded(value: Any) -> Any:
    """A document's JSON."""
    return codec.encode(value)


def _free_ports(address: str, count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind((address, 0))
        return [sock.getsockname()[1] for sock in sockets]


def lab_fixture() -> Iterator[ControlLab]:
    """The body of a fixture."""
    with ControlLab() as lab:
        yield lab
