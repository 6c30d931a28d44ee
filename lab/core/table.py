"""Tables of the regions and which of them are replicas of one global table: who replicates what to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReplicaStatus = Literal["CREATING", "CREATION_FAILED", "UPDATING", "DELETING", "ACTIVE", "REGION_DISABLED"]


@dataclass(frozen=True)
class KeyAttribute:
    """One attribute of the primary key; `type` is DynamoDB's S, N or B."""

    name: str
    type: Literal["S", "N", "B"]


@dataclass(frozen=True)
class Replica:
    """One replica. `seeded_from` is the region whose data it was filled with, `created_ms` when.

    `table_created_ms` is when its table was made: what was written before went to another table of that name, which is
    gone. `table_class_override` and `read_capacity_override` are settings that it has for itself, the first since
    `table_class_ms`.
    """

    region: str
    status: ReplicaStatus
    created_ms: int
    seeded_from: str | None = None
    progress_percent: int | None = None
    table_created_ms: int = 0
    table_class_override: str | None = None
    table_class_ms: int = 0
    read_capacity_override: int | None = None


@dataclass(frozen=True)
class GlobalTable:
    """One global table: its primary key (partition key first) and its replicas."""

    name: str
    key: tuple[KeyAttribute, ...]
    replicas: tuple[Replica, ...]
    version: Literal["2017.11.29", "2019.11.21"] = "2019.11.21"


@dataclass(frozen=True)
class TableKey:
    """The primary key of a table of one region, global or not; the front reads written keys with it."""

    region: str
    name: str
    key: tuple[KeyAttribute, ...]


@dataclass(frozen=True)
class Tables:
    """The document `tables`."""

    global_tables: tuple[GlobalTable, ...] = ()
