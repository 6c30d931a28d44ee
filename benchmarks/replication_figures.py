"""Replication beside one bare engine: lag, sustained writes, catch-up after a cut, cost per copy, idle, memory.

    .venv/bin/python benchmarks/replication_figures.py [--items 100000] [--million] [--section NAME ...]

Both sides in one run and with one client (keep-alive HTTP over Unix sockets, 8 requests at once). The bare engine is
MiniStack as it comes, under hypercorn; its own replication inside one process is printed for comparison. `--million`
takes the cost per copy up to a million items, which needs about 8 GB and some minutes. Exits 1 if a bound is missed.

The cost of a copy that is made falls with the number of regions: a write is read, judged and kept once, however many
regions it is copied to, and that share gets smaller; what each copy adds (its apply, the answer, its echo in the
target's stream) stays. So three are printed: how much more a copy costs in three, four or five regions than in two, the
most over the least, and that of the copies there are, with the source's, whose reading is what a write costs once. Each
is the least of three rounds in turns, for other work on the machine only ever adds to it; of sizes, the least of a way
up and a way down. Keys come in no order, as applications' ids do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson
from figures import Figure, print_figures

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "live"))
from replicator_lab import ReplicatorLab

from lab.core.faults import Fault
from lab.live.http_client import CallFailed, HttpClient, UnixAddress

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "sa-east-1")
EAST, WEST = REGIONS[:2]
TABLE = "things"
AT_ONCE = 8
VALUE = "x" * 300
ROUNDS = 3
SECTIONS = ("idle", "lag", "sustained", "catch-up", "cost", "size")


async def call(client: HttpClient, operation: str, request: dict[str, Any], region: str = "") -> dict[str, Any]:
    """One DynamoDB call."""
    headers = [("X-Amz-Target", f"DynamoDB_20120810.{operation}")]
    if region:
        scope = f"AWS4-HMAC-SHA256 Credential=test/20260101/{region}/dynamodb/aws4_request, Signature=0"
        headers.append(("Authorization", scope))
    response = await client.call("POST", "/", headers, orjson.dumps(request))
    assert response.status == 200, response.body
    body: dict[str, Any] = orjson.loads(response.body)
    return body


@contextlib.asynccontextmanager
async def bare_engine() -> AsyncIterator[HttpClient]:
    """MiniStack under hypercorn, as it comes, with a table."""
    folder = tempfile.mkdtemp(prefix="be-")
    path = f"{folder}/s"
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "STATE_DIR": folder}
    environment |= {"IOT_MTLS_ENABLED": "0", "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "MINISTACK_REGION": EAST}
    command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"unix:{path}", "--log-level", "ERROR"]
    process = subprocess.Popen(  # noqa: ASYNC220
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = HttpClient(UnixAddress(path))
    try:
        for _ in range(500):
            try:
                await call(client, "ListTables", {})
                break
            except CallFailed:
                await asyncio.sleep(0.02)
        await call(client, "CreateTable", definition())
        yield client
    finally:
        client.close()
        os.killpg(process.pid, signal.SIGKILL)  # hypercorn serves in a child of its own
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def definition() -> dict[str, Any]:
    return {
        "TableName": TABLE,
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    }


class Announcer:
    """Wakes the replicator as a front does: one call under way per region, none is waited for."""

    def __init__(self, lab: ReplicatorLab) -> None:
        self._lab = lab
        self._due = {region: asyncio.Event() for region in lab.regions}
        self._tasks = [asyncio.create_task(self._run(region)) for region in lab.regions]

    def announce(self, region: str) -> None:
        self._due[region].set()

    async def _run(self, region: str) -> None:
        while True:
            await self._due[region].wait()
            self._due[region].clear()
            await self._lab.call("replicator", "POST", f"/wake/{region}/{TABLE}")

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


async def put_all(client: HttpClient, names: list[str], announce: Any = None, region: str = "") -> float:
    """Put an item for each name; seconds taken."""
    left = iter(names)
    started = time.perf_counter()

    async def work() -> None:
        for name in left:
            item = {"id": {"S": name}, "v": {"S": VALUE + name}}
            await call(client, "PutItem", {"TableName": TABLE, "Item": item}, region)
            if announce is not None:
                announce()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - started


def scattered(prefix: str, n: int) -> str:
    """The n-th key: like an application's random ids, one after another has nothing to do with the one before."""
    return prefix + blake2b(n.to_bytes(8, "big"), digest_size=12).hexdigest()


async def load_all(client: HttpClient, prefix: str, items: int) -> float:
    """Put so many items with BatchWriteItem; seconds taken."""
    left = iter(range(0, items, 25))
    started = time.perf_counter()

    async def work() -> None:
        for start in left:
            names = [scattered(prefix, n) for n in range(start, min(items, start + 25))]
            puts = [{"PutRequest": {"Item": {"id": {"S": name}, "v": {"S": VALUE + name}}}} for name in names]
            await call(client, "BatchWriteItem", {"RequestItems": {TABLE: puts}})

    await asyncio.gather(*(work() for _ in range(AT_ONCE // 2)))
    return time.perf_counter() - started


def cpu_s(lab: ReplicatorLab, name: str) -> float:
    """Seconds of CPU time that a process has had."""
    fields = Path(f"/proc/{lab.processes[name].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(lab: ReplicatorLab, name: str) -> float:
    """A process's share of memory (PSS)."""
    text = Path(f"/proc/{lab.processes[name].pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


async def idle() -> list[Figure]:
    async with ReplicatorLab(EAST, WEST) as lab:
        await lab.create_global(TABLE)
        await lab.put(EAST, TABLE, "a", "1")
        await lab.agree(TABLE)
        await asyncio.sleep(3)
        before, started = sum(cpu_s(lab, name) for name in lab.processes), time.perf_counter()
        await asyncio.sleep(10)
        used = sum(cpu_s(lab, name) for name in lab.processes) - before
        share = 100 * used / (time.perf_counter() - started)
        return [
            Figure("idle: two engines and replicator, of one core", share, "%", 3),
            Figure("idle: memory of the replicator", memory_mb(lab, "replicator"), "MB", 150),
        ]


async def lag(writes: int) -> list[Figure]:
    lags = []
    async with ReplicatorLab(EAST, WEST) as lab:
        await lab.create_global(TABLE)
        await lab.agree(TABLE)
        announcer = Announcer(lab)
        for n in range(writes):
            source, target = (EAST, WEST) if n % 2 else (WEST, EAST)
            await put_all(lab.client(f"engine-{source}"), [f"k{n}"], lambda source=source: announcer.announce(source))
            started = time.perf_counter()
            while await lab.value(target, TABLE, f"k{n}") is None:  # noqa: ASYNC110
                await asyncio.sleep(0.0005)
            lags.append(1000 * (time.perf_counter() - started))
            await asyncio.sleep(0.01)
        announcer.close()
    ordered = sorted(lags)
    return [
        Figure("light load: acknowledged to readable, p50", statistics.median(lags), "ms", 8),
        Figure("light load: acknowledged to readable, p99", ordered[len(ordered) * 99 // 100], "ms", 30),
    ]


async def sustained(writes: int) -> list[Figure]:
    async with bare_engine() as engine:
        await put_all(engine, [f"warm{n}" for n in range(200)])
        bare = writes / await put_all(engine, [f"k{n}" for n in range(writes)])
    own, own_lag = await own_replication(writes)
    async with ReplicatorLab(EAST, WEST) as lab:
        await lab.create_global(TABLE)
        await lab.agree(TABLE)
        announcer = Announcer(lab)
        started = time.perf_counter()
        await asyncio.gather(
            *(
                put_all(
                    lab.client(f"engine-{region}"),
                    [f"{region}{n}" for n in range(writes // 2)],
                    lambda region=region: announcer.announce(region),
                )
                for region in (EAST, WEST)
            )
        )
        acknowledged = writes / (time.perf_counter() - started)
        assert len(await lab.agree(TABLE)) == 2 * (writes // 2)
        replicated = writes / (time.perf_counter() - started)
        announcer.close()
    return [
        Figure("sustained: one bare engine, PutItem", bare, "/s"),
        Figure("sustained: MiniStack's own replicas, in one process", own, "/s"),
        Figure("sustained: MiniStack's own replicas, lag", own_lag, "ms"),
        Figure("sustained: two regions, acknowledged", acknowledged, "/s"),
        Figure("sustained: two regions, acknowledged and replicated", replicated, "/s"),
        Figure("sustained: replicated over bare", replicated / bare, "", 0.35, "at least"),
    ]


async def own_replication(writes: int) -> tuple[float, float]:
    """Writes/s and lag of MiniStack's own global tables: copies in one process, made before a write is answered."""
    async with bare_engine() as engine:
        update = {"TableName": TABLE, "ReplicaUpdates": [{"Create": {"RegionName": WEST}}]}
        await call(engine, "UpdateTable", update, EAST)
        seconds = await put_all(engine, [f"k{n}" for n in range(writes)], region=EAST)
        key = {"TableName": TABLE, "Key": {"id": {"S": f"k{writes - 1}"}}}
        started = time.perf_counter()
        found = await call(engine, "GetItem", key, WEST)
        assert "Item" in found
        return writes / seconds, 1000 * (time.perf_counter() - started)


async def catch_up(items: int) -> list[Figure]:
    async with bare_engine() as engine:
        await load_all(engine, "warm", 500)
        bare = items / await load_all(engine, "k", items)
    async with ReplicatorLab(EAST, WEST) as lab:
        await lab.create_global(TABLE)
        await lab.agree(TABLE)
        rate, _, memory = await heal_after(lab, "k", items)
    return [
        Figure(f"catch-up of {items} items: bare BatchWriteItem", bare, "/s"),
        Figure(f"catch-up of {items} items: after a cut", rate, "/s"),
        Figure("catch-up: over bare", rate / bare, "", 0.6, "at least"),
        Figure("catch-up: memory of the replicator", memory, "MB", 150),
    ]


async def heal_after(lab: ReplicatorLab, prefix: str, items: int) -> tuple[float, float, float]:
    """Write items in the first region while all its links are cut, then heal: items/s, CPU microseconds a copy, MB."""
    first, *others = lab.regions
    await lab.fault(*(Fault(f"{n}", "cut", 0, region=first, target=other) for n, other in enumerate(others)))
    cpu = cpu_s(lab, "replicator")
    await load_all(lab.client(f"engine-{first}"), prefix, items)
    while await backlog(lab) < items * len(others):
        await lab.call("replicator", "POST", f"/wake/{first}/{TABLE}")
        await asyncio.sleep(0.1)
    started = time.perf_counter()
    await lab.fault()
    memory = 0.0
    while not (await lab.converged(TABLE, timeout_ms=2000))["converged"]:
        memory = max(memory, memory_mb(lab, "replicator"))
    seconds = time.perf_counter() - started
    memory = max(memory, memory_mb(lab, "replicator"))
    copies = items * len(others)
    return copies / seconds, 1e6 * (cpu_s(lab, "replicator") - cpu) / copies, memory


async def backlog(lab: ReplicatorLab) -> int:
    return sum(pair["backlog"] for pair in (await lab.get("/status"))["pairs"])


async def cost_by_regions() -> list[Figure]:
    figures, memories = [], []
    rounds_by_regions: dict[int, list[float]] = {2: [], 3: [], 4: [], 5: []}
    for regions, found in list(rounds_by_regions.items()) * ROUNDS:
        async with ReplicatorLab(*REGIONS[:regions]) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)
            await heal_after(lab, "warm", 1000)
            _, each, memory = await heal_after(lab, "k", 10_000)
        found.append(each)
        memories.append(memory)
    by_regions = [min(found) for found in rounds_by_regions.values()]
    held = [each * (regions - 1) / regions for regions, each in zip(rounds_by_regions, by_regions, strict=True)]
    for regions, each in zip(rounds_by_regions, by_regions, strict=True):
        figures.append(Figure(f"cost: CPU a copy, {regions} regions, 10000 items", each, "us"))
    return [
        *figures,
        Figure("cost: most in 3 to 5 regions over 2 regions", max(by_regions[1:]) / by_regions[0], "", 1.35),
        Figure("cost: most over least, 2 to 5 regions", max(by_regions) / min(by_regions), "", 1.35),
        Figure("cost: the same of all copies, the source's too", max(held) / min(held), ""),
        Figure("cost: memory of the replicator, 2 to 5 regions, most", max(memories), "MB", 150),
    ]


async def cost_by_size(sizes: list[int]) -> list[Figure]:
    figures, memories = [], []
    by_size: dict[int, list[float]] = {items: [] for items in sizes}
    for items in [*sizes, *sizes[-2::-1]]:  # there and back: the largest takes minutes, and comes once
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)
            await heal_after(lab, "warm", 1000)
            # Few items are copied several times, so that the clock's ticks do not decide.
            rounds = max(1, 10_000 // items)
            healed = [await heal_after(lab, f"r{n}-", items) for n in range(rounds)]
        by_size[items].append(statistics.fmean(cost for _, cost, _ in healed))
        memories.append(max(memory for _, _, memory in healed))
    by_items = [min(found) for found in by_size.values()]
    for items, each in zip(sizes, by_items, strict=True):
        figures.append(Figure(f"cost: CPU a copy, 2 regions, {items} items", each, "us"))
    return [
        *figures,
        Figure(f"cost: most over least, {sizes[0]} to {sizes[-1]} items", max(by_items) / min(by_items), "", 1.35),
        Figure(f"cost: memory of the replicator, {sizes[0]} to {sizes[-1]} items, most", max(memories), "MB", 150),
    ]


async def measure(options: argparse.Namespace) -> list[Figure]:
    figures: list[Figure] = []
    sizes = [1_000, 10_000, 100_000, *([1_000_000] if options.million else [])]
    for section in options.section or SECTIONS:
        match section:
            case "idle":
                figures += await idle()
            case "lag":
                figures += await lag(400)
            case "sustained":
                figures += await sustained(10_000)
            case "catch-up":
                figures += await catch_up(options.items)
            case "cost":
                figures += await cost_by_regions()
            case "size":
                figures += await cost_by_size(sizes)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="replication beside one bare engine")
    parser.add_argument("--items", type=int, default=100_000, help="items of the catch-up (default 100000)")
    parser.add_argument("--million", action="store_true", help="cost per copy up to a million items")
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this one (may be repeated)")
    return print_figures("Replication", asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
