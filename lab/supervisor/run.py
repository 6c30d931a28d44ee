"""The running supervisor: all parts, its Unix socket, the end of everything.

Starting is announced as JSON lines on stdout; a part that does not start ends the whole lab, one that dies later is
started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from lab.core.topology import Topology
from lab.live.http_client import CallFailed, HttpClient, UnixAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import HttpServer
from lab.live.part_log import guard_log
from lab.live.topology_file import read_topology
from lab.supervisor.instance import (
    Instance,
    is_of,
    leave_nothing,
    lock_state,
    write_instance,
)
from lab.supervisor.memory import descendants
from lab.supervisor.parent import open_owner
from lab.supervisor.part import SupervisedPart
from lab.supervisor.process import PartCommand, log_tail

START_LIMIT_S = 60.0
FOLDER_INTERVAL_S = 0.5
ENGINE_START_LIMIT_S = 30.0


def run(
    topology_path: Path,
    commands: tuple[PartCommand, ...],
    processes: Mapping[str, subprocess.Popen[bytes]],
    lock: int | None = None,
) -> int:
    """Supervise until SIGTERM, SIGINT or SIGHUP, or until a part does not start; the exit status.

    `lock` is the descriptor that holds the state folder; without one it is taken here.
    """
    guard_log()
    topology = read_topology(topology_path)
    state_dir = Path(topology.state_dir)
    lock = lock_state(state_dir) if lock is None else lock
    if lock is None:
        announce({"event": "failed", "message": f"another lab has just been started in {state_dir}", "status": 1})
        for process in processes.values():
            process.kill()
        return 1
    write_instance(_instance(topology))
    try:
        return asyncio.run(Supervisor(topology, commands, lambda: is_of(lock, state_dir)).run(processes))
    finally:
        leave_nothing(lock, state_dir, Path(topology.run_dir))


def announce(event: dict[str, Any]) -> None:
    """Tell whoever started the lab; nobody has to listen."""
    with contextlib.suppress(OSError):
        os.write(1, orjson.dumps(event) + b"\n")


class Supervisor:
    """All parts of one instance. `has_folder` tells whether its state folder is still where it was.

    Without the folder nobody finds the lab any more, and its parts cannot keep anything: it ends.
    """

    def __init__(self, topology: Topology, commands: tuple[PartCommand, ...], has_folder: Callable[[], bool]) -> None:
        self._topology = topology
        self._has_folder = has_folder
        self._log_dir = Path(topology.state_dir) / "logs"
        self._began = time.monotonic()
        self._ending = asyncio.Event()
        self._started = asyncio.Event()
        self._exit_status = 0
        self._parts = {
            command.name: SupervisedPart(
                command, topology.run_dir, self._log_dir, on_ready=self._on_ready, on_death=self._on_death
            )
            for command in commands
        }
        self._control = HttpClient(UnixAddress(topology.socket_path("control")))
        self._hellos: set[asyncio.Task[None]] = set()

    async def run(self, processes: Mapping[str, subprocess.Popen[bytes]]) -> int:
        """Watch the processes, serve the socket, and stop everything at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._ending.set)
        self._follow_owner()
        self._watch_folder()
        server = HttpServer(self._answer)
        try:
            for name, process in processes.items():
                self._parts[name].adopt(process)
            await server.listen_unix(self._topology.socket_path("supervisor"))
            watch = loop.create_task(self._watch_start())
            await self._ending.wait()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        finally:
            await asyncio.gather(*(part.stop() for part in self._parts.values()))
            await server.close()
            for hello in self._hellos:
                hello.cancel()
            await asyncio.gather(*self._hellos, return_exceptions=True)
            self._control.close()
        return self._exit_status

    def _follow_owner(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            owner = open_owner()
        except ProcessLookupError:
            self._ending.set()
            return
        if owner is not None:

            def ended() -> None:
                loop.remove_reader(owner)
                os.close(owner)
                self._ending.set()

            loop.add_reader(owner, ended)

    def _watch_folder(self) -> None:
        if self._has_folder():
            asyncio.get_running_loop().call_later(FOLDER_INTERVAL_S, self._watch_folder)
            return
        self._log(f"{self._topology.state_dir} was removed or moved: the lab ends")
        self._ending.set()

    # starting

    async def _watch_start(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT_S):
                await self._started.wait()
        except TimeoutError:
            late = ", ".join(part.name for part in self._parts.values() if not part.ever_ready)
            self._fail(f"not ready after {START_LIMIT_S:.0f} s: {late}", 1)

    def _on_ready(self, part: SupervisedPart) -> None:
        if self._started.is_set():
            self._log(f"{part.name} is up again, pid {part.pid}")
            if part.name.startswith("engine-"):
                self._say_hello(part)
            return
        announce({"event": "part", "part": part.name, "ms": round((time.monotonic() - self._began) * 1000)})
        if all(other.ever_ready for other in self._parts.values()):
            self._started.set()
            announce({"event": "ready"})

    def _on_death(self, part: SupervisedPart, status: int) -> None:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        self._log(f"{part.name} died ({how})")
        if not self._started.is_set() and not self._ending.is_set():
            self._fail(
                f"{part.name} did not start ({how})\n{log_tail(self._log_dir, part.name)}", 3 if status == 3 else 1
            )

    def _fail(self, message: str, status: int) -> None:
        self._exit_status = status
        announce({"event": "failed", "message": message, "status": status})
        self._ending.set()

    def _say_hello(self, part: SupervisedPart) -> None:
        """An engine comes back empty: control makes its tables again."""
        task = asyncio.get_running_loop().create_task(self._hello(part))
        self._hellos.add(task)
        task.add_done_callback(self._hellos.discard)

    async def _hello(self, part: SupervisedPart) -> None:
        for _ in range(100):
            try:
                response = await self._control.call("POST", f"/parts/{part.name}/hello", timeout_s=30.0)
                if response.status < 500:
                    return
            except CallFailed:
                pass  # control may be starting again itself
            await asyncio.sleep(0.2)

    def _log(self, message: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        with contextlib.suppress(OSError), (self._log_dir / "supervisor.log").open("a") as log:
            log.write(f"{stamp} {message}\n")  # a full disk must not end a lab that runs

    # the socket

    async def _answer(self, request: Request) -> Response:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["health"]:
                return json_response(200, orjson.dumps({"part": "supervisor", "pid": os.getpid()}))
            case "GET", ["status"]:
                return json_response(200, orjson.dumps(self._status()))
            case "POST", ["engines", region, ("kill" | "start") as verb]:
                return await self._command(f"engine-{region}", verb)
            case "POST", ["parts", name, ("kill" | "start") as verb]:
                return await self._command(name, verb)
        return json_response(404, orjson.dumps({"error": f"the supervisor has no {request.method} {request.path}"}))

    async def _command(self, name: str, verb: str) -> Response:
        part = self._parts.get(name)
        if part is None:
            known = ", ".join(sorted(self._parts))
            return json_response(404, orjson.dumps({"error": f"no part {name!r}: expected one of {known}"}))
        if verb == "kill":
            part.kill()
            done = await part.wait_for(lambda: part.pid is None, 5.0)
        else:
            part.start()
            done = await part.wait_for(lambda: part.state == "up", ENGINE_START_LIMIT_S)
        if not done:
            return json_response(500, orjson.dumps({"error": f"{name}: {verb} did not take effect"}))
        return Response(204)

    def _status(self) -> dict[str, Any]:
        processes = descendants(os.getpid())
        names = {part.pid: part.name for part in self._parts.values() if part.pid is not None}
        names[os.getpid()] = "supervisor"
        memory = {process.pid: process.pss_kb for process in processes}
        parts = [{**part.status(), "pss_kb": memory.get(part.pid or 0)} for part in self._parts.values()]
        me = {"part": "supervisor", "state": "up", "pid": os.getpid(), "restarts": 0, "pss_kb": memory[os.getpid()]}
        others = [
            {"pid": process.pid, "of": names.get(process.parent, ""), "pss_kb": process.pss_kb}
            for process in processes
            if process.pid not in names
        ]
        total = sum(process.pss_kb or 0 for process in processes)
        return {"parts": [me, *parts], "others": others, "pss_kb": total, "ready": self._started.is_set()}


def _instance(topology: Topology) -> Instance:
    return Instance(
        pid=os.getpid(),
        state_dir=topology.state_dir,
        run_dir=topology.run_dir,
        block=topology.block,
        regions=topology.region_codes,
        speed=topology.speed,
        started_ms=time.time_ns() // 1_000_000,
    )
