"""The shell of every part's process: topology, documents, Unix socket, hello to control, signals, exit status.

What a part does on its own sockets is in its `Part`; this file knows nothing of it. `run_part` is the whole of a
part's `main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import orjson

from lab.core.topology import Topology
from lab.errors import LabError, UserError
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import Handler, HttpServer
from lab.live.open_files import allow_many_open_files
from lab.live.part_address import part_address, part_token, with_token
from lab.live.part_log import guard_log
from lab.live.topology_file import read_topology

PR_SET_PDEATHSIG = 1
STOP_LIMIT_S = 4
HELLO_RETRY_S = 0.25
PARENT_VARIABLE = "LAB_PARENT_PID"
MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class PartContext:
    """What a part is given. `control` calls control's Unix socket; `stop` ends the process from within."""

    name: str
    topology: Topology
    store: DocumentStore
    clock: Clock
    control: HttpClient
    stop: Callable[[], None] = field(repr=False)

    def log(self, message: str) -> None:
        """One line in the part's log."""
        print(message, file=sys.stderr, flush=True)


class Part(Protocol):
    """One part. `start` returns when its sockets answer; `answer` takes the calls on its Unix socket.

    `answer` is not asked for `/health` and `/documents/...`; None from it means that there is no such call (404).
    """

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def answer(self, request: Request) -> Response | None: ...


def run_part(
    name: str, make: Callable[[PartContext], Part], argv: Sequence[str] | None = None, *, hello: bool = True
) -> int:
    """Run a part until SIGTERM or SIGINT and return the exit status: 0, 2 for bad input, 3 for an address in use.

    `argv` is the path of topology.json (default: the command line's). `hello` False is for control itself.
    """
    guard_log()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if len(arguments) != 1:
            raise UserError(f"{name}: expected one argument, the path of topology.json, got {len(arguments)}")
        die_with_parent()
        allow_many_open_files()
        topology = _read(Path(arguments[0]))
        return asyncio.run(_run(name, make, topology, hello=hello))
    except LabError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return error.exit_status


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however the parent ends (Linux; elsewhere nothing)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the call; it can only be told if it said who it is.
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None and parent != str(os.getppid()):
        raise UserError("the process that started this one is gone")


def open_documents(topology: Topology, name: str) -> DocumentStore:
    """The part's documents as it last had them; a file of another version is dropped, control pushes a new one."""
    folder = Path(topology.state_dir) / "documents" / name
    try:
        return DocumentStore(folder)
    except ValueError as error:
        print(f"{name}: dropping documents that do not fit: {error}", file=sys.stderr, flush=True)
        for path in folder.glob("*.json"):
            path.unlink()
        return DocumentStore(folder)


def _read(path: Path) -> Topology:
    try:
        return read_topology(path)
    except OSError as error:
        raise UserError(f"{path}: cannot read the topology: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path}: not a topology: {error}") from error


async def _run(name: str, make: Callable[[PartContext], Part], topology: Topology, *, hello: bool) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_soon, stopping)
    control = HttpClient(part_address(topology, "control"))
    store = open_documents(topology, name)
    part = make(PartContext(name, topology, store, Clock(topology.speed), control, stopping.set))
    handler = _admin(name, part, store)
    servers = [HttpServer(handler, max_body_bytes=MAX_BODY_BYTES)]
    address = topology.part_address(name)
    if address is not None:
        servers.append(HttpServer(with_token(handler, part_token(topology)), max_body_bytes=MAX_BODY_BYTES))
    greeting: asyncio.Task[None] | None = None
    try:
        await part.start()
        await servers[0].listen_unix(topology.socket_path(name))
        if address is not None:
            await servers[1].listen_tcp(topology.bind_address(address.host), address.port)
        if hello:
            greeting = asyncio.create_task(_greet(name, control))
        with contextlib.suppress(BrokenPipeError):  # nobody has to listen
            print("ready", flush=True)
        await stopping.wait()
    finally:
        if greeting is not None:
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
        for server in servers:
            await server.close()
        await part.close()
        control.close()
        with contextlib.suppress(FileNotFoundError):
            Path(topology.socket_path(name)).unlink()
    return 0


def _stop_soon(stopping: asyncio.Event) -> None:
    """Ask the part to end, and have the kernel end it if it does not."""
    signal.alarm(STOP_LIMIT_S)
    stopping.set()


def _admin(name: str, part: Part, store: DocumentStore) -> Handler:
    health = orjson.dumps({"part": name, "pid": os.getpid()})

    async def answer(request: Request) -> Response:
        if request.path == "/health":
            return json_response(200, health)
        response = store.answer(request) or await part.answer(request)
        return response or json_response(404, orjson.dumps({"error": f"{name} has no {request.method} {request.path}"}))

    return answer


async def _greet(name: str, control: HttpClient) -> None:
    """Say hello until control answers; it then pushes all documents."""
    while True:
        try:
            response = await control.call("POST", f"/parts/{name}/hello", timeout_s=10.0)
            if response.status < 300:
                return
        except CallFailed:
            pass  # control is not up (yet); the last known documents stand
        await asyncio.sleep(HELLO_RETRY_S)
