"""The Application Load Balancers of one region: they listen, check their targets, answer and log.

It follows the documents `load_balancers`, `functions`, `zones`, `accelerators` and `faults`. A load balancer has an
address of its own; while its region is down it refuses connections, while the region hangs nothing comes back.
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/introduction.html
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.core.accelerator import Accelerators
from lab.core.alb_health import TargetHealth
from lab.core.alb_hosts import KnownHosts, known_hosts
from lab.core.alb_response import Answer, own_answer
from lab.core.faults import FaultSet, RegionCondition
from lab.core.geography import Geography
from lab.core.load_balancer import LoadBalancer, LoadBalancerListener, LoadBalancers, Target, TargetGroup
from lab.core.topology import Topology
from lab.core.traffic_metrics import BalancerMetrics, MetricDatum, group_dimension, single
from lab.core.zone import Zones
from lab.errors import EnvironmentFailure
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.load_balancer.access_log import AccessLogs, access_log_entry
from lab.live.load_balancer.answering import DEFAULT_IDLE_TIMEOUT_S, DEFAULT_KEEP_ALIVE_S, Answering
from lab.live.load_balancer.exchange import AlbRequest, Trail
from lab.live.load_balancer.health_checks import HealthChecks
from lab.live.load_balancer.listening_port import Answered, ListeningPort
from lab.live.load_balancer.targets import Invoker, Targets
from lab.live.load_balancer.travel import Travel

if TYPE_CHECKING:
    from lab.live.load_balancer.certificates import ServerContexts

Key = tuple[str, int]


@dataclass(frozen=True)
class _Site:
    """A load balancer's listener with what is needed to answer at it."""

    balancer: LoadBalancer
    listener: LoadBalancerListener
    hosts: KnownHosts


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class RegionLoadBalancers:
    """All load balancers of one region. `functions` is the region's Lambda.

    `record(kind, detail)` hears of health flips, for the history. `geography` is needed where clients' bytes are to
    take their time (`Topology.accelerator_latency`).
    """

    def __init__(
        self,
        topology: Topology,
        region: str,
        store: DocumentStore,
        clock: Clock,
        functions: Invoker,
        *,
        log: Callable[[str], None] = _to_stderr,
        record: Callable[[str, dict[str, Any]], None] | None = None,
        geography: Geography | None = None,
    ) -> None:
        self.region = region
        self._topology, self._store, self._clock, self._log, self._record = topology, store, clock, log, record
        self._travel = (
            Travel(topology, region, geography, clock) if geography and topology.accelerator_latency else None
        )
        self._rng = random.Random(f"{topology.seed}:load-balancers:{region}")
        self._targets = Targets(region, store, clock, functions)
        self._health = HealthChecks(region, store, clock, self._targets, self._target_changed)
        self._answering = Answering(self._targets, self._health, clock, self._rng)
        self._access_logs = AccessLogs(Path(topology.state_dir) / "logs" / "load-balancers" / region, log)
        self._metrics = BalancerMetrics()
        self._ports: dict[Key, ListeningPort] = {}
        self._sites: dict[Key, _Site] = {}
        self._groups: dict[str, TargetGroup] = {}
        self._balancers: dict[str, LoadBalancer] = {}
        self._problems: dict[Key, str] = {}
        self._watchers: list[Callable[[], None]] = []
        self._verdicts: dict[str, bool | None] = {}
        self._faults = FaultSet()
        self._condition: RegionCondition = "up"
        self._leaving: list[ListeningPort] = []
        self._changes = asyncio.Lock()
        self._applying: set[asyncio.Task[None]] = set()
        self._started = False

    # life

    async def start(self) -> None:
        """Listen at all published listeners. An address that is in use is a problem in `status`, not an error."""
        self._started = True
        for cls in (LoadBalancers, FaultSet, Zones, Accelerators):
            self._store.watch(cls, self._changed)
        self._read()
        self._rebind()
        await self._serve()

    async def close(self) -> None:
        """Stop everything."""
        self._started = False
        await self._health.close()
        for task in list(self._applying):
            task.cancel()
        await asyncio.gather(*self._applying, return_exceptions=True)
        self._leaving += self._ports.values()
        self._ports.clear()
        for port in self._leaving:
            port.shut()
            await port.drain()
        self._targets.close()
        self._access_logs.flush()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after each change of the verdict on a load balancer."""
        self._watchers.append(callback)

    def _changed(self) -> None:
        if not self._started:
            return
        self._read()
        self._rebind()
        task = asyncio.get_running_loop().create_task(self._serve())
        self._applying.add(task)
        task.add_done_callback(self._applying.discard)

    async def settled(self) -> None:
        """Wait until the published listeners are open."""
        while self._applying:
            await asyncio.gather(*self._applying, return_exceptions=True)

    def _read(self) -> None:
        """Take the documents; what needs no socket changes is in effect when this returns."""
        published = self._store.get(LoadBalancers)
        self._faults = self._store.get(FaultSet)
        self._condition = self._faults.region_condition(self.region)
        self._groups = {group.arn: group for group in published.target_groups}
        self._balancers = {balancer.arn: balancer for balancer in published.of_region(self.region)}
        zones, accelerators = self._store.get(Zones), self._store.get(Accelerators)
        self._sites = {
            (balancer.address, self._topology.listening_port(listener.port)): _Site(
                balancer, listener, known_hosts(balancer, zones, accelerators, self._topology.domain)
            )
            for balancer in published.of_region(self.region)
            for listener in balancer.listeners
        }
        self._health.apply()
        for key, port in self._ports.items():
            port.hang(self._condition == "hang")
            if (site := self._sites.get(key)) is not None:
                self._limit(port, site.balancer)
        self._tell()

    def _limit(self, port: ListeningPort, balancer: LoadBalancer) -> None:
        """How long its connections may rest, and how old they may get."""
        idle_s = float(balancer.attributes.get("idle_timeout.timeout_seconds", DEFAULT_IDLE_TIMEOUT_S))
        keep_alive_s = float(balancer.attributes.get("client_keep_alive.seconds", DEFAULT_KEEP_ALIVE_S))
        port.idle_s = self._clock.deadline_s(idle_s * 1000)
        port.keep_alive_s = self._clock.wait_s(keep_alive_s * 1000)

    def _rebind(self) -> None:
        """Listen where it is wanted and nowhere else, at once; `_serve` begins to accept."""
        wanted = {} if self._condition == "down" else self._sites
        for key in [key for key in self._ports if key not in wanted or self._is_other_kind(key)]:
            port = self._ports.pop(key)
            port.shut()
            self._leaving.append(port)
        self._problems = {key: text for key, text in self._problems.items() if key in wanted}
        for key, site in wanted.items():
            if key not in self._ports:
                self._bind(key, site)

    def _is_other_kind(self, key: Key) -> bool:
        return self._ports[key].secure != (self._sites[key].listener.protocol == "HTTPS")

    def _bind(self, key: Key, site: _Site) -> None:
        secure = site.listener.protocol == "HTTPS"
        port = ListeningPort(*key, site.listener.port, self._respond, secure=secure, on_refused=self._refused)
        port.hang(self._condition == "hang")
        port.travel = self._travel
        self._limit(port, site.balancer)
        try:
            if port.secure:
                port.contexts = self._tls(key, site)
            port.bind()
        except EnvironmentFailure as error:
            self._problems[key] = str(error)
            self._log(f"load balancer {site.balancer.name}: {error}")
        else:
            self._problems.pop(key, None)
            self._ports[key] = port

    async def _serve(self) -> None:
        async with self._changes:
            for port in list(self._ports.values()):
                await port.serve()
            while self._leaving:
                await self._leaving.pop().drain()

    def _tls(self, key: Key, site: _Site) -> ServerContexts:
        from lab.live.load_balancer.certificates import CertificateAuthority, ServerContexts  # 10 MB, where TLS is used

        authority = CertificateAuthority(Path(self._topology.state_dir) / "certificates")

        def allows(name: str) -> bool:
            current = self._sites.get(key)
            return current is not None and current.hosts.allows(name)

        return ServerContexts(authority, site.balancer.dns_name.lower(), allows)

    # answering

    async def _respond(self, port: ListeningPort, request: AlbRequest) -> Answered:
        site = self._sites.get((port.address, port.port))
        if site is None or self._condition == "down":
            return None
        if self._hangs():
            await asyncio.Event().wait()
        trail = Trail(site.balancer, site.listener)
        try:
            answer = await self._faulted(request) or await self._answering.answer(
                trail, request, self._groups, site.hosts
            )
        except asyncio.CancelledError:  # the client has left
            self._log_access(trail, request, None)
            raise
        except Exception as error:  # the edge: a bug must not drop the connection unseen
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{site.balancer.name}: {request.method} {request.target} failed", "exception": error}
            )
            answer = own_answer(500)
        if self._hangs():  # it may have begun to while the request was answered
            await asyncio.Event().wait()
        self._log_access(trail, request, answer)
        return answer, trail.cookies

    def _hangs(self) -> bool:
        return self._condition == "hang"

    async def _faulted(self, request: AlbRequest) -> Answer | None:
        """What a fault on this service makes of a request, if there is one."""
        fault = self._faults.on_call(self.region, "elasticloadbalancing", None)
        if fault is None or fault.service is None:
            return None
        match fault.effect:
            case "delay":
                await self._clock.sleep(fault.delay_ms)
            case "hang":
                await asyncio.Event().wait()
            case "error" if self._rng.random() < fault.probability:
                code = fault.error_code or ""
                return own_answer(int(code) if code.isdigit() and 400 <= int(code) <= 599 else 503)
            case "down":
                return own_answer(503)
        return None

    def _log_access(self, trail: Trail, request: AlbRequest, answer: Answer | None) -> None:
        entry = access_log_entry(trail, request, answer, asyncio.get_running_loop().time())
        self._access_logs.add(trail.balancer.name, entry)
        self._metrics.add(entry)
        if answer is not None and answer.status >= 500 and trail.why:
            self._log(
                f"load balancer {trail.balancer.name}: {request.method} {entry.url}: {answer.status}: {trail.why}"
            )

    def _refused(self, port: ListeningPort, request: AlbRequest, answer: Answer) -> None:
        site = self._sites.get((port.address, port.port))
        if site is not None:
            self._log_access(Trail(site.balancer, site.listener), request, answer)

    # health

    def _target_changed(self, group: TargetGroup, target: Target, health: TargetHealth) -> None:
        text = f"target {target.id} of {group.name} is {health.state}"
        self._log(f"{self.region}: {text}{f' ({health.description})' if health.description else ''}")
        if self._record is not None:
            detail = {"target_group": group.name, "target": target.id, "state": health.state, "reason": health.reason}
            self._record("target_health", detail)
        self._tell()

    def _tell(self) -> None:
        balancers = self._store.get(LoadBalancers).of_region(self.region)
        verdicts = {balancer.arn: self._health.verdict(balancer) for balancer in balancers}
        if verdicts == self._verdicts:
            return
        self._verdicts = verdicts
        for callback in self._watchers:
            callback()

    def balancer(self, arn: str) -> LoadBalancer | None:
        """The load balancer with this ARN, if it is in this region."""
        return self._balancers.get(arn)

    def verdict(self, arn: str) -> bool | None:
        """Whether a load balancer is healthy to Route 53 and Global Accelerator; None while that is not known.

        False for one that does not exist.
        """
        balancer = self.balancer(arn)
        return False if balancer is None else self._health.verdict(balancer)

    def take_metrics(self) -> list[MetricDatum]:
        """What the minute since the last call had, and how many targets are healthy now."""
        found = self._metrics.take()
        for balancer in self._balancers.values():
            for arn in balancer.target_group_arns:
                group = self._groups.get(arn)
                if group is None or not group.targets or not group.health_check_enabled:
                    continue
                healthy = sum(health.state == "healthy" for _, health in self._health.targets_of(group))
                dimensions = (group_dimension(arn), ("LoadBalancer", balancer.id))
                found.append(single("HealthyHostCount", dimensions, healthy))
                found.append(single("UnHealthyHostCount", dimensions, len(group.targets) - healthy))
        return found

    def target_health(self, group_arn: str) -> list[dict[str, Any]]:
        """The targets of a group with their states, as DescribeTargetHealth tells them. Raises KeyError."""
        group = self._groups[group_arn]
        lab_ms, speed = self._health.lab_ms(), self._clock.speed
        return [
            {
                "id": target.id,
                "port": target.port,
                "state": health.state,
                "reason": health.reason,
                "description": health.description,
                "since_ms": now_ms() - int((lab_ms - health.since_ms) / speed) if health.since_ms else None,
            }
            for target, health in self._health.targets_of(group)
        ]

    def status(self) -> dict[str, Any]:
        """The load balancers with their verdicts and open connections, for `lab status`."""
        return {
            "load_balancers": [
                {
                    "name": balancer.name,
                    "arn": balancer.arn,
                    "dns_name": balancer.dns_name,
                    "address": balancer.address,
                    "healthy": self._health.verdict(balancer),
                    "listeners": [f"{listener.protocol}:{listener.port}" for listener in balancer.listeners],
                    "open_connections": sum(
                        len(port.connections) for key, port in self._ports.items() if key[0] == balancer.address
                    ),
                }
                for balancer in self._store.get(LoadBalancers).of_region(self.region)
            ],
            "problems": sorted(self._problems.values()),
        }
