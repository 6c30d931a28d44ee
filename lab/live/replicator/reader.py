"""A task for each stream: reads it when a write was announced, and now and then anyway; hands records to the core."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.core.replication import Replication
from lab.core.replication_store import Checkpoint
from lab.core.table import KeyAttribute
from lab.live.clock import now_ms
from lab.live.http_client import CallFailed
from lab.live.replicator.engine import Engine, EngineError, EngineRestarted
from lab.live.replicator.image import decode_record, decode_version, key_if_any
from lab.live.replicator.stream import Stream, StreamGap

IDLE_S_MIN = 0.05
IDLE_S_MAX = 1.0


@dataclass
class Reader:
    """Reads the stream of `table` in one region. `is_up` says whether the region may be read now."""

    table: str
    key: tuple[KeyAttribute, ...]
    legacy: bool
    engine: Engine
    core: Replication
    is_up: Callable[[], bool]
    on_read: Callable[[str, str, bool], None]
    on_restart: Callable[[Engine, str], Awaitable[None]]
    on_gap: Callable[[str, str, int, str], None]
    log: Callable[[str], None]
    captured: int = 0
    trouble: str | None = None
    passes: int = 0
    _started: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _passed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.stream = Stream(self.engine, self.table)

    def wake(self) -> None:
        """There may be something to read."""
        self._wake.set()

    async def read_through(self) -> None:
        """Return after the stream has been read to an end that is later than this call."""
        wanted = self._started + 1
        while self.passes < wanted:
            self._wake.set()
            self._passed.clear()
            await self._passed.wait()

    async def run(self) -> None:
        """Read until cancelled."""
        idle_s = IDLE_S_MIN
        while True:
            self._wake.clear()
            if self.is_up():
                count = await self._pass()
                idle_s = IDLE_S_MIN if count else min(idle_s * 2, IDLE_S_MAX)
            else:
                idle_s = IDLE_S_MAX
            woken = self._wake.is_set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(idle_s):
                    woken = await self._wake.wait()
            if woken:
                idle_s = IDLE_S_MIN

    async def _pass(self) -> int:
        """Read to the end; how many records came."""
        self._started += 1
        number, count, more = self._started, 0, True
        try:
            while more and self.is_up():
                got, more = await self._page()
                count += got
        except EngineRestarted as restarted:
            self.stream.reopen()
            await self.on_restart(self.engine, restarted.boot)
            self._wake.set()
            return count
        except StreamGap as gap:
            self.on_gap(self.table, self.engine.region, gap.bound_ms, gap.through)
            self._wake.set()
            return count
        except (CallFailed, EngineError) as error:
            self.stream.reopen()
            self._report(str(error))
            return count
        self._report(None)
        if not more:
            self.passes = number
            self._passed.set()
            self.on_read(self.table, self.engine.region, True)
        return count

    async def _page(self) -> tuple[int, bool]:
        checkpoint = self.core.checkpoint(self.table, self.engine.region)
        boot = self.engine.boot
        records, more = await self.stream.read(checkpoint)
        if self.engine.boot != boot:
            self.stream.reopen()  # another reader met a new run of the engine; these records are of the old one
            return 0, True
        if records:
            keyed = [(key, record) for record in records if (key := self._key_in(record)) is not None]
            self.core.expect(self.table, [key for key, record in keyed if "lab" in record])
            legacy_region = self.engine.region if self.legacy else None
            decoded = [
                decode_record(key, record, legacy_region) for key, record in keyed if not self._is_to_skip(key, record)
            ]
            last = Checkpoint(str(records[-1]["dynamodb"]["SequenceNumber"]), exact=True)
            self.core.on_records(self.table, self.engine.region, decoded, last, now_ms())
            self.captured += sum(1 for record in decoded if record.mark is None)
            self.on_read(self.table, self.engine.region, False)
        return len(records), more

    def _key_in(self, record: dict[str, Any]) -> bytes | None:
        """The key of a record. One without is left out: no replica could keep its item, and the others are to go on."""
        key = key_if_any(self.key, record["dynamodb"]["Keys"])
        if key is None:
            number = record["dynamodb"]["SequenceNumber"]
            self.log(f"{self.engine.region}: the record {number} of {self.table} has no key and is left out")
        return key

    def _is_to_skip(self, key: bytes, record: dict[str, Any]) -> bool:
        """Echoes; and, in version 2017.11.29, what expired: a replica keeps that to itself."""
        return self._is_echo(key, record) or (self.legacy and "userIdentity" in record)

    def _is_echo(self, key: bytes, record: dict[str, Any]) -> bool:
        """Whether a record is of an apply that has been answered; most are, and need not be looked at closely."""
        mark = record.get("lab")
        if mark is None:
            return False
        change = record["dynamodb"]
        position = int(change["SequenceNumber"][20:])
        return self.core.is_confirmed(self.table, self.engine.region, key, decode_version(mark), position)

    def _report(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            self.log(f"{self.engine.region}: reading the stream of {self.table}: {trouble}")
        self.trouble = trouble


def scan_request(table: str, after: bytes | None, limit: int) -> bytes:
    """A page of a table's scan, from an encoded last key."""
    start = b"" if after is None else b',"ExclusiveStartKey":' + after
    return b'{"TableName":%b,"ConsistentRead":true,"Limit":%d%b}' % (orjson.dumps(table), limit, start)
