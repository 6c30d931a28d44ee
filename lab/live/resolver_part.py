"""The resolver as a part of its own, for regions in containers: DNS server, health checkers and accelerators.

`python -m lab.live.resolver_part TOPOLOGY_PATH`. On one machine they are in the edge (`lab.live.edge`).
"""

from __future__ import annotations

import gc
import sys
from urllib.parse import parse_qsl

import orjson

from lab.live.byte_relay import RelayedPorts
from lab.live.dns import DnsServer
from lab.live.http_message import Request, Response, json_response
from lab.live.load_balancer.remote import RemoteLoadBalancers
from lab.live.part import PartContext, run_part
from lab.live.probes import Probers
from lab.live.resolver_calls import answer_resolver_call
from lab.live.service_watch import ServiceWatch
from lab.live.traffic import Traffic


class ResolverPart:
    """The part `resolver`."""

    def __init__(self, context: PartContext) -> None:
        topology, store = context.topology, context.store
        self._probers = Probers(topology, store, context.clock)
        self._services = ServiceWatch(topology, context.clock)
        balancers = RemoteLoadBalancers(topology, store)
        self._traffic = Traffic(topology, store, context.clock, balancers, context.log)
        self._dns = DnsServer(
            topology,
            store,
            self._probers.is_healthy,
            watch_health=self._probers.watch,
            endpoint_health=lambda e: self._services.is_available(e) and self._traffic.is_healthy(e),
        )
        self._host_ports = RelayedPorts(
            topology.relayed_ports(topology.resolver_part), topology.bind_address("127.0.0.1")
        )

    async def start(self) -> None:
        """Open the DNS server's and the accelerators' ports and begin to probe. Raises EnvironmentFailure."""
        await self._host_ports.start()  # first: a listener that finds its port taken is told of, and no more
        await self._dns.start()
        self._services.watch(self._dns.refresh)
        await self._traffic.start()
        self._traffic.watch_targets(self._dns.refresh)
        self._probers.give_way_to(self._dns.answer_waiting)
        await self._probers.start()
        gc.collect()  # what is loaded now stays: collections need not look at it again
        gc.freeze()

    async def close(self) -> None:
        """Stop probing and answering."""
        await self._host_ports.close()
        await self._probers.close()
        await self._traffic.close()
        await self._services.close()
        await self._dns.close()

    async def answer(self, request: Request) -> Response | None:
        """Answer the edge's calls of docs/architecture.md that are the resolver's."""
        match request.path.strip("/").split("/"):
            case ["status"]:
                return json_response(200, orjson.dumps({"health_checks": len(self._probers.status())}))
            case ["status", "accelerators", *_]:
                return self._traffic.answer(request, dict(parse_qsl(request.query)))
            case _:
                return answer_resolver_call(request, self._dns, self._probers)


def main() -> int:
    """Run the resolver."""
    return run_part("resolver", ResolverPart)


if __name__ == "__main__":
    sys.exit(main())
