"""A global table as DescribeTable and DescribeGlobalTable show it.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ReplicaDescription.html. `Replicas` names the other
regions' replicas. Overrides of indexes and of on-demand throughput, keys and inaccessibility are not imitated.
"""

from __future__ import annotations

from typing import Any

from lab.core.table import GlobalTable, Replica, Tables
from lab.core.topology import ACCOUNT_ID


def described_table(table: dict[str, Any], region: str, tables: Tables) -> dict[str, Any]:
    """A region's `Table` (or `TableDescription`) with what AWS adds if it is a replica of a global table."""
    group = global_table_of(tables, table.get("TableName", ""), region)
    if group is None:
        return table
    if group.version != "2019.11.21":
        return {**table, "GlobalTableVersion": group.version}
    changing = any(replica.status in ("CREATING", "UPDATING", "DELETING") for replica in group.replicas)
    return {
        **table,
        "TableStatus": "UPDATING" if changing and table.get("TableStatus") == "ACTIVE" else table.get("TableStatus"),
        "GlobalTableVersion": group.version,
        "Replicas": [_replica(replica) for replica in group.replicas if replica.region != region],
    }


def global_table_of(tables: Tables, name: str, region: str | None = None) -> GlobalTable | None:
    """The global table with this name, if the region (any by default) has a replica of it."""
    for table in tables.global_tables:
        if table.name == name and (region is None or any(replica.region == region for replica in table.replicas)):
            return table
    return None


def described_global_table(table: GlobalTable) -> dict[str, Any]:
    """A `GlobalTableDescription` of version 2017.11.29."""
    return {
        "GlobalTableName": table.name,
        "GlobalTableArn": f"arn:aws:dynamodb::{ACCOUNT_ID}:global-table/{table.name}",
        "GlobalTableStatus": "ACTIVE",
        "CreationDateTime": min((replica.created_ms for replica in table.replicas), default=0) / 1000,
        "ReplicationGroup": [_replica(replica) for replica in table.replicas],
    }


def _replica(replica: Replica) -> dict[str, Any]:
    description: dict[str, Any] = {"RegionName": replica.region, "ReplicaStatus": replica.status}
    if replica.status == "CREATING":
        description["ReplicaStatusPercentProgress"] = str(replica.progress_percent or 0)
    if replica.read_capacity_override is not None:
        description["ProvisionedThroughputOverride"] = {"ReadCapacityUnits": replica.read_capacity_override}
    if replica.table_class_override is not None:
        summary = {"TableClass": replica.table_class_override, "LastUpdateDateTime": replica.table_class_ms / 1000}
        description["ReplicaTableClassSummary"] = summary
    return description
