"""Failover through an accelerator at speed 1: how long until someone is served again, over twenty outages.

    .venv/bin/python benchmarks/accelerator_failover.py [--outages 20] [--delay-ms 30000] [--speed 1]

Each outage has an accelerator of its own with a load balancer per region, whose target in the nearer region is killed
at a random moment. Health checks are 10 s apart and two failures count. A client connects anew every 20 ms. The time to
the first good answer should be the target group's detection, plus the accelerator's delay, plus at most 1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson
from figures import Figure, print_figures

from lab.core import codec, proxy_protocol
from lab.core.accelerator import (
    Accelerator,
    AcceleratorListener,
    Accelerators,
    Endpoint,
    EndpointGroup,
    PortRange,
    static_addresses,
)
from lab.core.load_balancer import (
    Action,
    LoadBalancer,
    LoadBalancerListener,
    LoadBalancers,
    Rule,
    Target,
    TargetGroup,
    TargetGroupTuple,
    balancer_address,
)
from lab.core.topology import Topology, regional_addresses
from lab.data import geography, places
from lab.live.accelerator import AcceleratorEdge, EndpointAddress, EndpointSource
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.load_balancer import RegionLoadBalancers

BLOCK = "127.48"
EAST, WEST = "us-east-1", "us-west-2"
INTERVAL_S, THRESHOLD = 10, 2
EVERY_S = 0.02
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


async def backend() -> asyncio.Server:
    """A target; closing it is the outage."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(PAGE)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


class World:
    """Everything for so many outages, in this process."""

    def __init__(self, folder: Path, outages: int, delay_ms: int, speed: float) -> None:
        self.topology = Topology(
            BLOCK,
            regional_addresses(BLOCK, (EAST, WEST)),
            places(),
            str(folder),
            str(folder),
            speed=speed,
            accelerator_delay_ms=delay_ms,
        )
        self.store = DocumentStore(folder / "documents")
        self.outages, self.backends = outages, list[asyncio.Server]()
        self.detected: dict[str, float] = {}
        clock = Clock(speed)
        self.regions = {
            code: RegionLoadBalancers(
                self.topology, code, self.store, clock, None, log=lambda line: None, record=self._record  # type: ignore[arg-type]
            )
            for code in (EAST, WEST)
        }  # fmt: skip
        self.edge = AcceleratorEdge(
            self.topology,
            self.store,
            clock,
            geography(),
            EndpointSource(self._verdict, self._address, self._watch),
            log=lambda line: None,
        )

    def _record(self, kind: str, detail: dict[str, Any]) -> None:
        if detail["state"] == "unhealthy":
            self.detected[detail["target_group"]] = asyncio.get_running_loop().time()

    def _verdict(self, arn: str) -> bool | None:
        return self.regions[arn.split(":")[3]].verdict(arn)

    def _watch(self, callback: Any) -> None:
        for region in self.regions.values():
            region.watch(callback)

    def _address(self, arn: str, port: int) -> EndpointAddress | None:
        balancer = self.regions[arn.split(":")[3]].balancer(arn)
        return EndpointAddress(balancer.address, self.topology.listening_port(port)) if balancer else None

    async def start(self) -> None:
        balancers, groups, accelerators = [], [], []
        steady = await backend()
        for n in range(self.outages):
            dying = await backend()
            self.backends += [dying]
            endpoint_groups = []
            for number, (code, server) in enumerate(((EAST, dying), (WEST, steady)), start=1):
                prefix = f"arn:aws:elasticloadbalancing:{code}:000000000000"
                port = server.sockets[0].getsockname()[1]
                group = TargetGroup(
                    f"{prefix}:targetgroup/{n}/1", code, f"{code}/{n}", "ip", port=port, health_check_enabled=True,
                    health_check_interval_s=INTERVAL_S, health_check_timeout_s=5, unhealthy_threshold=THRESHOLD,
                    targets=(Target("127.0.0.1", port),),
                )  # fmt: skip
                rule = Rule("r", 0, (Action("forward", target_groups=(TargetGroupTuple(group.arn),)),))
                balancer = LoadBalancer(
                    f"{prefix}:loadbalancer/app/{n}/1", code, str(n), f"{n}.elb", balancer_address(BLOCK, number, n), 0,
                    listeners=(LoadBalancerListener("l", "HTTP", 80, (rule,)),),
                )  # fmt: skip
                balancers.append(balancer)
                groups.append(group)
                endpoint_groups.append(EndpointGroup(f"arn:g/{n}/{code}", code, (Endpoint(balancer.arn),)))
            listener = AcceleratorListener(f"arn:l/{n}", (PortRange(80, 80),), groups=tuple(endpoint_groups))
            addresses = static_addresses(BLOCK, n + 1)
            accelerators.append(
                Accelerator(f"arn:a/{n}", str(n), n + 1, addresses, f"{n}.test", 0, 0, 0, listeners=(listener,))
            )
        self.backends.append(steady)
        document = LoadBalancers(tuple(balancers), tuple(groups))
        self.store.put("load_balancers", orjson.dumps(codec.encode(document)))
        self.store.put("accelerators", orjson.dumps(codec.encode(Accelerators(tuple(accelerators)))))
        for region in self.regions.values():
            await region.start()
        await self.edge.start()
        async with asyncio.timeout(30):
            while set(self.edge.health_states().values()) != {"HEALTHY"}:  # noqa: ASYNC110 - start-up, no event
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.edge.close()
        for region in self.regions.values():
            await region.close()
        for server in self.backends:
            server.close()

    async def served(self, n: int) -> bool:
        """Whether a new connection to an accelerator gets a good answer."""
        address = static_addresses(BLOCK, n + 1)[0]
        client = (self.topology.place("newyork").client_address, 40_000)
        try:
            reader, writer = await asyncio.open_connection(address, self.topology.http_port)
            try:
                writer.write(proxy_protocol.format_v1(client, (address, 80)))
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return (await reader.read()).startswith(b"HTTP/1.1 200")
            finally:
                writer.transport.abort()
        except OSError:
            return False

    async def outage(self, n: int, at_s: float) -> tuple[float, float]:
        """Seconds from the target's death until it was detected, and until someone was served again."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at_s)
        assert await self.served(n)
        self.backends[n].close()
        died = loop.time()
        while not await self.served(n):  # noqa: ASYNC110 - a client knows no event
            await asyncio.sleep(EVERY_S)
        return self.detected[f"{EAST}/{n}"] - died, loop.time() - died


async def measure(outages: int, delay_ms: int, speed: float) -> list[tuple[float, float]]:
    """Detection and recovery of each outage, in lab seconds."""
    rng = random.Random(7)
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as folder:
        world = World(Path(folder), outages, delay_ms, speed)
        try:
            await world.start()
            times = [rng.uniform(0, INTERVAL_S) / speed for _ in range(outages)]
            found = await asyncio.gather(*(world.outage(n, at_s) for n, at_s in enumerate(times)))
        finally:
            await world.close()
    return [(detection * speed, recovery * speed) for detection, recovery in found]


def main() -> int:
    """Measure, print each outage, and say whether the bound was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outages", type=int, default=20)
    parser.add_argument("--delay-ms", type=int, default=30_000)
    parser.add_argument("--speed", type=float, default=1.0)
    options = parser.parse_args()
    found = asyncio.run(measure(options.outages, options.delay_ms, options.speed))
    delay_s = options.delay_ms / 1000
    print(f"{'outage':>6} {'detected s':>11} {'served again s':>15} {'beyond both s':>14}")
    for n, (detection_s, recovery_s) in enumerate(found, start=1):
        print(f"{n:>6} {detection_s:>11.2f} {recovery_s:>15.2f} {recovery_s - detection_s - delay_s:>14.3f}")
    beyond = [recovery_s - detection_s - delay_s for detection_s, recovery_s in found]
    return print_figures(
        f"{options.outages} outages, checks {INTERVAL_S} s apart, {THRESHOLD} failures, delay {delay_s:g} s",
        [
            Figure("detection, median", statistics.median(d for d, _ in found), "s"),
            Figure("detection, longest", max(d for d, _ in found), "s", THRESHOLD * INTERVAL_S + 1.0),
            Figure("served again, median", statistics.median(r for _, r in found), "s"),
            Figure("served again, longest", max(r for _, r in found), "s"),
            Figure("beyond detection and delay, longest", max(beyond), "s", 1.0),
            Figure("beyond detection and delay, shortest", min(beyond), "s", -0.05, "at least"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
