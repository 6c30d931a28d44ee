"""Load balancers of all regions and the accelerators before them, joined.

The accelerators learn here where load balancers are and whether they are healthy, and so does Route 53's evaluation
of alias targets. https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import orjson

from lab.core.endpoint_name import EndpointName
from lab.core.topology import Topology
from lab.core.traffic_metrics import ACCELERATOR_NAMESPACE, ACCELERATOR_REGION
from lab.data import geography
from lab.live.accelerator import AcceleratorEdge, EndpointSource
from lab.live.clock import Clock
from lab.live.documents import DocumentStore
from lab.live.http_message import Request, Response, json_response
from lab.live.load_balancer.local import LocalLoadBalancers
from lab.live.load_balancer.remote import RemoteLoadBalancers
from lab.live.traffic_metrics import Minute, TrafficMetrics


class Traffic:
    """All load balancers and accelerators; the accelerators are this process's, the load balancers may be others'."""

    def __init__(
        self,
        topology: Topology,
        store: DocumentStore,
        clock: Clock,
        balancers: LocalLoadBalancers | RemoteLoadBalancers,
        log: Callable[[str], None],
    ) -> None:
        self._balancers = balancers
        source = EndpointSource(balancers.verdict, balancers.address, balancers.watch)
        self._accelerators = AcceleratorEdge(topology, store, clock, geography(), source, log=log)
        self._metrics = TrafficMetrics(topology, store, clock, self._minute)

    async def start(self) -> None:
        """Listen at all load balancers and accelerators."""
        await self._balancers.start()
        await self._accelerators.start()
        self._metrics.start()

    async def close(self) -> None:
        """Stop all of them."""
        await self._metrics.close()
        await self._accelerators.close()
        await self._balancers.close()

    def watch_targets(self, callback: Callable[[], None]) -> None:
        """Call back whenever `is_healthy` may have changed its mind."""
        self._balancers.watch(callback)
        self._accelerators.watch(callback)

    def is_healthy(self, endpoint: EndpointName) -> bool:
        """What an alias record with `evaluate_target_health` learns of its target; what is not judged is healthy.

        A load balancer that is not judged yet counts as unhealthy; an accelerator is healthy while an endpoint is.
        """
        if endpoint.kind == "load-balancer":
            return self._balancers.verdict(endpoint.resource) is True
        if endpoint.kind == "accelerator":
            return self._accelerators.is_healthy(endpoint.resource)
        return True

    def _minute(self) -> Minute:
        return [(ACCELERATOR_REGION, ACCELERATOR_NAMESPACE, self._accelerators.take_metrics())]

    # what the edge's Unix socket answers

    def status(self, code: str) -> dict[str, Any]:
        """A region's load balancers, for `GET /status`."""
        return self._balancers.status(code)

    def answer(self, request: Request, query: dict[str, str]) -> Response | None:
        """`GET /status/target-health?arn=`, `GET /status/accelerators[?place=]`, `GET /status/accelerators/choice`.

        None for any other request.
        """
        match request.path.strip("/").split("/"):
            case ["status", "target-health"]:
                arn = query.get("arn", "")
                targets = self._balancers.target_health(arn)
                if targets is None:
                    return json_response(404, orjson.dumps({"error": f"no target group {arn!r}"}))
                return json_response(200, orjson.dumps({"targets": targets}))
            case ["status", "accelerators"]:
                try:
                    return json_response(200, orjson.dumps(self._accelerators.status(query.get("place"))))
                except KeyError as error:
                    return json_response(404, orjson.dumps({"error": f"no place {error.args[0]!r}"}))
            case ["status", "accelerators", "choice"]:
                return self._choice(query)
            case _:
                return None

    def _choice(self, query: dict[str, str]) -> Response:
        """Of `client=ADDRESS:PORT&called=ADDRESS:PORT`, the ports as clients call them."""
        try:
            source, called = (_address(query.get(name, "")) for name in ("client", "called"))
        except ValueError:
            return json_response(400, orjson.dumps({"error": "expected client=ADDRESS:PORT&called=ADDRESS:PORT"}))
        try:
            return json_response(200, orjson.dumps(self._accelerators.explain(source, called)))
        except KeyError:
            return json_response(404, orjson.dumps({"error": f"no accelerator listens at {called[0]}:{called[1]}"}))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return str(ipaddress.IPv4Address(host)), int(port)
