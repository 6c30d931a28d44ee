"""The health checkers of the lab: runs the probes that `lab.core.health` asks for, and tells what came of them.

One timer for all checks; nothing is polled. A target is found in the table of the lab's own names, never through the
record that its check decides, or else through the lab's zones.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import lru_cache, partial
from typing import Any, assert_never

from lab.core.endpoint_name import EndpointNames
from lab.core.faults import FaultSet
from lab.core.health import CheckState, HealthEffect, HealthMachine, ReadMetric, StartProbe, StatusChanged
from lab.core.health_check import HealthCheck, HealthChecks
from lab.core.health_probe import CONNECT_LIMIT_MS, TCP_CONNECT_LIMIT_MS, TIMED_OUT, ProbeResult, port_of
from lab.core.topology import Topology
from lab.core.zone import Zones
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.probe_alarms import AlarmReader
from lab.live.probe_cloudwatch import CloudWatchCalls
from lab.live.probe_connection import Probe
from lab.live.probe_metrics import MetricPublisher
from lab.live.probe_target import ProbeTargets

Watcher = Callable[[str, bool], None]
HTTP_PORT = 80
"""Port 80 of a name means the data plane's port everywhere in the lab."""


class Probers:
    """Keeps the status of every health check of the document `health_checks`."""

    def __init__(self, topology: Topology, store: DocumentStore, clock: Clock) -> None:
        self._topology = topology
        self._store = store
        self._clock = clock
        self._machine = HealthMachine(random.Random(f"{topology.seed}/probers"), speed=clock.speed)
        self._targets = ProbeTargets(topology, store, self.is_healthy)
        self._cloudwatch = CloudWatchCalls(topology, store)
        self._alarms = AlarmReader(self._cloudwatch)
        self._metrics = MetricPublisher(self._cloudwatch, clock, lambda: self._machine.states)
        self._watchers: list[Watcher] = []
        self._give_way: Callable[[], None] = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: deque[StartProbe] = deque()
        self._under_way: dict[int, Probe | asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms: float | None = None
        self._running = False
        self._started_ms, self._started_s = now_ms(), time.monotonic()
        store.watch(HealthChecks, self._configure)
        store.watch(FaultSet, self._take_faults)
        store.watch(Zones, self._targets.forget)
        store.watch(EndpointNames, self._targets.forget)

    async def start(self) -> None:
        """Begin to probe."""
        self._running = True
        self._configure()
        self._take_faults()
        self._spawn(self._metrics.run())

    async def close(self) -> None:
        """Stop, dropping the probes that are under way."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        for probe in self._under_way.values():
            probe.cancel()
        self._under_way.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._cloudwatch.close()

    def is_healthy(self, health_check_id: str) -> bool:
        """A health check's status as DNS sees it; one that is not known counts as healthy."""
        return self._machine.is_healthy(health_check_id)

    def watch(self, callback: Watcher) -> None:
        """Call back with a health check's id and status whenever the status changes."""
        self._watchers.append(callback)

    def give_way_to(self, callback: Callable[[], None]) -> None:
        """Call this between the steps of probes: it serves what should not wait for them, and returns."""
        self._give_way = callback

    def status(self) -> dict[str, Any]:
        """The answer of `GET /status/health-checks`."""
        return {health_check_id: _status(state) for health_check_id, state in self._machine.states.items()}

    # events into the machine

    def _now_ms(self) -> int:
        """Wall time that never jumps: the wall clock at the start and monotonic time since."""
        return self._started_ms + int((time.monotonic() - self._started_s) * 1000)

    def _configure(self) -> None:
        if self._running:
            self._perform(self._machine.on_configured(self._store.get(HealthChecks), self._now_ms()))

    def _take_faults(self) -> None:
        if self._running:
            self._perform(self._machine.on_faults(self._store.get(FaultSet), self._now_ms()))

    def _wake(self) -> None:
        self._timer = self._timer_ms = None
        self._perform(self._machine.on_wake(self._now_ms()))

    def _perform(self, effects: list[HealthEffect]) -> None:
        for effect in effects:
            match effect:
                case StartProbe():
                    if not self._due:
                        asyncio.get_running_loop().call_soon(self._start_due)
                    self._due.append(effect)
                case ReadMetric():
                    self._spawn(self._read_metric(effect))
                case StatusChanged():
                    for watcher in self._watchers:
                        watcher(effect.health_check_id, effect.healthy)
                case _:
                    assert_never(effect)
        self._arm()

    def _arm(self) -> None:
        """Set the one timer to the machine's next wish."""
        due_ms = self._machine.next_wake_ms() if self._running else None
        if due_ms == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_ms = due_ms
        if due_ms is not None:
            delay_s = max(0.0, (due_ms - self._now_ms()) / 1000)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # probes

    def _start_due(self) -> None:
        """One of them a turn of the loop, so that probes that are due together hold up no query."""
        if not self._due:
            return  # closed meanwhile
        effect = self._due.popleft()
        if self._due:
            asyncio.get_running_loop().call_soon(self._start_due)
        self._give_way()
        try:
            self._start(effect)
        except Exception as error:  # a bug must neither end a checker's rounds nor be taken for an endpoint's failure
            print(f"probes: {effect.check.health_check_id}: {error!r}", file=sys.stderr, flush=True)
            self._take(effect, ProbeResult(False, f"Failure: The health checker failed: {error!r}."))

    def _start(self, effect: StartProbe) -> None:
        check, checker = effect.check, effect.checker
        address = self._targets.address(check, checker)
        if address is None:
            self._take(effect, ProbeResult(False, "Failure: DNS resolution failed: the domain name has no A record."))
        elif self._is_cut(checker.region, address):
            # A cut link swallows packets; nothing refuses.
            limit_s = self._clock.deadline_s(TCP_CONNECT_LIMIT_MS if check.type == "TCP" else CONNECT_LIMIT_MS)
            self._under_way[effect.ticket] = asyncio.get_running_loop().call_later(
                limit_s, self._take, effect, ProbeResult(False, TIMED_OUT)
            )
        else:
            port, done = self._port(check, address), partial(self._take, effect)
            probe = Probe(check, address, port, self._clock, done, self._give_way)
            self._under_way[effect.ticket] = probe
            probe.start()

    def _port(self, check: HealthCheck, address: str) -> int:
        port = port_of(check)
        if port == HTTP_PORT and _is_loopback(address):
            return self._topology.http_port
        if address.startswith(f"{self._topology.block}."):
            return self._topology.listening_port(port)
        return port

    def _take(self, effect: StartProbe, result: ProbeResult) -> None:
        self._under_way.pop(effect.ticket, None)
        self._perform(self._machine.on_result(effect.ticket, effect.check.health_check_id, result, self._now_ms()))

    async def _read_metric(self, effect: ReadMetric) -> None:
        status = await self._alarms.status(effect.check)
        self._perform(self._machine.on_metric(effect.ticket, effect.check.health_check_id, status, self._now_ms()))

    def _is_cut(self, checker: str, address: str) -> bool:
        """Whether a link is cut one way or the other: a connection needs both."""
        cuts = [fault for fault in self._store.get(FaultSet).faults if fault.effect == "cut"]
        region = self._topology.region_at(address) if cuts else None
        return any({fault.region, fault.target} == {checker, region} for fault in cuts)


@lru_cache(1_024)
def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _status(state: CheckState) -> dict[str, Any]:
    return {
        "status": _word(state.healthy),
        "since_ms": state.since_ms,
        "checkers": [
            {
                "region": opinion.checker.region,
                "address": opinion.checker.address,
                "status": _word(opinion.healthy),
                "reason": opinion.last.reason if opinion.last is not None else None,
                "checked_ms": opinion.checked_ms,
                "latency_ms": opinion.last.timings.first_byte_ms if opinion.last is not None else None,
                "connect_ms": opinion.last.timings.connect_ms if opinion.last is not None else None,
                "handshake_ms": opinion.last.timings.handshake_ms if opinion.last is not None else None,
                "failure_reason": opinion.failed.reason if opinion.failed is not None else None,
                "failed_ms": opinion.failed_ms,
            }
            for opinion in state.opinions
        ],
    }


def _word(healthy: bool) -> str:
    return "healthy" if healthy else "unhealthy"
