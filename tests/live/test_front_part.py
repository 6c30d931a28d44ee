"""The shell that every part's process shares, run as a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pytest
from waiting import eventually

from lab.core.topology import Topology, regional_addresses
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.live.topology_file import write_topology

PART = """
import asyncio, sys
from lab.live.http_message import Response
from lab.live.http_server import HttpServer
from lab.live.part import run_part

class Echo:
    def __init__(self, context):
        self.context = context
        self.server = HttpServer(self.answer)

    async def start(self):
        if PORT:
            await self.server.listen_tcp("127.0.0.1", PORT)

    async def close(self):
        await self.server.close()

    async def answer(self, request):
        if request.path == "/status":
            return Response(200, [], b"fine")
        return None

PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 0
sys.exit(run_part("echo", Echo, sys.argv[1:2]))
"""


@pytest.fixture
def topology_path(tmp_path: Path) -> Path:
    topology = Topology("127.42", regional_addresses("127.42", ("us-east-1",)), (), str(tmp_path / "s"), str(tmp_path))
    path = tmp_path / "topology.json"
    write_topology(path, topology)
    return path


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return process.returncode, out, err


def ask(path: Path, method: str, target: str, body: bytes = b"") -> Response:
    async def call() -> Response:
        client = HttpClient(UnixAddress(str(path)))
        try:
            return await client.call(method, target, None, body)
        finally:
            client.close()

    return asyncio.run(call())


def test_a_part_says_ready_answers_on_its_socket_and_ends_with_status_0_on_sigterm(topology_path: Path) -> None:
    process = start(PART, str(topology_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    sock = topology_path.parent / "echo.sock"
    assert sock.stat().st_mode & 0o077 == 0
    assert orjson.loads(ask(sock, "GET", "/health").body)["part"] == "echo"
    assert ask(sock, "GET", "/status").body == b"fine"
    assert ask(sock, "GET", "/other").status == 404
    assert ask(sock, "PUT", "/documents/faults", b'{"faults":[]}').status == 200
    assert ask(sock, "PUT", "/documents/faults", b'{"defaults":[]}').status == 400
    assert orjson.loads(ask(sock, "GET", "/documents/faults").body) == {"faults": [], "past_skews": []}
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert (status, err) == (0, "")
    assert not sock.exists()


def test_a_part_says_hello_to_control_even_if_control_comes_later(topology_path: Path) -> None:
    process = start(PART, str(topology_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    heard: list[str] = []

    async def control() -> None:
        done = asyncio.Event()

        async def answer(request: Request) -> Response:
            heard.append(f"{request.method} {request.target}")
            done.set()
            return Response(204)

        server = HttpServer(answer)
        await server.listen_unix(str(topology_path.parent / "control.sock"))
        async with asyncio.timeout(60):
            await done.wait()
        await server.close()

    asyncio.run(control())
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert heard == ["POST /parts/echo/hello"]


def test_an_address_in_use_is_named_with_its_holder_and_ends_the_part_with_status_3(topology_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = finish(start(PART, str(topology_path), str(port)))
    assert status == 3
    assert f"127.0.0.1:{port} (TCP) is in use by " in err
    assert f"(pid {os.getpid()})" in err
    assert "Traceback" not in err


def test_a_missing_or_broken_topology_is_a_message_and_status_2(tmp_path: Path) -> None:
    status, _, err = finish(start(PART, str(tmp_path / "none.json")))
    assert status == 2
    assert "none.json: cannot read the topology" in err
    (tmp_path / "bad.json").write_text("{}")
    status, _, err = finish(start(PART, str(tmp_path / "bad.json")))
    assert status == 2
    assert "missing key 'block'" in err
    assert "Traceback" not in err


def test_documents_of_another_version_are_dropped_with_a_message(topology_path: Path) -> None:
    folder = topology_path.parent / "s" / "documents" / "echo"
    folder.mkdir(parents=True)
    (folder / "faults.json").write_text('{"of_the_future": 1}')
    process = start(PART, str(topology_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    assert status == 0
    assert "of_the_future" in err


def test_a_part_dies_with_its_parent(topology_path: Path) -> None:
    parent_script = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {PART!r}, {str(topology_path)!r}], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent_script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    eventually(gone)
