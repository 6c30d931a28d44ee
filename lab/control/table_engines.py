"""The tables of the regions' engines, as operations on tables call and describe them; errors by AWS's names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lab.core.table import GlobalTable, KeyAttribute, Tables

Body = dict[str, Any]
EngineCall = Callable[[str, str, Body], Awaitable[tuple[int, Body]]]
"""Called with region, X-Amz-Target and request; answers status and body."""

PREFIX = "DynamoDB_20120810"


class DynamoDBError(Exception):
    """A refused call, by AWS's name of the error."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name, self.message, self.status = name, message, status

    @property
    def body(self) -> Body:
        return {"__type": f"com.amazonaws.dynamodb.v20120810#{self.name}", "message": self.message}


def invalid(message: str) -> DynamoDBError:
    """DynamoDB's ValidationException."""
    return DynamoDBError("ValidationException", message)


class EngineRefused(Exception):
    """An engine's own error, passed on as it is."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(str(body))
        self.status, self.body = status, body


class Engines:
    """The engines' table operations."""

    def __init__(self, call: EngineCall) -> None:
        self._call = call

    async def call(self, region: str, operation: str, request: Body) -> Body:
        """The answer of a region's engine. Raises EngineRefused."""
        status, body = await self._call(region, f"{PREFIX}.{operation}", request)
        if status != 200:
            raise EngineRefused(status, body)
        return body

    async def describe(self, region: str, name: str) -> Body | None:
        """A region's table, None if there is none."""
        try:
            table: Body = (await self.call(region, "DescribeTable", {"TableName": name}))["Table"]
        except EngineRefused as refused:
            if str(refused.body.get("__type", "")).endswith("ResourceNotFoundException"):
                return None
            raise
        return table


class Groups:
    """Which tables are replicas of one another: the document as it stands."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.begun_ms: dict[tuple[str, str], int] = {}
        """Since when there is a table, by region and name, of those that were made since control's start."""

    def made_ms(self, region: str, name: str, table: Body) -> int:
        """Since when there is a table: as it was noted, or to the second as its engine says."""
        return self.begun_ms.get((region, name)) or round(1000 * table.get("CreationDateTime", 0))

    def record(self, group: GlobalTable) -> None:
        """Keep a global table as it is now; one replica alone is none, but in version 2017.11.29."""
        rest = tuple(table for table in self.tables.global_tables if table.name != group.name)
        least = 1 if group.version == "2017.11.29" else 2
        self.tables = Tables((*rest, group) if len(group.replicas) >= least else rest)


def billing_mode_of(table: Body) -> str:
    """PROVISIONED or PAY_PER_REQUEST, of a table as DescribeTable shows it."""
    return str((table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED"))


def check_capacity(change: Body, table: Body) -> None:
    """Whether a table that is to be provisioned by a change is told how much, or has been. Raises DynamoDBError.

    Engines that do not mind would show a table that cannot be made again as it is.
    """
    units = table.get("ProvisionedThroughput") or {}
    if change.get("BillingMode") == "PROVISIONED" and not (
        change.get("ProvisionedThroughput") or units.get("WriteCapacityUnits")
    ):
        raise invalid(
            "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be "
            "specified when BillingMode is PROVISIONED"
        )


def creation_of(table: Body, stream: Body) -> Body:
    """The CreateTable request that makes a table like this one (as DescribeTable shows it), empty."""
    billing = billing_mode_of(table)
    request: Body = {
        "TableName": table["TableName"],
        "KeySchema": table["KeySchema"],
        "AttributeDefinitions": table["AttributeDefinitions"],
        "BillingMode": billing,
        "StreamSpecification": stream,
    }
    names = ["IndexName", "KeySchema", "Projection"]
    if billing == "PROVISIONED":
        names.append("ProvisionedThroughput")
        request["ProvisionedThroughput"] = _units(table["ProvisionedThroughput"])
    for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
        if table.get(kind):
            wanted = names if kind.startswith("Global") else names[:3]
            request[kind] = [_index(index, wanted) for index in table[kind]]
    if table.get("TableClassSummary"):
        request["TableClass"] = table["TableClassSummary"]["TableClass"]
    return request


def _index(index: Body, names: list[str]) -> Body:
    return {
        name: _units(index[name]) if name == "ProvisionedThroughput" else index[name] for name in names if name in index
    }


def _units(throughput: Body) -> Body:
    return {name: throughput[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")}


def key_of(table: Body) -> tuple[KeyAttribute, ...]:
    """A table's primary key, partition key first."""
    types = {definition["AttributeName"]: definition["AttributeType"] for definition in table["AttributeDefinitions"]}
    ordered = sorted(table["KeySchema"], key=lambda element: str(element["KeyType"]))
    return tuple(KeyAttribute(element["AttributeName"], types[element["AttributeName"]]) for element in ordered)
