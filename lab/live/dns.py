"""The lab's DNS server: Route 53 over UDP and TCP at the global address, following the published documents.

It binds, frames and follows changes; what is answered is decided in `lab.core.route53`, packed in `dns_message`.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import sys
from collections.abc import Callable
from typing import Any

from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.health_check import HealthChecks
from lab.core.route53.answer import Decision, shuffled
from lab.core.route53.catalog import Catalog
from lab.core.route53.name import NameSyntaxError, to_text, to_wire
from lab.core.route53.origin import Origins
from lab.core.route53.rdata import TYPE_NUMBERS
from lab.core.route53.resolver import Resolver
from lab.core.topology import Topology
from lab.core.zone import Zones
from lab.data import geography
from lab.live.dns_answerer import Answerer, client_network
from lab.live.dns_tcp import DnsTcpListener
from lab.live.dns_udp import DnsUdpListener
from lab.live.documents import DocumentStore
from lab.live.listening import bind_tcp, explain_bind_error

WAITING_AT_ONCE_MAX = 16


class DnsServer:
    """Answers from the documents `zones` and `endpoints`; `health` tells a health check's status by its id.

    `watch_health` is how to hear of every status that changes (`Probers.watch`); without it no answer that depends on a
    health check is kept ready, which is slower. `endpoint_health` judges the targets of aliases to AWS resources; call
    `refresh` when it changes its mind.
    """

    def __init__(
        self,
        topology: Topology,
        store: DocumentStore,
        health: Callable[[str], bool],
        *,
        watch_health: Callable[[Callable[[str, bool], None]], None] | None = None,
        endpoint_health: Callable[[EndpointName], bool] = lambda _: True,
    ) -> None:
        self._topology = topology
        self._store = store
        self._health, self._endpoint_health = health, endpoint_health
        self._origins = Origins(topology, geography())
        self._rng = random.Random(f"{topology.seed}/dns")
        self._answerer = Answerer(self._resolver(), self._origins, self._rng, watched=watch_health is not None)
        if watch_health is not None:
            watch_health(self._on_health)
        self._udp: DnsUdpListener | None = None
        self._tcp: DnsTcpListener | None = None
        store.watch(Zones, self.refresh)
        store.watch(EndpointNames, self.refresh)

    async def start(self) -> None:
        """Listen. Raises EnvironmentFailure if the address is in use."""
        address, port = self._topology.bind_address(self._topology.dns_address), self._topology.dns_port
        tcp = bind_tcp(address, port)
        try:
            udp = _bind_udp(address, tcp.getsockname()[1])
        except BaseException:
            tcp.close()
            raise
        self._udp = DnsUdpListener(udp, self._answerer)
        self._tcp = DnsTcpListener(tcp, self._answerer)
        self._udp.start()
        await self._tcp.start()

    async def close(self) -> None:
        """Stop listening and drop the open connections."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            await self._tcp.close()
        self._udp = self._tcp = None

    @property
    def port(self) -> int:
        """The port that it listens on (of use when the topology says 0)."""
        assert self._udp is not None
        return self._udp.port

    @property
    def tcp(self) -> DnsTcpListener:
        """The TCP side, whose limits can be set."""
        assert self._tcp is not None
        return self._tcp

    def refresh(self) -> None:
        """Take the documents as they are now."""
        self._answerer.replace_resolver(self._resolver(self._answerer.resolver.catalog))

    def answer_waiting(self) -> None:
        """Answer at once what has come over UDP: for work on the same loop that takes its time.

        A flood has to wait: that work is a probe, which measures how long its endpoint takes.
        """
        if self._udp is not None:
            self._udp.drain(WAITING_AT_ONCE_MAX)

    def _on_health(self, health_check_id: str, healthy: bool) -> None:
        self._answerer.forget_health(health_check_id)

    def _resolver(self, before: Catalog | None = None) -> Resolver:
        catalog = Catalog(self._store.get(Zones), self._store.get(EndpointNames), before)
        for complaint in catalog.skipped:
            print(f"dns: a record is left out: {complaint}", file=sys.stderr, flush=True)
        return Resolver(catalog, self._origins, self._health, self._rng, self._endpoint_health, self._is_check)

    def _is_check(self, health_check_id: str) -> bool:
        return any(check.health_check_id == health_check_id for check in self._store.get(HealthChecks).checks)

    def explain(self, query: dict[str, str]) -> dict[str, Any]:
        """`GET /resolve`: `name`, `type` (A), `client` ADDRESS[/BITS], `resolver` ADDRESS. Raises ValueError."""
        try:
            name = to_wire(query.get("name", ""))
        except NameSyntaxError as error:
            raise ValueError(f"name: {error}") from None
        if name == b"\0":
            raise ValueError("name: expected a domain name, like api.lab.test")
        rtype = query.get("type", "A").upper()
        if rtype not in TYPE_NUMBERS:
            raise ValueError(f"type: {rtype} is none of {', '.join(sorted(TYPE_NUMBERS))}")
        network = client_network(query["client"]) if query.get("client") else None
        if (
            network is None or network.prefixlen == 0
        ):  # no bits of a client hide it: the resolver counts (RFC 7871, 7.1.2)
            network = ipaddress.ip_network(query.get("resolver") or "127.0.0.1")
        decision = self._answerer.resolver.explain(name, rtype, self._origins.locate(network))
        return _explanation(decision, self._rng)


def _explanation(decision: Decision, rng: random.Random) -> dict[str, Any]:
    (outcome,) = decision.outcomes
    records = [rrset.record for rrset in outcome.answer if rrset.record is not None]
    last = records[-1] if records else None
    return {
        "rcode": outcome.rcode,
        "answers": [
            {"name": to_text(rrset.name), "type": rrset.type, "ttl": rrset.ttl, "value": value}
            for rrset in outcome.answer
            for value in shuffled(rrset, rng)
        ],
        "reason": [{"depth": reason.depth, "text": reason.text} for reason in outcome.reason],
        "record": last and {"name": last.name, "type": last.type, "set_identifier": last.set_identifier},
        "subnet_bits": decision.scope_bits,
    }


def _bind_udp(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # a burst while the loop is busy is not lost
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise explain_bind_error(error, address, port, protocol="udp") from error
    return sock
