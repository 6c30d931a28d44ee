"""What the replicator remembers across a crash, as the core sees it. Shells keep it, in SQLite or in memory.

What is saved takes part in one transaction until `commit`; a crash before it undoes all of it together, so that a
checkpoint never says more was read than what was made of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.item import Item


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a region's stream of a table has been read: all records up to `sequence`.

    `exact` says that `sequence` is a record's; otherwise reading starts at the stream's beginning and skips what is not
    above it. "" is before everything. Sequence numbers compare as strings.
    """

    sequence: str = ""
    exact: bool = False

    @property
    def position(self) -> int:
        """The counter of the record that was read last, as answers carry it; -1 if none was."""
        return int(self.sequence[20:]) if self.exact else -1


Comparison = Literal["", "gap", "salvage"]


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """A replica as the replicator has it.

    A replica that is not `filled` is being filled by a scan of another one. `created_ms` tells a replica from an
    earlier one of the same region. `compare` says why the replica itself is being scanned and compared with what is
    known: "gap", records of its stream are missing, from before `bound_ms`; "salvage", the replicas that had everything
    are lost. `scanned_to` is where the scan has got to (the encoded last key; None before the first page).
    `unaccounted` says that the region lost what nothing was known to have survived, and that this is still to be
    counted.
    """

    created_ms: int
    filled: bool
    scanned_to: bytes | None = None
    compare: Comparison = ""
    bound_ms: int = 0
    unaccounted: bool = False


class ReplicationStore(Protocol):
    """Keeps items, checkpoints, replicas, conflicts and lost writes; methods are the core's only way to its memory."""

    def load(self, table: str, key: bytes) -> tuple[Item, bool] | None:
        """An item, and whether it is pending (some replica lacks it). A settled one has an empty `held`."""

    def expect(self, table: str, keys: Sequence[bytes]) -> None:
        """These items are about to be loaded: a hint, for stores that find many at once faster."""

    def save(self, table: str, key: bytes, item: Item, *, pending: bool, news: bool) -> None:
        """Keep an item; only a pending one's `held` and `image` need be kept. `news`: its winner is another one."""

    def forget(self, table: str, key: bytes) -> None:
        """Drop an item."""

    def pending(self, table: str, after: int, limit: int) -> list[tuple[int, bytes, Item]]:
        """Pending items of a table with their places, beyond the place `after`, in the order of places.

        An item gets a place, beyond all others, when it becomes pending, and keeps it as long as it is. Places are
        above 0.
        """

    def mark_seen(self, table: str, key: bytes) -> None:
        """Note that a comparison has found an item, or need not find it."""

    def unseen(self, table: str, after: bytes, limit: int) -> list[bytes]:
        """Keys beyond `after`, in order, of items that are not marked as seen, settled tombstones left out."""

    def clear_seen(self, table: str) -> None:
        """Take all marks away."""

    def checkpoint(self, table: str, region: str) -> Checkpoint | None: ...
    def set_checkpoint(self, table: str, region: str, checkpoint: Checkpoint | None) -> None: ...
    def replicas(self) -> Mapping[tuple[str, str], ReplicaState]:
        """Every replica by table and region, as it is now; not to be changed nor kept."""

    def set_replica(self, table: str, region: str, state: ReplicaState | None) -> None: ...
    def drop_table(self, table: str) -> None:
        """Drop all of a table but its conflicts and lost writes."""

    def add_conflict(self, conflict: Conflict) -> None:
        """Record a conflict once."""

    def add_lost(self, lost: LostWrite) -> None:
        """Record a lost write once."""

    def remove_lost(self, table: str, key: bytes, version: Version) -> None:
        """A write has turned out not to be lost."""

    def commit(self) -> None: ...


def all_pending(store: ReplicationStore, table: str, page: int = 500) -> Iterator[tuple[bytes, Item]]:
    """Every pending item of a table; items may be saved meanwhile."""
    after = 0
    while rows := store.pending(table, after, page):
        yield from ((key, item) for _, key, item in rows)
        after = rows[-1][0]
