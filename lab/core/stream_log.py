"""What an engine keeps for the replicator of the tables' changes: records in order, marks of its own writes, fences.

For engines whose own streams are too slow or too coarse (whole seconds, no marks): whoever makes the records of a
change appends them here, before the change is acknowledged. The answers have the form of DynamoDB Streams.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

RECORDS_MAX = 200_000
"""Of one table; the oldest go first, and a reader that needs them is told so."""
PAGE = 1000


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """One change. `key` is any canonical form of the item's key, `body` the record in DynamoDB's JSON."""

    sequence: str
    key: str
    mark: str | None
    body: bytes


@dataclass(slots=True)
class _Table:
    records: deque[LoggedRecord] = field(default_factory=deque)
    first: int = 0
    """How many records were dropped: the index of the oldest one."""
    trimmed: str = ""


class Trimmed(Exception):
    """The records that were asked for are gone."""


class StreamLog:
    """The changes of one region's tables. Not safe for threads: the caller holds its lock.

    `born_ms` is when the log began: what has an earlier time was another log's.
    """

    def __init__(self, records_max: int = RECORDS_MAX, born_ms: int = 0) -> None:
        self._records_max, self._born_ms = records_max, born_ms
        self._tables: dict[str, _Table] = {}
        self._last_ms = 0
        self.position = 0
        """The number of the last record made, of any table."""

    def next_sequence(self, now_ms: int) -> str:
        """The sequence number of the next change: its time in milliseconds (20 digits), then its number (10 digits)."""
        self._last_ms = max(self._last_ms, now_ms)
        self.position += 1
        return f"{self._last_ms:020d}{self.position:010d}"

    def append(self, table: str, record: LoggedRecord) -> None:
        """Keep a record; its sequence number is the newest."""
        kept = self._tables.setdefault(table, _Table())
        kept.records.append(record)
        if len(kept.records) > self._records_max:
            kept.trimmed = kept.records.popleft().sequence
            kept.first += 1

    def forget(self, table: str) -> None:
        """The table was deleted."""
        self._tables.pop(table, None)

    def cut(self, table: str, now_ms: int) -> None:
        """The table's stream was turned off: its records are gone, and what is written until the next has none."""
        kept = self._tables.setdefault(table, _Table())
        kept.first += len(kept.records)
        kept.records.clear()
        kept.trimmed = self.next_sequence(now_ms)

    def oldest(self, table: str) -> int:
        """The index of the oldest record that is still there."""
        kept = self._tables.get(table)
        return 0 if kept is None else kept.first

    def trimmed(self, table: str) -> str:
        """The last sequence number that a table's records may lack, "" if they lack none."""
        kept = self._tables.get(table)
        return "" if kept is None else kept.trimmed

    def after(self, table: str, sequence: str) -> int:
        """The index of the first record beyond a sequence number. Raises Trimmed if records between are gone."""
        sequence = sequence.zfill(30)
        if int(sequence[:20]) < self._born_ms or self.trimmed(table) > sequence:
            raise Trimmed(table)
        kept = self._tables.get(table)
        if kept is None:
            return 0
        index = kept.first + len(kept.records)
        for record in reversed(kept.records):
            if record.sequence <= sequence:
                break
            index -= 1
        return index

    def read(self, table: str, index: int, limit: int = PAGE) -> tuple[list[LoggedRecord], int]:
        """Records from an index on, and the index that follows. Raises Trimmed."""
        kept = self._tables.get(table)
        if kept is None:
            return [], index
        if index < kept.first:
            raise Trimmed(table)
        start = index - kept.first
        # The newest records are what readers want: walking a deque from its end is short.
        wanted = min(limit, len(kept.records) - start)
        if wanted <= 0:
            return [], index
        if len(kept.records) - start <= limit:
            found = list(islice(reversed(kept.records), len(kept.records) - start))[::-1]
        else:
            found = list(islice(kept.records, start, start + wanted))
        return found, index + len(found)

    def is_fenced(self, table: str, keys: Iterable[str], read_to: str, applied_to: int) -> bool:
        """Whether one of the keys has a record without a mark beyond `read_to`, or one with a mark beyond `applied_to`.

        `read_to` is a sequence number, `applied_to` a record's number: see `x-lab-after` of the engines.
        """
        kept = self._tables.get(table)
        if kept is None:
            return False
        wanted, read_to = set(keys), read_to.zfill(30)
        for record in reversed(kept.records):
            unread, unknown = record.sequence > read_to, int(record.sequence[20:]) > applied_to
            if not unread and not unknown:
                return False
            if (unknown if record.mark is not None else unread) and record.key in wanted:
                return True
        return False
