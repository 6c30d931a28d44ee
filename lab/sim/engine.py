"""One region's table and stream in memory, as far as replication sees them: order, images, marks, fences, restarts.

`tests/contract` holds the same promises against the real engines.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from lab.core.conflict import OLDEST, Version
from lab.core.item import Record
from lab.core.replication_work import Acknowledged, Batch, Outcome, Scanned


@dataclass(frozen=True, slots=True)
class Write:
    """A local write: `content` None is a delete. `position` is its place in the region's stream."""

    key: bytes
    content: bytes | None
    time_ms: int
    region: str
    position: int
    boot: int


class SimEngine:
    """A region's engine. `fences` says whether it can refuse applies; `boot` counts its runs.

    `went_back` collects keys whose content an apply replaced by an older write's.
    """

    def __init__(self, region: str, table: str, *, fences: bool) -> None:
        self.region, self._table, self._fences = region, table, fences
        self.boot, self.boot_ms, self.alive = 1, 0, True
        self.went_back: list[bytes] = []
        self.horizon = 0
        self._versions: dict[bytes, Version] = {}
        self.items: dict[bytes, bytes] = {}
        self.stream: list[Record] = []
        self.writes: list[Write] = []

    def restart(self, now_ms: int) -> None:
        """Come back empty."""
        self.boot, self.boot_ms, self.alive = self.boot + 1, now_ms, True
        self.items, self.stream, self._versions, self.horizon = {}, [], {}, 0

    @property
    def position(self) -> int:
        """The counter of the last record."""
        return len(self.stream)

    def write(self, key: bytes, content: bytes | None, now_ms: int) -> Write | None:
        """A user's put or delete; None if it changes nothing."""
        if not self._change(key, content, now_ms, None):
            return None
        self._versions[key] = Version(now_ms, self.region, self.position)
        self.writes.append(Write(key, content, now_ms, self.region, self.position, self.boot))
        return self.writes[-1]

    def apply(self, batch: Batch, now_ms: int, count: int | None = None) -> Outcome:
        """The replicator's writes; only the first `count` of them if it fails half-way."""
        if self._fences and any(self._beyond(a.key, batch) for a in batch.applies):
            return Outcome("fenced")
        applies = batch.applies if count is None else batch.applies[:count]
        for apply in applies:
            self._change(apply.key, apply.image, now_ms, apply.version)
            if apply.version < self._versions.get(apply.key, OLDEST):
                self.went_back.append(apply.key)
            self._versions[apply.key] = apply.version
        return Outcome("applied", self.position) if count is None else Outcome("failed")

    @property
    def trimmed(self) -> str:
        """The sequence number of the last record that is gone."""
        return sequence_of(self.stream[self.horizon - 1]) if self.horizon else ""

    def read(self, after: int, limit: int) -> list[Record] | None:
        """Records beyond a position; None if the first of them are gone."""
        if 0 < after < self.horizon:
            return None
        start = max(after, self.horizon)
        return self.stream[start : start + limit]

    def forget_records(self) -> None:
        """Trim the stream."""
        self.horizon = self.position

    def scan(self, after: bytes | None, limit: int) -> tuple[list[Scanned], bytes | None, int]:
        """A page of the table, where the next begins (None: nowhere), and the position that it was read at."""
        keys = sorted(self.items)
        start = 0 if after is None else bisect.bisect_right(keys, after)
        page = [Scanned(key, self.items[key], digest(self.items[key])) for key in keys[start : start + limit]]
        return page, keys[start + limit - 1] if start + limit < len(keys) else None, self.position

    def journal(self, boot: int) -> Sequence[Acknowledged]:
        """The acknowledged writes, as a front outside the engine remembers them; those up to the run known now."""
        return [
            Acknowledged(self._table, w.key, w.time_ms, w.region, w.position, w.boot == boot)
            for w in self.writes
            if w.boot <= boot
        ]

    def _change(self, key: bytes, content: bytes | None, now_ms: int, mark: Version | None) -> bool:
        old = self.items.get(key)
        if old == content:
            return False
        if content is None:
            del self.items[key]
        else:
            self.items[key] = content
        self.stream.append(Record(key, now_ms, self.position + 1, content, digest(content), old, digest(old), mark))
        return True

    def _beyond(self, key: bytes, batch: Batch) -> bool:
        for record in reversed(self.stream[self.horizon :]):
            unread, unknown = sequence_of(record) > batch.read_sequence, record.position > batch.applied_position
            if not unread and not unknown:
                return False
            if record.key == key and (unknown if record.mark else unread):
                return True
        return False


def sequence_of(record: Record) -> str:
    """A record's sequence number, in the form that engines have."""
    return f"{record.time_ms:020d}{record.position:010d}"


def digest(content: bytes | None) -> int:
    """A number for a content; contents of a simulation are short."""
    return 0 if content is None else int.from_bytes(content, "big")
