"""Reads one table's stream in one region to its end, again and again, from where the checkpoint says.

Iterators are kept only in memory; after anything unexpected a new one is made from the checkpoint. When records beyond
the checkpoint are gone, the first that there ever were among them, that is told: `StreamGap`.
"""

from __future__ import annotations

from typing import Any

import orjson

from lab.core.replication_store import Checkpoint
from lab.live.clock import now_ms
from lab.live.replicator.engine import SHARD, Engine, EngineError

LIMIT = 500
NEARLY_A_PAGE_BYTES = 500_000
LAST = "9" * 30


class StreamGap(Exception):
    """Records beyond the checkpoint, all from before `bound_ms`, are gone: a day was missed, or the stream is new.

    None beyond the sequence number `through` are missing.
    """

    def __init__(self, table: str, bound_ms: int, through: str) -> None:
        super().__init__(table)
        self.bound_ms, self.through = bound_ms, through


class Stream:
    """A table's stream. `read` gives the records beyond the checkpoint, a page at a time."""

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine, self._table = engine, table
        self._iterator: str | None = None
        self._skip_to = ""

    def reopen(self) -> None:
        """Make a new iterator next time."""
        self._iterator = None

    async def read(self, checkpoint: Checkpoint) -> tuple[list[dict[str, Any]], bool]:
        """The next records, and whether there may be more at once. Raises StreamGap and what `Engine.call` raises."""
        if self._iterator is None:
            self._iterator = await self._open(checkpoint)
        iterator = self._iterator
        self._iterator = None  # stays so if anything goes wrong
        answer = await self._engine.call(
            "GetRecords", b'{"ShardIterator":"%b","Limit":%d}' % (iterator.encode(), LIMIT)
        )
        page = orjson.loads(answer.body)
        self._iterator = page.get("NextShardIterator")
        records = page["Records"]
        more = len(records) >= LIMIT or len(answer.body) > NEARLY_A_PAGE_BYTES
        if self._skip_to:
            records = [record for record in records if record["dynamodb"]["SequenceNumber"] > self._skip_to]
            if records or not more:
                self._skip_to = ""
        return records, more

    async def _open(self, checkpoint: Checkpoint) -> str:
        streams = (await self._engine.read("ListStreams", {"TableName": self._table}))["Streams"]
        if not streams:
            raise EngineError(400, "ResourceNotFoundException", f"no stream of {self._table}")
        where = {"StreamArn": streams[0]["StreamArn"], "ShardId": SHARD}
        self._skip_to = ""
        if checkpoint.exact:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": checkpoint.sequence}
            try:
                return str((await self._engine.read("GetShardIterator", {**where, **start}))["ShardIterator"])
            except EngineError as error:
                if error.name != "TrimmedDataAccessException":
                    raise
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        answer = await self._engine.call("GetShardIterator", orjson.dumps({**where, **start}))
        iterator = str(orjson.loads(answer.body)["ShardIterator"])
        # What cannot be found although the engine does not say that it is gone counts as gone.
        trimmed = answer.trimmed if answer.trimmed is not None or not checkpoint.exact else LAST
        if trimmed is not None and trimmed > checkpoint.sequence:
            raise await self._gap(iterator, trimmed)
        self._skip_to = checkpoint.sequence
        return iterator

    async def _gap(self, iterator: str, trimmed: str) -> StreamGap:
        asked_ms = now_ms()
        records = (await self._engine.read("GetRecords", {"ShardIterator": iterator, "Limit": 1}))["Records"]
        bound_ms = int(records[0]["dynamodb"]["SequenceNumber"][:20]) - 1 if records else asked_ms
        return StreamGap(self._table, bound_ms, "" if trimmed == LAST else trimmed)
