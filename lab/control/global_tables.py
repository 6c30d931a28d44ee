"""DynamoDB's operations on tables, as global tables need them: version 2019.11.21.

Creates, changes and deletes tables at the regions' engines and keeps the record of which are replicas of one another.
Data is the replicator's business; it tells by `on_replica` how far a new replica has come. Engines never see
`ReplicaUpdates`, nor anything of version 2017.11.29 (`lab.control.legacy_global_tables`).
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html

Not imitated: strong consistency between regions, several accounts, autoscaling (a provisioned table may have replicas).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lab.control.legacy_global_tables import LegacyGlobalTables
from lab.control.table_engines import (
    Body,
    DynamoDBError,
    EngineCall,
    EngineRefused,
    Engines,
    Groups,
    billing_mode_of,
    check_capacity,
    creation_of,
    invalid,
    key_of,
)
from lab.core.global_table_description import described_table, global_table_of
from lab.core.table import GlobalTable, Replica, Tables

SOURCE_KEPT_MS = 24 * 60 * 60 * 1000
SYNCHRONIZED = (
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexUpdates",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "SSESpecification",
    "TableClass",
    "WarmThroughput",
)
"""Settings of UpdateTable that AWS keeps in step; the others concern the region that is asked."""

IN_ORDER = ("Update", "Create", "Delete")
"""In which order the actions of one call are carried out: as long as there are replicas, then what takes some away."""
TABLE_CLASSES = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")


class GlobalTables:
    """The control plane of tables. `tables` is what stands; who calls `handle` keeps and publishes it afterwards.

    `regions` are the lab's. `speed` divides the 24 hours for which a source is kept. `legacy` turns on version
    2017.11.29.
    """

    def __init__(
        self,
        call: EngineCall,
        regions: Sequence[str],
        now_ms: Callable[[], int],
        *,
        tables: Tables | None = None,
        speed: float = 1.0,
        legacy: bool = False,
    ) -> None:
        self._engines = Engines(call)
        self._regions, self._now_ms, self._speed = tuple(regions), now_ms, speed
        self._groups = Groups(tables or Tables())
        self._changing = asyncio.Lock()
        self._legacy = LegacyGlobalTables(self._groups, self._engines, self._regions, now_ms, enabled=legacy)
        self._unfinished: set[tuple[str, str]] = set()
        """Region and name of replicas' tables that were begun, and whose engine did not say how that went."""

    @property
    def tables(self) -> Tables:
        """The document `tables` as it stands."""
        return self._groups.tables

    async def handle(self, region: str, operation: str, request: Body) -> tuple[int, Body]:
        """Answer an operation on tables that a region was asked: status and body, errors by AWS's names."""
        try:
            async with self._changing:
                match operation:
                    case "CreateTable":
                        return 200, await self._create(region, request)
                    case "UpdateTable":
                        return 200, await self._update(region, request)
                    case "DeleteTable":
                        return 200, await self._delete(region, request)
                    case "UpdateTimeToLive":
                        return 200, await self._update_time_to_live(region, request)
                    case _:
                        return 200, await self._legacy.handle(region, operation, request)
        except EngineRefused as refused:
            return refused.status, refused.body
        except DynamoDBError as error:
            return error.status, error.body

    def on_replica(self, table: str, region: str, *, progress_percent: int, ready: bool) -> bool:
        """The replicator tells how far a new replica has come; whether that changed the record."""
        group = global_table_of(self.tables, table, region)
        if group is None:
            return False
        replicas = tuple(
            replace(r, status="ACTIVE" if ready else "CREATING", progress_percent=None if ready else progress_percent)
            if r.region == region and r.status == "CREATING"
            else r
            for r in group.replicas
        )
        if replicas == group.replicas:
            return False
        self._groups.record(replace(group, replicas=replicas))
        return True

    # Tables

    async def _create(self, region: str, request: Body) -> Body:
        for unsupported in ("GlobalTableSourceArn", "GlobalTableSettingsReplicationMode"):
            if unsupported in request:
                raise invalid(f"{unsupported}: global tables of several accounts are not supported by the lab")
        begun_ms = self._now_ms()
        answer = await self._engines.call(region, "CreateTable", request)
        self._groups.begun_ms[region, _name(request)] = begun_ms
        return answer

    async def _delete(self, region: str, request: Body) -> Body:
        name = _name(request)
        group = global_table_of(self.tables, name, region)
        if group is not None:
            self._may_leave(group, region)
        answer = await self._engines.call(region, "DeleteTable", request)
        if group is not None:
            self._groups.record(replace(group, replicas=tuple(r for r in group.replicas if r.region != region)))
        return answer

    def _may_leave(self, group: GlobalTable, region: str) -> None:
        self._not_changing(group)
        for replica in group.replicas:
            age_ms = (self._now_ms() - replica.created_ms) * self._speed
            if replica.seeded_from == region and age_ms < SOURCE_KEPT_MS:
                raise invalid(
                    "Replica cannot be deleted because it has acted as a source region for new replica(s) being added "
                    "to the table in the last 24 hours."
                )

    def _not_changing(self, group: GlobalTable) -> None:
        if any(replica.status != "ACTIVE" for replica in group.replicas):
            raise DynamoDBError(
                "ResourceInUseException",
                "Attempt to change a resource which is still in use: Table is being updated: " + group.name,
            )

    async def _update_time_to_live(self, region: str, request: Body) -> Body:
        answer = await self._engines.call(region, "UpdateTimeToLive", request)
        for other in self._in_step(_name(request), region):
            await self._engines.call(other, "UpdateTimeToLive", request)
        return answer

    async def _update(self, region: str, request: Body) -> Body:
        name = _name(request)
        _refuse_unsupported(request)
        updates = None if request.get("ReplicaUpdates") is None else self._replica_updates(request["ReplicaUpdates"])
        settings = {key: value for key, value in request.items() if key != "ReplicaUpdates"}
        stream = request.get("StreamSpecification") or {}
        if not isinstance(stream, dict):
            raise invalid(f"StreamSpecification: expected StreamEnabled and StreamViewType, got {stream!r}")
        group = global_table_of(self.tables, name, region)
        if group is not None:
            self._not_changing(group)
            if group.version == "2019.11.21" and stream.get("StreamEnabled") is False:
                raise invalid("One or more parameter values were invalid: the stream of a replica cannot be disabled")
        before = await self._engines.describe(region, name)
        if before is None:
            raise _not_found(name)
        check_capacity(request, before)
        await self._check_replicas(region, before, updates or [], request.get("BillingMode"))
        if updates is None or len(settings) > 1:
            answer = await self._engines.call(region, "UpdateTable", settings)
            shared = {key: value for key, value in settings.items() if key in SYNCHRONIZED}
            if shared:
                for other in self._in_step(name, region):
                    await self._engines.call(other, "UpdateTable", {"TableName": name, **shared})
                self._forget_overrides(name, region, shared)
            if updates is None:
                return {"TableDescription": described_table(answer["TableDescription"], region, self.tables)}
        for action, target, wanted in sorted(updates, key=lambda update: IN_ORDER.index(update[0])):
            await self._update_replica(region, name, action, target, wanted)
        table = await self._engines.describe(region, name)
        if table is None:  # the replica that was deleted is the one that was asked
            return {"TableDescription": {**before, "TableStatus": "DELETING"}}
        return {"TableDescription": {**described_table(table, region, self.tables), "TableStatus": "UPDATING"}}

    def _in_step(self, name: str, region: str) -> list[str]:
        """The other regions whose settings follow."""
        group = global_table_of(self.tables, name, region)
        if group is None or group.version != "2019.11.21":
            return []
        return [replica.region for replica in group.replicas if replica.region != region]

    def _forget_overrides(self, name: str, region: str, shared: Body) -> None:
        """A change of a setting on any replica takes the place of what replicas have for themselves, as on AWS."""
        group = global_table_of(self.tables, name, region)
        if group is None or group.version != "2019.11.21":
            return
        replicas = group.replicas
        if "TableClass" in shared:
            replicas = tuple(replace(r, table_class_override=None, table_class_ms=0) for r in replicas)
        if "ProvisionedThroughput" in shared or "BillingMode" in shared:
            replicas = tuple(replace(r, read_capacity_override=None) for r in replicas)
        self._groups.record(replace(group, replicas=replicas))

    # Replicas

    def _replica_updates(self, updates: Any) -> list[tuple[str, str, Body]]:
        """Action, region and the action's own request of each of `ReplicaUpdates`; all before any is carried out."""
        if not isinstance(updates, list) or not updates:
            raise invalid("ReplicaUpdates: expected a list of at least one Create, Update or Delete")
        found: list[tuple[str, str, Body]] = []
        for update in updates:
            if not isinstance(update, dict) or len(update) != 1:
                raise invalid("ReplicaUpdates: expected one of Create, Update and Delete in each entry")
            ((action, wanted),) = update.items()
            target = wanted.get("RegionName") if isinstance(wanted, dict) else None
            if not isinstance(target, str) or action not in ("Create", "Update", "Delete"):
                raise invalid(f"ReplicaUpdates: expected Create, Update or Delete with a RegionName, got {update!r}")
            if target not in self._regions:
                raise invalid(f"Region {target} is not a region of this lab; it has {', '.join(self._regions)}")
            if any(target == other for _, other, _ in found):
                raise invalid(f"ReplicaUpdates: expected each region once, got {target} again")
            if action != "Delete":
                _check_overrides(wanted)
            found.append((action, target, wanted))
        return found

    async def _check_replicas(
        self, region: str, table: Body, updates: Sequence[tuple[str, str, Body]], billing_mode: str | None
    ) -> None:
        """Whether all updates of a table's replicas can be carried out, before any is. Raises DynamoDBError."""
        name = table["TableName"]
        group = global_table_of(self.tables, name, region)
        if group is not None and updates and group.version != "2019.11.21":
            raise invalid(
                f"The table {name} is a global table of version 2017.11.29: "
                "use UpdateGlobalTable to change its replicas"
            )
        replicas = {replica.region for replica in group.replicas} if group is not None else set()
        actions = [action for action, _, _ in updates]
        if replicas and actions.count("Delete") == len(replicas):
            raise invalid(
                f"One replica of {name} has to stay: delete the others first, then its table with DeleteTable"
            )
        on_demand = (billing_mode or billing_mode_of(table)) == "PAY_PER_REQUEST"
        for action, target, wanted in updates:
            if action == "Create":
                await self._may_create(target, table)
            elif target not in replicas:
                raise invalid(f"Table {name} has no replica in region {target}")
            elif action == "Delete" and group is not None:
                self._may_leave(group, target)
                if target == region and "Create" in actions:
                    raise invalid(f"The replica in {target} cannot be deleted: those to be created are filled from it")
            if on_demand and wanted.get("ProvisionedThroughputOverride") is not None:
                raise invalid(
                    "One or more parameter values were invalid: ProvisionedThroughputOverride cannot be specified when "
                    "BillingMode is PAY_PER_REQUEST"
                )

    async def _may_create(self, target: str, table: Body) -> None:
        name = table["TableName"]
        if (target, name) not in self._unfinished and await self._engines.describe(target, name) is not None:
            raise invalid(
                f"Failed to create a the new replica of table with name: '{name}' because one or more replicas "
                f"already existed as tables: {target}"
            )
        stream = table.get("StreamSpecification") or {}
        if stream.get("StreamEnabled") and stream.get("StreamViewType") != "NEW_AND_OLD_IMAGES":
            raise invalid("Table must have a stream of new and old images to have replicas")

    async def _update_replica(self, region: str, name: str, action: str, target: str, wanted: Body) -> None:
        if action == "Create":
            await self._create_replica(region, name, target)
        group = global_table_of(self.tables, name, target)
        assert group is not None
        if action == "Delete":
            await self._engines.call(target, "DeleteTable", {"TableName": name})
            self._groups.record(replace(group, replicas=tuple(r for r in group.replicas if r.region != target)))
        else:
            await self._override(target, name, wanted)

    async def _create_replica(self, region: str, name: str, target: str) -> None:
        table = await self._engines.describe(region, name)
        if table is None:
            raise _not_found(name)
        group = global_table_of(self.tables, name, region)
        exists = await self._engines.describe(target, name) is not None
        stream = table.get("StreamSpecification") or {}
        if not stream.get("StreamEnabled"):
            stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
            await self._engines.call(region, "UpdateTable", {"TableName": name, "StreamSpecification": stream})
        if not exists:
            self._groups.begun_ms[target, name] = self._now_ms()
            await self._create_table(target, name, creation_of(table, stream))
        ttl = (await self._engines.call(region, "DescribeTimeToLive", {"TableName": name}))["TimeToLiveDescription"]
        if ttl.get("TimeToLiveStatus") in ("ENABLED", "ENABLING"):
            setting = {"Enabled": True, "AttributeName": ttl["AttributeName"]}
            await self._engines.call(
                target, "UpdateTimeToLive", {"TableName": name, "TimeToLiveSpecification": setting}
            )
        now_ms = self._now_ms()
        if group is None:
            first = Replica(region, "ACTIVE", now_ms, table_created_ms=self._groups.made_ms(region, name, table))
            group = GlobalTable(name, key_of(table), (first,))
        replica = Replica(target, "CREATING", now_ms, region, 0, table_created_ms=self._groups.begun_ms[target, name])
        self._groups.record(replace(group, replicas=(*group.replicas, replica)))
        self._unfinished.discard((target, name))

    async def _create_table(self, target: str, name: str, creation: Body) -> None:
        """Make a replica's table. A caller who got no answer asks again, and the first attempt may have gone well."""
        begun_before = (target, name) in self._unfinished
        self._unfinished.add((target, name))
        try:
            await self._engines.call(target, "CreateTable", creation)
        except EngineRefused as refused:
            if begun_before and str(refused.body.get("__type", "")).endswith("ResourceInUseException"):
                return
            if refused.status < 500:
                self._unfinished.discard((target, name))
            raise

    async def _override(self, target: str, name: str, wanted: Body) -> None:
        """Settings that a replica has for itself: done at its engine, and recorded."""
        settings: Body = {}
        changes: dict[str, Any] = {}
        if "TableClassOverride" in wanted:
            settings["TableClass"] = changes["table_class_override"] = wanted["TableClassOverride"]
            changes["table_class_ms"] = self._now_ms()
        read = (wanted.get("ProvisionedThroughputOverride") or {}).get("ReadCapacityUnits")
        if read is not None:
            table = await self._engines.describe(target, name)
            write = (table or {}).get("ProvisionedThroughput", {}).get("WriteCapacityUnits", 1)
            settings["ProvisionedThroughput"] = {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
            changes["read_capacity_override"] = read
        if settings:
            await self._engines.call(target, "UpdateTable", {"TableName": name, **settings})
            group = global_table_of(self.tables, name, target)
            assert group is not None
            replicas = tuple(replace(r, **changes) if r.region == target else r for r in group.replicas)
            self._groups.record(replace(group, replicas=replicas))


def _not_found(name: str) -> DynamoDBError:
    return DynamoDBError("ResourceNotFoundException", f"Requested resource not found: Table: {name} not found")


def _name(request: Body) -> str:
    name = request.get("TableName")
    if not isinstance(name, str) or not name:
        raise invalid(
            "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: "
            "Member must not be null"
        )
    return name.partition("/")[2].partition("/")[0] if name.startswith("arn:") else name


def _check_overrides(wanted: Body) -> None:
    """Whether the settings that a replica is to have for itself make sense. Raises DynamoDBError."""
    for name in wanted:
        if name not in ("RegionName", "TableClassOverride", "ProvisionedThroughputOverride"):
            raise invalid(f"ReplicaUpdates: {name} is not supported by the lab")
    table_class = wanted.get("TableClassOverride", TABLE_CLASSES[0])
    if table_class not in TABLE_CLASSES:
        raise invalid(
            f"1 validation error detected: Value '{table_class}' at 'tableClassOverride' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(TABLE_CLASSES)}]"
        )
    override = wanted.get("ProvisionedThroughputOverride", {"ReadCapacityUnits": 1})
    read = override.get("ReadCapacityUnits") if isinstance(override, dict) else None
    if type(read) is not int or read < 1:
        raise invalid(f"ProvisionedThroughputOverride: expected ReadCapacityUnits of at least 1, got {override!r}")


def _refuse_unsupported(request: Body) -> None:
    if request.get("MultiRegionConsistency", "EVENTUAL") != "EVENTUAL" or request.get("GlobalTableWitnessUpdates"):
        raise invalid(
            "MultiRegionConsistency STRONG is not supported by the lab: its replicas are eventually consistent"
        )
    if request.get("GlobalTableSettingsReplicationMode"):
        raise invalid("GlobalTableSettingsReplicationMode: several accounts are not supported by the lab")
