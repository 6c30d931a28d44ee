"""Time to live: deletes items that have expired, in every region, as ordinary deletes with DynamoDB's mark on them.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html. AWS deletes within a few days; the
lab looks once a lab minute. Each region expires its own copy, and the deletes replicate; a table of version 2017.11.29
keeps them to itself. An item that was changed after it was seen stays.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.live.clock import Clock
from lab.live.http_client import CallFailed
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted
from lab.live.replicator.shipper import OnRestart

INTERVAL_MS = 60_000
INTERVAL_S_MIN = 1.0
PAGE = 200


@dataclass
class Expirer:
    """Looks at all tables of all regions that are up. `on_delete` is told of a table from which something expired."""

    engines: dict[str, Engine]
    clock: Clock
    is_up: Callable[[str], bool]
    on_delete: Callable[[str, str], None]
    on_restart: OnRestart
    log: Callable[[str], None]
    expired: int = field(default=0)

    async def run(self) -> None:
        """Expire until cancelled."""
        while True:
            await asyncio.sleep(max(self.clock.wait_s(INTERVAL_MS), INTERVAL_S_MIN))
            for region, engine in self.engines.items():
                if self.is_up(region):
                    try:
                        await self.expire(engine)
                    except EngineRestarted as restarted:
                        await self.on_restart(engine, restarted.boot)
                    except (CallFailed, EngineError) as error:
                        self.log(f"{region}: time to live: {error}")

    async def expire(self, engine: Engine) -> None:
        """Delete what has expired in one region."""
        for table in (await engine.read("ListTables", {}))["TableNames"]:
            setting = (await engine.read("DescribeTimeToLive", {"TableName": table}))["TimeToLiveDescription"]
            if setting.get("TimeToLiveStatus") != "ENABLED":
                continue
            schema = (await engine.read("DescribeTable", {"TableName": table}))["Table"]["KeySchema"]
            names = [element["AttributeName"] for element in schema]
            if await self._expire_table(engine, table, names, setting["AttributeName"]):
                self.on_delete(engine.region, table)

    async def _expire_table(self, engine: Engine, table: str, key: list[str], attribute: str) -> int:
        # An item whose time is more than five years ago is left alone, as AWS does.
        now_s = int(time.time())
        oldest_s = now_s - 5 * 365 * 24 * 3600
        request: dict[str, Any] = {
            "TableName": table,
            "FilterExpression": "#ttl < :now AND #ttl > :oldest",
            "ExpressionAttributeNames": {"#ttl": attribute},
            "ExpressionAttributeValues": {":now": {"N": str(now_s)}, ":oldest": {"N": str(oldest_s)}},
            "Limit": PAGE,
        }
        count = 0
        while True:
            page = await engine.read("Scan", request)
            for item in page["Items"]:
                if "N" in item[attribute]:
                    count += await self._delete(engine, table, {name: item[name] for name in key}, item, attribute)
            if "LastEvaluatedKey" not in page:
                self.expired += count
                return count
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def _delete(
        self, engine: Engine, table: str, key: dict[str, Any], item: dict[str, Any], attribute: str
    ) -> int:
        request = {
            "TableName": table,
            "Key": key,
            "ConditionExpression": "#ttl = :seen",
            "ExpressionAttributeNames": {"#ttl": attribute},
            "ExpressionAttributeValues": {":seen": item[attribute]},
        }
        try:
            await engine.call("DeleteItem", orjson.dumps(request), expiry=True)
        except EngineError as error:
            if error.name == "ConditionalCheckFailedException":
                return 0
            raise
        return 1
