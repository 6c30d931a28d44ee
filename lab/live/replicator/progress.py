"""Tells control how far new replicas have come, so that they show as CREATING with a percentage, then as ACTIVE.

`POST /replicas/TABLE/REGION` on control's socket, `{"progress_percent": N, "ready": BOOLEAN}`, again until control's
own document says what it was told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import quote

import orjson

from lab.core.replication import Replication
from lab.core.table import GlobalTable, Replica, Tables
from lab.live.documents import DocumentStore
from lab.live.http_client import CallFailed, HttpClient
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted

INTERVAL_S = 0.1
COUNT_LIMIT_S = 1.0


def percent_of(scanned: int, items: int) -> int:
    """How far a scan has come that has not ended."""
    return min(99, 100 * scanned // max(1, items))


async def item_count(engine: Engine, table: str) -> int | None:
    """How many items a table has; None while its engine does not say: whoever reads the table notices."""
    try:
        async with asyncio.timeout(COUNT_LIMIT_S):
            return int((await engine.read("DescribeTable", {"TableName": table}))["Table"]["ItemCount"])
    except (CallFailed, EngineError, EngineRestarted, TimeoutError):
        return None


@dataclass
class Progress:
    """Watches the replicas that the document calls CREATING."""

    core: Replication
    documents: DocumentStore
    engines: dict[str, Engine]
    control: HttpClient
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Tell until cancelled."""
        told: dict[tuple[str, str], bytes] = {}
        while True:
            self.changed.clear()
            creating = [
                (table, replica)
                for table in self.documents.get(Tables).global_tables
                for replica in table.replicas
                if replica.status == "CREATING"
            ]
            if not creating:
                told.clear()
                await self.changed.wait()
                continue
            for table, replica in creating:
                body = await self._state(table, replica)
                entry = (table.name, replica.region)
                if told.get(entry) != body and await self._tell(entry, body):
                    told[entry] = body
            await asyncio.sleep(INTERVAL_S)

    async def _state(self, table: GlobalTable, replica: Replica) -> bytes:
        ready = self.core.is_ready(table.name, replica.region)
        percent = 100
        if not ready:
            engine = self.engines.get(replica.seeded_from or "")
            items = None if engine is None else await item_count(engine, table.name)
            percent = percent_of(self.core.scanned(table.name, replica.region), items or 0)
        return orjson.dumps({"progress_percent": percent, "ready": ready})

    async def _tell(self, entry: tuple[str, str], body: bytes) -> bool:
        try:
            response = await self.control.call(
                "POST", "/replicas/" + "/".join(quote(part, safe="") for part in entry), [], body, timeout_s=5.0
            )
        except CallFailed:
            return False
        return response.status < 300
