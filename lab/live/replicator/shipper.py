"""Tasks that carry out what the core says: applies to one region, fills, fetches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson

from lab.core.replication import Replication
from lab.core.replication_work import Fetch, Fill, Outcome, Scanned
from lab.core.table import KeyAttribute
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted
from lab.live.replicator.image import decode_key, encode_image, encode_key
from lab.live.replicator.reader import scan_request

BATCHES_AT_ONCE = 2
SCAN_ITEMS = 500
RETRY_S = 0.2
IDLE_S = 5.0

Keys = Callable[[str], tuple[KeyAttribute, ...]]
OnRestart = Callable[[Engine, str], Awaitable[None]]


@dataclass
class Kick:
    """Wakes one task; a kick that comes while it is busy is not lost."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self) -> None:
        self.event.set()

    async def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.event.wait()


@dataclass
class Shipper:
    """Applies to one region. `on_fenced` is called when a table's stream there has to be read first."""

    engine: Engine
    core: Replication
    key_of: Keys
    is_legacy: Callable[[str], bool]
    injected: Callable[[str], Awaitable[Outcome | None]]
    on_fenced: Callable[[str, str], None]
    on_done: Callable[[], None]
    on_restart: OnRestart
    log: Callable[[str], None]
    kick: Kick = field(default_factory=Kick)
    trouble: str | None = None

    async def run(self) -> None:
        """Ship until cancelled, a few batches at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(BATCHES_AT_ONCE):
                group.create_task(self._ship())

    async def _ship(self) -> None:
        target = self.engine.region
        while True:
            batch = self.core.next_batch(target, now_ms())
            if batch is None:
                self.kick.event.clear()
                due_ms = self.core.next_due_ms(target)
                wait_s = IDLE_S if due_ms is None else max(0.001, (due_ms - now_ms()) / 1000)
                await self.kick.wait(min(wait_s, IDLE_S))
                continue
            try:
                outcome = await self.injected(target)
                if outcome is None:
                    legacy = self.is_legacy(batch.table)
                    outcome = await self.engine.apply(batch, self.key_of(batch.table), legacy=legacy)
            except EngineRestarted as restarted:
                self.core.on_batch_done(batch, Outcome("unknown"), now_ms())
                await self.on_restart(self.engine, restarted.boot)
                continue
            self.core.on_batch_done(batch, outcome, now_ms())
            if outcome.result == "fenced":
                self.on_fenced(batch.table, target)
            elif outcome.result != "applied" and self.trouble != outcome.result:
                self.log(f"{target}: an apply to {batch.table} {outcome.result}")
            self.trouble = outcome.result
            self.on_done()


@dataclass
class Filler:
    """Reads what is missing from regions that have it: pages of scans, and single items."""

    engines: dict[str, Engine]
    core: Replication
    key_of: Keys
    read_through: Callable[[str, str], Awaitable[None]]
    on_done: Callable[[], None]
    on_restart: OnRestart
    log: Callable[[str], None]
    kick: Kick = field(default_factory=Kick)

    async def run(self) -> None:
        """Fill and fetch until cancelled."""
        while True:
            self.kick.event.clear()
            fill = self.core.next_fill()
            fetch = None if fill is not None else self.core.next_fetch(now_ms())
            if fill is None and fetch is None:
                await self.kick.wait(RETRY_S if self.core.is_busy() else IDLE_S)
                continue
            try:
                if fill is not None:
                    await self._fill(fill)
                elif fetch is not None:
                    await self._fetch(fetch)
            except EngineRestarted as restarted:
                region = fill.source if fill is not None else fetch.region if fetch is not None else ""
                await self.on_restart(self.engines[region], restarted.boot)
            except (CallFailed, EngineError, TimeoutError) as error:
                self.log(f"filling: {error or 'a stream cannot be read'}")
                await asyncio.sleep(RETRY_S)
            self.on_done()

    async def _fill(self, fill: Fill) -> None:
        key = self.key_of(fill.table)
        answer = await self.engines[fill.source].call("Scan", scan_request(fill.table, fill.after, SCAN_ITEMS))
        page = orjson.loads(answer.body)
        await self.read_through(fill.table, fill.source)
        rows = [Scanned(encode_key(key, item), *encode_image(item)) for item in page["Items"]]
        last = page.get("LastEvaluatedKey")
        self.core.on_fill_page(fill, rows, None if last is None else orjson.dumps(last), answer.position, now_ms())

    async def _fetch(self, fetch: Fetch) -> None:
        key = self.key_of(fetch.table)
        request = {"TableName": fetch.table, "Key": decode_key(key, fetch.key), "ConsistentRead": True}
        answer = await self.engines[fetch.region].call("GetItem", orjson.dumps(request))
        item = orjson.loads(answer.body).get("Item")
        found = None if item is None else Scanned(fetch.key, *encode_image(item))
        self.core.on_fetched(fetch, found, answer.position, now_ms())
