"""From a change to the answer that shows it, with 10,000 records and 200 health checks: records and statuses.

A process serves, this one publishes to it as control does and asks until the answer is the new one; memory is the
server's. Run: `python benchmarks/dns_change.py [RECORDS]`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson
from dns_world import ZONE, checks, zones

from lab.core import codec
from lab.core.faults import Fault, FaultSet
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import Zones
from lab.data import places
from lab.live.clock import Clock
from lab.live.dns import DnsServer
from lab.live.dns_client import make_query, parse_reply
from lab.live.documents import DocumentStore
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.http_server import HttpServer, Request, Response
from lab.live.probes import Probers

BLOCK, PORT, ROUNDS = "127.43", 5301, 20


async def serve(folder: Path, records: int) -> None:
    """The resolver and the probers behind a Unix socket that takes documents."""
    topology = Topology(
        BLOCK, regional_addresses(BLOCK, ("us-east-1", "us-west-2")), places(), "/none", "/none", dns_port=PORT
    )
    store = DocumentStore(folder / "documents")
    store.put("zones", orjson.dumps(zones(records)))
    store.put("health_checks", orjson.dumps(checks(200, f"{BLOCK}.1.1")))
    probers = Probers(topology, store, Clock())
    server = DnsServer(topology, store, probers.is_healthy, watch_health=probers.watch)

    async def answer(request: Request) -> Response:
        return store.answer(request) or Response(404)

    admin = HttpServer(answer, max_body_bytes=64 * 1024 * 1024)
    await server.start()
    await probers.start()
    await admin.listen_unix(str(folder / "edge.sock"))
    print("ready", flush=True)
    await asyncio.Event().wait()


def address_of(name: str) -> str:
    query = make_query(1, f"{name}.{ZONE}", "A", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((f"{BLOCK}.0.1", PORT))
        sock.send(query)
        reply = parse_reply(sock.recv(4096), query)
    assert reply is not None
    return reply.records[0].value


async def until(name: str, value: str, started: float) -> float:
    while await asyncio.to_thread(address_of, name) != value:
        assert time.monotonic() - started < 5
    return (time.monotonic() - started) * 1000


def upserted(whole: Zones, number: int, value: str) -> Zones:
    zone = whole.zones[0]
    records = list(zone.record_sets)
    at = next(n for n, record in enumerate(records) if record.name == f"n{number}.{ZONE}.")
    records[at] = dataclasses.replace(records[at], values=(value,))
    return dataclasses.replace(whole, zones=(dataclasses.replace(zone, record_sets=tuple(records)),))


async def measure(folder: Path, records: int, pid: int) -> None:
    client = HttpClient(UnixAddress(str(folder / "edge.sock")))
    whole = zones(records)
    upserts, flips = [], []
    for number in range(ROUNDS):
        whole = upserted(whole, number, f"192.0.2.{number + 1}")
        started = time.monotonic()
        response = await client.call("PUT", "/documents/zones", body=orjson.dumps(whole))
        assert response.status == 200
        upserts.append(await until(f"n{number}", f"192.0.2.{number + 1}", started))
        healthy = bool(number % 2)
        fault = Fault("f", "health_reported", 0, health_check_id="check-0", healthy=healthy)
        started = time.monotonic()
        await client.call("PUT", "/documents/faults", body=orjson.dumps(codec.encode(FaultSet((fault,)))))
        flips.append(await until("failover", "192.0.2.1" if healthy else "192.0.2.2", started))
    client.close()
    for word, times in (("record published", upserts), ("status flipped", flips)):
        print(f"{word}: median {statistics.median(times):.1f} ms, most {max(times):.1f} ms to the new answer")
    pss = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert pss is not None
    print(f"memory with {records:,} records and 200 health checks: {int(pss.group(1)) / 1024:.0f} MB")


async def main(records: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "serve", name, str(records)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            assert await process.stdout.readline() == b"ready\n"
            await measure(Path(name), records, process.pid)
        finally:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
