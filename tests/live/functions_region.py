"""A region's functions over handlers written for a test: what the tests of functions stand on."""

from __future__ import annotations

import dataclasses
import json
import os
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from waiting import eventually_async

from lab.core import codec
from lab.core.function import Function, Functions
from lab.core.topology import Topology, regional_addresses
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.functions import LogSink, NoLogSink, RegionFunctions

REGION = "us-east-1"
ENDPOINT = "http://127.41.1.1:4566"


def write_function(folder: Path, source: str, name: str = "hello", **changes: Any) -> Function:
    """A function with `source` as its app.py, in a new folder below `folder`."""
    code = folder / f"{name}-{len(list(folder.iterdir()))}"
    code.mkdir()
    (code / "app.py").write_text(textwrap.dedent(source))
    function = Function(
        REGION, name, "app.handler", "python3.11", "arn:aws:iam::000000000000:role/r", str(code), "sha", 1, "now", "1"
    )
    return dataclasses.replace(function, **{"timeout_s": 20, **changes})


class FunctionsUnderTest(RegionFunctions):
    """The region's functions, with the store that control would push to."""

    store: DocumentStore

    def publish(self, *functions: Function) -> None:
        """What control does after a change."""
        self.store.put("functions", orjson.dumps(codec.encode(Functions(functions))))

    async def call(self, event: object = None, name: str = "hello", **options: Any) -> Any:
        """Invoke and return the decoded payload of a success."""
        invocation = await self.invoke(name, json.dumps(event).encode(), **options)
        assert invocation.function_error is None, invocation.payload
        return json.loads(invocation.payload)

    async def failure(self, event: object = None, name: str = "hello", **options: Any) -> Any:
        """Invoke and return the decoded payload of a function error."""
        invocation = await self.invoke(name, json.dumps(event).encode(), **options)
        assert (invocation.status_code, invocation.function_error) == (200, "Unhandled"), invocation
        return json.loads(invocation.payload)

    async def begun(self, name: str = "hello") -> None:
        """Wait until a handler is at work."""
        await eventually_async(
            lambda: any(e.state == "busy" for f in self.status().functions if f.name == name for e in f.environments)
        )

    def lines(self, name: str = "hello") -> list[str]:
        """The messages in a function's log."""
        return [line.message for line in self.log_lines(name)]


@asynccontextmanager
async def region_of(
    folder: Path,
    functions: Sequence[Function],
    *,
    speed: float = 1.0,
    environments_max: int = 8,
    logs: LogSink | None = None,
) -> AsyncIterator[FunctionsUnderTest]:
    """A started region that is closed at the end."""
    store = DocumentStore(folder / "documents")
    topology = Topology(
        "127.41", regional_addresses("127.41", (REGION,)), (), str(folder / "state"), str(folder / "run"), speed=speed
    )
    region = FunctionsUnderTest(
        topology,
        REGION,
        store,
        Clock(speed),
        endpoint_url=ENDPOINT,
        logs=logs or NoLogSink(),
        log=lambda message: None,
        environments_max=environments_max,
    )
    region.store = store
    region.publish(*functions)
    await region.start()
    try:
        yield region
    finally:
        await region.close()


def is_alive(pid: int) -> bool:
    """Whether a process is there and not just waiting to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children() -> set[int]:
    """The processes whose parent is this one."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[1]) == os.getpid() and stat[0] != "Z":
                found.add(int(entry.name))
    return found
