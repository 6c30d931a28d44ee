"""Global tables between regions: what is shipped where, in which order, and what is remembered first.

The machine is told what was read (`on_records`, `on_fill_page`, `on_fetched`), what became of applies
(`on_batch_done`), and what changed around it (`on_tables`, `on_faults`, `on_reset`). It is asked what to do:
`next_batch` for a target, `next_fill`, `next_fetch`. It decides nothing about a single item (`lab.core.item`), and
leaves sockets, clocks and the keeping of its store to the shells. What is about to be applied is committed before
`on_records` returns; outcomes may be committed later, for an apply can be repeated.

What a region has is shipped from the region that wrote it, as long as that holds it, whatever the others hold already;
a link that is cut or a region that is paused holds back only its own pairs. Captured writes wait in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.core import item as items
from lab.core.conflict import Conflict, LostWrite, Version
from lab.core.faults import FaultSet
from lab.core.item import Item, Record
from lab.core.replication_ledger import Group, Ledger, Pair
from lab.core.replication_shipping import Links, Shipping
from lab.core.replication_store import Checkpoint, ReplicaState, ReplicationStore, all_pending
from lab.core.replication_work import Acknowledged, Batch, Fetch, Fill, Outcome, Scanned
from lab.core.table import Tables

FILL_WATERMARK = 2_000

LagSample = Callable[[str, str, str, int], None]
"""Called with (table, source, target, milliseconds) for each item that became readable at a target."""


class Replication:
    """The machine. Give it its store, then `on_faults` and `on_tables` before anything else."""

    def __init__(
        self,
        store: ReplicationStore,
        *,
        lag_ms: Callable[[str, str], int] = lambda source, target: 0,
        on_lag: LagSample = lambda table, source, target, ms: None,
    ) -> None:
        self._store, self._on_lag = store, on_lag
        self._links = Links()
        self._ledger = Ledger(store)
        self._shipping = Shipping(self._ledger, self._links, lag_ms)
        self._epochs: dict[str, int] = {}

    # What changes around it

    def on_faults(self, faults: FaultSet) -> None:
        """Take the faults in force; what they hold back waits, what they let go is due at once.

        A region that comes up again may have lost its data meanwhile: nothing is shipped from it before its stream was
        read.
        """
        was = self._links.faults
        self._links.set_faults(faults)
        for fault in was.faults:
            if fault.region is not None and was.region_condition(fault.region) != "up":
                self.on_doubt(fault.region)

    def on_doubt(self, region: str) -> None:
        """Whether a region's engine is the one it was is not known, as after a start of the replicator's own."""
        self._links.doubtful.add(region)

    def on_tables(self, tables: Tables, now_ms: int) -> None:
        """Take the global tables: new replicas are to be filled, replicas that are gone are forgotten."""
        known = self._store.replicas()
        wanted = {
            (table.name, replica.region): replica
            for table in tables.global_tables
            for replica in table.replicas
            if replica.status in ("CREATING", "ACTIVE", "UPDATING")
        }
        for (name, region), state in known.items():
            replica = wanted.get((name, region))
            if replica is None or replica.created_ms != state.created_ms:
                self._store.set_replica(name, region, None)
                self._store.set_checkpoint(name, region, None)
        for name in sorted({name for name, _ in known} - {name for name, _ in wanted}):
            self._store.drop_table(name)
            self._ledger.groups.pop(name, None)
            self._ledger.drop_cached(name)
        for (name, region), replica in wanted.items():
            state_now = known.get((name, region))
            if state_now is None or state_now.created_ms != replica.created_ms:
                self._add_replica(name, region, replica.created_ms, replica.seeded_from, now_ms)
        states = self._store.replicas()
        for name in sorted({name for name, _ in states}):
            replicas = tuple(sorted(region for table, region in states if table == name))
            group = self._ledger.groups.get(name)
            filled = {region for region in replicas if states[name, region].filled}
            if group is None or group.replicas != replicas or group.filled != filled:
                self._ledger.groups[name] = Group(replicas, filled)
                self._shipping.recount(name)
        self._store.commit()

    def _add_replica(self, name: str, region: str, created_ms: int, seeded_from: str | None, now_ms: int) -> None:
        self._store.set_replica(name, region, ReplicaState(created_ms, filled=seeded_from is None))
        # What a first replica's stream holds already is in its table too, and is read by the scan that fills others.
        start = Checkpoint(f"{now_ms - 1:020d}{9_999_999_999:010d}") if seeded_from is None else Checkpoint()
        self._store.set_checkpoint(name, region, start)

    def on_reset(self, region: str, now_ms: int, acknowledged: Iterable[Acknowledged] = ()) -> None:
        """A region's engine came back empty: what only it had is lost, and it is filled from the others.

        Of the writes that were `acknowledged`, by this region before its loss or by the others, those are lost that no
        write survived that is not older; what was not read yet of the others will be.
        """
        self._epochs[region] = self._epochs.get(region, 0) + 1
        self._shipping.forget_in_flight(region)
        for name, group in self._ledger.groups.items():
            if region in group.replicas:
                self._reset_replica(name, group, region, now_ms)
        for write in acknowledged:
            if write.table in self._ledger.groups and self._may_be_lost(region, write):
                skew_ms = self._skew_ms(write.region, write.time_ms)
                version = Version(write.time_ms + skew_ms, write.region, write.counter)
                survivor = self._ledger.load(write.table, write.key)
                if survivor is None or survivor.item.winner < version:
                    self._store.add_lost(LostWrite(write.table, write.key, version, "not_captured", now_ms))
        self._store.commit()

    def _may_be_lost(self, region: str, write: Acknowledged) -> bool:
        """Only where engines have no fences can another region's write be lost: one that an apply had overtaken."""
        return write.region == region or write.counter <= self.checkpoint(write.table, write.region).position

    def _reset_replica(self, name: str, group: Group, region: str, now_ms: int) -> None:
        group.filled.discard(region)
        group.scanned[region] = group.draining[region] = 0
        others = [other for other in group.replicas if other != region]
        if not group.filled:
            # Nobody has all of it: whatever the others have is what there is, and what was settled is not any more.
            for other in others or [region]:
                self._set_filled(name, other)
            self._store.forget_settled(name)
        created_ms = self._store.replicas()[name, region].created_ms
        self._store.set_replica(name, region, ReplicaState(created_ms, filled=region in group.filled))
        self._store.set_checkpoint(name, region, Checkpoint())
        for key, item in all_pending(self._store, name):
            left, lost = items.after_loss(item, region)
            if lost and item.winner.time_ms > 0:
                self._store.add_lost(LostWrite(name, key, item.winner, "captured_not_shipped", now_ms))
            if left is None:
                self._store.forget(name, key)
            else:
                self._store.save(name, key, left, pending=bool(left.lacking(group.replicas)))
        self._shipping.recount(name)

    # What is read

    def checkpoint(self, table: str, region: str) -> Checkpoint:
        """How far a stream has been read."""
        return self._store.checkpoint(table, region) or Checkpoint()

    def on_records(
        self, table: str, region: str, records: Iterable[Record], checkpoint: Checkpoint, now_ms: int
    ) -> None:
        """Take what was read of a region's stream; on return it is remembered, and may be shipped."""
        group = self._ledger.groups.get(table)
        if group is None or region not in group.replicas:
            return
        for record in records:
            self._on_record(table, region, record, now_ms)
        self._store.set_checkpoint(table, region, checkpoint)
        self._store.commit()

    def _on_record(self, table: str, region: str, record: Record, now_ms: int) -> None:
        known = self._ledger.load(table, record.key)
        before = None if known is None else known.item
        if record.mark is not None:
            after, since_ms = items.after_mark(before, region, record), 0
        else:
            skew_ms, since_ms = self._skew_ms(region, record.time_ms), record.time_ms
            after, against = items.after_write(before, region, record, skew_ms)
            if against is not None:
                version = Version(record.time_ms + skew_ms, region, record.position)
                winner, loser = max(version, against), min(version, against)
                self._store.add_conflict(Conflict(table, record.key, winner, loser, now_ms))
        if after is None or after is before:
            return
        if known is not None and not known.routes and _only_confirms(known.item, after):
            self._ledger.confirm(table, record.key, after)
            return
        routes = self._ledger.settle(table, record.key, after, known)
        self._shipping.add(table, record.key, routes, now_ms, since_ms)

    def commit(self) -> None:
        """Make the outcomes so far durable."""
        self._store.commit()

    def on_stream_read(self, table: str, region: str) -> None:
        """A stream was read, by the way: its engine is the one it was, and what was fenced may be tried again."""
        self._links.doubtful.discard(region)
        self._shipping.on_stream_read(table, region)

    def _skew_ms(self, region: str, time_ms: int) -> int:
        return sum(
            fault.skew_ms
            for fault in self._links.faults.faults
            if fault.effect == "clock_skew" and fault.region == region and fault.since_ms <= time_ms
        )

    # Filling a replica

    def next_fill(self) -> Fill | None:
        """A page to be read for a replica that is being filled, if the target keeps up and the way is free."""
        for name, group in self._ledger.groups.items():
            for target in group.replicas:
                if target in group.filled or self.backlog(name, target=target) > FILL_WATERMARK:
                    continue
                for source in sorted(group.filled):
                    if self._links.open(source, target):
                        after = self._store.replicas()[name, target].scanned_to
                        return Fill(name, source, target, after, self._epochs.get(target, 0))
        return None

    def on_fill_page(self, fill: Fill, page: Iterable[Scanned], next_key: bytes | None, now_ms: int) -> None:
        """Take a page of the scan; `next_key` None says that it was the last."""
        group = self._ledger.groups.get(fill.table)
        if group is None or fill.target not in group.replicas or fill.epoch != self._epochs.get(fill.target, 0):
            return
        count = 0
        for row in page:
            count += 1
            known = self._ledger.load(fill.table, row.key)
            item = items.after_scan(None if known is None else known.item, fill.source, row.image, row.digest)
            routes = self._ledger.settle(fill.table, row.key, item, known)
            self._shipping.add(fill.table, row.key, routes, now_ms, 0)
        group.scanned[fill.target] = group.scanned.get(fill.target, 0) + count
        if next_key is None:
            self._set_filled(fill.table, fill.target)
            group.draining[fill.target] = self.backlog(fill.table, target=fill.target)
        else:
            state = self._store.replicas()[fill.table, fill.target]
            self._store.set_replica(fill.table, fill.target, ReplicaState(state.created_ms, False, next_key))
        self._store.commit()

    def _set_filled(self, table: str, region: str) -> None:
        self._ledger.groups[table].filled.add(region)
        state = self._store.replicas()[table, region]
        self._store.set_replica(table, region, ReplicaState(state.created_ms, filled=True))

    def is_ready(self, table: str, region: str) -> bool:
        """Whether a replica has been filled and what the fill found is in it."""
        group = self._ledger.groups.get(table)
        return group is not None and region in group.filled and group.draining.get(region, 0) <= 0

    def scanned(self, table: str, region: str) -> int:
        """How many items the running fill of a replica has found so far."""
        group = self._ledger.groups.get(table)
        return 0 if group is None else group.scanned.get(region, 0)

    # Shipping

    def next_batch(self, target: str, now_ms: int) -> Batch | None:
        """The next applies for a region, or None if nothing is due that may go there."""
        epoch = self._epochs.get(target, 0)
        return self._shipping.next_batch(target, now_ms, lambda table: self.checkpoint(table, target), epoch)

    def next_due_ms(self, target: str) -> int | None:
        """When the next apply to a region may be due; None while nothing waits for it that may go there."""
        return self._shipping.next_due_ms(target)

    def on_batch_done(self, batch: Batch, outcome: Outcome, now_ms: int) -> None:
        """Take what became of a batch. It is made durable with the next `on_records` or `commit`."""
        group = self._ledger.groups.get(batch.table)
        if group is None or batch.epoch != self._epochs.get(batch.target, 0):
            return
        self._shipping.on_outcome(batch, outcome, now_ms)
        if outcome.result != "applied":
            return
        self._ledger.pair(batch.table, batch.source, batch.target).shipped += len(batch.applies)
        if group.draining.get(batch.target, 0) > 0:
            group.draining[batch.target] -= len(batch.applies)
        for apply in batch.applies:
            if apply.since_ms:
                self._on_lag(batch.table, batch.source, batch.target, max(0, now_ms - apply.since_ms))
            known = self._ledger.load(batch.table, apply.key)
            if known is not None:
                after = items.after_apply(known.item, batch.target, apply.version, apply.digest, outcome.position)
                routes = self._ledger.settle(batch.table, apply.key, after, known)
                # That the target holds it now may change where the others get it from.
                changed = [route for route in routes if route not in known.routes or route[1] == batch.target]
                self._shipping.add(batch.table, apply.key, changed, now_ms, apply.since_ms)

    # Images that are not kept

    def next_fetch(self, now_ms: int) -> Fetch | None:
        """An item to be read from a region that holds its winner."""
        return self._shipping.next_fetch(now_ms)

    def on_fetched(self, fetch: Fetch, found: Scanned | None, now_ms: int) -> None:
        """Take what was read; other content than the winner's will be explained by the stream. It is asked again."""
        if fetch.table not in self._ledger.groups:
            return
        known = self._ledger.load(fetch.table, fetch.key)
        if known is None or found is None or found.digest != known.item.digest:
            return
        self._shipping.fetched(fetch)
        after = items.after_scan(known.item, fetch.region, found.image, found.digest)
        routes = self._ledger.settle(fetch.table, fetch.key, after, known)
        self._shipping.add(fetch.table, fetch.key, routes, now_ms, 0)

    # What is left

    @property
    def pairs(self) -> dict[tuple[str, str, str], Pair]:
        """By table, source and target: what was shipped, and what waits."""
        return self._ledger.pairs

    def is_busy(self) -> bool:
        """Whether a replica is being filled or an item has to be fetched."""
        groups = self._ledger.groups.values()
        return self._shipping.fetching or any(len(group.filled) < len(group.replicas) for group in groups)

    def backlog(self, table: str | None = None, source: str | None = None, target: str | None = None) -> int:
        """How many items wait to be shipped, in all or for a table, a source, a target."""
        return self._ledger.backlog(table, source, target)

    def left(self, table: str | None = None) -> list[tuple[str, str, str, int]]:
        """(table, source, target, items) that are still to be shipped between regions that replicate now.

        A replica that is being filled is one item more, from wherever.
        """
        replicates = self._links.faults.replicates
        found = [
            (name, source, target, pair.backlog)
            for (name, source, target), pair in sorted(self.pairs.items())
            if table in (None, name) and pair.backlog and replicates(source, target)
        ]
        for name, group in self._ledger.groups.items():
            for target in group.replicas:
                sources = [source for source in sorted(group.filled) if replicates(source, target)]
                if table in (None, name) and target not in group.filled and sources:
                    found.append((name, sources[0], target, 1))
        return found


def _only_confirms(before: Item, after: Item) -> bool:
    """Whether a settled item stays as it is; what is still to be filled by a scan need not be shipped for it."""
    return after.winner == before.winner and all(held.digest == after.digest for held in after.held.values())
