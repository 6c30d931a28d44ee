"""Invocations of execution environments driven directly, without front or API: rate, latency, cold start.

Run: `.venv/bin/python benchmarks/functions_direct.py [--seconds 3] [--block 127.41] [--json]`. One process and two
environments on whatever cores there are. Prints one line a handler; the base against which the HTTP path is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import orjson

from lab.core import codec
from lab.core.function import Function, Functions
from lab.core.topology import Topology, regional_addresses
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.functions import NoLogSink, RegionFunctions

REGION = "us-east-1"
HANDLERS = {
    "silent": "def handler(event, context):\n    return {'statusCode': 200, 'body': 'ok'}\n",
    "printing": "def handler(event, context):\n    print(event)\n    return {'statusCode': 200, 'body': 'ok'}\n",
    "boto3": "import boto3\ndef handler(event, context):\n    return {'statusCode': 200, 'body': 'ok'}\n",
}
EVENT = orjson.dumps({"path": "/health", "httpMethod": "GET", "headers": {"Host": "api.lab.test"}, "body": None})


def function(name: str, folder: Path) -> Function:
    """A function whose code is written below `folder`."""
    code = folder / name
    code.mkdir()
    (code / "app.py").write_text(HANDLERS[name])
    return Function(REGION, name, "app.handler", "python3.11", "role", str(code), "sha", 1, "now", "1", timeout_s=10)


@contextmanager
def prepared(block: str) -> Iterator[tuple[Topology, DocumentStore]]:
    """A topology of one region and a store with the handlers above."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder = Path(name)
        store = DocumentStore(folder / "documents")
        store.put("functions", orjson.dumps(codec.encode(Functions(tuple(function(n, folder) for n in HANDLERS)))))
        regions = regional_addresses(block, (REGION,))
        yield Topology(block, regions, (), str(folder / "state"), str(folder / "run")), store


async def load(functions: RegionFunctions, name: str, callers: int, seconds: float) -> list[float]:
    """Latencies in milliseconds of so many callers, each with one invocation at a time."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (started := time.perf_counter()) < end:
            invocation = await functions.invoke(name, EVENT)
            assert invocation.function_error is None, invocation.payload
            latencies.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return latencies


@asynccontextmanager
async def running(
    topology: Topology, store: DocumentStore, environments_max: int = 2
) -> AsyncIterator[RegionFunctions]:
    """The functions of the one region, with nothing before them."""
    functions = RegionFunctions(
        topology,
        REGION,
        store,
        Clock(),
        endpoint_url=f"http://{topology.regions[0].address}:4566",
        logs=NoLogSink(),
        environments_max=environments_max,
    )
    await functions.start()
    try:
        yield functions
    finally:
        await functions.close()


async def measure(topology: Topology, store: DocumentStore, seconds: float) -> list[dict[str, object]]:
    """One row a handler."""
    rows: list[dict[str, object]] = []
    async with running(topology, store) as functions:
        for name in HANDLERS:
            started = time.perf_counter()
            first = await functions.invoke(name, EVENT)
            cold_ms = (time.perf_counter() - started) * 1000
            await load(functions, name, 8, 0.3)
            one = sorted(await load(functions, name, 1, seconds))
            eight = sorted(await load(functions, name, 8, seconds))
            rows.append(
                {
                    "handler": name,
                    "cold_ms": round(cold_ms, 1),
                    "init_ms": round(first.init_ms or 0.0, 1),
                    "one_caller_p50_ms": round(statistics.median(one), 3),
                    "one_caller_p99_ms": round(one[len(one) * 99 // 100], 3),
                    "eight_callers_per_s": round(len(eight) / seconds),
                    "eight_callers_p99_ms": round(eight[len(eight) * 99 // 100], 3),
                }
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--block", default="127.41")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with prepared(options.block) as (topology, store):
        rows = asyncio.run(measure(topology, store, options.seconds))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
