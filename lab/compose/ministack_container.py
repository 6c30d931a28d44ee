"""A region's container on MiniStack: the engine behind its Unix socket, as on one machine, and a TCP port before it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.compose.layout import ENGINE_PORT
from lab.core.topology import Topology
from lab.live.byte_relay import relay


def run_ministack(path: Path, topology: Topology, region: str) -> int:
    """Run the engine until SIGTERM; the exit status."""
    return asyncio.run(_run(path, topology, region))


async def _run(path: Path, topology: Topology, region: str) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "lab.engines.ministack",
        str(path),
        region,
        stdout=subprocess.PIPE,
        env=_environment(),
    )
    assert engine.stdout is not None
    await engine.stdout.readline()  # "ready", or the end of a process that could not start
    socket_path = topology.socket_path(f"engine-{region}")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay((reader, writer), lambda: asyncio.open_unix_connection(socket_path))

    server = await asyncio.start_server(accept, topology.bind_address("127.0.0.1"), ENGINE_PORT)
    ended, stopped = asyncio.create_task(engine.wait()), asyncio.create_task(stopping.wait())
    await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    server.close()
    if not ended.done():
        engine.terminate()
    status = await ended
    return 0 if stopping.is_set() else status or 1


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
