"""Global Accelerator's data path: two static addresses an accelerator, connections relayed to the chosen endpoints.

It follows the document `accelerators`, hears of the load balancers' health from their front, acts on changes after the
accelerator's own delay, and counts what goes where. Which endpoint is chosen is `lab.core.accelerator_selection`'s
decision, moving bytes is `accelerator_relay`'s work. It accepts the PROXY protocol from clients, for their place.
https://docs.aws.amazon.com/global-accelerator/latest/dg/introduction-how-it-works.html
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.core import proxy_protocol
from lab.core.accelerator import Accelerator, AcceleratorListener, Accelerators, EndpointGroup
from lab.core.accelerator_health import EndpointHealth
from lab.core.accelerator_path import AcceleratedPath, accelerated_path
from lab.core.accelerator_selection import Choice, Flow, select_in_order
from lab.core.client_place import ClientPlaces
from lab.core.geography import Geography
from lab.core.topology import Place, Topology
from lab.core.traffic_metrics import MetricDatum
from lab.errors import EnvironmentFailure
from lab.live.accelerator_connection import Address, Route, Tally
from lab.live.accelerator_metrics import AcceleratorMetrics
from lab.live.accelerator_relay import Relay
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore

IDLE_TIMEOUT_MS = 340_000


@dataclass(frozen=True)
class EndpointAddress:
    """Where an endpoint accepts connections, and whether it is told of the client by the PROXY protocol."""

    host: str
    port: int
    proxy_protocol: bool = True


@dataclass(frozen=True)
class EndpointSource:
    """What the accelerator asks of those who know the endpoints.

    `verdict(endpoint_id)` is whether an endpoint is healthy now, None while that is not known. `address(endpoint_id,
    port)` is where it accepts connections to a port, None if there is no such endpoint. `watch(callback)` has the
    callback called whenever any verdict may have changed.
    """

    verdict: Callable[[str], bool | None]
    address: Callable[[str, int], EndpointAddress | None]
    watch: Callable[[Callable[[], None]], None]


class AcceleratorEdge:
    """All accelerators of the lab. `start` after the endpoints' source has started."""

    def __init__(
        self,
        topology: Topology,
        store: DocumentStore,
        clock: Clock,
        geography: Geography,
        endpoints: EndpointSource,
        *,
        log: Callable[[str], None] = print,
    ) -> None:
        self._topology, self._store, self._clock, self._geography = topology, store, clock, geography
        self._endpoints, self._log = endpoints, log
        self._places = ClientPlaces(topology, geography)
        self._health: dict[str, EndpointHealth] = {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._ordered: dict[tuple[str, str], list[EndpointGroup]] = {}
        self._paths: dict[tuple[str, str], AcceleratedPath] = {}
        self._listeners: dict[Address, AcceleratorListener] = {}
        self._problems: dict[Address, str] = {}
        self._dropped = Counter[str]()
        self._metrics = AcceleratorMetrics()
        self._watchers: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._relay: Relay | None = None

    # life

    async def start(self) -> None:
        """Listen at the static addresses of all enabled accelerators."""
        self._relay = Relay(self._route, idle_timeout_s=self._clock.wait_s(IDLE_TIMEOUT_MS))
        self._store.watch(Accelerators, self._apply)
        self._endpoints.watch(self._on_verdicts)
        self._apply()

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._timer is not None:
            self._timer.cancel()
        if self._relay is not None:
            self._relay.close()
        self._relay = None

    @property
    def _accelerators(self) -> tuple[Accelerator, ...]:
        return self._store.get(Accelerators).accelerators

    def _apply(self) -> None:
        """Take the published accelerators: open and close listening sockets, forget endpoints that are gone."""
        if self._relay is None:
            return
        self._ordered.clear()
        self._listeners = {
            (address, port): listener
            for accelerator in self._accelerators
            if accelerator.enabled
            for listener in accelerator.listeners
            for port in listener.ports
            for address in accelerator.addresses
        }
        real = {(address, self._topology.listening_port(port)): port for address, port in self._listeners}
        for address, port in self._relay.listening - real.keys():
            self._relay.stop_listening(address, port)
        self._problems.clear()
        for (address, port), called in real.items():
            if (address, port) not in self._relay.listening:
                try:
                    self._relay.listen(address, port, as_port=called)
                except EnvironmentFailure as error:
                    self._problems[address, port] = str(error)
                    self._log(f"accelerator: {error}")
        known = {e.endpoint_id for a in self._accelerators for g in _groups(a) for e in g.endpoints}
        for endpoint_id in self._health.keys() - known:
            del self._health[endpoint_id]
        for endpoint_id in sorted(known - self._health.keys()):
            self._health[endpoint_id] = EndpointHealth(self._topology.accelerator_delay_ms)
        self._on_verdicts()

    # health

    def _lab_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000 * self._clock.speed)

    def _on_verdicts(self) -> None:
        """Hear what all endpoints say of themselves now."""
        if self._relay is None:
            return
        now = self._lab_ms()
        for endpoint_id, health in self._health.items():
            before = health.state
            health.on_verdict(self._endpoints.verdict(endpoint_id), now)
            if health.state != before:
                self._tell(endpoint_id)
        self._schedule()

    def _on_due(self) -> None:
        self._timer = None
        now = self._lab_ms()
        for endpoint_id, health in self._health.items():
            if health.on_wake(now):
                self._tell(endpoint_id)
        self._schedule()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back after each change of an endpoint's health as the accelerators see it."""
        self._watchers.append(callback)

    def _tell(self, endpoint_id: str) -> None:
        self._log(f"accelerator: {endpoint_id} is {self._health[endpoint_id].state.lower()}")
        for callback in self._watchers:
            callback()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [when for health in self._health.values() if (when := health.next_wake_ms()) is not None]
        if due:
            wait_s = self._clock.wait_s(max(0, min(due) - self._lab_ms()) + 1)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_due)

    def _is_healthy(self, endpoint_id: str) -> bool:
        health = self._health.get(endpoint_id)
        return health is not None and health.healthy

    def is_healthy(self, arn: str) -> bool:
        """Whether an accelerator has a healthy endpoint."""
        return any(
            self._is_healthy(endpoint.endpoint_id)
            for accelerator in self._accelerators
            if accelerator.arn == arn and accelerator.enabled
            for group in _groups(accelerator)
            for endpoint in group.endpoints
        )

    # connections

    def choose(self, listener: AcceleratorListener, flow: Flow, place: Place, *, explain: bool = True) -> Choice:
        """Where a flow from a place goes now, with reasons if they are asked for."""
        groups = self._ordered.get((listener.arn, place.name))
        if groups is None:
            groups = sorted(listener.groups, key=lambda group: self._path(place, group.region).one_way_ms)
            self._ordered[listener.arn, place.name] = groups
        return select_in_order(
            groups,
            flow,
            listener.client_affinity,
            healthy=self._is_healthy,
            seed=self._topology.seed,
            explain=explain,
        )

    def _path(self, place: Place, region: str) -> AcceleratedPath:
        path = self._paths.get((place.name, region))
        if path is None:
            path = accelerated_path(self._topology, self._geography, place, region)
            self._paths[place.name, region] = path
        return path

    def _route(self, source: Address, called: Address) -> Route | None:
        listener = self._listeners.get(called)
        if listener is None:  # taken away between accept and first bytes
            return None
        place = self._places.place_of(source[0])
        choice = self.choose(listener, Flow(source[0], source[1], called[0], called[1]), place, explain=False)
        if choice.endpoint is None or choice.group is None:
            self._dropped[listener.arn] += 1
            return None
        target = self._endpoints.address(choice.endpoint.endpoint_id, choice.port)
        if target is None:
            self._dropped[listener.arn] += 1
            return None
        preface = b""
        if target.proxy_protocol:
            # Without client IP preservation an endpoint sees an address of the accelerator's own.
            seen = source if choice.endpoint.client_ip_preservation else (called[0], source[1])
            preface = proxy_protocol.format_v2(seen, (called[0], choice.port))
        key = (choice.group.arn, choice.endpoint.endpoint_id)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        if not self._topology.accelerator_latency:
            return Route((target.host, target.port), preface, tally)
        path = self._path(place, choice.group.region)
        return Route(
            (target.host, target.port),
            preface,
            tally,
            first_delay_s=self._clock.wait_s(path.first_bytes_ms),
            delay_s=self._clock.wait_s(path.one_way_ms),
        )

    # telling

    def take_metrics(self) -> list[MetricDatum]:
        """What came since the last call, and how many endpoints are healthy now, for CloudWatch."""
        return self._metrics.take(self._accelerators, self._tally, self._dropped, self._is_healthy)

    def explain(self, source: Address, called: Address) -> dict[str, Any]:
        """Where a connection from a client's address to a static address, as clients call its port, goes now, and why.

        Raises KeyError if no listener has that address and port.
        """
        listener = self._listeners[called]
        place = self._places.place_of(source[0])
        choice = self.choose(listener, Flow(source[0], source[1], called[0], called[1]), place)
        return {"place": place.name, **self._choice(choice, place)}

    def health_states(self) -> dict[str, str]:
        """INITIAL, HEALTHY or UNHEALTHY by endpoint id."""
        return {endpoint_id: health.state for endpoint_id, health in self._health.items()}

    def status(self, place: str | None = None) -> dict[str, Any]:
        """What `lab accelerator status` shows. Raises KeyError for an unknown place."""
        where = self._topology.place(place) if place else None
        return {
            "accelerators": [self._accelerator_status(accelerator, where) for accelerator in self._accelerators],
            "delay_ms": self._topology.accelerator_delay_ms,
            "dropped": self._dropped.total(),
            "idle_timeouts": self._relay.idle_timeouts if self._relay else 0,
            "place": place,
            "problems": [text for _, text in sorted(self._problems.items())],
        }

    def _accelerator_status(self, accelerator: Accelerator, place: Place | None) -> dict[str, Any]:
        return {
            "arn": accelerator.arn,
            "name": accelerator.name,
            "enabled": accelerator.enabled,
            "addresses": list(accelerator.addresses),
            "dns_name": accelerator.dns_name,
            "listeners": [
                {
                    "arn": listener.arn,
                    "ports": [f"{r.from_port}-{r.to_port}" if r.from_port != r.to_port else str(r.from_port)
                              for r in listener.port_ranges],
                    "client_affinity": listener.client_affinity,
                    "groups": self._group_statuses(listener),
                    "next": None if place is None else self._next(accelerator, listener, place),
                }
                for listener in accelerator.listeners
            ],
        }  # fmt: skip

    def _group_statuses(self, listener: AcceleratorListener) -> list[dict[str, Any]]:
        flows = sum(self._tally(g.arn, e.endpoint_id).flows for g in listener.groups for e in g.endpoints)
        return [
            {
                "arn": group.arn,
                "region": group.region,
                "traffic_dial_percentage": group.traffic_dial_percentage,
                "endpoints": [self._endpoint_status(group, e.endpoint_id, e.weight, flows) for e in group.endpoints],
            }
            for group in listener.groups
        ]

    def _endpoint_status(self, group: EndpointGroup, endpoint_id: str, weight: int, flows: int) -> dict[str, Any]:
        tally, health = self._tally(group.arn, endpoint_id), self._health[endpoint_id]
        age_ms = (self._lab_ms() - health.since_ms) / self._clock.speed
        return {
            "id": endpoint_id,
            "weight": weight,
            "health": health.state,
            "since_ms": now_ms() - int(age_ms) if health.state != "INITIAL" else None,
            "open_connections": tally.open,
            "new_flows": tally.flows,
            "share": tally.flows / flows if flows else 0.0,
            "bytes_in": tally.bytes_in,
            "bytes_out": tally.bytes_out,
        }

    def _next(self, accelerator: Accelerator, listener: AcceleratorListener, place: Place) -> dict[str, Any]:
        flow = Flow(place.client_address, 40_000, accelerator.addresses[0], listener.port_ranges[0].from_port)
        return self._choice(self.choose(listener, flow, place), place)

    def _choice(self, choice: Choice, place: Place) -> dict[str, Any]:
        return {
            "region": choice.group.region if choice.group else None,
            "endpoint": choice.endpoint.endpoint_id if choice.endpoint else None,
            "path": choice.path,
            "reasons": list(choice.reasons),
            "edge": self._geography.nearest_region(place.coordinates),
        }

    def _tally(self, group_arn: str, endpoint_id: str) -> Tally:
        return self._tallies.get((group_arn, endpoint_id)) or Tally()


def _groups(accelerator: Accelerator) -> list[EndpointGroup]:
    return [group for listener in accelerator.listeners for group in listener.groups]
