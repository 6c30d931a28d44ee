"""Accounts of what is lost with an engine: of all that was acknowledged, what no replica has and nobody will read.

Where nothing is known to have everything, what is lost is known only when it is known what the others have: the account
stays *open* until all replicas are filled again, over a restart of the replicator too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from lab.core.conflict import OLDEST, LostWrite, Version
from lab.core.replication_ledger import Ledger
from lab.core.replication_store import Checkpoint
from lab.core.replication_work import Acknowledged


class Accounts:
    """Counts losses into the store. `skew_ms` tells how far a region's clock was off at a time.

    `open` are the regions whose losses are still to be counted; `tables_created` says when the tables of replicas were
    made, by table and region: what is older was written to predecessors.
    """

    def __init__(self, ledger: Ledger, skew_ms: Callable[[str, int], int]) -> None:
        self._ledger, self._store, self._skew_ms = ledger, ledger.store, skew_ms
        self.open: set[str] = set()
        self.tables_created: Mapping[tuple[str, str], int] = {}

    def count(self, acknowledged: Sequence[Acknowledged], now_ms: int) -> None:
        """Note as lost what no write survived that is not older; what is still to be read from a stream survived."""
        unread = self.unread(acknowledged)
        for write in acknowledged:
            if not self._concerns(write) or self._will_be_read(write):
                continue
            version = self._version(write)
            if unread.get((write.table, write.key), OLDEST) > version:
                continue
            survivor = self._ledger.load(write.table, write.key)
            if self._precedes_replication(write):
                lost = survivor is None and not self._was_filled_from(write)
            else:
                lost = survivor is None or survivor.item.winner < version
            if lost:
                self._store.add_lost(LostWrite(write.table, write.key, version, "not_captured", now_ms))

    def unread(self, acknowledged: Iterable[Acknowledged]) -> dict[tuple[str, bytes], Version]:
        """By table and key, the newest write that is still to be read from a stream."""
        newest: dict[tuple[str, bytes], Version] = {}
        for write in acknowledged:
            if self._concerns(write) and self._will_be_read(write):
                entry, version = (write.table, write.key), self._version(write)
                newest[entry] = max(version, newest.get(entry, version))
        return newest

    def close(self, unknown: Iterable[str]) -> None:
        """The open accounts have been made, but for those of regions that have not told what they had acknowledged."""
        counted = self.open.difference(unknown)
        for (table, region), state in list(self._store.replicas().items()):
            if region in counted and state.unaccounted:
                self._store.set_replica(table, region, replace(state, unaccounted=False))
        self.open -= counted

    def _concerns(self, write: Acknowledged) -> bool:
        """Whether a write went to a table that is replicated now, not to a predecessor of its name."""
        made_ms = self.tables_created.get((write.table, write.region), 0)
        return write.table in self._ledger.groups and write.time_ms >= made_ms

    def _version(self, write: Acknowledged) -> Version:
        return Version(write.time_ms + self._skew_ms(write.region, write.time_ms), write.region, write.counter)

    def _precedes_replication(self, write: Acknowledged) -> bool:
        """Whether a write is from before its table was replicated: scans find what it left, without its time."""
        state = self._store.replicas().get((write.table, write.region))
        return state is not None and write.time_ms < state.created_ms

    def _was_filled_from(self, write: Acknowledged) -> bool:
        """Whether some replica is known to have all that a region's table had before it was replicated."""
        if write.of_this_run:
            return True  # the table that it was written to is still there
        filled = self._ledger.groups[write.table].filled - {write.region}
        return bool(filled) and write.region not in self.open

    def _will_be_read(self, write: Acknowledged) -> bool:
        checkpoint = self._store.checkpoint(write.table, write.region) or Checkpoint()
        return write.of_this_run and write.counter > checkpoint.position
