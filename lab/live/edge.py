"""The edge: fronts and functions of all regions, resolver and health checkers in one process.

`python -m lab.live.edge TOPOLOGY_PATH`. This file composes and answers the calls on the edge's Unix socket; everything
else is the parts' own.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from lab.core import codec
from lab.core.endpoint_name import EndpointName
from lab.core.lambda_errors import FunctionNotFound
from lab.live.dns import DnsServer
from lab.live.front.aws_endpoint import AwsEndpoint
from lab.live.front.data_plane import DataPlane
from lab.live.front.dynamodb import DynamoDb
from lab.live.front.engine_calls import EngineCalls
from lab.live.front.front import Front
from lab.live.front.injected_fault import InjectedFaults
from lab.live.front.other_regions import OtherRegions
from lab.live.front.s3_website import Websites
from lab.live.front.wake import Waker
from lab.live.functions import CloudWatchLogs, RegionFunctions
from lab.live.http_client import HttpClient, UnixAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.journal import Journal
from lab.live.load_balancer.local import LocalLoadBalancers
from lab.live.load_balancer.targets import Invoker
from lab.live.part import PartContext, run_part
from lab.live.probes import Probers
from lab.live.resolver_calls import answer_resolver_call
from lab.live.service_watch import ServiceWatch
from lab.live.traffic import Traffic

GC_THRESHOLD = (10_000, 20, 20)
"""Requests leave next to no cycles behind: looking for them at Python's default pace costs more than it frees."""


@dataclass
class _Region:
    """What the edge runs for one region."""

    front: Front
    functions: RegionFunctions
    data_plane: DataPlane
    engine: EngineCalls
    engine_logs: HttpClient
    others: OtherRegions
    journal: Journal
    waker: Waker


class Edge:
    """The part `edge`."""

    def __init__(self, context: PartContext) -> None:
        self._context = context
        topology, store = context.topology, context.store
        self._replicator = HttpClient(UnixAddress(topology.socket_path("replicator")))
        self._control = HttpClient(UnixAddress(topology.socket_path("control")), limit=256)
        self._probers = Probers(topology, store, context.clock)
        self._regions = {code: self._compose(code) for code in topology.region_codes}
        functions: dict[str, Invoker] = {code: region.functions for code, region in self._regions.items()}
        self._services = ServiceWatch(topology, context.clock)
        balancers = LocalLoadBalancers(topology, store, context.clock, functions, self._control, context.log)
        self._traffic = Traffic(topology, store, context.clock, balancers, context.log)
        self._dns = DnsServer(
            topology,
            store,
            self._probers.is_healthy,
            watch_health=self._probers.watch,
            endpoint_health=self._is_target_healthy,
        )

    def _is_target_healthy(self, endpoint: EndpointName) -> bool:
        return self._traffic.is_healthy(endpoint) and self._services.is_available(endpoint)

    def _compose(self, code: str) -> _Region:
        topology, store, clock = self._context.topology, self._context.store, self._context.clock
        address = topology.region(code).address
        engine_socket = topology.socket_path(f"engine-{code}")
        engine = EngineCalls(UnixAddress(engine_socket), f"{address}:{topology.aws_port}")
        engine_logs = HttpClient(UnixAddress(engine_socket), limit=2)
        functions = RegionFunctions(
            topology,
            code,
            store,
            clock,
            endpoint_url=f"http://{address}:{topology.aws_port}",
            logs=CloudWatchLogs(engine_logs, code),
            log=self._context.log,
        )
        faults = InjectedFaults(topology, code, store, clock)
        data_plane = DataPlane(topology, code, store, functions, faults, clock)
        data_plane.websites = Websites(code, store, engine, faults)
        journal = Journal(Path(topology.state_dir) / "journal" / f"{code}.jsonl")
        waker = Waker(self._replicator, code)
        others = OtherRegions(topology, code, store)
        endpoint = AwsEndpoint(
            topology,
            code,
            data_plane=data_plane,
            functions=functions,
            dynamodb=DynamoDb(code, store, engine, journal, waker),
            engine=engine,
            others=others,
            control=self._control,
            faults=faults,
        )
        front = Front(topology, code, store, endpoint=endpoint, data_plane=data_plane, functions=functions)
        return _Region(front, functions, data_plane, engine, engine_logs, others, journal, waker)

    async def start(self) -> None:
        """Open all ports. Raises EnvironmentFailure."""
        await self._dns.start()
        await asyncio.gather(*(region.functions.start() for region in self._regions.values()))
        for region in self._regions.values():
            await region.front.start()
        await self._traffic.start()
        self._traffic.watch_targets(self._dns.refresh)
        self._services.watch(self._dns.refresh)
        self._probers.give_way_to(self._dns.answer_waiting)
        await self._probers.start()
        # What is loaded now stays: later collections need not look at it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)

    async def close(self) -> None:
        """Close all ports and end all environments."""
        await self._probers.close()
        await self._services.close()
        await self._traffic.close()
        await asyncio.gather(*(region.front.close() for region in self._regions.values()))
        await asyncio.gather(*(region.functions.close() for region in self._regions.values()))
        for region in self._regions.values():
            await region.waker.close()
            region.engine.close()
            region.engine_logs.close()
            region.others.close()
            region.journal.close()
        await self._dns.close()
        self._control.close()
        self._replicator.close()

    async def answer(self, request: Request) -> Response | None:
        """Answer the calls of docs/architecture.md."""
        match request.path.strip("/").split("/"):
            case ["status"]:
                return _json(200, self._status())
            case ["journal", region]:
                return self._journal(region, request, trim=False)
            case ["journal", region, "trim"] if request.method == "POST":
                return self._journal(region, request, trim=True)
            case ["logs", region, function]:
                return self._logs(region, function, request)
            case _:
                found = answer_resolver_call(request, self._dns, self._probers)
                return found or self._traffic.answer(request, _query(request))

    def _status(self) -> dict[str, Any]:
        return {
            "regions": {
                code: {
                    "front": region.front.status(),
                    "functions": codec.encode(region.functions.status()),
                    "journal": {"last": region.journal.last},
                    **self._traffic.status(code),
                }
                for code, region in self._regions.items()
            }
        }

    def _journal(self, code: str, request: Request, *, trim: bool) -> Response:
        region = self._regions.get(code)
        text = _query(request).get("through" if trim else "after", "0")
        if region is None or not text.isdecimal():
            return _json(404, {"error": f"no region {code}" if region is None else f"{text!r} is no number"})
        if trim:
            region.journal.trim(int(text))
            return Response(204)
        return _json(200, {"entries": region.journal.read(int(text))})

    def _logs(self, code: str, function: str, request: Request) -> Response:
        region = self._regions.get(code)
        after = _query(request).get("after", "0")
        if region is None or not after.isdecimal():
            return _json(404, {"error": f"no region {code}" if region is None else f"{after!r} is no number"})
        try:
            lines = region.functions.log_lines(function, int(after))
        except FunctionNotFound as error:
            return _json(404, {"error": error.message})
        return _json(200, {"lines": codec.encode(lines)})


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query))


def _json(status: int, value: Any) -> Response:
    return json_response(status, orjson.dumps(value))


def main() -> int:
    """Run the edge."""
    return run_part("edge", Edge)


if __name__ == "__main__":
    sys.exit(main())
