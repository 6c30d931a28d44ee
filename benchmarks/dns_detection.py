"""How long a dead endpoint goes unnoticed with AWS's default settings, in real time: 20 outages of 20 at once.

Half of the endpoints refuse, half hang. From an outage to the change of the DNS answer, at speed 1: interval 30 s,
threshold 3, 16 checkers of which 14 must see it.
Run: `python benchmarks/dns_detection.py [ENDPOINTS] [INTERVAL] [THRESHOLD]`.
"""

from __future__ import annotations

import asyncio
import random
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson

from lab.core import codec
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.clock import Clock
from lab.live.dns import DnsServer
from lab.live.dns_client import make_query, parse_reply
from lab.live.documents import DocumentStore
from lab.live.http_server import HttpServer, Request, Response
from lab.live.probes import Probers

BLOCK, PORT = "127.43", 18081


class Endpoint:
    """An endpoint that can die by refusing or by hanging."""

    def __init__(self, number: int) -> None:
        self.number, self.address = number, f"{BLOCK}.30.{number + 1}"
        self.hanging = False
        self.server = HttpServer(self._answer)

    async def _answer(self, request: Request) -> Response | None:
        return None if self.hanging else Response(200)

    def die(self) -> None:
        if self.number % 2:
            self.hanging = True
        else:
            self.server.stop_listening()


def records(number: int) -> tuple[RecordSet, RecordSet]:
    name = f"e{number}.bench.test."
    return (
        RecordSet(name, "A", 60, ("192.0.2.1",), None, "p", failover="PRIMARY", health_check_id=f"check-{number}"),
        RecordSet(name, "A", 60, ("192.0.2.2",), None, "s", failover="SECONDARY"),
    )


def answer(server: tuple[str, int], number: int) -> str:
    query = make_query(number, f"e{number}.bench.test", "A", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(server)
        sock.send(query)
        reply = parse_reply(sock.recv(4096), query)
    assert reply is not None
    return reply.records[0].value


async def main(count: int, interval: int, threshold: int) -> None:
    topology = Topology(BLOCK, regional_addresses(BLOCK, ("us-east-1", "us-west-2")), places(), "/none", "/none")
    endpoints = [Endpoint(number) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        store = DocumentStore(Path(folder))
        zone = HostedZone("Z", "bench.test.", tuple(r for e in endpoints for r in records(e.number)))
        checks = tuple(
            HealthCheck(
                f"check-{e.number}",
                str(e.number),
                "HTTP",
                0,
                e.address,
                PORT,
                "/",
                request_interval=interval,
                failure_threshold=threshold,
            )
            for e in endpoints
        )
        store.put("zones", orjson.dumps(codec.encode(Zones((zone,)))))
        store.put("health_checks", orjson.dumps(codec.encode(HealthChecks(checks))))
        for endpoint in endpoints:
            await endpoint.server.listen_tcp(endpoint.address, PORT)
        probers = Probers(topology, store, Clock())
        dns = DnsServer(topology, store, probers.is_healthy, watch_health=probers.watch)
        died: dict[int, float] = {}
        noticed: dict[int, float] = {}
        done = asyncio.Event()

        def flipped(check: str, healthy: bool) -> None:
            number = int(check.removeprefix("check-"))
            if not healthy and number in died:
                noticed[number] = time.monotonic() - died[number]
                if len(noticed) == count:
                    done.set()

        probers.watch(flipped)
        await dns.start()
        await probers.start()
        cpu, wall = time.process_time(), time.monotonic()
        await asyncio.sleep(interval + 1)  # every checker has looked once
        rng = random.Random(7)
        loop = asyncio.get_running_loop()
        for endpoint in endpoints:

            def die(endpoint: Endpoint = endpoint) -> None:
                died[endpoint.number] = time.monotonic()
                endpoint.die()

            loop.call_later(rng.random() * interval, die)
        async with asyncio.timeout(60 + interval * (threshold + 2)):
            await done.wait()
        server = (topology.global_address, dns.port)
        changed = [await asyncio.to_thread(answer, server, endpoint.number) for endpoint in endpoints]
        assert changed == ["192.0.2.2"] * count, changed
        share = (time.process_time() - cpu) / (time.monotonic() - wall)
        await probers.close()
        await dns.close()
        for endpoint in endpoints:
            await endpoint.server.close()
    for word, kind in (("refuse", 0), ("hang", 1)):
        times = sorted(value for number, value in noticed.items() if number % 2 == kind)
        if times:
            print(f"{word}: " + " ".join(f"{value:.0f}" for value in times) + " s")
    times = sorted(noticed.values())
    print(f"all {count}: least {times[0]:.1f}, median {statistics.median(times):.1f}, most {times[-1]:.1f} s")
    print(f"CPU of probers, DNS and {count} endpoints together: {share * 100:.1f} % of a core")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*[*numbers, *(20, 30, 3)[len(numbers) :]]))
