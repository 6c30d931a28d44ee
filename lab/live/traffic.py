"""Load balancers of all regions and the accelerators before them, as the edge composes them.

It joins the two: the accelerators learn from it where load balancers are and whether they are healthy, and so does
Route 53's evaluation of alias targets. https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections.abc import Callable
from typing import Any

import orjson

from lab.core.endpoint_name import EndpointName
from lab.core.topology import Topology
from lab.data import geography
from lab.live.accelerator import AcceleratorEdge, EndpointAddress, EndpointSource
from lab.live.clock import Clock, now_ms
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_server import Request, Response, json_response
from lab.live.load_balancer import RegionLoadBalancers
from lab.live.load_balancer.targets import Invoker

RECORD_TIMEOUT_S = 5.0


class Traffic:
    """All load balancers and accelerators. `functions` is each region's Lambda; `control` takes history events."""

    def __init__(
        self,
        topology: Topology,
        store: DocumentStore,
        clock: Clock,
        functions: dict[str, Invoker],
        control: HttpClient,
        log: Callable[[str], None],
    ) -> None:
        self._topology, self._store, self._control = topology, store, control
        earth = geography()
        self._regions = {
            code: RegionLoadBalancers(
                topology, code, store, clock, invoker, log=log, record=self._recorder(code), geography=earth
            )
            for code, invoker in functions.items()
        }
        self._accelerators = AcceleratorEdge(
            topology, store, clock, earth, EndpointSource(self.verdict, self._address, self.watch), log=log
        )
        self._recording: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen at all load balancers and accelerators."""
        _allow_many_connections()
        for region in self._regions.values():
            await region.start()
        await self._accelerators.start()

    async def close(self) -> None:
        """Stop all of them."""
        await self._accelerators.close()
        for region in self._regions.values():
            await region.close()
        for task in list(self._recording):
            task.cancel()
        await asyncio.gather(*self._recording, return_exceptions=True)

    # what they tell each other and Route 53

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back whenever a load balancer's verdict may have changed."""
        for region in self._regions.values():
            region.watch(callback)

    def watch_targets(self, callback: Callable[[], None]) -> None:
        """Call back whenever `is_healthy` may have changed its mind."""
        self.watch(callback)
        self._accelerators.watch(callback)

    def verdict(self, arn: str) -> bool | None:
        """Whether a load balancer is healthy; None while that is not known."""
        region = self._regions.get(_region_of(arn))
        return False if region is None else region.verdict(arn)

    def is_healthy(self, endpoint: EndpointName) -> bool:
        """What an alias record with `evaluate_target_health` learns of its target; what is not judged is healthy.

        A load balancer that is not judged yet counts as unhealthy; an accelerator is healthy while an endpoint is.
        """
        if endpoint.kind == "load-balancer":
            return self.verdict(endpoint.resource) is True
        if endpoint.kind == "accelerator":
            return self._accelerators.is_healthy(endpoint.resource)
        return True

    def _address(self, arn: str, port: int) -> EndpointAddress | None:
        region = self._regions.get(_region_of(arn))
        balancer = region.balancer(arn) if region is not None else None
        if balancer is None:
            return None
        return EndpointAddress(balancer.address, self._topology.listening_port(port))

    def _recorder(self, code: str) -> Callable[[str, dict[str, Any]], None]:
        def record(kind: str, detail: dict[str, Any]) -> None:
            text = f"{detail['target_group']}: {detail['target']} is {detail['state']}"
            event = {"time_ms": now_ms(), "kind": kind, "region": code, "detail": text}
            task = asyncio.get_running_loop().create_task(self._post(event))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

        return record

    async def _post(self, event: dict[str, Any]) -> None:
        headers = [("Content-Type", "application/json")]
        try:
            await self._control.call("POST", "/history", headers, orjson.dumps(event), timeout_s=RECORD_TIMEOUT_S)
        except CallFailed:
            return  # control is away: the history lacks an event, traffic does not care

    # what the edge's Unix socket answers

    def status(self, code: str) -> dict[str, Any]:
        """A region's load balancers, for `GET /status`."""
        return self._regions[code].status()

    def answer(self, request: Request, query: dict[str, str]) -> Response | None:
        """`GET /status/target-health?arn=`, `GET /status/accelerators[?place=]`, `GET /status/accelerators/choice`.

        None for any other request.
        """
        match request.path.strip("/").split("/"):
            case ["status", "target-health"]:
                arn = query.get("arn", "")
                region = self._regions.get(_region_of(arn))
                try:
                    targets = None if region is None else region.target_health(arn)
                except KeyError:
                    targets = None
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


def _allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may: a relayed connection is two of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return str(ipaddress.IPv4Address(host)), int(port)


def _region_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[3] if len(parts) > 5 else ""
