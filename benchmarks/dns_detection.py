"""How long a dead endpoint goes unnoticed with AWS's default settings, in real time: 20 outages of 20 at once.

Half of the endpoints refuse, half hang. From an outage to the change of the DNS answer, at speed 1: interval 30 s,
threshold 3, 16 checkers of which 14 must see it. What AWS's documentation implies: the checkers do not coordinate, so
an outage falls anywhere in each one's interval; its third failure comes two intervals after its first, and where the
endpoint hangs each takes the two seconds that a response may take. The check fails with the fourteenth checker.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html
Run: `python benchmarks/dns_detection.py [ENDPOINTS] [INTERVAL] [THRESHOLD]`; exit status 1 if a bound was missed.
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
from figures import Figure, print_figures

from lab.core import codec
from lab.core.checkers import CHECKERS, HEALTHY_SHARE_MIN
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.health_probe import RESPONSE_LIMIT_MS
from lab.core.topology import Topology, regional_addresses
from lab.core.zone import HostedZone, RecordSet, Zones
from lab.data import places
from lab.live.clock import Clock
from lab.live.dns import DnsServer
from lab.live.dns_client import make_query, parse_reply
from lab.live.documents import DocumentStore
from lab.live.http_message import Request, Response
from lab.live.http_server import HttpServer
from lab.live.probes import Probers

BLOCK, PORT = "127.43", 18081
SLACK_S = 1.0
MEDIAN_SLACK_S = 4.0
"""The median of ten such outages lies so near to the expected one but for once in some thousand runs."""


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


def implied_s(interval: int, threshold: int, hang_s: float) -> tuple[float, float, float]:
    """The least, the median and the longest detection time that the documentation implies, in seconds."""
    sure = (threshold - 1) * interval + threshold * hang_s
    count = len(CHECKERS)
    needed = count - int(HEALTHY_SHARE_MIN * count)
    # The median of the `needed`th of `count` moments of one interval: that of a beta distribution, nearly.
    share = (needed - 1 / 3) / (count + 1 - 2 / 3)
    return sure, sure + share * interval, sure + interval


def report(noticed: dict[int, float], interval: int, threshold: int) -> int:
    """Print the distribution and what it is held against; the exit status."""
    figures = []
    for word, kind, hang_s in (("refuses", 0, 0.0), ("hangs", 1, RESPONSE_LIMIT_MS / 1000)):
        times = sorted(value for number, value in noticed.items() if number % 2 == kind)
        if times:
            print(f"endpoint {word}: " + " ".join(f"{value:.1f}" for value in times) + " s")
            least, median, most = implied_s(interval, threshold, hang_s)
            off = abs(statistics.median(times) - median)
            figures += [
                Figure(f"endpoint {word}: least", times[0], "s", least, "at least"),
                Figure(f"endpoint {word}: median", statistics.median(times), "s"),
                Figure(f"endpoint {word}: median off from the expected {median:.1f} s by", off, "s", MEDIAN_SLACK_S),
                Figure(f"endpoint {word}: most", times[-1], "s", most + SLACK_S),
            ]
    title = f"Detection of {len(noticed)} outages at once, interval {interval} s, threshold {threshold}, speed 1"
    return print_figures(title, figures)


async def main(count: int, interval: int, threshold: int) -> int:
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
    print(f"CPU of probers, DNS and {count} endpoints together: {share * 100:.1f} % of a core")
    return report(noticed, interval, threshold)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(asyncio.run(main(*[*numbers, *(20, 30, 3)[len(numbers) :]])))
