"""The zone that the DNS benchmarks ask about, and the lab's DNS server alone in a process.

Run as a program it serves until SIGTERM: `dns_world.py RECORDS HEALTH_CHECKS BLOCK`; it prints `ready`.
The failover record's health comes from real probers, which probe an HTTP server: as in the lab, a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import select
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from lab.core import codec
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import GeoLocation, HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.clock import Clock
from lab.live.dns import DnsServer
from lab.live.documents import DocumentStore
from lab.live.edge import GC_THRESHOLD
from lab.live.probes import Probers

ZONE = "bench.test"
HTTP_PORT = 18080
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def record(name: str, value: str, **fields: Any) -> RecordSet:
    return RecordSet(f"{name}.{ZONE}.", "A", 60, (value,), **fields)


def zones(records: int) -> Zones:
    """Weighted, failover and geolocation names, and `records` plain ones."""
    special = (
        record("weighted", "192.0.2.1", set_identifier="a", weight=3),
        record("weighted", "192.0.2.2", set_identifier="b", weight=1),
        record("failover", "192.0.2.1", set_identifier="p", failover="PRIMARY", health_check_id="check-0"),
        record("failover", "192.0.2.2", set_identifier="s", failover="SECONDARY"),
        record("geo", "192.0.2.1", set_identifier="na", geo_location=GeoLocation(continent_code="NA")),
        record("geo", "192.0.2.2", set_identifier="eu", geo_location=GeoLocation(continent_code="EU")),
        record("geo", "192.0.2.3", set_identifier="rest", geo_location=GeoLocation(country_code="*")),
    )
    plain = tuple(record(f"n{number}", f"10.0.{number // 250}.{number % 250}") for number in range(records))
    return Zones((HostedZone("ZBENCH", f"{ZONE}.", special + plain),))


def checks(count: int, address: str) -> HealthChecks:
    return HealthChecks(
        tuple(
            HealthCheck(f"check-{n}", f"r{n}", "HTTP", 0, address, 80, "/", request_interval=30) for n in range(count)
        )
    )


def _target(address: str) -> None:
    """An endpoint that costs next to nothing, for it is not what is measured.

    It is not on the server's core, and behind everything else on the other: the generator there would measure it too.
    """
    cores = set(range(os.cpu_count() or 1))
    os.sched_setaffinity(0, cores - os.sched_getaffinity(0) or cores)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    listener = socket.create_server((address, HTTP_PORT), backlog=1024)
    readable = select.epoll()
    readable.register(listener, select.EPOLLIN)
    taken: dict[int, socket.socket] = {}
    while True:
        for fd, _ in readable.poll():
            if fd == listener.fileno():
                connection, _ = listener.accept()
                taken[connection.fileno()] = connection
                readable.register(connection, select.EPOLLIN)
                continue
            with taken.pop(fd) as connection, contextlib.suppress(OSError):
                if connection.recv(4096):
                    connection.send(ANSWER)


@contextlib.contextmanager
def probed(address: str) -> Iterator[None]:
    """What the health checks probe, as long as the block lasts."""
    process = multiprocessing.get_context("spawn").Process(target=_target, args=(address,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


async def serve(records: int, health_checks: int, block: str) -> None:
    topology = Topology(
        block, regional_addresses(block, ("us-east-1", "us-west-2")), places(), "/none", "/none", http_port=HTTP_PORT
    )
    address = topology.regions[0].address
    with tempfile.TemporaryDirectory() as folder, probed(address):
        store = DocumentStore(Path(folder))
        store.put("zones", orjson.dumps(codec.encode(zones(records))))
        store.put("health_checks", orjson.dumps(codec.encode(checks(health_checks, address))))
        probers = Probers(topology, store, Clock())
        server = DnsServer(topology, store, probers.is_healthy, watch_health=probers.watch)
        await server.start()
        probers.give_way_to(server.answer_waiting)
        await probers.start()
        gc.collect()  # as the edge does
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        print(f"ready {topology.global_address} {server.port}", flush=True)
        await stopping.wait()
        await server.close()
        await probers.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
