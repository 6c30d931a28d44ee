"""The control part, composed: records, control planes, publisher, faults, history, and the three ways in.

The ways in are the Unix socket (fronts and parts), the global AWS endpoint and the token API. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from lab.control import moto_parts
from lab.control.apigateway.apis import ApisPlane
from lab.control.apigateway.domains import DomainsPlane
from lab.control.apigateway.methods import MethodsPlane
from lab.control.apigateway.records import ApiGatewayRecords
from lab.control.apigateway.stages import StagesPlane
from lab.control.apigateway.state import ApiGatewayState
from lab.control.containers import Containers
from lab.control.dispatch import Dispatcher
from lab.control.elbv2.balancers import BalancersPlane
from lab.control.elbv2.listeners import ListenersPlane
from lab.control.elbv2.state import LoadBalancerState
from lab.control.elbv2.target_groups import TargetGroupsPlane
from lab.control.fault_request import FaultScope
from lab.control.faults import Faults
from lab.control.functions.plane import FunctionsPlane
from lab.control.global_endpoint import GLOBAL_SERVICES, GlobalEndpoint
from lab.control.globalaccelerator.accelerators import AcceleratorsPlane
from lab.control.globalaccelerator.listeners import ListenersPlane as AcceleratorListenersPlane
from lab.control.globalaccelerator.state import AcceleratorRecords, AcceleratorState
from lab.control.history_log import HistoryLog
from lab.control.identity import IdentityPlane
from lab.control.moto_services import MotoServices
from lab.control.other_parts import OtherParts
from lab.control.publisher import Publisher
from lab.control.record_file import RecordFile
from lab.control.route53.cidr_collections import CidrCollectionsPlane
from lab.control.route53.delegation_sets import DelegationSetsPlane
from lab.control.route53.dns_answer import DnsAnswerPlane, resolver_near
from lab.control.route53.geo_locations import GeoLocationsPlane
from lab.control.route53.health_checks import HealthChecksPlane
from lab.control.route53.policy_instances import PolicyInstancesPlane
from lab.control.route53.records_file import Route53File
from lab.control.route53.recovery_cluster import RecoveryClusterPlane
from lab.control.route53.recovery_config import RecoveryConfigPlane
from lab.control.route53.recovery_state import RecoveryRecords, RecoveryState
from lab.control.route53.state import Route53State
from lab.control.route53.tags import TagsPlane
from lab.control.route53.traffic_policies import TrafficPoliciesPlane
from lab.control.route53.website_endpoints import website_names
from lab.control.route53.zone_features import ZoneFeaturesPlane
from lab.control.route53.zones import ZonesPlane
from lab.control.service_model import service_model
from lab.control.status import lab_status
from lab.control.tables import TableRecords, TablesPlane
from lab.control.token_api import TokenApi, read_or_make_token
from lab.core import codec
from lab.core.endpoint_name import EndpointNames
from lab.core.faults import FaultSet
from lab.core.function import Functions
from lab.core.history import Event
from lab.core.load_balancer import LoadBalancers
from lab.core.topology import Topology
from lab.data import geography
from lab.live.clock import now_ms
from lab.live.http_client import HttpClient
from lab.live.http_message import Request, Response, json_response
from lab.live.http_server import HttpServer
from lab.live.part import PartContext
from lab.live.part_address import part_address

REQUEST_BYTES_MAX = 72 * 1024 * 1024
"""A function's package of 50 MB in base64 with what surrounds it."""


class Control:
    """The control part (`lab.live.part.Part`)."""

    def __init__(self, context: PartContext) -> None:
        topology = self._topology = context.topology
        self._log = context.log
        state_dir = Path(topology.state_dir)
        folder = state_dir / "control"
        clients = {name: HttpClient(part_address(topology, name)) for name in _asked(topology)}
        self._clients = clients
        self._others = OtherParts(topology, clients)
        self.history = HistoryLog(folder / "history.jsonl", context.log)
        self._recovery = RecoveryState(
            RecordFile(folder / "recovery.json", RecoveryRecords), self._marks("health_checks")
        )
        self._route53 = Route53State(
            Route53File(folder / "route53.json"), lambda: self._publisher, self._recovery.routing_controls
        )
        self._apis = ApiGatewayState(RecordFile(folder / "apigateway.json", ApiGatewayRecords), self._apis_changed)
        self._functions = FunctionsPlane(
            RecordFile(folder / "functions.json", Functions),
            state_dir / "functions",
            self._marks("functions"),
            lambda region, name, digest: self._endpoint.code_url(region, name, digest),
            lambda region, bucket, key: self._others.read_object(self._tables.engine(region), region, bucket, key),
        )
        self._load_balancers = LoadBalancerState(
            topology, RecordFile(folder / "elbv2.json", LoadBalancers), self._marks("load_balancers", "endpoints")
        )
        self._accelerators = AcceleratorState(
            topology,
            RecordFile(folder / "globalaccelerator.json", AcceleratorRecords),
            self._marks("accelerators", "endpoints"),
        )
        faults = RecordFile(folder / "faults.json", FaultSet)
        self._tables = TablesPlane(
            topology,
            RecordFile(folder / "tables.json", TableRecords),
            faults=lambda: faults.value,
            changed=self._marks("tables"),
            now_ms=now_ms,
            log=context.log,
            legacy=topology.legacy_global_tables,
        )
        self._faults = Faults(
            faults,
            scope=self._fault_scope,
            supervisor=clients.get("supervisor"),
            publish=self._publish_faults,
            refill=self._restore_tables,
            record=self.history.append,
        )
        self._moto = MotoServices(folder / "iam.jsonl")
        self._publisher = Publisher(lambda part: part_address(topology, part), self._sources(), topology.edge_parts)
        self._dispatcher = self._make_dispatcher()
        self._endpoint = GlobalEndpoint(topology, self._dispatcher, self._functions.package)
        self._containers = Containers(topology, self._functions, self._apis.document, self._restore_tables, context.log)
        self._servers: list[HttpServer] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    # Part

    async def start(self) -> None:
        """Open the two TCP ports and begin to publish."""
        token = read_or_make_token(Path(self._topology.state_dir) / "token")
        api = TokenApi(
            self._topology,
            token,
            faults=self._faults,
            history=self.history,
            resolver=self._clients[self._topology.resolver_part],
            fronts={code: self._clients[self._topology.front_part(code)] for code in self._topology.region_codes},
            replicator=self._clients["replicator"],
            status=self._lab_status,
            behind=self._publisher.behind,
        )
        self._functions.sweep()
        address = self._topology.bind_address(self._topology.global_address)
        for handler, port in (
            (self._endpoint.answer, self._topology.aws_port),
            (api.answer, self._topology.control_port),
        ):
            server = HttpServer(handler, max_body_bytes=REQUEST_BYTES_MAX)
            self._servers.append(server)
            await server.listen_tcp(address, port)
        self._publisher.start()
        self._containers.start()
        self._keep(asyncio.to_thread(self._prepare))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.close()
        await self._containers.close()
        await self._publisher.close()
        self._tables.close()
        self._moto.close()
        for client in self._clients.values():
            client.close()
        self.history.close()

    async def answer(self, request: Request) -> Response | None:
        """The calls on control's Unix socket."""
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["aws", service]:
                return await self._answer_front(service, request)
            case "POST", ["parts", name, "hello"]:
                return await self._hello(name)
            case "POST", ["history"]:
                return self._take_event(request)
            case "POST", ["replicas", table, region]:
                return await self._take_replica(unquote(table), region, request)
            case "GET", ["status"]:
                return json_response(200, orjson.dumps(self._status()))
        return None

    async def _answer_front(self, service: str, request: Request) -> Response:
        region = request.header("x-lab-region")
        target, method = request.header("x-lab-target"), request.header("x-lab-method")
        known = region in self._topology.region_codes or service in GLOBAL_SERVICES
        if region is None or not known or target is None or method is None:
            return _error(400, "expected x-lab-region with a region of the lab, x-lab-target and x-lab-method")
        headers = [(name, value) for name, value in request.headers if not name.lower().startswith("x-lab-")]
        original = Request(method, target, headers, request.body, request.peer, request.local)
        return await self._dispatcher.answer(service, region, original)

    async def _hello(self, name: str) -> Response:
        region = name.removeprefix("engine-")
        if region in self._topology.region_codes and name != region:
            await self._restore_tables(region)
            return Response(204)
        self.history.append(Event(now_ms(), "part_started", detail=name))
        await self._publisher.hello(name)
        return Response(204)

    def _take_event(self, request: Request) -> Response:
        try:
            value = orjson.loads(request.body)
            if isinstance(value, dict):
                value.setdefault("time_ms", now_ms())
            self.history.append(codec.decode(Event, value))
        except ValueError as error:
            return _error(400, f"expected an event (lab.core.history.Event): {error}")
        return Response(204)

    async def _take_replica(self, table: str, region: str, request: Request) -> Response:
        try:
            value = orjson.loads(request.body)
            progress, ready = int(value["progress_percent"]), bool(value["ready"])
        except (ValueError, KeyError, TypeError) as error:
            return _error(400, f"expected progress_percent and ready: {error!r}")
        if self._tables.on_replica(table, region, progress_percent=progress, ready=ready):
            await self._publisher.settle()
        return Response(204)

    # composition

    def _route53_planes(self) -> tuple[object, ...]:
        resolver = self._topology.resolver_part

        def in_sync(version: int) -> bool:
            return self._publisher.holds(resolver, "zones", version)

        return (
            ZonesPlane(self._route53, in_sync),
            ZoneFeaturesPlane(self._route53),
            HealthChecksPlane(self._route53, self._topology.region_codes, self._others.health_check_status),
            TrafficPoliciesPlane(self._route53),
            PolicyInstancesPlane(self._route53, self._endpoint_names, self._publisher.settle, in_sync),
            CidrCollectionsPlane(self._route53),
            DelegationSetsPlane(self._route53),
            DnsAnswerPlane(
                self._route53,
                self._others.resolve,
                resolver_near("us-east-1", self._topology, geography()),
            ),
            GeoLocationsPlane(),
            TagsPlane(self._route53),
        )

    def _following(self, routing_control: str) -> list[str]:
        checks = self._route53.value.health_checks
        return [check.health_check_id for check in checks if check.routing_control_arn == routing_control]

    def _endpoint_names(self) -> EndpointNames:
        return EndpointNames(
            (
                *self._apis.endpoint_names(self._topology),
                *self._load_balancers.endpoint_names(),
                *self._accelerators.endpoint_names(),
                *website_names(self._topology),
            )
        )

    def _sources(self) -> dict[str, Callable[[], Any]]:
        return {
            "zones": self._route53.zones_document,
            "endpoints": self._endpoint_names,
            "health_checks": self._route53.checks_document,
            "functions": self._functions.document,
            "apis": self._apis.document,
            "tables": self._tables.document,
            "faults": lambda: self._faults.document(),
            "load_balancers": self._load_balancers.document,
            "accelerators": self._accelerators.document,
        }

    def _make_dispatcher(self) -> Dispatcher:
        apis = self._apis
        global_url = f"http://{self._topology.global_address}:{self._topology.aws_port}"
        return Dispatcher(
            planes={
                "route53": self._route53_planes(),
                "route53-recovery-control-config": (RecoveryConfigPlane(self._recovery, global_url, self._following),),
                "route53-recovery-cluster": (RecoveryClusterPlane(self._recovery),),
                "lambda": (self._functions,),
                "apigateway": (ApisPlane(apis), MethodsPlane(apis), StagesPlane(apis), DomainsPlane(apis)),
                "sts": (IdentityPlane(),),
                "elasticloadbalancing": (
                    BalancersPlane(self._load_balancers),
                    ListenersPlane(self._load_balancers),
                    TargetGroupsPlane(self._load_balancers, self._functions.find, self._others.target_health),
                ),
                "globalaccelerator": (
                    AcceleratorsPlane(self._accelerators),
                    AcceleratorListenersPlane(
                        self._accelerators, self._load_balancers.document, self._others.endpoint_health
                    ),
                ),
            },
            raw={"dynamodb": self._tables.answer, "iam": self._moto.of("iam"), "sts": self._moto.of("sts")},
            settle=self._settle,
        )

    async def _settle(self) -> None:
        await self._publisher.settle()
        await self._containers.settle()

    def _marks(self, *documents: str) -> Callable[[], None]:
        return lambda: self._publisher.mark(documents)

    def _apis_changed(self) -> None:
        self._publisher.mark(("apis", "endpoints"))

    async def _publish_faults(self) -> None:
        self._publisher.mark(("faults",))
        await self._publisher.settle()

    def _fault_scope(self) -> FaultScope:
        return FaultScope(
            self._topology.region_codes,
            tuple(place.name for place in self._topology.places),
            [check.health_check_id for check in self._route53.value.health_checks],
        )

    async def _restore_tables(self, region: str) -> None:
        made = await self._tables.restore(region)
        if made:
            self.history.append(Event(now_ms(), "engine_restarted", region, detail=f"{made} tables were made again"))

    def _prepare(self) -> None:
        """Load what would make the first calls slow: moto's protocol code and AWS's models."""
        moto_parts.prepare()

        for service in ("lambda", "apigateway", "route53"):
            service_model(service)

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what others know

    async def _lab_status(self) -> dict[str, Any]:
        return await lab_status(self._topology, self._clients, self._faults.document(), self._status())

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "publishing": self._publisher.status(),
            "engines": self._containers.status(),
            "zones": len(self._route53.value.zones),
            "health_checks": len(self._route53.value.health_checks),
            "functions": len(self._functions.document().functions),
            "apis": len(self._apis.document().apis),
            "global_tables": len(self._tables.document().global_tables),
        }


def _asked(topology: Topology) -> tuple[str, ...]:
    """The parts that control calls; containers have no supervisor."""
    return (*topology.edge_parts, "replicator", *(() if topology.parts else ("supervisor",)))


def _error(status: int, message: str) -> Response:
    return json_response(status, orjson.dumps({"error": message}))
