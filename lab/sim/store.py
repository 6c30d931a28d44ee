"""The replicator's memory in simulation: a transaction that a crash undoes, and a crash at any chosen operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.item import Item
from lab.core.replication_store import Checkpoint, ReplicaState

K = TypeVar("K")
V = TypeVar("V")


class Crash(Exception):
    """The replicator's process ends here."""


class SimStore:
    """A `ReplicationStore` in memory. `countdown` is the number of operations until a Crash, None for none."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, bytes], tuple[Item, int]] = {}
        self._last_place = 0
        self._checkpoints: dict[tuple[str, str], Checkpoint] = {}
        self._replicas: dict[tuple[str, str], ReplicaState] = {}
        self.conflicts: dict[tuple[bytes, object, object], Conflict] = {}
        self.lost: dict[tuple[bytes, object], LostWrite] = {}
        self._boots: dict[str, int] = {}
        self._seen: dict[tuple[str, bytes], bool] = {}
        self._undo: list[Callable[[], None]] = []
        self.countdown: int | None = None

    def crash(self) -> None:
        """Undo what was not committed."""
        while self._undo:
            self._undo.pop()()
        self.countdown = None

    def load(self, table: str, key: bytes) -> tuple[Item, bool] | None:
        found = self._items.get((table, key))
        if found is None:
            return None
        item, place = found
        return (item, True) if place else (Item(item.winner, item.digest, None, {}), False)

    def expect(self, table: str, keys: Sequence[bytes]) -> None:
        """Nothing to prepare."""

    def save(self, table: str, key: bytes, item: Item, *, pending: bool, news: bool) -> None:
        _, place = self._items.get((table, key), (item, 0))
        if pending and not place:
            place = self._last_place = self._last_place + 1
        self._put(self._items, (table, key), (item, place if pending else 0))

    def forget(self, table: str, key: bytes) -> None:
        self._put(self._items, (table, key), None)

    def pending(self, table: str, after: int, limit: int) -> list[tuple[int, bytes, Item]]:
        places = {place: (key, item) for (name, key), (item, place) in self._items.items() if place and name == table}
        return [(place, *places[place]) for place in sorted(places) if place > after][:limit]

    def mark_seen(self, table: str, key: bytes) -> None:
        self._put(self._seen, (table, key), True)

    def unseen(self, table: str, after: bytes, limit: int) -> list[bytes]:
        keys = (
            key
            for (name, key), (item, place) in self._items.items()
            if name == table and (place or not item.is_tombstone)
        )
        return sorted(key for key in keys if key > after and (table, key) not in self._seen)[:limit]

    def clear_seen(self, table: str) -> None:
        for entry in [entry for entry in self._seen if entry[0] == table]:
            self._put(self._seen, entry, None)

    def checkpoint(self, table: str, region: str) -> Checkpoint | None:
        return self._checkpoints.get((table, region))

    def set_checkpoint(self, table: str, region: str, checkpoint: Checkpoint | None) -> None:
        self._put(self._checkpoints, (table, region), checkpoint)

    def replicas(self) -> Mapping[tuple[str, str], ReplicaState]:
        return self._replicas

    def set_replica(self, table: str, region: str, state: ReplicaState | None) -> None:
        self._put(self._replicas, (table, region), state)

    def drop_table(self, table: str) -> None:
        for key in [key for name, key in self._items if name == table]:
            self.forget(table, key)
        for name, region in [*self._checkpoints, *self._replicas]:
            if name == table:
                self.set_checkpoint(table, region, None)
                self.set_replica(table, region, None)

    def add_conflict(self, conflict: Conflict) -> None:
        self._put(self.conflicts, (conflict.key, conflict.winner, conflict.loser), conflict)

    def add_lost(self, lost: LostWrite) -> None:
        self._put(self.lost, (lost.key, lost.version), lost)

    def remove_lost(self, table: str, key: bytes, version: Version) -> None:
        self._put(self.lost, (key, version), None)

    def boot(self, region: str) -> int | None:
        """The run of a region's engine that was seen last."""
        return self._boots.get(region)

    def set_boot(self, region: str, boot: int) -> None:
        """Remember the run of a region's engine, with the next commit."""
        self._put(self._boots, region, boot)

    def commit(self) -> None:
        self._count()
        self._undo.clear()
        self._count()

    def _put(self, kept: dict[K, V], entry: K, value: V | None) -> None:
        self._count()
        before = kept.get(entry)

        def undo() -> None:
            if before is None:
                kept.pop(entry, None)
            else:
                kept[entry] = before

        self._undo.append(undo)
        if value is None:
            kept.pop(entry, None)
        else:
            kept[entry] = value

    def _count(self) -> None:
        if self.countdown is not None:
            self.countdown -= 1
            if self.countdown < 0:
                raise Crash
