"""DynamoDB's global tables of version 2017.11.29, the one that workshops of 2018 and 2019 taught.

Off, its calls are answered as AWS does today, where none exists and none can be made. On, tables that were created in
each region, empty and alike, are made replicas; settings are not kept in step.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from lab.control.table_engines import Body, DynamoDBError, Engines, Groups, check_capacity, invalid, key_of
from lab.core.global_table_description import described_global_table, global_table_of
from lab.core.table import GlobalTable, Replica

VERSION: Literal["2017.11.29"] = "2017.11.29"
READ_UNITS = "ReplicaProvisionedReadCapacityUnits"
WRITE_UNITS = "GlobalTableProvisionedWriteCapacityUnits"
SETTINGS = ("GlobalTableName", "GlobalTableBillingMode", WRITE_UNITS, "ReplicaSettingsUpdate")


class LegacyGlobalTables:
    """The operations named after global tables."""

    def __init__(
        self,
        groups: Groups,
        engines: Engines,
        regions: tuple[str, ...],
        now_ms: Callable[[], int],
        *,
        enabled: bool,
    ) -> None:
        self._groups, self._engines, self._regions, self._now_ms = groups, engines, regions, now_ms
        self._enabled = enabled

    async def handle(self, region: str, operation: str, request: Body) -> Body:
        """Answer one call. Raises DynamoDBError, EngineRefused."""
        match operation:
            case "CreateGlobalTable":
                return await self._create(request)
            case "UpdateGlobalTable":
                return await self._update(request)
            case "DescribeGlobalTable":
                return {"GlobalTableDescription": described_global_table(self._find(request))}
            case "ListGlobalTables":
                return self._list(request)
            case "DescribeGlobalTableSettings" | "UpdateGlobalTableSettings":
                return await self._settings(operation, request)
        raise DynamoDBError("UnknownOperationException", f"the lab does not implement dynamodb:{operation}")

    def _find(self, request: Body) -> GlobalTable:
        name = request.get("GlobalTableName")
        group = global_table_of(self._groups.tables, name) if isinstance(name, str) else None
        if group is None or group.version != VERSION:
            raise DynamoDBError("GlobalTableNotFoundException", f"Global table not found: {name}")
        return group

    def _list(self, request: Body) -> Body:
        wanted, after = request.get("RegionName"), request.get("ExclusiveStartGlobalTableName", "")
        if not isinstance(after, str):
            raise invalid(f"ExclusiveStartGlobalTableName: expected a name, got {after!r}")
        groups = [
            group
            for group in sorted(self._groups.tables.global_tables, key=lambda group: group.name)
            if group.version == VERSION
            and group.name > after
            and (wanted is None or any(replica.region == wanted for replica in group.replicas))
        ]
        limit = request.get("Limit", 100)
        if type(limit) is not int or limit < 1:
            raise invalid(f"Limit: expected a whole number of at least 1, got {limit!r}")
        answer: Body = {
            "GlobalTables": [
                {
                    "GlobalTableName": group.name,
                    "ReplicationGroup": [{"RegionName": replica.region} for replica in group.replicas],
                }
                for group in groups[:limit]
            ]
        }
        if len(groups) > limit:
            answer["LastEvaluatedGlobalTableName"] = groups[limit - 1].name
        return answer

    async def _create(self, request: Body) -> Body:
        if not self._enabled:
            raise DynamoDBError(
                "ValidationException",
                "Creating global tables of version 2017.11.29 (legacy) is no longer possible: use version 2019.11.21 "
                "(current), UpdateTable with ReplicaUpdates; or set legacy_global_tables = true in lab.toml",
            )
        name, regions = request.get("GlobalTableName"), _regions(request.get("ReplicationGroup"))
        if not isinstance(name, str) or len(regions) < 1:
            raise DynamoDBError("ValidationException", "expected GlobalTableName and a ReplicationGroup of RegionNames")
        if global_table_of(self._groups.tables, name) is not None:
            raise DynamoDBError(
                "GlobalTableAlreadyExistsException", f"Global table with name: '{name}' already exists."
            )
        if len(set(regions)) < len(regions):
            raise invalid(f"ReplicationGroup: each region once, got {', '.join(regions)}")
        tables = [await self._empty_table(region, name) for region in regions]
        self._alike(name, tables)
        replicas = tuple(self._replica(region, name, table) for region, table in zip(regions, tables, strict=True))
        group = GlobalTable(name, key_of(tables[0]), replicas, VERSION)
        self._groups.record(group)
        return {"GlobalTableDescription": described_global_table(group)}

    async def _update(self, request: Body) -> Body:
        group = self._find(request)
        for action, region in _updates(request.get("ReplicaUpdates")):
            there = any(replica.region == region for replica in group.replicas)
            if action == "Create":
                if there:
                    raise DynamoDBError("ReplicaAlreadyExistsException", f"Replica already exists in region: {region}")
                tables = [await self._empty_table(r, group.name) for r in (*(x.region for x in group.replicas), region)]
                self._alike(group.name, tables)
                group = replace(group, replicas=(*group.replicas, self._replica(region, group.name, tables[-1])))
            else:
                if not there:
                    raise DynamoDBError("ReplicaNotFoundException", f"Replica not found in region: {region}")
                group = replace(group, replicas=tuple(r for r in group.replicas if r.region != region))
        self._groups.record(group)
        return {"GlobalTableDescription": described_global_table(group)}

    def _replica(self, region: str, name: str, table: Body) -> Replica:
        return Replica(region, "ACTIVE", self._now_ms(), table_created_ms=self._groups.made_ms(region, name, table))

    async def _empty_table(self, region: str, name: str) -> Body:
        if region not in self._regions:
            known = ", ".join(self._regions)
            raise DynamoDBError("ValidationException", f"{region} is not a region of this lab; it has {known}")
        table = await self._engines.describe(region, name)
        if table is None:
            raise DynamoDBError("TableNotFoundException", f"Table not found: {name} in region {region}")
        stream = table.get("StreamSpecification") or {}
        if not stream.get("StreamEnabled") or stream.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
            raise DynamoDBError(
                "ValidationException",
                f"Table in region {region} must have a stream with new and old images to be a replica: {name}",
            )
        page = await self._engines.call(region, "Scan", {"TableName": name, "Limit": 1, "Select": "COUNT"})
        if page["Count"]:
            raise DynamoDBError(
                "ValidationException", f"One or more replicas of the table are not empty: {name} in {region}"
            )
        return table

    def _alike(self, name: str, tables: list[Body]) -> None:
        if any(_shape(table) != _shape(tables[0]) for table in tables):
            raise DynamoDBError(
                "ValidationException",
                f"Tables of the global table {name} must have the same keys and indexes in every region",
            )

    async def _settings(self, operation: str, request: Body) -> Body:
        group = self._find(request)
        reads = self._read_units(group, request)
        found = []
        for replica in group.replicas:
            if operation == "UpdateGlobalTableSettings":
                await self._change_settings(group.name, replica.region, request, reads.get(replica.region))
            table = await self._engines.describe(replica.region, group.name) or {}
            units = table.get("ProvisionedThroughput", {})
            found.append(
                {
                    "RegionName": replica.region,
                    "ReplicaStatus": replica.status,
                    "ReplicaBillingModeSummary": table.get("BillingModeSummary", {"BillingMode": "PROVISIONED"}),
                    "ReplicaProvisionedReadCapacityUnits": units.get("ReadCapacityUnits", 0),
                    "ReplicaProvisionedWriteCapacityUnits": units.get("WriteCapacityUnits", 0),
                }
            )
        return {"GlobalTableName": group.name, "ReplicaSettings": found}

    def _read_units(self, group: GlobalTable, request: Body) -> dict[str, int]:
        """What `ReplicaSettingsUpdate` asks for, by region. What the lab does not imitate is refused before it acts."""
        for name in request:
            if name not in SETTINGS:
                raise invalid(f"{name} is not supported by the lab: autoscaling and settings of indexes")
        updates = request.get("ReplicaSettingsUpdate") or []
        regions = _regions(updates)
        for region, update in zip(regions, updates, strict=True):
            if all(replica.region != region for replica in group.replicas):
                raise DynamoDBError("ReplicaNotFoundException", f"Replica not found in region: {region}")
            for name in update.keys() - {"RegionName", READ_UNITS}:
                raise invalid(f"ReplicaSettingsUpdate: {name} is not supported by the lab")
        return {
            region: _units(READ_UNITS, update[READ_UNITS])
            for region, update in zip(regions, updates, strict=True)
            if READ_UNITS in update
        }

    async def _change_settings(self, name: str, region: str, request: Body, read_units: int | None) -> None:
        change: Body = {}
        mode, write_units = request.get("GlobalTableBillingMode"), request.get(WRITE_UNITS)
        if mode is not None:
            change["BillingMode"] = mode
        if write_units is not None or read_units is not None:
            now = (await self._engines.describe(region, name) or {}).get("ProvisionedThroughput", {})
            change["ProvisionedThroughput"] = {
                "ReadCapacityUnits": read_units or now.get("ReadCapacityUnits") or 1,
                "WriteCapacityUnits": _units(WRITE_UNITS, write_units)
                if write_units is not None
                else now.get("WriteCapacityUnits") or 1,
            }
        if change:
            check_capacity(change, await self._engines.describe(region, name) or {})
            await self._engines.call(region, "UpdateTable", {"TableName": name, **change})


def _updates(updates: Any) -> list[tuple[str, str]]:
    """Action and region of each of `ReplicaUpdates`; all are looked at before any is carried out."""
    expected = "ReplicaUpdates: expected a list of Create or Delete, one in each entry, with a RegionName"
    if not isinstance(updates, list) or not updates:
        raise invalid(expected)
    found = []
    for update in updates:
        if not isinstance(update, dict) or len(update) != 1:
            raise invalid(f"{expected}; got {update!r}")
        ((action, wanted),) = update.items()
        if action not in ("Create", "Delete") or not isinstance(wanted, dict):
            raise invalid(f"{expected}; got {update!r}")
        found.append((action, *_regions([wanted])))
    regions = [region for _, region in found]
    if len(set(regions)) < len(regions):
        raise invalid(f"ReplicaUpdates: expected each region once, got {', '.join(regions)}")
    return found


def _units(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise invalid(f"{name}: expected a whole number of at least 1, got {value!r}")
    return value


def _regions(group: Any) -> list[str]:
    if not isinstance(group, list | None):
        raise invalid(f"expected a list of replicas with a RegionName each, got {group!r}")
    regions = [entry.get("RegionName") if isinstance(entry, dict) else None for entry in group or []]
    if any(not isinstance(region, str) for region in regions):
        raise DynamoDBError("ValidationException", "expected replicas with a RegionName each")
    return [str(region) for region in regions]


def _shape(table: Body) -> Any:
    kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    indexes = [sorted((i["IndexName"], str(i["KeySchema"])) for i in table.get(kind, [])) for kind in kinds]
    return table["KeySchema"], [key.type for key in key_of(table)], indexes
