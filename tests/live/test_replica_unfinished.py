"""A replica whose table an engine made without saying so is taken up again by the caller's next attempt."""

from __future__ import annotations

import asyncio
from typing import Any

from lab.control.global_tables import GlobalTables

EAST, WEST = "us-east-1", "us-west-2"
CREATION = {
    "TableName": "items",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


class SlowEngines:
    """Tables by region. `silent` regions make a table and do not answer in time."""

    def __init__(self, *silent: str) -> None:
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.silent = set(silent)

    async def __call__(self, region: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        key = (region, body["TableName"])
        match target.rpartition(".")[2]:
            case "CreateTable" if key in self.tables:
                return 400, {"__type": "x#ResourceInUseException"}
            case "CreateTable":
                self.tables[key] = {**body, "BillingModeSummary": {"BillingMode": body["BillingMode"]}}
                if region in self.silent:
                    self.silent.remove(region)
                    return 500, {"__type": "x#InternalServerError", "message": "no answer"}
                return 200, {"TableDescription": self.tables[key]}
            case "DescribeTable" if key in self.tables:
                return 200, {"Table": self.tables[key]}
            case "DescribeTable":
                return 400, {"__type": "x#ResourceNotFoundException"}
            case "DescribeTimeToLive":
                return 200, {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
            case other:
                raise AssertionError(other)


UPDATE = {"TableName": "items", "ReplicaUpdates": [{"Create": {"RegionName": WEST}}]}


def test_a_replica_is_made_though_the_engine_did_not_answer_the_first_time() -> None:
    async def run() -> None:
        plane = GlobalTables(SlowEngines(WEST), (EAST, WEST), lambda: 0)
        assert (await plane.handle(EAST, "CreateTable", CREATION))[0] == 200
        assert (await plane.handle(EAST, "UpdateTable", UPDATE))[0] == 500
        assert (await plane.handle(EAST, "UpdateTable", UPDATE))[0] == 200
        assert plane.tables.global_tables[0].replicas[1].region == WEST

    asyncio.run(run())


def test_a_table_of_somebody_else_is_no_replica() -> None:
    async def run() -> None:
        plane = GlobalTables(SlowEngines(), (EAST, WEST), lambda: 0)
        for region in (EAST, WEST):
            assert (await plane.handle(region, "CreateTable", CREATION))[0] == 200
        status, answer = await plane.handle(EAST, "UpdateTable", UPDATE)
        assert status == 400 and "already existed as tables: us-west-2" in answer["message"]

    asyncio.run(run())
