"""DynamoDB's operations on tables as control takes them: `GlobalTables` decides, the regions' engines hold.

Kept here are the records: which tables replicate (the document `tables`), and how each region's tables were made, so
that an engine that comes back empty gets its tables again before the replicator fills them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.control import protocol, validation
from lab.control.aws_error import AwsError
from lab.control.global_tables import GlobalTables
from lab.control.record_file import RecordFile
from lab.control.service_model import parse_json_object, service_model
from lab.control.table_engines import PREFIX, Body, creation_of
from lab.core.faults import FaultSet
from lab.core.table import Tables
from lab.core.topology import Topology
from lab.live.http_client import CallFailed, HttpClient
from lab.live.http_message import Request, Response
from lab.live.part_address import part_address

ENGINE_TIMEOUT_S = 45.0
"""LocalStack's first table starts two more processes: seconds, on a busy machine tens of them."""


@dataclass(frozen=True)
class TableDefinition:
    """How to make one region's table again: the CreateTable request, and the UpdateTimeToLive request if TTL is on."""

    creation: dict[str, Any]
    time_to_live: dict[str, Any] | None = None


@dataclass(frozen=True)
class TableRecords:
    """`regions` maps region, then table name, to its definition."""

    tables: Tables = field(default_factory=Tables)
    regions: dict[str, dict[str, TableDefinition]] = field(default_factory=dict)


class TablesPlane:
    """DynamoDB's control operations. `changed` marks the document `tables`."""

    def __init__(
        self,
        topology: Topology,
        records: RecordFile[TableRecords],
        *,
        faults: Callable[[], FaultSet],
        changed: Callable[[], None],
        now_ms: Callable[[], int],
        log: Callable[[str], None],
        legacy: bool = False,
    ) -> None:
        self._records, self._faults, self._changed, self._log = records, faults, changed, log
        codes = topology.region_codes
        self._engines = {code: HttpClient(part_address(topology, f"engine-{code}")) for code in codes}
        self._global = GlobalTables(
            self._call_for_users, codes, now_ms, tables=records.value.tables, speed=topology.speed, legacy=legacy
        )
        self._changing = asyncio.Lock()

    def document(self) -> Tables:
        """The document `tables`."""
        return self._global.tables

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def engine(self, region: str) -> HttpClient:
        """The region's engine."""
        return self._engines[region]

    async def answer(self, region: str, request: Request) -> Response:
        """Answer an AWS call on tables, in DynamoDB's shape (JSON 1.0)."""
        operation = (request.header("x-amz-target") or "").rpartition(".")[2]
        try:
            body = parse_json_object(request.body)
        except AwsError as error:
            return _response(400, {"__type": f"com.amazon.coral.service#{error.code}", "message": error.message})
        async with self._changing:
            before = self._global.tables
            status, answer = await self._global.handle(region, operation, body)
            await self._keep(before, region, body.get("TableName") or body.get("GlobalTableName"))
        if status >= 500:
            status, answer = _malformed(operation, body) or (status, answer)
        return _response(status, answer)

    def on_replica(self, table: str, region: str, *, progress_percent: int, ready: bool) -> bool:
        """The replicator tells how far a new replica has come; whether that changed the record."""
        if not self._global.on_replica(table, region, progress_percent=progress_percent, ready=ready):
            return False
        self._records.replace(TableRecords(self._global.tables, self._records.value.regions))
        self._changed()
        return True

    async def restore(self, region: str) -> int:
        """Make the region's tables again at its engine, those that are not there; how many were made."""
        made = 0
        for name, definition in self._records.value.regions.get(region, {}).items():
            status, body = await self._call(region, f"{PREFIX}.CreateTable", definition.creation)
            if status == 200:
                made += 1
                if definition.time_to_live is not None:
                    await self._call(region, f"{PREFIX}.UpdateTimeToLive", definition.time_to_live)
            elif not str(body.get("__type", "")).endswith("ResourceInUseException"):
                self._log(f"{region}: the table {name} could not be made again: {body}")
        return made

    async def _keep(self, before: Tables, region: str, name: Any) -> None:
        """Record how the tables of this name now look, in every region that the call may have touched."""
        regions = {code: dict(tables) for code, tables in self._records.value.regions.items()}
        groups = [g for tables in (before, self._global.tables) for g in tables.global_tables if g.name == name]
        touched = {region, *(replica.region for group in groups for replica in group.replicas)}
        if isinstance(name, str):
            for code in sorted(touched):
                await self._look(code, name, regions.setdefault(code, {}))
        kept = TableRecords(self._global.tables, regions)
        if kept != self._records.value:
            self._records.replace(kept)
            self._changed()

    async def _look(self, region: str, name: str, tables: dict[str, TableDefinition]) -> None:
        status, body = await self._call(region, f"{PREFIX}.DescribeTable", {"TableName": name})
        if status == 200:
            table = body["Table"]
            stream = table.get("StreamSpecification") or {"StreamEnabled": False}
            tables[name] = TableDefinition(creation_of(table, stream), await self._time_to_live(region, name))
        elif str(body.get("__type", "")).endswith("ResourceNotFoundException"):
            tables.pop(name, None)

    async def _time_to_live(self, region: str, name: str) -> dict[str, Any] | None:
        status, body = await self._call(region, f"{PREFIX}.DescribeTimeToLive", {"TableName": name})
        found = body.get("TimeToLiveDescription", {}) if status == 200 else {}
        if found.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING"):
            return None
        setting = {"Enabled": True, "AttributeName": found["AttributeName"]}
        return {"TableName": name, "TimeToLiveSpecification": setting}

    async def _call_for_users(self, region: str, target: str, body: Body) -> tuple[int, Body]:
        condition = self._faults().region_condition(region)
        if condition != "up":
            return _unavailable(f"the region {region} does not answer ({condition})")
        return await self._call(region, target, body)

    async def _call(self, region: str, target: str, body: Body) -> tuple[int, Body]:
        headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", target),
            (
                "Authorization",
                f"AWS4-HMAC-SHA256 Credential=lab/20260101/{region}/dynamodb/aws4_request, "
                "SignedHeaders=host, Signature=0",
            ),
        ]
        try:
            response = await self._engines[region].call(
                "POST", "/", headers, orjson.dumps(body), timeout_s=ENGINE_TIMEOUT_S
            )
            answer = orjson.loads(response.body)
        except CallFailed as error:
            return _unavailable(f"the engine of {region} does not answer: {error}")
        except orjson.JSONDecodeError:
            return _unavailable(f"the engine of {region} answered something else than JSON")
        return response.status, answer


def _malformed(operation: str, body: Body) -> tuple[int, Body] | None:
    """What AWS's model has against a request over which an engine has stumbled."""
    model = service_model("dynamodb")
    if operation not in model.operations:
        return None
    try:
        validation.check(model, model.moto.operation_model(operation).input_shape, body)
    except AwsError as error:
        return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{error.code}", "message": error.message}
    return None


def _unavailable(message: str) -> tuple[int, Body]:
    return 500, {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": message}


def _response(status: int, body: Body) -> Response:
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-RequestId", protocol.new_request_id())]
    return Response(status, headers, orjson.dumps(body))
