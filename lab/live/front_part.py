"""One region's front as a part of its own, for regions in containers; all fronts of one machine are in `lab.live.edge`.

`python -m lab.live.front_part TOPOLOGY_PATH REGION`. On MiniStack the front runs the region's functions itself, as the
edge does; on LocalStack they are the engine's. The region's load balancers are here, the accelerators in
`lab.live.resolver_part`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from lab.core import codec
from lab.core.lambda_errors import FunctionNotFound
from lab.core.topology import PartAddress
from lab.live.byte_relay import RelayedPorts
from lab.live.engine_relay import EngineRelay
from lab.live.front.aws_endpoint import AwsEndpoint
from lab.live.front.data_plane import DataPlane
from lab.live.front.dynamodb import DynamoDb
from lab.live.front.engine_calls import EngineCalls
from lab.live.front.engine_lambda import EngineDataPlane, EngineFunctions
from lab.live.front.front import Front
from lab.live.front.injected_fault import InjectedFaults
from lab.live.front.other_regions import OtherRegions
from lab.live.front.s3_website import Websites
from lab.live.front.wake import Waker
from lab.live.functions import CloudWatchLogs, RegionFunctions
from lab.live.http_client import HttpClient, TcpAddress
from lab.live.http_message import Request, Response, json_response
from lab.live.journal import Journal
from lab.live.load_balancer.local import LocalLoadBalancers
from lab.live.part import PartContext, run_part
from lab.live.part_address import part_address

RELAY_PORT_OFFSET = 1
"""The engine's relay listens on the port after the front's own part port."""
LOCALSTACK_LIMITS = {"dynamodb_max": 16, "others_max": 48}
"""LocalStack works off whatever it was ever asked, also for callers who have long left: on a machine that is too slow
its backlog would grow until it did nothing else."""


class FrontPart:
    """The part `front-REGION`."""

    def __init__(self, context: PartContext, region: str) -> None:
        topology, store, clock = context.topology, context.store, context.clock
        address = topology.region(region).address
        engine = topology.part_address(f"engine-{region}")
        assert engine is not None
        # Without the parts' token: what is called runs users' functions, and shows them what it was sent.
        engine_address = TcpAddress(engine.host, engine.port)
        self._region = region
        self._replicator = HttpClient(part_address(topology, "replicator"))
        self._control = HttpClient(part_address(topology, "control"), limit=256)
        limits = LOCALSTACK_LIMITS if topology.engine == "localstack" else {}
        self._engine = EngineCalls(engine_address, f"front-{region}:{topology.aws_port}", **limits)
        self._engine_logs = HttpClient(engine_address, limit=2)
        self._journal = Journal(Path(topology.state_dir) / "journal" / f"{region}.jsonl")
        self._waker = Waker(self._replicator, region)
        self._others = OtherRegions(topology, region, store)
        faults = InjectedFaults(topology, region, store, clock)
        self._own: RegionFunctions | None = None
        functions: RegionFunctions | EngineFunctions
        if topology.engine == "localstack":
            functions = EngineFunctions(region, self._engine)
            data_plane: DataPlane = EngineDataPlane(topology, region, store, functions, faults, clock)
            assert isinstance(data_plane, EngineDataPlane)
            data_plane.use(self._engine)
        else:
            functions = self._own = RegionFunctions(
                topology,
                region,
                store,
                clock,
                endpoint_url=f"http://{address}:{topology.aws_port}",
                logs=CloudWatchLogs(self._engine_logs, region),
                log=context.log,
            )
            data_plane = DataPlane(topology, region, store, functions, faults, clock)
        data_plane.websites = Websites(region, store, self._engine, faults)
        endpoint = AwsEndpoint(
            topology,
            region,
            data_plane=data_plane,
            functions=functions,
            dynamodb=DynamoDb(region, store, self._engine, self._journal, self._waker),
            engine=self._engine,
            others=self._others,
            control=self._control,
            faults=faults,
        )
        self._front = Front(topology, region, store, endpoint=endpoint, data_plane=data_plane, functions=functions)
        self._balancers = LocalLoadBalancers(topology, store, clock, {region: functions}, self._control, context.log)
        own = topology.part_address(topology.front_part(region))
        assert own is not None
        relayed = PartAddress(f"engine-{region}", own.host, own.port + RELAY_PORT_OFFSET)
        self._relay = EngineRelay(topology, relayed, engine_address)
        self._host_ports = RelayedPorts(
            topology.relayed_ports(topology.front_part(region)), topology.bind_address("127.0.0.1")
        )

    async def start(self) -> None:
        """Open all ports. Raises EnvironmentFailure."""
        await self._host_ports.start()  # first: a listener that finds its port taken is told of, and no more
        if self._own is not None:
            await self._own.start()
        await self._front.start()
        await self._balancers.start()
        await self._relay.start()
        gc.collect()
        gc.freeze()

    async def close(self) -> None:
        """Close all ports and end all environments."""
        await self._host_ports.close()
        await self._relay.close()
        await self._balancers.close()
        await self._front.close()
        if self._own is not None:
            await self._own.close()
        await self._waker.close()
        for client in (self._engine, self._engine_logs, self._others, self._control, self._replicator):
            client.close()
        self._journal.close()

    async def answer(self, request: Request) -> Response | None:
        """Answer the edge's calls of docs/architecture.md that are this region's."""
        query = dict(parse_qsl(request.query))
        match request.path.strip("/").split("/"):
            case ["status"]:
                return _json(200, self._status())
            case ["status", "load-balancers"]:
                return _json(200, {"verdicts": self._balancers.verdicts()})
            case ["status", "target-health"]:
                targets = self._balancers.target_health(query.get("arn", ""))
                if targets is None:
                    return _json(404, {"error": f"no target group {query.get('arn', '')!r}"})
                return _json(200, {"targets": targets})
            case ["journal", region, *rest] if region == self._region:
                return self._read_journal(request, query, rest)
            case ["logs", region, function] if region == self._region:
                return self._logs(function, query)
            case _:
                return None

    def _status(self) -> dict[str, Any]:
        functions = None if self._own is None else codec.encode(self._own.status())
        journal = {"last": self._journal.last}
        told = {"front": self._front.status(), "functions": functions, "journal": journal}
        return {"regions": {self._region: {**told, **self._balancers.status(self._region)}}}

    def _read_journal(self, request: Request, query: dict[str, str], rest: Sequence[str]) -> Response:
        trim = list(rest) == ["trim"] and request.method == "POST"
        text = query.get("through" if trim else "after", "0")
        if not text.isdecimal():
            return _json(404, {"error": f"{text!r} is no number"})
        if trim:
            self._journal.trim(int(text))
            return Response(204)
        return _json(200, {"entries": self._journal.read(int(text))})

    def _logs(self, function: str, query: dict[str, str]) -> Response:
        after = query.get("after", "0")
        if self._own is None or not after.isdecimal():
            return _json(404, {"error": "the functions of a LocalStack region log to its CloudWatch Logs"})
        try:
            return _json(200, {"lines": codec.encode(self._own.log_lines(function, int(after)))})
        except FunctionNotFound as error:
            return _json(404, {"error": error.message})


def _json(status: int, value: Any) -> Response:
    return json_response(status, orjson.dumps(value))


def main(arguments: Sequence[str]) -> int:
    """Run the front of one region: TOPOLOGY_PATH REGION."""
    path, region = arguments
    return run_part(f"front-{region}", lambda context: FrontPart(context, region), [path])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
